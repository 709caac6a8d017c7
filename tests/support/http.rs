//! One HTTP/1.1 request over a bare socket.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// For connecting, and for every read.
const PATIENCE: Duration = Duration::from_secs(10);

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    /// Body, freed of chunk framing.
    pub body: String,
}

impl Response {
    /// The first header of that (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// `GET path`: status and body.
///
/// Blocks: the server must live in another process or thread.
///
/// # Errors
/// The socket's, or an answer that is not HTTP.
pub fn http_get(address: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    let response = request(address, "GET", path, &[], "")?;
    Ok((response.status, response.body))
}

/// Any request, on a connection that the server closes after the answer.
///
/// # Errors
/// As [`http_get`].
pub fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> io::Result<Response> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += &format!("content-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    parse(&answer)
}

/// Reads an answer that is there in full.
///
/// # Errors
/// When it is not HTTP, or shorter than it says.
pub fn parse(answer: &[u8]) -> io::Result<Response> {
    let bad = |what: &str| {
        let start = String::from_utf8_lossy(&answer[..answer.len().min(200)]);
        io::Error::other(format!("not an HTTP answer: {what} in {start:?}"))
    };
    let split = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let split = split.ok_or_else(|| bad("no end of the headers"))?;
    let head = std::str::from_utf8(&answer[..split]).map_err(|_| bad("headers not UTF-8"))?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let mut response = Response {
        status: status.ok_or_else(|| bad("no status"))?,
        headers: lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect(),
        body: String::new(),
    };
    let body = &answer[split + 4..];
    let body = if response.header("transfer-encoding") == Some("chunked") {
        unchunk(body).ok_or_else(|| bad("broken chunk"))?
    } else {
        let length = response.header("content-length").map(|length| length.parse::<usize>());
        match length {
            Some(Ok(length)) if length != body.len() => return Err(bad("body cut short")),
            Some(Err(_)) => return Err(bad("content-length")),
            _ => body.to_vec(),
        }
    };
    response.body = String::from_utf8(body).map_err(|_| bad("body not UTF-8"))?;
    Ok(response)
}

fn unchunk(mut input: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = input.windows(2).position(|bytes| bytes == b"\r\n")?;
        let size = std::str::from_utf8(&input[..end]).ok()?.split(';').next()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        input = &input[end + 2..];
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(input.get(..size)?);
        input = input.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

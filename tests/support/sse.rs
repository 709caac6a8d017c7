//! A reader of server-sent events over a bare socket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longest wait for the next bytes; the server says something every 15 s.
const PATIENCE: Duration = Duration::from_secs(30);

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SseEvent {
    /// `event:`
    pub event: String,
    /// `id:`; empty when there is none.
    pub id: String,
    /// `data:`
    pub data: String,
}

/// An open stream.
pub struct SseStream {
    lines: BufReader<Chunked>,
}

impl SseStream {
    /// Opens `path`, going on after `last_id` when given.
    ///
    /// # Panics
    /// When the answer is not a stream of events.
    #[track_caller]
    pub fn open(address: SocketAddr, path: &str, last_id: Option<&str>) -> Self {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit can be set");
        let resume = last_id.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: {address}\r\naccept: text/event-stream\r\n{resume}\r\n"
        );
        stream.write_all(head.as_bytes()).expect("the request goes out");
        let mut input = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(input.read_line(&mut head).expect("an answer") > 0, "cut short: {head}");
        }
        let head = head.to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert!(head.contains("content-type: text/event-stream"), "{head}");
        assert!(head.contains("transfer-encoding: chunked"), "{head}");
        Self { lines: BufReader::new(Chunked { input, left: 0 }) }
    }

    /// The next event that has data; waits for it.
    ///
    /// # Panics
    /// When the stream ends or nothing comes.
    #[track_caller]
    pub fn next(&mut self) -> SseEvent {
        let mut event = SseEvent::default();
        loop {
            let mut line = String::new();
            let length = self.lines.read_line(&mut line).expect("the stream goes on");
            assert!(length > 0, "the stream has ended");
            let line = line.trim_end_matches(['\r', '\n']);
            match line.split_once(':') {
                Some(("event", value)) => event.event = value.trim_start().to_owned(),
                Some(("id", value)) => event.id = value.trim_start().to_owned(),
                Some(("data", value)) => event.data += value.trim_start(),
                None if line.is_empty() && !event.data.is_empty() => return event,
                // A comment, `retry`, or the end of an event without data.
                _ => {}
            }
        }
    }
}

/// A body in chunks, freed of their framing as it comes.
struct Chunked {
    input: BufReader<TcpStream>,
    left: usize,
}

impl Read for Chunked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            let mut line = String::new();
            self.input.read_line(&mut line)?;
            if line == "\r\n" {
                // The end of the chunk before.
                line.clear();
                self.input.read_line(&mut line)?;
            }
            let size = line.trim_end().split(';').next().unwrap_or_default();
            self.left = usize::from_str_radix(size, 16)
                .map_err(|_| io::Error::other(format!("not a size of a chunk: {line:?}")))?;
            if self.left == 0 {
                return Ok(0);
            }
        }
        let wanted = buffer.len().min(self.left);
        let read = self.input.read(&mut buffer[..wanted])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read;
        Ok(read)
    }
}

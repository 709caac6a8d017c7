//! A Redis server of the test's own.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{Process, TempDir, find_program, free_port, temp_dir};

const START: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(5);

/// `redis-server` in its own folder on a free loopback port, with an append-only file: what it has
/// acknowledged survives [`kill9`](Self::kill9) and [`restart`](Self::restart). Killed when
/// dropped.
#[derive(Debug)]
pub struct RedisServer {
    process: Process,
    arguments: Vec<String>,
    port: u16,
    dir: TempDir,
}

impl RedisServer {
    /// Starts one; `None` when `redis-server` is not installed.
    ///
    /// # Panics
    /// When it is installed and does not come up.
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// [`start`](Self::start) with further arguments (`["--aclfile", …]`, `["--maxmemory", …]`).
    /// Readiness is any answer to PING, so a server that asks for a password counts as up.
    pub fn start_with(arguments: &[&str]) -> Option<Self> {
        let program = find_program("redis-server")?;
        let (port, dir) = (free_port(), temp_dir());
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let process = spawn(&program, port, dir.path(), &arguments);
        let mut server = Self { process, arguments, port, dir };
        server.wait_up();
        Some(server)
    }

    /// Starts one on a machine that must have it.
    ///
    /// # Panics
    /// When `redis-server` is not installed, saying how to install it.
    pub fn require() -> Self {
        Self::start().expect("redis-server is needed: apt-get install redis-server")
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `redis://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its folder: the append-only file and the log.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Sends one command on a connection of its own; an error reply is a [`Reply::Error`].
    ///
    /// # Panics
    /// When the server does not answer within five seconds, or not in its protocol.
    pub fn command(&self, words: &[&str]) -> Reply {
        exchange(self.port, words).unwrap_or_else(|error| panic!("redis {words:?}: {error}"))
    }

    /// Whether it answers at all.
    pub fn is_up(&self) -> bool {
        exchange(self.port, &["PING"]).is_ok()
    }

    /// Ends it without warning; its port and folder stay its own.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Ends it in order, SIGTERM.
    pub fn stop(&mut self) {
        self.process.terminate();
        self.process.wait_exit(START);
    }

    /// Starts it again on the same port and folder, ending it first if it still runs.
    pub fn restart(&mut self) {
        self.process.kill9();
        let program = find_program("redis-server").expect("it was there at the first start");
        self.process = spawn(&program, self.port, self.dir.path(), &self.arguments);
        self.wait_up();
    }

    fn wait_up(&mut self) {
        let port = self.port;
        // While it reads the append-only file it answers LOADING: not up yet.
        self.process.wait_ready(START, || match exchange(port, &["PING"]) {
            Ok(Reply::Error(text)) => !text.starts_with("LOADING"),
            Ok(_) => true,
            Err(_) => false,
        });
    }
}

fn spawn(program: &Path, port: u16, dir: &Path, arguments: &Vec<String>) -> Process {
    let mut command = Command::new(program);
    command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
        .args(["--appendonly", "yes", "--appendfsync", "everysec", "--dir"])
        .arg(dir)
        .args(arguments);
    Process::spawn("redis-server", &mut command, &dir.join("log"))
}

/// One answer of the server (RESP 2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// `+OK`
    Status(String),
    /// `-NOPERM …`
    Error(String),
    /// `:1`
    Integer(i64),
    /// A text; bytes that are not UTF-8 are replaced.
    Text(String),
    /// No value.
    Nil,
    /// A list.
    List(Vec<Reply>),
}

fn exchange(port: u16, words: &[&str]) -> io::Result<Reply> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request += &format!("${}\r\n{word}\r\n", word.len());
    }
    stream.write_all(request.as_bytes())?;
    read_reply(&mut BufReader::new(stream))
}

/// Reads one reply.
///
/// # Errors
/// The socket's, end of stream, or a byte that starts no reply.
pub fn read_reply(input: &mut impl BufRead) -> io::Result<Reply> {
    let mut line = String::new();
    if input.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let line = line.trim_end_matches(['\r', '\n']);
    let other = || io::Error::other(format!("not a reply: {line:?}"));
    let number = |text: &str| text.parse::<i64>().map_err(|_| other());
    let (kind, rest) = line.split_at_checked(1).ok_or_else(other)?;
    Ok(match kind {
        "+" => Reply::Status(rest.to_owned()),
        "-" => Reply::Error(rest.to_owned()),
        ":" => Reply::Integer(number(rest)?),
        "$" | "*" if rest == "-1" => Reply::Nil,
        "$" => {
            let length = usize::try_from(number(rest)?).map_err(|_| other())?;
            let mut bytes = Vec::new();
            input.by_ref().take(length as u64 + 2).read_to_end(&mut bytes)?;
            if bytes.len() != length + 2 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Reply::Text(String::from_utf8_lossy(&bytes[..length]).into_owned())
        }
        "*" => {
            let length = usize::try_from(number(rest)?).map_err(|_| other())?;
            Reply::List((0..length).map(|_| read_reply(input)).collect::<io::Result<_>>()?)
        }
        _ => return Err(other()),
    })
}

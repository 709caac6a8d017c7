//! A TCP proxy between the daemon and a server, to disturb what passes.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::{free_port, wait_until};

/// For a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(10);

/// What happens to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Bytes pass.
    Pass,
    /// New connections end at once; those there are were cut.
    Refuse,
    /// Bytes are taken and go nowhere, like a cable pulled out: nobody is told.
    Swallow,
    /// Each piece from the server comes so much later.
    Slow(Duration),
}

#[derive(Debug)]
struct State {
    mode: Mode,
    /// Both ends of every connection, to cut them.
    open: Vec<TcpStream>,
}

/// A proxy on a free loopback port. Its threads end with their connections, or the test program.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Proxy {
    /// Starts one before the server on loopback port `to`.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn start(to: u16) -> Self {
        let port = free_port();
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the proxy's port is free");
        let state = Arc::new(Mutex::new(State { mode: Mode::Pass, open: Vec::new() }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                serve(&shared, client, to);
            }
        });
        Self { port, state }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes what happens from now on; [`Mode::Refuse`] cuts what is open. A connection of which
    /// bytes were swallowed ends with the next ones: a stream never goes on behind a hole.
    pub fn set(&self, mode: Mode) {
        let mut state = self.state.lock().expect("no thread of the proxy panics");
        state.mode = mode;
        if mode == Mode::Refuse {
            cut(&mut state);
        }
    }
}

fn cut(state: &mut State) {
    for stream in state.open.drain(..) {
        // It may have ended already.
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn serve(shared: &Arc<Mutex<State>>, client: TcpStream, to: u16) {
    let mut state = shared.lock().expect("no thread of the proxy panics");
    if state.mode == Mode::Refuse {
        return;
    }
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, to));
    // A server that is away: the client sees its connection end.
    let Ok(server) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else { return };
    let both = [(&client, &server), (&server, &client)];
    for (from, into) in both {
        let (Ok(from), Ok(into), Ok(kept)) = (from.try_clone(), into.try_clone(), from.try_clone())
        else {
            return;
        };
        state.open.push(kept);
        let is_answer = into.peer_addr().ok() == client.peer_addr().ok();
        let shared = Arc::clone(shared);
        thread::spawn(move || copy(&shared, from, into, is_answer));
    }
}

fn copy(shared: &Mutex<State>, mut from: TcpStream, mut into: TcpStream, is_answer: bool) {
    let mut buffer = vec![0; 64 << 10];
    let mut has_hole = false;
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let mode = shared.lock().expect("no thread of the proxy panics").mode;
        match mode {
            Mode::Swallow => {
                has_hole = true;
                continue;
            }
            _ if has_hole => break,
            Mode::Slow(delay) if is_answer => {
                let began = Instant::now();
                wait_until(
                    2 * delay + PATIENCE,
                    || began.elapsed() >= delay,
                    "the delay to be over",
                );
            }
            _ => {}
        }
        if into.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = into.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

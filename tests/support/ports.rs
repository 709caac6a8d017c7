//! Ports that no other test takes.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range from which the kernel takes ports for outgoing connections (32,768 up): those
/// would steal a port between the look here and the server's bind.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// Lock files of the ports given out, held as long as the process lives: test programs run side by
/// side, and a server that is down for a moment (killed, restarting) still owns its port.
static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());
static NEXT: AtomicU16 = AtomicU16::new(0);

/// A loopback port that nobody listens on and that no other test of this machine is given while
/// this process lives.
///
/// # Panics
/// When none of the range is free.
pub fn free_port() -> u16 {
    let locks = std::env::temp_dir().join("bongsu-test-ports");
    fs::create_dir_all(&locks).expect("the folder of port locks can be made");
    // Different starts keep test programs from walking through each other's ports.
    let start = (u64::from(std::process::id()) * 97 % u64::from(COUNT)) as u16;
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        let port = FIRST + (start + step) % COUNT;
        // Another user's lock file cannot be opened: that port is taken as theirs.
        let Ok(lock) = File::create(locks.join(port.to_string())) else { continue };
        if lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            HELD.lock().expect("no test panics while it holds the list").push(lock);
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}

//! What integration tests share.
//!
//! - [`RedisServer`], [`MariaDb`]: a real server of the test's own, in its own folder on a free
//!   loopback port, started until it answers, killed by its pid when the value is dropped.
//! - [`Daemon`]: the `bongsu` program as a child process with captured output.
//! - [`kis_peer`]: a KIS that sends what the test says; [`stored`]: what a daemon left on disk;
//!   [`sse`]: a reader of its event stream.
//! - [`wait`]: the only place of the tests that sleeps, and only between looks at a condition.
//! - [`skip!`](skip): ends a test whose server or data is absent, in a way that is reported.
//! - [`parquet`]: columns of the market data, read without the program under test.
//! - [`http`]: one HTTP request over a bare socket, so that no client hides what was sent.
//!
//! The helpers panic with the reason when something fails: they have no caller but a test. They
//! block the calling thread for as long as a start takes (Redis 0.05 s, MariaDB 0.5 s), so start
//! servers before anything that has to keep running on the same thread.

pub mod daemon;
pub mod exchange;
pub mod http;
pub mod kis_peer;
pub mod mariadb;
pub mod parquet;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod redis;
pub mod seaweed;
pub mod skip;
pub mod sse;
pub mod stored;
pub mod wait;

use std::path::{Path, PathBuf};

pub use daemon::Daemon;
pub use http::http_get;
pub use kis_peer::KisPeer;
pub use mariadb::MariaDb;
pub use ports::free_port;
pub use process::Process;
pub use redis::{RedisServer, Reply};
pub use seaweed::Seaweed;
pub(crate) use skip::skip;
pub use wait::{await_until, wait_until};

/// A folder that goes away with the value.
pub use tempfile::TempDir;

/// A fresh folder under the system's temporary one, named so that a leftover tells whose it is.
pub fn temp_dir() -> TempDir {
    tempfile::Builder::new()
        .prefix("bongsu-test-")
        .tempdir()
        .expect("a folder can be made under the temporary one")
}

/// The folder of market data and outside checks: `BONGSU_SHARED`, or `shared` beside the checkout.
/// `None` when it is not there: [`skip!`](skip) then.
pub fn shared_dir() -> Option<PathBuf> {
    let dir = match std::env::var_os("BONGSU_SHARED") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
    };
    dir.is_dir().then_some(dir)
}

/// Finds a program in `PATH`, or where Debian puts servers (often absent from a user's `PATH`).
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

//! How the doctor touches files and services without changing them.

use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a service may take to accept a connection, all its addresses together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether `folder` is there (`true`) or can be made (`false`), and files can be written in it.
/// A file of a name that is not taken is made and removed.
pub(in crate::cli) fn writable(folder: &Path) -> io::Result<bool> {
    let (place, exists) = match fs::metadata(folder) {
        Ok(about) if about.is_dir() => (folder.to_owned(), true),
        Ok(_) => return Err(io::Error::new(ErrorKind::NotADirectory, "it is not a folder")),
        Err(error) if error.kind() == ErrorKind::NotFound => (nearest_folder(folder)?, false),
        Err(error) => return Err(error),
    };
    let probe = place.join(format!(".bongsu-doctor-{}", std::process::id()));
    OpenOptions::new().write(true).create_new(true).open(&probe)?;
    fs::remove_file(&probe)?;
    Ok(exists)
}

/// The nearest folder above `path` that is there.
fn nearest_folder(path: &Path) -> io::Result<PathBuf> {
    for above in path.ancestors().skip(1) {
        // The last ancestor of a relative path is empty: the working directory.
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        match fs::metadata(above) {
            Ok(about) if about.is_dir() => return Ok(above.to_owned()),
            Ok(_) => {
                let message = format!("{} is not a folder", above.display());
                return Err(io::Error::new(ErrorKind::NotADirectory, message));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(ErrorKind::NotFound, "no folder above it exists"))
}

/// The file of a `sqlite:` URL; `None` for one in memory.
pub(in crate::cli) fn sqlite_path(url: &str) -> Option<PathBuf> {
    let rest = url.strip_prefix("sqlite:")?;
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    if path.is_empty() || path == ":memory:" || query.split('&').any(|p| p == "mode=memory") {
        return None;
    }
    Some(PathBuf::from(percent_decoded(path)))
}

/// `text` with its `%XX` replaced; what is no such sequence stays.
pub(in crate::cli) fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        let byte = hex
            .filter(|_| bytes[at] == b'%')
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match byte {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// A TCP connection to `host`, made and closed: the address that accepted it.
pub(in crate::cli) fn connect(host: &str, port: u16) -> io::Result<SocketAddr> {
    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    let mut last = io::Error::new(ErrorKind::NotFound, "its host has no address");
    let each = CONNECT_TIMEOUT / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    for address in addresses {
        match TcpStream::connect_timeout(&address, each.max(Duration::from_millis(100))) {
            Ok(_) => return Ok(address),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Whether another process holds the lock of this data folder: a daemon runs on it. Nothing is made.
pub(in crate::cli) fn daemon_runs(data_dir: &Path) -> io::Result<bool> {
    match OpenOptions::new().write(true).open(data_dir.join("lock")) {
        Ok(lock) => match lock.try_lock() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether a bongsu answers at `address`.
pub(super) fn is_bongsu(address: SocketAddr) -> bool {
    get(address, "/metrics", 4_096)
        .is_ok_and(|head| head.starts_with("HTTP/1.1 200") && head.contains("bongsu_"))
}

/// What the daemon at `address` says of its component `name` in `/readyz`.
pub(in crate::cli) fn component(address: SocketAddr, name: &str) -> io::Result<String> {
    let answer = get(address, "/readyz", 65_536)?;
    let line = answer.lines().find(|line| line.split(':').next() == Some(name));
    line.map(str::to_owned).ok_or_else(|| {
        io::Error::new(ErrorKind::InvalidData, format!("/readyz has no line about {name}"))
    })
}

/// The answer to a GET, head and body, cut at `most` bytes.
fn get(address: SocketAddr, path: &str, most: u64) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(
        format!("GET {path} HTTP/1.1\r\nHost: bongsu\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut answer = String::new();
    stream.take(most).read_to_string(&mut answer)?;
    Ok(answer)
}

//! The data folder and its lock.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

/// The data folder, locked for this process: one daemon at a time owns a journal.
///
/// The lock is the kernel's and goes with the process, however it ends. The file holds who has it,
/// for whoever is refused: process id, start and machine.
#[derive(Debug)]
pub struct DataDir {
    /// The folder.
    pub path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes and locks the folder.
    ///
    /// # Errors
    /// When it cannot be made, or another process owns it.
    pub fn lock(path: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(path).with_context(|| {
            format!("data_dir {}: cannot make the folder; set BONGSU_DATA_DIR to one that can be written", path.display())
        })?;
        let lock_path = path.join("lock");
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&lock_path)
            .with_context(|| format!("cannot open {}", lock_path.display()))?;
        match lock.try_lock() {
            Ok(()) => {
                let written = lock.set_len(0).and_then(|()| lock.write_all(holder().as_bytes()));
                // The lock holds all the same; only the one who is refused learns less.
                if let Err(error) = written {
                    tracing::warn!(path = %lock_path.display(), %error, "the lock file could not be written");
                }
                Ok(Self { path: path.to_owned(), _lock: lock })
            }
            Err(TryLockError::WouldBlock) => Err(anyhow!(
                "data_dir {} is in use by another bongsu process{}; stop it, or set BONGSU_DATA_DIR to another folder",
                path.display(),
                named(&mut lock)
            )),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", lock_path.display()))
            }
        }
    }
}

fn holder() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = match host.trim() {
        "" => "unknown",
        host => host,
    };
    let since = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    format!("pid {} since {since} on {host}\n", std::process::id())
}

/// What the holder wrote, in brackets; nothing when it has written nothing readable.
fn named(lock: &mut File) -> String {
    let mut text = String::new();
    // A longer file is not one of ours.
    match lock.take(512).read_to_string(&mut text) {
        Ok(_) if text.starts_with("pid ") => format!(" ({})", text.trim_end()),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_the_first_is() {
        let folder = tempfile::tempdir().unwrap();
        // What an earlier process left is no lock.
        std::fs::write(folder.path().join("lock"), "pid 1 since long ago on another machine\n")
            .unwrap();
        let first = DataDir::lock(folder.path()).unwrap();
        let error = DataDir::lock(folder.path()).unwrap_err().to_string();
        let pid = format!("in use by another bongsu process (pid {} since 20", std::process::id());
        assert!(error.contains(&pid) && !error.contains("long ago"), "{error}");
        drop(first);
        DataDir::lock(folder.path()).unwrap();
    }
}

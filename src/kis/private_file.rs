//! Small JSON files that the processes of one user share: mode 0600, replaced as a whole, changed
//! under a lock file beside them.
//!
//! Failure modes: what cannot be read, written or locked is reported and passed over; the caller then
//! has what it holds in memory. The content is never shown, it may hold a token.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

const LOCK_POLL: Duration = Duration::from_millis(50);

/// The lock was held too long.
pub(super) struct Held {
    /// The lock file.
    pub path: PathBuf,
    /// How long it was waited for.
    pub waited: Duration,
}

/// `path` with `suffix` after its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

/// Runs work that waits for the disk where it holds up no other task.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Options of a file that only its owner may read.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// The content of the file; the default when there is none, or none that can be read.
pub(super) fn read<T: Default + DeserializeOwned>(path: &Path) -> T {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return T::default(),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "this file of the kis client cannot be read");
            return T::default();
        }
    };
    serde_json::from_str(&text).unwrap_or_else(|error| {
        tracing::warn!(path = %path.display(), line = error.line(), column = error.column(), "this file of the kis client is damaged; it will be written anew");
        T::default()
    })
}

/// Replaces the file as a whole: a reader sees the old one or the new one.
pub(super) fn write<T: Serialize>(path: &Path, content: &T) -> io::Result<()> {
    let temporary = beside(path, &format!(".{}.tmp", std::process::id()));
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut out = private().create_new(true).open(&temporary)?;
    out.write_all(&serde_json::to_vec_pretty(content)?)?;
    out.sync_all()?;
    std::fs::rename(&temporary, path)
}

/// The lock of `path` between processes, held until it is dropped; `None` where locking does not
/// work.
///
/// # Errors
/// [`Held`] when another holds it longer than `patience`.
pub(super) async fn lock(path: &Path, patience: Duration) -> Result<Option<File>, Held> {
    let path = beside(path, ".lock");
    let file = match private().create(true).truncate(false).open(&path) {
        Ok(file) => file,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the kis client shares nothing between processes: check that its folder can be written");
            return Ok(None);
        }
    };
    let start = tokio::time::Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if start.elapsed() < patience => {
                tokio::time::sleep(LOCK_POLL).await;
            }
            Err(TryLockError::WouldBlock) => return Err(Held { path, waited: patience }),
            Err(TryLockError::Error(error)) => {
                tracing::warn!(path = %path.display(), %error, "locks do not work on this file system");
                return Ok(None);
            }
        }
    }
}

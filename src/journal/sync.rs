//! Forcing segments to the disk beside the writer ([`Durability::Group`](super::Durability)).
//!
//! One thread, told of each new segment over a bounded channel: a disk that falls several segments
//! behind makes the writer wait. A failure is kept until the writer has taken it: after a failed
//! `fdatasync` the system may have dropped the pages, and a later one that succeeds says nothing of
//! them.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use parking_lot::Mutex;

use super::{JournalError, Position};

/// How a file is forced to the disk.
pub(super) type SyncCall = Arc<dyn Fn(&File) -> io::Result<()> + Send + Sync>;

/// Segments that may wait for their last sync before the writer has to.
const BEHIND: usize = 4;

/// What was written between two positions, and may not survive a power cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suspect {
    pub(super) from: Position,
    pub(super) to: Position,
    pub(super) why: String,
}

impl Suspect {
    /// Both, and what lies between them.
    pub(super) fn and(self, earlier: Option<Self>) -> Self {
        match earlier {
            None => self,
            Some(earlier) => Self {
                from: self.from.min(earlier.from),
                to: self.to.max(earlier.to),
                why: self.why,
            },
        }
    }
}

/// A segment as the thread sees it.
pub(super) struct Written {
    pub(super) segment: u32,
    pub(super) file: File,
    /// Bytes of it that are with the operating system.
    pub(super) bytes: Arc<AtomicU64>,
}

/// The thread, and what it has to say.
pub(super) struct Syncer {
    segments: Option<SyncSender<Written>>,
    failure: Arc<Failure>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Failure {
    is_set: AtomicBool,
    suspect: Mutex<Option<Suspect>>,
}

impl Syncer {
    pub(super) fn start(
        folder: &Path,
        period: Duration,
        sync: SyncCall,
    ) -> Result<Self, JournalError> {
        let (segments, receiver) = sync_channel(BEHIND);
        let failure: Arc<Failure> = Arc::default();
        let thread = std::thread::Builder::new()
            .name("journal-sync".into())
            .spawn({
                let (folder, failure) = (folder.to_owned(), Arc::clone(&failure));
                move || Forcing { folder, sync, failure }.run(&receiver, period)
            })
            .map_err(|error| JournalError::io("start the sync thread for", folder, error))?;
        Ok(Self { segments: Some(segments), failure, thread: Some(thread) })
    }

    /// From now on `segment` is written; the one before gets its last sync.
    pub(super) fn begin(&self, segment: Written) {
        let Some(segments) = &self.segments else { return };
        if segments.send(segment).is_err() {
            tracing::error!("the journal's sync thread is gone: nothing is forced to the disk");
        }
    }

    /// What a sync that failed leaves in doubt.
    pub(super) fn take_failure(&self) -> Option<Suspect> {
        if !self.failure.is_set.load(Ordering::Acquire) {
            return None;
        }
        let mut noted = self.failure.suspect.lock();
        self.failure.is_set.store(false, Ordering::Release);
        noted.take()
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        // The thread syncs once more when the channel is closed: after the last write.
        drop(self.segments.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the journal's sync thread panicked");
        }
    }
}

/// What the thread holds.
struct Forcing {
    folder: PathBuf,
    sync: SyncCall,
    failure: Arc<Failure>,
}

impl Forcing {
    fn run(&self, receiver: &Receiver<Written>, period: Duration) {
        // The segment that is written, and how many bytes of it are on the disk.
        let mut current: Option<(Written, u64)> = None;
        loop {
            let message = receiver.recv_timeout(period);
            if let Some((written, synced)) = &mut current {
                *synced = self.force(written, *synced);
            }
            match message {
                Ok(next) => current = Some((next, 0)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Forces what was written since `synced`, the first time the file's name too. How much has
    /// been tried.
    fn force(&self, written: &Written, synced: u64) -> u64 {
        let bytes = written.bytes.load(Ordering::Acquire);
        if bytes == synced {
            return bytes;
        }
        let is_new = synced == 0;
        let forced = (self.sync)(&written.file).and_then(|()| match is_new {
            true => File::open(&self.folder)?.sync_all(),
            false => Ok(()),
        });
        if let Err(error) = forced {
            metrics::counter!("bongsu_journal_sync_errors_total").increment(1);
            let at = |bytes: u64| Position {
                segment: written.segment,
                offset: u32::try_from(bytes).unwrap_or(u32::MAX),
            };
            let (from, to) = (at(synced), at(bytes));
            tracing::error!(
                %from, %to, %error,
                "the journal could not be forced to the disk; a new segment is begun"
            );
            let suspect = Suspect { from, to, why: error.to_string() };
            let mut noted = self.failure.suspect.lock();
            *noted = Some(suspect.and(noted.take()));
            self.failure.is_set.store(true, Ordering::Release);
        }
        bytes
    }
}

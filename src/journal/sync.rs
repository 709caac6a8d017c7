//! Forcing segments to the disk beside the writer ([`Durability::Group`](super::Durability)).
//!
//! One thread, told of each new segment over a bounded channel: a disk that falls several segments
//! behind makes the writer wait. A failure is kept until the writer has taken it: after a failed
//! `fdatasync` the system may have dropped the pages, and a later one that succeeds says nothing of
//! them.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use parking_lot::Mutex;

use super::JournalError;

/// How a file is forced to the disk.
pub(super) type SyncCall = Arc<dyn Fn(&File) -> io::Result<()> + Send + Sync>;

/// Segments that may wait for their last sync before the writer has to.
const BEHIND: usize = 4;

/// Bytes of which it is not known whether they would survive a power cut.
#[derive(Debug, Clone)]
pub(super) struct Suspect {
    pub(super) segment: u32,
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) why: String,
}

/// A segment as the thread sees it.
pub(super) struct Written {
    pub(super) segment: u32,
    pub(super) file: File,
    /// Bytes of it that are with the operating system.
    pub(super) bytes: Arc<AtomicU64>,
}

/// Takes a segment and a position and says whether a sync succeeded.
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
                let failure = Arc::clone(&failure);
                move || run(&receiver, period, &sync, &failure)
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
        if !self.failure.is_set.swap(false, Ordering::AcqRel) {
            return None;
        }
        self.failure.suspect.lock().take()
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

fn run(receiver: &Receiver<Written>, period: Duration, sync: &SyncCall, failure: &Failure) {
    let mut current: Option<(Written, u64)> = None;
    loop {
        let message = receiver.recv_timeout(period);
        if let Some((written, synced)) = &mut current {
            force(written, synced, sync, failure);
        }
        match message {
            Ok(next) => current = Some((next, 0)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn force(written: &Written, synced: &mut u64, sync: &SyncCall, failure: &Failure) {
    let bytes = written.bytes.load(Ordering::Acquire);
    if bytes == *synced {
        return;
    }
    if let Err(error) = sync(&written.file) {
        metrics::counter!("bongsu_journal_sync_errors_total").increment(1);
        let segment = written.segment;
        let suspect = Suspect { segment, from: *synced, to: bytes, why: error.to_string() };
        tracing::error!(
            segment, from = suspect.from, to = suspect.to, %error,
            "the journal could not be forced to the disk; a new segment is begun"
        );
        *failure.suspect.lock() = Some(suspect);
        failure.is_set.store(true, Ordering::Release);
    }
    *synced = bytes;
}

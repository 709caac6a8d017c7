//! What an actor computes, in two halves: taking in, and having effects.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Closed;
use crate::messages::Reject;

/// A message as supervision sees it: a number of records, each of which may be poison.
pub trait Envelope: Send + Sync + 'static {
    /// Number of records in it, at least one for a message that is not empty.
    fn records(&self) -> usize;

    /// Bytes it holds besides its records' own size, about: bounds what is kept for a restart.
    fn bytes(&self) -> usize {
        0
    }

    /// What to keep of record `index` when it has to be skipped.
    fn poison(&self, index: usize, stage: &'static str, why: &str) -> Reject;
}

/// Why a stage cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// What it sends to has been closed.
    #[error(transparent)]
    Downstream(#[from] Closed),
    /// Anything else; the text says what, and what to do.
    #[error("{0}")]
    Failed(String),
    /// No repetition helps: the whole tree is to end.
    #[error("{0}")]
    Fatal(String),
    /// There is nothing left to do.
    #[error("finished")]
    Finished,
}

/// The work of one actor.
///
/// `handle` changes the stage's own state and its outgoing buffers, nothing else; `flush` sends
/// what is buffered. A stage whose state matters gives a snapshot; see the module's documentation
/// for how it is rebuilt.
pub trait Stage: Sized + 'static {
    /// What it takes in.
    type In: Envelope;
    /// Its state, enough to go on from. `()` for a stage without state.
    type Snapshot: Send + 'static;

    /// Its name: metric label, thread name, `stage` of a reject.
    const NAME: &'static str;

    /// Makes it ready, once for each generation.
    ///
    /// # Errors
    /// Whatever keeps it from working; counts as a failure of this generation.
    fn started(&mut self) -> impl Future<Output = Result<(), StageError>> {
        async { Ok(()) }
    }

    /// Takes in a message. Must call [`Cursor::enter`] before each record and skip the record when
    /// it says so.
    ///
    /// # Errors
    /// When it cannot go on; the record the cursor stands on is treated as poison.
    fn handle(&mut self, message: &Arc<Self::In>, cursor: &Cursor) -> Result<(), StageError>;

    /// Sends what is buffered. `idle` tells that nothing is waiting in the inbox, so that a stage
    /// which gathers may send now.
    ///
    /// # Errors
    /// When the effects could not be had; the message is handled again by the next generation.
    fn flush(&mut self, idle: bool) -> impl Future<Output = Result<(), StageError>>;

    /// Forgets what is buffered: its effects were had by an earlier generation.
    fn discard(&mut self);

    /// The state.
    fn snapshot(&self) -> Self::Snapshot;

    /// Takes over a state.
    fn restore(&mut self, snapshot: &Self::Snapshot);

    /// How often [`Stage::wake`] is called while no message comes; `None` for never.
    fn wake_every(&self) -> Option<Duration> {
        None
    }

    /// Called at the interval given, between messages; followed by `flush`.
    ///
    /// # Errors
    /// As for `handle`.
    fn wake(&mut self) -> Result<(), StageError> {
        Ok(())
    }

    /// Called once when the stage is asked to stop, after the last message; followed by `flush`.
    ///
    /// # Errors
    /// As for `handle`.
    fn stopping(&mut self) -> Result<(), StageError> {
        Ok(())
    }
}

const OUTSIDE: u64 = u64::MAX;

/// Which record of a message is in work. Shared with the supervisor, which reads it after a panic
/// and while it watches for progress.
#[derive(Debug, Clone)]
pub struct Cursor {
    record: Arc<AtomicU64>,
    beats: Arc<AtomicU64>,
    skip: Arc<[u32]>,
}

impl Default for Cursor {
    fn default() -> Self {
        Self {
            record: Arc::new(AtomicU64::new(OUTSIDE)),
            beats: Arc::default(),
            skip: Arc::from([]),
        }
    }
}

impl Cursor {
    /// Marks record `index` as being in work. False when it must be skipped.
    #[must_use]
    pub fn enter(&self, index: usize) -> bool {
        self.record.store(index as u64, Ordering::Relaxed);
        self.skip.is_empty() || !self.skip.contains(&(index as u32))
    }

    /// Tells the supervisor that long work is going on.
    pub fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn leave(&self) {
        self.record.store(OUTSIDE, Ordering::Relaxed);
        self.beat();
    }

    /// The record in work, if any.
    pub(super) fn record(&self) -> Option<usize> {
        match self.record.load(Ordering::Relaxed) {
            OUTSIDE => None,
            index => Some(index as usize),
        }
    }

    /// A number that changes whenever progress was made.
    pub(super) fn mark(&self) -> u64 {
        let beats = self.beats.load(Ordering::Relaxed);
        beats.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(self.record.load(Ordering::Relaxed))
    }

    pub(super) fn skipping(&self, skip: &[u32]) -> Self {
        Self {
            record: Arc::clone(&self.record),
            beats: Arc::clone(&self.beats),
            skip: Arc::from(skip),
        }
    }
}

//! Ingest: frames into the journal, and only then onward.
//!
//! Gets frames from the feed session (or a replay) in batches, appends them to the journal and
//! passes them to the Normalizer with their positions. Rule 1 of the design lives here: nothing
//! downstream ever sees a frame that is not journaled.
//!
//! It also notices silence. When nothing has come for the set time while the feed should speak,
//! that fact becomes a journal record like any frame, so that a replay sees the same silence and
//! decides the same.
//!
//! **Slow:** its inbox fills and the feed session stops reading its socket. **Dies:** the batch in
//! hand is appended again by its successor; the Normalizer recognises repeated trades.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::supervision::{Cursor, Edge, Envelope, Stage, StageError};
use crate::journal::{Journal, JournalOptions};
use crate::messages::health::{Component, HealthRegistry, HealthState};
use crate::messages::{Checkpoints, Flag, FrameBatch, FrameKind, JournaledBatch, Reject};
use crate::telemetry::hot;

/// How often silence is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Envelope for FrameBatch {
    fn records(&self) -> usize {
        self.len()
    }

    fn poison(&self, index: usize, stage: &'static str, why: &str) -> Reject {
        super::reject::of_frame(stage, "poison", why, self.frame(index), None)
    }
}

/// What Ingest is made of.
#[derive(Debug, Clone)]
pub struct IngestParts {
    /// Where and how the journal is written.
    pub journal: JournalOptions,
    /// Silence after which a record says so; `None` for recorded input, whose silences are in it.
    pub silence_after: Option<Duration>,
    /// To the Normalizer.
    pub normalizer: Edge<Arc<JournaledBatch>>,
    /// Where it says how the journal is.
    pub health: HealthRegistry,
    /// Where checkpoints begin.
    pub checkpoints: Checkpoints,
    /// Whether the start has caught up with the journal.
    pub caught_up: Flag,
}

/// The actor's state.
#[derive(Debug)]
pub struct Ingest {
    parts: IngestParts,
    journal: Journal,
    pending: Vec<Arc<FrameBatch>>,
    /// Number of a checkpoint behind everything pending.
    checkpoint: Option<u64>,
    last_frame: Instant,
    silences_told: u32,
}

impl Ingest {
    /// Opens the journal.
    ///
    /// # Errors
    /// When the journal cannot be opened.
    pub fn new(parts: IngestParts) -> Result<Self, StageError> {
        let journal = Journal::open(parts.journal.clone()).map_err(|error| {
            parts.health.set(Component::Journal, HealthState::down(error.to_string()));
            StageError::Failed(error.to_string())
        })?;
        parts.health.set(Component::Journal, HealthState::Up);
        let last_frame = Instant::now();
        Ok(Self {
            parts,
            journal,
            pending: Vec::new(),
            checkpoint: None,
            last_frame,
            silences_told: 0,
        })
    }
}

impl Stage for Ingest {
    type In = FrameBatch;
    type Snapshot = ();
    const NAME: &'static str = "ingest";

    fn handle(&mut self, message: &Arc<FrameBatch>, cursor: &Cursor) -> Result<(), StageError> {
        let skipped = (0..message.len()).filter(|index| !cursor.enter(*index)).count();
        let batch = match skipped {
            0 => Arc::clone(message),
            _ => Arc::new(message.filtered(|index| cursor.enter(index))),
        };
        hot().journal_lag.increment(batch.len() as f64);
        // What REST tells, and that a session began or ended, is no sign of life of the feed.
        if batch.iter().any(|frame| frame.kind == FrameKind::Data) {
            self.last_frame = Instant::now();
            self.silences_told = 0;
        }
        self.pending.push(batch);
        Ok(())
    }

    async fn flush(&mut self, _idle: bool) -> Result<(), StageError> {
        for frames in std::mem::take(&mut self.pending) {
            let positions = self.journal.append(&frames).map_err(|error| {
                self.parts.health.set(Component::Journal, HealthState::down(error.to_string()));
                StageError::Failed(error.to_string())
            })?;
            hot().journal_lag.decrement(frames.len() as f64);
            frames.is_journaled();
            let checkpoint =
                self.parts.checkpoints.begin(self.journal.position(), std::time::Instant::now());
            let batch = JournaledBatch { frames, positions, checkpoint, muted: false };
            self.parts.normalizer.send(Arc::new(batch)).await?;
        }
        if let Some(number) = self.checkpoint.take() {
            let batch = JournaledBatch { checkpoint: Some(number), ..JournaledBatch::default() };
            self.parts.normalizer.send(Arc::new(batch)).await?;
        }
        Ok(())
    }

    fn discard(&mut self) {
        let lag: usize = self.pending.iter().map(|batch| batch.len()).sum();
        hot().journal_lag.decrement(lag as f64);
        self.pending.clear();
        self.checkpoint = None;
    }

    fn snapshot(&self) {}

    fn restore(&mut self, _: &()) {}

    fn wake_every(&self) -> Option<Duration> {
        Some(LOOK_EVERY)
    }

    /// Tells of a silence when it reaches the set time, and again each time it has doubled; looks
    /// whether a checkpoint is due behind the last frame before the silence.
    fn wake(&mut self) -> Result<(), StageError> {
        self.checkpoint =
            self.parts.checkpoints.begin(self.journal.position(), std::time::Instant::now());
        let Some(threshold) = self.parts.silence_after else { return Ok(()) };
        if !self.parts.caught_up.is_set() {
            // What is read back now was not silent; the watch begins behind it.
            self.last_frame = Instant::now();
            return Ok(());
        }
        let silence = self.last_frame.elapsed();
        if silence >= threshold * (1u32 << self.silences_told.min(16)) {
            self.silences_told += 1;
            let micros = i64::try_from(silence.as_micros()).unwrap_or(i64::MAX);
            let mut batch = FrameBatch::new();
            batch.push(FrameKind::Silence, wall_micros(), &micros.to_le_bytes());
            hot().journal_lag.increment(1.0);
            self.pending.push(Arc::new(batch));
        }
        Ok(())
    }

    /// The last checkpoint: the next start has nothing to read again.
    fn stopping(&mut self) -> Result<(), StageError> {
        let (position, now) = (self.journal.position(), std::time::Instant::now());
        self.checkpoint = self.parts.checkpoints.begin_last(position, now);
        Ok(())
    }
}

/// The wall clock, microseconds since the Unix epoch: for receive times and latencies only.
#[must_use]
pub fn wall_micros() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX)
}

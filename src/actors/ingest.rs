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
//! **Slow:** its inbox fills and the feed session stops reading its socket. **The disk says no**
//! (full, broken, read-only): the batch in hand is tried again, after 100 ms, then twice as long, up
//! to 5 s, until the disk takes it; meanwhile nothing more is taken from the inbox, and the health
//! line `journal` is down and says why. **Dies:** the batch in hand is appended again by its
//! successor; the Normalizer recognises repeated trades.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::supervision::{Cursor, Edge, Envelope, Stage, StageError};
use crate::journal::{Journal, JournalError, JournalOptions, MAX_PAYLOAD};
use crate::market::RecordRef;
use crate::messages::health::{Component, HealthRegistry, HealthState};
use crate::messages::{Checkpoints, Flag, FrameBatch, FrameKind, JournaledBatch, Reject};
use crate::telemetry::hot;

/// How often silence is looked for, and the journal tended.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The wait before a batch is tried again that the disk did not take …
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// … which doubles up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

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
    /// The next flush is the last.
    is_last: bool,
    last_frame: Instant,
    silences_told: u32,
}

impl Ingest {
    /// Opens the journal. A disk that is full at the start is waited for like one that fills up
    /// later.
    ///
    /// # Errors
    /// When the journal's folder cannot be made or listed.
    pub fn new(parts: IngestParts) -> Result<Self, StageError> {
        let journal = Journal::open(parts.journal.clone()).map_err(|error| {
            parts.health.set(Component::Journal, HealthState::down(error.to_string()));
            StageError::Failed(error.to_string())
        })?;
        let last_frame = Instant::now();
        let mut ingest = Self {
            parts,
            journal,
            pending: Vec::new(),
            is_last: false,
            last_frame,
            silences_told: 0,
        };
        ingest.tend();
        Ok(ingest)
    }

    /// Keeps the journal within its bounds, and tells how it is. Whether it can be written.
    fn tend(&mut self) -> bool {
        let state = match (self.journal.tend(), self.journal.complaint()) {
            (Err(error), _) => HealthState::down(error.to_string()),
            (Ok(()), Some(complaint)) => HealthState::degraded(complaint),
            (Ok(()), None) => HealthState::Up,
        };
        let can_be_written = !matches!(state, HealthState::Down { .. });
        // While the start catches up, how far it is says more than that it can be written.
        if !can_be_written || self.parts.caught_up.is_set() {
            self.parts.health.set(Component::Journal, state);
        }
        can_be_written
    }

    /// Appends a batch, however long the disk takes to have room for it.
    async fn append(&mut self, frames: &FrameBatch) -> Result<Vec<RecordRef>, StageError> {
        let (mut wait, began) = (FIRST_WAIT, Instant::now());
        loop {
            let error = match self.journal.append(frames) {
                Ok(positions) => {
                    if wait > FIRST_WAIT {
                        tracing::info!(after = ?began.elapsed(), "the journal is written again");
                        // Nobody listened meanwhile: that was no silence of the feed.
                        self.last_frame = Instant::now();
                        self.tend();
                    }
                    return Ok(positions);
                }
                Err(error) => error,
            };
            self.parts.health.set(Component::Journal, HealthState::down(error.to_string()));
            if !error.may_pass() {
                return Err(StageError::Failed(error.to_string()));
            }
            if wait == FIRST_WAIT {
                tracing::error!(%error, "no more frames are taken until the journal can be written");
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }
}

impl Stage for Ingest {
    type In = FrameBatch;
    type Snapshot = ();
    const NAME: &'static str = "ingest";

    fn handle(&mut self, message: &Arc<FrameBatch>, cursor: &Cursor) -> Result<(), StageError> {
        let mut skipped = 0;
        for (index, frame) in message.iter().enumerate() {
            if !cursor.enter(index) {
                skipped += 1;
            } else if frame.payload.len() > MAX_PAYLOAD {
                // Poison: it alone is given up.
                let error = JournalError::TooLong(frame.payload.len());
                return Err(StageError::Failed(error.to_string()));
            }
        }
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
            let positions = self.append(&frames).await?;
            hot().journal_lag.decrement(frames.len() as f64);
            frames.is_journaled();
            let batch = JournaledBatch { frames, positions, ..JournaledBatch::default() };
            self.parts.normalizer.send(Arc::new(batch)).await?;
        }
        // Behind everything that is journaled by now.
        let (position, now) = (self.journal.position(), std::time::Instant::now());
        let checkpoint = match self.is_last {
            true => self.parts.checkpoints.begin_last(position, now),
            false => self.parts.checkpoints.begin(position, now),
        };
        if checkpoint.is_some() {
            let batch = JournaledBatch { checkpoint, ..JournaledBatch::default() };
            self.parts.normalizer.send(Arc::new(batch)).await?;
        }
        Ok(())
    }

    fn discard(&mut self) {
        let lag: usize = self.pending.iter().map(|batch| batch.len()).sum();
        hot().journal_lag.decrement(lag as f64);
        self.pending.clear();
    }

    fn snapshot(&self) {}

    fn restore(&mut self, _: &()) {}

    fn wake_every(&self) -> Option<Duration> {
        Some(LOOK_EVERY)
    }

    /// Tends the journal. Tells of a silence when it reaches the set time, and again each time it
    /// has doubled. The flush behind it looks whether a checkpoint is due.
    fn wake(&mut self) -> Result<(), StageError> {
        if !self.tend() {
            // Nor is anything taken from the feed: its silence could not be told from that.
            self.last_frame = Instant::now();
            return Ok(());
        }
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
        self.is_last = true;
        Ok(())
    }
}

/// The wall clock, microseconds since the Unix epoch: for receive times and latencies only.
#[must_use]
pub fn wall_micros() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX)
}

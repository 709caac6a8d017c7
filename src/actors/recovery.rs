//! Recovery: a start goes on where the last run ended.
//!
//! [`Plan::make`] looks, before anything runs, for the newest checkpoint that can be used; the tree
//! is then built with its states. [`Recovery::run`] reads what the journal holds behind it and
//! sends it straight to the Normalizer (it is journaled already), through the same stages as any
//! frame, so its rows and events come out as they would have: what was stored or said before the
//! end is recognised by its identity. Then it notes in the journal that nothing was watched in the
//! meantime, and lets the feed begin.
//!
//! **No checkpoint can be used:** the whole journal is read. **After an upgrade** the states of a
//! checkpoint mean nothing, but its place does: up to there the frames only bring back the state
//! (they are *muted*), so that nothing is said a second time under other thresholds. **A part of the
//! journal is damaged:** it is kept as a reject with its position, and reading goes on behind it.
//! **The journal cannot be read:** the process ends with the reason; the feed does not begin, since
//! what it brought would stand behind a hole.
//!
//! Costs: with a checkpoint, the tail since then (some seconds of frames) at the speed of a replay;
//! without one, the whole journal at that speed. Progress is logged every second and shown in
//! `/readyz`.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::limits::{BATCH_BYTES, BATCH_FRAMES};
use super::states::{self, PipelineStates};
use super::supervision::{Edge, StageError};
use super::tree::{Quiet, journal_folder};
use crate::journal::checkpoint::{self, Fingerprint};
use crate::journal::{Item, JournalError, PositionError, RecoveryReader, Skipped, Why, segments};
use crate::market::RecordRef;
use crate::messages::feed::Change;
use crate::messages::health::{Component, HealthRegistry, HealthState};
use crate::messages::{
    Checkpoints, Coverage, Flag, FrameBatch, FrameKind, JournaledBatch, KeptEvent, Position,
    Reject, Repair, StoreBatch,
};

/// Bytes of a journal record besides its payload.
const RECORD_HEADER: usize = 24;
/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// What a start has to do to go on where the last run ended.
pub struct Plan {
    /// States to begin with; `None` to begin from nothing.
    pub states: Option<PipelineStates>,
    /// Oldest segment that this start, or a later one from an older checkpoint, reads.
    pub needed_from: u32,
    reader: RecoveryReader,
    /// Frames before it bring back the state and nothing else.
    muted_before: Position,
    /// About how much there is to read.
    bytes: u64,
    from: Option<Position>,
    /// Of checkpoints that are not used: minutes still to be asked for.
    pub repairs: Vec<Repair>,
    /// And events that Redis did not acknowledge.
    pub unsent: Vec<KeptEvent>,
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan").field("from", &self.from).field("bytes", &self.bytes).finish()
    }
}

impl Plan {
    /// Looks what there is in `data_dir`; `None` when no run was there before. To be called before
    /// the journal is opened for writing, which begins a new segment.
    ///
    /// # Errors
    /// When the journal cannot be listed. Checkpoints that cannot be looked at are as good as none.
    pub fn make(data_dir: &Path, fingerprint: Fingerprint) -> anyhow::Result<Option<Self>> {
        let journal = journal_folder(data_dir);
        let found = segments(&journal)?;
        let (first, last) = (found.first(), found.last().map_or(0, |info| info.segment));
        let folder = checkpoint::folder(data_dir);
        // Of a journal that is gone: its numbers begin anew, and would be taken for others.
        for path in told(checkpoint::beyond(&folder, last)).unwrap_or_default() {
            tracing::warn!(path = %path.display(), "a checkpoint of a journal that is gone is left aside");
            told(checkpoint::disown(&path));
        }
        let Some(first) = first.map(|info| info.segment) else { return Ok(None) };
        let mut leftover = Leftover::default();
        // What an earlier start set aside tells as much as what this one does.
        for (_, path) in told(checkpoint::list_refused(&folder)).unwrap_or_default() {
            leftover.merge(Leftover::of(&path, &journal, fingerprint));
        }
        let bytes_from = |from: Position| {
            let behind = found.iter().filter(|info| info.segment >= from.segment);
            behind.map(|info| info.bytes).sum::<u64>().saturating_sub(from.offset.into())
        };
        let all = told(checkpoint::list(&folder)).unwrap_or_default();
        for (position, path) in &all {
            match usable(path, &journal, fingerprint) {
                Ok((states, reader)) => {
                    let oldest = all.last().map_or(position.segment, |(oldest, _)| oldest.segment);
                    let muted_before = leftover.had.max(*position);
                    return Ok(Some(Self {
                        // What was left over when the newer one was written is in this one, or was
                        // settled since.
                        repairs: Vec::new(),
                        unsent: Vec::new(),
                        states: Some(states),
                        needed_from: oldest.min(position.segment),
                        reader,
                        muted_before,
                        bytes: bytes_from(*position),
                        from: Some(*position),
                    }));
                }
                Err(why) => {
                    tracing::warn!(%position, why, "a checkpoint is not used");
                    leftover.merge(Leftover::of(path, &journal, fingerprint));
                    told(checkpoint::set_aside(path));
                }
            }
        }
        Ok(Some(Self {
            states: None,
            needed_from: first,
            reader: RecoveryReader::open(&journal, None)?,
            muted_before: leftover.had,
            bytes: bytes_from(Position::default()),
            from: None,
            repairs: leftover.repairs,
            unsent: leftover.unsent,
        }))
    }

    /// What is left to do once the tree runs.
    #[must_use]
    pub fn recovery(self) -> Recovery {
        Recovery {
            reader: Arc::new(Mutex::new(Some(self.reader))),
            muted_before: self.muted_before,
            bytes: self.bytes,
            from: self.from,
        }
    }
}

/// The journal is the truth: trouble with the checkpoints is told, and no reason not to start.
fn told<T>(outcome: Result<T, checkpoint::CheckpointError>) -> Option<T> {
    outcome.inspect_err(|error| tracing::error!(%error, "the start goes on without it")).ok()
}

/// What a checkpoint that is not used still says.
#[derive(Default)]
struct Leftover {
    /// Up to here everything was stored and said.
    had: Position,
    /// Minutes that were asked for and not had.
    repairs: Vec<Repair>,
    /// Events that Redis had not acknowledged.
    unsent: Vec<KeptEvent>,
}

impl Leftover {
    /// Of a checkpoint that is whole, and either of another build or thresholds, or of a journal
    /// whose end a power cut took: all that is left of that stands before it.
    fn of(path: &Path, journal: &Path, fingerprint: Fingerprint) -> Self {
        let Ok((whole, is_own)) = checkpoint::read_any(path, fingerprint) else {
            return Self::default();
        };
        let placed = RecoveryReader::open(journal, Some(whole.position));
        let is_cut = matches!(placed, Err(PositionError::PastTheEnd { .. }));
        if !(is_cut || (placed.is_ok() && !is_own)) {
            return Self::default();
        }
        let (repairs, unsent) = states::leftover(&whole.states);
        Self { had: whole.position, repairs, unsent }
    }

    /// The one that stands for the later place.
    fn merge(&mut self, other: Self) {
        if other.had > self.had {
            *self = other;
        }
    }
}

fn usable(
    path: &Path,
    journal: &Path,
    fingerprint: Fingerprint,
) -> Result<(PipelineStates, RecoveryReader), String> {
    let checkpoint = checkpoint::read(path, fingerprint).map_err(|error| error.to_string())?;
    let states = PipelineStates::thaw(&checkpoint.states)?;
    let reader = RecoveryReader::open(journal, Some(checkpoint.position))
        .map_err(|error| error.to_string())?;
    Ok((states, reader))
}

/// The ways that what is read back takes into the tree.
#[derive(Debug, Clone)]
pub struct Ways {
    /// To the Normalizer: frames that are journaled.
    pub normalizer: Edge<Arc<JournaledBatch>>,
    /// To the Recorder: what cannot be read; `None` where nothing is stored.
    pub recorder: Option<Edge<Arc<StoreBatch>>>,
    /// Whether the pipeline has handled what it was sent.
    pub handled: Quiet,
    /// To Ingest: that nothing was watched in the meantime.
    pub ingest: Edge<Arc<FrameBatch>>,
}

/// Reads the tail of the journal back; see the module. Clones share the reader.
#[derive(Debug, Clone)]
pub struct Recovery {
    reader: Arc<Mutex<Option<RecoveryReader>>>,
    muted_before: Position,
    bytes: u64,
    from: Option<Position>,
}

/// Where the way to catching up stands.
struct Progress {
    began: Instant,
    told: Instant,
    records: u64,
    bytes: u64,
    damaged: u64,
    /// Read already, and belonging to the next batch.
    carried: Option<(FrameBatch, Vec<RecordRef>)>,
}

impl Recovery {
    /// Brings the tree to where the last run ended; then `caught_up` is set and checkpoints are
    /// taken.
    ///
    /// # Errors
    /// [`StageError::Fatal`] when the journal cannot be read.
    pub async fn run(
        self,
        ways: &Ways,
        health: &HealthRegistry,
        checkpoints: &Checkpoints,
        caught_up: &Flag,
        stop: &CancellationToken,
    ) -> Result<(), StageError> {
        let reader = self.reader.lock().take();
        let Some(mut reader) = reader else {
            return Err(StageError::Fatal(
                "catching up with the journal was cut short; a new start begins it anew".to_owned(),
            ));
        };
        let now = Instant::now();
        let mut progress =
            Progress { began: now, told: now, records: 0, bytes: 0, damaged: 0, carried: None };
        loop {
            if stop.is_cancelled() {
                return Ok(());
            }
            let (batch, rejects, ended) = self.next_batch(&mut reader, &mut progress)?;
            if let Some(recorder) = &ways.recorder
                && !rejects.is_empty()
            {
                recorder.send(Arc::new(StoreBatch::Rejects(rejects))).await?;
            }
            if !batch.positions.is_empty() {
                ways.normalizer.send(Arc::new(batch)).await?;
            }
            if ended {
                break;
            }
            if progress.told.elapsed() >= TELL_EVERY {
                self.tell(&mut progress, health);
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = ways.handled.wait() => {}
        }
        // What the sessions of the last run carried is not watched by anybody any more.
        let unwatched = Coverage {
            change: Change::Ended,
            session: 0,
            cause: "the process was not running".to_owned(),
            mute: false,
            all: true,
            issues: Vec::new(),
        };
        let mut batch = FrameBatch::new();
        batch.push(FrameKind::Connection, super::ingest::wall_micros(), &unwatched.payload());
        ways.ingest.send(Arc::new(batch)).await?;
        tracing::info!(
            records = progress.records,
            damaged = progress.damaged,
            checkpoint = self.from.is_some(),
            seconds = progress.began.elapsed().as_secs_f64(),
            "caught up with the journal"
        );
        checkpoints.release();
        caught_up.set();
        Ok(())
    }

    /// The next frames, the parts that cannot be read, and whether that was all.
    fn next_batch(
        &self,
        reader: &mut RecoveryReader,
        progress: &mut Progress,
    ) -> Result<(JournaledBatch, Vec<Reject>, bool), StageError> {
        let mut rejects = Vec::new();
        let mut ended = false;
        let (mut frames, mut positions) = progress.carried.take().unwrap_or_default();
        let mut muted = positions.first().is_some_and(|at| self.is_muted(*at));
        while frames.len() < BATCH_FRAMES && frames.byte_len() < BATCH_BYTES {
            match reader.next() {
                None => {
                    ended = true;
                    break;
                }
                Some(Ok(Item::Record(record))) => {
                    progress.bytes += (RECORD_HEADER + record.payload.len()) as u64;
                    progress.records += 1;
                    let own = self.is_muted(record.at);
                    if frames.is_empty() {
                        muted = own;
                    }
                    // A batch is muted as a whole: the first frame that is not begins the next.
                    if own != muted {
                        let mut next = FrameBatch::new();
                        next.push(record.kind, record.received_us, record.payload);
                        progress.carried = Some((next, vec![record.at]));
                        break;
                    }
                    frames.push(record.kind, record.received_us, record.payload);
                    positions.push(record.at);
                }
                Some(Ok(Item::Skipped(skipped))) => rejects.extend(reject_of(&skipped)),
                Some(Err(error)) => return Err(unreadable(&error)),
            }
        }
        progress.damaged += rejects.len() as u64;
        let batch = JournaledBatch { frames: Arc::new(frames), positions, checkpoint: None, muted };
        Ok((batch, rejects, ended))
    }

    fn is_muted(&self, at: RecordRef) -> bool {
        Position { segment: at.segment, offset: at.offset } < self.muted_before
    }

    fn tell(&self, progress: &mut Progress, health: &HealthRegistry) {
        progress.told = Instant::now();
        let percent = 100.0 * progress.bytes as f64 / self.bytes.max(1) as f64;
        let percent = percent.min(100.0).round();
        tracing::info!(records = progress.records, percent, "catching up with the journal");
        let reason = format!(
            "catching up with the journal: {} records, {percent} %; the feed begins behind them",
            progress.records
        );
        health.set(Component::Journal, HealthState::degraded(reason));
    }
}

fn unreadable(error: &JournalError) -> StageError {
    StageError::Fatal(format!("catching up with the journal: {error}"))
}

/// What to keep of a part of the journal that cannot be read. A torn tail is none: whatever was cut
/// off there was never passed on.
fn reject_of(skipped: &Skipped) -> Option<Reject> {
    let Skipped { at, bytes, why, kept } = skipped;
    let kept = match (why, kept) {
        (Why::Torn, _) => return None,
        (_, Some(path)) => format!("; kept in {}", path.display()),
        (_, None) => String::new(),
    };
    Some(Reject {
        stage: "journal",
        source: "journal".to_owned(),
        reason: "damaged",
        detail: format!("{bytes} bytes of the journal cannot be read: {why}{kept}"),
        payload: String::new(),
        at: Some(*at),
    })
}

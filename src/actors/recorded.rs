//! Recorded input in place of a feed session: a day played frame by frame, a journal, or an archive
//! of one.
//!
//! Puts the same bytes into Ingest that a socket would have brought, so a replay runs through the
//! same tree. Batches end where the set size is reached or, at a finite speed, where the next
//! frame is not due yet; nothing downstream depends on where that is.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ingest::wall_micros;
use super::limits::BATCH_BYTES;
use super::model_watch::built_in;
use super::supervision::{Edge, StageError};
use crate::journal::{Fault, JournalError, JournalReader};
use crate::kis::sim::{Feed, PlaybackFrames};
use crate::market::{EventTime, Reference, Symbol, TimeOfDay};
use crate::messages::{FetchedBars, FrameBatch, FrameKind, ModelRecord, Sample};
use crate::store::archive::ArchiveReader;

/// Which of the recorded frames are played, and how fast.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Recorded seconds played in one second; `None` for as fast as the tree takes them.
    pub speed: Option<f64>,
    /// Frames in one batch at most.
    pub batch: usize,
    /// Nothing from before this bound.
    pub from: Option<Span>,
    /// Nothing from this bound on.
    pub to: Option<Span>,
    /// Only these issues; empty for all.
    pub symbols: Vec<Symbol>,
}

/// A bound in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// A moment.
    At(EventTime),
    /// A time of day, on every day of the recording.
    Daily(TimeOfDay),
}

impl Span {
    /// Whether `at` lies at the bound or behind it.
    #[must_use]
    pub fn is_reached(self, at: EventTime) -> bool {
        match self {
            Self::At(moment) => at >= moment,
            Self::Daily(time) => at.time_of_day() >= time,
        }
    }
}

/// What a recording gave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Played {
    /// Frames passed on.
    pub frames: u64,
    /// Journal records that could not be read.
    pub faults: u64,
}

/// Sends batches and keeps the pace.
struct Sender<'a> {
    edge: &'a Edge<Arc<FrameBatch>>,
    pace: &'a Pace,
    batch: FrameBatch,
    began: Option<(Instant, EventTime)>,
    played: Played,
}

impl<'a> Sender<'a> {
    fn new(edge: &'a Edge<Arc<FrameBatch>>, pace: &'a Pace) -> Self {
        Self { edge, pace, batch: FrameBatch::new(), began: None, played: Played::default() }
    }

    fn wants(&self, at: EventTime) -> bool {
        self.pace.from.is_none_or(|from| from.is_reached(at))
            && !self.pace.to.is_some_and(|to| to.is_reached(at))
    }

    async fn push(
        &mut self,
        kind: FrameKind,
        at: EventTime,
        payload: &[u8],
    ) -> Result<(), StageError> {
        self.wait_until(at).await?;
        self.add(kind, payload).await
    }

    /// Adds a fact that is known before the recording begins: there is nothing to wait for.
    async fn add(&mut self, kind: FrameKind, payload: &[u8]) -> Result<(), StageError> {
        self.batch.push(kind, wall_micros(), payload);
        self.played.frames += 1;
        if self.batch.len() >= self.pace.batch.max(1) || self.batch.byte_len() >= BATCH_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    /// At a finite speed: sends what is gathered and waits until `at` is due.
    async fn wait_until(&mut self, at: EventTime) -> Result<(), StageError> {
        let Some(speed) = self.pace.speed else { return Ok(()) };
        let (began, first) = *self.began.get_or_insert((Instant::now(), at));
        let offset = at.micros_since(first).max(0) as f64 / 1e6 / speed;
        let due = began + Duration::from_secs_f64(offset);
        if due > Instant::now() {
            self.flush().await?;
            tokio::time::sleep_until(due).await;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), StageError> {
        if !self.batch.is_empty() {
            self.edge.send(Arc::new(std::mem::take(&mut self.batch))).await?;
        }
        Ok(())
    }
}

/// A reference as a journal record.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn reference_record(reference: &Reference) -> Result<Vec<u8>, StageError> {
    serde_json::to_vec(reference)
        .map_err(|error| StageError::Failed(format!("reference as JSON: {error}")))
}

/// Plays a simulated or recorded day, scored with the built-in model: what is played is the same on
/// every machine.
///
/// # Errors
/// When Ingest is gone.
pub async fn play_day(
    mut frames: PlaybackFrames,
    edge: &Edge<Arc<FrameBatch>>,
    pace: &Pace,
    stop: &CancellationToken,
) -> Result<Played, StageError> {
    let mut sender = Sender::new(edge, pace);
    let wants = |symbol: &Symbol| pace.symbols.is_empty() || pace.symbols.contains(symbol);
    let indices = frames.playback().index_codes();
    if let Some(switch) = built_in().map_err(StageError::Failed)? {
        let record = ModelRecord::payload(&switch)
            .map_err(|error| StageError::Failed(format!("the built-in model: {error}")))?;
        sender.add(FrameKind::Model, &record).await?;
    }
    for reference in frames.playback().references() {
        if wants(&reference.symbol) {
            let record = reference_record(&reference)?;
            sender.add(FrameKind::Reference, &record).await?;
        }
    }
    sender.add(FrameKind::Connection, b"1").await?;
    while let Some((info, bytes)) = frames.next() {
        if stop.is_cancelled() {
            break;
        }
        // The daemon learns of interruptions from the market operation feed.
        if info.feed == Feed::Vi {
            continue;
        }
        if sender.wants(info.at) && (wants(&info.symbol) || indices.contains(&info.symbol)) {
            sender.push(FrameKind::Data, info.at, bytes).await?;
        }
    }
    sender.flush().await?;
    Ok(sender.played)
}

/// Plays a journal. Pace and time filters go by the time of reception.
///
/// # Errors
/// When the folder cannot be listed, or Ingest is gone.
pub async fn play_journal(
    folder: &Path,
    edge: &Edge<Arc<FrameBatch>>,
    pace: &Pace,
    stop: &CancellationToken,
) -> Result<Played, StageError> {
    let failed = |error: JournalError| StageError::Failed(error.to_string());
    let mut reader = JournalReader::open(folder).map_err(failed)?;
    let mut sender = Sender::new(edge, pace);
    while let Some(item) = reader.next() {
        if stop.is_cancelled() {
            break;
        }
        match item {
            Ok(record) => {
                let at = EventTime::from_micros(record.received_us);
                if sender.wants(at) && wants_payload(&pace.symbols, record.kind, record.payload) {
                    sender.push(record.kind, at, record.payload).await?;
                }
            }
            Err(Fault::Io(error)) => return Err(failed(error)),
            Err(fault) => {
                sender.played.faults += 1;
                tracing::warn!(%fault, "a part of the journal cannot be read and is left out");
            }
        }
    }
    sender.flush().await?;
    Ok(sender.played)
}

/// Plays the frames of an archive, as [`play_journal`] those of the journal it was made of.
///
/// # Errors
/// When a file cannot be read or is not what its manifest says, or Ingest is gone.
pub async fn play_archive(
    mut archive: ArchiveReader,
    edge: &Edge<Arc<FrameBatch>>,
    pace: &Pace,
    stop: &CancellationToken,
) -> Result<Played, StageError> {
    let mut sender = Sender::new(edge, pace);
    sender.played.faults = archive.faults();
    if archive.faults() > 0 {
        let faults = archive.faults();
        tracing::warn!(faults, "parts of the journal could not be read when it was archived");
    }
    loop {
        let next = archive.next().await;
        let Some(frame) = next.map_err(|error| StageError::Failed(error.to_string()))? else {
            break;
        };
        if stop.is_cancelled() {
            break;
        }
        let at = EventTime::from_micros(frame.received_us);
        if sender.wants(at) && wants_payload(&pace.symbols, frame.kind, &frame.payload) {
            sender.push(frame.kind, at, &frame.payload).await?;
        }
    }
    sender.flush().await?;
    Ok(sender.played)
}

/// Whether a frame is about one of `symbols`. Facts that are about no issue, and indices, always
/// pass.
fn wants_payload(symbols: &[Symbol], kind: FrameKind, payload: &[u8]) -> bool {
    if symbols.is_empty() {
        return true;
    }
    match kind {
        FrameKind::Silence | FrameKind::Connection | FrameKind::Model => true,
        FrameKind::Reference => serde_json::from_slice::<Reference>(payload)
            .is_ok_and(|reference| symbols.contains(&reference.symbol)),
        FrameKind::Bars => serde_json::from_slice::<FetchedBars>(payload)
            .is_ok_and(|bars| symbols.contains(&bars.symbol)),
        FrameKind::Sample => serde_json::from_slice::<Sample>(payload)
            .is_ok_and(|sample| symbols.contains(&sample.symbol)),
        FrameKind::Data => {
            let code = payload
                .splitn(4, |byte| *byte == b'|')
                .nth(3)
                .and_then(|rest| rest.split(|byte| *byte == b'^').next())
                .and_then(Symbol::from_bytes);
            // An index has a sector code of four digits; what has no code is kept, so that it is
            // refused and kept as in the original run.
            code.is_none_or(|code| code.as_str().len() <= 4 || symbols.contains(&code))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_symbol_filter_looks_at_the_frame() {
        let only = ["005930".parse().unwrap()];
        let wants = |payload: &[u8]| wants_payload(&only, FrameKind::Data, payload);
        assert!(wants(b"0|H0STCNT0|001|005930^101530^"));
        assert!(!wants(b"0|H0STCNT0|001|000660^101530^"));
        assert!(wants(b"0|H0UPCNT0|001|0001^101530^"));
        assert!(wants(b"garbage"));
    }
}

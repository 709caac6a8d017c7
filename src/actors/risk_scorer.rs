//! RiskScorer: ticks into scores and detections.
//!
//! A thin shell around [`RiskEngine`]: feeds it the entries of a batch in their order, publishes
//! the changed rows to the board, sends what came out to Alert and the minute rows to the
//! Recorder, and tells the advisers when it is time.
//!
//! **Gets** [`TickBatch`] from the Normalizer. **Slow:** the Normalizer waits. **Dies:** the entry
//! in work is skipped and kept; the engine comes back from its last snapshot and the batches
//! since. An entry at or before the last journal position seen is a repetition and is left out.

use std::sync::Arc;

use super::supervision::{Cursor, Edge, Envelope, Stage, StageError};
use crate::market::{BatchSequence, EventTime, Mark, RecordRef, TickBatch};
use crate::messages::advice_request::AdviceTick;
use crate::messages::{Reject, RiskBoard, ScoreBatch, StoreBatch};
use crate::risk::{RiskEngine, RiskParams};

impl Envelope for TickBatch {
    fn records(&self) -> usize {
        self.len()
    }

    fn poison(&self, index: usize, stage: &'static str, why: &str) -> Reject {
        let (entry, at) = self.sequence[index];
        let payload = match entry {
            BatchSequence::Trade(row) => format!("{:?}", self.trades.row(row as usize)),
            BatchSequence::Quote(row) => format!("{:?}", self.quotes.row(row as usize)),
            BatchSequence::Index(row) => format!("{:?}", self.indices.row(row as usize)),
            BatchSequence::Mark(row) => format!("{:?}", self.marks[row as usize]),
        };
        let source = "journal".to_owned();
        Reject { stage, source, reason: "poison", detail: why.to_owned(), payload, at: Some(at) }
    }
}

/// Times from the reception of a batch to its scores, microseconds.
pub type BatchLatency = Arc<parking_lot::Mutex<hdrhistogram::Histogram<u64>>>;

/// What the RiskScorer is made of.
#[derive(Debug, Clone)]
pub struct RiskScorerParts {
    /// Thresholds and time constants.
    pub params: RiskParams,
    /// Where the latest scores are shown; knows the issues' codes.
    pub board: RiskBoard,
    /// To Alert.
    pub alert: Edge<Arc<ScoreBatch>>,
    /// To the Recorder; `None` where nothing is stored.
    pub recorder: Option<Edge<Arc<StoreBatch>>>,
    /// To the Recommender, with the event time between two ticks in microseconds; `None` where
    /// nobody advises.
    pub advice: Option<(Edge<Arc<AdviceTick>>, i64)>,
    /// Where the time from a batch's reception to its scores is noted.
    pub batch_latency: Option<BatchLatency>,
}

/// State that outlives the actor.
#[derive(Debug, Clone)]
pub struct ScorerState {
    engine: RiskEngine,
    last: RecordRef,
    latest: EventTime,
    advice_slot: i64,
}

/// The actor's state.
pub struct RiskScorer {
    parts: RiskScorerParts,
    state: ScorerState,
    out: ScoreBatch,
    advice_due: bool,
}

impl RiskScorer {
    /// A RiskScorer that has seen nothing.
    #[must_use]
    pub fn new(parts: RiskScorerParts) -> Self {
        let state = ScorerState {
            engine: RiskEngine::new(parts.params.clone()),
            last: RecordRef::default(),
            latest: EventTime::default(),
            advice_slot: 0,
        };
        Self { parts, state, out: ScoreBatch::default(), advice_due: false }
    }

    fn note_time(&mut self, batch: &TickBatch, entry: BatchSequence) {
        let time = match entry {
            BatchSequence::Trade(row) => batch.trades.time[row as usize],
            BatchSequence::Index(row) => batch.indices.time[row as usize],
            BatchSequence::Quote(_) | BatchSequence::Mark(_) => return,
        };
        self.state.latest = self.state.latest.max(time);
        if let Some((_, every)) = self.parts.advice {
            let slot = self.state.latest.micros().div_euclid(every.max(1));
            if slot != self.state.advice_slot {
                self.advice_due |= self.state.advice_slot != 0;
                self.state.advice_slot = slot;
            }
        }
    }
}

/// Two entries can share a position: a gap stands where the trade after it does.
fn is_repetition(last: RecordRef, at: RecordRef) -> bool {
    at < last
}

impl Stage for RiskScorer {
    type In = TickBatch;
    type Snapshot = ScorerState;
    const NAME: &'static str = "risk_scorer";

    fn handle(&mut self, batch: &Arc<TickBatch>, cursor: &Cursor) -> Result<(), StageError> {
        if batch.sequence.last().is_none_or(|(_, at)| is_repetition(self.state.last, *at)) {
            return Ok(());
        }
        if self.out.received_us == 0 {
            self.out.received_us = batch.received_us;
        }
        for index in 0..batch.len() {
            if !cursor.enter(index) {
                continue;
            }
            let (entry, at) = batch.sequence[index];
            self.state.engine.apply(batch, index, &self.parts.board.directory, &mut self.out);
            self.note_time(batch, entry);
            self.state.last = at;
            if let BatchSequence::Mark(row) = entry
                && matches!(batch.marks[row as usize], Mark::Reference(..))
            {
                cursor.beat();
            }
        }
        Ok(())
    }

    async fn flush(&mut self, _idle: bool) -> Result<(), StageError> {
        self.parts.board.update(self.state.engine.changed_rows());
        let mut out = std::mem::take(&mut self.out);
        if let Some(latency) = &self.parts.batch_latency
            && out.received_us > 0
        {
            let micros = super::ingest::wall_micros() - out.received_us;
            latency.lock().saturating_record(micros.max(0).unsigned_abs());
        }
        if let Some(recorder) = &self.parts.recorder
            && !out.minutes.is_empty()
        {
            let minutes = std::mem::take(&mut out.minutes);
            recorder.send(Arc::new(StoreBatch::Scores(minutes))).await?;
        }
        if !out.detections.is_empty() || !out.points.is_empty() {
            self.parts.alert.send(Arc::new(out)).await?;
        }
        if std::mem::take(&mut self.advice_due)
            && let Some((edge, _)) = &self.parts.advice
        {
            let tick = AdviceTick { as_of: self.state.latest, rows: self.parts.board.rows() };
            edge.send(Arc::new(tick)).await?;
        }
        Ok(())
    }

    fn discard(&mut self) {
        self.out.clear();
        self.advice_due = false;
    }

    fn snapshot(&self) -> ScorerState {
        self.state.clone()
    }

    fn restore(&mut self, snapshot: &ScorerState) {
        self.state = snapshot.clone();
        self.parts.board.update(self.state.engine.rows());
    }

    /// The unfinished minutes are stored as they stand; a later run replaces them.
    fn stopping(&mut self) -> Result<(), StageError> {
        self.state.engine.finish(&mut self.out);
        Ok(())
    }
}

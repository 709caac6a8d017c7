//! RiskScorer: ticks into scores and detections.
//!
//! A thin shell around [`RiskEngine`]: feeds it the entries of a batch in their order, publishes
//! the changed rows to the board, sends what came out to Alert and the minute rows to the
//! Recorder, and tells the advisers when it is time.
//!
//! **Gets** [`TickBatch`] from the Normalizer. **Slow:** the Normalizer waits. **Dies:** the entry
//! in work is skipped and kept; the engine comes back from its last snapshot and the batches
//! since. A batch that ends at or before the last journal position seen is a repetition and is left
//! out.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::states::frozen;
use super::supervision::{Cursor, Edge, Envelope, Stage, StageError};
use crate::market::{BatchSequence, EventTime, Mark, RecordRef, TickBatch};
use crate::messages::advice_request::AdviceTick;
use crate::messages::checkpoint::Part;
use crate::messages::{
    Checkpoints, Forecasts, LiveModel, ModelBoard, Reject, RiskBoard, ScoreBatch, StoreBatch,
};
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
    /// Where it says which model the scores are made with.
    pub models: ModelBoard,
    /// Where it hands in its state.
    pub checkpoints: Checkpoints,
}

/// State that outlives the actor.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
    /// The last batch only brought back the state.
    muted: bool,
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
        Self { parts, state, out: ScoreBatch::default(), advice_due: false, muted: false }
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

impl RiskScorer {
    fn show_model(&self) {
        let live = self.state.engine.model();
        let live = live.map(|model| LiveModel { id: model.id, origin: model.origin });
        self.parts.models.set_live(live);
        self.parts.board.set_model(self.state.engine.model().cloned());
    }

    async fn pass_on(&self, out: ScoreBatch) -> Result<(), StageError> {
        let is_news = !out.detections.is_empty() || !out.points.is_empty();
        if is_news || out.checkpoint.is_some() {
            self.parts.alert.send(Arc::new(out)).await?;
        }
        Ok(())
    }
}

/// Whether a batch was handled before: frames come in the journal's order and are not split
/// between batches, so the last frame of a new batch is behind that of every earlier one.
fn is_repetition(last: RecordRef, upto: RecordRef) -> bool {
    upto != RecordRef::default() && upto <= last
}

impl Stage for RiskScorer {
    type In = TickBatch;
    type Snapshot = ScorerState;
    const NAME: &'static str = "risk_scorer";

    fn handle(&mut self, batch: &Arc<TickBatch>, cursor: &Cursor) -> Result<(), StageError> {
        self.out.checkpoint = batch.checkpoint;
        self.out.muted = batch.muted;
        self.muted = batch.muted;
        if is_repetition(self.state.last, batch.upto) {
            return Ok(());
        }
        if self.out.received_us == 0 {
            self.out.received_us = batch.received_us;
        }
        for index in 0..batch.len() {
            if !cursor.enter(index) {
                continue;
            }
            let (entry, _) = batch.sequence[index];
            self.state.engine.apply(batch, index, &self.parts.board.directory, &mut self.out);
            self.note_time(batch, entry);
            match entry {
                BatchSequence::Mark(row) => match batch.marks[row as usize] {
                    Mark::Reference(..) => cursor.beat(),
                    Mark::Model(..) => self.show_model(),
                    _ => {}
                },
                BatchSequence::Index(row) => {
                    let tick = batch.indices.row(row as usize);
                    let board = &self.parts.board;
                    board.indices.note(board.directory.symbol(tick.symbol).as_str(), &tick);
                }
                _ => {}
            }
        }
        self.state.last = self.state.last.max(batch.upto);
        Ok(())
    }

    async fn flush(&mut self, _idle: bool) -> Result<(), StageError> {
        self.parts.board.update(self.state.engine.changed_rows());
        self.parts.board.set_standing_still(self.state.engine.standing_still());
        if let Some((made, issues)) = self.state.engine.new_forecasts() {
            self.parts.models.set_forecasts(Forecasts { made, issues });
        }
        let mut out = std::mem::take(&mut self.out);
        let checkpoint = out.checkpoint;
        if out.muted {
            self.advice_due = false;
            return self.pass_on(out).await;
        }
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
        self.pass_on(out).await?;
        if std::mem::take(&mut self.advice_due)
            && let Some((edge, _)) = &self.parts.advice
        {
            let tick = AdviceTick {
                as_of: self.state.latest,
                rows: self.parts.board.rows(),
                indices: self.parts.board.indices.clone(),
                model: self.state.engine.model().cloned(),
            };
            edge.send(Arc::new(tick)).await?;
        }
        if let Some(number) = checkpoint {
            let state = frozen(Part::Scorer, self.state.clone());
            self.parts.checkpoints.arrived(number, Part::Scorer, state);
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
        // A state that comes from a file has no settings in it.
        let engine = snapshot.engine.clone().under(self.parts.params.clone());
        self.state = ScorerState { engine, ..snapshot.clone() };
        self.parts.board.update(self.state.engine.rows());
        self.show_model();
    }

    /// The unfinished minutes are stored as they stand; a later run replaces them.
    fn stopping(&mut self) -> Result<(), StageError> {
        if !self.muted {
            self.state.engine.finish(&mut self.out);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::supervision::{Inbox, Policy};
    use super::*;
    use crate::market::{Directory, Quote, SessionDay, SymbolId, TimeOfDay, Trade};

    fn at(offset: u32) -> RecordRef {
        RecordRef { segment: 1, offset, record: 0 }
    }

    fn time(second: u32) -> EventTime {
        let day = SessionDay::from_yyyymmdd(20_240_805).unwrap();
        EventTime::from_kst(day, TimeOfDay::from_seconds(32_400 + second).unwrap())
    }

    fn trade(second: u32, upto: u32) -> TickBatch {
        let mut batch = TickBatch { upto: at(upto), ..TickBatch::default() };
        let trade = Trade {
            symbol: SymbolId(0),
            time: time(second),
            price: 70_000,
            quantity: 1,
            cum_volume: i64::from(second) + 1,
            ..Trade::default()
        };
        batch.push_trade(trade, at(upto));
        batch
    }

    fn scorer() -> RiskScorer {
        let directory = Directory::new();
        directory.intern("005930".parse().unwrap());
        RiskScorer::new(RiskScorerParts {
            params: RiskParams::default(),
            board: RiskBoard::new(directory),
            alert: Inbox::new("alert", 8, Policy::Block).edge("test"),
            recorder: None,
            advice: None,
            batch_latency: None,
            models: ModelBoard::default(),
            checkpoints: Checkpoints::none(),
        })
    }

    #[test]
    fn the_same_batch_twice_is_handled_once() {
        let mut scorer = scorer();
        let cursor = Cursor::default();
        scorer.handle(&Arc::new(trade(0, 100)), &cursor).unwrap();
        let once = format!("{:?}", scorer.state);
        scorer.handle(&Arc::new(trade(0, 100)), &cursor).unwrap();
        assert_eq!(format!("{:?}", scorer.state), once);
        scorer.handle(&Arc::new(trade(5, 200)), &cursor).unwrap();
        assert_eq!(scorer.out.points.len(), 2);
    }

    #[test]
    fn quotes_that_waited_for_their_day_are_no_repetition() {
        let mut scorer = scorer();
        let cursor = Cursor::default();
        scorer.handle(&Arc::new(trade(0, 300)), &cursor).unwrap();
        let before = format!("{:?}", scorer.state.engine);
        // Held since before the batch above, released by a later frame that gave no entry itself.
        let mut held = TickBatch { upto: at(400), ..TickBatch::default() };
        let quote =
            Quote { time: time(1), ask: 70_100, bid: 70_000, phase: b'0', ..Quote::default() };
        held.push_quote(quote, at(200));
        scorer.handle(&Arc::new(held), &cursor).unwrap();
        assert_ne!(format!("{:?}", scorer.state.engine), before, "the quote was left out");
    }
}

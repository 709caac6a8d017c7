//! Normalizer: journaled frames into typed ticks.
//!
//! Owns the continuity of every issue: a repeated trade ends here, a gap becomes a mark in the
//! stream, told to the share. What cannot be parsed goes to the Recorder as a reject with its
//! journal position, and the stream goes on.
//!
//! **Gets** [`JournaledBatch`] from Ingest. **Sends** a [`TickBatch`] to the RiskScorer and, when
//! there is something to keep, to the Recorder. **State:** continuity, the session day, the
//! directory's cache. **Dies:** the frame in work is skipped and kept; the state comes back from
//! the last snapshot and the batches since.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::reject::of_frame;
use super::supervision::{Cursor, Edge, Envelope, Stage, StageError};
use crate::kis::frame::{FieldError, FrameParser, Records, Tr};
use crate::market::continuity::{Continuity, Verdict};
use crate::market::{
    Directory, EventTime, Mark, RecordRef, Reference, SessionDay, Symbol, SymbolId, TickBatch,
    Trade, TradeFlags,
};
use crate::messages::{Frame, FrameKind, JournaledBatch, Reject, StoreBatch};
use crate::telemetry::hot::FeedCounters;

impl Envelope for JournaledBatch {
    fn records(&self) -> usize {
        self.frames.len()
    }

    fn poison(&self, index: usize, stage: &'static str, why: &str) -> Reject {
        let at = self.positions.get(index).copied();
        of_frame(stage, "poison", why, self.frames.frame(index), at)
    }
}

/// What the Normalizer is made of.
#[derive(Debug, Clone)]
pub struct NormalizerParts {
    /// Issues and what is known about them.
    pub directory: Directory,
    /// To the RiskScorer.
    pub scorer: Edge<Arc<TickBatch>>,
    /// To the Recorder; `None` where nothing is stored.
    pub recorder: Option<Edge<Arc<StoreBatch>>>,
}

/// State that outlives the actor.
#[derive(Debug, Clone, Default)]
pub struct NormalizerState {
    continuity: Continuity,
    day: Option<SessionDay>,
    latest: EventTime,
    was_connected: bool,
}

/// The actor's state.
pub struct Normalizer {
    parts: NormalizerParts,
    state: NormalizerState,
    parser: FrameParser,
    ids: FxHashMap<u64, SymbolId>,
    out: TickBatch,
    rejects: Vec<Reject>,
    counters: FeedCounters,
}

impl Normalizer {
    /// A Normalizer that has seen nothing.
    #[must_use]
    pub fn new(parts: NormalizerParts) -> Self {
        Self {
            parts,
            state: NormalizerState::default(),
            parser: FrameParser::new(),
            ids: FxHashMap::default(),
            out: TickBatch::default(),
            rejects: Vec::new(),
            counters: FeedCounters::new(),
        }
    }

    fn take_in(&mut self, frame: Frame<'_>, at: RecordRef) {
        if self.out.received_us == 0 {
            self.out.received_us = frame.received_us;
        }
        let problem = match frame.kind {
            FrameKind::Data => self.data(frame, at),
            FrameKind::Reference => self.reference(frame, at),
            FrameKind::Silence => self.silence(frame, at),
            FrameKind::Connection => self.connection(frame, at),
        };
        if let Err((reason, detail)) = problem {
            self.counters.reject(reason);
            self.rejects.push(of_frame("normalizer", reason, &detail, frame, Some(at)));
        }
    }

    fn data(&mut self, frame: Frame<'_>, at: RecordRef) -> Result<(), Problem> {
        super::faults::trip(frame.payload);
        let records = self.parser.split(frame.payload).map_err(|e| (e.reason(), e.to_string()))?;
        self.counters.frame(records.tr());
        let day = self.state.day.unwrap_or_else(|| {
            // Quotes and index ticks carry no date. Before the first trade has told the session
            // day it is the day of reception, which is journaled too.
            EventTime::from_micros(frame.received_us).session_day()
        });
        let mut problem = Ok(());
        for index in 0..records.len() {
            let at = RecordRef { record: index as u16, ..at };
            let done = match records.tr() {
                Tr::Trade => trade(
                    &records,
                    index,
                    at,
                    &mut self.state,
                    &mut self.ids,
                    &self.parts.directory,
                    &mut self.out,
                    &self.counters,
                ),
                Tr::Book => {
                    let id = intern(&mut self.ids, &self.parts.directory, &records, index);
                    id.and_then(|id| records.quote(index, id, day)).map(|quote| {
                        self.counters.quote();
                        self.out.push_quote(quote, at);
                    })
                }
                Tr::Index => {
                    let id = intern(&mut self.ids, &self.parts.directory, &records, index);
                    id.and_then(|id| records.index(index, id, day)).map(|tick| {
                        self.counters.index();
                        self.state.latest = self.state.latest.max(tick.time);
                        self.out.push_index(tick, at);
                    })
                }
                Tr::Operation => {
                    let id = intern(&mut self.ids, &self.parts.directory, &records, index);
                    id.and_then(|id| records.operation(index, id, self.state.latest))
                        .map(|mark| self.out.push_mark(mark, at))
                }
            };
            // One row a bad frame: the first bad record names it, the good ones are used.
            if let (Err(error), Ok(())) = (done, &problem) {
                problem = Err((error.reason(), format!("record {index}: {error}")));
            }
        }
        problem
    }

    fn reference(&mut self, frame: Frame<'_>, at: RecordRef) -> Result<(), Problem> {
        let reference: Reference = serde_json::from_slice(frame.payload)
            .map_err(|error| ("bad_reference", format!("reference record: {error}")))?;
        let shared = Arc::new(reference.clone());
        let id = self.parts.directory.update(reference);
        self.out.push_mark(Mark::Reference(id, shared), at);
        Ok(())
    }

    fn silence(&mut self, frame: Frame<'_>, at: RecordRef) -> Result<(), Problem> {
        let bytes: [u8; 8] = frame.payload.try_into().map_err(|_| {
            ("bad_silence", format!("silence record: {} bytes, expected 8", frame.payload.len()))
        })?;
        let silence_us = i64::from_le_bytes(bytes);
        let time = self.state.latest.plus_micros(silence_us);
        self.out.push_mark(Mark::Silence { time, silence_us }, at);
        Ok(())
    }

    fn connection(&mut self, frame: Frame<'_>, at: RecordRef) -> Result<(), Problem> {
        let up = frame.payload.first() == Some(&1);
        if up && self.state.was_connected {
            self.state.continuity.reconnected();
        }
        self.state.was_connected |= up;
        self.out.push_mark(Mark::Connection { up }, at);
        Ok(())
    }
}

type Problem = (&'static str, String);

fn intern(
    ids: &mut FxHashMap<u64, SymbolId>,
    directory: &Directory,
    records: &Records<'_>,
    index: usize,
) -> Result<SymbolId, FieldError> {
    let symbol: Symbol = records.symbol(index)?;
    if let Some(id) = ids.get(&symbol.word()) {
        return Ok(*id);
    }
    let id = directory.intern(symbol);
    ids.insert(symbol.word(), id);
    Ok(id)
}

#[allow(clippy::too_many_arguments, reason = "the parser's buffers stay borrowed by `records`")]
fn trade(
    records: &Records<'_>,
    index: usize,
    at: RecordRef,
    state: &mut NormalizerState,
    ids: &mut FxHashMap<u64, SymbolId>,
    directory: &Directory,
    out: &mut TickBatch,
    counters: &FeedCounters,
) -> Result<(), FieldError> {
    let id = intern(ids, directory, records, index)?;
    let mut trade: Trade = records.trade(index, id)?;
    if trade.flags.has(TradeFlags::EXPECTED) {
        return Ok(());
    }
    match state.continuity.observe(id, trade.time, trade.quantity, trade.cum_volume) {
        Verdict::Next => {}
        Verdict::Duplicate => {
            counters.duplicate();
            return Ok(());
        }
        Verdict::Late => trade.flags.0 |= TradeFlags::LATE,
        Verdict::Gap { from, missing_volume, cause } => {
            trade.flags.0 |= TradeFlags::AFTER_GAP;
            let (to, cum_volume) = (trade.time, trade.cum_volume);
            let gap = Mark::Gap { symbol: id, from, to, missing_volume, cum_volume, cause };
            out.push_mark(gap, at);
        }
    }
    state.day = Some(trade.time.session_day());
    state.latest = state.latest.max(trade.time);
    counters.trade();
    out.push_trade(trade, at);
    Ok(())
}

impl Stage for Normalizer {
    type In = JournaledBatch;
    type Snapshot = NormalizerState;
    const NAME: &'static str = "normalizer";

    fn handle(&mut self, message: &JournaledBatch, cursor: &Cursor) -> Result<(), StageError> {
        for (index, at) in message.positions.iter().enumerate() {
            if cursor.enter(index) {
                self.take_in(message.frames.frame(index), *at);
            }
        }
        Ok(())
    }

    async fn flush(&mut self, _idle: bool) -> Result<(), StageError> {
        if let Some(recorder) = &self.parts.recorder
            && !self.rejects.is_empty()
        {
            let rejects = std::mem::take(&mut self.rejects);
            recorder.send(Arc::new(StoreBatch::Rejects(rejects))).await?;
        }
        self.rejects.clear();
        if self.out.is_empty() {
            self.out.clear();
            return Ok(());
        }
        self.counters.publish();
        let batch = Arc::new(std::mem::take(&mut self.out));
        if let Some(recorder) = &self.parts.recorder
            && !batch.trades.is_empty()
        {
            recorder.send(Arc::new(StoreBatch::Ticks(Arc::clone(&batch)))).await?;
        }
        self.parts.scorer.send(batch).await?;
        Ok(())
    }

    fn discard(&mut self) {
        self.out.clear();
        self.rejects.clear();
    }

    fn snapshot(&self) -> NormalizerState {
        self.state.clone()
    }

    fn restore(&mut self, snapshot: &NormalizerState) {
        self.state = snapshot.clone();
    }
}

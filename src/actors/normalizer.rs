//! Normalizer: journaled frames into typed ticks.
//!
//! Owns the continuity of every issue: a repeated trade ends here, a gap becomes a mark in the
//! stream, told to the share, and its minutes are asked for by REST. What cannot be parsed goes to the Recorder as a reject with its
//! journal position, and the stream goes on.
//!
//! **Gets** [`JournaledBatch`] from Ingest. **Sends** a [`TickBatch`] to the RiskScorer and, when
//! there is something to keep, to the Recorder. **State:** continuity, the session day, the
//! directory's cache. **Dies:** the frame in work is skipped and kept; the state comes back from
//! the last snapshot and the batches since.

mod counters;
mod facts;

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use self::counters::FeedCounters;
use super::limits::MAX_ISSUES;
use super::reject::of_frame;
use super::states::{NormalizerKept, frozen};
use super::supervision::{Cursor, Edge, Envelope, Stage, StageError};
use crate::kis::frame::{
    FieldError, FrameError, FrameParser, Records, Tr, decode_index, decode_interruption,
    decode_operation, decode_quote, decode_trade,
};
use crate::market::continuity::{Continuity, Verdict};
use crate::market::{
    Directory, EventTime, IndexTick, Mark, Quote, RecordRef, Reference, SessionDay, Symbol,
    SymbolId, TickBatch, TimeOfDay, Trade, TradeFlags, rules,
};
use crate::messages::checkpoint::Part;
use crate::messages::{
    Checkpoints, FetchedBars, Frame, FrameKind, JournaledBatch, Reject, Repair, Repairs, StoreBatch,
};
use crate::telemetry::hot;

impl Envelope for JournaledBatch {
    fn records(&self) -> usize {
        self.frames.len()
    }

    fn bytes(&self) -> usize {
        self.frames.byte_len()
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
    /// Where minutes with missing trades are asked for; `None` where nobody can be asked.
    pub repairs: Option<Repairs>,
    /// Where it hands in its state.
    pub checkpoints: Checkpoints,
}

/// State that outlives the actor.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct NormalizerState {
    continuity: Continuity,
    /// Session day of the trades.
    day: Option<SessionDay>,
    latest: EventTime,
    /// Frames without a date that wait for a trade to tell the day.
    held: Vec<(Vec<u8>, RecordRef)>,
    /// More came than are held; that was told.
    held_overflow: bool,
}

/// Frames held at most: an opening minute of index prints and books of forty issues.
const MAX_HELD: usize = 4_096;
/// A time of day earlier than the latest one by more than this is of another session.
const ANOTHER_SESSION_S: u32 = 3_600;

/// The actor's state.
pub struct Normalizer {
    parts: NormalizerParts,
    state: NormalizerState,
    parser: FrameParser,
    ids: FxHashMap<u64, SymbolId>,
    out: TickBatch,
    bars: Vec<FetchedBars>,
    repairs: Vec<Repair>,
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
            bars: Vec::new(),
            repairs: Vec::new(),
            rejects: Vec::new(),
            counters: FeedCounters::default(),
        }
    }

    fn take_in(&mut self, frame: Frame<'_>, at: RecordRef) {
        if self.out.received_us == 0 {
            self.out.received_us = frame.received_us;
        }
        self.out.upto = at;
        let problem = match frame.kind {
            FrameKind::Data => self.data(frame, at),
            FrameKind::Reference => self.reference(frame, at),
            FrameKind::Silence => self.silence(frame, at),
            FrameKind::Connection => self.coverage(frame, at),
            FrameKind::Bars => self.bars(frame),
            FrameKind::Sample => self.sample(frame, at),
            FrameKind::Model => self.model(frame, at),
        };
        if let Err((reason, detail)) = problem {
            self.rejects.push(of_frame(Self::NAME, reason, &detail, frame, Some(at)));
        }
    }

    fn data(&mut self, frame: Frame<'_>, at: RecordRef) -> Result<(), Problem> {
        super::faults::trip(frame.payload);
        let Self { parts, state, parser, ids, out, rejects, counters, repairs, .. } = self;
        let directory = &parts.directory;
        let records = parser.split(frame.payload).map_err(problem)?;
        counters.frames[records.tr() as usize] += 1;
        match records.tr() {
            Tr::Trade => {
                if !state.held.is_empty()
                    && let Ok(first) = decode_trade(&records, 0, SymbolId(0))
                {
                    release(state, first.time.session_day(), directory, out, counters, rejects);
                }
                each(&records, |index| {
                    let symbol: Symbol = records.symbol(index)?;
                    // Decoded first: a code from a row that is no trade is not remembered for ever.
                    let mut trade = decode_trade(&records, index, SymbolId(0))?;
                    trade.symbol = match ids.get(&symbol.word()) {
                        Some(id) => *id,
                        None => *ids.entry(symbol.word()).or_insert(intern(directory, symbol)?),
                    };
                    let at = RecordRef { record: index as u16, ..at };
                    let missed = state.take_in(trade, at, out, counters);
                    repairs.extend(missed.map(|from| Repair {
                        symbol,
                        from,
                        to: trade.time,
                        tries: 0,
                    }));
                    Ok(())
                })
            }
            Tr::Quote | Tr::Index => match day_of(state, &records) {
                Some(day) => undated(&records, at, day, state, directory, out, counters),
                None if state.held.len() < MAX_HELD => {
                    state.held.push((frame.payload.to_vec(), at));
                    Ok(())
                }
                // Told once: before the opening, books come by the thousand.
                None if std::mem::replace(&mut state.held_overflow, true) => {
                    counters.unheld += 1;
                    Ok(())
                }
                None => Err((
                    "no_session_day",
                    format!(
                        "{MAX_HELD} frames wait for the first trade of the session to tell the \
                         day, no more are held; this one and all that follow until then are left \
                         out and stay in the journal"
                    ),
                )),
            },
            Tr::Operation => each(&records, |index| {
                let id = intern(directory, records.symbol(index)?)?;
                let mark = decode_operation(&records, index, id, state.latest)?;
                out.push_mark(mark, RecordRef { record: index as u16, ..at });
                Ok(())
            }),
            Tr::Interruption => each(&records, |index| {
                let id = intern(directory, records.symbol(index)?)?;
                if let Some(mark) = decode_interruption(&records, index, id)? {
                    out.push_mark(mark, RecordRef { record: index as u16, ..at });
                }
                Ok(())
            }),
            // Kept in the journal; the account's orders themselves are asked for by REST.
            Tr::Notice | Tr::PaperNotice => {
                counters.notices += records.count();
                Ok(())
            }
        }
    }
}

impl Normalizer {
    async fn record(&self, batch: StoreBatch) -> Result<(), StageError> {
        match &self.parts.recorder {
            Some(recorder) => Ok(recorder.send(Arc::new(batch)).await?),
            None => Ok(()),
        }
    }

    /// Passes on what brings back the state of the stages behind; everything else was had before.
    async fn flush_muted(&mut self) -> Result<(), StageError> {
        let batch = std::mem::take(&mut self.out);
        self.discard();
        if !batch.is_empty() {
            self.parts.scorer.send(Arc::new(batch)).await?;
        }
        Ok(())
    }

    fn ask_for_minutes(&mut self) {
        if let Some(asked) = &self.parts.repairs {
            asked.advance(self.state.latest);
            for repair in self.repairs.drain(..) {
                asked.ask(repair, Instant::now(), Duration::ZERO);
            }
        }
        self.repairs.clear();
    }

    fn hand_in(&self, number: u64) {
        let parts = &self.parts;
        let all = parts.directory.all();
        let state = self.state.clone();
        let repairs = parts.repairs.as_ref().map(Repairs::unsettled).unwrap_or_default();
        let references = all.iter().map(|reference| Reference::clone(reference)).collect();
        let kept = NormalizerKept { state, references, repairs };
        parts.checkpoints.arrived(number, Part::Normalizer, frozen(Part::Normalizer, kept));
    }
}

type Problem = (&'static str, String);

impl From<FieldError> for RowError {
    fn from(error: FieldError) -> Self {
        Self(error.reason(), error.to_string())
    }
}

/// Why one record of a frame is refused.
struct RowError(&'static str, String);

/// The id of an issue, which may be a new one up to the limit.
fn intern(directory: &Directory, symbol: Symbol) -> Result<SymbolId, RowError> {
    if let Some(id) = directory.find(symbol) {
        return Ok(id);
    }
    if directory.len() >= MAX_ISSUES {
        return Err(RowError(
            "too_many_issues",
            format!("{symbol} would be one more than the {MAX_ISSUES} issues that may be known"),
        ));
    }
    Ok(directory.intern(symbol))
}

fn problem(error: FrameError) -> Problem {
    (error.reason(), error.to_string())
}

/// Calls `take` for every record. One row a bad frame: the first bad record names it, the good
/// ones are used.
fn each(
    records: &Records<'_>,
    mut take: impl FnMut(usize) -> Result<(), RowError>,
) -> Result<(), Problem> {
    let mut first = Ok(());
    for index in 0..records.count() {
        if let (Err(error), Ok(())) = (take(index), &first) {
            first = Err((error.0, format!("record {index}: {}", error.1)));
        }
    }
    first
}

/// The session day of a frame that carries a time but no date: that of the trades, unless its time
/// says that another session has begun, of which no trade has come yet.
fn day_of(state: &NormalizerState, records: &Records<'_>) -> Option<SessionDay> {
    let day = state.day?;
    // The second field of both feeds is the time. One that cannot be read is the decoder's to name.
    let time = std::str::from_utf8(records.field(0, 1)).ok()?.parse::<TimeOfDay>();
    let latest = state.latest.time_of_day().seconds();
    time.map_or(Some(day), |time| (latest <= time.seconds() + ANOTHER_SESSION_S).then_some(day))
}

/// Quotes and index prints of `day`.
fn undated(
    records: &Records<'_>,
    at: RecordRef,
    day: SessionDay,
    state: &mut NormalizerState,
    directory: &Directory,
    out: &mut TickBatch,
    counters: &mut FeedCounters,
) -> Result<(), Problem> {
    each(records, |index| {
        let symbol: Symbol = records.symbol(index)?;
        let at = RecordRef { record: index as u16, ..at };
        if records.tr() == Tr::Quote {
            let quote = decode_quote(records, index, SymbolId(0), day)?;
            out.push_quote(Quote { symbol: intern(directory, symbol)?, ..quote }, at);
            counters.quotes += 1;
        } else {
            let tick = decode_index(records, index, SymbolId(0), day)?;
            let tick = IndexTick { symbol: intern(directory, symbol)?, ..tick };
            state.latest = state.latest.max(tick.time);
            out.push_index(tick, at);
            counters.indices += 1;
        }
        Ok(())
    })
}

/// The day is known: what waited for it goes on, before the trade that told it.
fn release(
    state: &mut NormalizerState,
    day: SessionDay,
    directory: &Directory,
    out: &mut TickBatch,
    counters: &mut FeedCounters,
    rejects: &mut Vec<Reject>,
) {
    state.day = Some(day);
    state.held_overflow = false;
    let mut parser = FrameParser::new();
    for (payload, at) in std::mem::take(&mut state.held) {
        // Only frames that could be split are held.
        let Ok(records) = parser.split(&payload) else { continue };
        if let Err((reason, detail)) = undated(&records, at, day, state, directory, out, counters) {
            let frame = Frame { kind: FrameKind::Data, received_us: 0, payload: &payload };
            rejects.push(of_frame(Normalizer::NAME, reason, &detail, frame, Some(at)));
        }
    }
}

impl NormalizerState {
    /// Takes in a trade. When trades are missing before it: since when.
    fn take_in(
        &mut self,
        trade: Trade,
        at: RecordRef,
        out: &mut TickBatch,
        counters: &mut FeedCounters,
    ) -> Option<EventTime> {
        if trade.flags.has(TradeFlags::EXPECTED) {
            return None;
        }
        let mut trade = trade;
        let mut missed = None;
        let verdict =
            self.continuity.observe(trade.symbol, trade.time, trade.quantity, trade.cum_volume);
        match verdict {
            Verdict::Next => {}
            Verdict::LateStart => {
                missed = Some(EventTime::from_kst(trade.time.session_day(), rules::OPEN));
            }
            Verdict::Duplicate => {
                counters.duplicates += 1;
                return None;
            }
            Verdict::Late => trade.flags.0 |= TradeFlags::LATE,
            Verdict::Gap { from, missing_volume, cause } => {
                trade.flags.0 |= TradeFlags::AFTER_GAP;
                let (symbol, to, cum_volume) = (trade.symbol, trade.time, trade.cum_volume);
                let gap = Mark::Gap { symbol, from, to, missing_volume, cum_volume, cause };
                out.push_mark(gap, at);
                missed = Some(from);
            }
        }
        self.day = Some(trade.time.session_day());
        self.latest = self.latest.max(trade.time);
        out.push_trade(trade, at);
        counters.trades += 1;
        missed.filter(|from| from.session_day() == trade.time.session_day() && *from <= trade.time)
    }
}

impl Stage for Normalizer {
    type In = JournaledBatch;
    type Snapshot = NormalizerState;
    const NAME: &'static str = "normalizer";

    fn handle(&mut self, message: &Arc<JournaledBatch>, cursor: &Cursor) -> Result<(), StageError> {
        for (index, at) in message.positions.iter().enumerate() {
            if cursor.enter(index) {
                self.take_in(message.frames.frame(index), *at);
            }
        }
        self.out.checkpoint = message.checkpoint;
        self.out.muted = message.muted;
        Ok(())
    }

    async fn flush(&mut self, _idle: bool) -> Result<(), StageError> {
        if self.out.muted {
            return self.flush_muted().await;
        }
        let rejects = std::mem::take(&mut self.rejects);
        // Counting is an effect too: done in `handle`, it would be had again at every rebuild.
        rejects.iter().for_each(|reject| hot().reject(reject.reason));
        if !rejects.is_empty() {
            self.record(StoreBatch::Rejects(rejects)).await?;
        }
        self.counters.publish();
        self.ask_for_minutes();
        for bars in std::mem::take(&mut self.bars) {
            self.record(StoreBatch::Bars(Arc::new(bars))).await?;
        }
        let checkpoint = self.out.checkpoint;
        if !self.out.is_empty() || checkpoint.is_some() {
            let batch = Arc::new(std::mem::take(&mut self.out));
            if !batch.trades.is_empty() {
                self.record(StoreBatch::Ticks(Arc::clone(&batch))).await?;
            }
            self.parts.scorer.send(batch).await?;
        }
        self.out.clear();
        if let Some(number) = checkpoint {
            self.hand_in(number);
        }
        Ok(())
    }

    fn discard(&mut self) {
        self.out.clear();
        self.bars.clear();
        self.repairs.clear();
        self.rejects.clear();
        self.counters = FeedCounters::default();
    }

    fn snapshot(&self) -> NormalizerState {
        self.state.clone()
    }

    fn restore(&mut self, snapshot: &NormalizerState) {
        self.state = snapshot.clone();
    }
}

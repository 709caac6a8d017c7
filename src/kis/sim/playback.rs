//! The player: takes a loaded [`Day`] event by event and writes each as KIS would.
//!
//! No clock and no I/O. Two players of the same day and seed yield the same events and bytes.
//! [`Playback::next_frame`] is what both the simulator's socket and a replay use, so a replay sees
//! exactly the frames that a client subscribed to everything would be sent.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::market::{EventTime, Market, Reference, SessionDay, Symbol, rules};

use super::day::{Day, Print};
use super::options::{FrameShape, SimError, SimSource};
use super::render;
use super::source;
use super::state::{Breadth, IndexState, IssueState, sign_code};
use super::text::padded;

/// A real-time feed that the simulator plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feed {
    /// Trades, `H0STCNT0`.
    Trade,
    /// Order books, `H0STASP0`.
    Book,
    /// Index levels, `H0UPCNT0`.
    Index,
    /// Market operation, `H0STMKO0`.
    Operation,
}

impl Feed {
    /// The TR ID.
    #[must_use]
    pub const fn tr_id(self) -> &'static str {
        match self {
            Self::Trade => "H0STCNT0",
            Self::Book => "H0STASP0",
            Self::Index => "H0UPCNT0",
            Self::Operation => "H0STMKO0",
        }
    }

    /// The feed with this TR ID.
    #[must_use]
    pub fn from_tr_id(tr_id: &str) -> Option<Self> {
        [Self::Trade, Self::Book, Self::Index, Self::Operation]
            .into_iter()
            .find(|feed| feed.tr_id() == tr_id)
    }
}

/// One thing that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimEvent {
    /// When.
    pub at: EventTime,
    /// On which feed.
    pub feed: Feed,
    /// Number of the issue in [`Playback::references`], or of the index series.
    pub key: u32,
    /// Code of a market operation; 0 otherwise.
    pub code: u16,
}

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameInfo {
    /// When its last record happened.
    pub at: EventTime,
    /// On which feed.
    pub feed: Feed,
    /// Number of the issue or of the index series, as in [`SimEvent::key`].
    pub key: u32,
    /// Issue code or sector code.
    pub symbol: Symbol,
    /// Records in the frame.
    pub records: usize,
}

/// A day being played.
#[derive(Debug, Clone)]
pub struct Playback {
    pub(crate) day: Arc<Day>,
    shape: FrameShape,
    pub(crate) next_print: usize,
    next_index: usize,
    pub(crate) issues: Vec<IssueState>,
    pub(crate) indices: Vec<IndexState>,
    /// Of each index's market.
    pub(crate) breadth: Vec<Breadth>,
    /// Which breadths an issue counts in: its market's.
    counted_in: Vec<Option<u32>>,
    pending: VecDeque<SimEvent>,
    opened: bool,
    closed: bool,
    pub(crate) now_ms: u32,
}

impl Playback {
    /// Loads what `source` names. Reads files, so it blocks.
    ///
    /// # Errors
    /// A file is missing, is not what it should be, lacks the day, or a script is wrong.
    pub fn load(
        source: &SimSource,
        seed: u64,
        trades_per_symbol: Option<usize>,
        shape: FrameShape,
    ) -> Result<Self, SimError> {
        shape.check()?;
        Ok(Self::new(Arc::new(source::load(source, seed, trades_per_symbol)?), shape))
    }

    pub(crate) fn new(day: Arc<Day>, shape: FrameShape) -> Self {
        let counted_in = day
            .issues
            .iter()
            .map(|issue| {
                let of_market = |s: &super::day::Series| s.market == issue.market;
                day.series.iter().position(of_market).map(|index| index as u32)
            })
            .collect();
        Self {
            issues: day.issues.iter().map(|issue| IssueState::new(issue.carried)).collect(),
            indices: vec![IndexState::default(); day.series.len()],
            breadth: vec![Breadth::default(); day.series.len()],
            counted_in,
            shape,
            next_print: 0,
            next_index: 0,
            pending: VecDeque::new(),
            opened: false,
            closed: false,
            now_ms: day.span().0,
            day,
        }
    }

    /// The session day.
    #[must_use]
    pub fn session_day(&self) -> SessionDay {
        self.day.day
    }

    /// The speed that the source asks for, event seconds a second.
    #[must_use]
    pub fn default_speed(&self) -> Option<f64> {
        self.day.speed
    }

    /// What a client may know of every issue before the first tick; the position is the issue's
    /// number.
    #[must_use]
    pub fn references(&self) -> Vec<Reference> {
        self.day.issues.iter().map(super::day::Issue::reference).collect()
    }

    /// Sector codes of the indices that are played; the position is the series' number.
    #[must_use]
    pub fn index_codes(&self) -> Vec<Symbol> {
        self.day.series.iter().map(|series| series.symbol).collect()
    }

    /// Trades in the whole day.
    #[must_use]
    pub fn trade_count(&self) -> usize {
        self.day.prints.len()
    }

    /// Event time of what was played last; the first moment of the day before that.
    #[must_use]
    pub fn now(&self) -> EventTime {
        self.day.instant(self.now_ms)
    }

    /// Event time of what comes next; `None` when the day is over.
    #[must_use]
    pub fn next_at(&self) -> Option<EventTime> {
        if !self.pending.is_empty() || !self.opened {
            return Some(self.now());
        }
        let (trade, index) = self.heads();
        let next = match (trade, index) {
            (Some(trade), Some(index)) => Some(trade.min(index)),
            (one, None) | (None, one) => one,
        };
        match next {
            Some(at_ms) => Some(self.day.instant(at_ms)),
            None => (!self.closed).then(|| self.now()),
        }
    }

    fn heads(&self) -> (Option<u32>, Option<u32>) {
        (
            self.day.prints.get(self.next_print).map(|print| print.at_ms),
            self.day.index_prints.get(self.next_index).map(|print| print.at_ms),
        )
    }

    /// Plays the next event; `None` when the day is over. [`Playback::render`] writes it as long
    /// as it is the last one played.
    #[expect(clippy::should_implement_trait, reason = "render borrows the player in between")]
    pub fn next(&mut self) -> Option<SimEvent> {
        if !self.opened {
            self.opened = true;
            self.announce(112, None);
        }
        if let Some(event) = self.pending.pop_front() {
            return Some(event);
        }
        match self.heads() {
            (Some(trade), index) if index.is_none_or(|index| trade <= index) => {
                Some(self.play_trade())
            }
            (_, Some(_)) => Some(self.play_index()),
            _ if self.closed => None,
            _ => {
                self.closed = true;
                self.announce(129, None);
                self.pending.pop_front()
            }
        }
    }

    fn play_trade(&mut self) -> SimEvent {
        let print = self.day.prints[self.next_print];
        self.next_print += 1;
        self.now_ms = print.at_ms;
        self.count(&print);
        let state = &mut self.issues[print.issue as usize];
        state.apply(&print);
        let at = self.day.instant(print.at_ms);
        let event = SimEvent { at, feed: Feed::Trade, key: print.issue, code: 0 };
        let every = self.shape.book_every;
        if every > 0 && (state.trades == 1 || state.trades.is_multiple_of(every)) {
            self.pending.push_back(SimEvent { feed: Feed::Book, ..event });
        }
        event
    }

    /// Keeps the breadth and the sums of the issue's market.
    fn count(&mut self, print: &Print) {
        let Some(market) = self.counted_in[print.issue as usize] else { return };
        let issue = &self.day.issues[print.issue as usize];
        let state = &self.issues[print.issue as usize];
        let sign = |price| sign_code(price, issue.base_price, issue.limits);
        let breadth = &mut self.breadth[market as usize];
        if state.trades == 0 {
            breadth.volume += issue.carried.volume;
            breadth.value += issue.carried.value;
        }
        breadth
            .shift(if state.trades == 0 { 0 } else { sign(state.price) }, sign(print.price.into()));
        breadth.volume += print.quantity;
        breadth.value += print.quantity * i64::from(print.price);
    }

    fn play_index(&mut self) -> SimEvent {
        let print = self.day.index_prints[self.next_index];
        self.next_index += 1;
        self.now_ms = print.at_ms;
        let index = print.series as usize;
        let series = &self.day.series[index];
        let (market, previous) = (series.market, series.previous_close);
        let breadth = &self.breadth[index];
        let (volume, value) = (breadth.volume, breadth.value);
        let state = &mut self.indices[index];
        state.apply(&print, previous, volume, value);
        if breaks(state, previous, print.at_ms) {
            self.announce(174, Some(market));
        }
        let at = self.day.instant(print.at_ms);
        SimEvent { at, feed: Feed::Index, key: print.series, code: 0 }
    }

    /// Queues a market operation for every issue (of one market).
    fn announce(&mut self, code: u16, market: Option<Market>) {
        let at = self.now();
        let issues = self.day.issues.iter().enumerate();
        self.pending.extend(
            issues
                .filter(|(_, issue)| market.is_none_or(|market| issue.market == market))
                .map(|(key, _)| SimEvent { at, feed: Feed::Operation, key: key as u32, code }),
        );
    }

    /// Appends the record of `event`, which must be the last one played, without a frame's head.
    pub fn render(&mut self, event: &SimEvent, out: &mut Vec<u8>) {
        let key = event.key as usize;
        let day = self.day.day;
        match event.feed {
            Feed::Trade => {
                render::trade(out, &self.shape, day, &self.day.issues[key], &self.issues[key]);
            }
            Feed::Book => {
                let state = &mut self.issues[key];
                render::book(out, &self.shape, day, &self.day.issues[key], state);
            }
            Feed::Index => {
                render::index(out, &self.day.series[key], &self.indices[key], &self.breadth[key]);
            }
            Feed::Operation => render::operation(out, &self.day.issues[key], event.code),
        }
    }

    /// Plays the next event, and with it the trades of the same issue in the same second that
    /// follow at once, and appends them as one frame; `None` when the day is over.
    pub fn next_frame(&mut self, out: &mut Vec<u8>) -> Option<FrameInfo> {
        let mut event = self.next()?;
        out.extend_from_slice(b"0|");
        out.extend_from_slice(event.feed.tr_id().as_bytes());
        out.push(b'|');
        let count_at = out.len();
        out.extend_from_slice(b"001|");
        self.render(&event, out);
        let mut records = 1;
        while records < self.shape.records_per_frame && self.joins(&event) {
            // `joins` saw a trade at the head.
            event = self.next()?;
            out.push(b'^');
            self.render(&event, out);
            records += 1;
        }
        if records > 1 {
            let mut count = Vec::with_capacity(3);
            padded(&mut count, records as u32, 3);
            out[count_at..count_at + 3].copy_from_slice(&count);
        }
        let symbol = match event.feed {
            Feed::Index => self.day.series[event.key as usize].symbol,
            _ => self.day.issues[event.key as usize].symbol,
        };
        Some(FrameInfo { at: event.at, feed: event.feed, key: event.key, symbol, records })
    }

    /// Whether what comes next is another trade of the same issue in the same second.
    fn joins(&self, event: &SimEvent) -> bool {
        let (Some(trade), index) = self.heads() else { return false };
        event.feed == Feed::Trade
            && self.pending.is_empty()
            && index.is_none_or(|index| trade <= index)
            && trade / 1_000 == self.now_ms / 1_000
            && self.day.prints[self.next_print].issue == event.key
    }

    /// The rest of the day as frames.
    #[must_use]
    pub fn into_frames(self) -> PlaybackFrames {
        PlaybackFrames { playback: self, bytes: Vec::new() }
    }
}

/// Whether the index has been below its next circuit-breaker level for a minute (서킷브레이커).
/// The first two stages are not used from 14:50 on.
fn breaks(state: &mut IndexState, previous: i64, at_ms: u32) -> bool {
    const LAST_CALL_MS: u32 = (14 * 60 + 50) * 60_000;
    let Some(fall) = rules::CIRCUIT_BREAKER_FALLS.get(state.stages) else { return false };
    let below = (state.level as f64) <= previous as f64 * (1.0 - fall);
    if !below || (at_ms >= LAST_CALL_MS && state.stages < 2) {
        state.below_since_ms = None;
        return false;
    }
    if at_ms - *state.below_since_ms.get_or_insert(at_ms) < 60_000 {
        return false;
    }
    state.stages += 1;
    state.below_since_ms = None;
    true
}

/// A day's frames, one after the other, without a server.
#[derive(Debug, Clone)]
pub struct PlaybackFrames {
    playback: Playback,
    bytes: Vec<u8>,
}

impl PlaybackFrames {
    /// The next frame, valid until the next call; `None` when the day is over.
    #[expect(clippy::should_implement_trait, reason = "the frame borrows the buffer")]
    pub fn next(&mut self) -> Option<(FrameInfo, &[u8])> {
        self.bytes.clear();
        let info = self.playback.next_frame(&mut self.bytes)?;
        Some((info, &self.bytes))
    }

    /// The player behind.
    #[must_use]
    pub fn playback(&self) -> &Playback {
        &self.playback
    }
}

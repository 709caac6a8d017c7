//! The player: takes a loaded [`Day`] event by event and writes each as KIS would.
//!
//! No clock and no I/O. Two players of the same day and seed yield the same events and bytes.
//! [`Playback::next_frame`] is what both the simulator's socket and a replay use, so a replay sees
//! exactly the frames that a client subscribed to everything would be sent.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::market::{EventTime, Market, Reference, SessionDay, Symbol};

use super::day::{Day, Print};
use super::feed::{Feed, FrameInfo, SimEvent};
use super::interruption::{Interruption, SimInterruption, What};
use super::options::{FrameShape, SimError, SimSource};
use super::render;
use super::source;
use super::state::{Breadth, IndexState, IssueState, sign_code};
use super::text::padded;

/// The kinds of what happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    Trade,
    Index,
    Notice,
}

/// A day being played.
#[derive(Debug, Clone)]
pub struct Playback {
    pub(crate) day: Arc<Day>,
    shape: FrameShape,
    pub(crate) next_print: usize,
    next_index: usize,
    next_notice: usize,
    pub(crate) issues: Vec<IssueState>,
    pub(crate) indices: Vec<IndexState>,
    /// Of each index's market.
    pub(crate) breadth: Vec<Breadth>,
    /// Which breadths an issue counts in: its market's.
    counted_in: Vec<Option<u32>>,
    pending: VecDeque<SimEvent>,
    /// Markets that closed before the day was over.
    closed_markets: Vec<Market>,
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
            issues: day.issues.iter().map(IssueState::new).collect(),
            closed_markets: Vec::new(),
            indices: vec![IndexState::default(); day.series.len()],
            breadth: vec![Breadth::default(); day.series.len()],
            counted_in,
            shape,
            next_print: 0,
            next_index: 0,
            next_notice: 0,
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
        self.day.issues.iter().map(|issue| issue.reference(self.day.day)).collect()
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
        match self.head() {
            Some((at_ms, _)) => Some(self.day.instant(at_ms)),
            None => (!self.closed).then(|| self.now()),
        }
    }

    /// When the next thing happens and what it is. At the same time trades come before indices
    /// and these before notices, so an interruption ends with its auction print.
    fn head(&self) -> Option<(u32, Head)> {
        let day = &self.day;
        let trade = day.prints.get(self.next_print).map(|print| (print.at_ms, Head::Trade));
        let index = day.index_prints.get(self.next_index).map(|print| (print.at_ms, Head::Index));
        let notices = &day.rules.notices;
        let notice = notices.get(self.next_notice).map(|notice| (notice.at_ms, Head::Notice));
        // The first of equals is the minimum.
        [trade, index, notice].into_iter().flatten().min_by_key(|(at_ms, _)| *at_ms)
    }

    /// The volatility interruptions that have begun, oldest first.
    #[must_use]
    pub fn interruptions(&self) -> Vec<SimInterruption> {
        let told = &self.day.rules.notices[..self.next_notice];
        let begun = told.iter().filter_map(|notice| match notice.what {
            What::ViBegins(number) => Some(number),
            _ => None,
        });
        begun
            .map(|number| {
                let vi = self.interruption(number);
                let issue = &self.day.issues[vi.issue as usize];
                let state = &self.issues[vi.issue as usize];
                let active = state.interrupted && state.last_vi == Some(number);
                SimInterruption {
                    symbol: issue.symbol,
                    name: issue.name.clone(),
                    market: issue.market,
                    breach: vi.breach,
                    count: vi.count,
                    began: self.day.instant(vi.from_ms),
                    ended: (!active).then(|| self.day.instant(vi.until_ms)),
                }
            })
            .collect()
    }

    fn interruption(&self, number: u32) -> &Interruption {
        &self.day.rules.interruptions[number as usize]
    }

    /// Plays the next event; `None` when the day is over. [`Playback::render`] writes it as long
    /// as it is the last one played.
    #[expect(clippy::should_implement_trait, reason = "render borrows the player in between")]
    pub fn next(&mut self) -> Option<SimEvent> {
        if !self.opened {
            self.opened = true;
            self.announce(112, None);
        }
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            match self.head() {
                Some((_, Head::Trade)) => return Some(self.play_trade()),
                Some((_, Head::Index)) => return Some(self.play_index()),
                Some((_, Head::Notice)) => self.play_notice(),
                None if self.closed => return None,
                None => {
                    self.closed = true;
                    self.announce(129, None);
                }
            }
        }
    }

    /// Takes in a notice and queues what it tells; a book that the shape leaves out tells nothing.
    fn play_notice(&mut self) {
        let notice = self.day.rules.notices[self.next_notice];
        self.next_notice += 1;
        self.now_ms = notice.at_ms;
        let at = self.now();
        let mut tell = |feed, key| self.pending.push_back(SimEvent { at, feed, key, code: 0 });
        match notice.what {
            What::ViBegins(number) | What::ViEnds(number) => {
                let issue = self.day.rules.interruptions[number as usize].issue;
                let state = &mut self.issues[issue as usize];
                state.interrupted = matches!(notice.what, What::ViBegins(_));
                state.last_vi = Some(number);
                tell(Feed::Operation, issue);
                tell(Feed::Vi, issue);
            }
            What::Halt { issue, halted } => {
                self.issues[issue as usize].halted = halted;
                tell(Feed::Operation, issue);
            }
            What::Book { issue, expected } => {
                if self.shape.book_every > 0 {
                    self.issues[issue as usize].expected = Some(expected);
                    tell(Feed::Book, issue);
                }
            }
            What::Operation { code, market } => self.announce(code, market),
            What::Closes(market) => {
                self.announce(129, Some(market));
                self.closed_markets.push(market);
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
        let previous = series.previous_close;
        let breadth = &self.breadth[index];
        let (volume, value) = (breadth.volume, breadth.value);
        let state = &mut self.indices[index];
        state.apply(&print, previous, volume, value);
        let at = self.day.instant(print.at_ms);
        SimEvent { at, feed: Feed::Index, key: print.series, code: 0 }
    }

    /// Queues a market operation for every issue (of one market) whose market has not closed.
    fn announce(&mut self, code: u16, market: Option<Market>) {
        let at = self.now();
        let issues = self.day.issues.iter().enumerate();
        self.pending.extend(
            issues
                .filter(|(_, issue)| market.is_none_or(|market| issue.market == market))
                .filter(|(_, issue)| !self.closed_markets.contains(&issue.market))
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
            Feed::Operation => {
                let (issue, state) = (&self.day.issues[key], &self.issues[key]);
                render::operation(out, issue, state, event.code);
            }
            Feed::Vi => {
                let state = &self.issues[key];
                // The event follows from an interruption, which the state names.
                if let Some(number) = state.last_vi {
                    let vi = self.interruption(number);
                    render::vi(out, day, &self.day.issues[key], vi, state.interrupted);
                }
            }
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
        let Some((trade, Head::Trade)) = self.head() else { return false };
        event.feed == Feed::Trade
            && self.pending.is_empty()
            && trade / 1_000 == self.now_ms / 1_000
            && self.day.prints[self.next_print].issue == event.key
    }

    /// The rest of the day as frames.
    #[must_use]
    pub fn into_frames(self) -> PlaybackFrames {
        PlaybackFrames { playback: self, bytes: Vec::new() }
    }
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

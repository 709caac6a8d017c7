//! A loaded day: everything that will happen, in order, ready to be played.

use crate::market::{
    EventTime, IndexLevel, Market, Reference, SessionDay, Side, Symbol, TimeOfDay, Won, rules,
};

use super::book::mix;
use super::interruption::Rules;

/// Limits of an issue that has none today: a first day, a re-opening.
pub(crate) const NO_LIMITS: (Won, Won) = (1, 999_999_999);

/// One bar of an issue's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DailyBar {
    pub day: SessionDay,
    pub open: Won,
    pub high: Won,
    pub low: Won,
    pub close: Won,
    pub volume: i64,
}

/// Sums that a recording brings along because it began after the opening.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Carried {
    pub volume: i64,
    pub value: Won,
    pub sell_volume: i64,
    pub buy_volume: i64,
}

/// What is fixed about an issue for the whole day.
#[derive(Debug, Clone)]
pub(crate) struct Issue {
    pub symbol: Symbol,
    pub name: String,
    pub market: Market,
    /// Base price of the day.
    pub base_price: Won,
    /// Volume of the session before; 0 when unknown.
    pub previous_volume: i64,
    /// Shares listed; 0 when unknown.
    pub listed_shares: i64,
    /// Daily limits, lower and upper; [`NO_LIMITS`] where there are none.
    pub limits: (Won, Won),
    /// No trading today.
    pub halted: bool,
    /// Sessions before today, oldest first; at most [`Reference::MAX_CLOSES`].
    pub history: Vec<DailyBar>,
    pub carried: Carried,
    /// Typical size of an order book level, shares.
    pub depth_unit: i64,
    /// Makes the books of two issues differ.
    pub salt: u64,
}

impl Issue {
    /// An issue without history.
    pub fn new(
        day: SessionDay,
        symbol: Symbol,
        market: Market,
        base_price: Won,
        seed: u64,
    ) -> Self {
        Self {
            symbol,
            name: String::new(),
            market,
            base_price,
            previous_volume: 0,
            listed_shares: 0,
            limits: rules::price_limits(day, market, base_price),
            halted: false,
            history: Vec::new(),
            carried: Carried::default(),
            depth_unit: 100,
            salt: mix(seed ^ symbol.word()),
        }
    }

    /// What a client may know of it before the first tick of `day`.
    pub fn reference(&self, day: SessionDay) -> Reference {
        Reference {
            symbol: self.symbol,
            name: self.name.clone(),
            market: self.market,
            day: Some(day),
            last_session: self.history.last().map(|bar| bar.day),
            base_price: Some(self.base_price),
            previous_volume: (self.previous_volume > 0).then_some(self.previous_volume),
            listed_shares: (self.listed_shares > 0).then_some(self.listed_shares),
            closes: self.history.iter().map(|bar| bar.close).collect(),
            volumes: self.history.iter().map(|bar| bar.volume).collect(),
            opens: self.history.iter().map(|bar| bar.open).collect(),
            highs: self.history.iter().map(|bar| bar.high).collect(),
            lows: self.history.iter().map(|bar| bar.low).collect(),
        }
    }
}

/// A trade to come. 32 bytes: a day of the whole market holds about a million.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Print {
    /// Milliseconds since midnight, Korean time.
    pub at_ms: u32,
    /// Index into [`Day::issues`].
    pub issue: u32,
    pub quantity: i64,
    pub price: i32,
    /// Best quotes after the trade; 0 when that side is empty.
    pub ask: i32,
    pub bid: i32,
    pub side: Side,
}

/// An index that is played.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub symbol: Symbol,
    pub market: Market,
    pub previous_close: IndexLevel,
}

/// An index level to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexPrint {
    pub at_ms: u32,
    /// Index into [`Day::series`].
    pub series: u32,
    pub level: IndexLevel,
}

/// A whole day.
#[derive(Debug, Clone)]
pub(crate) struct Day {
    pub day: SessionDay,
    pub issues: Vec<Issue>,
    /// In the order in which they are played.
    pub prints: Vec<Print>,
    pub series: Vec<Series>,
    pub index_prints: Vec<IndexPrint>,
    /// The speed a script asks for.
    pub speed: Option<f64>,
    /// What the market rules do to it.
    pub rules: Rules,
}

impl Day {
    /// The instant of a print.
    pub fn instant(&self, at_ms: u32) -> EventTime {
        instant(self.day, at_ms)
    }

    /// When the first and the last thing happens, milliseconds since midnight.
    pub fn span(&self) -> (u32, u32) {
        let prints = self.prints.first().zip(self.prints.last()).map(|(a, b)| (a.at_ms, b.at_ms));
        let indices = self.index_prints.first().zip(self.index_prints.last());
        let notices = self.rules.notices.first().zip(self.rules.notices.last());
        let spans = [
            prints,
            indices.map(|(a, b)| (a.at_ms, b.at_ms)),
            notices.map(|(a, b)| (a.at_ms, b.at_ms)),
        ];
        let whole = |a: (u32, u32), b: (u32, u32)| (a.0.min(b.0), a.1.max(b.1));
        spans.into_iter().flatten().reduce(whole).unwrap_or_default()
    }
}

/// The instant `at_ms` milliseconds after midnight of `day` in Korea.
pub(crate) fn instant(day: SessionDay, at_ms: u32) -> EventTime {
    EventTime::from_kst(day, TimeOfDay::default()).plus_micros(i64::from(at_ms) * 1_000)
}

/// `HHMMSS` as a number.
pub(crate) const fn hhmmss(at_ms: u32) -> u32 {
    let seconds = at_ms / 1_000;
    seconds / 3_600 * 10_000 + seconds / 60 % 60 * 100 + seconds % 60
}

/// Milliseconds since midnight of a time of day.
pub(crate) const fn ms(time: TimeOfDay) -> u32 {
    time.seconds() * 1_000
}

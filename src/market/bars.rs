//! Minute and day bars from trades.
//!
//! In: trades in order of arrival, each exactly once (whoever feeds the book drops repeats). Out:
//! the bars that changed, as the whole state of their interval, so that writing one replaces what
//! was written for it before.
//!
//! A bar is *final* once a later trade of its issue, or the end of its session, proves that nothing
//! more is to come; until then it is provisional. A late trade ([`TradeFlags::LATE`]) still belongs
//! to its interval: it adds volume and may widen the range, but it does not set the close, and it
//! leaves a final bar final.
//!
//! The book keeps open bars only: at most one minute and one day for each issue. Final bars leave
//! it with [`BarBook::take_changed`]; for a late trade of such an interval, [`BarBook::missing`]
//! names the bar and [`BarBook::restore`] takes it back from wherever it was stored.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use super::{EventTime, SessionDay, Symbol, TimeOfDay, Trade, TradeFlags, Won};

/// Length of a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Interval {
    /// One minute.
    Minute,
    /// One session day.
    Day,
}

impl Interval {
    /// Both lengths.
    pub const ALL: [Self; 2] = [Self::Minute, Self::Day];

    /// As in the database and the HTTP interface: `1m`, `1d`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "1m",
            Self::Day => "1d",
        }
    }

    /// The interval written `text`, if there is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|interval| interval.as_str() == text)
    }

    /// Start of the interval `time` lies in; a day starts at midnight in Korea.
    #[must_use]
    pub const fn start(self, time: EventTime) -> EventTime {
        match self {
            Self::Minute => time.minute_start(),
            Self::Day => day_start(time.session_day()),
        }
    }
}

/// Midnight in Korea at which `day` begins: the start of its day bar.
#[must_use]
pub const fn day_start(day: SessionDay) -> EventTime {
    match TimeOfDay::from_seconds(0) {
        Some(midnight) => EventTime::from_kst(day, midnight),
        None => unreachable!(),
    }
}

/// Which bar: start first, so that sorted bars are in order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BarKey {
    /// Start of the interval.
    pub start: EventTime,
    /// Length.
    pub interval: Interval,
    /// Issue.
    pub symbol: Symbol,
}

impl BarKey {
    /// The bar of `symbol` that a trade at `time` belongs to.
    #[must_use]
    pub const fn of(symbol: Symbol, interval: Interval, time: EventTime) -> Self {
        Self { start: interval.start(time), interval, symbol }
    }
}

/// One bar: what is known of its interval so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bar {
    /// Issue and interval.
    pub key: BarKey,
    /// First price, won.
    pub open: Won,
    /// Highest price, won.
    pub high: Won,
    /// Lowest price, won.
    pub low: Won,
    /// Last price that did not come late, won.
    pub close: Won,
    /// Shares traded.
    pub volume: i64,
    /// Value traded, won: the sum of price times quantity.
    pub amount: Won,
    /// Whether it is proven that no further trade in order belongs to it.
    pub is_final: bool,
}

impl Bar {
    fn first(key: BarKey, trade: &Trade) -> Self {
        let mut bar = Self {
            key,
            open: trade.price,
            high: trade.price,
            low: trade.price,
            close: trade.price,
            volume: 0,
            amount: 0,
            is_final: false,
        };
        bar.add(trade);
        bar
    }

    fn add(&mut self, trade: &Trade) {
        self.high = self.high.max(trade.price);
        self.low = self.low.min(trade.price);
        self.volume = self.volume.saturating_add(trade.quantity);
        self.amount = self.amount.saturating_add(trade.price.saturating_mul(trade.quantity));
        if !trade.flags.has(TradeFlags::LATE) {
            self.close = trade.price;
        }
    }
}

/// The day's bar out of its minutes, oldest first; provisional. `None` without any.
#[must_use]
pub fn day_of(minutes: &[Bar]) -> Option<Bar> {
    let (first, last) = (minutes.first()?, minutes.last()?);
    let sum = |of: fn(&Bar) -> i64| minutes.iter().map(of).fold(0, i64::saturating_add);
    Some(Bar {
        key: BarKey::of(first.key.symbol, Interval::Day, first.key.start),
        open: first.open,
        high: minutes.iter().map(|bar| bar.high).fold(first.high, Won::max),
        low: minutes.iter().map(|bar| bar.low).fold(first.low, Won::min),
        close: last.close,
        volume: sum(|bar| bar.volume),
        amount: sum(|bar| bar.amount),
        is_final: false,
    })
}

/// Builds bars; see the module's documentation.
#[derive(Debug, Default, Clone)]
pub struct BarBook {
    bars: FxHashMap<BarKey, Bar>,
    /// Start of the newest bar of each issue and length.
    newest: FxHashMap<(Symbol, Interval), EventTime>,
    changed: BTreeSet<BarKey>,
    /// Newest session day seen.
    day: Option<SessionDay>,
}

impl BarBook {
    /// An empty book.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the next trade of `symbol`. Expected prices of an auction are not trades and are
    /// passed over.
    pub fn apply(&mut self, symbol: Symbol, trade: &Trade) {
        if trade.flags.has(TradeFlags::EXPECTED) {
            return;
        }
        let day = trade.time.session_day();
        if self.day.is_none_or(|newest| day > newest) {
            self.finish_before(day);
            self.day = Some(day);
        }
        for interval in Interval::ALL {
            self.apply_to(BarKey::of(symbol, interval, trade.time), trade);
        }
    }

    fn apply_to(&mut self, key: BarKey, trade: &Trade) {
        let series = (key.symbol, key.interval);
        let newest = self.newest.get(&series).copied();
        if newest.is_none_or(|newest| key.start > newest) {
            if let Some(start) = newest {
                self.finish(BarKey { start, ..key });
            }
            self.newest.insert(series, key.start);
        }
        // Behind the newest bar, a later trade of the issue has already proven the interval over,
        // and on an earlier day a trade of any issue has: after a restart, the bars that were
        // final then are not there to tell.
        let is_over = newest.is_some_and(|newest| key.start < newest)
            || self.day.is_some_and(|day| key.start.session_day() < day);
        let bar = self
            .bars
            .entry(key)
            .and_modify(|bar| bar.add(trade))
            .or_insert_with(|| Bar::first(key, trade));
        bar.is_final |= is_over;
        self.changed.insert(key);
    }

    fn finish(&mut self, key: BarKey) {
        if let Some(bar) = self.bars.get_mut(&key)
            && !bar.is_final
        {
            bar.is_final = true;
            self.changed.insert(key);
        }
    }

    fn finish_before(&mut self, day: SessionDay) {
        let limit = day_start(day);
        let over: Vec<BarKey> = self.bars.keys().filter(|key| key.start < limit).copied().collect();
        for key in over {
            self.finish(key);
        }
    }

    /// Bars of minutes have changed behind the book's back (told by the exchange, because trades were
    /// missed): the day's bar takes their sum `whole`. Its finality stays. The caller
    /// [restores](BarBook::restore) a day that is not held before.
    pub fn amend_day(&mut self, whole: &Bar) {
        let amended = self.bars.entry(whole.key).or_insert(*whole);
        *amended = Bar { is_final: amended.is_final, ..*whole };
        self.changed.insert(whole.key);
    }

    /// The session of `day` is over: its bars, and those of the days before, are final.
    pub fn end_session(&mut self, day: SessionDay) {
        self.finish_before(day.next());
    }

    /// The bars `trade` belongs to that the book does not hold. A caller that has stored one must
    /// [`BarBook::restore`] it before it applies the trade.
    pub fn missing(&self, symbol: Symbol, time: EventTime) -> impl Iterator<Item = BarKey> + '_ {
        Interval::ALL
            .into_iter()
            .map(move |interval| BarKey::of(symbol, interval, time))
            .filter(|key| !self.bars.contains_key(key))
    }

    /// Takes back a stored bar. A bar that the book holds already is left as it is.
    pub fn restore(&mut self, bar: Bar) {
        if !bar.is_final {
            let newest = self.newest.entry((bar.key.symbol, bar.key.interval)).or_default();
            *newest = (*newest).max(bar.key.start);
            let day = bar.key.start.session_day();
            self.day = Some(self.day.map_or(day, |newest| newest.max(day)));
        }
        self.bars.entry(bar.key).or_insert(bar);
    }

    /// The bars that changed since the last call, in order of time; final ones leave the book.
    pub fn take_changed(&mut self) -> Vec<Bar> {
        let keys = std::mem::take(&mut self.changed);
        let changed = keys.iter().filter_map(|key| self.bars.get(key).copied()).collect();
        self.bars.retain(|_, bar| !bar.is_final);
        changed
    }

    /// Number of bars held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bars.len()
    }

    /// Whether no bar is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bars.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const OPEN: i64 = 1_722_816_000; // 2024-08-05T09:00:00+09:00

    fn symbol(index: usize) -> Symbol {
        ["005930", "000660", "00088K"][index].parse().unwrap()
    }

    fn trade(second: i64, price: Won, quantity: i64, flags: u8) -> Trade {
        Trade {
            time: EventTime::from_micros((OPEN + second) * 1_000_000),
            price,
            quantity,
            flags: TradeFlags(flags),
            ..Trade::default()
        }
    }

    fn minute(bars: &[Bar], offset: i64) -> Bar {
        let start = EventTime::from_micros((OPEN + offset * 60) * 1_000_000);
        *bars
            .iter()
            .find(|bar| bar.key.interval == Interval::Minute && bar.key.start == start)
            .unwrap()
    }

    #[test]
    fn a_later_trade_makes_a_bar_final() {
        let mut book = BarBook::new();
        book.apply(symbol(0), &trade(1, 100, 3, 0));
        book.apply(symbol(0), &trade(59, 90, 2, 0));
        let bars = book.take_changed();
        let bar = minute(&bars, 0);
        assert_eq!((bar.open, bar.high, bar.low, bar.close), (100, 100, 90, 90));
        assert_eq!((bar.volume, bar.amount, bar.is_final), (5, 480, false));
        book.apply(symbol(1), &trade(60, 50, 1, 0));
        assert!(book.take_changed().iter().all(|bar| bar.key.symbol == symbol(1)));
        book.apply(symbol(0), &trade(120, 95, 1, 0));
        let bars = book.take_changed();
        assert!(minute(&bars, 0).is_final && !minute(&bars, 2).is_final);
        let day = bars.iter().find(|bar| bar.key.interval == Interval::Day).unwrap();
        assert_eq!(day.key.start.rfc3339(), "2024-08-05T00:00:00+09:00");
        assert_eq!((day.open, day.close, day.volume, day.is_final), (100, 95, 6, false));
    }

    #[test]
    fn a_late_trade_widens_but_does_not_close() {
        let mut book = BarBook::new();
        book.apply(symbol(0), &trade(10, 100, 1, 0));
        book.apply(symbol(0), &trade(9, 130, 1, TradeFlags::LATE));
        let bar = minute(&book.take_changed(), 0);
        assert_eq!((bar.open, bar.high, bar.close, bar.volume), (100, 130, 100, 2));
    }

    #[test]
    fn the_end_of_a_session_and_a_new_day_make_bars_final() {
        let mut book = BarBook::new();
        book.apply(symbol(0), &trade(10, 100, 1, 0));
        book.end_session(trade(0, 0, 0, 0).time.session_day());
        assert!(book.take_changed().iter().all(|bar| bar.is_final));
        assert!(book.is_empty());
        book.apply(symbol(0), &trade(10, 100, 1, 0));
        book.apply(symbol(1), &trade(86_400, 100, 1, 0));
        let bars = book.take_changed();
        assert_eq!(bars.iter().filter(|bar| bar.is_final).count(), 2);
        assert!(bars.iter().filter(|bar| bar.is_final).all(|bar| bar.key.symbol == symbol(0)));
    }

    #[test]
    fn a_late_trade_of_an_earlier_day_is_final_for_a_book_that_forgot_the_issue() {
        let mut book = BarBook::new();
        book.apply(symbol(1), &trade(86_400, 100, 1, 0));
        let open: Vec<Bar> = book.take_changed();
        let mut book = BarBook::new();
        for bar in open {
            book.restore(bar);
        }
        book.apply(symbol(0), &trade(10, 100, 1, TradeFlags::LATE));
        let bars = book.take_changed();
        assert_eq!(bars.len(), 2);
        assert!(bars.iter().all(|bar| bar.is_final && bar.key.symbol == symbol(0)), "{bars:?}");
    }

    #[test]
    fn expected_prices_are_no_trades() {
        let mut book = BarBook::new();
        book.apply(symbol(0), &trade(1, 100, 3, TradeFlags::EXPECTED));
        assert!(book.take_changed().is_empty());
    }

    #[test]
    fn the_day_is_the_sum_of_its_minutes_and_can_be_amended() {
        let mut book = BarBook::new();
        book.apply(symbol(0), &trade(10, 100, 3, 0));
        book.apply(symbol(0), &trade(130, 90, 2, 0));
        let bars = book.take_changed();
        let mut minutes = vec![minute(&bars, 0), minute(&bars, 2)];
        let day = *bars.iter().find(|bar| bar.key.interval == Interval::Day).unwrap();
        assert_eq!(day_of(&minutes), Some(day));
        let missed = Bar { high: 140, volume: 10, amount: 1_200, ..minutes[0] };
        let key = BarKey::of(symbol(0), Interval::Minute, trade(70, 0, 0, 0).time);
        minutes.insert(1, Bar { key, ..missed });
        book.amend_day(&day_of(&minutes).unwrap());
        book.apply(symbol(0), &trade(131, 91, 1, 0));
        let day = *book.take_changed().iter().find(|bar| bar.key == day.key).unwrap();
        assert_eq!((day.high, day.close, day.volume, day.amount), (140, 91, 16, 480 + 1_200 + 91));
        assert_eq!(day_of(&[]), None);
    }

    /// What each bar must be, straight from the definition.
    fn naive(trades: &[(Symbol, Trade)]) -> BTreeMap<BarKey, Bar> {
        let mut bars = BTreeMap::new();
        for interval in Interval::ALL {
            let keys: BTreeSet<BarKey> =
                trades.iter().map(|(s, t)| BarKey::of(*s, interval, t.time)).collect();
            for key in &keys {
                let own: Vec<&Trade> = trades
                    .iter()
                    .filter(|(s, t)| BarKey::of(*s, interval, t.time) == *key)
                    .map(|(_, t)| t)
                    .collect();
                let in_order = own.iter().rev().find(|t| !t.flags.has(TradeFlags::LATE));
                let last_day = trades.iter().map(|(_, t)| t.time.session_day()).max().unwrap();
                let is_final = key.start.session_day() < last_day
                    || keys.iter().any(|k| k.symbol == key.symbol && k.start > key.start);
                bars.insert(
                    *key,
                    Bar {
                        key: *key,
                        open: own[0].price,
                        high: own.iter().map(|t| t.price).max().unwrap(),
                        low: own.iter().map(|t| t.price).min().unwrap(),
                        close: in_order.unwrap_or(&own[0]).price,
                        volume: own.iter().map(|t| t.quantity).sum(),
                        amount: own.iter().map(|t| t.price * t.quantity).sum(),
                        is_final,
                    },
                );
            }
        }
        bars
    }

    fn stream() -> impl Strategy<Value = Vec<(usize, i64, Won, i64, bool, u8)>> {
        let step = (0usize..3, 0i64..45, 1i64..1_000, 1i64..50, any::<bool>(), 0u8..4);
        proptest::collection::vec(step, 1..60)
    }

    proptest! {
        /// However the stream is cut, with the store as the book's memory, and with a book lost
        /// and read back at any cut: the stored bars are those of the definition.
        #[test]
        fn bars_equal_the_definition(steps in stream()) {
            let mut clock = 0;
            let mut seen = [None::<i64>; 3];
            let mut trades = Vec::new();
            let mut stored: BTreeMap<BarKey, Bar> = BTreeMap::new();
            let mut book = BarBook::new();
            for (index, advance, price, quantity, late, cut) in steps {
                clock += if advance == 44 { 86_400 } else { advance };
                // Late is what comes behind a trade of the same issue.
                let (second, flags) = match seen[index] {
                    Some(newest) if late => ((newest - 70).max(0), TradeFlags::LATE),
                    _ => (clock, 0),
                };
                seen[index] = Some(seen[index].map_or(second, |newest| newest.max(second)));
                let trade = trade(second, price, quantity, flags);
                trades.push((symbol(index), trade));
                let missing: Vec<BarKey> = book.missing(symbol(index), trade.time).collect();
                for key in missing {
                    if let Some(bar) = stored.get(&key) {
                        book.restore(*bar);
                    }
                }
                book.apply(symbol(index), &trade);
                if cut == 0 {
                    stored.extend(book.take_changed().into_iter().map(|bar| (bar.key, bar)));
                    if price % 3 == 0 {
                        book = BarBook::new();
                        for bar in stored.values().filter(|bar| !bar.is_final) {
                            book.restore(*bar);
                        }
                    }
                }
            }
            stored.extend(book.take_changed().into_iter().map(|bar| (bar.key, bar)));
            prop_assert_eq!(stored, naive(&trades));
        }
    }
}

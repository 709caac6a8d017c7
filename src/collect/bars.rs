//! KIS's bars into ours, and when they are final.
//!
//! Only intervals with trades become bars. A minute is final when it is over, a day when its
//! session is; the minute that is still running is left out, because until its first trade KIS
//! shows the one before in its place.

use crate::market::bar_source::{BarSource, StoredBar};
use crate::market::bars::{Bar, BarKey, Interval, day_start};
use crate::market::{Calendar, EventTime, SessionDay, Symbol, Won, rules};

/// Time that KIS is given to count the last trade of an interval, microseconds.
const GRACE: i64 = 10_000_000;
const MINUTE: i64 = 60_000_000;

/// A bar as KIS tells it, prices in won.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawBar {
    /// First price.
    pub open: Won,
    /// Highest.
    pub high: Won,
    /// Lowest.
    pub low: Won,
    /// Last.
    pub close: Won,
    /// Shares.
    pub volume: i64,
    /// Value traded: of the interval for a day, since the opening for a minute.
    pub value: Won,
}

fn bar(key: BarKey, raw: &RawBar, amount: Won, is_final: bool) -> StoredBar {
    let RawBar { open, high, low, close, volume, .. } = *raw;
    let bar = Bar { key, open, high, low, close, volume, amount, is_final };
    StoredBar { bar, source: BarSource::Kis }
}

/// Whether no more trades of the session of `day` are to come, seen at `now`.
#[must_use]
pub fn session_is_over(day: SessionDay, now: EventTime) -> bool {
    let close = Calendar::krx().session(day).map_or(rules::CLOSE, |session| session.close);
    now.micros_since(EventTime::from_kst(day, close)) >= GRACE
}

/// The bar of a session; `None` when nothing was traded.
#[must_use]
pub fn day_bar(symbol: Symbol, day: SessionDay, raw: &RawBar, now: EventTime) -> Option<StoredBar> {
    let key = BarKey { start: day_start(day), interval: Interval::Day, symbol };
    (raw.volume > 0).then(|| bar(key, raw, raw.value, session_is_over(day, now)))
}

/// The bars of the minutes that are over at `now`, from all of a session's so far, oldest first.
#[must_use]
pub fn minute_bars(symbol: Symbol, raw: &[(EventTime, RawBar)], now: EventTime) -> Vec<StoredBar> {
    let mut value = 0;
    let mut bars = Vec::with_capacity(raw.len());
    for (start, raw) in raw {
        let amount = raw.value - value;
        value = raw.value;
        if raw.volume > 0 && now.micros_since(*start) >= MINUTE + GRACE {
            bars.push(bar(BarKey::of(symbol, Interval::Minute, *start), raw, amount, true));
        }
    }
    bars
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::TimeOfDay;

    fn at(time: &str) -> EventTime {
        let day = "2024-08-05".parse().unwrap();
        EventTime::from_kst(day, time.parse::<TimeOfDay>().unwrap())
    }

    fn raw(volume: i64, value: Won) -> RawBar {
        RawBar { open: 10, high: 12, low: 9, close: 11, volume, value }
    }

    #[test]
    fn a_day_is_final_after_its_session() {
        let (symbol, day) = ("005930".parse().unwrap(), "2024-08-05".parse().unwrap());
        let bar = |now| day_bar(symbol, day, &raw(5, 50), now).unwrap().bar;
        assert!(!bar(at("15:30:09")).is_final);
        assert!(bar(at("15:30:10")).is_final);
        assert_eq!(bar(at("09:00")).key.start, at("00:00"));
        assert_eq!(day_bar(symbol, day, &raw(0, 0), at("16:00")), None);
    }

    #[test]
    fn minutes_have_their_own_value_and_the_running_one_is_left_out() {
        let symbol = "005930".parse().unwrap();
        let rows = [
            (at("09:00"), raw(5, 50)),
            (at("09:01"), raw(0, 50)),
            (at("09:02"), raw(2, 73)),
            (at("09:03"), raw(1, 83)),
        ];
        let bars = minute_bars(symbol, &rows, at("09:03:10"));
        let seen: Vec<_> = bars.iter().map(|b| (b.bar.key.start, b.bar.amount)).collect();
        assert_eq!(seen, [(at("09:00"), 50), (at("09:02"), 23)]);
        assert!(bars.iter().all(|bar| bar.bar.is_final && bar.source == BarSource::Kis));
        assert_eq!(minute_bars(symbol, &rows, at("09:03:09")).len(), 1);
    }
}

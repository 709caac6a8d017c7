//! Bars of one interval from two sources: which one is kept.
//!
//! Bongsu builds bars from the trades of the live feed, and asks KIS for its own. Neither is always
//! better: the feed misses trades over a gap or after a late start, and KIS's answer about an
//! interval that is still running is a snapshot. [`supersedes`] is the one place that decides; all
//! who write bars ask it.
//!
//! The volume tells which bar is more complete: a source can miss trades, it does not invent them.

use super::bars::Bar;

/// Where a bar comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BarSource {
    /// Built from the feed's trades.
    Trades,
    /// Told by KIS as a bar.
    Kis,
}

impl BarSource {
    /// Both sources.
    pub const ALL: [Self; 2] = [Self::Trades, Self::Kis];

    /// As in the database: `trades`, `kis`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trades => "trades",
            Self::Kis => "kis",
        }
    }

    /// The source written `text`, if there is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.as_str() == text)
    }
}

/// A bar and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredBar {
    /// The bar.
    pub bar: Bar,
    /// Its source.
    pub source: BarSource,
}

/// Whether `new` replaces `existing`, a bar of the same interval.
///
/// - Equal prices, volume and finality: no, the stored row stays; KIS's value of a minute is a
///   difference of sums and may be less exact than the trades'.
/// - Of one source: the newer state replaces the older. A provisional one never replaces a final
///   one, and of two provisional bars of KIS the one with less volume is an older answer.
/// - KIS over trades: only a final bar does, when the stored one is provisional or has no more
///   volume (trades were missed, or came out of order).
/// - Trades over KIS: with more volume over a final bar, and only when final themselves; with at
///   least as much volume over a provisional one.
///
/// Of two bars of different sources at most one replaces the other, so that writing both again in
/// any order comes to rest.
#[must_use]
pub fn supersedes(existing: &StoredBar, new: &StoredBar) -> bool {
    use BarSource::{Kis, Trades};
    let (old, bar) = (&existing.bar, &new.bar);
    if (Bar { amount: old.amount, ..*bar }) == *old {
        return false;
    }
    match (existing.source, new.source) {
        (Trades, Trades) => bar.is_final || !old.is_final,
        (Kis, Kis) => bar.is_final || (!old.is_final && bar.volume >= old.volume),
        (Trades, Kis) => bar.is_final && (!old.is_final || bar.volume >= old.volume),
        (Kis, Trades) if old.is_final => bar.is_final && bar.volume > old.volume,
        (Kis, Trades) => bar.volume >= old.volume,
    }
}

#[cfg(test)]
mod tests {
    use super::super::bars::{BarKey, Interval};
    use super::super::{EventTime, Symbol};
    use super::*;
    use proptest::prelude::*;

    fn stored(source: BarSource, volume: i64, close: i64, is_final: bool) -> StoredBar {
        let symbol: Symbol = "005930".parse().unwrap();
        let key = BarKey::of(symbol, Interval::Minute, EventTime::from_micros(0));
        let bar = Bar {
            key,
            open: 100,
            high: 120,
            low: 90,
            close,
            volume,
            amount: volume * 100,
            is_final,
        };
        StoredBar { bar, source }
    }

    use BarSource::{Kis, Trades};

    #[test]
    fn a_final_bar_of_kis_replaces_what_is_provisional_or_damaged_by_a_gap() {
        let kis = stored(Kis, 50, 100, true);
        assert!(supersedes(&stored(Trades, 50, 100, false), &kis));
        assert!(supersedes(&stored(Trades, 49, 100, true), &kis));
        assert!(supersedes(&stored(Trades, 50, 101, true), &kis));
        assert!(!supersedes(&stored(Trades, 50, 100, true), &kis));
        assert!(!supersedes(&stored(Trades, 51, 100, true), &kis));
        let provisional = stored(Kis, 99, 100, false);
        assert!(!supersedes(&stored(Trades, 50, 100, false), &provisional));
        assert!(!supersedes(&stored(Trades, 50, 100, true), &provisional));
    }

    #[test]
    fn the_running_feed_does_not_undo_it() {
        let kis = stored(Kis, 50, 100, true);
        assert!(!supersedes(&kis, &stored(Trades, 99, 100, false)));
        assert!(!supersedes(&kis, &stored(Trades, 50, 101, true)));
        assert!(supersedes(&kis, &stored(Trades, 51, 101, true)));
        assert!(supersedes(&stored(Kis, 50, 100, false), &stored(Trades, 50, 101, false)));
        assert!(!supersedes(&stored(Kis, 50, 100, false), &stored(Trades, 10, 101, true)));
    }

    #[test]
    fn an_older_answer_does_not_replace_a_newer_one() {
        let newer = stored(Kis, 50, 100, false);
        assert!(!supersedes(&newer, &stored(Kis, 40, 99, false)));
        assert!(supersedes(&newer, &stored(Kis, 60, 99, false)));
        assert!(!supersedes(&stored(Kis, 50, 100, true), &stored(Kis, 60, 99, false)));
        // KIS corrects a final bar.
        assert!(supersedes(&stored(Kis, 50, 100, true), &stored(Kis, 40, 99, true)));
    }

    fn any_bar() -> impl Strategy<Value = StoredBar> {
        (any::<bool>(), 0i64..4, 0i64..3, any::<bool>()).prop_map(
            |(kis, volume, close, is_final)| {
                stored(if kis { Kis } else { Trades }, volume, 100 + close, is_final)
            },
        )
    }

    proptest! {
        #[test]
        fn equal_values_keep_the_row(bar in any_bar(), kis in any::<bool>()) {
            let other = StoredBar { source: if kis { Kis } else { Trades }, ..bar };
            prop_assert!(!supersedes(&bar, &other));
        }

        #[test]
        fn of_two_sources_at_most_one_wins(a in any_bar(), b in any_bar()) {
            if a.source != b.source {
                prop_assert!(!(supersedes(&a, &b) && supersedes(&b, &a)), "{a:?} {b:?}");
            }
        }

        #[test]
        fn what_is_final_stays_final(a in any_bar(), b in any_bar()) {
            prop_assert!(!a.bar.is_final || b.bar.is_final || !supersedes(&a, &b));
        }

        /// Between the sources, volume is only given up for finality.
        #[test]
        fn a_better_known_interval_is_never_lost(a in any_bar(), b in any_bar()) {
            if a.source != b.source && a.bar.is_final == b.bar.is_final && supersedes(&a, &b) {
                prop_assert!(b.bar.volume >= a.bar.volume);
            }
        }
    }
}

//! Trades are missing.
//!
//! Every gap is told, each with an identity of its own (the trade after it). Its level follows from
//! the missing part of the day's volume.

use super::{Finding, level};
use crate::market::{EventTime, GapCause, Won};
use crate::risk::params::FeedGapParams;

/// What a gap is told from; fields as in `Mark::Gap`.
#[derive(Debug, Clone, Copy)]
pub struct Gap {
    /// Time of the last trade before.
    pub from: EventTime,
    /// Time of the first trade after.
    pub to: EventTime,
    /// Shares.
    pub missing_volume: i64,
    /// Shares traded today with the trade after it.
    pub cum_volume: i64,
    /// Why.
    pub cause: GapCause,
    /// Last price known, won.
    pub price: Won,
}

/// Tells a gap.
#[must_use]
pub fn finding(params: &FeedGapParams, gap: &Gap) -> Finding {
    let missing_pct = 100.0 * gap.missing_volume.max(0) as f64 / gap.cum_volume.max(1) as f64;
    let rung = 1 + super::rung(missing_pct, &params.missing_pct);
    let seconds = gap.to.micros_since(gap.from) / crate::market::time::MICROS_PER_SECOND;
    let cause = match gap.cause {
        GapCause::Disconnect => 1.0,
        GapCause::Feed => 2.0,
        GapCause::Rejected => 3.0,
        GapCause::Mute => 4.0,
    };
    Finding {
        level: level(rung),
        price: gap.price,
        reference_price: 0,
        change_pct: 0.0,
        window_s: u32::try_from(seconds.max(0)).unwrap_or(u32::MAX),
        evidence: vec![
            ("missing_volume", gap.missing_volume as f64),
            ("missing_pct", missing_pct),
            // 1 disconnect, 2 the feed skipped, 3 a record was refused, 4 the subscription was mute.
            ("cause", cause),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::risk::types::Level;

    #[test]
    fn the_level_follows_from_the_missing_part() {
        for (missing_volume, expected) in
            [(5, Level::Watch), (10, Level::Warning), (500, Level::Critical)]
        {
            let gap = Gap {
                from: EventTime::from_micros(0),
                to: EventTime::from_micros(7_000_000),
                missing_volume,
                cum_volume: 1_000,
                cause: GapCause::Feed,
                price: 100,
            };
            let finding = finding(&FeedGapParams::default(), &gap);
            assert_eq!((finding.level, finding.window_s), (expected, 7));
        }
    }
}

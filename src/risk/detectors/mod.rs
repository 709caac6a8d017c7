//! Detectors of crash and threat: one file each.
//!
//! A detector is a small piece of state and a pure check. It gets numbers and event time, and
//! answers with a [`Finding`] when there is news; the engine adds issue, cause and journal position.

pub mod breadth;
pub mod feed_gap;
pub mod feed_stale;
pub mod halt;
pub mod index_fall;
pub mod jump;
pub mod latch;
pub mod liquidity;
pub mod model_drift;
pub mod price_limit;
pub mod slide;
pub mod symbol_crash;
pub mod vi;
pub mod volatility;
pub mod volume_surge;

pub use latch::{Latch, rung};

use super::types::Level;
use crate::market::Won;

/// What a detector has to tell; fields as in [`super::types::Detection`].
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Seriousness.
    pub level: Level,
    /// Won, or hundredths of an index point; 0 when there is none.
    pub price: Won,
    /// What it is compared with; 0 when there is none.
    pub reference_price: Won,
    /// Per cent.
    pub change_pct: f64,
    /// Seconds; 0 for "since the previous close".
    pub window_s: u32,
    /// The numbers that fired the rule, in a fixed order for each rule.
    pub evidence: Vec<(&'static str, f64)>,
}

/// The level of a rung of a ladder: watch, warning, and critical from the third on.
#[must_use]
pub const fn level(rung: u8) -> Level {
    match rung {
        0 | 1 => Level::Watch,
        2 => Level::Warning,
        _ => Level::Critical,
    }
}

/// Fall from `high` to `price` in per cent; 0 when there is no high or no fall. Exact where the
/// result is a whole number: a fall of 8 % to the point is on the rung of 8.
#[must_use]
pub fn fall_pct(high: i64, price: i64) -> f64 {
    if high <= 0 || price >= high {
        return 0.0;
    }
    100.0 * high.saturating_sub(price) as f64 / high as f64
}

/// Change against the base price beyond which it is no move of continuous trading, per cent: the
/// daily limit is 30 %, and its width is cut to the tick.
const LIMIT_PCT: f64 = 30.5;

/// Whether a change against the base price, per cent, cannot happen under the daily limit: the base
/// price is not this (a split, a re-opening after long, a first day).
#[must_use]
pub fn beyond_limit(change_pct: f64) -> bool {
    change_pct.abs() > LIMIT_PCT
}

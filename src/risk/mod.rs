//! Risk: what the market's ticks say about the danger of holding an issue, and when to shout.
//!
//! Input is the stream of [`crate::market::TickBatch`]es; output is [`ScoreBatch`]es: a score of each
//! issue at most once a second of event time, the last score of each minute, and what the
//! detectors found. Read in this order:
//!
//! - [`types`]: what comes out.
//! - [`engine`]: [`RiskEngine`], one entry in, results out.
//! - [`estimators`]: variance, range, windows, drawdown, volume, spread, prior: constant time a tick;
//!   and those of daily bars.
//! - [`score`]: what the number from 0 to 100 means.
//! - [`detectors`]: crash of an issue and of the market, volatility, volume, liquidity, interruptions,
//!   limits, halts, silence, gaps.
//! - [`params`]: every number judgement rests on, with the arithmetic behind its default.
//!
//! Pure: no I/O, no clock, no actor. The same sequence of entries gives the same results, bit for
//! bit, on one platform, however it is cut into batches, live or replayed.
//!
//! Limits: the score is a stated forecast, not a fitted model; a jump that no tick announces (an
//! overnight gap) is in it only as far as past days had such jumps. An issue that is not traded
//! is not scored.

mod decays;
pub mod detectors;
pub mod engine;
pub mod estimators;
mod flow;
pub mod from_bars;
mod market_state;
mod outlook;
pub mod params;
pub mod score;
mod state;
pub mod types;

#[cfg(test)]
mod tests;

pub use engine::{IssueCodes, RiskEngine};
pub use params::RiskParams;
pub use types::{
    Cause, Detection, Level, RiskMinute, RiskPoint, RiskRow, Rule, ScoreBatch, ScoreParts,
};

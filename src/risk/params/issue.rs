//! Settings of the statistical tests of an issue's fall, and of the threats of its trading.

use serde::{Deserialize, Serialize};

/// When a fall within a bar of 30 seconds is a jump; see [`crate::risk::detectors::jump`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JumpParams {
    /// False alarms of one issue a day, under normal returns, that each level's threshold allows:
    /// once in a thousand, ten thousand, a hundred thousand days. Real returns have fatter tails
    /// (on four real issues 3 of 2,966 bars passed the first threshold), so …
    pub false_alarms_a_day: [f64; 3],
    /// … the fall must also be worth a word, per cent: half of the plain rule's.
    pub min_falls_pct: [f64; 3],
    /// And this many ticks: a price that moves by whole ticks jumps all the time.
    pub min_ticks: i64,
    /// Half-life of the local variance, seconds: half an hour is 60 bars, twice the standard error
    /// that the intraday variance of the score has, against a threshold beyond five deviations.
    pub half_life_s: f64,
    /// Returns needed today: five minutes.
    pub min_returns: u32,
}

impl Default for JumpParams {
    fn default() -> Self {
        Self {
            false_alarms_a_day: [1e-3, 1e-4, 1e-5],
            min_falls_pct: [1.0, 1.5, 2.5],
            min_ticks: 3,
            half_life_s: 1_800.0,
            min_returns: 10,
        }
    }
}

/// When a slow fall is a slide; see [`crate::risk::detectors::slide`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SlideParams {
    /// Standard deviations a bar that are forgiven: half the drift that is to be found fastest.
    pub allowance: f64,
    /// Average time to a false alarm of one issue without a drift, days, for each level.
    pub run_length_days: [f64; 3],
    /// The fall since the slide began must also be this, per cent.
    pub min_falls_pct: [f64; 3],
    /// A bar counts for at most so many standard deviations: a jump has a test of its own.
    pub clip_sigmas: f64,
}

impl Default for SlideParams {
    fn default() -> Self {
        Self {
            allowance: 0.25,
            run_length_days: [1e2, 1e4, 1e6],
            min_falls_pct: [2.5, 4.0, 6.5],
            clip_sigmas: 4.0,
        }
    }
}

/// When getting out of an issue becomes dear; see [`crate::risk::detectors::liquidity`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LiquidityParams {
    /// Spread over its norm of this time of day.
    pub spread_ratios: [f64; 3],
    /// And at least this, per cent: three ticks of a 1,500-won share.
    pub min_spread_pct: f64,
    /// Norm of the bid depth over the depth now.
    pub depth_ratios: [f64; 3],
    /// And the spread is at least this much of its norm: a thin book with a tight spread refills.
    pub depth_spread_ratio: f64,
    /// Norm of the traded volume over the volume now, in a market that falls …
    pub dry_ratios: [f64; 3],
    /// … by this, per cent.
    pub market_fall_pct: f64,
    /// Half-life of the norms, seconds.
    pub half_life_s: f64,
    /// Samples of the norm, one a second, needed …
    pub min_samples: u32,
    /// … over this many seconds.
    pub min_seconds: i64,
    /// Armed again when every measure is back below this part of its first rung, …
    pub rearm: f64,
    /// … and this many seconds after it fired.
    pub cooldown_s: i64,
}

impl Default for LiquidityParams {
    fn default() -> Self {
        Self {
            spread_ratios: [4.0, 6.0, 10.0],
            min_spread_pct: 0.6,
            depth_ratios: [5.0, 10.0, 20.0],
            depth_spread_ratio: 1.5,
            dry_ratios: [5.0, 10.0, 20.0],
            market_fall_pct: 2.0,
            half_life_s: 3_600.0,
            min_samples: 120,
            min_seconds: 1_200,
            rearm: 0.5,
            cooldown_s: 3_600,
        }
    }
}

/// When a volatility interruption is near; see [`crate::risk::detectors::vi`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ViParams {
    /// Distance to the price that starts a static one, per cent of its reference, that is near.
    pub near_pct: f64,
    /// From this interruption of an issue's day on, one is critical.
    pub critical_count: u8,
    /// Nearness is armed again at this many times the distance, …
    pub rearm: f64,
    /// … and this many seconds after it was told.
    pub cooldown_s: i64,
}

impl Default for ViParams {
    fn default() -> Self {
        Self { near_pct: 1.0, critical_count: 3, rearm: 2.0, cooldown_s: 1_800 }
    }
}

/// When the daily price limit is near; see [`crate::risk::detectors::price_limit`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PriceLimitParams {
    /// Distance to the limit, per cent of it, that is near.
    pub near_pct: f64,
    /// Armed again at this many times the distance, …
    pub rearm: f64,
    /// … and this many seconds after it was told.
    pub cooldown_s: i64,
}

impl Default for PriceLimitParams {
    fn default() -> Self {
        Self { near_pct: 1.0, rearm: 3.0, cooldown_s: 3_600 }
    }
}

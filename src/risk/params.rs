//! Every number the engine's judgement rests on, with its default and the arithmetic behind it.
//!
//! Falls are positive per cent; ladders of three are watch, warning, critical.

mod issue;

use serde::{Deserialize, Serialize};

pub use issue::{JumpParams, LiquidityParams, PriceLimitParams, SlideParams, ViParams};

/// Settings of the [`super::RiskEngine`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RiskParams {
    /// Estimators.
    pub estimators: EstimatorParams,
    /// The score.
    pub score: ScoreWeights,
    /// Fall of one issue.
    pub symbol_crash: SymbolCrashParams,
    /// Jump of one issue.
    pub jump: JumpParams,
    /// Slide of one issue.
    pub slide: SlideParams,
    /// Fall of the market.
    pub market_crash: MarketCrashParams,
    /// Realised volatility.
    pub volatility: VolatilityParams,
    /// Traded volume.
    pub volume_surge: VolumeSurgeParams,
    /// Spread, depth and trading that dry up.
    pub liquidity: LiquidityParams,
    /// Volatility interruptions.
    pub vi: ViParams,
    /// Daily price limits.
    pub price_limit: PriceLimitParams,
    /// Silence.
    pub feed_stale: FeedStaleParams,
    /// Missing trades.
    pub feed_gap: FeedGapParams,
}

/// How the state of the market is measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EstimatorParams {
    /// Daily volatility of an issue nothing is known of, per cent: the middle of Korean listings.
    pub default_daily_vol_pct: f64,
    /// Sessions that default weighs as much as, against the issue's own closes.
    pub shrink_sessions: f64,
    /// Half-life of the intraday variance, seconds: 10 minutes are 20 bars, a relative standard
    /// error of the volatility near 13 %.
    pub variance_half_life_s: f64,
    /// A return counts for at most this many present standard deviations.
    pub return_cap_sigmas: f64,
    /// Part of a day's variance, close to close, that falls between close and open: of the liquid
    /// KOSPI issues from 2022 to mid-2024, the squared overnight return has 0.228 of the forecast.
    pub overnight_share: f64,
    /// Share of a session after which today weighs as much as the past in the forecast.
    pub blend_share: f64,
    /// Half-life of the present volume rate, seconds.
    pub volume_half_life_s: f64,
    /// Half-life of an issue's own volume norm where the feed tells none, seconds.
    pub own_volume_half_life_s: f64,
    /// Turnover that is noise, won a second: added to both sides of the volume ratio, so that a
    /// sleepy issue's single trade is not a surge (10 million won in five minutes).
    pub noise_turnover_per_s: f64,
    /// Half-life of the spread, seconds.
    pub spread_half_life_s: f64,
}

impl Default for EstimatorParams {
    fn default() -> Self {
        Self {
            default_daily_vol_pct: 2.5,
            shrink_sessions: 10.0,
            variance_half_life_s: 600.0,
            return_cap_sigmas: 6.0,
            overnight_share: 0.22,
            blend_share: 0.5,
            volume_half_life_s: 300.0,
            own_volume_half_life_s: 3_600.0,
            noise_turnover_per_s: 33_333.0,
            spread_half_life_s: 60.0,
        }
    }
}

/// Weights of the downside forecast; see [`super::score`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScoreWeights {
    /// Part of the fall from the day's high, beyond one day's standard deviation, that is expected
    /// again.
    pub day_fall: f64,
    /// Part of the fall within five minutes, beyond two standard deviations of that time, that is
    /// expected again: as long as it lasts nobody knows where it ends.
    pub window_fall: f64,
    /// Standard deviations added for each e-fold of volume above its norm.
    pub volume: f64,
    /// Volume ratio from which on more volume adds nothing.
    pub volume_ratio_cap: f64,
    /// Each part is at most this, per cent: the daily price limit.
    pub part_cap_pct: f64,
}

impl Default for ScoreWeights {
    fn default() -> Self {
        Self {
            day_fall: 0.25,
            window_fall: 0.5,
            volume: 0.15,
            volume_ratio_cap: 20.0,
            part_cap_pct: 30.0,
        }
    }
}

/// When an issue crashes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SymbolCrashParams {
    /// Fall from the highest price of the last minute, per cent.
    pub short_falls_pct: [f64; 3],
    /// Fall from the highest price of the last five minutes, per cent.
    pub long_falls_pct: [f64; 3],
    /// The fall must also be this many of the issue's own standard deviations of such a time: at
    /// 2.5 % a day five minutes have 0.24 % (0.39 % in the opening half hour), so the per cents
    /// decide; at 8 % a day they are 0.78 % (1.26 %), and only a fall of 4.7 % (7.6 %) is news.
    pub sigmas: [f64; 3],
    /// Fall against the base price of the day, per cent: watch, warning, critical, critical again.
    /// 10 % is where the static volatility interruption triggers.
    pub base_falls_pct: [f64; 4],
    /// A ladder is armed again when its fall is back below this part of its first rung, …
    pub rearm: f64,
    /// … and this many seconds of event time have passed since it fired.
    pub cooldown_s: i64,
}

impl Default for SymbolCrashParams {
    fn default() -> Self {
        Self {
            short_falls_pct: [2.0, 3.0, 5.0],
            long_falls_pct: [3.0, 5.0, 8.0],
            sigmas: [6.0, 7.0, 8.0],
            base_falls_pct: [10.0, 15.0, 20.0, 25.0],
            rearm: 0.5,
            cooldown_s: 900,
        }
    }
}

/// When the market crashes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MarketCrashParams {
    /// Fall of an index against its previous close, per cent; critical again at each of the
    /// exchange's circuit-breaker levels, 8, 15 and 20 %. Of the 1,349 sessions from 2020 to
    /// mid-2025 the lower of KOSPI and KOSDAQ touched −3 % on 80, −4 % on 33 and −5 % on 12.
    pub index_falls_pct: [f64; 3],
    /// Fall of an index from its highest print of the last five minutes, per cent. At 1.2 % a day,
    /// five minutes have 0.12 % (0.19 % in the opening half hour): 1 % is five to eight deviations.
    pub fast_falls_pct: [f64; 3],
    /// Prints before 09:00 plus this many seconds do not count for the fast fall: the index is
    /// still composed of yesterday's prices for issues that have not opened.
    pub opening_s: u32,
    /// Breadth is judged from this many traded issues on.
    pub breadth_issues: u32,
    /// Fall of the median issue against its base price, per cent.
    pub median_falls_pct: [f64; 3],
    /// An issue is down when it is down by this, per cent: for watch, warning, critical.
    pub down_pct: [f64; 3],
    /// Share of issues that are down, 0 to 1. Of 2024-08-05's issues 68 % closed 8 % down or more,
    /// of 2025-04-07's 13 %.
    pub down_share: [f64; 3],
    /// A ladder is armed again when its measure is back below this part of its first rung, …
    pub rearm: f64,
    /// … and this many seconds of event time have passed since it fired.
    pub cooldown_s: i64,
}

impl Default for MarketCrashParams {
    fn default() -> Self {
        Self {
            index_falls_pct: [3.0, 4.0, 5.0],
            fast_falls_pct: [1.0, 1.5, 2.5],
            opening_s: 60,
            breadth_issues: 20,
            median_falls_pct: [3.0, 5.0, 8.0],
            down_pct: [5.0, 5.0, 8.0],
            down_share: [0.25, 0.5, 0.5],
            rearm: 0.7,
            cooldown_s: 1_800,
        }
    }
}

/// When volatility is far above its norm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VolatilityParams {
    /// Ratio of the intraday to the normal standard deviation. The estimate has a relative error
    /// near 13 % and the norm one near 10 %, so 2.5 is not noise.
    pub ratios: [f64; 3],
    /// And at least this, per cent a day: a calm issue may treble without being of interest.
    pub min_daily_vol_pct: f64,
    /// Returns of 30 seconds needed today: 10 minutes.
    pub min_returns: u32,
    /// Sessions of history needed for a norm of the issue's own; with fewer, the norm is at least
    /// what the range of today tells.
    pub min_sessions: u32,
    /// Armed again below this part of the first ratio, …
    pub rearm: f64,
    /// … and this many seconds after it fired.
    pub cooldown_s: i64,
}

impl Default for VolatilityParams {
    fn default() -> Self {
        Self {
            ratios: [2.5, 3.5, 5.0],
            min_daily_vol_pct: 5.0,
            min_returns: 20,
            min_sessions: 10,
            rearm: 0.7,
            cooldown_s: 3_600,
        }
    }
}

/// When volume is far above its norm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VolumeSurgeParams {
    /// Ratio of the present rate to the norm of this hour.
    pub ratios: [f64; 3],
    /// And this turnover in the time the rate looks back on, won.
    pub min_turnover: f64,
    /// And this many trades in it: one block trade is no surge.
    pub min_trades: f64,
    /// Armed again below this part of the first ratio, …
    pub rearm: f64,
    /// … and this many seconds after it fired.
    pub cooldown_s: i64,
}

impl Default for VolumeSurgeParams {
    fn default() -> Self {
        Self {
            ratios: [8.0, 15.0, 30.0],
            min_turnover: 3e8,
            min_trades: 20.0,
            rearm: 0.5,
            cooldown_s: 3_600,
        }
    }
}

/// When a feed or an issue is silent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeedStaleParams {
    /// Seconds without a frame in the session. Forty liquid issues trade many times a second.
    pub feed_silence_s: [i64; 3],
    /// An issue is active from this many seconds with a trade today on, …
    pub min_trades: u32,
    /// … at intervals of at most this many seconds on average.
    pub max_interval_s: f64,
    /// An active issue is silent after this many of its own intervals. With exponential intervals
    /// that happens once in e³⁰ of them.
    pub intervals: f64,
    /// And this many seconds in which other issues traded; a volatility interruption takes 120 to
    /// 150.
    pub min_silence_s: u32,
}

impl Default for FeedStaleParams {
    fn default() -> Self {
        Self {
            feed_silence_s: [15, 60, 300],
            min_trades: 50,
            max_interval_s: 20.0,
            intervals: 30.0,
            min_silence_s: 240,
        }
    }
}

/// How serious missing trades are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeedGapParams {
    /// Missing part of the day's volume from which on a gap is a warning, and critical, per cent.
    pub missing_pct: [f64; 2],
}

impl Default for FeedGapParams {
    fn default() -> Self {
        Self { missing_pct: [1.0, 10.0] }
    }
}

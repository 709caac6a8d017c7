//! The parts of a scenario, each with its ranges and defaults.

use garde::Validate;
use serde::{Deserialize, Serialize};

use super::rules::{
    CORRELATION, DAILY_VALUE, FALL, HISTORY, LOSS, MOVE, PATHS, PICKS, RANKING, SCORE, SESSION,
    SPREAD, VALUE, VOLATILITY, VOLATILITY_FACTOR, WEIGHT, budget_level, in_order, one_amount,
    positive_weight, reachable, sector_names, some_within, with_index, within,
};
use crate::advice::limits::ScenarioLimits;
use crate::advice::risk_limit::Measure;
use crate::advice::simulate::RepeatMode;
use crate::market::{Market, SessionDay, Symbol, Won};

/// Most codes, markets or sectors in a list.
pub const MOST_LISTED: usize = 1_000;

/// Something that is held; one of quantity, value and weight.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
#[garde(custom(one_amount))]
pub struct HoldingLine {
    /// Code.
    #[garde(skip)]
    pub symbol: Symbol,
    /// Shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(custom(some_within(VALUE)))]
    pub quantity: Option<i64>,
    /// Value, won.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(custom(some_within(VALUE)))]
    pub value: Option<Won>,
    /// Share of the capital, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(custom(positive_weight))]
    pub weight: Option<f64>,
}

/// A loss that is bearable.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Validate)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Budget {
    /// Loss at the horizon that may be exceeded with the probability 1 − level.
    ValueAtRisk(#[garde(dive)] LossBudget),
    /// Largest fall on the way, likewise.
    Drawdown(#[garde(dive)] LossBudget),
}

impl Budget {
    /// The loss and its level.
    #[must_use]
    pub const fn loss(&self) -> LossBudget {
        match self {
            Self::ValueAtRisk(one) | Self::Drawdown(one) => *one,
        }
    }

    /// How the loss is measured.
    #[must_use]
    pub const fn measure(&self) -> Measure {
        match self {
            Self::ValueAtRisk(one) => Measure::ValueAtRisk { level: one.level },
            Self::Drawdown(one) => Measure::Drawdown { level: one.level },
        }
    }
}

/// A loss and how sure it should be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct LossBudget {
    /// Loss, per cent of the whole.
    #[garde(custom(within(LOSS)))]
    pub loss_pct: f64,
    /// Level: 0.95, 0.975 or 0.99.
    #[serde(default = "usual_level")]
    #[garde(custom(budget_level))]
    pub level: f64,
}

const fn usual_level() -> f64 {
    0.95
}

/// Which issues may be picked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct Universe {
    /// Markets allowed; empty for all.
    #[garde(length(max = MOST_LISTED))]
    pub markets: Vec<Market>,
    /// Markets left out.
    #[garde(length(max = MOST_LISTED))]
    pub markets_out: Vec<Market>,
    /// Sectors allowed; empty for all. An issue whose sector is not known is in none.
    #[garde(length(max = MOST_LISTED), custom(sector_names))]
    pub sectors: Vec<String>,
    /// Sectors left out.
    #[garde(length(max = MOST_LISTED), custom(sector_names))]
    pub sectors_out: Vec<String>,
    /// Issues never picked.
    #[garde(length(max = MOST_LISTED))]
    pub excluded: Vec<Symbol>,
    /// Least average value traded a day, won.
    #[garde(custom(within(DAILY_VALUE)))]
    pub min_daily_value: Won,
}

/// Limits on the picks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct PickRules {
    /// Most picks.
    #[garde(custom(within(PICKS)))]
    pub max_picks: u32,
    /// Largest weight of one pick, above 0 to 1.
    #[garde(custom(within(WEIGHT)))]
    pub max_weight: f64,
    /// Largest share of the picks that may be of one market, above 0 to 1.
    #[garde(custom(within(WEIGHT)))]
    pub max_market_share: f64,
    /// Largest correlation of daily returns between two picks.
    #[garde(custom(within(CORRELATION)))]
    pub max_correlation: f64,
    /// Highest risk score, 0 to 100.
    #[garde(custom(within(SCORE)))]
    pub max_score: f64,
    /// Largest fall today, per cent.
    #[garde(custom(within(FALL)))]
    pub max_fall_pct: f64,
    /// Highest forecast standard deviation of one day's return, per cent.
    #[garde(custom(within(VOLATILITY)))]
    pub max_volatility_pct: f64,
    /// Widest spread, per cent of the price.
    #[garde(custom(within(SPREAD)))]
    pub max_spread_pct: f64,
    /// Fewest daily returns known.
    #[garde(custom(within(HISTORY)))]
    pub min_history: u32,
    /// Ranking value that must be exceeded.
    #[garde(custom(within(RANKING)))]
    pub min_value: f64,
}

/// Something that is supposed to happen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Validate)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ShockLine {
    /// A market moves.
    Market(#[garde(dive)] MarketShock),
    /// A stock moves.
    Stock(#[garde(dive)] StockShock),
    /// Every volatility is multiplied.
    Volatility(#[garde(dive)] VolatilityShock),
    /// A past window happens again.
    Repeat(#[garde(dive)] RepeatShock),
}

impl ShockLine {
    /// As it is written.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Market(_) => "market",
            Self::Stock(_) => "stock",
            Self::Volatility(_) => "volatility",
            Self::Repeat(_) => "repeat",
        }
    }
}

/// A market moves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct MarketShock {
    /// `KOSPI` or `KOSDAQ`.
    #[serde(default = "kospi")]
    #[garde(custom(with_index))]
    pub index: Market,
    /// Move over all of `sessions`, per cent.
    #[garde(custom(within(MOVE)), custom(reachable(self.sessions)))]
    pub change_pct: f64,
    /// First session of it, from 1.
    #[serde(default = "first")]
    #[garde(custom(within(SESSION)))]
    pub at_session: u32,
    /// Sessions over which it is spread, the same move in each.
    #[serde(default = "first")]
    #[garde(custom(within(SESSION)))]
    pub sessions: u32,
}

/// A stock moves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct StockShock {
    /// Code.
    #[garde(skip)]
    pub symbol: Symbol,
    /// Move of one session, per cent: within the price limit.
    #[garde(custom(reachable(1)))]
    pub change_pct: f64,
    /// The session, from 1.
    #[serde(default = "first")]
    #[garde(custom(within(SESSION)))]
    pub at_session: u32,
}

/// Every volatility is multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct VolatilityShock {
    /// By this.
    #[garde(custom(within(VOLATILITY_FACTOR)))]
    pub factor: f64,
}

/// A past window happens again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
#[garde(custom(in_order))]
pub struct RepeatShock {
    /// First day.
    #[garde(skip)]
    pub from: SessionDay,
    /// Last day.
    #[garde(skip)]
    pub to: SessionDay,
    /// Session at which it begins, from 1.
    #[serde(default = "first")]
    #[garde(custom(within(SESSION)))]
    pub at_session: u32,
    /// The returns as they were, or the residuals at the volatilities of now.
    #[serde(default, rename = "as")]
    #[garde(skip)]
    pub mode: RepeatMode,
}

/// How it is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct Simulation {
    /// Paths.
    #[garde(custom(within(PATHS)))]
    pub paths: u32,
    /// Seed of the draws.
    #[garde(skip)]
    pub seed: u64,
    /// Day whose close is the start; `None`: the last session that is known.
    #[garde(skip)]
    pub as_of: Option<SessionDay>,
}

const fn first() -> u32 {
    1
}

const fn kospi() -> Market {
    Market::Kospi
}

impl Default for Universe {
    fn default() -> Self {
        Self {
            markets: Vec::new(),
            markets_out: Vec::new(),
            sectors: Vec::new(),
            sectors_out: Vec::new(),
            excluded: Vec::new(),
            min_daily_value: ScenarioLimits::default().min_daily_value,
        }
    }
}

impl Default for PickRules {
    fn default() -> Self {
        let limits = ScenarioLimits::default();
        Self {
            max_picks: u32::try_from(limits.max_picks).unwrap_or(u32::MAX),
            max_weight: limits.max_weight,
            max_market_share: limits.max_market_share,
            max_correlation: limits.max_correlation,
            max_score: limits.max_score,
            max_fall_pct: limits.max_fall_pct,
            max_volatility_pct: limits.max_volatility_pct,
            max_spread_pct: limits.max_spread_pct,
            min_history: u32::try_from(limits.min_history).unwrap_or(u32::MAX),
            min_value: limits.min_value,
        }
    }
}

impl Default for Simulation {
    fn default() -> Self {
        Self { paths: 20_000, seed: 1, as_of: None }
    }
}

impl Universe {
    /// Whether an issue of this market and sector is in it.
    #[must_use]
    pub fn admits(&self, symbol: Symbol, market: Market, sector: Option<&str>) -> bool {
        let named = |list: &[String]| sector.is_some_and(|one| list.iter().any(|s| s == one));
        (self.markets.is_empty() || self.markets.contains(&market))
            && !self.markets_out.contains(&market)
            && (self.sectors.is_empty() || named(&self.sectors))
            && !named(&self.sectors_out)
            && !self.excluded.contains(&symbol)
    }
}

//! A scenario's limits, and which candidates meet them.

use serde::{Deserialize, Serialize};

use super::costs::TradingCosts;
use super::recommend::Candidate;
use super::statistics::log_returns;
use super::weights::RiskBudget;
use crate::market::{Market, Symbol, Won};

/// What a user's scenario asks of the picks. Every field has a default, so a scenario file states
/// only what it changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScenarioLimits {
    /// Name of the scenario.
    pub name: String,
    /// Most picks.
    pub max_picks: usize,
    /// Largest weight of one pick, 0 to 1.
    pub max_weight: f64,
    /// Largest share of the picks that may be of one market, 0 to 1.
    pub max_market_share: f64,
    /// Largest share of the picks that may be of one sector, 0 to 1, where sectors are known.
    pub max_sector_share: f64,
    /// What the picks together may lose; `None` for no limit.
    pub risk_budget: Option<RiskBudget>,
    /// Largest correlation of daily returns between two picks.
    pub max_correlation: f64,
    /// Highest risk score, 0 to 100.
    pub max_score: f64,
    /// Largest fall today, per cent; an issue that fell further is in free fall.
    pub max_fall_pct: f64,
    /// Highest forecast standard deviation of one day's return, per cent.
    pub max_volatility_pct: f64,
    /// Widest spread, per cent of the price.
    pub max_spread_pct: f64,
    /// Fewest daily returns known.
    pub min_history: usize,
    /// Least average value traded a day, won.
    pub min_daily_value: Won,
    /// Ranking value that must be exceeded.
    pub min_value: f64,
    /// Sessions a position is held.
    pub horizon_sessions: u32,
    /// Capital, won; an issue of which not one share fits into the largest weight is left out.
    pub capital: Option<Won>,
    /// Markets allowed; empty for all.
    pub markets: Vec<Market>,
    /// Issues never picked.
    pub excluded: Vec<Symbol>,
    /// Costs of trading; `None` for those of the year of the recommendation.
    pub costs: Option<TradingCosts>,
}

impl Default for ScenarioLimits {
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            max_picks: 10,
            max_weight: 0.2,
            max_market_share: 0.7,
            max_sector_share: 0.4,
            risk_budget: None,
            max_correlation: 0.8,
            max_score: 85.0,
            max_fall_pct: 10.0,
            max_volatility_pct: 6.0,
            max_spread_pct: 0.6,
            min_history: 20,
            min_daily_value: 1_000_000_000,
            min_value: 0.0,
            horizon_sessions: 20,
            capital: None,
            markets: Vec::new(),
            excluded: Vec::new(),
            costs: None,
        }
    }
}

/// Why a candidate is not eligible, in the order of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exclusion {
    /// The scenario names it or its market.
    Scenario,
    /// No price, or a number that is none.
    NoData,
    /// Too few daily closes.
    History,
    /// Too little traded.
    Liquidity,
    /// The spread is not known or too wide.
    Spread,
    /// Risk score, today's fall or volatility too high.
    FreeFall,
    /// One share is dearer than the largest weight of the capital.
    Unaffordable,
    /// The model's ranking is used, and too little is known to rank it.
    Unranked,
}

impl Exclusion {
    /// For the note, Korean.
    #[must_use]
    pub const fn korean(self) -> &'static str {
        match self {
            Self::Scenario => "시나리오 제외",
            Self::NoData => "시세 없음",
            Self::History => "일봉 이력 부족",
            Self::Liquidity => "거래대금 부족",
            Self::Spread => "호가 스프레드 미확인 또는 과다",
            Self::FreeFall => "위험 점수·낙폭·변동성 한도 초과",
            Self::Unaffordable => "자본 대비 단가 초과",
            Self::Unranked => "순위 산정 자료 부족",
        }
    }
}

impl ScenarioLimits {
    /// The daily log returns of an eligible candidate, or why it is not eligible.
    ///
    /// A number that is not a number fails the check it stands in.
    ///
    /// # Errors
    /// The first limit that is not met.
    pub fn check(&self, candidate: &Candidate) -> Result<Vec<f64>, Exclusion> {
        let reference = &candidate.reference;
        let wanted_market = self.markets.is_empty() || self.markets.contains(&reference.market);
        if !wanted_market || self.excluded.contains(&reference.symbol) {
            return Err(Exclusion::Scenario);
        }
        let volatility = candidate.daily_volatility_pct;
        let known = volatility.is_finite()
            && volatility > 0.0
            && candidate.change_pct.is_finite()
            && candidate.score.is_finite();
        if candidate.price <= 0 || !known {
            return Err(Exclusion::NoData);
        }
        let returns = log_returns(&reference.closes);
        if returns.is_empty() || returns.len() < self.min_history {
            return Err(Exclusion::History);
        }
        let liquid = super::costs::average_value(reference)
            .map_or(candidate.cum_value as f64, |average| average);
        if liquid < self.min_daily_value as f64 {
            return Err(Exclusion::Liquidity);
        }
        if !(candidate.spread_pct > 0.0 && candidate.spread_pct <= self.max_spread_pct) {
            return Err(Exclusion::Spread);
        }
        let calm = candidate.score < self.max_score
            && candidate.change_pct > -self.max_fall_pct
            && volatility <= self.max_volatility_pct;
        if !calm {
            return Err(Exclusion::FreeFall);
        }
        let most = self.capital.map(|capital| capital as f64 * self.max_weight);
        if most.is_some_and(|most| candidate.price as f64 > most) {
            return Err(Exclusion::Unaffordable);
        }
        Ok(returns)
    }

    /// Most picks of one market; at least one.
    #[must_use]
    pub fn market_cap(&self) -> usize {
        // `as` saturates and takes NaN to zero.
        ((self.max_market_share * self.max_picks as f64).ceil() as usize).max(1)
    }
}

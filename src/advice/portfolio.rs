//! Defence plans for a whole portfolio when the market falls.

use std::sync::Arc;

use super::catalogue::{Exposure, MarketLink};
use super::costs::average_value;
use super::mitigate::{
    PlanHead, PlanSettings, Position, Severity, assemble, position_value, volatility_pct,
};
use super::statistics::{beta, bounded, correlation, log_returns};
use super::types::MitigationPlan;
use crate::market::{EventTime, Market, Reference, Won};

/// Correlation of two issues of which too few closes are known: about what large KOSPI issues
/// show in falling markets.
const ASSUMED_CORRELATION: f64 = 0.5;

/// One issue of a portfolio.
#[derive(Debug, Clone, PartialEq)]
pub struct Holding {
    /// Code, market, closes, volumes.
    pub reference: Arc<Reference>,
    /// Value held, won.
    pub value: Won,
    /// Forecast standard deviation of one day's return, per cent.
    pub daily_volatility_pct: f64,
    /// Relative spread, per cent; 0 when not known.
    pub spread_pct: f64,
}

/// The market under threat.
#[derive(Debug, Clone, PartialEq)]
pub struct PortfolioThreat {
    /// The event to answer.
    pub event_id: String,
    /// How serious it is.
    pub severity: Severity,
    /// Market that fell.
    pub market: Market,
    /// Korean name of the index or portfolio.
    pub name: String,
    /// Whether trading of the market is halted (circuit breaker).
    pub halted: bool,
    /// Forecast standard deviation of the market's daily return, per cent; `None` for the
    /// settings' assumption.
    pub market_volatility_pct: Option<f64>,
    /// Closes of the market's index or proxy, oldest first; empty when not known.
    pub market_closes: Vec<i64>,
    /// What is held; empty for an assumed portfolio that moves like the market.
    pub holdings: Vec<Holding>,
}

/// The plan for a portfolio. With holdings, its value is theirs and `position` only says whether
/// they are assumed; without, it is `position`'s and moves like the market.
///
/// The portfolio's variance is `Σᵢ Σⱼ wᵢ wⱼ σᵢ σⱼ ρᵢⱼ` with forecast volatilities and the
/// correlations of daily closes (0.5 where too few are known). Shares are not counted: amounts
/// are divisible.
#[must_use]
pub fn plan_portfolio(
    threat: &PortfolioThreat,
    position: Position,
    settings: &PlanSettings,
    as_of: EventTime,
) -> MitigationPlan {
    let market_volatility =
        volatility_pct(threat.market_volatility_pct.unwrap_or(settings.market_volatility_pct));
    let held: Vec<&Holding> = threat.holdings.iter().filter(|holding| holding.value > 0).collect();
    let total = held.iter().fold(0i64, |sum, holding| sum.saturating_add(holding.value));
    let value = position_value(if held.is_empty() { position.value } else { total });
    let exposure = if held.is_empty() {
        Exposure {
            value: value as f64,
            daily_volatility_pct: market_volatility,
            spread_pct: 0.0,
            average_value: None,
            shares: None,
            market: threat.market,
            link: MarketLink::assumed(market_volatility, market_volatility),
            day: as_of.session_day(),
            blocked: None,
        }
    } else {
        of_holdings(&held, threat, market_volatility, value, as_of)
    };
    let blocked = if threat.halted {
        Some("서킷브레이커로 시장 거래가 정지되어 있습니다".to_owned())
    } else {
        (value == 0).then(|| "보유금액이 없습니다".to_owned())
    };
    assemble(
        &Exposure { blocked, ..exposure },
        settings,
        threat.severity,
        PlanHead {
            subject: "portfolio",
            name: &threat.name,
            event_id: &threat.event_id,
            position: Position { value, ..position },
            as_of,
        },
    )
}

fn of_holdings(
    held: &[&Holding],
    threat: &PortfolioThreat,
    market_volatility: f64,
    value: Won,
    as_of: EventTime,
) -> Exposure {
    let total: f64 = held.iter().map(|holding| holding.value as f64).sum();
    let weights: Vec<f64> = held.iter().map(|holding| holding.value as f64 / total).collect();
    let volatilities: Vec<f64> =
        held.iter().map(|holding| volatility_pct(holding.daily_volatility_pct)).collect();
    let returns: Vec<Vec<f64>> =
        held.iter().map(|holding| log_returns(&holding.reference.closes)).collect();
    let volatility = volatility_pct(portfolio_deviation(&weights, &volatilities, &returns));
    let market_returns = log_returns(&threat.market_closes);

    // Measured only when every holding was: a half-measured beta would look better than it is.
    let measured: Option<f64> = returns
        .iter()
        .zip(&weights)
        .map(|(returns, weight)| Some(beta(returns, &market_returns)?.0 * weight))
        .sum();
    let link = measured.map_or_else(
        || MarketLink::assumed(volatility, market_volatility),
        |beta| MarketLink {
            beta,
            correlation: bounded(beta * market_volatility / volatility, -1.0, 0.99, 0.0),
            measured: true,
        },
    );
    // The sum over the issues, as if each were sold in the same proportion; unknown when one is.
    let average: Option<f64> = held.iter().map(|holding| average_value(&holding.reference)).sum();
    let spread = held
        .iter()
        .zip(&weights)
        .map(|(holding, weight)| bounded(holding.spread_pct, 0.0, 30.0, 0.0) * weight)
        .sum();
    Exposure {
        value: value as f64,
        daily_volatility_pct: volatility,
        spread_pct: spread,
        average_value: average,
        shares: None,
        market: threat.market,
        link,
        day: as_of.session_day(),
        blocked: None,
    }
}

/// Standard deviation of a portfolio's daily return, in the unit of `volatilities`.
pub(super) fn portfolio_deviation(
    weights: &[f64],
    volatilities: &[f64],
    returns: &[Vec<f64>],
) -> f64 {
    let mut variance = 0.0;
    for i in 0..weights.len() {
        let own = weights[i] * volatilities[i];
        variance += own * own;
        for j in i + 1..weights.len() {
            let rho = correlation(&returns[i], &returns[j]).unwrap_or(ASSUMED_CORRELATION);
            variance += 2.0 * own * weights[j] * volatilities[j] * rho;
        }
    }
    variance.max(0.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_of_a_kind_diversify_by_their_correlation() {
        let nothing = [vec![], vec![]];
        let volatility = portfolio_deviation(&[0.5, 0.5], &[2.0, 2.0], &nothing);
        // 2 · √(0.25 + 0.25 + 2 · 0.25 · 0.5)
        assert!((volatility - 3f64.sqrt()).abs() < 1e-12);
        let same: Vec<f64> = (0..30).map(|day| f64::from(day % 7) / 100.0).collect();
        let volatility = portfolio_deviation(&[0.5, 0.5], &[2.0, 2.0], &[same.clone(), same]);
        assert!((volatility - 2.0).abs() < 1e-9);
    }
}

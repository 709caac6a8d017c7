//! Defence plans: the catalogue's options for a threatened position, ranked.
//!
//! In: a [`ThreatContext`] (one issue) or a [`PortfolioThreat`] (the market), a [`Position`], event
//! time, [`PlanSettings`]. Out: a [`MitigationPlan`]. Nothing is ever ordered; a plan is a text
//! with numbers.
//!
//! Ranking, `wait` being the baseline:
//! 1. options that take away at least the severity's share of the risk and at least its won of
//!    risk for each won of cost ([`Severity::least_reduction`], [`Severity::least_gain`]), and
//!    that no other option beats in both remaining risk and cost;
//! 2. such options that take away less;
//! 3. waiting;
//! 4. options not worth their cost;
//! 5. dominated options: another leaves no more risk and costs no more;
//! 6. what cannot be carried out.
//!
//! Within a tier by risk taken away per won, then by risk taken away, then in catalogue order.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::catalogue::{Draft, Exposure, MarketLink, drafts};
use super::costs::{TradingCosts, average_value, whole_won};
use super::statistics::{beta, bounded, log_returns};
use super::types::{MitigationPlan, PlanOption};
use crate::market::identity::deterministic_id;
use crate::market::{EventTime, Market, Reference, Symbol, Won, rules};

pub use super::portfolio::{Holding, PortfolioThreat, plan_portfolio};

/// How serious the threat is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth a look.
    Watch,
    /// Act soon.
    Warning,
    /// Act now.
    Critical,
}

impl Severity {
    /// Share of the risk that an option of the first tier takes away.
    #[must_use]
    pub const fn least_reduction(self) -> f64 {
        match self {
            Self::Watch => 0.0,
            Self::Warning => 0.25,
            Self::Critical => 0.5,
        }
    }

    /// Won of value at risk that an option takes away for each won of cost, to be better than
    /// waiting. The graver, the less is asked.
    #[must_use]
    pub const fn least_gain(self) -> f64 {
        match self {
            Self::Watch => 10.0,
            Self::Warning => 5.0,
            Self::Critical => 2.0,
        }
    }
}

/// An inverse ETF on a market's index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InverseEtf {
    /// Market whose index it mirrors.
    pub market: Market,
    /// Code.
    pub symbol: Symbol,
    /// Korean name.
    pub name: String,
    /// Half of its usual spread, per cent.
    pub half_spread_pct: f64,
}

/// Something calm to move into.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Haven {
    /// Code.
    pub symbol: Symbol,
    /// Korean name.
    pub name: String,
    /// Standard deviation of one day's return, per cent; an assumption.
    pub daily_volatility_pct: f64,
    /// Half of its usual spread, per cent.
    pub half_spread_pct: f64,
}

/// What plans assume and aim at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlanSettings {
    /// One-day value at risk (95 %) that a position may have, per cent of its value.
    pub risk_budget_pct: f64,
    /// Distance of a stop, in daily standard deviations.
    pub stop_deviations: f64,
    /// Standard deviation of the market's daily return where none was measured, per cent.
    pub market_volatility_pct: f64,
    /// Smallest order worth placing, won.
    pub smallest_order: Won,
    /// Hedges, one a market.
    pub hedges: Vec<InverseEtf>,
    /// Where to rotate.
    pub haven: Haven,
    /// Costs of trading; `None` for those of the year of the plan.
    pub costs: Option<TradingCosts>,
}

impl Default for PlanSettings {
    fn default() -> Self {
        // Codes of KRX are valid symbols.
        let code =
            |text: &[u8]| Symbol::from_bytes(text).expect("invariant: a KRX code is a symbol");
        let etf = |market, symbol, name: &str| InverseEtf {
            market,
            symbol,
            name: name.to_owned(),
            half_spread_pct: 0.1,
        };
        Self {
            risk_budget_pct: 3.0,
            stop_deviations: 1.0,
            market_volatility_pct: 1.2,
            smallest_order: 10_000,
            hedges: vec![
                etf(Market::Kospi, code(b"114800"), "KODEX 인버스"),
                etf(Market::Kosdaq, code(b"251340"), "KODEX 코스닥150선물인버스"),
            ],
            haven: Haven {
                symbol: code(b"153130"),
                name: "KODEX 단기채권".to_owned(),
                daily_volatility_pct: 0.03,
                half_spread_pct: 0.005,
            },
            costs: None,
        }
    }
}

/// One threatened issue.
#[derive(Debug, Clone, PartialEq)]
pub struct ThreatContext {
    /// The event to answer.
    pub event_id: String,
    /// How serious it is.
    pub severity: Severity,
    /// Code, name, market, base price, closes and volumes.
    pub reference: Arc<Reference>,
    /// Latest price, won.
    pub price: Won,
    /// Forecast standard deviation of one day's return, per cent.
    pub daily_volatility_pct: f64,
    /// Relative spread, per cent; 0 when not known.
    pub spread_pct: f64,
    /// Change against the day's base price, per cent.
    pub change_pct: f64,
    /// Risk score, 0 to 100.
    pub score: f64,
    /// Whether trading is halted (issue or market).
    pub halted: bool,
    /// Closes of the market's index or proxy for the same sessions, oldest first; empty when not
    /// known: beta is then an assumption, and the plan says so.
    pub market_closes: Vec<i64>,
}

/// What is held.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Position {
    /// Value, won.
    pub value: Won,
    /// Whether it is an assumed one.
    pub assumed: bool,
}

/// Largest position value computed with, won: a thousand trillion.
const LARGEST_POSITION: i64 = 1_000_000_000_000_000;

pub(super) fn position_value(value: Won) -> Won {
    value.clamp(0, LARGEST_POSITION)
}

pub(super) fn volatility_pct(forecast: f64) -> f64 {
    // Without a forecast, a volatile issue is assumed.
    if forecast > 0.0 { bounded(forecast, 0.01, 30.0, 3.0) } else { 3.0 }
}

/// The plan for one issue.
///
/// Numbers that are none are replaced by careful assumptions (volatility 3 %, unknown spread); a
/// missing price makes everything but waiting infeasible.
#[must_use]
pub fn plan(
    threat: &ThreatContext,
    position: Position,
    settings: &PlanSettings,
    as_of: EventTime,
) -> MitigationPlan {
    let reference = &threat.reference;
    let value = position_value(position.value);
    let price = threat.price.max(0);
    let held = if price > 0 { value / price } else { 0 };
    let volatility = volatility_pct(threat.daily_volatility_pct);
    // Whole shares are what can be sold; the rest of the value is not there.
    let held_value = if held > 0 { (held * price) as f64 } else { value as f64 };
    let issue = log_returns(&reference.closes);
    let market = log_returns(&threat.market_closes);
    let link = beta(&issue, &market).map_or_else(
        || MarketLink::assumed(volatility, settings.market_volatility_pct),
        |(beta, correlation)| MarketLink { beta, correlation, measured: true },
    );
    let exposure = Exposure {
        value: held_value,
        daily_volatility_pct: volatility,
        spread_pct: bounded(threat.spread_pct, 0.0, 30.0, 0.0),
        average_value: average_value(reference),
        shares: Some((price, held)),
        market: reference.market,
        link,
        day: as_of.session_day(),
        blocked: blocked(threat, held, as_of),
    };
    assemble(
        &exposure,
        settings,
        threat.severity,
        PlanHead {
            subject: reference.symbol.as_str(),
            name: &reference.name,
            event_id: &threat.event_id,
            position: Position { value, ..position },
            as_of,
        },
    )
}

/// Why nothing can be sold.
fn blocked(threat: &ThreatContext, held: i64, as_of: EventTime) -> Option<String> {
    if threat.halted {
        return Some("거래가 정지되어 있어 매도할 수 없습니다".to_owned());
    }
    if threat.price <= 0 {
        return Some("현재가를 알 수 없어 매도 수량을 정할 수 없습니다".to_owned());
    }
    if held < 1 {
        let price = super::korean::won(threat.price);
        return Some(format!("보유금액이 1주 가격 {price}보다 작습니다"));
    }
    let base = threat.reference.base_price.filter(|base| (1..1_000_000_000).contains(base))?;
    let (lower, _) = rules::price_limits(as_of.session_day(), threat.reference.market, base);
    (threat.price <= lower).then(|| {
        let lower = super::korean::won(lower);
        format!("하한가 {lower}에 있어 매도 주문이 체결되지 않을 수 있습니다")
    })
}

/// What a plan says besides its options.
pub(super) struct PlanHead<'a> {
    pub(super) subject: &'a str,
    pub(super) name: &'a str,
    pub(super) event_id: &'a str,
    pub(super) position: Position,
    pub(super) as_of: EventTime,
}

/// Drafts, ranked and put into a plan. The id rests on event, subject, minute and position value.
pub(super) fn assemble(
    exposure: &Exposure,
    settings: &PlanSettings,
    severity: Severity,
    head: PlanHead<'_>,
) -> MitigationPlan {
    let costs = settings.costs.unwrap_or_else(|| TradingCosts::of_day(exposure.day));
    let before = whole_won(exposure.value_at_risk(exposure.value));
    let options = ranked(drafts(exposure, settings, &costs), before, severity);
    let (minute, value) = (head.as_of.minute().to_string(), head.position.value.to_string());
    MitigationPlan {
        id: deterministic_id(&["mitigation", head.event_id, head.subject, &minute, &value]),
        subject: head.subject.to_owned(),
        name: head.name.to_owned(),
        event_id: head.event_id.to_owned(),
        as_of: head.as_of,
        position_value: head.position.value,
        assumed_position: head.position.assumed,
        options,
    }
}

fn dominates(a: &Draft, b: &Draft) -> bool {
    a.infeasible.is_none()
        && a.risk_after <= b.risk_after
        && a.cost <= b.cost
        && (a.risk_after < b.risk_after || a.cost < b.cost)
}

/// Tier from 1 to 6 as in the module's documentation, and the risk taken away per won of cost.
fn tier(draft: &Draft, all: &[Draft], before: Won, severity: Severity) -> (u8, f64) {
    let reduction = (before - draft.risk_after).max(0) as f64;
    // A free reduction is worth one won's price: no division by zero.
    let gain = reduction / draft.cost.max(1) as f64;
    let tier = if draft.infeasible.is_some() {
        6
    } else if draft.action == "wait" {
        3
    } else if all.iter().any(|other| dominates(other, draft)) {
        5
    } else if gain < severity.least_gain() {
        4
    } else if reduction < severity.least_reduction() * before as f64 {
        2
    } else {
        1
    };
    (tier, gain)
}

fn ranked(drafts: Vec<Draft>, before: Won, severity: Severity) -> Vec<PlanOption> {
    let mut keyed: Vec<((u8, f64), Draft)> = drafts
        .iter()
        .map(|draft| (tier(draft, &drafts, before, severity), draft.clone()))
        .collect();
    // Stable: equals keep catalogue order.
    keyed.sort_by(|((tier_a, gain_a), a), ((tier_b, gain_b), b)| {
        tier_a.cmp(tier_b).then(gain_b.total_cmp(gain_a)).then(a.risk_after.cmp(&b.risk_after))
    });
    keyed
        .into_iter()
        .enumerate()
        .map(|(index, (_, draft))| PlanOption {
            rank: index as u32 + 1,
            action: draft.action.to_owned(),
            description: draft.description,
            risk_before: before,
            risk_after: draft.risk_after,
            cost: draft.cost,
            infeasible: draft.infeasible,
        })
        .collect()
}

#[cfg(test)]
#[path = "mitigate_tests.rs"]
mod tests;

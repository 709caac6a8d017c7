//! Defence plans: the catalogue's options for a threatened portfolio, simulated and ranked.
//!
//! In: a [`Situation`] (the world, what is held in it, how to simulate, the threat) and
//! [`PlanSettings`]. Out: a [`MitigationPlan`]. Nothing is ever ordered; a plan is a text with numbers.
//!
//! **Every option is simulated** by the same engine, from the same world, under the same shocks, and
//! with the same seed: path for path the options see the same days, so they differ by what they do and
//! not by chance. Risk is value at risk and expected shortfall at 95 % over the horizon; what an action
//! costs at once is a loss in every path and so is in both. The cost of a stop is what it is on
//! average: the difference of two runs, with and without the cost of its sale.
//!
//! **Ranking**, `wait` being the baseline:
//! 1. options on the Pareto front (no other leaves less or equal value at risk, shortfall and cost, and
//!    one of them less) that take away at least the severity's share of the risk and at least its won of
//!    risk for each won of cost ([`Severity::least_reduction`], [`Severity::least_gain`]);
//! 2. such options that take away less;
//! 3. waiting;
//! 4. options not worth their cost;
//! 5. dominated options;
//! 6. what cannot be carried out.
//!
//! Within a tier by risk taken away per won, then by risk left, then in catalogue order.
//!
//! **Limits.** Costs are those of calm books: in a crash spreads are wider. The simulation expects a
//! return of zero, so selling never forgoes a gain here; what it forgoes is told by its history
//! (`bongsu check hedge`).

use serde::{Deserialize, Serialize};

use super::catalogue::{Draft, drafts};
use super::costs::{TradingCosts, whole_won};
pub use super::positions::Held;
use super::risk_limit::{Measure, RiskLimit};
use super::simulate::{self, Control, Exposure, Outcome, SimulateError, World};
use super::types::{MitigationPlan, PlanOption};
use crate::market::identity::deterministic_id;
use crate::market::{EventTime, Market, SessionDay, Symbol, Won};

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
    /// The fund's fee, per cent a year (총보수).
    pub annual_fee_pct: f64,
}

/// Something calm to move into.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Haven {
    /// Code.
    pub symbol: Symbol,
    /// Korean name.
    pub name: String,
    /// Return, per cent a year; an assumption.
    pub annual_return_pct: f64,
    /// Half of its usual spread, per cent.
    pub half_spread_pct: f64,
}

/// What plans assume and aim at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlanSettings {
    /// Loss that a portfolio may have over one day, per cent of its value; over a longer horizon times
    /// the root of its sessions.
    pub risk_budget_pct: f64,
    /// How that loss is measured.
    pub measure: Measure,
    /// Distance of a stop, in daily standard deviations.
    pub stop_deviations: f64,
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
            annual_fee_pct: 0.64,
        };
        Self {
            risk_budget_pct: 3.0,
            measure: Measure::USUAL,
            stop_deviations: 2.0,
            smallest_order: 10_000,
            hedges: vec![
                etf(Market::Kospi, code(b"114800"), "KODEX 인버스"),
                etf(Market::Kosdaq, code(b"251340"), "KODEX 코스닥150선물인버스"),
            ],
            haven: Haven {
                symbol: code(b"153130"),
                name: "KODEX 단기채권".to_owned(),
                annual_return_pct: 2.5,
                half_spread_pct: 0.005,
            },
            costs: None,
        }
    }
}

impl PlanSettings {
    /// The risk budget over `horizon` sessions of a portfolio worth `value` won.
    #[must_use]
    pub fn budget(&self, value: f64, horizon: u32) -> RiskLimit {
        let won = value * self.risk_budget_pct / 100.0 * f64::from(horizon.max(1)).sqrt();
        RiskLimit { measure: self.measure, won }
    }
}

/// What is to be defended, and against what.
#[derive(Debug, Clone)]
pub struct Situation<'a> {
    /// Code of the issue, or `portfolio`.
    pub subject: String,
    /// Korean name.
    pub name: String,
    /// The event to answer; empty for none.
    pub event_id: String,
    /// How serious it is.
    pub severity: Severity,
    /// Whether the holdings are assumed.
    pub assumed: bool,
    /// As of this event time.
    pub as_of: EventTime,
    /// What is known.
    pub world: &'a World,
    /// What is held.
    pub held: Vec<Held>,
    /// Cash beside it, won.
    pub cash: f64,
    /// Whether the market as a whole is halted.
    pub market_halted: bool,
    /// The loss over the horizon that is bearable; [`PlanSettings::budget`] or the scenario's.
    pub budget: RiskLimit,
    /// Paths, horizon, seed, shocks: the same for every option.
    pub simulation: simulate::Plan,
    /// Day before which the daily bars end.
    pub data_cut: Option<SessionDay>,
}

/// A seed for the plan of an event: equal events give equal draws.
#[must_use]
pub fn seed_of(event_id: &str) -> u64 {
    let id = deterministic_id(&["seed", event_id]);
    // The id is hexadecimal; 32 bits of it are read exactly by any reader of JSON.
    u64::from_str_radix(&id[..8], 16).unwrap_or(1)
}

/// The ranked defences of a situation, and what each of them holds, in the order of the options.
#[derive(Debug, Clone, PartialEq)]
pub struct Defence {
    /// The plan.
    pub plan: MitigationPlan,
    /// By option: what is held after it.
    pub exposures: Vec<Vec<Exposure>>,
}

/// Simulates exposures of which a cost is paid at once.
pub(super) type Simulator<'a> = dyn Fn(&[Exposure], f64) -> Result<Outcome, SimulateError> + 'a;

/// An option with its simulated effect.
struct Simulated {
    draft: Draft,
    value_at_risk: Won,
    shortfall: Won,
    cost: Won,
}

/// The plan for a situation.
///
/// # Errors
/// When the simulation cannot be, or is cancelled.
pub fn plan(
    situation: &Situation<'_>,
    settings: &PlanSettings,
    control: &Control<'_>,
) -> Result<Defence, SimulateError> {
    let day = situation.as_of.session_day();
    let costs = settings.costs.unwrap_or_else(|| TradingCosts::of_day(day));
    let simulated = |exposures: &[Exposure], cost: f64| {
        let plan = simulate::Plan { initial_cost: cost, ..situation.simulation.clone() };
        simulate::simulate(situation.world, exposures, &plan, control)
    };
    let held: Vec<Exposure> = situation.held.iter().map(|held| held.exposure(held.value)).collect();
    let cash = Exposure::cash(situation.cash.max(0.0));
    let before: Vec<Exposure> = held.into_iter().chain(std::iter::once(cash)).collect();
    let baseline = simulated(&before, 0.0)?;
    let (risk, shortfall, error) = figures(&baseline);
    let drafts = drafts(situation, settings, &costs, &baseline, &simulated)?;
    let mut options = Vec::with_capacity(drafts.len());
    for draft in drafts {
        if draft.infeasible.is_some() || draft.action == "wait" {
            let (value_at_risk, shortfall) = (whole_won(risk), whole_won(shortfall));
            options.push(Simulated { draft, value_at_risk, shortfall, cost: 0 });
            continue;
        }
        let outcome = simulated(&draft.exposures, draft.cost)?;
        let (after, short, _) = figures(&outcome);
        let cost = draft.cost + exit_cost(&draft.exposures, &outcome, &simulated)?;
        options.push(Simulated {
            draft,
            value_at_risk: whole_won(after),
            shortfall: whole_won(short),
            cost: whole_won(cost).max(0),
        });
    }
    Ok(assemble(situation, options, (whole_won(risk), whole_won(shortfall), whole_won(error))))
}

/// Value at risk and expected shortfall at 95 %, and the standard error of the first, won.
fn figures(outcome: &Outcome) -> (f64, f64, f64) {
    outcome.at(0.95).map_or((0.0, 0.0, 0.0), |risk| {
        // What cannot be lost is no risk: a gain in all but the worst paths counts as none.
        let (var, es) = (risk.value_at_risk.max(0.0), risk.expected_shortfall.max(0.0));
        (var, es, risk.value_at_risk_error)
    })
}

/// What the sales of stops cost on average, won: against the same run without their cost.
fn exit_cost(
    exposures: &[Exposure],
    outcome: &Outcome,
    simulated: &Simulator<'_>,
) -> Result<f64, SimulateError> {
    if exposures.iter().all(|exposure| exposure.exit.is_none()) {
        return Ok(0.0);
    }
    let free: Vec<Exposure> = exposures
        .iter()
        .map(|exposure| {
            let exit = exposure.exit.map(|exit| simulate::Exit { cost: 0.0, ..exit });
            Exposure { exit, ..*exposure }
        })
        .collect();
    let without = simulated(&free, 0.0)?;
    Ok((without.returns.mean - outcome.returns.mean).max(0.0) * outcome.value)
}

fn dominates(a: &Simulated, b: &Simulated) -> bool {
    let no_worse =
        a.value_at_risk <= b.value_at_risk && a.shortfall <= b.shortfall && a.cost <= b.cost;
    let better = a.value_at_risk < b.value_at_risk || a.shortfall < b.shortfall || a.cost < b.cost;
    a.draft.infeasible.is_none() && no_worse && better
}

/// Tier from 1 to 6 as in the module's documentation, and the risk taken away per won of cost.
fn tier(option: &Simulated, all: &[Simulated], before: Won, severity: Severity) -> (u8, f64) {
    let reduction = (before - option.value_at_risk).max(0) as f64;
    // A free reduction is worth one won's price: no division by zero.
    let gain = reduction / option.cost.max(1) as f64;
    let tier = if option.draft.infeasible.is_some() {
        6
    } else if option.draft.action == "wait" {
        3
    } else if all.iter().any(|other| dominates(other, option)) {
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

/// Ranks the options and puts them into a plan. The id rests on event, subject, minute and value.
fn assemble(
    situation: &Situation<'_>,
    options: Vec<Simulated>,
    (risk, shortfall, error): (Won, Won, Won),
) -> Defence {
    let mut keyed: Vec<((u8, f64), usize)> = options
        .iter()
        .enumerate()
        .map(|(at, option)| (tier(option, &options, risk, situation.severity), at))
        .collect();
    // Stable: equals keep catalogue order.
    keyed.sort_by(|((tier_a, gain_a), a), ((tier_b, gain_b), b)| {
        let left = |at: &usize| options[*at].value_at_risk;
        tier_a.cmp(tier_b).then(gain_b.total_cmp(gain_a)).then(left(a).cmp(&left(b)))
    });
    let value: f64 = situation.held.iter().map(|held| held.value).sum();
    let (minute, worth) = (situation.as_of.minute().to_string(), whole_won(value).to_string());
    let ranked = keyed.iter().enumerate().map(|(index, ((tier, _), at))| {
        let Simulated { draft, value_at_risk, shortfall: after, cost } = &options[*at];
        PlanOption {
            rank: index as u32 + 1,
            action: draft.action.to_owned(),
            description: draft.description.clone(),
            risk_before: risk,
            risk_after: *value_at_risk,
            cost: *cost,
            infeasible: draft.infeasible.clone(),
            shortfall_before: shortfall,
            shortfall_after: *after,
            break_even_pct: (draft.relieved > 0.0).then(|| 100.0 * draft.cost / draft.relieved),
            efficient: *tier <= 4,
        }
    });
    let id = ["mitigation", &situation.event_id, &situation.subject, &minute, &worth];
    let plan = MitigationPlan {
        id: deterministic_id(&id),
        subject: situation.subject.clone(),
        name: situation.name.clone(),
        event_id: situation.event_id.clone(),
        as_of: situation.as_of,
        position_value: whole_won(value),
        assumed_position: situation.assumed,
        options: ranked.collect(),
        horizon_sessions: situation.simulation.horizon,
        paths: situation.simulation.paths as u64,
        seed: situation.simulation.seed,
        risk_error: error,
        model: situation.world.source.model,
        data_cut: situation.data_cut,
    };
    let exposures = keyed.iter().map(|(_, at)| options[*at].draft.exposures.clone()).collect();
    Defence { plan, exposures }
}

#[cfg(test)]
#[path = "mitigate_tests.rs"]
mod tests;

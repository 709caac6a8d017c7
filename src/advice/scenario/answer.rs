//! The answer to a scenario: what is held, what could become of it, where each number comes from.
//!
//! In: a [`Situation`] and a checked [`Scenario`]. Out: a [`ScenarioAnswer`], the same for equal
//! input, whoever asks: it holds no time of the asking. Body of `POST /v1/scenarios`, of
//! `bongsu simulate --json` and of the task `simulate_scenario`:
//! `docs/schemas/scenario-answer.schema.json`.

use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use super::advise::{defence, picks};
use super::{FieldProblem, Portfolio, Scenario};
use crate::advice::costs::whole_won;
use crate::advice::korean::{name_and_code, won};
use crate::advice::simulate::outcome::BudgetProbability;
use crate::advice::simulate::{
    Component, Control, Distribution, Dynamics, Outcome, Plan, RiskAtLevel, SimulateError, World,
    WorldSource, simulate,
};
use crate::advice::types::{MitigationPlan, RecommendationSet};
use crate::market::identity::deterministic_id;
use crate::market::{EventTime, Market, SessionDay, Symbol};
use crate::model::{FittedModel, Panel};

/// Residuals below which a holding's past is mostly the market's.
const SHORT_PAST: usize = 250;
/// Share of an average day's value traded above which a holding is called hard to sell.
const LARGE_SHARE: f64 = 0.2;

/// Everything that is known at a day.
#[derive(Debug, Clone)]
pub struct Situation {
    /// For the simulation.
    pub world: World,
    /// The bars it was made of, up to its day.
    pub panel: Arc<Panel>,
    /// The model it was made with.
    pub model: Arc<FittedModel>,
}

/// A holding, and its part in the risk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HoldingAnswer {
    /// Code.
    pub symbol: Symbol,
    /// Korean name; empty when it is not known.
    pub name: String,
    /// Board.
    pub market: Market,
    /// Sector; `None` when it is not known.
    pub sector: Option<String>,
    /// Shares, where the scenario gave them.
    pub quantity: Option<i64>,
    /// Last close, won.
    pub price: f64,
    /// Session of that close.
    pub price_day: SessionDay,
    /// No trading on the day of the answer.
    pub halted: bool,
    /// Value, won.
    pub value: f64,
    /// Share of the whole.
    pub weight: f64,
    /// Forecast standard deviation of the next session's return, per cent.
    pub daily_volatility_pct: f64,
    /// Slope on the market's returns.
    pub beta: f64,
    /// The same on the market's worst days.
    pub tail_beta: f64,
    /// Mean value traded a day, won.
    pub average_value: Option<f64>,
    /// Days of its own that are drawn; the others are filled from the market.
    pub own_days: u64,
    /// Parts of value at risk and expected shortfall, won, at the levels of `risk`; `None` when
    /// nothing was simulated.
    pub component: Option<Component>,
}

/// Capital and holdings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PortfolioAnswer {
    /// Value of everything, won.
    pub value: f64,
    /// What is not in holdings, won.
    pub cash: f64,
    /// The holdings, in the scenario's order.
    pub holdings: Vec<HoldingAnswer>,
}

/// How the distribution came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Method {
    /// Paths.
    pub paths: u64,
    /// Sessions.
    pub horizon_sessions: u32,
    /// Seed.
    pub seed: u64,
    /// Past days that were drawn from.
    pub days: u64,
    /// The first of them.
    pub days_from: SessionDay,
    /// How variances follow along a path.
    pub dynamics: Dynamics,
    /// The markets: what stands for each.
    pub factors: Vec<String>,
}

/// What could become of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutcomeAnswer {
    /// How it came about.
    pub method: Method,
    /// Simple return at the horizon, fraction of the whole.
    pub returns: Distribution,
    /// Largest fall from a high on the way, fraction of the high; closes only.
    pub drawdown: Distribution,
    /// Value at risk and expected shortfall, won, with their sampling errors.
    pub risk: Vec<RiskAtLevel>,
    /// Probability of a loss beyond the scenario's budget.
    pub budget: Option<BudgetAnswer>,
}

/// Whether the budget is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BudgetAnswer {
    /// Probability of a loss beyond it, with its sampling error.
    #[serde(flatten)]
    pub beyond: BudgetProbability,
    /// Probability that the scenario bears.
    pub borne: f64,
    /// Whether the probability is within it.
    pub kept: bool,
}

/// Something a reader should know, Korean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Which: stable.
    pub code: String,
    /// In words.
    pub text: String,
}

/// The answer to a scenario.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScenarioAnswer {
    /// Deterministic: of scenario, model and data.
    pub id: String,
    /// The scenario, with every default filled in.
    pub scenario: Scenario,
    /// Session whose close is the start.
    pub as_of: SessionDay,
    /// Model and data.
    pub source: WorldSource,
    /// What is held.
    pub portfolio: PortfolioAnswer,
    /// What could become of it; `None` when there is nothing but cash.
    pub outcome: Option<OutcomeAnswer>,
    /// What could be held besides, or instead.
    #[serde(serialize_with = "outward_picks")]
    pub picks: RecommendationSet,
    /// What could be done about what is held; `None` when there is nothing but cash.
    #[serde(serialize_with = "outward_plan")]
    pub plan: Option<MitigationPlan>,
    /// What a reader should know.
    pub notes: Vec<Note>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AnswerError {
    /// Fields at fault.
    #[error("{}", super::listed(.0))]
    Fields(Vec<FieldProblem>),
    /// It was cancelled.
    #[error("the simulation was cancelled")]
    Cancelled,
}

/// Answers a scenario that was checked.
///
/// # Errors
/// Codes that are not known, holdings beyond the capital, shocks that cannot be; or it was cancelled.
pub fn answer(
    situation: &Situation,
    scenario: &Scenario,
    control: &Control<'_>,
) -> Result<ScenarioAnswer, AnswerError> {
    let world = &situation.world;
    let portfolio = scenario.portfolio(world).map_err(AnswerError::Fields)?;
    let plan = plan(scenario, world);
    let exposures = portfolio.exposures();
    let outcome = match portfolio.held.is_empty() {
        true => None,
        false => Some(simulate(world, &exposures, &plan, control).map_err(refused)?),
    };
    let defended = defence(situation, scenario, &portfolio, &plan, control).map_err(refused)?;
    let components = outcome.as_ref().map(|outcome| outcome.components.as_slice());
    Ok(ScenarioAnswer {
        id: id(scenario, world),
        scenario: scenario.clone(),
        as_of: world.as_of,
        source: world.source.clone(),
        notes: notes(scenario, world, &portfolio),
        portfolio: PortfolioAnswer {
            value: portfolio.value(),
            cash: portfolio.cash,
            holdings: holdings(world, &portfolio, components),
        },
        outcome: outcome.map(|outcome| told(scenario, world, outcome)),
        picks: picks(situation, scenario),
        plan: defended,
    })
}

/// As it travels: its time in RFC 3339.
fn outward<S: Serializer>(
    item: &impl Serialize,
    as_of: EventTime,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut value = serde_json::to_value(item).map_err(serde::ser::Error::custom)?;
    if let Some(field) = value.get_mut("as_of") {
        *field = as_of.rfc3339().into();
    }
    value.serialize(serializer)
}

fn outward_picks<S: Serializer>(
    picks: &RecommendationSet,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    outward(picks, picks.as_of, serializer)
}

fn outward_plan<S: Serializer>(
    plan: &Option<MitigationPlan>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match plan {
        Some(plan) => outward(plan, plan.as_of, serializer),
        None => serializer.serialize_none(),
    }
}

/// The plan of a scenario in `world`.
#[must_use]
pub fn plan(scenario: &Scenario, world: &World) -> Plan {
    Plan {
        paths: scenario.simulation.paths as usize,
        horizon: scenario.horizon_sessions,
        seed: scenario.simulation.seed,
        shocks: scenario.shocks_in(world),
        initial_cost: 0.0,
        budget: scenario.loss(),
    }
}

/// What the engine refuses is a shock that does not fit, or the whole.
fn refused(error: SimulateError) -> AnswerError {
    let field = match error {
        SimulateError::Cancelled => return AnswerError::Cancelled,
        SimulateError::Empty | SimulateError::Range { .. } => "",
        _ => "shocks",
    };
    let problem = format!("cannot be simulated: {error}");
    AnswerError::Fields(vec![FieldProblem { field: field.to_owned(), problem }])
}

fn id(scenario: &Scenario, world: &World) -> String {
    // A scenario is plain numbers and texts: always serialises.
    let text = serde_json::to_string(scenario).unwrap_or_default();
    let day = world.as_of.to_string();
    let source = &world.source;
    deterministic_id(&["scenario", &text, &day, &source.model_sha256, &source.data_sha256])
}

fn told(scenario: &Scenario, world: &World, outcome: Outcome) -> OutcomeAnswer {
    let borne = match scenario.budget {
        Some(super::Budget::ValueAtRisk(one) | super::Budget::Drawdown(one)) => 1.0 - one.level,
        None => 0.0,
    };
    OutcomeAnswer {
        method: Method {
            paths: outcome.paths,
            horizon_sessions: outcome.horizon,
            seed: outcome.seed,
            days: outcome.days,
            days_from: world.days[world.drawn_from],
            dynamics: world.dynamics,
            factors: world.factors.iter().map(|factor| factor.name.clone()).collect(),
        },
        returns: outcome.returns,
        drawdown: outcome.drawdown,
        risk: outcome.risk,
        budget: outcome.budget.map(|beyond| BudgetAnswer {
            kept: beyond.probability <= borne,
            beyond,
            borne,
        }),
    }
}

fn holdings(
    world: &World,
    portfolio: &Portfolio,
    components: Option<&[Component]>,
) -> Vec<HoldingAnswer> {
    let whole = portfolio.value();
    let of = |(at, held): (usize, &super::HeldIssue)| {
        let issue = &world.issues[held.issue];
        HoldingAnswer {
            symbol: issue.symbol,
            name: issue.known.name.clone(),
            market: issue.known.market,
            sector: issue.known.sector.clone(),
            quantity: held.quantity,
            price: issue.price,
            price_day: issue.last_day,
            halted: issue.halted,
            value: held.value,
            weight: if whole > 0.0 { held.value / whole } else { 0.0 },
            daily_volatility_pct: 100.0 * issue.variance.sqrt(),
            beta: issue.beta,
            tail_beta: issue.tail_beta,
            average_value: issue.average_value,
            own_days: issue.residuals as u64,
            component: components.and_then(|all| all.get(at)).copied(),
        }
    };
    portfolio.held.iter().enumerate().map(of).collect()
}

fn notes(scenario: &Scenario, world: &World, portfolio: &Portfolio) -> Vec<Note> {
    let mut notes = Vec::new();
    let mut note = |code: &str, text: String| notes.push(Note { code: code.to_owned(), text });
    if world.source.model_trained_until > world.as_of {
        note(
            "model_saw_later_days",
            format!(
                "모형이 기준일 {} 이후인 {}까지의 자료로 적합되어 있어, 당시에 알 수 있었던 예측보다 좋게 보일 수 있습니다.",
                world.as_of, world.source.model_trained_until
            ),
        );
    }
    if scenario.simulation.as_of.is_some_and(|asked| asked != world.as_of) {
        note(
            "earlier_session",
            format!(
                "요청한 기준일에 장이 열리지 않아 직전 거래일 {}의 종가를 씁니다.",
                world.as_of
            ),
        );
    }
    for held in &portfolio.held {
        let issue = &world.issues[held.issue];
        let name = name_and_code(&issue.known.name, issue.symbol.as_str());
        if issue.halted {
            note(
                "halted",
                format!(
                    "{name}: {} 현재 거래가 없어(거래정지 등) 마지막 종가 {}({})로 평가하며, 재개 전에는 매도할 수 없습니다.",
                    world.as_of,
                    won(whole_won(issue.price)),
                    issue.last_day
                ),
            );
        }
        if issue.residuals < SHORT_PAST {
            note(
                "short_past",
                format!(
                    "{name}: 자체 이력이 {}일뿐이라 나머지 날은 시장 움직임으로 채웠습니다.",
                    issue.residuals
                ),
            );
        }
        // One that is halted cannot be sold at all, and says so above.
        let average = issue.average_value.filter(|average| *average > 0.0 && !issue.halted);
        let share = average.map(|average| held.value / average);
        if let Some(share) = share.filter(|share| *share > LARGE_SHARE) {
            note(
                "hard_to_sell",
                format!(
                    "{name}: 보유금액이 하루 평균 거래대금의 {:.0}%여서 한 번에 팔기 어렵습니다.",
                    100.0 * share
                ),
            );
        }
    }
    notes
}

//! What advice is made of: picks, defence plans, reports, and the account of a model call.

use serde::{Deserialize, Serialize};

use crate::market::{EventTime, ModelId, SessionDay, Symbol, Won};
use crate::model::ranker::Evidence;

/// One pick of a [`RecommendationSet`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pick {
    /// Rank, from 1.
    pub rank: u32,
    /// Issue.
    pub symbol: Symbol,
    /// Korean name.
    pub name: String,
    /// Share of the capital, 0 to 1; the picks of a set add up to at most 1.
    pub weight: f64,
    /// Ranking value: expected return per unit of downside risk, dimensionless.
    pub value: f64,
    /// Risk score at the time, 0 to 100.
    pub score: f64,
    /// Price at the time, won.
    pub price: Won,
    /// Forecast standard deviation of one day's return, per cent.
    pub daily_volatility_pct: f64,
    /// What speaks for and against it, in Korean, each with the number it rests on.
    pub reasons: Vec<String>,
    /// The factor contributions that add up to `value`: name and amount.
    pub factors: Vec<(String, f64)>,
    /// Expected return over the horizon after costs, per cent. Of a [`Basis::LowRisk`] set that is a
    /// premium assumed alike for all, less the cost.
    #[serde(default)]
    pub expected_return_pct: f64,
    /// Mean loss in the worst 2.5 % of cases over the horizon, per cent.
    #[serde(default)]
    pub downside_pct: f64,
}

/// What the order of the picks rests on.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The model's ranking, which had an edge walking forward.
    Ranked,
    /// Low risk and low cost alone: there is no basis for a judgement of returns.
    LowRisk,
    /// There are no picks.
    #[default]
    None,
}

impl Basis {
    /// As in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ranked => "ranked",
            Self::LowRisk => "low_risk",
            Self::None => "none",
        }
    }
}

/// Ranked picks for a scenario at a moment. Newer fields stand last: a set that an earlier build left
/// in the spill is still read.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecommendationSet {
    /// Deterministic id.
    pub id: String,
    /// Scenario name, `default` when the user gave none.
    pub scenario: String,
    /// As of this event time.
    pub as_of: EventTime,
    /// Issues looked at.
    pub universe: u32,
    /// Issues that met the scenario's limits.
    pub eligible: u32,
    /// The picks, best first; empty when nothing is eligible.
    pub picks: Vec<Pick>,
    /// Why there are no picks, or what limits the statement; Korean.
    pub note: String,
    /// What the order rests on.
    #[serde(default)]
    pub basis: Basis,
    /// Sessions the picks are meant to be held.
    #[serde(default)]
    pub horizon_sessions: u32,
    /// Share of the capital that stays in cash, 0 to 1.
    #[serde(default)]
    pub cash: f64,
    /// Value at risk (95 %) of the picks over the horizon, per cent of the capital.
    #[serde(default)]
    pub var_pct: f64,
    /// Version of the model.
    #[serde(default)]
    pub model: Option<ModelId>,
    /// Day before which the daily bars end.
    #[serde(default)]
    pub data_cut: Option<SessionDay>,
    /// What came of such picks in the past: of the ranking's, or of the calmest issues' for a basket
    /// of low risk.
    #[serde(default)]
    pub evidence: Option<Evidence>,
}

/// A possible defence and its simulated effect.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanOption {
    /// Rank, from 1.
    pub rank: u32,
    /// Catalogue name: `trim`, `stop`, `trailing_stop`, `hedge_inverse_etf`, `rotate_low_risk`,
    /// `raise_cash`, `wait`.
    pub action: String,
    /// One Korean sentence: what to do, with its numbers.
    pub description: String,
    /// Value at risk (95 %) of the position over the horizon before, won.
    pub risk_before: Won,
    /// The same after the action, its cost at once included, won.
    pub risk_after: Won,
    /// Fees, tax, half spread and slippage, won; of a stop what they are on average.
    pub cost: Won,
    /// Whether it can be carried out, and if not, why (Korean).
    pub infeasible: Option<String>,
    /// Expected shortfall (95 %) over the horizon before, won.
    #[serde(default)]
    pub shortfall_before: Won,
    /// The same after the action.
    #[serde(default)]
    pub shortfall_after: Won,
    /// Fall, per cent, at which the cost is earned back: of what is sold, or of the market for a hedge.
    /// `None` where nothing is paid at once.
    #[serde(default)]
    pub break_even_pct: Option<f64>,
    /// Whether no other option leaves as little risk for as little cost.
    #[serde(default)]
    pub efficient: bool,
}

/// Ranked defences against one threat. Newer fields stand last, as in [`RecommendationSet`].
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct MitigationPlan {
    /// Deterministic id.
    pub id: String,
    /// The issue, or `portfolio`.
    pub subject: String,
    /// Korean name of the issue.
    pub name: String,
    /// The event it answers.
    pub event_id: String,
    /// As of this event time.
    pub as_of: EventTime,
    /// Position value it is computed for, won.
    pub position_value: Won,
    /// Whether the position is the user's own or an assumed one.
    pub assumed_position: bool,
    /// Options, best first, infeasible ones last.
    pub options: Vec<PlanOption>,
    /// Sessions that were simulated.
    #[serde(default)]
    pub horizon_sessions: u32,
    /// Paths of each simulation.
    #[serde(default)]
    pub paths: u64,
    /// Seed of the draws, the same for every option.
    #[serde(default)]
    pub seed: u64,
    /// Standard error of the value at risk before, won: that of the simulation alone.
    #[serde(default)]
    pub risk_error: Won,
    /// Version of the model.
    #[serde(default)]
    pub model: Option<ModelId>,
    /// Day before which the daily bars end.
    #[serde(default)]
    pub data_cut: Option<SessionDay>,
}

/// Whose words a report's text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportOrigin {
    /// Written by a language model.
    Model,
    /// Filled into a template: no endpoint is set, or the model failed.
    Template,
}

impl ReportOrigin {
    /// As in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Template => "template",
        }
    }
}

/// Which step of the ladder gave a report, best first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// The model's first answer.
    Model,
    /// An answer that the model gave to the same facts before.
    Cached,
    /// The model's second answer, after the first one's error was quoted back.
    Repaired,
    /// The newest report of the model on the same subject, with its age.
    Stored,
    /// The template.
    #[default]
    Template,
    /// Nothing can be said yet; it is tried again.
    Retrying,
}

impl Rung {
    /// All rungs.
    pub const ALL: [Self; 6] =
        [Self::Model, Self::Cached, Self::Repaired, Self::Stored, Self::Template, Self::Retrying];

    /// The rung of this name; the template for any other.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|rung| rung.as_str() == name).unwrap_or_default()
    }

    /// As in events, the database and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Cached => "cached",
            Self::Repaired => "repaired",
            Self::Stored => "stored",
            Self::Template => "template",
            Self::Retrying => "retrying",
        }
    }
}

/// A finished report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Deterministic id.
    pub id: String,
    /// `market_risk`, `recommendation`, `crash_alert`, …
    pub kind: String,
    /// Title, Korean.
    pub title: String,
    /// Body, Korean Markdown.
    pub body: String,
    /// As of this event time.
    pub as_of: EventTime,
    /// Whose words it is.
    pub origin: ReportOrigin,
    /// Why it is no fresh answer of the model although one is set; empty otherwise.
    pub fallback_reason: String,
    /// Model name; empty for a template.
    pub model: String,
    /// Ids of the events, picks and plans it speaks of.
    pub sources: Vec<String>,
    /// What it is about within its kind: an event's id, a scenario, `market`.
    #[serde(default)]
    pub subject: String,
    /// Which step of the ladder gave it.
    #[serde(default)]
    pub rung: Rung,
    /// After so many seconds the model is asked again; `None` when it is not.
    #[serde(default)]
    pub retry_in_s: Option<u32>,
}

/// How a call of a language model ended. Also a metric label: a bounded set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LlmOutcome {
    /// The answer was accepted.
    Ok,
    /// The cache had an accepted answer: nothing was asked.
    Cached,
    /// The answer was refused by the checks.
    Invalid,
    /// It did not come in time.
    Timeout,
    /// Nothing was asked: a limit, the budget or the open circuit forbade it.
    Refused,
    /// The endpoint answered with an error, broke off, or cannot be reached.
    Error,
}

impl LlmOutcome {
    /// All outcomes.
    pub const ALL: [Self; 6] =
        [Self::Ok, Self::Cached, Self::Invalid, Self::Timeout, Self::Refused, Self::Error];

    /// As in the database and in metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Cached => "cached",
            Self::Invalid => "invalid",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Error => "error",
        }
    }
}

/// One call of a language model, or one that was spared: a row of `llm_usage`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LlmUsage {
    /// Unique; also the name of the stored prompt.
    pub id: String,
    /// Id of the report it was made for.
    pub report_id: String,
    /// Task it belongs to: `draft_alert`, `generate_report`, …
    pub task: String,
    /// Model asked.
    pub model: String,
    /// Version of the prompt.
    pub prompt_version: String,
    /// Tokens of the prompt: as the endpoint counted them, estimated when it did not say.
    pub prompt_tokens: u32,
    /// Tokens of the answer, likewise.
    pub completion_tokens: u32,
    /// From the request to the decision, milliseconds of wall time.
    pub latency_ms: u64,
    /// How it ended.
    pub outcome: LlmOutcome,
    /// Why, in a word: a class of refusal, `status_429`, `budget`; empty when it was accepted.
    pub detail: String,
    /// What it cost, millionths of a US dollar by the price table.
    pub cost_micros: i64,
}

impl LlmUsage {
    /// Whether the cache answered.
    #[must_use]
    pub fn is_cached(&self) -> bool {
        self.outcome == LlmOutcome::Cached
    }
}

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

/// How a report's text came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportOrigin {
    /// Written by a language model.
    Model,
    /// Filled into a template: no endpoint is set, or the model failed.
    Template,
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
    /// How the text came about.
    pub origin: ReportOrigin,
    /// Why a template was used although a model is set; empty otherwise.
    pub fallback_reason: String,
    /// Model name; empty for a template.
    pub model: String,
    /// Ids of the events, picks and plans it speaks of.
    pub sources: Vec<String>,
}

/// How a call of a language model ended. Also a metric label: a bounded set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LlmOutcome {
    /// The first answer was accepted.
    Accepted,
    /// The second answer was accepted, after the first one's error was quoted back.
    Repaired,
    /// Both answers were refused by the checks; a template was used.
    Refused,
    /// The endpoint answered with an error, or not with a completion; a template was used.
    Failed,
    /// The deadline passed; a template was used.
    TimedOut,
}

impl LlmOutcome {
    /// All outcomes.
    pub const ALL: [Self; 5] =
        [Self::Accepted, Self::Repaired, Self::Refused, Self::Failed, Self::TimedOut];

    /// As in the database and in metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Repaired => "repaired",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
        }
    }

    /// Whether the model's text reached the report.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        matches!(self, Self::Accepted | Self::Repaired)
    }
}

/// What a report cost at the language model: a row of `llm_usage`. All calls made for one report
/// are one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LlmUsage {
    /// Id of the report it was made for.
    pub report_id: String,
    /// Kind of the report.
    pub task: String,
    /// Model asked.
    pub model: String,
    /// Calls made: 1, or 2 with the repair; 0 when the deadline was no longer than nothing.
    pub calls: u32,
    /// Tokens of the prompts, as the endpoint counted them; 0 when it did not say.
    pub prompt_tokens: u32,
    /// Tokens of the answers, likewise.
    pub completion_tokens: u32,
    /// From the first request to the decision, milliseconds of wall time.
    pub latency_ms: u64,
    /// How it ended.
    pub outcome: LlmOutcome,
}

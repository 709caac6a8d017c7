//! What advice is made of: picks, defence plans, reports, and the account of a model call.

use serde::{Deserialize, Serialize};

use crate::market::{EventTime, Symbol, Won};

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
}

/// Ranked picks for a scenario at a moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
}

/// A possible defence and its simulated effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanOption {
    /// Rank, from 1.
    pub rank: u32,
    /// Catalogue name: `trim`, `stop`, `hedge_inverse_etf`, `raise_cash`, `wait`, …
    pub action: String,
    /// One Korean sentence: what to do, with its numbers.
    pub description: String,
    /// One-day value at risk (95 %) of the position before, won.
    pub risk_before: Won,
    /// The same after the action, won.
    pub risk_after: Won,
    /// Fees, tax, half spread and slippage, won.
    pub cost: Won,
    /// Whether it can be carried out, and if not, why (Korean).
    pub infeasible: Option<String>,
}

/// Ranked defences against one threat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

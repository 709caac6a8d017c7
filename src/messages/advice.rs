//! Advice: picks, defence plans, reports.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::deterministic_id;
use super::{EventKind, OutwardEvent};
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

/// `item` as the outside sees it: like its fields, with `as_of` in RFC 3339.
#[must_use]
pub fn outward_json<T: Serialize>(item: &T, as_of: EventTime) -> Value {
    // Structs with text keys always serialise.
    let mut value = serde_json::to_value(item).unwrap_or_default();
    if let Some(field) = value.get_mut("as_of") {
        *field = as_of.rfc3339().into();
    }
    value
}

fn advice_event(
    kind: EventKind,
    id: &str,
    subject: &str,
    as_of: EventTime,
    data: Value,
) -> OutwardEvent {
    let id = deterministic_id(&[kind.as_str(), id]);
    OutwardEvent::new(kind, id, subject, subject, as_of, data)
}

impl RecommendationSet {
    /// The outward event of these picks.
    #[must_use]
    pub fn event(&self) -> OutwardEvent {
        let data = outward_json(self, self.as_of);
        advice_event(EventKind::Recommendation, &self.id, &self.scenario, self.as_of, data)
    }
}

impl MitigationPlan {
    /// The outward event of this plan.
    #[must_use]
    pub fn event(&self) -> OutwardEvent {
        let data = outward_json(self, self.as_of);
        advice_event(EventKind::Mitigation, &self.id, &self.subject, self.as_of, data)
    }
}

impl Report {
    /// The outward event of this report. Events stay small: the body is at `href`.
    #[must_use]
    pub fn event(&self) -> OutwardEvent {
        let mut data = outward_json(self, self.as_of);
        if let Some(fields) = data.as_object_mut() {
            fields.shift_remove("body");
            fields.insert("href".to_owned(), format!("/v1/reports/{}", self.id).into());
        }
        advice_event(EventKind::Report, &self.id, &self.kind, self.as_of, data)
    }
}

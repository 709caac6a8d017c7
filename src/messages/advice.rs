//! Advice: picks, defence plans, reports. The types belong to the domain; they travel as they are.

use serde::Serialize;
use serde_json::Value;

use super::event::deterministic_id;
use super::{EventKind, Level, OutwardEvent};
use crate::advice::mitigate::Severity;
pub use crate::advice::types::{
    Basis, LlmOutcome, LlmUsage, MitigationPlan, Pick, PlanOption, RecommendationSet, Report,
    ReportOrigin, Rung,
};
use crate::market::EventTime;

impl From<Level> for Severity {
    fn from(level: Level) -> Self {
        match level {
            Level::Watch => Self::Watch,
            Level::Warning => Self::Warning,
            Level::Critical => Self::Critical,
        }
    }
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
    OutwardEvent::new(kind, id, subject, subject, as_of, &data)
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
        // A model's text about the same facts follows the template's: it is another event.
        let origin = match self.rung {
            Rung::Model | Rung::Cached | Rung::Repaired => "model",
            Rung::Stored | Rung::Template | Rung::Retrying => self.rung.as_str(),
        };
        let id = format!("{}:{origin}", self.id);
        advice_event(EventKind::Report, &id, &self.kind, self.as_of, data)
    }
}

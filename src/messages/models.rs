//! Model versions and how good they are: what the registry says of each, and the read model that the
//! HTTP interface shows.
//!
//! The task that watches the registry writes the board, evaluation writes its measures; readers copy.
//! **Limits:** the registry's list as it is; of evaluations the newest alone (older ones are in the
//! database).

use std::sync::Arc;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::market::{EventTime, ModelId, ModelOrigin, SessionDay};
use crate::model::DataInfo;

/// One version, as `models.json` tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelVersion {
    /// Its name.
    pub id: ModelId,
    /// What it forecasts: `daily_risk`.
    pub kind: String,
    /// When it was made.
    #[serde(with = "utc")]
    pub created_at: EventTime,
    /// Last day of the rows it was fitted to.
    pub trained_until: SessionDay,
    /// The rows.
    pub data: DataInfo,
    /// Names of its features, in order.
    pub features: Vec<String>,
    /// Measures of its validation, by name.
    pub metrics: Map<String, Value>,
    /// Version of the program that made it.
    pub code_version: String,
    /// Whether it is in use. At most one is.
    pub active: bool,
    /// When it was last put to use.
    #[serde(with = "optional_utc")]
    pub activated_at: Option<EventTime>,
    /// SHA-256 of `model.json`, hexadecimal.
    pub model_sha256: String,
    /// For people: why it is or is not in use.
    #[serde(default)]
    pub note: String,
}

impl ModelVersion {
    /// Where its document lies in the bucket `models`.
    #[must_use]
    pub fn object_key(&self) -> String {
        format!("{}/model.json", self.id)
    }
}

/// One measure of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// Name, parts joined by dots: `var_99.exceed_ratio`.
    pub metric: String,
    /// Horizon, half-year or level; empty for none.
    pub label: String,
    /// Value.
    pub value: f64,
}

/// The measures of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Run.
    pub run_id: String,
    /// When it ended.
    #[serde(with = "utc")]
    pub at: EventTime,
    /// In the order of the report.
    pub measures: Vec<Measure>,
}

impl Evaluation {
    /// The measures of a report: every number in it, by its path. A key that says which (`2024H2`, `5`)
    /// is the label, all others are the name.
    #[must_use]
    pub fn of_report(run_id: &str, at: EventTime, report: &Value) -> Self {
        let mut measures = Vec::new();
        flatten(report, &mut Vec::new(), "", &mut measures);
        Self { run_id: run_id.to_owned(), at, measures }
    }

    /// The measure of this name and label.
    #[must_use]
    pub fn value(&self, metric: &str, label: &str) -> Option<f64> {
        let mut found = self.measures.iter();
        found.find(|one| one.metric == metric && one.label == label).map(|one| one.value)
    }
}

/// A horizon or a half-year: what is said of several things alike.
fn is_label(key: &str) -> bool {
    key.bytes().next().is_some_and(|byte| byte.is_ascii_digit())
}

fn flatten<'a>(value: &'a Value, path: &mut Vec<&'a str>, label: &'a str, out: &mut Vec<Measure>) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                if is_label(key) && label.is_empty() {
                    flatten(inner, path, key, out);
                } else {
                    path.push(key);
                    flatten(inner, path, label, out);
                    path.pop();
                }
            }
        }
        Value::Number(number) => {
            let finite = number.as_f64().filter(|value| value.is_finite());
            out.extend(finite.map(|value| Measure {
                metric: path.join("."),
                label: label.to_owned(),
                value,
            }));
        }
        // Texts, dates and what could not be computed are no measures.
        _ => {}
    }
}

/// What scores are made with now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveModel {
    /// Version.
    pub id: ModelId,
    /// Where it comes from.
    pub origin: ModelOrigin,
}

/// How many of the watched issues the model has a forecast of for the session under way.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Forecasts {
    /// Issues with one.
    pub made: usize,
    /// Issues.
    pub issues: usize,
}

impl Forecasts {
    /// What is to be said where more than half of the issues have none: their scores rest on the
    /// closes and the normal law alone.
    #[must_use]
    pub fn lack(self) -> Option<String> {
        let without = self.issues - self.made.min(self.issues);
        (2 * without > self.issues).then(|| {
            format!(
                "{without} of {} issues have no forecast (fewer than 66 clean days of daily bars are \
                 known of them)",
                self.issues
            )
        })
    }
}

#[derive(Debug, Default)]
struct State {
    versions: Arc<[ModelVersion]>,
    live: Option<LiveModel>,
    forecasts: Option<Forecasts>,
    problem: Option<String>,
    evaluation: Option<Arc<Evaluation>>,
}

/// The registry's list, the model in use and the newest evaluation. Shared, cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ModelBoard(Arc<RwLock<State>>);

impl ModelBoard {
    /// The registry was read.
    pub fn set_versions(&self, versions: Vec<ModelVersion>) {
        let mut state = self.0.write();
        state.versions = versions.into();
        state.problem = None;
    }

    /// The registry, or a model in it, cannot be used.
    pub fn set_problem(&self, problem: Option<String>) {
        self.0.write().problem = problem;
    }

    /// The model that scores are made with from now on; `None`: the stated formula alone.
    pub fn set_live(&self, live: Option<LiveModel>) {
        self.0.write().live = live;
    }

    /// How many issues are forecast.
    pub fn set_forecasts(&self, forecasts: Forecasts) {
        self.0.write().forecasts = Some(forecasts);
    }

    /// A new evaluation; an older one than is there is left out.
    pub fn set_evaluation(&self, evaluation: Evaluation) {
        let mut state = self.0.write();
        if state.evaluation.as_ref().is_none_or(|known| known.at <= evaluation.at) {
            state.evaluation = Some(Arc::new(evaluation));
        }
    }

    /// The versions, newest first.
    #[must_use]
    pub fn versions(&self) -> Arc<[ModelVersion]> {
        Arc::clone(&self.0.read().versions)
    }

    /// The model that scores are made with.
    #[must_use]
    pub fn live(&self) -> Option<LiveModel> {
        self.0.read().live.clone()
    }

    /// How many issues are forecast; `None` before the first session.
    #[must_use]
    pub fn forecasts(&self) -> Option<Forecasts> {
        self.0.read().forecasts
    }

    /// Why the registry, or a model in it, cannot be used.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.0.read().problem.clone()
    }

    /// The newest evaluation.
    #[must_use]
    pub fn evaluation(&self) -> Option<Arc<Evaluation>> {
        self.0.read().evaluation.clone()
    }
}

/// Times as RFC 3339 in UTC.
mod utc {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::market::EventTime;

    pub fn text(time: EventTime) -> String {
        let time = chrono::DateTime::from_timestamp_micros(time.micros()).unwrap_or_default();
        time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
    }

    pub fn parse(text: &str) -> Result<EventTime, String> {
        let time = chrono::DateTime::parse_from_rfc3339(text)
            .map_err(|error| format!("\"{text}\" is no time ({error}): expected RFC 3339"))?;
        Ok(EventTime::from_micros(time.timestamp_micros()))
    }

    pub fn serialize<S: Serializer>(time: &EventTime, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&text(*time))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<EventTime, D::Error> {
        parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

mod optional_utc {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::utc;
    use crate::market::EventTime;

    pub fn serialize<S: Serializer>(time: &Option<EventTime>, to: S) -> Result<S::Ok, S::Error> {
        time.map(utc::text).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<EventTime>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| utc::parse(&text).map_err(serde::de::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_becomes_measures_by_path_and_label() {
        let report = json!({
            "var_99": { "exceed_ratio": 0.0123, "kupiec_p": 0.4 },
            "half_years": { "2024H2": { "exceed_99": 0.02 }, "2025H1": { "exceed_99": 0.01 } },
            "hit_ratio": { "5": 0.55, "20": 0.6 },
            "qlike_r2": 2.79,
            "llm_valid_ratio": null,
            "from": "2024-07-01",
            "rows": 100,
        });
        let at = EventTime::from_micros(1_722_816_021_000_000);
        let found = Evaluation::of_report("r1", at, &report);
        assert_eq!(found.value("var_99.exceed_ratio", ""), Some(0.0123));
        assert_eq!(found.value("half_years.exceed_99", "2025H1"), Some(0.01));
        assert_eq!(found.value("hit_ratio", "20"), Some(0.6));
        assert_eq!(found.value("rows", ""), Some(100.0));
        assert_eq!(found.measures.len(), 8, "{found:?}");
        let text = serde_json::to_string(&found).unwrap();
        assert!(text.contains("\"at\":\"2024-08-05T00:00:21Z\""), "{text}");
        assert_eq!(serde_json::from_str::<Evaluation>(&text).unwrap(), found);
    }

    #[test]
    fn an_older_evaluation_does_not_replace_a_newer_one() {
        let board = ModelBoard::default();
        let of = |micros| Evaluation {
            run_id: format!("r{micros}"),
            at: EventTime::from_micros(micros),
            measures: Vec::new(),
        };
        board.set_evaluation(of(2));
        board.set_evaluation(of(1));
        assert_eq!(board.evaluation().unwrap().run_id, "r2");
    }
}

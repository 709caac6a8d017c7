//! Results: what is stored under `celery-task-meta-<id>` and published on a channel of that name.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::request::Request;
use super::time;
use crate::tasks::{TaskFailure, TaskState};

/// Key, and channel, of a task's result.
#[must_use]
pub fn key(id: &str) -> String {
    format!("celery-task-meta-{id}")
}

/// A result to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Where.
    pub key: String,
    /// The JSON text.
    pub json: String,
}

/// Which task a result is of, beside its id.
#[derive(Debug, Clone, Copy, Default)]
pub struct Of<'a> {
    /// Task id.
    pub id: &'a str,
    /// The task that sent it.
    pub parent_id: Option<&'a str>,
    /// Its group.
    pub group: Option<&'a str>,
}

impl<'a> From<&'a Request> for Of<'a> {
    fn from(request: &'a Request) -> Self {
        Self {
            id: &request.id,
            parent_id: request.parent_id.as_deref(),
            group: request.group.as_deref(),
        }
    }
}

/// A result: `children` are the tasks that were sent on, as [`child`] has them.
#[must_use]
pub fn stored(
    of: Of<'_>,
    state: TaskState,
    result: Value,
    traceback: Option<String>,
    children: Vec<Value>,
    now: DateTime<Utc>,
) -> Stored {
    // A genuine worker dates the final states alone.
    let date_done = state.is_final().then(|| time::format(now));
    let mut meta = json!({
        "status": state.as_str(),
        "result": result,
        "traceback": traceback,
        "children": children,
        "date_done": date_done,
    });
    if let Some(group) = of.group {
        meta["group_id"] = group.into();
    }
    if let Some(parent) = of.parent_id {
        meta["parent_id"] = parent.into();
    }
    meta["task_id"] = of.id.into();
    Stored { key: key(of.id), json: meta.to_string() }
}

/// A failure's result.
#[must_use]
pub fn failed(
    of: Of<'_>,
    state: TaskState,
    failure: &TaskFailure,
    children: Vec<Value>,
    now: DateTime<Utc>,
) -> Stored {
    stored(of, state, failure.to_json(), traceback(failure), children, now)
}

/// The trace-back's text, in Python's form: clients print it.
///
/// Celery's own verdicts (revoked, limit, unknown) have none.
#[must_use]
pub fn traceback(failure: &TaskFailure) -> Option<String> {
    if let Some(text) = &failure.traceback {
        return Some(text.clone());
    }
    let verdict = ["TaskRevokedError", "NotRegistered", "TimeLimitExceeded", "WorkerLostError"];
    if verdict.contains(&failure.exc_type.as_str()) {
        return None;
    }
    let module = match failure.exc_module.as_str() {
        "builtins" => String::new(),
        module => format!("{module}."),
    };
    Some(format!(
        "Traceback (most recent call last):\n{module}{}: {}\n",
        failure.exc_type,
        failure.message()
    ))
}

/// A task in the list of children.
#[must_use]
pub fn child(id: &str) -> Value {
    json!([[id, null], null])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> DateTime<Utc> {
        time::parse("2026-11-22T07:00:38.084259+00:00").unwrap()
    }

    #[test]
    fn a_success_is_celerys_to_the_field() {
        let of = Of { id: "i", parent_id: Some("p"), group: Some("g") };
        let stored =
            stored(of, TaskState::Success, json!({"score": 0.5}), None, vec![child("c")], at());
        assert_eq!(stored.key, "celery-task-meta-i");
        let wanted = json!({
            "status": "SUCCESS", "result": {"score": 0.5}, "traceback": null,
            "children": [[["c", null], null]], "date_done": "2026-11-22T07:00:38.084259+00:00",
            "group_id": "g", "parent_id": "p", "task_id": "i",
        });
        assert_eq!(stored.json, wanted.to_string(), "in Celery's own order of fields");
    }

    #[test]
    fn failures_have_a_text_that_names_them() {
        let bad = TaskFailure::value("bad");
        assert_eq!(
            traceback(&bad).unwrap(),
            "Traceback (most recent call last):\nValueError: bad\n"
        );
        assert_eq!(traceback(&TaskFailure::revoked("expired")), None);
        let retry = failed(Of::default(), TaskState::Retry, &bad, Vec::new(), at());
        assert!(retry.json.contains("\"date_done\":null"), "{}", retry.json);
    }
}

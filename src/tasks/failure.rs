//! How a call ends, in the form that a Python client can raise.
//!
//! The client looks `exc_type` up in the module `exc_module`, or makes a class of that name under
//! `celery.exceptions`, and calls it with `exc_message`. So types are those of `builtins` where one
//! fits, and otherwise those that Celery itself uses.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Why a call failed.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskFailure {
    /// Name of the exception.
    pub exc_type: String,
    /// Python module of the exception.
    pub exc_module: String,
    /// What the exception is made with.
    pub exc_message: Vec<Value>,
    /// Where it happened, if there is more to say than the message.
    pub traceback: Option<String>,
    /// `Some`: the reason may pass; the call can be tried again, at the earliest after this.
    pub retry: Option<Duration>,
}

impl TaskFailure {
    /// A failure of a type of Python's own.
    #[must_use]
    pub fn builtin(exc_type: &str, message: impl fmt::Display) -> Self {
        Self::of("builtins", exc_type, vec![message.to_string().into()])
    }

    fn of(module: &str, exc_type: &str, exc_message: Vec<Value>) -> Self {
        Self {
            exc_type: exc_type.to_owned(),
            exc_module: module.to_owned(),
            exc_message,
            traceback: None,
            retry: None,
        }
    }

    /// The arguments are not those of the task.
    #[must_use]
    pub fn arguments(message: impl fmt::Display) -> Self {
        Self::builtin("TypeError", message)
    }

    /// An argument has a value that the task cannot work with.
    #[must_use]
    pub fn value(message: impl fmt::Display) -> Self {
        Self::builtin("ValueError", message)
    }

    /// What the call names is not there.
    #[must_use]
    pub fn missing(message: impl fmt::Display) -> Self {
        Self::builtin("LookupError", message)
    }

    /// The task could not do it, and trying again will not help.
    #[must_use]
    pub fn runtime(message: impl fmt::Display) -> Self {
        Self::builtin("RuntimeError", message)
    }

    /// Something the task needs is away for now.
    #[must_use]
    pub fn transient(message: impl fmt::Display) -> Self {
        Self::builtin("ConnectionError", message).retry_after(Duration::ZERO)
    }

    /// The same failure as one that may pass, at the earliest after `pause`.
    #[must_use]
    pub const fn retry_after(mut self, pause: Duration) -> Self {
        self.retry = Some(pause);
        self
    }

    /// No such task.
    #[must_use]
    pub fn not_registered(name: &str) -> Self {
        Self::of("celery.exceptions", "NotRegistered", vec![name.into()])
    }

    /// The soft limit passed and the task stopped.
    #[must_use]
    pub fn soft_limit() -> Self {
        Self::of("billiard.exceptions", "SoftTimeLimitExceeded", Vec::new())
    }

    /// The hard limit passed.
    #[must_use]
    pub fn hard_limit(limit: Duration) -> Self {
        let seconds = limit.as_secs_f64();
        let whole = limit.subsec_nanos() == 0;
        let limit = if whole { limit.as_secs().into() } else { seconds.into() };
        Self::of("billiard.exceptions", "TimeLimitExceeded", vec![limit])
    }

    /// The call was taken back: `revoked`, `terminated` or `expired`.
    #[must_use]
    pub fn revoked(how: &str) -> Self {
        Self::of("celery.exceptions", "TaskRevokedError", vec![how.into()])
    }

    /// The message in one text.
    #[must_use]
    pub fn message(&self) -> String {
        let texts: Vec<String> = self
            .exc_message
            .iter()
            .map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned))
            .collect();
        texts.join(", ")
    }

    /// The exception as a result holds it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        serde_json::json!({
            "exc_type": self.exc_type,
            "exc_message": self.exc_message,
            "exc_module": self.exc_module,
        })
    }
}

impl fmt::Display for TaskFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.exc_type, self.message())
    }
}

impl std::error::Error for TaskFailure {}

/// How a call ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It is done.
    Success(Value),
    /// It failed, and is to be tried again as the same call, one attempt on.
    Retry {
        /// Why it failed.
        failure: TaskFailure,
        /// The pause before the next attempt.
        after: Duration,
    },
    /// It failed for good.
    Failure(TaskFailure),
    /// It was taken back.
    Revoked {
        /// Whether it ran already.
        terminated: bool,
    },
}

impl Outcome {
    /// The state that this outcome is.
    #[must_use]
    pub const fn state(&self) -> TaskState {
        match self {
            Self::Success(_) => TaskState::Success,
            Self::Retry { .. } => TaskState::Retry,
            Self::Failure(_) => TaskState::Failure,
            Self::Revoked { .. } => TaskState::Revoked,
        }
    }
}

/// The states of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TaskState {
    /// It waits, or nobody has heard of it.
    Pending,
    /// It runs.
    Started,
    /// It failed and waits for its next attempt.
    Retry,
    /// It is done.
    Success,
    /// It failed.
    Failure,
    /// It was taken back.
    Revoked,
}

impl TaskState {
    /// As in results and rows.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Started => "STARTED",
            Self::Retry => "RETRY",
            Self::Success => "SUCCESS",
            Self::Failure => "FAILURE",
            Self::Revoked => "REVOKED",
        }
    }

    /// Whether nothing follows.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Success | Self::Failure | Self::Revoked)
    }

    /// As in `bongsu_tasks_total{state}`; `None` while it is open.
    #[must_use]
    pub const fn label(self) -> Option<&'static str> {
        match self {
            Self::Pending | Self::Started => None,
            Self::Retry => Some("retry"),
            Self::Success => Some("success"),
            Self::Failure => Some("failure"),
            Self::Revoked => Some("revoked"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_have_the_form_that_python_raises() {
        let limit = TaskFailure::hard_limit(Duration::from_secs(1)).to_json();
        let expected = serde_json::json!({
            "exc_type": "TimeLimitExceeded", "exc_message": [1], "exc_module": "billiard.exceptions"
        });
        assert_eq!(limit, expected);
        assert_eq!(
            TaskFailure::hard_limit(Duration::from_millis(1500)).exc_message,
            [Value::from(1.5)]
        );
        let unknown = TaskFailure::not_registered("no.such");
        assert_eq!(unknown.to_string(), "NotRegistered(no.such)");
        assert!(TaskFailure::transient("away").retry.is_some());
        assert!(TaskState::Revoked.is_final() && !TaskState::Retry.is_final());
        assert_eq!(serde_json::json!(TaskState::Started), TaskState::Started.as_str());
    }
}

//! What a task is: what it takes, how it runs, how long it may, how often it is tried.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// How a task uses the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskKind {
    /// Answers at once; runs where it is asked.
    Instant,
    /// Waits for others most of the time; runs on the shared runtime.
    Io,
    /// Computes; runs on a thread of the pool.
    Cpu,
}

/// One parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub help: &'static str,
    /// What a value looks like, in words.
    pub expected: &'static str,
    /// Whether a call must have it.
    pub required: bool,
}

/// How often a call that fails for a passing reason is tried again, and after which pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RetryPolicy {
    /// Retries at most; 0: none.
    pub max_retries: u32,
    /// Pause before the first retry; each further one is twice as long.
    #[serde(serialize_with = "seconds", rename = "retry_backoff_seconds")]
    pub backoff: Duration,
    /// Longest pause.
    #[serde(serialize_with = "seconds", rename = "retry_backoff_max_seconds")]
    pub backoff_max: Duration,
}

impl RetryPolicy {
    /// A failing call is not repeated.
    pub const NONE: Self = Self {
        max_retries: 0,
        backoff: Duration::from_secs(1),
        backoff_max: Duration::from_secs(1),
    };

    /// The pause before retry `attempt + 1` of the call `id`: the doubled back-off, of which the upper
    /// half is by chance, so that calls that failed together do not come back together. The
    /// chance is drawn from `id` and `attempt`: the same call waits the same time.
    #[must_use]
    pub fn pause(&self, id: &str, attempt: u32) -> Duration {
        let doubled = self.backoff.saturating_mul(1_u32.checked_shl(attempt).unwrap_or(u32::MAX));
        let whole = doubled.min(self.backoff_max);
        let mut hasher = rustc_hash::FxHasher::default();
        (id, attempt).hash(&mut hasher);
        // The upper bits of this hash are the better mixed ones; 2⁻⁵³ makes a number below 1.
        let chance = (hasher.finish() >> 11) as f64 * (0.5_f64).powi(53);
        whole.mul_f64(0.5 + 0.5 * chance)
    }
}

/// So many calls in a time, in Celery's words: `10/s`, `100/m`, `5/h`, or `10` for a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Calls.
    pub calls: u32,
    /// In this time: a second, a minute or an hour.
    pub per: Duration,
}

/// Why a text is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a rate: expected a number of calls with /s, /m or /h, for example 10/m")]
pub struct RateLimitError(pub String);

impl RateLimit {
    /// Time between two calls at this rate.
    #[must_use]
    pub fn spacing(&self) -> Duration {
        self.per / self.calls.max(1)
    }
}

impl FromStr for RateLimit {
    type Err = RateLimitError;

    fn from_str(text: &str) -> Result<Self, RateLimitError> {
        let wrong = || RateLimitError(text.to_owned());
        let (calls, unit) = text.split_once('/').unwrap_or((text, "s"));
        let per = match unit.trim() {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            _ => return Err(wrong()),
        };
        let calls: u32 = calls.trim().parse().map_err(|_| wrong())?;
        if calls == 0 { Err(wrong()) } else { Ok(Self { calls, per: Duration::from_secs(per) }) }
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.per.as_secs() {
            1 => "s",
            60 => "m",
            _ => "h",
        };
        write!(f, "{}/{unit}", self.calls)
    }
}

impl Serialize for RateLimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn seconds<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(value.as_secs_f64())
}

/// What the settings say of one task; `None` leaves what the program says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TaskPolicy {
    /// Soft limit.
    pub soft_limit: Option<Duration>,
    /// Hard limit.
    pub hard_limit: Option<Duration>,
    /// Retries at most.
    pub max_retries: Option<u32>,
    /// Pause before the first retry.
    pub retry_backoff: Option<Duration>,
    /// Longest pause.
    pub retry_backoff_max: Option<Duration>,
    /// Calls in a time.
    pub rate_limit: Option<RateLimit>,
}

/// A task, as a caller and an operator see it.
#[derive(Debug, Clone, Serialize)]
pub struct TaskSpec {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub help: &'static str,
    /// What it takes, in the order of positional arguments.
    pub parameters: &'static [Parameter],
    /// How it uses the machine.
    pub kind: TaskKind,
    /// After this the task is asked to stop.
    #[serde(serialize_with = "seconds", rename = "soft_limit_seconds")]
    pub soft_limit: Duration,
    /// After this its caller has its answer, whatever the task does.
    #[serde(serialize_with = "seconds", rename = "hard_limit_seconds")]
    pub hard_limit: Duration,
    /// What follows a failure that may pass.
    #[serde(flatten)]
    pub retry: RetryPolicy,
    /// Calls in a time; `None`: as many as come.
    pub rate_limit: Option<RateLimit>,
}

impl TaskSpec {
    /// The task with what `policy` changes of it. A soft limit above the hard one is drawn down to it.
    pub(super) fn apply(&mut self, policy: &TaskPolicy) {
        self.hard_limit = policy.hard_limit.unwrap_or(self.hard_limit);
        self.soft_limit = policy.soft_limit.unwrap_or(self.soft_limit).min(self.hard_limit);
        let retry = &mut self.retry;
        retry.max_retries = policy.max_retries.unwrap_or(retry.max_retries);
        retry.backoff = policy.retry_backoff.unwrap_or(retry.backoff);
        retry.backoff_max = policy.retry_backoff_max.unwrap_or(retry.backoff_max);
        self.rate_limit = policy.rate_limit.or(self.rate_limit);
    }

    /// The call in one line, as in Python: `compute_risk(symbol?, symbols?, as_of?)`.
    #[must_use]
    pub fn signature(&self) -> String {
        let named = |one: &Parameter| match one.required {
            true => one.name.to_owned(),
            false => format!("{}?", one.name),
        };
        let names: Vec<String> = self.parameters.iter().map(named).collect();
        format!("{}({})", self.name, names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_limit_and_have_a_share_of_chance() {
        let policy = RetryPolicy {
            max_retries: 9,
            backoff: Duration::from_secs(2),
            backoff_max: Duration::from_secs(60),
        };
        for attempt in 0..40 {
            let whole = 2_f64.powi(attempt + 1).min(60.0);
            let pauses: Vec<f64> = ["a", "b", "c", "d"]
                .iter()
                .map(|id| policy.pause(id, attempt.unsigned_abs()).as_secs_f64())
                .collect();
            assert!(pauses.iter().all(|&p| p >= whole / 2.0 && p <= whole), "{pauses:?} {whole}");
            assert!(pauses.iter().any(|&p| (p - pauses[0]).abs() > 1e-6), "{pauses:?}");
        }
        assert_eq!(policy.pause("a", 3), policy.pause("a", 3));
    }

    #[test]
    fn rates_are_celerys() {
        for (text, calls, per) in
            [("10/s", 10, 1), ("7", 7, 1), ("100/m", 100, 60), ("5/h", 5, 3600)]
        {
            let rate: RateLimit = text.parse().unwrap();
            assert_eq!((rate.calls, rate.per.as_secs()), (calls, per));
            assert_eq!(rate.to_string().parse::<RateLimit>().unwrap(), rate);
        }
        for text in ["", "0/s", "x/s", "1/d", "-1/m"] {
            assert!(text.parse::<RateLimit>().unwrap_err().to_string().contains("expected"));
        }
    }
}

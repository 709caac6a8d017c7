//! What a message asks for: the envelope's headers and body, typed.
//!
//! Protocol 2 (the task's name in the headers) and the old protocol 1 (everything in the body). What
//! cannot be read is a [`Refusal`]: with the id of the task where the message tells it, so that its
//! client hears of it, and without where nobody can be told.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::envelope::Envelope;
use super::time;
use crate::tasks::TaskFailure;

/// Header that counts how often the message came back from a worker that died with it. Not
/// Celery's; workers pass unknown headers on.
pub const LOSSES: &str = "bongsu_losses";

/// Header that names the moment whose world the task works in. Not Celery's either.
pub const AS_OF: &str = "bongsu_as_of";

/// What is to follow a task, as the client wrote it: lists of signatures.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Embed {
    /// Sent with the result when it succeeds.
    pub callbacks: Vec<Value>,
    /// Sent with the task's id when it fails.
    pub errbacks: Vec<Value>,
    /// Later steps of the chain; the next one is the last.
    pub chain: Vec<Value>,
    /// Body of the chord that the task is a part of.
    pub chord: Option<Value>,
}

impl Embed {
    fn of(value: &Value) -> Self {
        let list = |name: &str| match value.get(name) {
            Some(Value::Array(items)) => items.clone(),
            _ => Vec::new(),
        };
        Self {
            callbacks: list("callbacks"),
            errbacks: list("errbacks"),
            chain: list("chain"),
            chord: value.get("chord").filter(|chord| chord.is_object()).cloned(),
        }
    }
}

/// A message that can be run.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Task id.
    pub id: String,
    /// Task name.
    pub name: String,
    /// Positional arguments.
    pub args: Vec<Value>,
    /// Arguments by name.
    pub kwargs: Map<String, Value>,
    /// What follows it.
    pub embed: Embed,
    /// Not before.
    pub eta: Option<DateTime<Utc>>,
    /// Not after.
    pub expires: Option<DateTime<Utc>>,
    /// Attempts before this one.
    pub retries: u32,
    /// The client's hard and soft limit, seconds.
    pub time_limit: (Option<f64>, Option<f64>),
    /// First task of the workflow.
    pub root_id: String,
    /// The task that sent this one.
    pub parent_id: Option<String>,
    /// Group, or chord.
    pub group: Option<String>,
    /// Place in the group.
    pub group_index: Option<i64>,
    /// Nothing is to be stored.
    pub ignore_result: bool,
    /// Times that a worker died with it.
    pub losses: u32,
    /// The message it came in.
    pub envelope: Envelope,
}

/// A message that cannot be run.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The task's id, where the message tells one.
    pub id: Option<String>,
    /// A word for metrics and rows.
    pub reason: &'static str,
    /// What is wrong.
    pub detail: String,
    /// What the client is told; `None`: it is told nothing, as a genuine worker has it.
    pub failure: Option<TaskFailure>,
}

impl Refusal {
    fn silent(envelope: &Envelope, reason: &'static str, detail: impl Into<String>) -> Box<Self> {
        let id = envelope.header("id").map(str::to_owned);
        Box::new(Self { id, reason, detail: detail.into(), failure: None })
    }

    fn told(envelope: &Envelope, reason: &'static str, detail: impl Into<String>) -> Box<Self> {
        let mut refusal = Self::silent(envelope, reason, detail);
        let wants = envelope.headers.get("ignore_result") != Some(&Value::Bool(true));
        if wants && refusal.id.is_some() {
            refusal.failure = Some(TaskFailure::value(&refusal.detail));
        }
        refusal
    }
}

/// Reads what a message asks for.
///
/// # Errors
/// A [`Refusal`], boxed: it is rare and large.
pub fn read(envelope: Envelope) -> Result<Request, Box<Refusal>> {
    let body = body_of(&envelope)?;
    if envelope.headers.get("task").is_some_and(Value::is_string) {
        protocol_2(envelope, body)
    } else {
        protocol_1(envelope, body)
    }
}

fn body_of(envelope: &Envelope) -> Result<Value, Box<Refusal>> {
    use super::envelope::EnvelopeError::{ContentType, NotBase64};
    let bytes = envelope.unpack().map_err(|error| {
        let detail = error.to_string();
        match error {
            ContentType(_) => Refusal::silent(envelope, "content_type", detail),
            NotBase64(_) => Refusal::silent(envelope, "body", detail),
            _ => Refusal::told(envelope, "body", detail),
        }
    })?;
    serde_json::from_slice(&bytes).map_err(|error| {
        // Python writes NaN and infinities, which JSON has not.
        if without_nan(&bytes).is_some() {
            let detail = "the arguments hold NaN or Infinity, which are no JSON values";
            return Refusal::told(envelope, "not_finite", detail);
        }
        Refusal::silent(envelope, "body", format!("the body is not JSON: {error}"))
    })
}

/// The body with null for Python's `NaN` and infinities, if it is JSON then.
fn without_nan(bytes: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (mut out, mut rest, mut in_text) = (String::with_capacity(text.len()), text, false);
    while let Some(c) = rest.chars().next() {
        let word = ["-Infinity", "Infinity", "NaN"].into_iter().find(|w| rest.starts_with(w));
        let taken = match (c, word) {
            ('\\', _) if in_text => {
                let escaped = rest.chars().take(2).map(char::len_utf8).sum();
                out.push_str(&rest[..escaped]);
                escaped
            }
            (_, Some(word)) if !in_text => {
                out.push_str("null");
                word.len()
            }
            _ => {
                in_text ^= c == '"';
                out.push(c);
                c.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    serde_json::from_str(&out).ok()
}

/// Headers as protocol 2 has them; protocol 1 has the same in the body.
struct Fields<'a>(&'a Map<String, Value>);

impl Fields<'_> {
    fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).and_then(Value::as_str).map(str::to_owned)
    }

    fn moment(&self, name: &'static str) -> Result<Option<DateTime<Utc>>, String> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => match time::parse(text) {
                Some(moment) => Ok(Some(moment)),
                None => Err(format!("{name} \"{text}\" is no moment; expected ISO 8601")),
            },
            Some(other) => Err(format!("{name} {other} is no moment; expected ISO 8601")),
        }
    }

    fn time_limit(&self) -> (Option<f64>, Option<f64>) {
        let limit = |index: usize| {
            let value = self.0.get("timelimit")?.get(index)?.as_f64()?;
            (value.is_finite() && value > 0.0).then_some(value)
        };
        (limit(0), limit(1))
    }

    fn count(&self, name: &str) -> u32 {
        let count = self.0.get(name).and_then(Value::as_u64).unwrap_or(0);
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}

fn protocol_2(envelope: Envelope, body: Value) -> Result<Request, Box<Refusal>> {
    let Some(id) = envelope.header("id").filter(|id| !id.is_empty()).map(str::to_owned) else {
        return Err(Refusal::silent(&envelope, "no_id", "the headers have no task id"));
    };
    let parts = match body {
        Value::Array(parts) => parts,
        _ => Vec::new(),
    };
    let Ok([args, kwargs, embed]) = <[Value; 3]>::try_from(parts) else {
        let detail = "the body is not a list of three: arguments, arguments by name, what follows";
        return Err(Refusal::told(&envelope, "body", detail));
    };
    let embed = Embed::of(&embed);
    build(envelope, id, args, kwargs, embed)
}

fn protocol_1(envelope: Envelope, body: Value) -> Result<Request, Box<Refusal>> {
    let missing = |envelope: &Envelope| {
        Refusal::silent(envelope, "no_task", "neither headers nor body name a task")
    };
    let Value::Object(mut fields) = body else { return Err(missing(&envelope)) };
    let text = |name: &str| fields.get(name).and_then(Value::as_str).filter(|t| !t.is_empty());
    let (Some(name), Some(id)) = (text("task"), text("id")) else {
        return Err(missing(&envelope));
    };
    let (name, id) = (name.to_owned(), id.to_owned());
    let embed = Embed::of(&Value::Object(fields.clone()));
    let args = fields.remove("args").unwrap_or(Value::Array(Vec::new()));
    let kwargs = fields.remove("kwargs").unwrap_or(Value::Object(Map::new()));
    // From here on it is a message of protocol 2, also when it is sent again.
    let mut envelope = envelope;
    envelope.headers.insert("task".to_owned(), name.into());
    envelope.headers.insert("id".to_owned(), id.clone().into());
    for (from, to) in [
        ("retries", "retries"),
        ("eta", "eta"),
        ("expires", "expires"),
        ("timelimit", "timelimit"),
        ("taskset", "group"),
    ] {
        if let Some(value) = fields.remove(from) {
            envelope.headers.insert(to.to_owned(), value);
        }
    }
    build(envelope, id, args, kwargs, embed)
}

fn build(
    envelope: Envelope,
    id: String,
    args: Value,
    kwargs: Value,
    embed: Embed,
) -> Result<Request, Box<Refusal>> {
    let Value::Array(args) = args else {
        return Err(Refusal::told(&envelope, "arguments", "args is no list"));
    };
    let Value::Object(kwargs) = kwargs else {
        return Err(Refusal::told(&envelope, "arguments", "kwargs is no object"));
    };
    let fields = Fields(&envelope.headers);
    let moments = (fields.moment("eta"), fields.moment("expires"));
    let (eta, expires) = match moments {
        (Ok(eta), Ok(expires)) => (eta, expires),
        (Err(detail), _) | (_, Err(detail)) => {
            return Err(Refusal::told(&envelope, "moment", detail));
        }
    };
    Ok(Request {
        name: fields.text("task").unwrap_or_default(),
        args,
        kwargs,
        embed,
        eta,
        expires,
        retries: fields.count("retries"),
        time_limit: fields.time_limit(),
        root_id: fields.text("root_id").unwrap_or_else(|| id.clone()),
        parent_id: fields.text("parent_id"),
        group: fields.text("group"),
        group_index: envelope.headers.get("group_index").and_then(Value::as_i64),
        ignore_result: envelope.headers.get("ignore_result") == Some(&Value::Bool(true)),
        losses: fields.count(LOSSES),
        id,
        envelope,
    })
}

impl Request {
    /// Who sent it.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.envelope.header("origin").unwrap_or_default()
    }

    /// Its name in logs and events.
    #[must_use]
    pub fn shown_name(&self) -> &str {
        self.envelope.header("shadow").unwrap_or(&self.name)
    }

    /// Whether it is too late for it.
    #[must_use]
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

#[cfg(test)]
mod tests;

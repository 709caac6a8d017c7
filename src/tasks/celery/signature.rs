//! Signatures: calls that a message carries, to be sent later; and the messages made of them.
//!
//! A signature is `{"task", "args", "kwargs", "options", "subtask_type", "immutable"}`. Of its options
//! those are obeyed that say when, where and with what it is to be sent; the rest is AMQP's business.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::envelope::{Envelope, list};
use super::request::Request;
use super::{repr, time};

/// Where a message goes when nothing says otherwise, and in whose name.
#[derive(Debug, Clone)]
pub struct Sender {
    /// The queue of signatures that name none.
    pub queue: String,
    /// `gen<pid>@<host>`.
    pub origin: String,
}

/// A message ready to be pushed.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// The Redis list it goes to.
    pub list: String,
    /// Id of its task.
    pub id: String,
    /// What is pushed.
    pub json: String,
}

/// What a message inherits from the task that sends it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lineage {
    /// First task of the workflow; `None`: the sent task is the first.
    pub root_id: Option<String>,
    /// The sending task.
    pub parent_id: Option<String>,
    /// Its priority.
    pub priority: u8,
}

impl Lineage {
    /// Of what `request` sends.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        Self {
            root_id: Some(request.root_id.clone()),
            parent_id: Some(request.id.clone()),
            priority: request.envelope.priority(),
        }
    }
}

/// A call to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Signature {
    /// Task name; `celery.group` and its like are no tasks, see [`super::canvas`].
    pub task: String,
    /// Positional arguments.
    pub args: Vec<Value>,
    /// Arguments by name.
    pub kwargs: Map<String, Value>,
    /// How it is sent.
    pub options: Map<String, Value>,
    /// Results of others are not put in front of its arguments.
    pub immutable: bool,
}

impl Signature {
    /// Reads one; `None` when it names no task.
    #[must_use]
    pub fn read(value: &Value) -> Option<Self> {
        let object = |name: &str| match value.get(name) {
            Some(Value::Object(object)) => object.clone(),
            _ => Map::new(),
        };
        Some(Self {
            task: value.get("task")?.as_str()?.to_owned(),
            args: value.get("args").and_then(Value::as_array).cloned().unwrap_or_default(),
            kwargs: object("kwargs"),
            options: object("options"),
            immutable: value.get("immutable") == Some(&Value::Bool(true)),
        })
    }

    /// The same call with `first` in front of its arguments, unless it is immutable.
    #[must_use]
    pub fn given(mut self, first: &Value) -> Self {
        if !self.immutable {
            self.args.insert(0, first.clone());
        }
        self
    }

    /// The option's text.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).and_then(Value::as_str)
    }

    /// Its task id; made now if it has none.
    pub fn id(&mut self) -> String {
        match self.option("task_id").filter(|id| !id.is_empty()) {
            Some(id) => id.to_owned(),
            None => {
                let id = uuid::Uuid::new_v4().to_string();
                self.options.insert("task_id".to_owned(), id.clone().into());
                id
            }
        }
    }

    fn list_of(&self, name: &str) -> Vec<Value> {
        match self.options.get(name) {
            Some(Value::Array(items)) => items.clone(),
            Some(one @ Value::Object(_)) => vec![one.clone()],
            _ => Vec::new(),
        }
    }

    /// When it may run: `eta`, or `countdown` seconds from now.
    fn eta(&self, now: DateTime<Utc>) -> Option<String> {
        match (self.options.get("countdown"), self.option("eta")) {
            (Some(Value::Number(seconds)), _) => moment_in(seconds.as_f64()?, now),
            (_, eta) => eta.map(str::to_owned),
        }
    }

    fn expires(&self, now: DateTime<Utc>) -> Option<String> {
        match self.options.get("expires") {
            Some(Value::Number(seconds)) => moment_in(seconds.as_f64()?, now),
            Some(Value::String(text)) => Some(text.clone()),
            _ => None,
        }
    }

    /// The message: `chain` are the steps behind it, the next one last.
    #[must_use]
    pub fn message(
        mut self,
        sender: &Sender,
        lineage: &Lineage,
        chain: Vec<Value>,
        now: DateTime<Utc>,
    ) -> Outgoing {
        let id = self.id();
        let queue = self.option("queue").or(self.option("routing_key")).unwrap_or(&sender.queue);
        let queue = queue.to_owned();
        let priority = self.options.get("priority").and_then(Value::as_u64);
        let priority = priority.map_or(lineage.priority, |p| u8::try_from(p).unwrap_or(u8::MAX));
        let nothing_or = |list: Vec<Value>| if list.is_empty() { Value::Null } else { list.into() };
        // A chord's body carries what follows it itself.
        let steps = match self.options.get("chain") {
            Some(Value::Array(own)) if chain.is_empty() => own.clone(),
            _ => chain,
        };
        let embed = json!({
            "callbacks": nothing_or(self.list_of("link")),
            "errbacks": nothing_or(self.list_of("link_error")),
            "chain": nothing_or(steps),
            "chord": self.options.get("chord").cloned().unwrap_or(Value::Null),
        });
        let option = |name: &str| self.options.get(name).cloned().unwrap_or(Value::Null);
        let headers = json!({
            "lang": "py",
            "task": self.task,
            "id": id,
            "shadow": option("shadow"),
            "eta": self.eta(now),
            "expires": self.expires(now),
            "group": option("group_id"),
            "group_index": option("group_index"),
            "retries": 0,
            "timelimit": [option("time_limit"), option("soft_time_limit")],
            "root_id": lineage.root_id.as_deref().unwrap_or(&id),
            "parent_id": lineage.parent_id,
            "argsrepr": args_repr(&self.args),
            "kwargsrepr": repr::object(&self.kwargs),
            "origin": sender.origin,
            "ignore_result": self.options.get("ignore_result").cloned().unwrap_or(Value::Bool(false)),
            "replaced_task_nesting": 0,
            "stamped_headers": option("stamped_headers"),
            "stamps": self.options.get("stamps").cloned().unwrap_or_else(|| json!({})),
        });
        let reply_to = option("reply_to");
        let body = json!([self.args, self.kwargs, embed]);
        let mut headers = match headers {
            Value::Object(headers) => headers,
            _ => Map::new(),
        };
        if let Some(Value::Object(own)) = self.options.get("headers") {
            headers.extend(own.clone());
        }
        let mut envelope = Envelope::around(&body, headers, ("", &queue));
        let properties = &mut envelope.properties;
        properties.insert("correlation_id".to_owned(), id.clone().into());
        properties.insert("reply_to".to_owned(), reply_to);
        properties.insert("priority".to_owned(), priority.into());
        Outgoing { list: list(&queue, priority), id, json: envelope.to_json() }
    }
}

/// `()` and `('005930', 5)`, as Python shows a tuple.
fn args_repr(args: &[Value]) -> String {
    let list = repr::value(&Value::Array(args.to_vec()));
    let inner = list.strip_prefix('[').unwrap_or(&list);
    match (args.len(), inner.strip_suffix(']')) {
        (1, Some(inner)) => format!("({inner},)"),
        (_, Some(inner)) => format!("({inner})"),
        (_, None) => format!("({inner}"),
    }
}

fn moment_in(seconds: f64, now: DateTime<Utc>) -> Option<String> {
    let span = Duration::try_from_secs_f64(seconds.max(0.0)).ok()?;
    Some(time::format(time::after(now, span)))
}

/// The message of the next attempt: the same call with the same id, one attempt on, not before
/// `after` has passed. Its body is passed on as it came.
#[must_use]
pub fn retry(request: &Request, queue: &str, after: Duration, now: DateTime<Utc>) -> Outgoing {
    let mut envelope = request.envelope.clone();
    let headers = &mut envelope.headers;
    for (name, value) in [
        ("eta", json!(time::format(time::after(now, after)))),
        ("retries", json!(request.retries.saturating_add(1))),
        ("root_id", json!(request.root_id)),
        ("parent_id", json!(request.id)),
        ("ignore_result", json!(request.ignore_result)),
    ] {
        headers.insert(name.to_owned(), value);
    }
    // The next attempt is a new message: it was neither lost nor delivered before.
    headers.remove(super::request::LOSSES);
    headers.remove("redelivered");
    if let Some(info) = envelope.properties.get_mut("delivery_info").and_then(Value::as_object_mut)
    {
        info.remove("redelivered");
    }
    let queue = envelope.routing_key().unwrap_or(queue).to_owned();
    let tag = uuid::Uuid::new_v4().to_string();
    envelope.properties.insert("delivery_tag".to_owned(), tag.into());
    Outgoing {
        list: list(&queue, envelope.priority()),
        id: request.id.clone(),
        json: envelope.to_json(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::celery::request;

    fn sender() -> Sender {
        Sender { queue: "ai_tasks".to_owned(), origin: "gen1@host".to_owned() }
    }

    fn read(outgoing: &Outgoing) -> Request {
        request::read(Envelope::parse(outgoing.json.as_bytes()).unwrap()).unwrap()
    }

    fn now() -> DateTime<Utc> {
        time::parse("2026-11-22T07:00:00").unwrap()
    }

    #[test]
    fn a_signature_becomes_a_message_that_can_be_read() {
        let signature = Signature::read(&json!({
            "task": "t.add", "args": [100], "kwargs": {"a": 1}, "immutable": false,
            "options": {"queue": "other", "task_id": "i", "priority": 6, "countdown": 2.5,
                "expires": 60, "time_limit": 30, "link_error": {"task": "e"}, "reply_to": "r"},
        }));
        let lineage =
            Lineage { root_id: Some("root".into()), parent_id: Some("p".into()), priority: 0 };
        let outgoing =
            signature.unwrap().given(&json!(3)).message(&sender(), &lineage, vec![], now());
        assert_eq!((outgoing.list.as_str(), outgoing.id.as_str()), ("other\u{6}\u{16}6", "i"));
        let request = read(&outgoing);
        assert_eq!(request.args, [json!(3), json!(100)]);
        assert_eq!(request.eta.map(time::format).unwrap(), "2026-11-22T07:00:02.500000+00:00");
        assert_eq!(request.expires.map(time::format).unwrap(), "2026-11-22T07:01:00+00:00");
        assert_eq!(request.time_limit, (Some(30.0), None));
        assert_eq!((request.root_id.as_str(), request.parent_id.as_deref()), ("root", Some("p")));
        assert_eq!(request.embed.errbacks, [json!({"task": "e"})]);
        assert_eq!(request.envelope.header("argsrepr"), Some("(3, 100)"));
        assert_eq!(request.envelope.properties["correlation_id"], "i");
        assert_eq!(request.envelope.routing_key(), Some("other"));
    }

    #[test]
    fn what_has_no_id_or_queue_gets_one() {
        let signature = Signature::read(&json!({"task": "t", "immutable": true})).unwrap();
        let outgoing =
            signature.given(&json!(1)).message(&sender(), &Lineage::default(), vec![], now());
        assert_eq!(outgoing.list, "ai_tasks");
        let request = read(&outgoing);
        assert_eq!(request.id.len(), 36);
        assert_eq!(request.root_id, request.id, "it is the first of its workflow");
        assert!(request.args.is_empty(), "nothing is put before an immutable one's arguments");
    }

    #[test]
    fn a_retry_is_the_same_call_one_attempt_on() {
        let signature = Signature::read(
            &json!({"task": "t", "args": [1], "options": {"chord": {"task": "b"}}}),
        );
        let first =
            read(&signature.unwrap().message(&sender(), &Lineage::default(), vec![], now()));
        let second = read(&retry(&first, "ai_tasks", Duration::from_secs(2), now()));
        assert_eq!((second.id.as_str(), second.retries), (first.id.as_str(), 1));
        assert_eq!(second.parent_id.as_deref(), Some(first.id.as_str()));
        assert_eq!((&second.root_id, &second.embed), (&first.root_id, &first.embed));
        assert_eq!(second.eta.map(time::format).unwrap(), "2026-11-22T07:00:02+00:00");
        assert_ne!(second.envelope.tag(), first.envelope.tag());
        assert_eq!(second.envelope.body, first.envelope.body);
    }
}

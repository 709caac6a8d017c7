//! Calls that this program sends: the Celery queue as a place to submit to.
//!
//! A call is an ordinary message, so that a genuine worker could run it as well. An id is taken once:
//! its mark, which lives for a day after it was last sent, is set in the same step that puts the message into
//! the queue.

use std::time::Duration;

use chrono::{DateTime, Utc};
use fred::interfaces::ClientLike;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::connection::{Address, BrokerError, Link, Prepared};
use super::envelope::Envelope;
use super::request::AS_OF;
use super::signature::{Lineage, Sender, Signature};
use super::{results, script, time};
use crate::market::EventTime;
use crate::tasks::{
    Submit, SubmitError, SubmitOptions, Submitted, TaskCall, TaskState, TaskStatus,
};

/// How long a call waits for the connection.
const CONNECT: Duration = Duration::from_secs(2);
/// Time between two looks at a result that is waited for, at first and at most.
const LOOK: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));

/// Where calls go.
#[derive(Clone)]
pub struct ClientOptions {
    /// Address of Redis.
    pub url: String,
    /// The queue.
    pub queue: String,
    /// Who sends, `gen<pid>@<host>`.
    pub origin: String,
    /// How long Redis may take to answer.
    pub timeout: Duration,
}

impl std::fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClientOptions({})", self.queue)
    }
}

/// The queue, for those who send.
#[derive(Debug)]
pub struct CeleryQueue {
    address: Address,
    link: Mutex<Option<Link>>,
    sender: Sender,
    control: String,
    place: String,
    send: Prepared,
}

impl CeleryQueue {
    /// The queue of `options`; connects when it is first used, which must be on the runtime that does the
    /// process's I/O.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub fn open(options: ClientOptions) -> Result<Self, BrokerError> {
        let address = Address::of(&options.url, options.timeout, options.timeout)?;
        Ok(Self {
            link: Mutex::default(),
            control: format!("/{}.celery.pidbox", address.database()),
            place: format!(
                "{} at redis {}:{}/{}",
                options.queue,
                address.host(),
                address.port(),
                address.database()
            ),
            sender: Sender { queue: options.queue, origin: options.origin },
            send: Prepared::new(script::SEND),
            address,
        })
    }

    /// The connection, once it is there. Until then, and for a while, whoever asks waits.
    async fn link(&self) -> Result<Link, BrokerError> {
        let (link, first) = {
            let mut held = self.link.lock();
            match &*held {
                Some(link) => (link.clone(), false),
                None => (held.insert(Link::open(&self.address)?).clone(), true),
            }
        };
        if first || !link.client().is_connected() {
            // The call itself says it better when this does not come to pass.
            let connected = link.client().wait_for_connect();
            let _ = tokio::time::timeout(CONNECT, connected).await;
        }
        Ok(link)
    }

    fn away(&self, error: &BrokerError) -> SubmitError {
        SubmitError::Away { queue: self.place.clone(), why: error.to_string() }
    }

    async fn put(&self, call: TaskCall, options: SubmitOptions) -> Result<Submitted, BrokerError> {
        let id = call.id.clone();
        let message = signature_of(call, options, &self.sender.origin).message(
            &self.sender,
            &Lineage { root_id: None, parent_id: None, priority: options.priority },
            Vec::new(),
            time::now(),
        );
        let mark = format!("{}{id}", script::SENT);
        let arguments = vec![script::SENT_LIFE.into(), message.json.into()];
        let (link, result) = (self.link().await?, results::key(&id));
        let fresh = self.send.run(&link, &[&mark, &message.list, &result], arguments).await?;
        Ok(if fresh.as_u64() == Some(1) { Submitted::New } else { Submitted::Known })
    }

    async fn look(&self, id: &str) -> Result<TaskStatus, BrokerError> {
        let stored = self.link().await?.call("GET", vec![results::key(id).into()]).await?;
        let Some(text) = stored.into_bytes() else { return Ok(TaskStatus::pending(id)) };
        status(id, &text).ok_or(BrokerError::Form("a stored result"))
    }
}

/// The moment as Celery writes it.
fn moment(time: EventTime) -> Value {
    let moment = DateTime::<Utc>::from_timestamp_micros(time.micros());
    moment.map_or(Value::Null, |moment| time::format(moment).into())
}

fn signature_of(call: TaskCall, options: SubmitOptions, origin: &str) -> Signature {
    let seconds = |limit: Option<Duration>| limit.map(|limit| limit.as_secs_f64());
    let mut headers = Map::new();
    if let Some(as_of) = call.as_of {
        headers.insert(AS_OF.to_owned(), moment(as_of));
    }
    if !call.origin.is_empty() {
        // Beside the process that sends, as Celery has it.
        headers.insert("origin".to_owned(), format!("{origin} {}", call.origin).into());
    }
    let mut given = Map::new();
    for (name, value) in [
        ("task_id", json!(call.id)),
        ("priority", json!(options.priority)),
        ("eta", options.eta.map_or(Value::Null, moment)),
        ("expires", options.expires.map_or(Value::Null, moment)),
        ("time_limit", json!(seconds(call.hard_limit))),
        ("soft_time_limit", json!(seconds(call.soft_limit))),
        ("headers", headers.into()),
    ] {
        if !value.is_null() {
            given.insert(name.to_owned(), value);
        }
    }
    Signature {
        task: call.name,
        args: call.args,
        kwargs: call.kwargs,
        options: given,
        immutable: true,
    }
}

/// A stored result, as an answer to whoever asks.
fn status(id: &str, text: &[u8]) -> Option<TaskStatus> {
    let meta: Map<String, Value> = serde_json::from_slice(text).ok()?;
    let state: TaskState = serde_json::from_value(meta.get("status")?.clone()).ok()?;
    let result = meta.get("result").cloned().filter(|result| !result.is_null());
    let mut status = TaskStatus { state, ..TaskStatus::pending(id) };
    match state {
        TaskState::Success => status.result = Some(result.unwrap_or(Value::Null)),
        TaskState::Failure | TaskState::Retry | TaskState::Revoked => status.error = result,
        TaskState::Started | TaskState::Pending => {}
    }
    status.traceback = meta.get("traceback").and_then(Value::as_str).map(str::to_owned);
    status.finished_at = meta
        .get("date_done")
        .and_then(Value::as_str)
        .and_then(time::parse)
        .map(|moment| EventTime::from_micros(moment.timestamp_micros()));
    Some(status)
}

impl Submit for CeleryQueue {
    fn submit<'a>(
        &'a self,
        call: TaskCall,
        options: SubmitOptions,
    ) -> BoxFuture<'a, Result<Submitted, SubmitError>> {
        Box::pin(async move { self.put(call, options).await.map_err(|error| self.away(&error)) })
    }

    fn place(&self) -> String {
        format!("the queue {}", self.place)
    }

    fn state<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<TaskStatus, SubmitError>> {
        Box::pin(async move { self.look(id).await.map_err(|error| self.away(&error)) })
    }

    fn finished<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<TaskStatus, SubmitError>> {
        Box::pin(async move {
            let mut pause = LOOK.0;
            loop {
                let status = self.look(id).await.map_err(|error| self.away(&error))?;
                if status.state.is_final() {
                    return Ok(status);
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LOOK.1);
            }
        })
    }

    fn revoke<'a>(
        &'a self,
        id: &'a str,
        terminate: bool,
    ) -> BoxFuture<'a, Result<(), SubmitError>> {
        Box::pin(async move {
            let body = json!({
                "method": "revoke",
                "arguments": {"task_id": id, "terminate": terminate, "signal": null},
                "destination": null, "pattern": null, "matcher": null,
            });
            let headers =
                Map::from_iter([("clock".to_owned(), json!(1)), ("expires".to_owned(), json!(0))]);
            let envelope = Envelope::around(&body, headers, ("celery.pidbox", ""));
            let words = vec![self.control.as_str().into(), envelope.to_json().into()];
            let told = async { self.link().await?.call("PUBLISH", words).await };
            told.await.map(drop).map_err(|error| self.away(&error))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_result_is_an_answer() {
        let text =
            br#"{"status": "FAILURE", "result": {"exc_type": "ValueError", "exc_message": ["bad"],
            "exc_module": "builtins"}, "traceback": "x", "children": [],
            "date_done": "2026-11-22T07:00:38.398740+00:00", "task_id": "i"}"#;
        let status = status("i", text).unwrap();
        assert_eq!((status.state, status.result), (TaskState::Failure, None));
        assert_eq!(status.error.unwrap()["exc_type"], "ValueError");
        assert!(status.finished_at.is_some());
        let done = super::status("i", br#"{"status": "SUCCESS", "result": null}"#).unwrap();
        assert_eq!(done.result, Some(Value::Null), "a task may succeed with nothing");
        for text in [&b""[..], b"[]", b"{\"status\": \"ODD\"}"] {
            assert!(super::status("i", text).is_none());
        }
    }
}

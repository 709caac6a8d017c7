//! Events: what a worker says of itself and its tasks to whoever listens, Flower for one.
//!
//! Heartbeats are always sent, task events once somebody has asked for them (`enable_events`, or a
//! setting). Nobody stores them and none is waited for: what cannot be sent at once is gone. Task
//! events are gathered and go out as a list, `task.multi`, in the order in which they happened;
//! every event has the next number of this worker's clock, by which receivers order them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;

use super::connection::Link;
use super::envelope::Envelope;
use super::request::Request;
use super::{repr, time};
use crate::tasks::TaskFailure;

/// Task events that wait to be sent, at most; the oldest go.
const BUFFER: usize = 4_096;

/// Seconds between two heartbeats.
pub const HEARTBEAT: f64 = 2.0;

/// How busy a worker is, for its heartbeats.
#[derive(Debug, Clone, Copy, Default)]
pub struct Load {
    /// Tasks that run.
    pub active: usize,
    /// Tasks that ended so far.
    pub processed: u64,
}

/// The events of one worker.
#[derive(Debug)]
pub struct Events {
    node: String,
    pid: u32,
    channel: String,
    clock: AtomicU64,
    enabled: AtomicBool,
    buffer: Mutex<Vec<Value>>,
    wake: Notify,
}

impl Events {
    /// Events of the worker `node` on a broker whose database has this number.
    #[must_use]
    pub fn new(node: &str, database: u8, enabled: bool) -> Self {
        Self {
            node: node.to_owned(),
            pid: std::process::id(),
            channel: format!("/{database}.celeryev/"),
            clock: AtomicU64::new(1),
            enabled: AtomicBool::new(enabled),
            buffer: Mutex::default(),
            wake: Notify::new(),
        }
    }

    /// The worker's name.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The clock's next number.
    pub fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The clock's number.
    #[cfg(test)]
    pub fn clock(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    /// Sets the clock beyond a number that was heard from another. A clock that somebody has set near
    /// the end of its range is not followed there.
    pub fn heard(&self, other: u64) {
        if other < u64::MAX / 2 {
            self.clock.fetch_max(other + 1, Ordering::Relaxed);
        }
    }

    /// Switches task events; returns whether that changes anything.
    pub fn enable(&self, on: bool) -> bool {
        self.enabled.swap(on, Ordering::Relaxed) != on
    }

    /// Whether task events are sent.
    #[must_use]
    pub fn are_enabled(&self) -> bool {
        self.enabled.load(Ordering::Relaxed)
    }

    fn event(&self, kind: &str, fields: Value) -> Value {
        let mut event = Map::new();
        event.insert("hostname".to_owned(), self.node.as_str().into());
        event.insert("utcoffset".to_owned(), json!(0.0));
        event.insert("pid".to_owned(), self.pid.into());
        event.insert("clock".to_owned(), self.tick().into());
        if let Value::Object(fields) = fields {
            event.extend(fields);
        }
        event.insert("timestamp".to_owned(), time::unix(time::now()).into());
        event.insert("type".to_owned(), kind.into());
        Value::Object(event)
    }

    fn keep(&self, kind: &str, fields: impl FnOnce() -> Value) {
        if !self.are_enabled() {
            return;
        }
        let event = self.event(kind, fields());
        let mut buffer = self.buffer.lock();
        if buffer.len() >= BUFFER {
            buffer.drain(..BUFFER / 2);
        }
        buffer.push(event);
        drop(buffer);
        self.wake.notify_one();
    }

    /// A task was received.
    pub fn received(&self, request: &Request) {
        self.keep("task-received", || {
            let text = |name: &str| request.envelope.header(name).map(str::to_owned);
            json!({
                "uuid": request.id,
                "name": request.shown_name(),
                "args": text("argsrepr").unwrap_or_else(|| repr::value(&request.args.clone().into())),
                "kwargs": text("kwargsrepr").unwrap_or_else(|| repr::object(&request.kwargs)),
                "root_id": request.root_id,
                "parent_id": request.parent_id,
                "retries": request.retries,
                "eta": request.eta.map(time::format),
                "expires": request.expires.map(time::format),
            })
        });
    }

    /// It began.
    pub fn started(&self, id: &str) {
        self.keep("task-started", || json!({ "uuid": id }));
    }

    /// It succeeded.
    pub fn succeeded(&self, id: &str, result: &str, runtime: f64) {
        self.keep("task-succeeded", || json!({"uuid": id, "result": result, "runtime": runtime}));
    }

    /// It failed for good.
    pub fn failed(&self, id: &str, failure: &TaskFailure) {
        self.keep("task-failed", || exception(id, failure));
    }

    /// It failed and will be tried again.
    pub fn retried(&self, id: &str, failure: &TaskFailure) {
        self.keep("task-retried", || exception(id, failure));
    }

    /// It was taken back.
    pub fn revoked(&self, id: &str, terminated: bool, expired: bool) {
        let signal = terminated.then_some(15);
        self.keep(
            "task-revoked",
            || json!({"uuid": id, "terminated": terminated, "signum": signal, "expired": expired}),
        );
    }

    /// Sends task events as they come; for ever.
    pub async fn run(&self, link: &Link) {
        loop {
            self.wake.notified().await;
            let events = std::mem::take(&mut *self.buffer.lock());
            if !events.is_empty() {
                self.publish(link, "task.multi", &events.into()).await;
            }
        }
    }

    /// Sends what waits, at the end.
    pub async fn flush(&self, link: &Link) {
        let events = std::mem::take(&mut *self.buffer.lock());
        if !events.is_empty() {
            self.publish(link, "task.multi", &events.into()).await;
        }
    }

    /// Sends `worker-online`, `worker-heartbeat` or `worker-offline`.
    pub async fn worker(&self, link: &Link, kind: &str, load: Load) {
        let fields = json!({
            "freq": HEARTBEAT,
            "active": load.active,
            "processed": load.processed,
            "loadavg": load_average(),
            "sw_ident": "bongsu",
            "sw_ver": env!("CARGO_PKG_VERSION"),
            "sw_sys": "Linux",
        });
        let event = self.event(kind, fields);
        self.publish(link, &kind.replacen('-', ".", 1), &event).await;
    }

    async fn publish(&self, link: &Link, key: &str, body: &Value) {
        let headers = Map::from_iter([("hostname".to_owned(), self.node.as_str().into())]);
        let mut envelope = Envelope::around(body, headers, ("celeryev", key));
        envelope.properties.insert("delivery_mode".to_owned(), 1.into());
        let channel = format!("{}{key}", self.channel);
        let words = vec![channel.into(), envelope.to_json().into()];
        if let Err(error) = link.call("PUBLISH", words).await {
            tracing::debug!(key, %error, "an event is lost");
        }
    }
}

fn exception(id: &str, failure: &TaskFailure) -> Value {
    let shown = repr::exception(&failure.exc_type, &failure.exc_message);
    let mut fields = json!({"uuid": id, "exception": shown});
    if let Some(traceback) = super::results::traceback(failure) {
        fields["traceback"] = traceback.into();
    }
    fields
}

/// The machine's load over one, five and fifteen minutes; zeros where nobody tells.
pub fn load_average() -> [f64; 3] {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut figures = text.split(' ').map(|figure| figure.parse().unwrap_or(0.0));
    std::array::from_fn(|_| figures.next().unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_numbered_and_kept_only_for_those_who_asked() {
        let events = Events::new("bongsu@host", 0, false);
        events.started("a");
        assert!(events.buffer.lock().is_empty());
        assert!(events.enable(true) && !events.enable(true));
        events.started("a");
        events.heard(100);
        events.succeeded("a", "'pong'", 0.5);
        let buffer = events.buffer.lock();
        assert_eq!(
            (buffer[0]["type"].as_str(), buffer[0]["clock"].as_u64()),
            (Some("task-started"), Some(2))
        );
        assert_eq!(
            (buffer[1]["clock"].as_u64(), buffer[1]["result"].as_str()),
            (Some(102), Some("'pong'"))
        );
        assert_eq!(buffer[1]["hostname"], "bongsu@host");
    }

    #[test]
    fn a_clock_out_of_range_is_not_followed_and_the_buffer_is_bounded() {
        let events = Events::new("n", 3, true);
        events.heard(u64::MAX);
        assert_eq!(events.clock(), 1);
        for _ in 0..2 * BUFFER {
            events.started("x");
        }
        assert!(events.buffer.lock().len() <= BUFFER);
        assert_eq!(events.channel, "/3.celeryev/");
    }
}

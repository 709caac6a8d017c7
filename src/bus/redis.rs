//! Outward events over Redis: `PUBLISH` for those who listen, a capped stream for those who were
//! away.
//!
//! A batch is one call of a script ([`super::script`]): its stream entries and their publications
//! happen together or not at all, and it costs one round trip. The script also keeps the stream
//! free of repetitions: `{bongsu:events}:ids` is a sorted set of the ids whose entries the
//! stream may still hold (its cap and 1,000 more, because the stream is trimmed by whole nodes; same
//! hash slot as the stream). An event whose id is in it is
//! neither appended nor published again, so sending a batch a second time after a lost
//! acknowledgement, a restart or a `kill -9` changes nothing. When Redis comes back empty, both
//! keys are empty, and what is sent again is taken as new.
//!
//! Memory: 100,000 entries of some 700 bytes and as many ids of 32 take about 100 MiB at most.
//! Trimming is by count (`MAXLEN ~`), never by time.
//!
//! An acknowledgement means that Redis executed the script. What Redis itself then loses in a
//! crash depends on its `appendfsync`.
//!
//! **Away, slow beyond the time-out, or refusing** (password, replica, memory, loading): events wait
//! in the [`Backlog`], in order and bounded, and health names the cause and what to do
//! ([`super::refusal`]). Nobody waits for a Redis that has failed once: only the task in here does.
//!
//! Needs the rights `+eval +publish +xadd +xdel +zadd +zscore +zrem +zremrangebyrank`, the keys
//! `bongsu:events` and `{bongsu:events}:ids`, and the channels `bongsu.*`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fred::prelude::*;
use fred::types::config::{Options, Server};
use fred::types::{ClusterHash, ConnectHandle, CustomCommand};
use metrics::{Counter, Gauge};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;

use super::publisher::{Latency, LatencyObserver, PublishOutcome};
use super::queue::{Backlog, BacklogLimits, Lost};
use super::refusal::explain;
use super::script::SCRIPT;
use crate::messages::{Component, HealthRegistry, HealthState, OutwardEvent};

/// The stream of all events but scores.
pub const STREAM: &str = "bongsu:events";
/// Ids of the events in the stream. The braces give it the stream's hash slot in a cluster.
const IDS: &str = "{bongsu:events}:ids";

/// Events a script call: some 150 KiB, and about 2 ms of the server's time.
const CHUNK: usize = 128;

/// Why Redis cannot be used at all. A server that is merely away is no error.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The URL is not one.
    #[error(
        "redis url \"{url}\" cannot be used: {cause}; expected redis://[user:password@]host:port/db or rediss://…"
    )]
    Url {
        /// The URL without its password.
        url: String,
        /// What is wrong with it.
        cause: String,
    },
}

/// `url` with its password, or a user part that may be one, replaced by `***`.
#[must_use]
pub fn redact_url(url: &str) -> String {
    let Some(start) = url.find("://").map(|at| at + 3) else {
        return if url.contains('@') { "***".to_owned() } else { url.to_owned() };
    };
    // A password may hold an @ or a /: everything up to the last @ is user and password.
    let Some(end) = url[start..].rfind('@').map(|at| start + at) else { return url.to_owned() };
    let user = url[start..end].split_once(':').map_or("", |(user, _)| user);
    let mark = if url[start..end].contains(':') { ":***" } else { "***" };
    format!("{}{user}{mark}{}", &url[..start], &url[end..])
}

/// How to reach Redis.
#[derive(Clone)]
pub struct RedisOptions {
    /// `redis://[user:password@]host:port/db` or `rediss://…`.
    pub url: String,
    /// Entries the stream holds, about.
    pub stream_cap: u64,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long one script call may take before its events count as pending.
    pub command_timeout: Duration,
    /// Shortest and longest pause between attempts to connect; doubled each time, with jitter.
    pub reconnect_delay: (Duration, Duration),
    /// What waits while Redis is away.
    pub backlog: BacklogLimits,
    /// Where to report [`Component::Redis`].
    pub health: Option<HealthRegistry>,
    /// Where latencies are noted besides the metric; for a benchmark.
    pub observer: Option<LatencyObserver>,
}

impl RedisOptions {
    /// The defaults for `url`.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            stream_cap: 100_000,
            connect_timeout: Duration::from_secs(3),
            command_timeout: Duration::from_secs(1),
            reconnect_delay: (Duration::from_millis(100), Duration::from_secs(5)),
            backlog: BacklogLimits::default(),
            health: None,
            observer: None,
        }
    }
}

impl std::fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisOptions")
            .field("url", &redact_url(&self.url))
            .field("stream_cap", &self.stream_cap)
            .finish_non_exhaustive()
    }
}

/// The fred configuration for `url`.
pub(crate) fn redis_config(url: &str) -> Result<Config, BusError> {
    let error = |cause: String| BusError::Url { url: redact_url(url), cause };
    let parsed = url::Url::parse(url).map_err(|e| error(e.to_string()))?;
    if !parsed.scheme().starts_with("redis") {
        return Err(error(format!("unknown scheme \"{}\"", parsed.scheme())));
    }
    if parsed.host_str().is_none_or(str::is_empty) {
        return Err(error("no host".to_owned()));
    }
    let database = parsed.path().trim_start_matches('/');
    if !database.is_empty() && database.parse::<u8>().is_err() {
        return Err(error(format!("\"{database}\" is not a database number from 0 to 255")));
    }
    let mut config = Config::from_url(url).map_err(|e| error(e.details().to_owned()))?;
    // A server that is away at the start is waited for like one that goes away later.
    config.fail_fast = false;
    Ok(config)
}

/// A fred client for `config` that reconnects for ever.
pub(crate) fn redis_client(
    config: Config,
    connect_timeout: Duration,
    delay: (Duration, Duration),
) -> Result<Client, fred::error::Error> {
    let millis = |d: Duration| u32::try_from(d.as_millis()).unwrap_or(u32::MAX).max(1);
    Builder::from_config(config)
        .with_connection_config(|connection| {
            connection.connection_timeout = connect_timeout;
            connection.internal_command_timeout = connect_timeout;
            connection.max_command_attempts = 1;
            // A password that is set right later must heal by itself.
            connection.reconnect_on_auth_error = true;
            connection.tcp.nodelay = Some(true);
            connection.unresponsive.max_timeout = Some(Duration::from_secs(10));
        })
        .with_performance_config(|performance| {
            performance.broadcast_channel_capacity = 4_096;
        })
        .set_policy(ReconnectPolicy::new_exponential(0, millis(delay.0), millis(delay.1), 2))
        .build()
}

/// A client for `url` that is not connected yet and, once it is, reconnects for ever.
///
/// # Errors
/// When the URL cannot be used; the text holds no password.
pub fn redis_connection(url: &str, connect_timeout: Duration) -> Result<Client, BusError> {
    let config = redis_config(url)?;
    redis_client(config, connect_timeout, RedisOptions::new("").reconnect_delay)
        .map_err(|error| BusError::Url { url: redact_url(url), cause: error.details().to_owned() })
}

struct Counters {
    losses: Counter,
    pending: Gauge,
    dropped_kept: Counter,
    dropped_score: Counter,
    conflated: Counter,
    duplicates: Counter,
}

impl Counters {
    fn new() -> Self {
        let dropped = |reason| metrics::counter!("bongsu_events_dropped_total", "reason" => reason);
        Self {
            losses: metrics::counter!("bongsu_dependency_losses_total", "dependency" => "redis"),
            pending: metrics::gauge!("bongsu_events_pending"),
            dropped_kept: dropped("backlog_full"),
            dropped_score: dropped("score_backlog_full"),
            conflated: dropped("score_conflated"),
            duplicates: dropped("duplicate"),
        }
    }
}

struct Shared {
    client: Client,
    options: RedisOptions,
    backlog: Mutex<Backlog>,
    /// Held by whoever sends: one at a time, so the order is that of the backlog.
    sender: tokio::sync::Mutex<()>,
    wake: Notify,
    up: AtomicBool,
    counters: Counters,
    latency: Latency,
}

impl Shared {
    fn set_up(&self) {
        if !self.up.swap(true, Ordering::AcqRel) {
            tracing::info!(url = %redact_url(&self.options.url), "redis is connected");
        }
        self.report(HealthState::Up);
    }

    fn set_down(&self, cause: &str) {
        if self.up.swap(false, Ordering::AcqRel) {
            self.counters.losses.increment(1);
            tracing::warn!(url = %redact_url(&self.options.url), cause, "redis is away; events wait");
        }
        self.report(HealthState::down(format!("{}: {cause}", redact_url(&self.options.url))));
    }

    fn report(&self, state: HealthState) {
        if let Some(health) = &self.options.health {
            health.set(Component::Redis, state);
        }
    }

    /// Counts what the backlog let go; returns how many events that are.
    fn let_go(&self, lost: Lost) -> usize {
        self.counters.dropped_kept.increment(lost.kept as u64);
        self.counters.dropped_score.increment(lost.scores as u64);
        self.counters.conflated.increment(lost.conflated as u64);
        if lost.kept > 0 {
            tracing::error!(
                events = lost.kept,
                limit = self.options.backlog.kept,
                "too many events wait for redis: the oldest will be missing in its stream"
            );
        }
        lost.kept + lost.scores + lost.conflated
    }

    /// Sends what waits, oldest first, until nothing does or a call fails. Returns how many
    /// events were acknowledged. Safe to drop: an event leaves the backlog only when acknowledged.
    async fn drain(&self) -> usize {
        let _sender = self.sender.lock().await;
        let mut acknowledged = 0;
        loop {
            let chunk = self.backlog.lock().begin(CHUNK);
            if chunk.is_empty() {
                return acknowledged;
            }
            match self.send(&chunk).await {
                Ok(repeated) => {
                    self.latency.acknowledged(chunk.iter().map(AsRef::as_ref));
                    self.counters.duplicates.increment(repeated as u64);
                    acknowledged += chunk.len();
                    let mut backlog = self.backlog.lock();
                    backlog.acknowledge(chunk.len());
                    self.counters.pending.set(backlog.len() as f64);
                    drop(backlog);
                    self.set_up();
                }
                Err(error) => {
                    self.backlog.lock().give_up();
                    self.set_down(&explain(error.details()));
                    return acknowledged;
                }
            }
        }
    }

    /// One script call; returns how many events the stream had already.
    async fn send(&self, chunk: &[Arc<OutwardEvent>]) -> Result<usize, fred::error::Error> {
        let mut args: Vec<Value> = Vec::with_capacity(5 + chunk.len() * 4);
        args.extend([SCRIPT.into(), 2.into(), STREAM.into(), IDS.into()]);
        args.push(self.options.stream_cap.to_string().into());
        for event in chunk {
            args.push(event.id.as_str().into());
            args.push(event.channel.as_str().into());
            args.push(event.json.as_ref().into());
            args.push(if event.kind.is_kept() { "1" } else { "0" }.into());
        }
        let options = Options {
            timeout: Some(self.options.command_timeout),
            max_attempts: Some(1),
            fail_fast: true,
            ..Options::default()
        };
        let command =
            CustomCommand::new_static("EVAL", ClusterHash::Custom(fred_slot(STREAM)), false);
        let done: Vec<i64> = self.client.with_options(&options).custom(command, args).await?;
        if done.len() != chunk.len() {
            return Err(fred::error::Error::new(
                fred::error::ErrorKind::Protocol,
                format!("the script answered for {} of {} events", done.len(), chunk.len()),
            ));
        }
        Ok(done.iter().filter(|fresh| **fresh == 0).count())
    }
}

fn fred_slot(key: &str) -> u16 {
    fred::util::redis_keyslot(key.as_bytes())
}

/// Publishes over Redis. Holds the only connection it uses; dropping it ends its task.
pub struct RedisPublisher {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for RedisPublisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisPublisher")
            .field("options", &self.shared.options)
            .field("up", &self.up())
            .field("pending", &self.pending())
            .finish()
    }
}

impl RedisPublisher {
    /// Starts to connect and returns at once; a server that is away is waited for. Must be called
    /// on the runtime that does the process's I/O.
    ///
    /// # Errors
    /// When the URL cannot be used; the text holds no password.
    pub fn start(options: RedisOptions) -> Result<Self, BusError> {
        let config = redis_config(&options.url)?;
        let client = redis_client(config, options.connect_timeout, options.reconnect_delay)
            .map_err(|error| BusError::Url {
                url: redact_url(&options.url),
                cause: error.details().to_owned(),
            })?;
        if let Some(health) = &options.health {
            health.declare(Component::Redis, false);
        }
        let shared = Arc::new(Shared {
            client,
            backlog: Mutex::new(Backlog::new(options.backlog)),
            sender: tokio::sync::Mutex::default(),
            wake: Notify::new(),
            up: AtomicBool::new(false),
            counters: Counters::new(),
            latency: Latency::new(options.observer.clone()),
            options,
        });
        let errors = shared.client.error_rx();
        let reconnected = shared.client.reconnect_rx();
        // Ends only when the client is closed: the policy has no last attempt.
        let connection = AbortOnDrop(shared.client.connect());
        let task = tokio::spawn(keep_sending(Arc::clone(&shared), errors, reconnected, connection));
        Ok(Self { shared, task })
    }

    /// Sends `events` in order behind what already waits. With Redis up and nothing waiting,
    /// returns when Redis has acknowledged them (or the time-out has passed); otherwise at once.
    pub async fn publish(&self, events: Vec<Arc<OutwardEvent>>) -> PublishOutcome {
        let count = events.len();
        let mut dropped = 0;
        let direct;
        {
            let mut backlog = self.shared.backlog.lock();
            direct = backlog.is_empty() && self.up();
            let mut lost = Lost::default();
            for event in events {
                // What goes out at once goes out whole; only what waits is conflated.
                if direct {
                    backlog.append(event);
                } else {
                    lost += backlog.push(event);
                }
            }
            dropped += self.shared.let_go(lost);
            self.shared.counters.pending.set(backlog.len() as f64);
        }
        let acknowledged = if direct { self.shared.drain().await.min(count) } else { 0 };
        if acknowledged < count {
            if direct {
                let lost = self.shared.backlog.lock().settle();
                dropped += self.shared.let_go(lost);
            }
            self.shared.wake.notify_one();
        }
        let pending = count.saturating_sub(acknowledged + dropped);
        PublishOutcome { acknowledged, pending, dropped, fresh: 0 }
    }

    /// Whether Redis is connected and took the last call.
    #[must_use]
    pub fn up(&self) -> bool {
        self.shared.up.load(Ordering::Acquire)
    }

    /// Events that wait.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.shared.backlog.lock().len()
    }

    /// The events that wait, oldest first.
    pub(super) fn waiting(&self) -> Vec<Arc<OutwardEvent>> {
        self.shared.backlog.lock().iter().cloned().collect()
    }

    /// Puts events of an earlier run into what waits; to be called before anything is published.
    pub(super) fn resume(&self, events: impl Iterator<Item = Arc<OutwardEvent>>) {
        let mut lost = Lost::default();
        let mut backlog = self.shared.backlog.lock();
        events.for_each(|event| lost += backlog.push(event));
        self.shared.counters.pending.set(backlog.len() as f64);
        drop(backlog);
        self.shared.let_go(lost);
        self.shared.wake.notify_one();
    }

    /// Sends what waits, for at most `limit`, and closes the connection; returns how many events
    /// could not be sent. Nothing may be published after it.
    pub async fn close(&self, limit: Duration) -> usize {
        let flush = async {
            while self.pending() > 0 {
                if self.shared.drain().await == 0 {
                    tokio::time::sleep(RETRY).await;
                }
            }
        };
        let _ = tokio::time::timeout(limit, flush).await;
        self.task.abort();
        // The connection closes either way.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.shared.client.quit()).await;
        self.pending()
    }
}

impl Drop for RedisPublisher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Pause between looks at the connection, and between attempts to send while Redis is connected
/// but refuses (loading, out of memory).
const RETRY: Duration = Duration::from_millis(250);

/// The client's connection, ended with the task that holds it.
pub(super) struct AbortOnDrop(pub(super) ConnectHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Follows the state of the connection, and sends what waits once it is there.
async fn keep_sending(
    shared: Arc<Shared>,
    mut errors: Receiver<(fred::error::Error, Option<Server>)>,
    mut reconnected: Receiver<Server>,
    _connection: AbortOnDrop,
) {
    let mut first = Box::pin(shared.client.wait_for_connect());
    let mut connected = false;
    let mut cause = "connection lost".to_owned();
    loop {
        tokio::select! {
            biased;
            result = &mut first, if !connected => {
                connected = true;
                if result.is_ok() {
                    shared.set_up();
                    shared.drain().await;
                }
            }
            event = reconnected.recv() => match event {
                Ok(_) | Err(RecvError::Lagged(_)) => {
                    shared.set_up();
                    shared.drain().await;
                }
                Err(RecvError::Closed) => break,
            },
            event = errors.recv() => match event {
                Ok((error, _)) => {
                    cause = explain(error.details());
                    // An error told late, after the connection is back, is history.
                    if !shared.client.is_connected() {
                        shared.set_down(&cause);
                    }
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => break,
            },
            () = shared.wake.notified(), if shared.client.is_connected() => {
                shared.drain().await;
            }
            () = tokio::time::sleep(RETRY) => {
                if !shared.client.is_connected() {
                    shared.set_down(&cause);
                } else if !shared.backlog.lock().is_empty() {
                    shared.drain().await;
                } else {
                    shared.set_up();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_redacted() {
        for (url, shown) in [
            ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
            ("redis://:hunter2@host:1", "redis://:***@host:1"),
            ("rediss://app:hun@t/er2@host/3", "rediss://app:***@host/3"),
            ("redis://hunter2@host", "redis://***@host"),
            ("hunter2@host", "***"),
        ] {
            assert_eq!(redact_url(url), shown);
        }
    }

    #[test]
    fn bad_urls_are_refused_without_the_password() {
        for url in [
            "http://u:hunter2@h",
            "redis://u:hunter2@h:port",
            "redis://u:hunter2@h/x",
            "u:hunter2@",
        ] {
            let text = redis_config(url).unwrap_err().to_string();
            assert!(!text.contains("hunter2") && text.contains("expected redis://"), "{text}");
        }
        assert!(redis_config("rediss://app:pw@localhost:6380/2").is_ok());
    }
}

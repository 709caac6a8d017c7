//! Django Channels: crashes, threats and reports for the consumers of a group, as browsers behind WebSockets are.
//!
//! **In:** batches of [`OutwardEvent`]s in the order in which they are to be seen; the other kinds are passed
//! over. **Out:** for each, a message
//! `{"type": "bongsu.event", "channel": "bongsu.crash.005930", "event": {the CloudEvent}}` to the group, over the
//! layer that the back end uses: `channels_redis.core` or `channels_redis.pubsub`. The two have nothing in
//! common on the wire ([`wire`]).
//!
//! **Best effort.** A browser wants the present: an event older than `expiry` is dropped. Its age counts from the
//! receipt of the frame behind it, otherwise from when it is handed over. An event that nobody waits for is gone. What is to be
//! complete is the stream `bongsu:events`.
//!
//! **Bounds.** [`queue::LIMIT`] events wait, each at most `max_event_bytes` long; the newest 100,000 members of a
//! group are written to; an inbox takes `capacity` unread messages. Whatever is let go is counted.
//!
//! **Away, slow or refusing:** nobody waits but the task in here, which has connections of its own. [`ChannelsSink::push`] never
//! blocks, so the Pub/Sub events, the stream and the pipeline go on as if there were no layer. Events wait while
//! they are young and are then sent in order. With several hosts, an event that some took is done: the inboxes on
//! the others miss it, counted as `failed`. A time-out on an answer can send an event a second time; its `id` tells.
//!
//! Rights needed: `+eval`, for core `+zremrangebyscore +zrange +zcard +zadd +expire` (and `+time`, if it may) on the
//! keys `<prefix>*`, for pubsub `+publish` on the channel `<prefix>__group__<group>`.

mod deliver;
mod fernet;
mod queue;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge};
use parking_lot::Mutex;
use secrecy::SecretString;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use self::deliver::{Delivery, Members, SendError, Sent};
use self::fernet::Fernet;
use self::queue::{Pushed, Queue, Waiting};
pub use self::wire::Serializer;
use self::wire::{Codec, Message};
use super::redis::{BusError, redact_url};
use crate::messages::{Component, EventKind, HealthRegistry, HealthState, OutwardEvent};

/// Pause between looks at the connections, and between attempts to send while a host refuses.
const RETRY: Duration = Duration::from_millis(250);
/// Messages sent to the members that one look at the group found.
const BATCH: usize = 32;
/// Two clocks that differ by more are told of, seconds.
const CLOCKS_DIFFER: i64 = 5;

/// Which layer the back end uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// `channels_redis.core.RedisChannelLayer`.
    Core,
    /// `channels_redis.pubsub.RedisPubSubChannelLayer`.
    PubSub,
}

impl Layer {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::PubSub => "pubsub",
        }
    }
}

/// The layer as the back end has it in `CHANNEL_LAYERS`.
#[derive(Clone)]
pub struct ChannelsOptions {
    /// Which.
    pub layer: Layer,
    /// `redis://[user:password@]host:port/db` or `rediss://…`, in its order.
    pub hosts: Vec<String>,
    /// The group.
    pub group: String,
    /// Its prefix.
    pub prefix: String,
    /// Older events are dropped; life of an inbox.
    pub expiry: Duration,
    /// Members who joined longer ago are taken out of the group.
    pub group_expiry: Duration,
    /// Unread messages of one inbox.
    pub capacity: u64,
    /// How messages become bytes.
    pub serializer: Serializer,
    /// The first of its keys; `None`: nothing is encrypted.
    pub encryption_key: Option<SecretString>,
    /// A longer event, as JSON text, is not sent.
    pub max_event_bytes: usize,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long one command may take.
    pub command_timeout: Duration,
    /// Shortest and longest pause between attempts to connect.
    pub reconnect_delay: (Duration, Duration),
    /// Where to report [`Component::Channels`].
    pub health: Option<HealthRegistry>,
}

impl ChannelsOptions {
    /// The defaults of Channels for `layer` at `hosts`, and the group `alerts`.
    #[must_use]
    pub fn new(layer: Layer, hosts: Vec<String>) -> Self {
        Self {
            layer,
            hosts,
            group: "alerts".to_owned(),
            prefix: "asgi".to_owned(),
            expiry: Duration::from_secs(60),
            group_expiry: Duration::from_secs(86_400),
            capacity: 100,
            serializer: Serializer::Msgpack,
            encryption_key: None,
            max_event_bytes: 256 << 10,
            connect_timeout: Duration::from_secs(3),
            command_timeout: Duration::from_secs(1),
            reconnect_delay: (Duration::from_millis(100), Duration::from_secs(5)),
            health: None,
        }
    }
}

impl std::fmt::Debug for ChannelsOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hosts: Vec<String> = self.hosts.iter().map(|url| redact_url(url)).collect();
        f.debug_struct("ChannelsOptions")
            .field("layer", &self.layer)
            .field("hosts", &hosts)
            .field("group", &self.group)
            .field("encrypted", &self.encryption_key.is_some())
            .finish_non_exhaustive()
    }
}

struct Counters {
    pending: Gauge,
    errors: Counter,
    losses: Counter,
    written: Counter,
    full: Counter,
    failed: Counter,
}

impl Counters {
    fn new() -> Self {
        let inboxes =
            |outcome| metrics::counter!("bongsu_channels_inboxes_total", "outcome" => outcome);
        Self {
            pending: metrics::gauge!("bongsu_channels_pending"),
            errors: metrics::counter!("bongsu_channels_errors_total"),
            losses: metrics::counter!("bongsu_dependency_losses_total", "dependency" => "channels"),
            written: inboxes("written"),
            full: inboxes("full"),
            failed: inboxes("failed"),
        }
    }

    fn event(&self, outcome: &'static str, count: usize) {
        metrics::counter!("bongsu_channels_events_total", "outcome" => outcome)
            .increment(count as u64);
    }

    fn sent(&self, sent: &Sent) {
        self.written.increment(sent.reached);
        self.full.increment(sent.full);
        self.failed.increment(sent.failed);
        let outcome = match sent {
            Sent { reached: 1.., .. } => "sent",
            Sent { full: 1.., .. } => "full",
            _ => "unheard",
        };
        self.event(outcome, 1);
    }
}

/// What is known of the hosts besides their connections.
#[derive(Debug, Default)]
struct Seen {
    /// The group was read since they were connected.
    group: bool,
    /// They did not take the last event.
    refused: bool,
    /// How much the clock of the group's host is ahead, seconds.
    ahead: Option<i64>,
}

struct Shared {
    options: ChannelsOptions,
    delivery: Delivery,
    queue: Mutex<Queue>,
    /// Held by whoever sends: one at a time, so the order is that of the queue.
    sender: tokio::sync::Mutex<Seen>,
    wake: Notify,
    up: AtomicBool,
    counters: Counters,
}

impl Shared {
    fn report(&self, state: HealthState) {
        let is_up = !matches!(state, HealthState::Down { .. });
        let was_up = self.up.swap(is_up, Ordering::AcqRel);
        match state.reason() {
            Some(cause) if was_up && !is_up => {
                self.counters.losses.increment(1);
                tracing::warn!(
                    cause,
                    "the channel layer is away; events wait while they are young"
                );
            }
            None if !was_up => {
                let (layer, group) = (self.options.layer.as_str(), &self.options.group);
                tracing::info!(layer, group, "the channel layer is connected");
            }
            _ => {}
        }
        if let Some(health) = &self.options.health {
            health.set(Component::Channels, state);
        }
    }

    fn describe(&self, sent: &Sent) {
        if let Some(health) = &self.options.health {
            let (group, reached) = (&self.options.group, sent.reached);
            let full = if sent.full > 0 { format!(", {} full", sent.full) } else { String::new() };
            let note = format!("group {group}: the last event reached {reached} processes{full}");
            health.describe(Component::Channels, &note);
        }
    }

    fn expire(&self) {
        let mut queue = self.queue.lock();
        self.counters.event("too_old", queue.expire(Instant::now()));
        self.counters.pending.set(queue.len() as f64);
    }

    /// Looks at the connections and sends what waits, as far as it goes.
    async fn pass(&self) {
        let mut seen = self.sender.lock().await;
        self.expire();
        if let Some(cause) = self.delivery.away() {
            *seen = Seen::default();
            return self.report(HealthState::down(cause));
        }
        // Rights and clock are looked at before the first event needs them.
        while !seen.group || self.pending() > 0 {
            let outcome = match self.delivery.members().await {
                Ok(members) => {
                    (seen.group, seen.ahead) = (true, members.ahead);
                    self.send_some(&members).await
                }
                Err(cause) => Err(cause),
            };
            seen.refused = outcome.is_err();
            if let Err(cause) = outcome {
                self.counters.errors.increment(1);
                return self.report(HealthState::down(cause));
            }
        }
        // What did not take the last event is not known to be well before it takes one.
        if !seen.refused {
            self.report_connected(seen.ahead);
        }
    }

    fn pending(&self) -> usize {
        self.queue.lock().len()
    }

    /// Up, unless a part of the hosts is away or the clocks differ.
    fn report_connected(&self, ahead: Option<i64>) {
        let state = match (self.delivery.partly_away(), ahead) {
            (Some(cause), _) => HealthState::degraded(format!("{cause}; its inboxes miss events")),
            (None, Some(ahead)) if ahead.abs() > CLOCKS_DIFFER => HealthState::degraded(format!(
                "the clock of Redis differs from this machine's by {ahead} s: events may be taken for old; set the clocks"
            )),
            _ => HealthState::Up,
        };
        self.report(state);
    }

    /// Sends some of what waits to `members`.
    async fn send_some(&self, members: &Members) -> Result<(), String> {
        for _ in 0..BATCH {
            self.expire();
            let Some(Waiting { number, event, .. }) = self.queue.lock().first() else { break };
            let outcome = match Message::of(&event) {
                Ok(message) => self.delivery.send(&message, members).await,
                Err(error) => Err(error.into()),
            };
            match outcome {
                Ok(sent) => {
                    self.counters.sent(&sent);
                    self.describe(&sent);
                    if let Some(cause) = &sent.cause {
                        self.counters.errors.increment(1);
                        tracing::debug!(cause, "some inboxes miss an event");
                    }
                }
                Err(SendError::Away(cause)) => return Err(cause),
                Err(SendError::Wire(error)) => {
                    tracing::error!(id = event.id, %error, "an event cannot go to the channel layer");
                    self.counters.event("unreadable", 1);
                }
            }
            let mut queue = self.queue.lock();
            queue.done(number);
            self.counters.pending.set(queue.len() as f64);
        }
        Ok(())
    }
}

/// Sends events to a group of a channel layer. Holds the connections it uses; dropping it ends its task.
pub struct ChannelsSink {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for ChannelsSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChannelsSink")
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}

impl ChannelsSink {
    /// Starts to connect and returns at once; hosts that are away are waited for. Must be called on the
    /// runtime that does the process's I/O.
    ///
    /// # Errors
    /// When a URL cannot be used; the text holds no password.
    pub fn start(options: ChannelsOptions) -> Result<Self, BusError> {
        let cipher = options.encryption_key.as_ref().map(Fernet::of_secret);
        let codec = Codec { serializer: options.serializer, cipher };
        let delivery = Delivery::start(&options, codec)?;
        if let Some(health) = &options.health {
            health.declare(Component::Channels, false);
        }
        let shared = Arc::new(Shared {
            options,
            delivery,
            queue: Mutex::default(),
            sender: tokio::sync::Mutex::default(),
            wake: Notify::new(),
            up: AtomicBool::new(false),
            counters: Counters::new(),
        });
        let task = tokio::spawn(keep_sending(Arc::clone(&shared)));
        Ok(Self { shared, task })
    }

    /// Takes the crashes, threats and reports among `events`. Never waits, never fails: what cannot be
    /// sent is counted.
    pub fn push(&self, events: &[Arc<OutwardEvent>]) {
        let (now, now_us) = (Instant::now(), chrono::Utc::now().timestamp_micros());
        let (shared, counters) = (&self.shared, &self.shared.counters);
        let mut queue = shared.queue.lock();
        for event in events.iter().filter(|event| is_wanted(event.kind)) {
            if event.json.len() > shared.options.max_event_bytes {
                let (id, bytes) = (&event.id, event.json.len());
                tracing::warn!(id, bytes, "an event is too big for the channel layer");
                counters.event("too_big", 1);
                continue;
            }
            let received = if event.received_us > 0 { event.received_us } else { now_us };
            let age = Duration::from_micros((now_us - received).max(0).unsigned_abs());
            let Some(left) = shared.options.expiry.checked_sub(age).filter(|left| !left.is_zero())
            else {
                counters.event("too_old", 1);
                continue;
            };
            match queue.push(Arc::clone(event), now + left) {
                Pushed::Taken | Pushed::Repeated => {}
                Pushed::Displaced => counters.event("queue_full", 1),
            }
        }
        counters.pending.set(queue.len() as f64);
        if queue.len() > 0 {
            shared.wake.notify_one();
        }
    }

    /// Events that wait.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.shared.pending()
    }

    /// Sends what waits, for at most `limit`, and closes the connections. Nothing may be pushed after it.
    pub async fn close(&self, limit: Duration) {
        let flush = async {
            while self.pending() > 0 {
                self.shared.pass().await;
                if self.pending() > 0 {
                    tokio::time::sleep(RETRY).await;
                }
            }
        };
        // What is left is too late for anybody.
        let _ = tokio::time::timeout(limit, flush).await;
        self.task.abort();
        self.shared.delivery.close().await;
    }
}

impl Drop for ChannelsSink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

const fn is_wanted(kind: EventKind) -> bool {
    matches!(kind, EventKind::Crash | EventKind::Threat | EventKind::Report)
}

async fn keep_sending(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            biased;
            () = shared.wake.notified() => {}
            () = tokio::time::sleep(RETRY) => {}
        }
        shared.pass().await;
    }
}

//! Brings a message into the channel layer: what `group_send` of either layer does.
//!
//! - **core:** one script reads the group, on the host of its name; then, on each host that has inboxes, one
//!   script puts the message into those that have room. Reading, looking and writing are so one step for
//!   Redis, and an inbox never holds more than `capacity`, however many write to it.
//! - **pubsub:** one PUBLISH on the host of the Redis channel.
//!
//! A host that fails has an error of its own; the others have the message nevertheless.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fred::prelude::*;
use fred::types::config::{Options, Server};
use fred::types::{ClusterHash, CustomCommand};
use futures::future::join_all;
use indexmap::IndexMap;
use parking_lot::Mutex;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;

use super::super::redis::{AbortOnDrop, BusError, redact_url, redis_client, redis_config};
use super::super::refusal::explain_layer;
use super::wire::{
    Codec, Message, WireError, by_process, group_channel, group_key, host_of, inbox_key,
};
use super::{ChannelsOptions, Layer};

/// Members read of a group: the newest so many, some 8 MiB.
const MEMBERS: usize = 100_000;
/// Inboxes in one script call.
const INBOXES: usize = 64;
/// A clock that goes back by more is followed; by less, the times that messages carry stand still.
const STEP_BACK: i64 = 1_000_000;

/// KEYS: the group. ARGV: the time before which members have left, members at most. Returns the server's
/// time, seconds, or nothing when the user may not ask for it, and the members.
const GROUP: &str = "\
redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, ARGV[1])
local members = redis.call('ZRANGE', KEYS[1], -tonumber(ARGV[2]), -1)
local time = redis.pcall('TIME')
table.insert(members, 1, time[1] or '')
return members";

/// KEYS: inboxes. ARGV: the time before which messages have expired, now, expiry, capacity, a message
/// for each inbox. Returns for each 1, or 0 when it is full.
const WRITE: &str = "\
local written = {}
for i = 1, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], 0, ARGV[1])
  written[i] = 0
  if redis.call('ZCARD', KEYS[i]) < tonumber(ARGV[4]) then
    redis.call('ZADD', KEYS[i], ARGV[2], ARGV[i + 4])
    redis.call('EXPIRE', KEYS[i], ARGV[3])
    written[i] = 1
  end
end
return written";

/// One Redis of the layer.
struct Host {
    shown: String,
    client: Client,
    errors: Mutex<Receiver<(fred::error::Error, Option<Server>)>>,
    cause: Mutex<String>,
    _connection: AbortOnDrop,
}

impl Host {
    fn connect(url: &str, options: &ChannelsOptions) -> Result<Self, BusError> {
        let shown = redact_url(url);
        let config = redis_config(url)?;
        let client =
            redis_client(config, options.connect_timeout, options.reconnect_delay).map_err(
                |error| BusError::Url { url: shown.clone(), cause: error.details().to_owned() },
            )?;
        let errors = Mutex::new(client.error_rx());
        // Ends only when the client is closed: the policy has no last attempt.
        let connection = AbortOnDrop(client.connect());
        let cause = Mutex::new("no connection yet".to_owned());
        Ok(Self { shown, client, errors, cause, _connection: connection })
    }

    /// Why it cannot be used; `None` while it is connected.
    fn trouble(&self) -> Option<String> {
        let mut errors = self.errors.lock();
        loop {
            match errors.try_recv() {
                Ok((error, _)) => *self.cause.lock() = explain_layer(error.details()),
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        (!self.client.is_connected()).then(|| self.name(&self.cause.lock()))
    }

    fn name(&self, cause: &str) -> String {
        format!("{}: {cause}", self.shown)
    }

    async fn ask<R: FromValue>(
        &self,
        command: &'static str,
        arguments: Vec<Value>,
        timeout: Duration,
    ) -> Result<R, String> {
        let options = Options {
            timeout: Some(timeout),
            max_attempts: Some(1),
            fail_fast: true,
            ..Options::default()
        };
        let command = CustomCommand::new_static(command, ClusterHash::Custom(0), false);
        let answer = self.client.with_options(&options).custom(command, arguments).await;
        answer.map_err(|error| self.name(&explain_layer(error.details())))
    }
}

/// The members of a group, read once for some messages.
#[derive(Debug, Default)]
pub(super) struct Members {
    names: Vec<String>,
    /// How much the host's clock is ahead of ours, seconds; `None` when it does not say.
    pub(super) ahead: Option<i64>,
}

/// What became of a message.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Sent {
    /// Inboxes written to, or processes that heard it.
    pub(super) reached: u64,
    /// Inboxes that are full.
    pub(super) full: u64,
    /// Inboxes on a host that did not take it.
    pub(super) failed: u64,
    /// Why.
    pub(super) cause: Option<String>,
}

/// Why a message is nowhere.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    /// The hosts did not take it. It may be tried again.
    #[error("{0}")]
    Away(String),
    /// It will never be taken.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// The layer, with its connections.
pub(super) struct Delivery {
    hosts: Vec<Option<Host>>,
    /// Which of them has the group.
    home: usize,
    codec: Codec,
    layer: Layer,
    group: String,
    prefix: String,
    expiry: i64,
    group_expiry: i64,
    capacity: u64,
    timeout: Duration,
    last_us: AtomicI64,
}

impl Delivery {
    /// Starts to connect to every host that is needed.
    pub(super) fn start(options: &ChannelsOptions, codec: Codec) -> Result<Self, BusError> {
        let name = match options.layer {
            Layer::Core => options.group.clone(),
            Layer::PubSub => group_channel(&options.prefix, &options.group),
        };
        let home = host_of(&name, options.hosts.len());
        let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let mut hosts = Vec::with_capacity(options.hosts.len());
        for (index, url) in options.hosts.iter().enumerate() {
            // Of a pubsub layer, one host alone has to do with the group.
            let needed = options.layer == Layer::Core || index == home;
            hosts.push(needed.then(|| Host::connect(url, options)).transpose()?);
        }
        if !hosts.iter().any(Option::is_some) {
            let cause = "the layer has no host".to_owned();
            return Err(BusError::Url { url: String::new(), cause });
        }
        Ok(Self {
            hosts,
            home,
            codec,
            layer: options.layer,
            group: options.group.clone(),
            prefix: options.prefix.clone(),
            expiry: seconds(options.expiry),
            group_expiry: seconds(options.group_expiry),
            capacity: options.capacity,
            timeout: options.command_timeout,
            last_us: AtomicI64::new(0),
        })
    }

    fn host(&self, index: usize) -> Result<&Host, String> {
        let host = self.hosts.get(index).and_then(Option::as_ref);
        host.ok_or_else(|| format!("host {index} is not connected"))
    }

    /// Why nothing can be sent; `None` while the group's host is connected.
    pub(super) fn away(&self) -> Option<String> {
        self.host(self.home).map_or_else(Some, Host::trouble)
    }

    /// Why some inboxes cannot be reached; `None` while all hosts are connected.
    pub(super) fn partly_away(&self) -> Option<String> {
        self.hosts.iter().flatten().find_map(Host::trouble)
    }

    /// Who is in the group now. A pubsub layer does not know.
    pub(super) async fn members(&self) -> Result<Members, String> {
        if self.layer == Layer::PubSub {
            return Ok(Members::default());
        }
        let now = now_us() / 1_000_000;
        let arguments: Vec<Value> = vec![
            GROUP.into(),
            1.into(),
            group_key(&self.prefix, &self.group).into(),
            (now - self.group_expiry).into(),
            MEMBERS.to_string().into(),
        ];
        let answer: Vec<Bytes> = self.host(self.home)?.ask("EVAL", arguments, self.timeout).await?;
        let mut texts = answer.into_iter().map(|bytes| String::from_utf8(bytes.to_vec()));
        let time = texts.next().and_then(Result::ok).and_then(|time| time.parse::<i64>().ok());
        let ahead = time.map(|time| time - now_us() / 1_000_000);
        // A name that is no text is no channel's.
        Ok(Members { names: texts.filter_map(Result::ok).collect(), ahead })
    }

    /// Sends `message`.
    pub(super) async fn send(
        &self,
        message: &Message,
        members: &Members,
    ) -> Result<Sent, SendError> {
        match self.layer {
            Layer::Core => self.write(message, members).await,
            Layer::PubSub => self.publish(message).await,
        }
    }

    async fn publish(&self, message: &Message) -> Result<Sent, SendError> {
        let payload = self.codec.published(message, unix_seconds(now_us()))?;
        let channel = group_channel(&self.prefix, &self.group);
        let arguments: Vec<Value> = vec![channel.into(), Bytes::from(payload).into()];
        let host = self.host(self.home).map_err(SendError::Away)?;
        let heard = host.ask("PUBLISH", arguments, self.timeout).await.map_err(SendError::Away)?;
        Ok(Sent { reached: heard, ..Sent::default() })
    }

    async fn write(&self, message: &Message, members: &Members) -> Result<Sent, SendError> {
        let at = self.next_time();
        let processes = by_process(members.names.iter().map(String::as_str));
        let mut by_host: IndexMap<usize, Vec<(String, Vec<u8>)>> = IndexMap::new();
        for (process, members) in &processes {
            let payload = self.codec.for_inbox(message, members, unix_seconds(at))?;
            let inbox = (inbox_key(&self.prefix, process), payload);
            by_host.entry(host_of(process, self.hosts.len())).or_default().push(inbox);
        }
        let writes = by_host.into_iter().map(|(host, inboxes)| self.write_to(host, inboxes, at));
        let mut sent = Sent::default();
        for on_host in join_all(writes).await {
            sent.reached += on_host.reached;
            sent.full += on_host.full;
            sent.failed += on_host.failed;
            sent.cause = sent.cause.or(on_host.cause);
        }
        match sent.cause {
            // Nobody has it: to send it again doubles nothing.
            Some(cause) if sent.reached + sent.full == 0 => Err(SendError::Away(cause)),
            _ => Ok(sent),
        }
    }

    /// Writes to the inboxes on one host.
    async fn write_to(&self, host: usize, inboxes: Vec<(String, Vec<u8>)>, at: i64) -> Sent {
        let mut sent = Sent::default();
        let mut left = inboxes.len() as u64;
        let mut inboxes = inboxes.into_iter().peekable();
        while inboxes.peek().is_some() {
            let chunk: Vec<_> = inboxes.by_ref().take(INBOXES).collect();
            match self.write_chunk(host, chunk, at).await {
                Ok(written) => {
                    left -= written.len() as u64;
                    let reached = written.iter().filter(|written| **written == 1).count() as u64;
                    sent.reached += reached;
                    sent.full += written.len() as u64 - reached;
                }
                Err(cause) => return Sent { failed: left, cause: Some(cause), ..sent },
            }
        }
        sent
    }

    async fn write_chunk(
        &self,
        host: usize,
        chunk: Vec<(String, Vec<u8>)>,
        at: i64,
    ) -> Result<Vec<i64>, String> {
        let count = chunk.len();
        let mut arguments: Vec<Value> = Vec::with_capacity(6 + 2 * count);
        arguments.extend([WRITE.into(), count.to_string().into()]);
        let (keys, payloads): (Vec<_>, Vec<_>) = chunk.into_iter().unzip();
        arguments.extend(keys.into_iter().map(Value::from));
        arguments.push((at / 1_000_000 - self.expiry).into());
        arguments.push(format!("{}.{:06}", at / 1_000_000, at % 1_000_000).into());
        arguments.push(self.expiry.into());
        arguments.push(self.capacity.to_string().into());
        arguments.extend(payloads.into_iter().map(|payload| Value::from(Bytes::from(payload))));
        let host = self.host(host)?;
        let written: Vec<i64> = host.ask("EVAL", arguments, self.timeout).await?;
        if written.len() != count {
            return Err(host.name(&format!("answered for {} of {count} inboxes", written.len())));
        }
        Ok(written)
    }

    /// The time that a message carries, microseconds: later than that of the one before it, because
    /// the times are the order in which messages are read.
    fn next_time(&self) -> i64 {
        let (now, last) = (now_us(), self.last_us.load(Ordering::Relaxed));
        let time = if now < last - STEP_BACK { now } else { now.max(last + 1) };
        self.last_us.store(time, Ordering::Relaxed);
        time
    }

    /// Closes the connections.
    pub(super) async fn close(&self) {
        let quits = self.hosts.iter().flatten().map(|host| host.client.quit());
        // They close either way.
        let _ = tokio::time::timeout(Duration::from_secs(1), join_all(quits)).await;
    }
}

fn now_us() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

fn unix_seconds(micros: i64) -> u64 {
    u64::try_from(micros / 1_000_000).unwrap_or(0)
}

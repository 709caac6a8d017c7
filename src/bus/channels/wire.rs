//! What stands on the wire of a channel layer: names, hosts, bytes. No I/O.
//!
//! As `channels_redis` 4.3 has them. A message is a map with text keys, as msgpack (integers as short as
//! they go, all other numbers as float64, text as str, no extension types) or as JSON text; with a key of the layer,
//! the Fernet token of that. The core layer puts 12 random bytes before it, which keep equal messages
//! apart in a sorted set, and names the members that the message is for within it.

use indexmap::IndexMap;
use rand::TryRng;
use rand::rngs::SysRng;
use serde::Serialize;
use serde_json::Value;

use super::fernet::Fernet;
use crate::messages::OutwardEvent;

/// Which consumer's method gets the event: `bongsu_event(self, event)`.
pub(super) const MESSAGE_TYPE: &str = "bongsu.event";
/// Random bytes before a message of the core layer (`random_prefix_length`).
pub(super) const RANDOM_PREFIX: usize = 12;

/// How a message becomes bytes (`serializer_format`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serializer {
    /// The layer's default.
    Msgpack,
    /// JSON text.
    Json,
}

/// Why an event cannot be put into bytes.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// The event's text is no JSON that can be read: nested too deep, say.
    #[error("the event is not readable: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// A value has no form in msgpack.
    #[error("the event has no form in msgpack: {0}")]
    Msgpack(#[from] rmp_serde::encode::Error),
    /// The system gives no random bytes.
    #[error("no random bytes: {0}")]
    Random(#[from] rand::rngs::SysError),
}

/// The message of an event, without the members that it is for.
#[derive(Debug)]
pub(super) struct Message {
    channel: String,
    event: Value,
}

#[derive(Serialize)]
struct Envelope<'a> {
    r#type: &'static str,
    channel: &'a str,
    event: &'a Value,
    #[serde(rename = "__asgi_channel__", skip_serializing_if = "Option::is_none")]
    members: Option<&'a [&'a str]>,
}

impl Message {
    /// The message of `event`.
    pub(super) fn of(event: &OutwardEvent) -> Result<Self, WireError> {
        Ok(Self { channel: event.channel.clone(), event: serde_json::from_str(&event.json)? })
    }

    fn envelope<'a>(&'a self, members: Option<&'a [&'a str]>) -> Envelope<'a> {
        Envelope { r#type: MESSAGE_TYPE, channel: &self.channel, event: &self.event, members }
    }
}

/// Makes bytes of messages, as the layer is set.
#[derive(Debug)]
pub(super) struct Codec {
    pub(super) serializer: Serializer,
    pub(super) cipher: Option<Fernet>,
}

impl Codec {
    /// What the pubsub layer publishes. `now`: Unix time, seconds.
    pub(super) fn published(&self, message: &Message, now: u64) -> Result<Vec<u8>, WireError> {
        self.seal(&message.envelope(None), now, Vec::new())
    }

    /// What the core layer puts into the inbox of `members`, which are of one process.
    pub(super) fn for_inbox(
        &self,
        message: &Message,
        members: &[&str],
        now: u64,
    ) -> Result<Vec<u8>, WireError> {
        let prefix = random::<RANDOM_PREFIX>()?.to_vec();
        self.seal(&message.envelope(Some(members)), now, prefix)
    }

    /// Appends the bytes of `value` to `bytes`.
    fn seal(
        &self,
        value: &impl Serialize,
        now: u64,
        mut bytes: Vec<u8>,
    ) -> Result<Vec<u8>, WireError> {
        let plain = match self.serializer {
            Serializer::Msgpack => rmp_serde::to_vec_named(value)?,
            Serializer::Json => serde_json::to_vec(value)?,
        };
        match &self.cipher {
            None => bytes.extend(plain),
            Some(cipher) => bytes.extend(cipher.token(&plain, now, random()?).into_bytes()),
        }
        Ok(bytes)
    }
}

/// Fresh random bytes of the system.
fn random<const N: usize>() -> Result<[u8; N], WireError> {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes)?;
    Ok(bytes)
}

/// Key of the set of a group's members (core).
pub(super) fn group_key(prefix: &str, group: &str) -> String {
    format!("{prefix}:group:{group}")
}

/// Redis channel of a group (pubsub).
pub(super) fn group_channel(prefix: &str, group: &str) -> String {
    format!("{prefix}__group__{group}")
}

/// The process of a channel, `specific.…!` of `specific.…!…`; all of a general channel, which has none.
pub(super) fn process_of(channel: &str) -> &str {
    channel.find('!').map_or(channel, |at| &channel[..=at])
}

/// Key of a process's inbox (core). There is nothing between the two parts.
pub(super) fn inbox_key(prefix: &str, process: &str) -> String {
    format!("{prefix}{process}")
}

/// `members` by process, in the order in which each process comes first.
pub(super) fn by_process<'a>(
    members: impl IntoIterator<Item = &'a str>,
) -> IndexMap<&'a str, Vec<&'a str>> {
    let mut processes: IndexMap<&str, Vec<&str>> = IndexMap::new();
    for member in members {
        processes.entry(process_of(member)).or_default().push(member);
    }
    processes
}

/// Which of `hosts` hosts has `name`. In floating point, as the layer computes it: where the two could differ,
/// its answer is the one that counts.
pub(super) fn host_of(name: &str, hosts: usize) -> usize {
    let hash = f64::from(crc32fast::hash(name.as_bytes()) & 0xFFF);
    let share = 4096.0 / hosts.max(1) as f64;
    ((hash / share) as usize).min(hosts.saturating_sub(1))
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;

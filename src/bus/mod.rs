//! Outward events: from the Alert actor to subscribers in this process and over Redis.
//!
//! Input: batches of [`OutwardEvent`](crate::messages::OutwardEvent)s in the order in which they
//! are to be seen. Output: the
//! in-process [`EventBus`] always, and, when a Redis URL is set, `PUBLISH` on the event's channel
//! plus the capped stream `bongsu:events` for every kind but scores.
//!
//! - [`Publisher`] is what the actor holds.
//! - [`RedisPublisher`] owns the connection and whatever waits for it.
//! - [`queue::Backlog`] is what waits: bounded, in order, scores conflated.
//! - [`ChannelsSink`] sends crashes, threats and reports to a group of Django Channels, when a layer is
//!   set: best effort, beside all the others.
//!
//! Failure modes: without Redis nothing blocks. A batch waits for Redis at most
//! [`RedisOptions::command_timeout`] a script call; from the first failure on, events wait in the
//! backlog and a task of its own sends them, in order, when Redis is back.

mod channels;
mod follow;
mod publisher;
pub mod queue;
mod redis;
mod refusal;
mod script;

pub use channels::{ChannelsOptions, ChannelsSink, Layer, Serializer};
pub use follow::StreamFollower;
pub use publisher::{PublishOutcome, Publisher};
pub use redis::{BusError, RedisOptions, RedisPublisher, STREAM, redact_url, redis_connection};

pub use crate::messages::event_bus::{
    BusLimits, EventBus, EventFilter, GapNotice, GapReason, Pattern, Published, Resume, StreamItem,
    Subscription,
};

#[cfg(test)]
pub(crate) mod redis_tests;
#[cfg(test)]
mod refusal_tests;

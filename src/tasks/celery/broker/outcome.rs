//! What an operation on the queue is told, and what it tells.

use bytes::Bytes;

use crate::tasks::celery::canvas::Plan;
use crate::tasks::celery::results::Stored;

/// Something taken from the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// A message that is in this worker's hand now.
    Message {
        /// Its tag.
        tag: String,
        /// It.
        raw: Bytes,
    },
    /// A copy of a message that is in hand, here or elsewhere, or done: it was absorbed.
    Absorbed,
    /// No message.
    Junk(Bytes),
    /// A message beyond the limit, its end alone.
    Large(Bytes),
}

/// A task that is over.
#[derive(Debug, Clone, Default)]
pub struct Finish {
    /// Its message.
    pub tag: String,
    /// What it sends and stores for others.
    pub plan: Plan,
    /// Its own result.
    pub result: Option<Stored>,
    /// Whether the message is done with.
    pub acknowledge: bool,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// As it should: the message is acknowledged, or was not to be.
    Here,
    /// The message had gone elsewhere; the result counts.
    Elsewhere,
    /// Somebody else had finished it before: nothing was done.
    Before,
}

/// What a beat tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beat {
    /// Redis has lost what it held.
    pub fresh: bool,
    /// Messages that wait in the queue.
    pub waiting: u64,
    /// Tags that are no longer this worker's.
    pub gone: Vec<String>,
}

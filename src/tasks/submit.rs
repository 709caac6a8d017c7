//! The way into a queue, and the state of what was put there.

use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;

use super::{Outcome, TaskCall, TaskState};
use crate::market::EventTime;

/// How a call is put into the queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SubmitOptions {
    /// 0 is served first, 9 last.
    pub priority: u8,
    /// Not before this.
    pub eta: Option<EventTime>,
    /// Not after this: then it is revoked.
    pub expires: Option<EventTime>,
}

/// Whether a call is new to the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    /// It is.
    New,
    /// A call of this id was put there before; nothing is done twice.
    Known,
}

/// How a call stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskStatus {
    /// Its id.
    pub id: String,
    /// The task, where it is known.
    pub name: Option<String>,
    /// Its state; `PENDING` also for an id nobody has heard of.
    pub state: TaskState,
    /// The result, when it is done.
    pub result: Option<Value>,
    /// The exception (`exc_type`, `exc_message`, `exc_module`), when it failed, waits for its next attempt or was taken
    /// back.
    pub error: Option<Value>,
    /// Where it happened.
    pub traceback: Option<String>,
    /// Retries so far, where they are known.
    pub retries: Option<u32>,
    /// When it ended.
    #[serde(serialize_with = "rfc3339")]
    pub finished_at: Option<EventTime>,
}

fn rfc3339<S: serde::Serializer>(
    time: &Option<EventTime>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(EventTime::rfc3339).serialize(serializer)
}

impl TaskStatus {
    /// A call that waits, or that nobody knows.
    #[must_use]
    pub fn pending(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            name: None,
            state: TaskState::Pending,
            result: None,
            error: None,
            traceback: None,
            retries: None,
            finished_at: None,
        }
    }

    /// The same call after `outcome`, which came at `at`.
    #[must_use]
    pub fn after(mut self, outcome: &Outcome, at: EventTime) -> Self {
        self.state = outcome.state();
        (self.result, self.error, self.traceback) = match outcome {
            Outcome::Success(value) => (Some(value.clone()), None, None),
            Outcome::Failure(failure) | Outcome::Retry { failure, .. } => {
                (None, Some(failure.to_json()), failure.traceback.clone())
            }
            Outcome::Revoked { terminated } => {
                let how = if *terminated { "terminated" } else { "revoked" };
                (None, Some(super::TaskFailure::revoked(how).to_json()), None)
            }
        };
        self.finished_at = self.state.is_final().then_some(at);
        self
    }
}

/// Why a call could not be put into the queue, or its state could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The queue is full.
    #[error("the queue is full: {waiting} calls wait; try again when some are done")]
    Full {
        /// Calls that wait.
        waiting: usize,
    },
    /// The queue is away.
    #[error("the queue {queue} is away: {why}")]
    Away {
        /// Which.
        queue: String,
        /// Why; no secrets.
        why: String,
    },
}

/// A queue of calls.
pub trait Submit: Send + Sync {
    /// Puts `call` into the queue. A call of an id that is known is not put there again.
    fn submit<'a>(
        &'a self,
        call: TaskCall,
        options: SubmitOptions,
    ) -> BoxFuture<'a, Result<Submitted, SubmitError>>;

    /// Which queue this is, in words for people.
    fn place(&self) -> String {
        "the queue within this process".to_owned()
    }

    /// Whether an id that is `PENDING` without a name is certainly one that nobody has put here.
    fn knows_every_call(&self) -> bool {
        false
    }

    /// How the call `id` stands.
    fn state<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<TaskStatus, SubmitError>>;

    /// Waits until the call `id` is in a final state.
    fn finished<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<TaskStatus, SubmitError>>;

    /// Takes the call `id` back: it does not begin; with `terminate` it is also cut off when it runs.
    fn revoke<'a>(&'a self, id: &'a str, terminate: bool)
    -> BoxFuture<'a, Result<(), SubmitError>>;
}

//! What a running task may ask.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{TaskCall, TaskFailure};
use crate::market::EventTime;

/// The surroundings of one running call. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TaskContext {
    call: Arc<TaskCall>,
    as_of: EventTime,
    /// Set at the soft limit, and when the call is taken back.
    cancel: CancellationToken,
}

impl TaskContext {
    /// The surroundings of `call` in the world of `as_of`, which `cancel` asks to stop.
    #[must_use]
    pub const fn new(call: Arc<TaskCall>, as_of: EventTime, cancel: CancellationToken) -> Self {
        Self { call, as_of, cancel }
    }

    /// The call.
    #[must_use]
    pub fn call(&self) -> &TaskCall {
        &self.call
    }

    /// The moment whose world the task works in: what came later does not exist for it.
    #[must_use]
    pub const fn as_of(&self) -> EventTime {
        self.as_of
    }

    /// Whether the task works in a past world, not in the present one.
    #[must_use]
    pub fn is_past(&self) -> bool {
        self.call.as_of.is_some()
    }

    /// To be asked between two pieces of work: `Err` when the soft limit has passed or the call is taken
    /// back. A task that has something to give by then may return it instead.
    ///
    /// # Errors
    /// The failure to end with.
    pub fn check(&self) -> Result<(), TaskFailure> {
        if self.cancel.is_cancelled() { Err(TaskFailure::soft_limit()) } else { Ok(()) }
    }

    /// Set when the task should stop: for those that hand it on.
    #[must_use]
    pub const fn cancel(&self) -> &CancellationToken {
        &self.cancel
    }
}

//! How a run of a task stands: what becomes a row of `task_runs`.

use serde::{Deserialize, Serialize};

use crate::market::EventTime;

/// A run, or what is known of it so far. A later one of the same id replaces what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRun {
    /// Task id.
    pub id: String,
    /// Task name.
    pub name: String,
    /// `PENDING`, `STARTED`, `RETRY`, `SUCCESS`, `FAILURE` or `REVOKED`.
    pub state: String,
    /// Arguments: `{"args": […], "kwargs": {…}}`.
    pub args: String,
    /// Result, JSON; empty while there is none.
    pub result: String,
    /// Failure text; empty for none.
    pub error: String,
    /// Retries so far.
    pub retries: u32,
    /// This execution: another one of the same task has another key.
    pub execution: String,
    /// The call that all of a canvas began with.
    pub root_id: String,
    /// The call that sent this one.
    pub parent_id: String,
    /// Who asked.
    pub origin: String,
    /// Which process runs it.
    pub worker: String,
    /// The moment whose world it works in.
    pub as_of: EventTime,
    /// Taken from the queue, wall clock.
    pub received_at: EventTime,
    /// Start, wall clock.
    pub started_at: Option<EventTime>,
    /// End, wall clock.
    pub finished_at: Option<EventTime>,
}

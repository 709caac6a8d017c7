//! Where a task can be asked for: what the HTTP interface and the commands know of tasks.

use futures::future::BoxFuture;
use serde_json::{Map, Value};

use crate::market::EventTime;

/// A call as somebody asks for it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskRequest {
    /// The task.
    pub name: String,
    /// An id; a new one when there is none. Who asks twice with one id asks once.
    pub id: Option<String>,
    /// Positional arguments.
    pub args: Vec<Value>,
    /// Arguments by name.
    pub kwargs: Map<String, Value>,
    /// The moment whose world it works in; `None`: the present one.
    pub as_of: Option<EventTime>,
    /// 0 is served first, 9 last.
    pub priority: u8,
    /// Not before this.
    pub eta: Option<EventTime>,
    /// Not after this.
    pub expires: Option<EventTime>,
    /// Who asks: `http`, `cli`.
    pub origin: &'static str,
}

/// Why a call is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskRefusal {
    /// No such task.
    #[error("there is no task \"{name}\"; there are: {known}")]
    Unknown {
        /// As asked.
        name: String,
        /// All names.
        known: String,
    },
    /// The arguments are not those of the task.
    #[error("{0}")]
    Arguments(String),
    /// Too many calls wait.
    #[error("{0}")]
    Full(String),
    /// The queue cannot be reached.
    #[error("{0}")]
    Away(String),
}

/// Takes calls and tells how they stand.
pub trait TaskDesk: Send + Sync {
    /// What is said of each task: name, help, parameters, limits.
    fn specs(&self) -> Value;

    /// Takes a call; answers with its id.
    fn submit(&self, request: TaskRequest) -> BoxFuture<'_, Result<String, TaskRefusal>>;

    /// How the call `id` stands; `None` where it is certain that there is none.
    fn status<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Value>, TaskRefusal>>;

    /// As [`Self::status`], once the call has ended.
    fn finished<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Value, TaskRefusal>>;
}

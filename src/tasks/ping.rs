//! `debug_ping`.

use serde_json::Value;

use super::{Registry, RegistryError, RetryPolicy, Task};

crate::task_arguments! {
    /// Answers "pong": the queue, the worker and the way back work.
    pub struct Ping("debug_ping") {}
}

/// Registers it.
///
/// # Errors
/// When its name is taken.
pub fn register(registry: &mut Registry) -> Result<(), RegistryError> {
    let ping = Task::instant(|_: Ping, _| Ok(Value::from("pong")));
    registry.add(ping.retry(RetryPolicy::NONE))
}

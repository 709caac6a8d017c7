//! What a client asked for.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::market::EventTime;

/// One call of a task, whatever queue it came by.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskCall {
    /// Its id: who calls twice with one id asks once.
    pub id: String,
    /// The task's name.
    pub name: String,
    /// Positional arguments, in the order of the task's parameters.
    pub args: Vec<Value>,
    /// Arguments by name.
    pub kwargs: Map<String, Value>,
    /// Retries so far.
    pub attempt: u32,
    /// The client's soft limit, instead of the task's; never above the task's hard limit.
    pub soft_limit: Option<Duration>,
    /// The client's hard limit; it can only shorten the task's.
    pub hard_limit: Option<Duration>,
    /// The call that all of a canvas began with.
    pub root_id: String,
    /// The call that sent this one.
    pub parent_id: Option<String>,
    /// Who asks, as far as it says: `gen123@host`, `http`, `schedule`.
    pub origin: String,
    /// The moment whose world the task works in; `None`: the present one.
    pub as_of: Option<EventTime>,
}

impl TaskCall {
    /// A call of `name` without arguments, with an id of its own.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self::with_id(uuid::Uuid::new_v4().to_string(), name)
    }

    /// A call of `name` without arguments.
    #[must_use]
    pub fn with_id(id: impl Into<String>, name: impl Into<String>) -> Self {
        let id = id.into();
        Self {
            root_id: id.clone(),
            id,
            name: name.into(),
            args: Vec::new(),
            kwargs: Map::new(),
            attempt: 0,
            soft_limit: None,
            hard_limit: None,
            parent_id: None,
            origin: String::new(),
            as_of: None,
        }
    }

    /// The same call with these positional arguments.
    #[must_use]
    pub fn args(mut self, args: Vec<Value>) -> Self {
        self.args = args;
        self
    }

    /// The same call with these arguments by name.
    #[must_use]
    pub fn kwargs(mut self, kwargs: Map<String, Value>) -> Self {
        self.kwargs = kwargs;
        self
    }

    /// The same call by `origin`.
    #[must_use]
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = origin.into();
        self
    }

    /// The same call in the world of `moment`.
    #[must_use]
    pub const fn as_of(mut self, moment: Option<EventTime>) -> Self {
        self.as_of = moment;
        self
    }

    /// Bytes that the arguments take, about.
    #[must_use]
    pub fn size(&self) -> usize {
        self.args.iter().map(size_of_value).sum::<usize>() + size_of_object(&self.kwargs)
    }
}

/// Bytes that `value` takes as JSON, about; a lower bound, without writing it.
pub(super) fn size_of_value(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 4,
        Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(|item| size_of_value(item) + 1).sum::<usize>(),
        Value::Object(map) => size_of_object(map),
    }
}

fn size_of_object(map: &Map<String, Value>) -> usize {
    2 + map.iter().map(|(name, value)| name.len() + 4 + size_of_value(value)).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_near_that_of_the_text() {
        let value = serde_json::json!({"symbols": ["005930", "000660"], "limit": 5, "note": null});
        let text = value.to_string().len();
        let size = size_of_value(&value);
        assert!(size.abs_diff(text) < text / 2, "{size} for {text}");
        let Value::Object(kwargs) = value else { unreachable!() };
        let call = TaskCall::new("x").args(vec!["abc".into()]).kwargs(kwargs);
        assert_eq!(call.size(), size + 5);
        assert_eq!(call.root_id, call.id);
    }
}

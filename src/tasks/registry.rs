//! The tasks there are.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use indexmap::IndexMap;
use serde::Serialize;
use serde_json::Value;

use super::arguments::{Arguments, bind};
use super::{RetryPolicy, TaskCall, TaskContext, TaskFailure, TaskKind, TaskPolicy, TaskSpec};

/// What a task does when it runs, over the bound arguments.
pub(super) type Answer = Result<Value, TaskFailure>;
/// Work that is left to do once the arguments are bound.
pub(super) enum Work {
    /// Done already.
    Done(Answer),
    /// To be awaited.
    Io(BoxFuture<'static, Answer>),
    /// To be done on a thread.
    Cpu(Box<dyn FnOnce() -> Answer + Send>),
}

type Begin = dyn Fn(&TaskCall, TaskContext) -> Result<Work, TaskFailure> + Send + Sync;
type Check = dyn Fn(&TaskCall) -> Result<(), TaskFailure> + Send + Sync;

/// A task: what is said of it, and what it does.
pub struct Task {
    spec: TaskSpec,
    begin: Box<Begin>,
    check: Box<Check>,
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Task({})", self.spec.name)
    }
}

fn answer<R: Serialize>(result: Result<R, TaskFailure>) -> Answer {
    serde_json::to_value(result?)
        .map_err(|error| TaskFailure::runtime(format!("the result is no JSON: {error}")))
}

impl Task {
    fn new<A: Arguments>(
        kind: TaskKind,
        begin: impl Fn(A, TaskContext) -> Work + Send + Sync + 'static,
    ) -> Self {
        let spec = TaskSpec {
            name: A::NAME,
            help: A::HELP,
            parameters: A::PARAMETERS,
            kind,
            soft_limit: Duration::from_secs(30),
            hard_limit: Duration::from_secs(60),
            retry: RetryPolicy {
                max_retries: 3,
                backoff: Duration::from_secs(1),
                backoff_max: Duration::from_secs(60),
            },
            rate_limit: None,
        };
        Self {
            spec,
            begin: Box::new(move |call, context| Ok(begin(bind(call)?, context))),
            check: Box::new(|call| bind::<A>(call).map(drop)),
        }
    }

    /// A task that answers at once, where it is asked: no waiting, no computing.
    pub fn instant<A, R, F>(work: F) -> Self
    where
        A: Arguments,
        R: Serialize,
        F: Fn(A, TaskContext) -> Result<R, TaskFailure> + Send + Sync + 'static,
    {
        Self::new(TaskKind::Instant, move |arguments, context| {
            Work::Done(answer(work(arguments, context)))
        })
    }

    /// A task that waits for others; at its soft limit it has a moment to end by itself, then it is dropped
    /// at its next wait.
    pub fn io<A, R, F, W>(work: F) -> Self
    where
        A: Arguments,
        R: Serialize + 'static,
        F: Fn(A, TaskContext) -> W + Send + Sync + 'static,
        W: Future<Output = Result<R, TaskFailure>> + Send + 'static,
    {
        Self::new(TaskKind::Io, move |arguments, context| {
            let work = work(arguments, context);
            Work::Io(Box::pin(async move { answer(work.await) }))
        })
    }

    /// A task that computes, on a thread of the pool; it asks [`TaskContext::check`] between two pieces of
    /// work.
    pub fn cpu<A, R, F>(work: F) -> Self
    where
        A: Arguments,
        R: Serialize,
        F: Fn(A, TaskContext) -> Result<R, TaskFailure> + Send + Sync + 'static,
    {
        let work = Arc::new(work);
        Self::new(TaskKind::Cpu, move |arguments, context| {
            let work = Arc::clone(&work);
            Work::Cpu(Box::new(move || answer(work(arguments, context))))
        })
    }

    /// The same task with these limits.
    #[must_use]
    pub const fn limits(mut self, soft: Duration, hard: Duration) -> Self {
        self.spec.soft_limit = soft;
        self.spec.hard_limit = hard;
        self
    }

    /// The same task with this retry policy.
    #[must_use]
    pub const fn retry(mut self, retry: RetryPolicy) -> Self {
        self.spec.retry = retry;
        self
    }

    /// What is said of it.
    #[must_use]
    pub const fn spec(&self) -> &TaskSpec {
        &self.spec
    }

    /// Whether the arguments of `call` are the task's.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(&self, call: &TaskCall) -> Result<(), TaskFailure> {
        (self.check)(call)
    }

    pub(super) fn begin(&self, call: &TaskCall, context: TaskContext) -> Result<Work, TaskFailure> {
        (self.begin)(call, context)
    }
}

/// Why a registry cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// Two tasks of one name.
    #[error("two tasks have the name {0}")]
    Twice(&'static str),
    /// Settings of a task that is not there.
    #[error("tasks.{name}: there is no such task; there are: {known}")]
    Unknown {
        /// As the settings have it.
        name: String,
        /// All names.
        known: String,
    },
}

/// The tasks, in the order in which they were added.
#[derive(Debug, Default)]
pub struct Registry {
    tasks: IndexMap<&'static str, Arc<Task>>,
}

impl Registry {
    /// A registry of `debug_ping` alone.
    ///
    /// # Errors
    /// None; as [`Self::add`].
    pub fn new() -> Result<Self, RegistryError> {
        let mut registry = Self::default();
        super::ping::register(&mut registry)?;
        Ok(registry)
    }

    /// Adds `task`.
    ///
    /// # Errors
    /// When its name is taken.
    pub fn add(&mut self, task: Task) -> Result<(), RegistryError> {
        let name = task.spec.name;
        match self.tasks.insert(name, Arc::new(task)) {
            None => Ok(()),
            Some(_) => Err(RegistryError::Twice(name)),
        }
    }

    /// Applies what the settings say, by task.
    ///
    /// # Errors
    /// When they name a task that is not there.
    pub fn tune(&mut self, policies: &BTreeMap<String, TaskPolicy>) -> Result<(), RegistryError> {
        for (name, policy) in policies {
            let known = || self.tasks.keys().copied().collect::<Vec<_>>().join(", ");
            let unknown = || RegistryError::Unknown { name: name.clone(), known: known() };
            if !self.tasks.contains_key(name.as_str()) {
                return Err(unknown());
            }
            // Before anybody runs it, the registry is its only owner.
            if let Some(task) = self.tasks.get_mut(name.as_str()).and_then(Arc::get_mut) {
                task.spec.apply(policy);
            }
        }
        Ok(())
    }

    /// The task `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Task>> {
        self.tasks.get(name)
    }

    /// What is said of each.
    pub fn specs(&self) -> impl Iterator<Item = &TaskSpec> {
        self.tasks.values().map(|task| &task.spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_change_limits_and_a_wrong_name_is_told() {
        let mut registry = Registry::new().unwrap();
        let policy = TaskPolicy {
            soft_limit: Some(Duration::from_secs(9)),
            hard_limit: Some(Duration::from_secs(3)),
            max_retries: Some(7),
            ..TaskPolicy::default()
        };
        registry.tune(&BTreeMap::from([("debug_ping".to_owned(), policy)])).unwrap();
        let spec = registry.get("debug_ping").unwrap().spec();
        assert_eq!(
            (spec.soft_limit, spec.hard_limit),
            (policy.hard_limit.unwrap(), policy.hard_limit.unwrap())
        );
        assert_eq!(spec.retry.max_retries, 7);
        assert_eq!(spec.signature(), "debug_ping()");
        let wrong = registry.tune(&BTreeMap::from([("ping".to_owned(), policy)])).unwrap_err();
        assert!(wrong.to_string().contains("debug_ping"), "{wrong}");
        assert!(super::super::ping::register(&mut registry).is_err());
    }

    #[test]
    fn arguments_are_checked_before_anything_runs() {
        let registry = Registry::new().unwrap();
        let ping = registry.get("debug_ping").unwrap();
        assert!(ping.check(&TaskCall::new("debug_ping")).is_ok());
        let wrong = ping.check(&TaskCall::new("debug_ping").args(vec![1.into(), 2.into()]));
        assert_eq!(
            wrong.unwrap_err().message(),
            "debug_ping() takes 0 positional arguments but 2 were given"
        );
    }
}

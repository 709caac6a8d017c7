//! Tasks: what somebody else may ask the daemon to do, by name, with arguments, and what comes of it.
//!
//! In: a [`TaskCall`], from whatever queue. Out: an [`Outcome`], within the call's hard limit.
//! In between, a [`Registry`] of tasks with typed arguments, and a [`Runner`] that keeps every call
//! to itself: its limits, its retries, its panics, its hanging thread.
//!
//! | file | what |
//! |---|---|
//! | `call` | what was asked for |
//! | `arguments` | from positional and keyword values to a typed struct, with errors that name the argument |
//! | `spec` | what a task is: its parameters, kind, limits, retries |
//! | `failure` | how a call ends, in the form a Python client can raise |
//! | `registry` | the tasks, and what the settings change of them |
//! | `context` | what a running task may ask: its moment, whether it should stop |
//! | `pool` | plain threads for computing tasks; one that hangs is fenced and replaced |
//! | `rates` | how far apart calls of a task begin |
//! | `runner` | one call from beginning to end |
//! | `submit` | the way into a queue, and the state of what was put there |
//! | `memory` | the queue within the process |
//! | `celery` | the queue on Redis: a worker as Celery's own, and calls sent to it |
//! | `ping` | `debug_ping` |
//!
//! **Limits.** Arguments of a call and its result have a size ([`RunnerOptions`]); computing tasks run
//! on so many threads, waiting ones in such a number; what is beyond waits with its queue. A
//! thread's memory cannot be capped within one process; what bounds it is the size of the
//! arguments and of the world that each task states in its own docs.
//!
//! **Failure modes.** A task that fails, panics, hangs or answers too much costs its own call. More
//! hanging threads than [`RunnerOptions::max_leaked`] are reported by [`Runner::health`]: from then on
//! the pool has fewer threads until some come back.

pub mod arguments;
mod call;
pub mod celery;
mod context;
mod failure;
pub mod memory;
pub mod ping;
mod pool;
mod rates;
mod registry;
mod runner;
mod spec;
mod submit;

pub use arguments::{ArgumentType, Arguments, NoArguments, bind};
pub use call::TaskCall;
pub use context::TaskContext;
pub use failure::{Outcome, TaskFailure, TaskState};
pub use pool::PoolHealth;
pub use rates::Rates;
pub use registry::{Registry, RegistryError, Task};
pub use runner::{Clock, GRACE, Runner, RunnerHealth, RunnerOptions, TaskLog};
pub use spec::{Parameter, RateLimit, RetryPolicy, TaskKind, TaskPolicy, TaskSpec};
pub use submit::{Submit, SubmitError, SubmitOptions, Submitted, TaskStatus};

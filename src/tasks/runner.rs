//! One call from beginning to end.
//!
//! **Order.** The task is looked up and its arguments are bound; a computing task waits for a thread, a
//! waiting one for its turn; then time runs. At the soft limit the task is asked to stop
//! ([`TaskContext::check`]); a waiting task that does not is dropped at its next wait after
//! [`GRACE`]. At the hard limit the caller has its answer: a waiting task is dropped, a computing one
//! goes on behind a fence. A call that is taken back ends the same way, at once.
//!
//! **Written down.** Each start and each end goes to the [`TaskLog`], those of instant tasks their end
//! alone, and into `bongsu_tasks_total` and `bongsu_task_seconds`.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::call::size_of_value;
use super::pool::{Pool, PoolHealth, Running, panicked};
use super::registry::{Answer, Registry, Task, Work};
use super::{Outcome, TaskCall, TaskContext, TaskFailure, TaskSpec, TaskState};
use crate::market::EventTime;
use crate::messages::TaskRun;

/// A waiting task that was asked to stop has so long to do so by itself.
pub const GRACE: Duration = Duration::from_millis(500);

/// Where runs are written down.
pub trait TaskLog: Send + Sync {
    /// Takes in how a run stands. May wait when there is too much to write, not for the writing.
    fn record(&self, run: TaskRun) -> BoxFuture<'_, ()>;
}

/// Tells the market's time.
pub type Clock = Arc<dyn Fn() -> EventTime + Send + Sync>;

/// What a runner is made of.
#[derive(Clone)]
pub struct RunnerOptions {
    /// Threads for computing tasks.
    pub cpu_threads: usize,
    /// Waiting tasks at a time.
    pub io_concurrency: usize,
    /// Hanging threads that are replaced.
    pub max_leaked: usize,
    /// Bytes that the arguments of a call may take, about.
    pub max_arguments: usize,
    /// Bytes that a result may take, about.
    pub max_result: usize,
    /// The name of this process, as rows have it.
    pub worker: String,
    /// The present moment of the market, for calls that name none.
    pub clock: Clock,
    /// Where runs are written down; `None`: nowhere.
    pub log: Option<Arc<dyn TaskLog>>,
}

impl RunnerOptions {
    /// Options for the process `worker`: two threads, 32 waiting tasks, the wall clock, no log.
    #[must_use]
    pub fn new(worker: impl Into<String>) -> Self {
        Self {
            cpu_threads: 2,
            io_concurrency: 32,
            max_leaked: 4,
            max_arguments: 1 << 20,
            max_result: 8 << 20,
            worker: worker.into(),
            clock: Arc::new(wall),
            log: None,
        }
    }
}

impl std::fmt::Debug for RunnerOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RunnerOptions({}, {} threads)", self.worker, self.cpu_threads)
    }
}

/// The wall clock.
pub(super) fn wall() -> EventTime {
    EventTime::from_micros(chrono::Utc::now().timestamp_micros())
}

/// How a runner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunnerHealth {
    /// Its threads.
    pub pool: PoolHealth,
    /// Waiting tasks that run.
    pub io_running: usize,
}

/// Runs calls. Cheap to clone.
#[derive(Clone)]
pub struct Runner {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Registry,
    options: RunnerOptions,
    pool: Pool,
    io: Arc<Semaphore>,
}

/// Why a running task has to end.
enum Ending {
    Answer(Answer),
    Hard,
    Soft,
    Revoked,
}

impl Runner {
    /// A runner of the tasks of `registry`.
    #[must_use]
    pub fn new(registry: Registry, options: RunnerOptions) -> Self {
        let pool = Pool::new(options.cpu_threads, options.max_leaked);
        let io = Arc::new(Semaphore::new(options.io_concurrency.max(1)));
        Self { inner: Arc::new(Inner { registry, options, pool, io }) }
    }

    /// The tasks.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    /// The name of this process.
    #[must_use]
    pub fn worker(&self) -> &str {
        &self.inner.options.worker
    }

    /// How it is.
    #[must_use]
    pub fn health(&self) -> RunnerHealth {
        let inner = &self.inner;
        let io_running = inner.options.io_concurrency.max(1) - inner.io.available_permits();
        RunnerHealth { pool: inner.pool.health(), io_running }
    }

    /// Runs `call` until it ends, fails, is cut off by its hard limit, or `stop` takes it back. Never panics,
    /// and once the task runs never takes longer than its hard limit.
    pub fn run(
        &self,
        call: TaskCall,
        stop: CancellationToken,
    ) -> impl Future<Output = Outcome> + Send + 'static {
        let inner = Arc::clone(&self.inner);
        async move { inner.run(Arc::new(call), stop).await }
    }
}

impl Inner {
    async fn run(&self, call: Arc<TaskCall>, stop: CancellationToken) -> Outcome {
        let received = wall();
        let Some(task) = self.registry.get(&call.name) else {
            return Outcome::Failure(TaskFailure::not_registered(&call.name));
        };
        let as_of = call.as_of.unwrap_or_else(|| (self.options.clock)());
        let mut run = self.begun(&call, as_of, received);
        let began = Instant::now();
        let outcome = match self.refuse(&call, task, stop.is_cancelled()) {
            Some(outcome) => outcome,
            None => self.execute(task, &call, &mut run, stop).await,
        };
        let spec = task.spec();
        if let Some(state) = outcome.state().label() {
            metrics::counter!("bongsu_tasks_total", "task" => spec.name, "state" => state)
                .increment(1);
        }
        metrics::histogram!("bongsu_task_seconds", "task" => spec.name)
            .record(began.elapsed().as_secs_f64());
        self.ended(run, &outcome).await;
        outcome
    }

    /// How a call ends that may not run at all.
    fn refuse(&self, call: &TaskCall, task: &Task, revoked: bool) -> Option<Outcome> {
        if revoked {
            return Some(Outcome::Revoked { terminated: false });
        }
        let (size, most) = (call.size(), self.options.max_arguments);
        if size > most {
            let name = task.spec().name;
            let text = format!("{name}(): the arguments take {size} bytes, {most} at most");
            return Some(Outcome::Failure(TaskFailure::value(text)));
        }
        None
    }

    async fn execute(
        &self,
        task: &Task,
        call: &Arc<TaskCall>,
        run: &mut TaskRun,
        stop: CancellationToken,
    ) -> Outcome {
        let spec = task.spec();
        let cancel = CancellationToken::new();
        // Whoever drops this call asks its task to stop.
        let _asked = cancel.clone().drop_guard();
        let context = TaskContext::new(Arc::clone(call), run.as_of, cancel.clone());
        // An instant task does its work in `begin`.
        let begun = catch_unwind(AssertUnwindSafe(|| task.begin(call, context)));
        let work = match begun.unwrap_or_else(|panic| Err(panicked(&*panic))) {
            Ok(Work::Done(answer)) => return self.judge(spec, call, answer),
            Ok(work) => work,
            Err(failure) => return self.judge(spec, call, Err(failure)),
        };
        let hard = call.hard_limit.map_or(spec.hard_limit, |limit| limit.min(spec.hard_limit));
        let soft = call.soft_limit.unwrap_or(spec.soft_limit).min(hard);
        let limits = (soft, hard);
        let ending = match work {
            Work::Io(future) => {
                let turn = tokio::select! {
                    biased;
                    () = stop.cancelled() => return Outcome::Revoked { terminated: false },
                    turn = self.io.acquire() => turn,
                };
                self.started(run).await;
                let ending = waiting(future, limits, &cancel, &stop).await;
                drop(turn);
                ending
            }
            Work::Cpu(work) => {
                let place = tokio::select! {
                    biased;
                    () = stop.cancelled() => return Outcome::Revoked { terminated: false },
                    place = self.pool.place() => place,
                };
                let Some(place) = place else {
                    return Outcome::Revoked { terminated: false };
                };
                self.started(run).await;
                let running = self.pool.begin(place, work);
                let ending = computing(running, limits, &cancel, &stop).await;
                self.warn_of_hanging(spec, &ending);
                ending
            }
            Work::Done(answer) => Ending::Answer(answer),
        };
        match ending {
            Ending::Answer(answer) => self.judge(spec, call, answer),
            Ending::Soft => self.judge(spec, call, Err(TaskFailure::soft_limit())),
            Ending::Hard => self.judge(spec, call, Err(TaskFailure::hard_limit(hard))),
            Ending::Revoked => Outcome::Revoked { terminated: true },
        }
    }

    /// What an answer means for the call.
    fn judge(&self, spec: &TaskSpec, call: &TaskCall, answer: Answer) -> Outcome {
        let failure = match answer {
            Ok(value) => {
                let (size, most) = (size_of_value(&value), self.options.max_result);
                if size <= most {
                    return Outcome::Success(value);
                }
                let name = spec.name;
                TaskFailure::value(format!(
                    "{name}(): the result takes {size} bytes, {most} at most"
                ))
            }
            Err(failure) => failure,
        };
        match failure.retry {
            Some(least) if call.attempt < spec.retry.max_retries => {
                let after = spec.retry.pause(&call.id, call.attempt).max(least);
                Outcome::Retry { failure, after }
            }
            _ => Outcome::Failure(failure),
        }
    }

    fn warn_of_hanging(&self, spec: &TaskSpec, ending: &Ending) {
        if matches!(ending, Ending::Hard | Ending::Revoked) {
            let PoolHealth { leaked, exhausted, .. } = self.pool.health();
            tracing::warn!(
                task = spec.name,
                leaked,
                exhausted,
                "a computing task goes on although nobody waits for it"
            );
        }
    }

    fn begun(&self, call: &TaskCall, as_of: EventTime, received: EventTime) -> TaskRun {
        let written = self.options.log.is_some();
        let text = |text: &str| if written { text.to_owned() } else { String::new() };
        TaskRun {
            id: text(&call.id),
            name: text(&call.name),
            state: String::new(),
            args: if written {
                json!({"args": call.args, "kwargs": call.kwargs}).to_string()
            } else {
                String::new()
            },
            result: String::new(),
            error: String::new(),
            retries: call.attempt,
            execution: if written { uuid::Uuid::new_v4().to_string() } else { String::new() },
            root_id: text(&call.root_id),
            parent_id: text(call.parent_id.as_deref().unwrap_or_default()),
            origin: text(&call.origin),
            worker: text(&self.options.worker),
            as_of,
            received_at: received,
            started_at: None,
            finished_at: None,
        }
    }

    async fn started(&self, run: &mut TaskRun) {
        run.started_at = Some(wall());
        if let Some(log) = &self.options.log {
            TaskState::Started.as_str().clone_into(&mut run.state);
            log.record(run.clone()).await;
        }
    }

    async fn ended(&self, mut run: TaskRun, outcome: &Outcome) {
        let Some(log) = &self.options.log else { return };
        outcome.state().as_str().clone_into(&mut run.state);
        match outcome {
            Outcome::Success(value) => run.result = value.to_string(),
            Outcome::Retry { failure, .. } | Outcome::Failure(failure) => {
                run.error = failure.to_string();
            }
            Outcome::Revoked { terminated } => {
                run.error = if *terminated { "terminated" } else { "revoked" }.to_owned();
            }
        }
        run.started_at = run.started_at.or(Some(run.received_at));
        run.finished_at = outcome.state().is_final().then(wall);
        log.record(run).await;
    }
}

/// A waiting task within its limits.
async fn waiting(
    future: BoxFuture<'static, Answer>,
    (soft, hard): (Duration, Duration),
    cancel: &CancellationToken,
    stop: &CancellationToken,
) -> Ending {
    let work = AssertUnwindSafe(future).catch_unwind();
    tokio::pin!(work);
    let began = tokio::time::Instant::now();
    let (soft, hard) = (began + soft, began + hard);
    let dropped = hard.min(soft + GRACE);
    let answered = |result: Result<Answer, Box<dyn std::any::Any + Send>>| {
        Ending::Answer(result.unwrap_or_else(|panic| Err(panicked(&*panic))))
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => return Ending::Revoked,
        result = &mut work => return answered(result),
        () = tokio::time::sleep_until(soft) => {}
    }
    cancel.cancel();
    tokio::select! {
        biased;
        () = stop.cancelled() => Ending::Revoked,
        result = &mut work => answered(result),
        () = tokio::time::sleep_until(dropped) => {
            if dropped == hard { Ending::Hard } else { Ending::Soft }
        }
    }
}

/// A computing task within its limits.
async fn computing(
    mut running: Running,
    (soft, hard): (Duration, Duration),
    cancel: &CancellationToken,
    stop: &CancellationToken,
) -> Ending {
    let began = tokio::time::Instant::now();
    let gone = || Err(TaskFailure::runtime("the task's thread ended without an answer"));
    tokio::select! {
        biased;
        () = stop.cancelled() => {
            cancel.cancel();
            running.abandon();
            return Ending::Revoked;
        }
        answer = &mut running.answer => return Ending::Answer(answer.unwrap_or_else(|_| gone())),
        () = tokio::time::sleep_until(began + soft) => {}
    }
    cancel.cancel();
    tokio::select! {
        biased;
        () = stop.cancelled() => {
            running.abandon();
            Ending::Revoked
        }
        answer = &mut running.answer => Ending::Answer(answer.unwrap_or_else(|_| gone())),
        () = tokio::time::sleep_until(began + hard) => {
            running.abandon();
            Ending::Hard
        }
    }
}

#[cfg(test)]
#[path = "runner_tests.rs"]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use serde_json::Value;

use super::super::{NoArguments, RetryPolicy, TaskPolicy};
use super::*;

/// Keeps what is written down.
#[derive(Default)]
struct Notes(Mutex<Vec<TaskRun>>);

impl TaskLog for Notes {
    fn record(&self, run: TaskRun) -> BoxFuture<'_, ()> {
        self.0.lock().push(run);
        Box::pin(async {})
    }
}

impl Notes {
    fn states(&self) -> Vec<String> {
        self.0.lock().iter().map(|run| run.state.clone()).collect()
    }
}

fn runner_with(task: Task, options: RunnerOptions) -> (Runner, Arc<Notes>) {
    let notes = Arc::new(Notes::default());
    let mut registry = Registry::new().unwrap();
    registry.add(task).unwrap();
    let log: Arc<dyn TaskLog> = Arc::clone(&notes) as _;
    (Runner::new(registry, RunnerOptions { log: Some(log), ..options }), notes)
}

fn runner(task: Task) -> (Runner, Arc<Notes>) {
    runner_with(task, RunnerOptions { cpu_threads: 1, max_leaked: 1, ..RunnerOptions::new("test") })
}

async fn run(runner: &Runner, name: &str) -> Outcome {
    runner.run(TaskCall::new(name), CancellationToken::new()).await
}

const SECOND: Duration = Duration::from_secs(1);

/// A thread's work that ends when it is told to.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, parking_lot::Condvar)>);

impl Gate {
    fn wait(&self) {
        let mut open = self.0.0.lock();
        while !*open {
            self.0.1.wait(&mut open);
        }
    }

    fn open(&self) {
        *self.0.0.lock() = true;
        self.0.1.notify_all();
    }
}

fn failure(outcome: Outcome) -> TaskFailure {
    match outcome {
        Outcome::Failure(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_ping_is_answered_and_written_down_once() {
    let (runner, notes) = runner(Task::cpu(|_: NoArguments, _| Ok(1)));
    assert_eq!(run(&runner, "debug_ping").await, Outcome::Success("pong".into()));
    assert_eq!(notes.states(), ["SUCCESS"]);
    let row = notes.0.lock()[0].clone();
    assert_eq!(
        (row.result.as_str(), row.args.as_str()),
        ("\"pong\"", r#"{"args":[],"kwargs":{}}"#)
    );
    assert!(row.finished_at >= row.started_at && row.worker == "test");
    let unknown = failure(run(&runner, "no.such").await);
    assert_eq!(unknown.exc_type, "NotRegistered");
    let wrong = TaskCall::new("debug_ping").args(vec![1.into()]);
    let wrong = failure(runner.run(wrong, CancellationToken::new()).await);
    assert_eq!(wrong.exc_type, "TypeError");
}

#[tokio::test]
async fn work_on_a_thread_and_work_that_waits_have_a_start_and_an_end() {
    let (runner, notes) = runner(Task::cpu(|_: NoArguments, context| {
        context.check()?;
        Ok(std::thread::current().name().unwrap_or_default().to_owned())
    }));
    assert_eq!(run(&runner, "nothing").await, Outcome::Success("task".into()));
    assert_eq!(notes.states(), ["STARTED", "SUCCESS"]);
    let rows = notes.0.lock().clone();
    assert_eq!(rows[0].execution, rows[1].execution);
    let (runner, notes) = super::tests::runner(Task::io(|_: NoArguments, context| async move {
        tokio::task::yield_now().await;
        Ok(context.as_of().micros())
    }));
    let call = TaskCall::new("nothing").as_of(Some(EventTime::from_micros(42)));
    assert_eq!(runner.run(call, CancellationToken::new()).await, Outcome::Success(42.into()));
    assert_eq!(notes.states(), ["STARTED", "SUCCESS"]);
    assert_eq!(notes.0.lock()[0].as_of, EventTime::from_micros(42));
}

#[tokio::test]
async fn a_panic_costs_its_own_call_only() {
    for task in [
        Task::instant(|_: NoArguments, _| -> Result<Value, _> { panic!("a test's {}", 1) }),
        Task::cpu(|_: NoArguments, _| -> Result<Value, _> { panic!("a test's {}", 1) }),
        Task::io(|_: NoArguments, _| async { if true { panic!("a test's {}", 1) } else { Ok(1) } }),
    ] {
        let (runner, _) = runner(task);
        for _ in 0..2 {
            let failure = failure(run(&runner, "nothing").await);
            assert_eq!(failure.to_string(), "RuntimeError(the task panicked: a test's 1)");
        }
        assert_eq!(runner.health().pool, PoolHealth { threads: 1, ..PoolHealth::default() });
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiting_task_is_asked_at_its_soft_limit_and_dropped_behind_it() {
    let (obeys, _) = runner(
        Task::io(|_: NoArguments, context: TaskContext| async move {
            context.cancel().cancelled().await;
            context.check().map(|()| 0)
        })
        .limits(SECOND, 10 * SECOND),
    );
    assert_eq!(failure(run(&obeys, "nothing").await), TaskFailure::soft_limit());
    let (gives, _) = runner(
        Task::io(|_: NoArguments, context: TaskContext| async move {
            context.cancel().cancelled().await;
            Ok("half")
        })
        .limits(SECOND, 10 * SECOND),
    );
    assert_eq!(run(&gives, "nothing").await, Outcome::Success("half".into()));
    let never = || Task::io(|_: NoArguments, _| std::future::pending::<Result<u8, _>>());
    let (deaf, _) = runner(never().limits(SECOND, 10 * SECOND));
    let began = tokio::time::Instant::now();
    assert_eq!(failure(run(&deaf, "nothing").await), TaskFailure::soft_limit());
    assert_eq!(began.elapsed(), SECOND + GRACE);
    let (deaf, _) = runner(never().limits(SECOND, SECOND));
    assert_eq!(failure(run(&deaf, "nothing").await), TaskFailure::hard_limit(SECOND));
    // A client's limits shorten a task's, and no more.
    let (deaf, _) = runner(never().limits(SECOND, 10 * SECOND));
    let call = |hard| TaskCall { hard_limit: Some(hard), ..TaskCall::new("nothing") };
    let short = deaf.run(call(SECOND / 2), CancellationToken::new()).await;
    assert_eq!(failure(short), TaskFailure::hard_limit(SECOND / 2));
    let began = tokio::time::Instant::now();
    failure(deaf.run(call(100 * SECOND), CancellationToken::new()).await);
    assert_eq!(began.elapsed(), SECOND + GRACE);
    assert_eq!(deaf.health().io_running, 0);
}

#[tokio::test]
async fn a_thread_that_hangs_is_fenced_and_replaced_and_too_many_are_told() {
    let (gate, begun) = (Gate::default(), Arc::new(tokio::sync::Notify::new()));
    let (wait, tell) = (gate.clone(), Arc::clone(&begun));
    let hang = Task::cpu(move |_: NoArguments, _| {
        tell.notify_one();
        wait.wait();
        Ok(1)
    });
    let hard = 1_000 * SECOND;
    let (runner, notes) = runner(hang.limits(SECOND, hard));
    let hang = async || {
        let call = runner.run(TaskCall::new("nothing"), CancellationToken::new());
        let running = tokio::spawn(call);
        begun.notified().await;
        tokio::time::pause();
        let outcome = running.await.unwrap();
        tokio::time::resume();
        assert_eq!(failure(outcome), TaskFailure::hard_limit(hard));
        runner.health().pool
    };
    let health = hang().await;
    assert_eq!(health, PoolHealth { threads: 1, leaked: 1, abandoned: 1, exhausted: false });
    let health = hang().await;
    assert_eq!(health, PoolHealth { threads: 0, leaked: 2, abandoned: 2, exhausted: true });
    assert_eq!(notes.states(), ["STARTED", "FAILURE", "STARTED", "FAILURE"]);
    // No thread is left: a call waits, and other kinds go on.
    let waiting = tokio::spawn(runner.run(TaskCall::new("nothing"), CancellationToken::new()));
    assert_eq!(run(&runner, "debug_ping").await, Outcome::Success("pong".into()));
    assert!(!waiting.is_finished());
    // The last one's thread comes back to the pool, the other ends.
    gate.open();
    assert_eq!(waiting.await.unwrap(), Outcome::Success(1.into()));
    assert!(!runner.health().pool.exhausted);
}

#[tokio::test]
async fn a_call_is_taken_back_before_and_while_it_runs() {
    let asked = Arc::new(AtomicBool::new(false));
    let (gate, begun) = (Gate::default(), Arc::new(tokio::sync::Notify::new()));
    let (wait, tell, saw) = (gate.clone(), Arc::clone(&begun), Arc::clone(&asked));
    let (runner, notes) = runner(Task::cpu(move |_: NoArguments, context: TaskContext| {
        tell.notify_one();
        wait.wait();
        saw.store(context.check().is_err(), Ordering::SeqCst);
        Ok(1)
    }));
    let early = CancellationToken::new();
    early.cancel();
    let outcome = runner.run(TaskCall::new("nothing"), early).await;
    assert_eq!(outcome, Outcome::Revoked { terminated: false });
    let stop = CancellationToken::new();
    let running = tokio::spawn(runner.run(TaskCall::new("nothing"), stop.clone()));
    begun.notified().await;
    // This one waits for the thread.
    let behind = CancellationToken::new();
    let second = tokio::spawn(runner.run(TaskCall::new("nothing"), behind.clone()));
    tokio::task::yield_now().await;
    behind.cancel();
    assert_eq!(second.await.unwrap(), Outcome::Revoked { terminated: false });
    stop.cancel();
    assert_eq!(running.await.unwrap(), Outcome::Revoked { terminated: true });
    gate.open();
    assert_eq!(run(&runner, "nothing").await, Outcome::Success(1.into()));
    let states = ["REVOKED", "STARTED", "REVOKED", "REVOKED", "STARTED", "SUCCESS"];
    let mut seen = notes.states();
    // The two that are taken back last may be written in either order.
    seen.sort_unstable();
    let mut expected = states.map(str::to_owned);
    expected.sort_unstable();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_what_does_not_is_not() {
    let away =
        || Task::io(|_: NoArguments, _| async { Err::<u8, _>(TaskFailure::transient("away")) });
    let policy = RetryPolicy { max_retries: 2, backoff: SECOND, backoff_max: 60 * SECOND };
    let (runner, notes) = runner(away().retry(policy));
    for attempt in 0..2 {
        let call = TaskCall { attempt, ..TaskCall::with_id("one", "nothing") };
        match runner.run(call, CancellationToken::new()).await {
            Outcome::Retry { failure, after } => {
                assert_eq!(failure.exc_type, "ConnectionError");
                assert_eq!(after, policy.pause("one", attempt));
            }
            other => panic!("{other:?}"),
        }
    }
    let call = TaskCall { attempt: 2, ..TaskCall::with_id("one", "nothing") };
    failure(runner.run(call, CancellationToken::new()).await);
    assert_eq!(notes.states(), ["STARTED", "RETRY", "STARTED", "RETRY", "STARTED", "FAILURE"]);
    let (refused, _) = super::tests::runner(Task::io(|_: NoArguments, _| async {
        Err::<u8, _>(TaskFailure::value("no"))
    }));
    failure(run(&refused, "nothing").await);
}

crate::task_arguments! {
    /// Gives back what it got.
    struct Echo("echo") {
        /// Anything.
        value: Value,
    }
}

#[tokio::test]
async fn arguments_and_results_have_a_size() {
    let small = RunnerOptions { max_arguments: 100, max_result: 50, ..RunnerOptions::new("test") };
    let (runner, _) = runner_with(Task::instant(|echo: Echo, _| Ok(echo.value)), small);
    let echo = |length: usize| {
        let call = TaskCall::new("echo").args(vec!["x".repeat(length).into()]);
        runner.run(call, CancellationToken::new())
    };
    assert_eq!(echo(10).await, Outcome::Success("x".repeat(10).into()));
    assert!(failure(echo(70).await).message().contains("the result takes 72 bytes, 50 at most"));
    assert!(failure(echo(1_000).await).message().contains("the arguments take"));
}

#[tokio::test]
async fn settings_reach_the_call() {
    let mut registry = Registry::default();
    registry.add(Task::io(|_: NoArguments, _| std::future::pending::<Result<u8, _>>())).unwrap();
    let policy = TaskPolicy { hard_limit: Some(Duration::from_millis(1)), ..TaskPolicy::default() };
    registry.tune(&BTreeMap::from([("nothing".to_owned(), policy)])).unwrap();
    let runner = Runner::new(registry, RunnerOptions::new("test"));
    assert_eq!(failure(run(&runner, "nothing").await).exc_type, "TimeLimitExceeded");
}

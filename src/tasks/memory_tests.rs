use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::super::{
    NoArguments, Registry, RetryPolicy, RunnerOptions, Task, TaskContext, TaskPolicy,
};
use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A clock that goes with the runtime's, so that a paused test decides about both.
fn clock() -> Clock {
    let began = Instant::now();
    Arc::new(move || {
        let passed = i64::try_from(began.elapsed().as_micros()).unwrap();
        EventTime::from_micros(1_000_000_000).plus_micros(passed)
    })
}

struct Bench {
    queue: MemoryQueue,
    runner: Runner,
    stop: CancellationToken,
    done: Arc<Mutex<Vec<String>>>,
}

impl Bench {
    /// A queue whose task notes the ids of its calls and fails so many times first.
    fn new(options: MemoryOptions, failures: u32) -> Self {
        let done: Arc<Mutex<Vec<String>>> = Arc::default();
        let (notes, left) = (Arc::clone(&done), Arc::new(AtomicU32::new(failures)));
        let policy = RetryPolicy { max_retries: 3, backoff: SECOND, backoff_max: 60 * SECOND };
        let task = Task::io(move |_: NoArguments, context: TaskContext| {
            let (notes, left) = (Arc::clone(&notes), Arc::clone(&left));
            async move {
                let less = |n: u32| n.checked_sub(1);
                if left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
                    return Err(TaskFailure::transient("not yet"));
                }
                notes.lock().push(context.call().id.clone());
                Ok(json!({"attempt": context.call().attempt}))
            }
        });
        let mut registry = Registry::new().unwrap();
        registry.add(task.retry(policy)).unwrap();
        let runner = Runner::new(registry, RunnerOptions::new("test"));
        let queue = MemoryQueue::new(MemoryOptions { clock: clock(), ..options });
        Self { queue, runner, stop: CancellationToken::new(), done }
    }

    fn serve(&self) -> tokio::task::JoinHandle<()> {
        let (queue, runner, stop) = (self.queue.clone(), self.runner.clone(), self.stop.clone());
        tokio::spawn(async move { queue.serve(&runner, stop, SECOND).await })
    }

    async fn submit(&self, id: &str, options: SubmitOptions) -> Result<Submitted, SubmitError> {
        self.queue.submit(TaskCall::with_id(id, "nothing"), options).await
    }

    async fn finished(&self, id: &str) -> TaskStatus {
        self.queue.finished(id).await.unwrap()
    }

    fn after(&self, pause: Duration) -> EventTime {
        let micros = i64::try_from(pause.as_micros()).unwrap();
        (self.queue.options.clock)().plus_micros(micros)
    }
}

fn at(eta: EventTime) -> SubmitOptions {
    SubmitOptions { eta: Some(eta), ..SubmitOptions::default() }
}

#[tokio::test(start_paused = true)]
async fn calls_run_once_by_priority_and_at_their_time() {
    let bench = Bench::new(MemoryOptions { running: 1, ..MemoryOptions::default() }, 0);
    let priority = |priority| SubmitOptions { priority, ..SubmitOptions::default() };
    for (id, options) in [
        ("later", at(bench.after(60 * SECOND))),
        ("last", priority(9)),
        ("first", priority(0)),
        ("middle", priority(3)),
    ] {
        assert_eq!(bench.submit(id, options).await, Ok(Submitted::New));
    }
    assert_eq!(bench.submit("first", priority(0)).await, Ok(Submitted::Known));
    assert_eq!(bench.queue.waiting(), 4);
    bench.serve();
    assert_eq!(bench.finished("last").await.state, TaskState::Success);
    assert_eq!(*bench.done.lock(), ["first", "middle", "last"]);
    let began = Instant::now();
    let later = bench.finished("later").await;
    assert!(began.elapsed() <= 60 * SECOND, "{:?}", began.elapsed());
    assert_eq!(later.result, Some(json!({"attempt": 0})));
    assert_eq!(later.name.as_deref(), Some("nothing"));
    // Known by its id although it is done.
    assert_eq!(bench.submit("later", priority(0)).await, Ok(Submitted::Known));
    assert_eq!(bench.queue.state("nobody").await.unwrap().state, TaskState::Pending);
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_tried_again_after_its_pause() {
    let bench = Bench::new(MemoryOptions::default(), 2);
    bench.submit("one", SubmitOptions::default()).await.unwrap();
    bench.serve();
    let mut changes = bench.queue.changed.subscribe();
    changes.changed().await.unwrap();
    let waiting = bench.queue.state("one").await.unwrap();
    assert_eq!((waiting.state, waiting.retries), (TaskState::Retry, Some(1)));
    assert_eq!(waiting.error.unwrap()["exc_type"], "ConnectionError");
    let began = Instant::now();
    let done = bench.finished("one").await;
    assert!(began.elapsed() >= SECOND, "pauses of half a second and of one at least");
    assert_eq!((done.result, done.error), (Some(json!({"attempt": 2})), None));
    let bench = Bench::new(MemoryOptions::default(), 9);
    bench.submit("one", SubmitOptions::default()).await.unwrap();
    bench.serve();
    let failed = bench.finished("one").await;
    assert_eq!((failed.state, failed.retries), (TaskState::Failure, Some(3)));
}

#[tokio::test(start_paused = true)]
async fn what_is_late_or_taken_back_does_not_run() {
    let bench = Bench::new(MemoryOptions::default(), 0);
    let expires = SubmitOptions { expires: Some(bench.after(SECOND)), ..SubmitOptions::default() };
    bench.submit("late", expires).await.unwrap();
    bench.submit("back", at(bench.after(9 * SECOND))).await.unwrap();
    tokio::time::advance(2 * SECOND).await;
    bench.serve();
    let late = bench.finished("late").await;
    assert_eq!(late.state, TaskState::Revoked);
    assert_eq!(late.error.unwrap()["exc_message"][0], "expired");
    bench.queue.revoke("back", false).await.unwrap();
    let back = bench.finished("back").await;
    assert_eq!(back.error.unwrap()["exc_message"][0], "revoked");
    assert_eq!(bench.queue.waiting(), 0);
    assert!(bench.done.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_running_call_is_cut_off_and_a_stop_waits_only_so_long() {
    let mut registry = Registry::new().unwrap();
    let never = Task::io(|_: NoArguments, _| std::future::pending::<Result<Value, _>>());
    registry.add(never.limits(1_000 * SECOND, 1_000 * SECOND)).unwrap();
    let runner = Runner::new(registry, RunnerOptions::new("test"));
    let queue = MemoryQueue::new(MemoryOptions { clock: clock(), ..MemoryOptions::default() });
    let stop = CancellationToken::new();
    let (served, ended) = (queue.clone(), stop.clone());
    let service = tokio::spawn(async move { served.serve(&runner, ended, SECOND).await });
    for id in ["one", "two"] {
        queue.submit(TaskCall::with_id(id, "nothing"), SubmitOptions::default()).await.unwrap();
    }
    tokio::time::sleep(SECOND).await;
    assert_eq!(queue.state("one").await.unwrap().state, TaskState::Started);
    queue.revoke("one", false).await.unwrap();
    assert_eq!(queue.state("one").await.unwrap().state, TaskState::Started);
    queue.revoke("one", true).await.unwrap();
    let cut = queue.finished("one").await.unwrap();
    assert_eq!(cut.error.unwrap()["exc_message"][0], "terminated");
    stop.cancel();
    let began = Instant::now();
    service.await.unwrap();
    assert_eq!(began.elapsed(), SECOND);
    // What ran is run again by the next service.
    assert_eq!(queue.state("two").await.unwrap().state, TaskState::Started);
    queue.state.lock().take_up_again();
    assert_eq!(queue.waiting(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_grows_without_end() {
    let options = MemoryOptions { waiting: 3, kept: 2, ..MemoryOptions::default() };
    let bench = Bench::new(options, 0);
    for id in ["a", "b", "c"] {
        bench.submit(id, SubmitOptions::default()).await.unwrap();
    }
    let full = bench.submit("d", SubmitOptions::default()).await;
    assert_eq!(full, Err(SubmitError::Full { waiting: 3 }));
    bench.serve();
    bench.finished("c").await;
    assert_eq!(bench.queue.state("a").await.unwrap().state, TaskState::Pending, "forgotten");
    tokio::time::advance(Duration::from_secs(86_401)).await;
    bench.submit("d", SubmitOptions::default()).await.unwrap();
    assert_eq!(bench.queue.state("c").await.unwrap().state, TaskState::Pending, "too old");
    assert_eq!(bench.queue.state.lock().kept_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn calls_of_a_task_with_a_rate_begin_that_far_apart() {
    let mut registry = Registry::new().unwrap();
    let rate = TaskPolicy { rate_limit: "2/s".parse().ok(), ..TaskPolicy::default() };
    registry.tune(&[("debug_ping".to_owned(), rate)].into()).unwrap();
    let runner = Runner::new(registry, RunnerOptions::new("test"));
    let queue = MemoryQueue::new(MemoryOptions { clock: clock(), ..MemoryOptions::default() });
    let (served, stop) = (queue.clone(), CancellationToken::new());
    let ended = stop.clone();
    let service = tokio::spawn(async move { served.serve(&runner, ended, SECOND).await });
    let began = Instant::now();
    for id in ["a", "b", "c"] {
        queue.submit(TaskCall::with_id(id, "debug_ping"), SubmitOptions::default()).await.unwrap();
    }
    for (id, after) in [("a", 0), ("b", 500), ("c", 1_000)] {
        assert_eq!(queue.finished(id).await.unwrap().state, TaskState::Success);
        let took = began.elapsed().as_millis();
        assert!((after..after + 100).contains(&took), "{id} after {took} ms");
    }
    stop.cancel();
    service.await.unwrap();
}

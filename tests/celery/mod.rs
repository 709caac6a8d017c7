//! The worker at a real Redis: what it takes, does, stores and gives back.
//!
//! - [`queue`]: messages pushed by hand, results read by hand;
//! - [`faults`]: workers that die, a Redis that goes away, messages that nobody could run;
//! - [`daemon`]: the daemon itself with its own tasks, killed, cut off, and asked by Celery's client;
//! - [`peers`]: Celery's own client, worker and tools, in Python.
//!
//! The worker runs in the test's process with tasks of its own, so that what they did can be counted;
//! [`Worker::kill`] ends it as `kill -9` would: nothing more is said to Redis.

mod daemon;
mod faults;
mod peers;
mod queue;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bongsu::messages::Reject;
use bongsu::messages::health::HealthRegistry;
use bongsu::task_arguments;
use bongsu::tasks::celery::{WorkerOptions, run_worker};
use bongsu::tasks::{Registry, RetryPolicy, Runner, RunnerOptions, Task, TaskFailure};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::support::{RedisServer, Reply, wait_until};

/// For what takes milliseconds on an idle machine.
const SOON: Duration = Duration::from_secs(20);

task_arguments! {
    /// Adds.
    pub struct Add("t.add") {
        /// One.
        a: f64,
        /// The other.
        b: f64,
    }
}
task_arguments! {
    /// Adds a list.
    pub struct Sum("t.sum") {
        /// Its numbers.
        numbers: Value,
    }
}
task_arguments! {
    /// Takes a while.
    pub struct Slow("t.slow") {
        /// So many seconds.
        seconds: f64,
    }
}
task_arguments! {
    /// Fails.
    pub struct Fail("t.fail") {
        /// With this.
        text: String,
    }
}
task_arguments! {
    /// Fails so many times and succeeds then.
    pub struct Retry("t.retry") {
        /// So many times.
        times: u32,
    }
}
task_arguments! {
    /// Waits for the end of its time limits.
    pub struct Hang("t.hang") {}
}
task_arguments! {
    /// Stands for the task of that name.
    pub struct Risk("compute_risk") {
        /// An issue.
        symbol: Option<String>,
    }
}
task_arguments! {
    /// Stands for the task of that name.
    pub struct Picks("generate_recommendations") {
        /// An issue.
        symbol: Option<String>,
        /// How many.
        limit: Option<u32>,
    }
}
task_arguments! {
    /// Stands for the task of that name.
    pub struct Plan("plan_mitigation") {
        /// An issue.
        symbol: Option<String>,
    }
}
task_arguments! {
    /// Stands for the task of that name.
    pub struct Summary("summarize_recommendation") {
        /// What is summarised.
        recommendation: Option<Value>,
    }
}
task_arguments! {
    /// Stands for the task of that name.
    pub struct Alert("draft_alert") {
        /// What came before it in a chain.
        event: Option<Value>,
        /// An issue.
        symbol: Option<String>,
        /// How grave it is.
        level: Option<String>,
    }
}

/// What tasks did, by task id, in order.
type Done = Arc<Mutex<Vec<String>>>;

fn registry(done: &Done) -> Registry {
    let mut registry = Registry::new().unwrap();
    let note = |done: &Done, context: &bongsu::tasks::TaskContext| {
        done.lock().push(context.call().id.clone());
    };
    let noted = Arc::clone(done);
    registry
        .add(Task::instant(move |add: Add, context| {
            note(&noted, &context);
            Ok(add.a + add.b)
        }))
        .unwrap();
    registry
        .add(Task::instant(|sum: Sum, _| {
            let numbers = sum.numbers.as_array().cloned().unwrap_or_default();
            Ok(numbers.iter().filter_map(Value::as_f64).sum::<f64>())
        }))
        .unwrap();
    let noted = Arc::clone(done);
    registry
        .add(Task::io(move |slow: Slow, context| {
            let noted = Arc::clone(&noted);
            async move {
                // tidy: allow(sleep): it is a task that takes so long, as its caller wishes
                tokio::time::sleep(Duration::from_secs_f64(slow.seconds)).await;
                note(&noted, &context);
                Ok("slept")
            }
        }))
        .unwrap();
    registry
        .add(Task::instant(|fail: Fail, _| Err::<(), _>(TaskFailure::value(fail.text))))
        .unwrap();
    let policy = RetryPolicy {
        max_retries: 3,
        backoff: Duration::from_millis(100),
        backoff_max: Duration::from_millis(100),
    };
    registry
        .add(
            Task::instant(|retry: Retry, context| {
                let attempt = context.call().attempt;
                match attempt < retry.times {
                    true => Err(TaskFailure::transient("again")),
                    false => Ok(format!("done after {attempt}")),
                }
            })
            .retry(policy),
        )
        .unwrap();
    registry
        .add(Task::io(|_: Hang, _| async {
            std::future::pending::<()>().await;
            Ok(())
        }))
        .unwrap();
    registry.add(Task::instant(|risk: Risk, _| Ok(json!({"symbol": risk.symbol})))).unwrap();
    registry.add(Task::instant(|picks: Picks, _| Ok(json!([picks.symbol, picks.limit])))).unwrap();
    registry.add(Task::instant(|plan: Plan, _| Ok(json!({"symbol": plan.symbol})))).unwrap();
    registry.add(Task::instant(|s: Summary, _| Ok(json!({"of": s.recommendation})))).unwrap();
    registry.add(Task::instant(|a: Alert, _| Ok(json!([a.event, a.symbol, a.level])))).unwrap();
    registry
}

/// A worker in this process.
struct Worker {
    runtime: Option<Runtime>,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<()>,
    done: Done,
    rejects: Arc<Mutex<Vec<Reject>>>,
    health: HealthRegistry,
}

impl Worker {
    fn start(redis: &RedisServer) -> Self {
        Self::start_with(redis, |_| {})
    }

    fn start_with(redis: &RedisServer, change: impl FnOnce(&mut WorkerOptions)) -> Self {
        Self::at(&redis.url(), &Done::default(), change)
    }

    fn at(url: &str, done: &Done, change: impl FnOnce(&mut WorkerOptions)) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(1);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let mut options = WorkerOptions::new(url);
        options.node = format!("w{}@testhost", NUMBER.fetch_add(1, Ordering::Relaxed));
        options.lost_after = Duration::from_secs(3);
        change(&mut options);
        let runner = Runner::new(registry(done), RunnerOptions::new(options.node.clone()));
        let (stop, health) = (CancellationToken::new(), HealthRegistry::new());
        let rejects: Arc<Mutex<Vec<Reject>>> = Arc::default();
        let (kept, told, asked) = (Arc::clone(&rejects), health.clone(), stop.clone());
        let running = runtime.spawn(async move {
            let on_reject = Arc::new(move |reject| kept.lock().push(reject));
            run_worker(options, runner, told, on_reject, asked).await.unwrap();
        });
        let done = Arc::clone(done);
        Self { runtime: Some(runtime), stop, running, done, rejects, health }
    }

    /// As SIGTERM.
    fn stop(mut self) -> Done {
        self.stop.cancel();
        let runtime = self.runtime.take().unwrap();
        let running = std::mem::replace(&mut self.running, runtime.spawn(async {}));
        let ended = runtime.block_on(async { tokio::time::timeout(SOON, running).await });
        ended.expect("a stop is over soon").expect("the worker ends well");
        Arc::clone(&self.done)
    }

    /// As `kill -9`: its connections close, nothing is said.
    fn kill(mut self) -> Done {
        self.runtime.take().unwrap().shutdown_background();
        Arc::clone(&self.done)
    }

    fn times_done(&self, id: &str) -> usize {
        times(&self.done, id)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn times(done: &Done, id: &str) -> usize {
    done.lock().iter().filter(|one| *one == id).count()
}

/// The client's side, by hand.
trait ByHand {
    fn push(&self, list: &str, message: &str);
    fn send(&self, task: &str, id: &str, args: Value, headers: Value);
    fn call(&self, task: &str, id: &str, args: Value) {
        self.send(task, id, args, json!({}));
    }
    fn meta(&self, id: &str) -> Option<Value>;
    fn number(&self, words: &[&str]) -> i64;

    /// The result, once it is in this state.
    #[track_caller]
    fn wait_state(&self, id: &str, state: &str) -> Value {
        let of = |id| self.meta(id).map(|meta| meta["status"].clone());
        wait_until(SOON, || of(id) == Some(state.into()), &format!("{id} {state}"));
        self.meta(id).unwrap()
    }

    /// Nothing is in hand any more.
    #[track_caller]
    fn wait_acknowledged(&self) {
        let keys =
            [["HLEN", "unacked"], ["ZCARD", "unacked_index"], ["HLEN", "bongsu:tasks:claims"]];
        wait_until(SOON, || keys.iter().all(|key| self.number(key) == 0), "nothing unacknowledged");
    }
}

/// A message, as the smallest that a genuine worker runs.
fn message(task: &str, id: &str, args: &Value, headers: Value) -> Value {
    let mut all = Map::from_iter([("task".to_owned(), task.into()), ("id".to_owned(), id.into())]);
    let Value::Object(mut headers) = headers else { panic!("headers are an object") };
    let embed = headers.remove("embed").unwrap_or_else(|| json!({}));
    all.extend(headers);
    json!({
        "body": STANDARD.encode(json!([args, {}, embed]).to_string()),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": all,
        "properties": {
            "body_encoding": "base64",
            "delivery_tag": format!("tag-{id}"),
            "delivery_info": {"exchange": "", "routing_key": "ai_tasks"},
        },
    })
}

impl ByHand for RedisServer {
    fn push(&self, list: &str, message: &str) {
        assert!(matches!(self.command(&["LPUSH", list, message]), Reply::Integer(_)));
    }

    fn send(&self, task: &str, id: &str, args: Value, headers: Value) {
        self.push("ai_tasks", &message(task, id, &args, headers).to_string());
    }

    fn meta(&self, id: &str) -> Option<Value> {
        match self.command(&["GET", &format!("celery-task-meta-{id}")]) {
            Reply::Text(text) => Some(serde_json::from_str(&text).expect("a result is JSON")),
            _ => None,
        }
    }

    fn number(&self, words: &[&str]) -> i64 {
        match self.command(words) {
            Reply::Integer(number) => number,
            other => panic!("{words:?}: {other:?}"),
        }
    }
}

//! One image, several processes: schedule, tasks and HTTP in containers of their own, over one Redis and one
//! database.
//!
//! What counts is in the database: each planned run once in `job_runs`, and its task once in `task_runs`,
//! whoever was killed or away meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bongsu::store::entity::{job_run, task_run};
use bongsu::store::{Database, DatabaseOptions};
use sea_orm::EntityTrait;
use serde_json::{Value, json};

use crate::support::daemon::Setup;
use crate::support::http::request;
use crate::support::proxy::{Mode, Proxy};
use crate::support::skip::skip;
use crate::support::{Daemon, MariaDb, RedisServer, temp_dir, wait_until};

const PATIENCE: Duration = Duration::from_secs(120);
const TOKENS: &str = "operate:operator";

fn jobs(words: &str) -> String {
    format!(
        "jobs:\n  - {{name: ping, task: debug_ping, every: 1s, misfire: all, overlap: queue, {words}}}\n"
    )
}

/// A process with `roles` of one installation.
fn role(roles: &str, database: &str, redis: &str) -> Setup {
    Daemon::setup()
        .args(["run", "--roles", roles])
        .env("DATABASE_URL", database)
        .env("REDIS_URL", redis)
        .env("BONGSU_API__TOKENS", TOKENS)
        .env("BONGSU_SCHEDULE__LEASE_SECONDS", "2")
        .env("BONGSU_TASKS__LOST_AFTER_SECONDS", "10")
}

fn sqlite(dir: &Path) -> String {
    format!("sqlite://{}?mode=rwc", dir.join("shared.db").display())
}

/// Planned runs and runs of tasks.
fn rows(url: &str) -> (Vec<job_run::Model>, Vec<task_run::Model>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be made").block_on(async {
        let database = Database::connect(url, &DatabaseOptions::default()).await.unwrap();
        let jobs = job_run::Entity::find().all(database.connection()).await.unwrap();
        let tasks = task_run::Entity::find().all(database.connection()).await.unwrap();
        database.close().await.unwrap();
        (jobs, tasks)
    })
}

fn done(url: &str) -> usize {
    rows(url).0.iter().filter(|run| run.status == "done").count()
}

/// Every second of the schedule has its run, each run that is done its one task, done once.
#[track_caller]
fn assert_each_once(url: &str) {
    let (runs, tasks) = rows(url);
    let tasks: BTreeMap<&str, &task_run::Model> =
        tasks.iter().map(|task| (task.id.as_str(), task)).collect();
    let planned: BTreeSet<i64> = runs.iter().map(|run| run.scheduled_for.second()).collect();
    assert_eq!(planned.len(), runs.len(), "a planned moment has one row");
    let span = planned.last().unwrap() - planned.first().unwrap() + 1;
    assert_eq!(planned.len() as i64, span, "every second has its run");
    for run in &runs {
        // The last ones may have waited still when the schedule was stopped.
        let known = ["done", "waiting", "running"].contains(&run.status.as_str());
        assert!(known, "{} {}: {}", run.scheduled_for, run.status, run.detail);
        if run.status != "done" {
            continue;
        }
        let id = run.task_id.as_deref().expect("what is done had a task");
        let task = tasks.get(id).unwrap_or_else(|| panic!("{id} of {} was run", run.scheduled_for));
        assert_eq!((task.state.as_str(), task.executions), ("SUCCESS", Some(1)), "{task:?}");
        assert!(task.origin.as_deref().is_some_and(|who| who.ends_with(" job ping")), "{task:?}");
    }
}

/// Feed and HTTP, tasks, schedule: three processes, of which the schedule's is killed and another takes over.
fn three_processes(url: &str, redis: &RedisServer) {
    let redis = redis.url();
    let ingest = role("ingest,api", url, &redis)
        .args(["--speed", "300", "--symbols", "005930,000660"])
        .file("jobs.yaml", &jobs(""));
    let mut ingest = ingest.start();
    ingest.wait_ready(PATIENCE);
    let mut worker = role("worker", url, &redis).start();
    worker.wait_ready(PATIENCE);
    let mut first = role("beat", url, &redis).file("jobs.yaml", &jobs("")).start();
    first.wait_ready(PATIENCE);
    wait_until(PATIENCE, || done(url) >= 5, "runs of the first schedule");
    // A task by HTTP of the process that has no worker.
    let headers = [("authorization", "Bearer operator")];
    let path = "/v1/tasks/debug_ping?wait=30";
    let asked = request(ingest.address(), "POST", path, &headers, "{}").expect("an answer");
    let asked: Value = serde_json::from_str(&asked.body).expect("JSON");
    assert_eq!((&asked["state"], &asked["result"]), (&json!("SUCCESS"), &json!("pong")));

    first.kill9();
    let so_far = done(url);
    let mut second = role("beat", url, &redis).file("jobs.yaml", &jobs("")).start();
    second.wait_ready(PATIENCE);
    wait_until(PATIENCE, || done(url) >= so_far + 10, "runs of the second schedule");
    second.stop();
    // Rows of tasks go through the Recorder: they are there when it has ended.
    worker.stop();
    ingest.stop();
    assert_each_once(url);
    let worked = format!(":{}:", worker.process().pid());
    let (_, tasks) = rows(url);
    let by_worker =
        |task: &task_run::Model| task.worker.as_deref().is_some_and(|who| who.contains(&worked));
    assert!(tasks.iter().filter(|task| task.name == "debug_ping").all(by_worker), "{tasks:?}");
    let by_http =
        |task: &&task_run::Model| task.origin.as_deref().is_some_and(|who| who.ends_with(" http"));
    assert_eq!(tasks.iter().filter(by_http).count(), 1);
}

#[test]
fn schedule_tasks_and_http_in_three_processes_on_sqlite() {
    let Some(redis) = RedisServer::start() else { skip!("redis-server is not installed") };
    let dir = temp_dir();
    three_processes(&sqlite(dir.path()), &redis);
}

#[test]
fn schedule_tasks_and_http_in_three_processes_on_mariadb() {
    let Some(redis) = RedisServer::start() else { skip!("redis-server is not installed") };
    let Some(server) = MariaDb::start() else { skip!("mariadb-server is not installed") };
    three_processes(&server.url(), &redis);
}

#[test]
fn a_run_that_is_due_while_redis_is_away_is_neither_lost_nor_done_twice() {
    let Some(redis) = RedisServer::start() else { skip!("redis-server is not installed") };
    let dir = temp_dir();
    let url = sqlite(dir.path());
    // The schedule reaches Redis through a proxy, the worker by itself.
    let proxy = Proxy::start(redis.port());
    let by_proxy = format!("redis://127.0.0.1:{}", proxy.port());
    let mut worker = role("worker", &url, &redis.url()).start();
    worker.wait_ready(PATIENCE);
    let mut beat = role("beat", &url, &by_proxy).file("jobs.yaml", &jobs("")).start();
    beat.wait_ready(PATIENCE);
    wait_until(PATIENCE, || done(&url) >= 3, "the first runs");
    // Connections refused, then bytes that go nowhere: orders of which nobody can tell whether they came.
    for mode in [Mode::Refuse, Mode::Swallow] {
        proxy.set(mode);
        let degraded = || beat.get("/readyz").1.contains("scheduler: degraded");
        wait_until(PATIENCE, degraded, "the schedule says that its queue is away");
        let planned = rows(&url).0.len();
        wait_until(PATIENCE, || rows(&url).0.len() >= planned + 4, "runs are due meanwhile");
        let so_far = done(&url);
        proxy.set(Mode::Pass);
        wait_until(PATIENCE, || done(&url) >= so_far + 8, "they are made up for");
    }
    beat.stop();
    worker.stop();
    assert_each_once(&url);
}

#[test]
fn a_run_that_redis_did_not_take_in_time_is_missed_with_the_reason() {
    let Some(mut redis) = RedisServer::start() else { skip!("redis-server is not installed") };
    let dir = temp_dir();
    let url = sqlite(dir.path());
    let mut worker = role("worker", &url, &redis.url()).start();
    worker.wait_ready(PATIENCE);
    let words = jobs("max_lateness: 10s");
    let mut beat = role("beat", &url, &redis.url()).file("jobs.yaml", &words).start();
    beat.wait_ready(PATIENCE);
    wait_until(PATIENCE, || done(&url) >= 2, "the first runs");
    redis.kill9();
    let missed = || rows(&url).0.into_iter().find(|run| run.status == "missed");
    wait_until(PATIENCE, || missed().is_some(), "a run is missed");
    let run = missed().expect("it was there");
    assert!(run.detail.contains("was to begin by") && run.detail.contains("ai_tasks"), "{run:?}");
    redis.restart();
    let so_far = done(&url);
    wait_until(PATIENCE, || done(&url) >= so_far + 3, "the schedule goes on");
    beat.stop();
    worker.stop();
    let (runs, tasks) = rows(&url);
    let done = tasks.iter().filter(|task| task.state == "SUCCESS");
    let done: BTreeSet<&str> = done.map(|task| task.id.as_str()).collect();
    for run in runs.iter().filter(|run| run.status == "missed") {
        let id = run.task_id.as_deref().unwrap_or_default();
        assert!(!done.contains(id), "missed and done all the same: {run:?}");
    }
}

#[test]
fn a_schedule_that_reaches_no_worker_says_so_at_the_start() {
    let dir = temp_dir();
    let output = Command::new(env!("CARGO_BIN_EXE_bongsu"))
        .args(["run", "--roles", "beat"])
        .current_dir(dir.path())
        .env_clear()
        .env("HOME", dir.path())
        .env("DATABASE_URL", sqlite(dir.path()))
        .env("BONGSU_HTTP__LISTEN", format!("127.0.0.1:{}", crate::support::free_port()))
        .output()
        .expect("bongsu runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("beat") && told.contains("REDIS_URL"), "{told}");
}

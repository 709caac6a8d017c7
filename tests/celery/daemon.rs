//! The daemon itself at the queue, with the tasks it has: Celery's own client at it, a worker that is killed, a
//! network that resets connections.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use bongsu::store::entity::task_run;
use bongsu::store::{Database, DatabaseOptions};
use sea_orm::EntityTrait;
use serde_json::json;

use super::ByHand;
use super::peers::{NO_PYTHON, check, client_check, genuine, python};
use crate::support::daemon::Setup;
use crate::support::proxy::{Mode, Proxy};
use crate::support::{Daemon, RedisServer, free_port, skip, temp_dir, wait_until};

const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn celerys_client_finds_the_daemon_and_a_genuine_worker_may_stand_beside_it() {
    let Some(redis) = RedisServer::start() else { skip!("no redis-server") };
    let Some(python) = python() else { skip!("{NO_PYTHON}") };
    let Some(file) = client_check() else { skip!("no shared/celery/client_check.py") };
    let mut daemon = Daemon::setup()
        .args(["run", "--speed", "300", "--symbols", "005930,000660,373220,247540"])
        .env("REDIS_URL", redis.url())
        .start();
    daemon.wait_ready(PATIENCE);
    wait_until(PATIENCE, || daemon.get("/v1/risk/005930").0 == 200, "a score");
    let last = check(&python, &file, &redis, &["--extended", "--hostile", "--throughput", "500"]);
    assert_eq!(last, "42 passed, 0 failed");
    // Messages that a genuine worker does not survive are left out.
    let dir = temp_dir();
    let other = genuine(&python, &dir, &redis);
    let last = check(&python, &file, &redis, &["--extended", "--throughput", "500"]);
    assert_eq!(last, "39 passed, 0 failed");
    drop(other);
    daemon.stop();
}

fn runs(url: &str) -> Vec<task_run::Model> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be made").block_on(async {
        let database = Database::connect(url, &DatabaseOptions::default()).await.unwrap();
        let rows = task_run::Entity::find().all(database.connection()).await.unwrap();
        database.close().await.unwrap();
        rows
    })
}

fn worker(database: &str, redis: &str) -> Setup {
    Daemon::setup()
        .args(["run", "--roles", "worker"])
        .env("DATABASE_URL", database)
        .env("REDIS_URL", redis)
        .env("BONGSU_TASKS__LOST_AFTER_SECONDS", "10")
        .env("BONGSU_TASKS__CONCURRENCY", "2")
}

/// 200 calls are queued and two of them wait for a language model when their worker is killed. It comes back: each
/// call has one row and one result, and the two say that they were begun twice.
#[test]
fn a_worker_process_that_is_killed_amid_its_tasks_ends_each_of_them_once() {
    let Some(redis) = RedisServer::start() else { skip!("no redis-server") };
    let dir = temp_dir();
    let url = format!("sqlite://{}?mode=rwc", dir.path().join("shared.db").display());
    // Scores to report on, of a day that is played.
    let mut ingest = Daemon::setup()
        .args(["run", "--roles", "ingest,api", "--speed", "300", "--symbols", "005930,000660"])
        .env("DATABASE_URL", &url)
        .start();
    ingest.wait_ready(PATIENCE);
    let seen = || ingest.json("/v1/risk")["total"].as_u64() >= Some(2);
    wait_until(PATIENCE, seen, "scores");
    ingest.stop();

    // A language model that takes every question and answers none.
    let port = free_port();
    let silent = TcpListener::bind(("127.0.0.1", port)).expect("its port is free");
    let mut worker = worker(&url, &redis.url())
        .env("OPENAI_BASE_URL", format!("http://127.0.0.1:{port}/v1"))
        .env("OPENAI_MODEL", "test-model")
        .start();
    worker.wait_ready(PATIENCE);
    let ids: Vec<String> = (0..200).map(|index| format!("report-{index}")).collect();
    for id in &ids {
        redis.call("generate_report", id, json!(["daily"]));
    }
    let begun = || {
        let rows = runs(&url);
        rows.iter().filter(|row| row.state == "STARTED").count() == 2
            && rows.iter().all(|row| row.state == "STARTED")
    };
    wait_until(PATIENCE, begun, "two are begun, by their rows");
    worker.kill9();
    assert!(redis.number(&["HLEN", "unacked"]) >= 2, "what it had in hand is in Redis");
    drop(silent);
    worker.restart();
    worker.wait_ready(PATIENCE);
    let over =
        || ids.iter().all(|id| redis.meta(id).is_some_and(|meta| meta["status"] == "SUCCESS"));
    wait_until(PATIENCE, over, "all end");
    redis.wait_acknowledged();
    worker.stop();
    let rows = runs(&url);
    let mut found: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    let mut wanted: Vec<&str> = ids.iter().map(String::as_str).collect();
    found.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(found, wanted, "a row for each, and no other");
    assert!(rows.iter().all(|row| row.state == "SUCCESS"), "{rows:?}");
    let twice: Vec<_> = rows.iter().filter(|row| row.executions == Some(2)).collect();
    assert_eq!(twice.len(), 2, "those that ran when it was killed");
    assert!(rows.iter().all(|row| matches!(row.executions, Some(1 | 2))), "{rows:?}");
}

/// Connections are reset again and again while calls come in: each is done once, and nothing stays behind.
#[test]
fn a_network_that_resets_connections_delays_tasks_and_loses_none() {
    let Some(redis) = RedisServer::start() else { skip!("no redis-server") };
    let dir = temp_dir();
    let url = format!("sqlite://{}?mode=rwc", dir.path().join("shared.db").display());
    let proxy = Proxy::start(redis.port());
    let by_proxy = format!("redis://127.0.0.1:{}", proxy.port());
    let mut worker = worker(&url, &by_proxy).start();
    worker.wait_ready(PATIENCE);
    let (began, mut ids) = (Instant::now(), Vec::new());
    let seconds = std::env::var("BONGSU_TEST_RESETS_SECONDS").ok();
    let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(15);
    let mut resets = 0;
    while began.elapsed() < Duration::from_secs(seconds) {
        let first = ids.len();
        for index in first..first + 50 {
            ids.push(format!("ping-{index}"));
            redis.call("debug_ping", &ids[index], json!([]));
        }
        let some = || ids[first..].iter().filter(|id| redis.meta(id).is_some()).count() >= 20;
        wait_until(PATIENCE, some, "the worker is back at its queue");
        proxy.set(Mode::Refuse);
        proxy.set(Mode::Pass);
        resets += 1;
    }
    let over =
        || ids.iter().all(|id| redis.meta(id).is_some_and(|meta| meta["status"] == "SUCCESS"));
    wait_until(PATIENCE, over, "all end");
    redis.wait_acknowledged();
    worker.stop();
    let rows = runs(&url);
    assert_eq!(rows.len(), ids.len(), "after {resets} resets");
    let once = rows.iter().all(|row| row.state == "SUCCESS" && row.executions == Some(1));
    assert!(once && resets >= 3, "{resets} resets: {rows:?}");
}

//! Celery's own client, worker and tools, in Python.
//!
//! They need packages that `scripts/test` installs, and the outside check of a worker from the shared
//! folder; without them the tests are skipped.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::{ByHand, SOON, Worker};
use crate::support::{
    Process, RedisServer, TempDir, free_port, shared_dir, skip, temp_dir, wait_until,
};

const RUN: Duration = Duration::from_secs(180);
pub(super) const NO_PYTHON: &str = "BONGSU_TEST_PYTHON is not set: no Python with Celery";

pub(super) fn python() -> Option<PathBuf> {
    std::env::var_os("BONGSU_TEST_PYTHON").map(PathBuf::from)
}

fn here(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/celery").join(file)
}

/// The acceptance check of any worker, as a Django back end sees it.
pub(super) fn client_check() -> Option<PathBuf> {
    Some(shared_dir()?.join("celery/client_check.py")).filter(|file| file.is_file())
}

fn start(python: &Path, dir: &TempDir, name: &str, arguments: &[&str]) -> Process {
    let mut command = Command::new(python);
    command
        .args(arguments)
        .current_dir(dir.path())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", dir.path())
        .env("FLOWER_UNAUTHENTICATED_API", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONUNBUFFERED", "1")
        .env("PYTHONIOENCODING", "utf-8");
    Process::spawn(name, &mut command, &dir.path().join(format!("{name}.log")))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the path of the checkout is text")
}

/// Runs `client_check.py` with all its checks; returns its last line.
#[track_caller]
pub(super) fn check(python: &Path, check: &Path, redis: &RedisServer, more: &[&str]) -> String {
    let dir = temp_dir();
    let url = redis.url();
    let arguments = [text(check), "--url", &url, "--timeout", "30", "--latency", "50"];
    let mut process = start(python, &dir, "client_check", &[&arguments[..], more].concat());
    let status = process.wait_exit(RUN);
    let log = process.log();
    let failed: Vec<&str> = log.lines().filter(|line| line.starts_with("FAIL")).collect();
    assert!(status.success() && failed.is_empty(), "{}\n{}", failed.join("\n"), process.tail());
    let last = log.lines().rev().find(|line| line.contains(" passed, ")).map(str::to_owned);
    last.unwrap_or_else(|| panic!("{}", process.tail()))
}

/// A genuine worker at the same queue.
pub(super) fn genuine(python: &Path, dir: &TempDir, redis: &RedisServer) -> Process {
    let (file, url) = (here("genuine.py"), redis.url());
    let arguments = [text(&file), &url, "genuine", "-P", "threads", "-c", "2"];
    let mut process = start(python, dir, "genuine", &arguments);
    let log = dir.path().join("genuine.log");
    let ready = || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("ready."));
    process.wait_ready(RUN, ready);
    process
}

#[test]
fn parts_of_one_chord_are_done_by_a_genuine_worker_and_by_ours() {
    let Some(redis) = RedisServer::start() else { skip!("no redis-server") };
    let Some(python) = python() else { skip!("{NO_PYTHON}") };
    let dir = temp_dir();
    let _other = genuine(&python, &dir, &redis);
    let worker = Worker::start(&redis);
    // Canvas across both: parts of one chord are done by either. The genuine one takes its time to start.
    let began = std::time::Instant::now();
    for group in 0.. {
        let body_id = format!("g{group}-body");
        let group_id = format!("g{group}");
        let body = json!({"task": "t.sum", "args": [], "kwargs": {}, "immutable": false,
            "options": {"task_id": body_id, "group_id": group_id}});
        redis.command(&["SET", &format!("celery-taskset-meta-{group_id}.s"), "10", "EX", "60"]);
        for index in 0..10 {
            let headers =
                json!({"group": group_id, "group_index": index, "embed": {"chord": body}});
            redis.send("t.add", &format!("{group_id}-{index}"), json!([index, index]), headers);
        }
        let meta = redis.wait_state(&body_id, "SUCCESS");
        assert_eq!(meta["result"].as_f64(), Some(90.0));
        let (ours, parts) = (worker.done.lock().len(), 10 * (group + 1));
        if group >= 9 && ours > 0 && ours < parts {
            return;
        }
        assert!(began.elapsed() < RUN, "{ours} of {parts} parts were done here");
    }
}

#[test]
fn operators_see_the_worker_with_celerys_tools_and_flower() {
    let Some(redis) = RedisServer::start() else { skip!("no redis-server") };
    let Some(python) = python() else { skip!("{NO_PYTHON}") };
    let mut node = String::new();
    let worker = Worker::start_with(&redis, |options| {
        options.concurrency = 2;
        node = options.node.clone();
    });
    let (dir, port, url) = (temp_dir(), free_port().to_string(), redis.url());
    let broker = format!("--broker={url}");
    let listen = [&format!("--port={port}"), "--address=127.0.0.1", "--inspect-timeout=3000"];
    let arguments = [&["-m", "celery", &broker, "flower"], &listen[..]].concat();
    let _flower = start(&python, &dir, "flower", &arguments);
    let tools = here("tools.py");
    let mut process = start(&python, &dir, "tools", &[text(&tools), &url, &node, &port]);
    let status = process.wait_exit(RUN);
    let log = process.log();
    let checks: Vec<Value> = log.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
    let failed: Vec<&Value> = checks.iter().filter(|check| check["ok"] != true).collect();
    assert!(status.success() && failed.is_empty(), "{failed:#?}\n{}", process.tail());
    assert_eq!(checks.len(), 32);

    let arguments = ["-m", "celery", &broker, "status", "--timeout", "3"];
    let mut process = start(&python, &dir, "status", &arguments);
    process.wait_exit(RUN);
    assert!(process.log().contains(&format!("{node}: OK")), "{}", process.log());

    // A worker that leaves says so.
    worker.stop();
    let online = || {
        let (_, body) = crate::support::http_get(
            format!("127.0.0.1:{port}").parse().expect("an address"),
            "/workers?json=1",
        )
        .unwrap_or_default();
        body.contains("\"status\": true")
    };
    wait_until(SOON, || !online(), "Flower shows no worker online");
}

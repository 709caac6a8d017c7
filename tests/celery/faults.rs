//! Workers that die, a Redis that goes away, messages that nobody could run.

use std::time::Duration;

use serde_json::json;

use super::{ByHand, Done, SOON, Worker, message, times};
use crate::support::{RedisServer, Reply, skip, wait_until};

#[test]
fn a_killed_worker_loses_nothing_and_nothing_is_done_twice() {
    let Some(redis) = RedisServer::start() else { skip!("no redis-server") };
    let done = Done::default();
    let hands = |options: &mut bongsu::tasks::celery::WorkerOptions| {
        options.concurrency = 4;
        options.prefetch = 50;
    };
    let first = Worker::at(&redis.url(), &done, hands);
    redis.call("t.slow", "running", json!([30]));
    for index in 0..200 {
        redis.call("t.slow", &format!("{index}"), json!([0.01]));
    }
    wait_until(SOON, || done.lock().len() >= 20, "some are done");
    first.kill();
    let before = done.lock().clone();
    // A task that takes shorter for the second worker, so that the test does not wait for it.
    let running = message("t.slow", "running", &json!([0]), json!({}));
    let entry = json!([running, "", "ai_tasks"]).to_string();
    redis.command(&["HSET", "unacked", "tag-running", &entry]);
    let second = Worker::at(&redis.url(), &done, hands);
    redis.wait_state("running", "SUCCESS");
    for index in 0..200 {
        redis.wait_state(&index.to_string(), "SUCCESS");
    }
    redis.wait_acknowledged();
    second.stop();
    // At most what ran at the moment of the kill and had not told Redis yet was done twice.
    let twice = (0..200).filter(|index| times(&done, &index.to_string()) > 1).count();
    assert!(twice <= 4, "{twice} done twice, {} before the kill", before.len());
    assert_eq!(times(&done, "running"), 1);
}

#[test]
fn a_worker_that_only_seemed_dead_gets_its_copy_back() {
    let Some(redis) = RedisServer::start() else { skip!("no redis-server") };
    let worker = Worker::start(&redis);
    redis.call("t.slow", "a", json!([1.5]));
    wait_until(SOON, || redis.number(&["HLEN", "unacked"]) == 1, "it is in hand");
    // Another worker took it for lost and put it back, as kombu does.
    let copy = message("t.slow", "a", &json!([1.5]), json!({"redelivered": true}));
    redis.command(&["HDEL", "unacked", "tag-a"]);
    redis.command(&["ZREM", "unacked_index", "tag-a"]);
    redis.command(&["RPUSH", "ai_tasks", &copy.to_string()]);
    let other = Worker::start(&redis);
    redis.wait_state("a", "SUCCESS");
    redis.wait_acknowledged();
    assert_eq!(worker.times_done("a") + other.times_done("a"), 1, "the copy was absorbed");
    assert_eq!(redis.number(&["LLEN", "ai_tasks"]), 0);
}

#[test]
fn a_copy_of_what_was_finished_meanwhile_is_dropped() {
    let Some(redis) = RedisServer::start() else { skip!("no redis-server") };
    let worker = Worker::start(&redis);
    redis.call("t.slow", "a", json!([0.3]));
    wait_until(SOON, || redis.number(&["HLEN", "unacked"]) == 1, "it is in hand");
    // Somebody has put it back, into a queue that is not served just now.
    redis.command(&["DEL", "unacked", "unacked_index"]);
    redis.wait_state("a", "SUCCESS");
    let marked = || redis.number(&["EXISTS", "bongsu:tasks:done:tag-a"]) == 1;
    wait_until(SOON, marked, "its end is remembered");
    redis.call("t.slow", "a", json!([0.3]));
    redis.call("t.slow", "b", json!([0.1]));
    redis.wait_state("b", "SUCCESS");
    redis.wait_acknowledged();
    assert_eq!((worker.times_done("a"), worker.times_done("b")), (1, 1));
}

#[test]
fn a_message_that_kills_its_workers_is_given_up() {
    let Some(redis) = RedisServer::start() else { skip!("no redis-server") };
    let worker = Worker::start(&redis);
    redis.send("t.add", "p", json!([1, 1]), json!({"bongsu_losses": 3}));
    let meta = redis.wait_state("p", "FAILURE");
    assert_eq!(meta["result"]["exc_type"], "WorkerLostError");
    assert_eq!(worker.times_done("p"), 0);
    // And each death counts.
    let lost = message("t.add", "l", &json!([1, 1]), json!({})).to_string();
    redis.command(&["HSET", "unacked", "tag-l", &format!("[{lost},\"\",\"ai_tasks\"]")]);
    redis.command(&["ZADD", "unacked_index", "9999999999", "tag-l"]);
    redis.command(&["HSET", "bongsu:tasks:claims", "tag-l", "gone@host/1"]);
    redis.wait_state("l", "SUCCESS");
    redis.wait_acknowledged();
}

#[test]
fn what_a_genuine_worker_lost_is_put_back_after_the_visibility_timeout() {
    let Some(redis) = RedisServer::start() else { skip!("no redis-server") };
    let lost = message("t.add", "l", &json!([1, 1]), json!({})).to_string();
    redis.command(&["HSET", "unacked", "tag-l", &format!("[{lost},\"\",\"ai_tasks\"]")]);
    redis.command(&["ZADD", "unacked_index", "1000", "tag-l"]);
    let held = message("t.add", "h", &json!([1, 1]), json!({})).to_string();
    redis.command(&["HSET", "unacked", "tag-h", &format!("[{held},\"\",\"ai_tasks\"]")]);
    let now = chrono::Utc::now().timestamp().to_string();
    redis.command(&["ZADD", "unacked_index", &now, "tag-h"]);
    let _worker = Worker::start(&redis);
    redis.wait_state("l", "SUCCESS");
    assert_eq!(redis.meta("h"), None, "it may still be in its worker's hand");
    assert_eq!(redis.number(&["HLEN", "unacked"]), 1);
    assert_eq!(redis.command(&["GET", "unacked_mutex"]), Reply::Nil);
}

#[test]
fn messages_that_cannot_be_run_are_recorded_and_the_next_one_is_run() {
    let Some(redis) = RedisServer::start() else { skip!("no redis-server") };
    let worker = Worker::start_with(&redis, |options| options.max_message = 64 << 10);
    let good = |id: &str| message("t.add", id, &json!([1, 1]), json!({}));
    let mut bad: Vec<(String, bool)> = vec![("not json".into(), false), ("[1]".into(), false)];
    let mut with = |id: &str, told, change: &dyn Fn(&mut serde_json::Value)| {
        let mut message = good(id);
        change(&mut message);
        bad.push((message.to_string(), told));
    };
    with("no body", false, &|m| m["body"] = json!(null));
    with("no json", false, &|m| m["body"] = json!("bm90IGpzb24="));
    with("pickle", false, &|m| m["content-type"] = json!("application/x-python-serialize"));
    with("no task", false, &|m| {
        m["headers"].as_object_mut().unwrap().remove("task");
    });
    with("no headers", false, &|m| m["headers"] = json!(null));
    with("no id", false, &|m| {
        m["headers"].as_object_mut().unwrap().remove("id");
    });
    with("short", true, &|m| m["body"] = json!("W1tdLCB7fV0="));
    with("eta", true, &|m| m["headers"]["eta"] = json!("garbage"));
    with("kwargs", true, &|m| m["body"] = json!("W1tdLCBbXSwge31d"));
    with("large", true, &|m| {
        m["body"] = json!("A".repeat(100 << 10));
        // As kombu orders them.
        let (headers, properties) = (m["headers"].take(), m["properties"].take());
        m["headers"] = headers;
        m["properties"] = properties;
    });
    let refused = bad.len();
    for (message, _) in &bad {
        redis.push("ai_tasks", message);
    }
    for id in ["no content type", "no tag", "no properties"] {
        let mut message = good(id);
        match id {
            "no content type" => message["content-type"] = json!(null),
            "no tag" => message["properties"] = json!({"body_encoding": "base64"}),
            _ => {
                message["properties"] = json!(null);
                message["body"] = json!("[[1, 1], {}, {}]");
            }
        }
        redis.push("ai_tasks", &message.to_string());
    }
    for id in ["no content type", "no tag", "no properties"] {
        redis.wait_state(id, "SUCCESS");
    }
    for id in ["short", "eta", "kwargs", "large"] {
        assert_eq!(redis.wait_state(id, "FAILURE")["result"]["exc_type"], "ValueError", "{id}");
    }
    for id in ["no json", "pickle"] {
        assert_eq!(redis.meta(id), None, "a genuine worker says nothing either");
    }
    redis.wait_acknowledged();
    wait_until(SOON, || worker.rejects.lock().len() == refused, "each is recorded");
    assert_eq!(redis.number(&["LLEN", "bongsu:tasks:rejected"]), 1, "what is no JSON is kept");
    assert!(redis.number(&["TTL", "bongsu:tasks:rejected"]) > 0);
}

#[test]
fn a_redis_that_restarts_finds_the_worker_with_its_messages_in_hand() {
    let Some(mut redis) = RedisServer::start() else { skip!("no redis-server") };
    let worker = Worker::start_with(&redis, |options| options.concurrency = 2);
    for id in ["runs", "runs too", "waits", "waits too"] {
        redis.call("t.slow", id, json!([1]));
    }
    wait_until(SOON, || redis.number(&["HLEN", "unacked"]) == 4, "all are in hand");
    // An append-only file is on disk within a second.
    let saved = std::time::Instant::now() + Duration::from_millis(1_100);
    wait_until(SOON, || std::time::Instant::now() > saved, "it is written");
    redis.stop();
    let down = |worker: &Worker| {
        let lines = worker.health.snapshot();
        lines.iter().any(|line| line.state.as_str() == "down")
    };
    wait_until(SOON, || down(&worker), "the worker says that redis is away");
    redis.restart();
    wait_until(SOON, || !down(&worker), "and that it is back");
    for id in ["runs", "runs too", "waits", "waits too"] {
        redis.wait_state(id, "SUCCESS");
        assert_eq!(worker.times_done(id), 1, "{id}");
    }
    redis.wait_acknowledged();
    redis.call("t.add", "after", json!([1, 1]));
    redis.wait_state("after", "SUCCESS");
}

#[test]
fn a_redis_that_comes_back_empty_is_told_what_is_in_hand() {
    let Some(redis) = RedisServer::start() else { skip!("no redis-server") };
    let worker = Worker::start_with(&redis, |options| options.concurrency = 1);
    redis.call("t.slow", "runs", json!([4]));
    redis.call("t.slow", "waits", json!([0]));
    wait_until(SOON, || redis.number(&["HLEN", "unacked"]) == 2, "both are in hand");
    redis.command(&["FLUSHALL"]);
    wait_until(SOON, || redis.number(&["HLEN", "unacked"]) == 2, "it is told");
    assert_eq!(redis.number(&["HLEN", "bongsu:tasks:claims"]), 2);
    for id in ["runs", "waits"] {
        redis.wait_state(id, "SUCCESS");
        assert_eq!(worker.times_done(id), 1);
    }
    redis.wait_acknowledged();
}

//! Messages pushed by hand, results read by hand.

use std::time::Duration;

use bongsu::tasks::celery::{CeleryQueue, ClientOptions};
use bongsu::tasks::{Submit, SubmitOptions, Submitted, TaskCall, TaskState};
use serde_json::json;

use super::{ByHand, SOON, Worker, message};
use crate::support::{RedisServer, Reply, skip, wait_until};

#[test]
fn a_call_is_run_its_result_stored_for_a_day_and_nothing_is_left() {
    let Some(redis) = RedisServer::start() else { skip!("no redis-server") };
    let worker = Worker::start(&redis);
    wait_until(SOON, || redis.number(&["EXISTS", "bongsu:tasks:epoch"]) == 1, "its first beat");
    redis.send("t.add", "a", json!([1, 2]), json!({"parent_id": "p", "group": "g"}));
    let meta = redis.wait_state("a", "SUCCESS");
    assert_eq!(meta["result"], 3.0);
    assert_eq!((&meta["children"], &meta["traceback"]), (&json!([]), &json!(null)));
    assert_eq!((&meta["parent_id"], &meta["group_id"]), (&json!("p"), &json!("g")));
    let life = redis.number(&["TTL", "celery-task-meta-a"]);
    assert!((86_000..=86_400).contains(&life), "{life}");
    redis.wait_acknowledged();
    worker.stop();
    let Reply::List(keys) = redis.command(&["KEYS", "*"]) else { panic!() };
    let lasting: Vec<String> = keys
        .into_iter()
        .filter_map(|key| match key {
            Reply::Text(key) if redis.number(&["TTL", &key]) < 0 => Some(key),
            _ => None,
        })
        .collect();
    assert_eq!(lasting, ["bongsu:tasks:epoch"], "every other key runs out");
}

#[test]
fn the_most_urgent_list_is_served_first() {
    let Some(redis) = RedisServer::start() else { skip!("no redis-server") };
    for (list, id) in
        [("ai_tasks\u{6}\u{16}9", "low"), ("ai_tasks\u{6}\u{16}3", "mid"), ("ai_tasks", "high")]
    {
        redis.push(list, &message("t.add", id, &json!([1, 1]), json!({})).to_string());
    }
    let worker = Worker::start(&redis);
    redis.wait_state("low", "SUCCESS");
    assert_eq!(*worker.done.lock(), ["high", "mid", "low"]);
}

#[test]
fn failures_retries_and_unknown_tasks_are_told() {
    let Some(redis) = RedisServer::start() else { skip!("no redis-server") };
    let _worker = Worker::start(&redis);
    redis.call("t.fail", "f", json!(["bad"]));
    let meta = redis.wait_state("f", "FAILURE");
    let wanted =
        json!({"exc_type": "ValueError", "exc_message": ["bad"], "exc_module": "builtins"});
    assert_eq!(meta["result"], wanted);
    assert!(meta["traceback"].as_str().unwrap().ends_with("ValueError: bad\n"));

    redis.call("t.retry", "r", json!([2]));
    let meta = redis.wait_state("r", "SUCCESS");
    assert_eq!((&meta["result"], &meta["parent_id"]), (&json!("done after 2"), &json!("r")));
    redis.call("t.retry", "never", json!([9]));
    assert_eq!(redis.wait_state("never", "FAILURE")["result"]["exc_type"], "ConnectionError");

    redis.call("no.such.task", "u", json!([]));
    assert_eq!(redis.wait_state("u", "FAILURE")["result"]["exc_type"], "NotRegistered");
    redis.call("t.add", "w", json!([1]));
    assert_eq!(redis.wait_state("w", "FAILURE")["result"]["exc_type"], "TypeError");
    redis.wait_acknowledged();
}

#[test]
fn nothing_is_stored_for_a_result_that_is_ignored_and_a_success_is_kept() {
    let Some(redis) = RedisServer::start() else { skip!("no redis-server") };
    let success = r#"{"status": "SUCCESS", "result": "first"}"#;
    redis.command(&["SET", "celery-task-meta-kept", success]);
    let worker = Worker::start(&redis);
    redis.send("t.add", "ignored", json!([1, 1]), json!({"ignore_result": true}));
    redis.call("t.add", "kept", json!([1, 1]));
    redis.call("t.add", "last", json!([1, 1]));
    redis.wait_state("last", "SUCCESS");
    redis.wait_acknowledged();
    assert_eq!((worker.times_done("ignored"), worker.times_done("kept")), (1, 1));
    assert_eq!(redis.meta("ignored"), None);
    assert_eq!(redis.meta("kept").unwrap()["result"], "first");
}

#[test]
fn limits_of_the_client_are_kept() {
    let Some(redis) = RedisServer::start() else { skip!("no redis-server") };
    let _worker = Worker::start(&redis);
    redis.send("t.hang", "hard", json!([]), json!({"timelimit": [0.2, null]}));
    let result = redis.wait_state("hard", "FAILURE")["result"].clone();
    assert_eq!(
        (&result["exc_type"], &result["exc_message"][0]),
        (&json!("TimeLimitExceeded"), &json!(0.2))
    );
    redis.send("t.hang", "soft", json!([]), json!({"timelimit": [30, 0.2]}));
    let result = redis.wait_state("soft", "FAILURE")["result"].clone();
    assert_eq!(result["exc_type"], "SoftTimeLimitExceeded");
}

#[test]
fn started_is_stored_when_it_is_to_be() {
    let Some(redis) = RedisServer::start() else { skip!("no redis-server") };
    let _worker = Worker::start_with(&redis, |options| options.track_started = true);
    redis.call("t.slow", "s", json!([0.5]));
    let meta = redis.wait_state("s", "STARTED");
    assert!(meta["result"]["pid"].is_number() && meta["date_done"].is_null());
    redis.wait_state("s", "SUCCESS");
}

#[test]
fn an_eta_is_waited_for_without_blocking_and_far_ones_wait_in_redis() {
    let Some(redis) = RedisServer::start() else { skip!("no redis-server") };
    let worker = Worker::start_with(&redis, |options| options.prefetch = 1);
    let eta = |seconds: i64| {
        let moment = chrono::Utc::now() + chrono::TimeDelta::seconds(seconds);
        json!({"eta": moment.to_rfc3339()})
    };
    redis.send("t.add", "soon", json!([1, 1]), eta(1));
    redis.send("t.add", "far", json!([1, 1]), eta(3_600));
    redis.call("t.add", "now", json!([1, 1]));
    redis.wait_state("now", "SUCCESS");
    assert_eq!(redis.meta("soon"), None);
    redis.wait_state("soon", "SUCCESS");
    let parked = || redis.command(&["HGET", "bongsu:tasks:claims", "tag-far"]);
    assert_eq!(parked(), Reply::Text("@far".to_owned()));
    // It is nobody's: the worker may end, and another brings it when its time comes.
    worker.stop();
    assert_eq!(parked(), Reply::Text("@far".to_owned()));
    assert_eq!(redis.number(&["HLEN", "unacked"]), 1);
    redis.command(&["ZADD", "unacked_index", "1", "tag-far"]);
    let far = message("t.add", "far", &json!([1, 1]), json!({}));
    let entry = json!([far, "", "ai_tasks"]).to_string();
    redis.command(&["HSET", "unacked", "tag-far", &entry]);
    let next = Worker::start(&redis);
    redis.wait_state("far", "SUCCESS");
    assert_eq!(next.times_done("far"), 1);
    redis.wait_acknowledged();
}

#[test]
fn an_expired_call_is_revoked() {
    let Some(redis) = RedisServer::start() else { skip!("no redis-server") };
    let worker = Worker::start(&redis);
    redis.send("t.add", "e", json!([1, 1]), json!({"expires": "2020-01-01T00:00:00+00:00"}));
    let meta = redis.wait_state("e", "REVOKED");
    assert_eq!(meta["result"]["exc_message"], json!(["expired"]));
    redis.wait_acknowledged();
    assert_eq!(worker.times_done("e"), 0);
}

#[test]
fn calls_sent_from_here_are_run_once_for_each_id() {
    let Some(redis) = RedisServer::start() else { skip!("no redis-server") };
    let worker = Worker::start(&redis);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (status, again, nobody) = runtime.block_on(async {
        let queue = CeleryQueue::open(ClientOptions {
            url: redis.url(),
            queue: "ai_tasks".to_owned(),
            origin: "gen1@testhost".to_owned(),
            timeout: SOON,
        })
        .unwrap();
        let call = || TaskCall::with_id("x", "t.add").args(vec![json!(1), json!(2)]);
        let options = SubmitOptions { priority: 9, ..SubmitOptions::default() };
        assert_eq!(queue.submit(call(), options).await, Ok(Submitted::New));
        let status = queue.finished("x").await.unwrap();
        let again = queue.submit(call(), options).await.unwrap();
        (status, again, queue.state("nobody").await.unwrap())
    });
    assert_eq!((status.state, status.result), (TaskState::Success, Some(json!(3.0))));
    assert_eq!((again, nobody.state), (Submitted::Known, TaskState::Pending));
    redis.wait_acknowledged();
    assert_eq!(worker.times_done("x"), 1);
}

fn step(task: &str, id: &str, args: &serde_json::Value) -> serde_json::Value {
    json!({"task": task, "args": args, "kwargs": {}, "options": {"task_id": id},
        "subtask_type": null, "immutable": false})
}

#[test]
fn chains_callbacks_and_errbacks_follow() {
    let Some(redis) = RedisServer::start() else { skip!("no redis-server") };
    let _worker = Worker::start(&redis);
    let chain = json!([step("t.add", "c3", &json!([100])), step("t.add", "c2", &json!([10]))]);
    redis.send("t.add", "c1", json!([1, 2]), json!({"embed": {"chain": chain}}));
    assert_eq!(redis.wait_state("c3", "SUCCESS")["result"], 113.0);
    assert_eq!(redis.meta("c1").unwrap()["children"], json!([[["c2", null], null]]));
    assert_eq!(redis.meta("c3").unwrap()["parent_id"], "c2");

    let chain = json!([step("t.add", "d2", &json!([10]))]);
    let errbacks = json!([step("draft_alert", "told", &json!([]))]);
    let embed = json!({"chain": chain, "errbacks": errbacks});
    redis.send("t.fail", "d1", json!(["chain head"]), json!({"embed": embed}));
    assert_eq!(redis.wait_state("d2", "FAILURE")["result"]["exc_message"][0], "chain head");
    assert_eq!(redis.wait_state("told", "SUCCESS")["result"][0], "d1");
    redis.wait_acknowledged();
}

#[test]
fn a_chord_runs_its_body_once_with_all_results_in_order_and_fails_with_a_part() {
    let Some(redis) = RedisServer::start() else { skip!("no redis-server") };
    let _workers = [Worker::start(&redis), Worker::start(&redis)];
    for (group, broken) in [("g1", false), ("g2", true)] {
        let mut body = step("t.sum", &format!("{group}-body"), &json!([]));
        body["options"]["group_id"] = group.into();
        redis.command(&["SET", &format!("celery-taskset-meta-{group}.s"), "20", "EX", "60"]);
        for index in 0..20 {
            let (task, args) = match broken && index == 7 {
                true => ("t.fail", json!(["in chord"])),
                false => ("t.add", json!([index, index])),
            };
            let headers = json!({"group": group, "group_index": index, "embed": {"chord": body}});
            redis.send(task, &format!("{group}-{index}"), args, headers);
        }
    }
    assert_eq!(redis.wait_state("g1-body", "SUCCESS")["result"], 380.0);
    let failed = redis.wait_state("g2-body", "FAILURE")["result"].clone();
    let wanted = "Dependency g2-7 raised ValueError('in chord')";
    assert_eq!(
        (&failed["exc_type"], &failed["exc_message"][0]),
        (&json!("ChordError"), &json!(wanted))
    );
    redis.wait_acknowledged();
}

#[test]
fn what_runs_may_end_and_what_waits_goes_back_when_the_worker_stops() {
    let Some(redis) = RedisServer::start() else { skip!("no redis-server") };
    let worker = Worker::start_with(&redis, |options| {
        options.concurrency = 1;
        options.patience = Duration::from_secs(2);
    });
    redis.call("t.slow", "runs", json!([0.5]));
    redis.call("t.slow", "waits", json!([0.5]));
    redis.call("t.slow", "waits too", json!([0.5]));
    wait_until(SOON, || redis.number(&["HLEN", "unacked"]) == 3, "all three are in hand");
    let done = worker.stop();
    assert_eq!(*done.lock(), ["runs"]);
    redis.wait_state("runs", "SUCCESS");
    redis.wait_acknowledged();
    let Reply::List(back) = redis.command(&["LRANGE", "ai_tasks", "0", "-1"]) else { panic!() };
    let ids: Vec<bool> = back
        .iter()
        .map(|message| match message {
            Reply::Text(text) => {
                assert!(text.contains("\"redelivered\":true"), "{text}");
                text.contains("\"id\":\"waits\"")
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ids, [false, true], "in the order in which they came: the right end is next");
}

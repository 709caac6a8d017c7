//! Tasks as others ask for them: over HTTP, by the command, and in a process of their own.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use bongsu::store::entity::task_run;
use bongsu::store::{Database, DatabaseOptions};
use sea_orm::EntityTrait;
use serde_json::{Value, json};

use crate::support::http::{Response, request};
use crate::support::skip::skip;
use crate::support::{Daemon, RedisServer, temp_dir, wait_until};

const A_MINUTE: Duration = Duration::from_secs(60);
const TOKENS: &str = "read:reader,operate:operator";

fn hurried() -> crate::support::daemon::Setup {
    Daemon::setup().args(["run", "--speed", "300", "--symbols", "005930,000660,373220,247540"])
}

fn post(address: SocketAddr, path: &str, token: Option<&str>, body: &Value) -> Response {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<(&str, &str)> =
        bearer.iter().map(|value| ("authorization", value.as_str())).collect();
    request(address, "POST", path, &headers, &body.to_string()).expect("an answer")
}

/// Asks for a task as an operator and waits for its end.
fn task(daemon: &Daemon, name: &str, kwargs: Value) -> Value {
    let path = format!("/v1/tasks/{name}?wait=20");
    let answer = post(daemon.address(), &path, Some("operator"), &kwargs);
    assert_eq!(answer.status, 200, "{name}: {}", answer.body);
    serde_json::from_str(&answer.body).expect("JSON")
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

fn sqlite(dir: &Path) -> String {
    format!("sqlite://{}?mode=rwc", dir.join("shared.db").display())
}

#[test]
fn a_task_is_asked_for_over_http_by_who_may() {
    let dir = temp_dir();
    let url = sqlite(dir.path());
    let mut daemon = hurried()
        .env("DATABASE_URL", &url)
        .env("BONGSU_API__TOKENS", TOKENS)
        .env("BONGSU_TASKS__DEBUG_PING__MAX_RETRIES", "2")
        .start();
    daemon.wait_ready(A_MINUTE);
    let ping = |token| post(daemon.address(), "/v1/tasks/debug_ping", token, &json!({}));
    for (token, status) in [(None, 401), (Some("wrong"), 401), (Some("reader"), 403)] {
        let refused = ping(token);
        assert_eq!(refused.status, status, "{token:?}: {}", refused.body);
        assert_eq!(refused.header("content-type"), Some("application/problem+json"));
        assert!(!refused.body.contains("operator"), "{}", refused.body);
    }
    assert_eq!(ping(None).header("www-authenticate"), Some("Bearer realm=\"bongsu\""));
    let accepted = ping(Some("operator"));
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    let href = accepted.header("location").expect("a place to look").to_owned();
    let done = || daemon.json(&href)["state"] == "SUCCESS";
    wait_until(A_MINUTE, done, "the ping's end");
    assert_eq!(daemon.json(&href)["result"], "pong");

    // The live score, as the route has it.
    let scored = || daemon.get("/v1/risk/005930").0 == 200;
    wait_until(A_MINUTE, scored, "a score");
    let risk = task(&daemon, "compute_risk", json!({"symbol": "005930"}));
    assert_eq!((&risk["state"], &risk["result"]["source"]), (&json!("SUCCESS"), &json!("live")));
    let picks = task(&daemon, "generate_recommendations", json!({"limit": 2}));
    assert_eq!(picks["state"], "SUCCESS", "{picks}");
    let id = picks["result"]["id"].as_str().expect("an id");
    assert_eq!(daemon.json(&format!("/v1/recommendations/{id}"))["id"], id);
    let missing = task(&daemon, "draft_alert", json!({"event_id": "none"}));
    assert_eq!(
        (&missing["state"], &missing["error"]["exc_type"]),
        (&json!("FAILURE"), &json!("LookupError"))
    );

    let wrong =
        post(daemon.address(), "/v1/tasks/compute_risk", Some("operator"), &json!({"symbol": 5}));
    assert!(wrong.status == 422 && wrong.body.contains("argument symbol is 5"), "{}", wrong.body);
    let nobody = post(daemon.address(), "/v1/tasks/nobody", Some("operator"), &json!({}));
    assert!(nobody.status == 404 && nobody.body.contains("compute_risk"), "{}", nobody.body);
    assert_eq!(daemon.get("/v1/tasks/no-such-call").0, 404);
    let listed = daemon.json("/v1/tasks");
    let specs = listed["tasks"].as_array().expect("a list");
    let ping = specs.iter().find(|spec| spec["name"] == "debug_ping").expect("debug_ping");
    assert_eq!(ping["max_retries"], 2, "as the settings say");
    daemon.wait_metric("bongsu_tasks_total{task=\"debug_ping\",state=\"success\"}", 1.0, A_MINUTE);

    // A token becomes a cookie.
    let bearer = [("authorization", "Bearer operator")];
    let session = request(daemon.address(), "POST", "/v1/session", &bearer, "").expect("an answer");
    let cookie = session
        .header("set-cookie")
        .expect("a cookie")
        .split(';')
        .next()
        .expect("a pair")
        .to_owned();
    let by_cookie = [("cookie", cookie.as_str())];
    let path = "/v1/tasks/debug_ping?wait=5";
    assert_eq!(
        request(daemon.address(), "POST", path, &by_cookie, "").expect("an answer").status,
        200
    );
    daemon.stop();
    let rows = runs(&url);
    let of = |name: &str| rows.iter().filter(|row| row.name == name).collect::<Vec<_>>();
    assert_eq!(of("debug_ping").len(), 2);
    let row = of("compute_risk")[0];
    assert_eq!(
        (row.state.as_str(), row.executions, row.origin.as_deref()),
        ("SUCCESS", Some(1), Some("http"))
    );
    assert!(
        row.args.contains("005930") && row.result.contains("score") && row.as_of.is_some(),
        "{row:?}"
    );
    assert!(of("draft_alert")[0].error.contains("LookupError"));
}

fn enqueue(dir: &Path, url: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bongsu"))
        .arg("enqueue")
        .args(arguments)
        .current_dir(dir)
        .env_clear()
        .env("HOME", dir)
        .env("DATABASE_URL", url)
        .envs(environment.iter().copied())
        .output()
        .expect("bongsu runs")
}

#[test]
fn the_command_asks_a_daemon_or_does_it_by_itself() {
    let dir = temp_dir();
    let url = sqlite(dir.path());
    let by_itself = enqueue(dir.path(), &url, &["debug_ping", "--wait"], &[]);
    let told =
        |output: &Output| serde_json::from_slice::<Value>(&output.stdout).expect("one object");
    assert_eq!(by_itself.status.code(), Some(0), "{by_itself:?}");
    assert_eq!(told(&by_itself)["result"], "pong");
    let failed =
        enqueue(dir.path(), &url, &["compute_risk", "--kwargs", r#"{"symbol": "005930"}"#], &[]);
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    assert_eq!(told(&failed)["error"]["exc_type"], "LookupError");
    for wrong in [&["nobody"][..], &["simulate_scenario"], &["debug_ping", "--kwargs", "[]"]] {
        let refused = enqueue(dir.path(), &url, wrong, &[]);
        assert_eq!(refused.status.code(), Some(2), "{wrong:?} {refused:?}");
    }
    let help = enqueue(dir.path(), &url, &["--help"], &[]);
    let help = String::from_utf8(help.stdout).expect("text");
    assert!(help.contains("plan_mitigation(symbol?, positions?, event_id?)"), "{help}");
    let states: Vec<_> =
        runs(&url).into_iter().map(|row| (row.name, row.state, row.origin)).collect();
    assert_eq!(states.len(), 2, "{states:?}");
    assert!(states.iter().all(|(_, _, origin)| origin.as_deref() == Some("cli")));

    let mut daemon = hurried().env("BONGSU_API__TOKENS", TOKENS).start();
    daemon.wait_ready(A_MINUTE);
    let address = daemon.address().to_string();
    let there = [("BONGSU_API__TOKENS", TOKENS), ("BONGSU_HTTP__LISTEN", address.as_str())];
    let asked = enqueue(dir.path(), &url, &["debug_ping", "--wait"], &there);
    assert_eq!(
        (asked.status.code(), &told(&asked)["state"]),
        (Some(0), &json!("SUCCESS")),
        "{asked:?}"
    );
    assert_eq!(runs(&url).len(), 2, "the daemon did it, in its own database");
    daemon.stop();
}

#[test]
fn roles_share_database_and_redis() {
    let Some(redis) = RedisServer::start() else { skip!("redis-server is not installed") };
    let dir = temp_dir();
    let url = sqlite(dir.path());
    let shared = |setup: crate::support::daemon::Setup| {
        setup
            .env("DATABASE_URL", &url)
            .env("REDIS_URL", redis.url())
            .env("BONGSU_API__TOKENS", TOKENS)
    };
    let mut ingest = shared(hurried()).args(["--roles", "ingest"]).start();
    ingest.wait_ready(A_MINUTE);
    let mut other = shared(Daemon::setup().args(["run", "--roles", "worker,api"])).start();
    other.wait_ready(A_MINUTE);
    // One process answers probes alone; the other has no pipeline and shows what the first one makes.
    assert_eq!((ingest.get("/v1/risk").0, ingest.get("/metrics").0), (404, 200));
    let seen = || {
        other.json("/v1/risk")["total"].as_u64() >= Some(4)
            && other.json("/v1/events?type=crash")["count"].as_u64() > Some(0)
            && other.get("/v1/reports/latest").0 == 200
    };
    wait_until(A_MINUTE, seen, "scores, a crash and a report of the other process");
    let risk = task(
        &other,
        "compute_risk",
        json!({"symbol": "005930", "as_of": "2100-01-01T00:00:00+09:00"}),
    );
    // The day that is played lies more than a week before that moment, and there are no daily bars.
    assert_eq!(risk["error"]["exc_type"], "LookupError", "{risk}");
    let risk = task(&other, "compute_risk", json!({"symbol": "005930"}));
    assert_eq!(
        (&risk["state"], &risk["result"]["symbol"]),
        (&json!("SUCCESS"), &json!("005930")),
        "{risk}"
    );
    let event = other.json("/v1/events?type=crash")["events"][0]["event"]["id"].clone();
    let alert = task(&other, "draft_alert", json!({"event_id": event}));
    assert_eq!(
        (&alert["state"], &alert["result"]["event_id"]),
        (&json!("SUCCESS"), &event),
        "{alert}"
    );
    assert!(!other.dir().join("var/lock").exists() && !other.dir().join("var/journal").exists());
    // It goes on without the first one.
    ingest.stop();
    assert_eq!(task(&other, "debug_ping", json!({}))["result"], "pong");
    other.stop();
    let rows = runs(&url);
    assert!(rows.iter().any(|row| row.name == "draft_alert" && row.state == "SUCCESS"), "{rows:?}");
    let mut beat = shared(Daemon::setup().args(["run", "--roles", "beat"])).start();
    beat.wait_ready(A_MINUTE);
    beat.stop();
}

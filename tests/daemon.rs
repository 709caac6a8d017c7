//! The daemon as a stranger meets it: an empty folder, no service, no settings.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bongsu::store::Table;

use crate::support::sse::SseStream;
use crate::support::stored::stored;
use crate::support::{Daemon, temp_dir, wait_until};

/// From the start of the process to everything there is to see.
const A_MINUTE: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(20);

/// Every metric that outsiders rely on.
const METRICS: &[&str] = &[
    "bongsu_frames_total",
    "bongsu_ticks_total",
    "bongsu_rejects_total",
    "bongsu_events_total",
    "bongsu_tick_to_publish_seconds",
    "bongsu_stage_seconds",
    "bongsu_actor_up",
    "bongsu_actor_restarts_total",
    "bongsu_mailbox_depth",
    "bongsu_journal_bytes_total",
    "bongsu_journal_lag_frames",
    "bongsu_store_rows_total",
    "bongsu_dependency_up",
    "bongsu_queue_length",
    "bongsu_tasks_total",
    "bongsu_task_seconds",
    "bongsu_job_last_success_timestamp_seconds",
    "bongsu_llm_requests_total",
    "bongsu_llm_seconds",
    "bongsu_llm_tokens_total",
    "bongsu_llm_valid_ratio",
    "bongsu_recommendation_hit_ratio",
    "bongsu_risk_overestimate_ratio",
    "bongsu_risk_underestimate_ratio",
    "bongsu_kis_requests_total",
    "bongsu_kis_budget_remaining",
];

/// Tables that a market day with a crash leaves rows in.
const TABLES: [Table; 8] = [
    Table::MarketPrices,
    Table::TradeLogs,
    Table::RiskScores,
    Table::ThreatEvents,
    Table::Recommendations,
    Table::RecommendationItems,
    Table::MitigationPlans,
    Table::Reports,
];

fn array<'a>(value: &'a serde_json::Value, name: &str) -> &'a [serde_json::Value] {
    value[name].as_array().unwrap_or_else(|| panic!("no list {name} in {value}"))
}

fn codes(rows: &[serde_json::Value]) -> BTreeSet<String> {
    rows.iter().map(|row| row["symbol"].as_str().expect("a code").to_owned()).collect()
}

/// Whether crashes, plans, picks and a report are there.
fn all_is_there(daemon: &Daemon) -> bool {
    let count = |path: &str| daemon.json(path)["count"].as_u64().expect("a count");
    count("/v1/events?type=crash") > 0
        && count("/v1/mitigations") > 0
        && count("/v1/recommendations") > 0
        && daemon.get("/v1/reports/latest").0 == 200
}

/// A daemon over a few issues of the built-in market, faster than it would run by itself.
fn hurried() -> crate::support::daemon::Setup {
    Daemon::setup()
        .args(["run", "--speed", "300"])
        .args(["--symbols", "005930,000660,373220,247540,086520,277810"])
}

/// Nothing but `bongsu run`, at its own pace.
#[test]
fn a_stranger_sees_it_all_within_a_minute() {
    let dir = temp_dir();
    let start = Instant::now();
    let mut daemon = Daemon::setup().args(["run"]).dir(dir.path()).start();
    daemon.wait_ready(A_MINUTE);
    let left = A_MINUTE.saturating_sub(start.elapsed());
    wait_until(left, || all_is_there(&daemon), "crash, plan, picks and report");
    let took = start.elapsed();
    assert!(took <= A_MINUTE, "{took:?}");

    let symbols = daemon.json("/v1/symbols");
    let issues: Vec<_> =
        array(&symbols, "symbols").iter().filter(|row| row["kind"] == "issue").cloned().collect();
    assert!(issues.len() >= 30, "{symbols}");
    let risk = daemon.json("/v1/risk");
    let scores = array(&risk, "scores");
    assert_eq!(codes(&issues), codes(scores), "every issue has a score");
    for row in scores {
        let score = row["score"].as_f64().expect("a number");
        assert!((0.0..=100.0).contains(&score), "{row}");
        assert!(row["price"].as_i64().is_some_and(|price| price > 0), "{row}");
    }

    // What is stored, with an indicator over it.
    let minutes = || daemon.json("/v1/prices/005930?interval=1m&indicators=atr1");
    let told = || minutes()["bars"][0]["atr1"].is_number();
    wait_until(SOON, told, "a stored minute with its range");

    let events = daemon.json("/v1/events?type=crash");
    for published in array(&events, "events") {
        let event = &published["event"];
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["type"], "io.bongsu.crash.v1");
        let change = event["data"]["change_pct"].as_f64().expect("a number");
        assert!(change < 0.0, "a crash is a fall: {event}");
    }
    let sets = daemon.json("/v1/recommendations");
    for set in array(&sets, "recommendations") {
        let note = set["note"].as_str().is_some_and(|note| !note.is_empty());
        assert!(!array(set, "picks").is_empty() || note, "neither picks nor a note: {set}");
    }
    let plans = daemon.json("/v1/mitigations");
    assert!(array(&plans, "mitigations").iter().all(|plan| !array(plan, "options").is_empty()));
    let report = daemon.json("/v1/reports/latest");
    assert!(report["body"].as_str().is_some_and(|body| body.len() > 20), "{report}");

    assert_eq!(daemon.json("/healthz")["status"], "ok");
    let (status, ready) = daemon.get("/readyz");
    assert_eq!((status, ready.lines().next()), (200, Some("ready")), "{ready}");
    let exposition = daemon.get("/metrics").1;
    for name in METRICS {
        assert!(exposition.contains(&format!("# TYPE {name} ")), "{name} is not declared");
        let has_sample = exposition.lines().any(|line| line.starts_with(name));
        assert!(has_sample, "{name} has no sample");
    }
    let metrics = daemon.metrics();
    for series in [
        r#"bongsu_frames_total{feed="H0STCNT0"}"#,
        r#"bongsu_ticks_total{kind="trade"}"#,
        r#"bongsu_ticks_total{kind="index"}"#,
        r#"bongsu_store_rows_total{table="trade_logs"}"#,
        r#"bongsu_actor_up{actor="risk_scorer"}"#,
        "bongsu_journal_bytes_total",
    ] {
        assert!(metrics[series] > 0.0, "{series}");
    }
    let bad = |(series, value): &(&String, &f64)| {
        (series.starts_with("bongsu_rejects_total") || series.contains("restarts_total"))
            && **value > 0.0
    };
    assert_eq!(metrics.iter().find(bad), None);

    daemon.stop_by("INT");
    let stored = stored(dir.path());
    for table in TABLES {
        assert!(stored.counts.get(table) > 0, "no rows in {}: {:?}", table.as_str(), stored.counts);
    }
    assert_eq!(stored.failures, []);
}

#[test]
fn one_daemon_a_folder_and_a_second_start_goes_on() {
    let dir = temp_dir();
    let mut daemon = hurried().dir(dir.path()).start();
    daemon.wait_ready(SOON);

    let mut second = hurried().dir(dir.path()).env("BONGSU_LOG__LEVEL", "error").start();
    assert_eq!(second.wait_exit(SOON).code(), Some(1));
    // Both write into the folder's log; only the second ends with this.
    let log = second.process().log();
    let said = format!(
        "data_dir {} is in use by another bongsu process",
        dir.path().join("var").display()
    );
    assert_eq!(log.matches(&said).count(), 1, "{log}");
    assert_eq!(daemon.get("/readyz").0, 200, "the first is not disturbed");

    wait_until(A_MINUTE, || all_is_there(&daemon), "crash, plan, picks and report");
    let first_crash = daemon.json("/v1/events?type=crash&limit=1000")["events"][0]["event"].clone();
    daemon.stop_by("INT");
    let before = stored(dir.path()).counts;

    daemon.restart();
    daemon.wait_ready(SOON);
    wait_until(A_MINUTE, || all_is_there(&daemon), "all of it after the second start");
    let again = daemon.json("/v1/events?type=crash&limit=1000")["events"][0]["event"].clone();
    assert_eq!(again["id"], first_crash["id"], "the same cause has the same id");
    daemon.stop();
    let after = stored(dir.path()).counts;
    for table in TABLES {
        let (before, after) = (before.get(table), after.get(table));
        assert!(before > 0 && after > 0, "{}: {before} rows, then {after}", table.as_str());
    }
}

#[test]
fn the_event_stream_goes_on_where_a_reader_stopped() {
    let mut daemon = hurried().start();
    daemon.wait_ready(SOON);
    let path = "/v1/events/stream?type=crash,threat";
    let mut stream = SseStream::open(daemon.address(), path, None);
    let seen: Vec<_> = (0..4).map(|_| stream.next()).collect();
    drop(stream);
    for event in &seen {
        let body: serde_json::Value = serde_json::from_str(&event.data).expect("a CloudEvent");
        assert_eq!(body["id"], event.id.as_str());
        assert_eq!(body["type"], format!("io.bongsu.{}.v1", event.event));
    }
    let ids: BTreeSet<&str> = seen.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids.len(), seen.len(), "{seen:?}");

    let mut resumed = SseStream::open(daemon.address(), path, Some(&seen[0].id));
    for event in &seen[1..] {
        assert_eq!(&resumed.next(), event);
    }
    let mut unknown = SseStream::open(daemon.address(), path, Some("no-such-id"));
    assert_eq!(unknown.next().event, "gap");
    assert_eq!(unknown.next(), seen[0], "all that is kept follows");
    // An open stream does not hold up the end.
    daemon.stop_by("INT");
}

#[test]
fn a_stop_that_comes_while_it_starts_is_a_stop_in_good_order() {
    let mut daemon = Daemon::setup().args(["run"]).start();
    let begun = || !daemon.process().log().is_empty();
    wait_until(Duration::from_secs(60), begun, "the first line of the log");
    daemon.stop();
    assert!(daemon.process().log().contains("bongsu has stopped"));
}

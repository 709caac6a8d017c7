use sea_orm::ActiveValue::{NotSet, Set};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::market::{EventTime, SessionDay, TimeOfDay};
use crate::messages::schema::assert_fits;
use crate::store::entity::{market_price, risk_score, threat_event};
use crate::store::models::ModelRegistry;
use crate::store::upsert::upsert;
use crate::store::{DatabaseOptions, LocalObjects};
use crate::tasks::{Outcome, Runner, RunnerOptions, TaskCall};

const DAY: u32 = 20_240_805;

fn time(day: SessionDay, hour: u32) -> EventTime {
    EventTime::from_kst(day, TimeOfDay::from_hms(hour, 0, 0).unwrap())
}

fn day() -> SessionDay {
    SessionDay::from_yyyymmdd(DAY).unwrap()
}

fn bar(symbol: &str, start: SessionDay, close: i64) -> market_price::ActiveModel {
    market_price::ActiveModel {
        id: NotSet,
        symbol: Set(symbol.to_owned()),
        interval: Set("1d".to_owned()),
        ts: Set(time(start, 9)),
        open: Set(close),
        high: Set(close + 500),
        low: Set(close - 500),
        close: Set(close),
        volume: Set(1_000_000),
        amount: Set(close * 1_000_000),
        source: Set("kis".to_owned()),
        is_final: Set(true),
    }
}

/// A world with 90 daily bars of three issues, a score of one and an event of another.
async fn world(folder: &std::path::Path) -> TaskWorld {
    let url = format!("sqlite://{}/test.db?mode=rwc", folder.display());
    let database = Database::connect(&url, &DatabaseOptions::default()).await.unwrap();
    database.migrate().await.unwrap();
    let mut bars = Vec::new();
    for (at, symbol) in ["005930", "000660", "035420"].into_iter().enumerate() {
        let sessions = (1..=120).map(|back| SessionDay::from_epoch_days(day().epoch_days() - back));
        for (n, start) in sessions.filter(|day| !day.is_weekend()).enumerate() {
            let swing = [0, 900, -600, 300][n % 4] * (at as i64 + 1);
            bars.push(bar(symbol, start, 70_000 + swing - 10 * n as i64));
        }
    }
    upsert(database.connection(), bars).await.unwrap();
    let score = risk_score::ActiveModel {
        id: NotSet,
        symbol: Set("005930".to_owned()),
        ts: Set(time(day(), 10)),
        event_time: Set(time(day(), 10)),
        score: Set(88.5),
        part_volatility: Set(4.0),
        part_drawdown: Set(3.0),
        part_liquidity: Set(0.1),
        part_volume: Set(0.5),
        price: Set(68_000),
        change_pct: Set(-4.5),
        over_gap: Set(false),
        model: Set(String::new()),
    };
    upsert(database.connection(), [score]).await.unwrap();
    let event = threat_event::ActiveModel {
        id: Set("e1".to_owned()),
        kind: Set("crash".to_owned()),
        rule: Set("symbol_crash".to_owned()),
        level: Set("critical".to_owned()),
        symbol: Set(Some("000660".to_owned())),
        name: Set("SK하이닉스".to_owned()),
        price: Set(66_000),
        reference_price: Set(70_000),
        change_pct: Set(-5.7),
        window_s: Set(300),
        score: Set(97.0),
        event_time: Set(time(day(), 10)),
        journal_segment: Set(0),
        journal_offset: Set(0),
        evidence: Set("{\"fall_pct\": 5.7}".to_owned()),
        published_at: Set(None),
    };
    upsert(database.connection(), [event]).await.unwrap();
    let objects = Objects::Local(LocalObjects::new(folder.join("objects")));
    let models = ModelJobParts {
        registry: ModelRegistry::new(objects.clone()),
        database: database.clone(),
        board: Default::default(),
        effort: crate::actors::modelling::Effort::Background,
        dry_run: false,
    };
    TaskWorld {
        database: Some(database),
        objects: Some(objects),
        models: Some(Arc::new(models)),
        scratch: folder.join("tmp"),
        ..TaskWorld::nothing()
    }
}

struct Bench {
    runner: Runner,
    world: TaskWorld,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let world = world(folder.path()).await;
        let options =
            RunnerOptions { clock: Arc::new(|| time(day(), 11)), ..RunnerOptions::new("test") };
        let runner = Runner::new(registry(&world).unwrap(), options);
        Self { runner, world, _folder: folder }
    }

    async fn run(&self, name: &str, kwargs: Value) -> Outcome {
        self.call(TaskCall::new(name), kwargs).await
    }

    async fn call(&self, call: TaskCall, kwargs: Value) -> Outcome {
        let Value::Object(kwargs) = kwargs else { panic!("{kwargs}") };
        self.runner.run(call.kwargs(kwargs), CancellationToken::new()).await
    }

    /// The result, which fits its schema.
    async fn done(&self, name: &str, kwargs: Value) -> Value {
        match self.run(name, kwargs).await {
            Outcome::Success(value) => {
                assert_fits(&format!("tasks/{name}"), &value);
                value
            }
            other => panic!("{name}: {other:?}"),
        }
    }

    async fn failed(&self, name: &str, kwargs: Value) -> (String, String) {
        match self.run(name, kwargs).await {
            Outcome::Failure(failure) => (failure.exc_type.clone(), failure.message()),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_score_is_the_stored_one_or_that_of_the_bars_and_never_one_of_later() {
    let bench = Bench::new().await;
    let row = bench.done("compute_risk", json!({"symbol": "005930"})).await;
    assert_eq!((row["score"].as_f64(), row["source"].as_str()), (Some(88.5), Some("stored")));
    assert!(row["daily_volatility_pct"].as_f64().unwrap() > 0.1, "{row}");
    // Before the stored score there are the bars alone.
    let before = time(day(), 9).rfc3339();
    let row = bench.done("compute_risk", json!({"symbol": "005930", "as_of": before})).await;
    assert_eq!((row["source"].as_str(), row["as_of"].as_str()), (Some("bars"), Some(&*before)));
    let many = bench.done("compute_risk", json!({"symbols": ["000660", "999999", "005930"]})).await;
    assert_eq!((many["count"].as_u64(), &many["missing"]), (Some(2), &json!(["999999"])));
    assert_eq!(many["scores"][0]["name"], "SK하이닉스", "as its event has it");
    let (kind, told) = bench.failed("compute_risk", json!({"symbol": "999999"})).await;
    assert!(kind == "LookupError" && told.contains("nothing is known of 999999"), "{kind}: {told}");
    for wrong in [json!({}), json!({"symbol": "005930", "symbols": []}), json!({"symbol": 5})] {
        assert_eq!(bench.failed("compute_risk", wrong).await.0, "TypeError");
    }
    let (kind, told) = bench.failed("compute_risk", json!({"symbol": "???"})).await;
    assert!(kind == "ValueError" && told.contains("argument symbol is \"???\""), "{told}");
    assert_eq!(bench.failed("compute_risk", json!({"symbols": []})).await.0, "ValueError");
    // The world of a call is the world of its moment.
    let past = TaskCall::new("compute_risk").as_of(Some(time(day(), 9)));
    let outcome = bench.call(past, json!({"symbol": "005930"})).await;
    assert!(matches!(&outcome, Outcome::Success(row) if row["source"] == "bars"), "{outcome:?}");
}

#[tokio::test]
async fn advice_is_made_kept_and_handed_on() {
    let bench = Bench::new().await;
    let scenario = json!({"max_score": 100.0, "max_spread_pct": 100.0, "max_market_share": 1.0, "min_value": -1000.0, "max_correlation": 1.0});
    let asked = json!({"scenario": scenario, "limit": 2});
    let set = bench.done("generate_recommendations", asked.clone()).await;
    assert_eq!((&set["universe"], &set["eligible"]), (&json!(3), &json!(3)), "{set}");
    assert_eq!(bench.world.outlet.board.recommendations(9).len(), 1);
    let id = set["id"].clone();
    let report = bench.done("summarize_recommendation", json!({"recommendation_id": id})).await;
    assert_eq!(report["kind"], "recommendation");
    // As the next step of a chain.
    let chained = TaskCall::new("summarize_recommendation").args(vec![set]);
    let outcome = bench.call(chained, json!({})).await;
    let Outcome::Success(again) = outcome else { panic!("{outcome:?}") };
    assert_eq!(again["body"], report["body"]);
    bench.done("summarize_recommendation", json!({"recommendation": {"symbol": "005930"}})).await;
    // A past world leaves no trace.
    let past = TaskCall::new("generate_recommendations").as_of(Some(time(day(), 9)));
    assert!(matches!(bench.call(past, asked).await, Outcome::Success(_)));
    assert_eq!(bench.world.outlet.board.recommendations(9).len(), 1);
    for (name, wrong, kind) in [
        ("generate_recommendations", json!({"scenario": {"max_pick": 3}}), "ValueError"),
        ("generate_recommendations", json!({"scenario": 3}), "ValueError"),
        ("generate_recommendations", json!({"limit": 0}), "ValueError"),
        ("generate_recommendations", json!({"symbol": "999999"}), "LookupError"),
        ("summarize_recommendation", json!({"recommendation_id": "none"}), "LookupError"),
        ("summarize_recommendation", json!({"recommendation_id": 3}), "TypeError"),
    ] {
        let (found, told) = bench.failed(name, wrong.clone()).await;
        assert_eq!(found, kind, "{name} {wrong}: {told}");
    }
}

#[tokio::test]
async fn plans_and_alerts_answer_an_event_or_an_issue() {
    let bench = Bench::new().await;
    let plan = bench.done("plan_mitigation", json!({"event_id": "e1"})).await;
    assert_eq!((&plan["subject"], &plan["event_id"]), (&json!("000660"), &json!("e1")));
    assert_eq!(plan["assumed_position"], true);
    let own = json!({"positions": [{"symbol": "005930", "quantity": 10}]});
    let plan = bench.done("plan_mitigation", own).await;
    assert_eq!(
        (plan["position_value"].as_i64(), &plan["assumed_position"]),
        (Some(680_000), &json!(false))
    );
    let both = json!({"positions": [{"symbol": "005930", "value": 1_000_000}, {"symbol": "035420", "quantity": 3}]});
    let plan = bench.done("plan_mitigation", both).await;
    assert_eq!(plan["subject"], "portfolio");
    for (wrong, kind) in [
        (json!({}), "TypeError"),
        (json!({"positions": []}), "ValueError"),
        (json!({"positions": [{"symbol": "005930"}]}), "ValueError"),
        (json!({"positions": [{"symbol": "005930", "quantity": -1}]}), "ValueError"),
        (
            json!({"positions": [{"symbol": "005930", "quantity": 1}, {"symbol": "005930", "quantity": 1}]}),
            "ValueError",
        ),
        (json!({"symbol": "005930", "positions": []}), "TypeError"),
        (json!({"event_id": "none"}), "LookupError"),
    ] {
        assert_eq!(bench.failed("plan_mitigation", wrong.clone()).await.0, kind, "{wrong}");
    }
    let alert = bench.done("draft_alert", json!({"event_id": "e1"})).await;
    assert_eq!((&alert["level"], &alert["kind"]), (&json!("critical"), &json!("crash_alert")));
    let softer = bench.done("draft_alert", json!({"event_id": "e1", "level": "watch"})).await;
    assert_ne!(softer["event_id"], alert["event_id"]);
    let issue = bench.done("draft_alert", json!({"symbol": "005930"})).await;
    assert_eq!((&issue["level"], &issue["symbol"]), (&json!("warning"), &json!("005930")));
    // What another task answered, as the first positional.
    for before in [
        json!({"specversion": "1.0", "id": "e1", "data": {}}),
        json!({"symbol": "000660", "score": 97.0}),
        json!({"subject": "000660", "options": []}),
        json!({"picks": [{"symbol": "000660"}]}),
        json!({"count": 1, "scores": [{"symbol": "000660"}]}),
    ] {
        let chained = TaskCall::new("draft_alert").args(vec![before.clone()]);
        let outcome = bench.call(chained, json!({})).await;
        let Outcome::Success(alert) = outcome else { panic!("{before}: {outcome:?}") };
        assert_eq!(alert["event_id"], "e1", "{before}");
    }
    // An answer that names nothing: the alert is on what is newest, and says so.
    for before in [json!("pong"), json!(["pong", "pong"]), json!(3), json!({"count": 0})] {
        let chained = TaskCall::new("draft_alert").args(vec![before.clone()]);
        let outcome = bench.call(chained, json!({})).await;
        let Outcome::Success(alert) = outcome else { panic!("{before}: {outcome:?}") };
        assert_eq!((&alert["event_id"], &alert["chosen"]), (&json!("e1"), &json!("newest_event")));
    }
    let unknown =
        TaskCall::new("draft_alert").args(vec![json!("0123456789abcdef0123456789abcdef")]);
    let outcome = bench.call(unknown, json!({})).await;
    assert!(matches!(outcome, Outcome::Failure(_)), "an event's id is no answer to look past");
    let high = bench.done("draft_alert", json!({"symbol": "005930", "level": "high"})).await;
    assert_eq!(high["level"], "critical");
    for (wrong, kind) in [
        (json!({}), "TypeError"),
        (json!({"event_id": "none"}), "LookupError"),
        (json!({"event_id": 1}), "TypeError"),
        (json!({"event_id": {"a": 1}}), "ValueError"),
        (json!({"symbol": "005930", "level": "red"}), "ValueError"),
    ] {
        assert_eq!(bench.failed("draft_alert", wrong.clone()).await.0, kind, "{wrong}");
    }
}

#[tokio::test]
async fn reports_and_the_week() {
    let bench = Bench::new().await;
    let daily = bench.done("generate_report", json!({"kind": "daily"})).await;
    assert_eq!(daily["kind"], "market_risk");
    assert_eq!(
        bench.done("generate_report", json!({"kind": "alert"})).await["kind"],
        "crash_alert"
    );
    assert_eq!(
        bench.failed("generate_report", json!({"kind": "mitigation"})).await.0,
        "LookupError"
    );
    bench.done("plan_mitigation", json!({"symbol": "005930"})).await;
    bench.done("generate_report", json!({"kind": "mitigation"})).await;
    assert_eq!(bench.failed("generate_report", json!({"kind": "poem"})).await.0, "ValueError");
    assert_eq!(bench.failed("generate_report", json!({})).await.0, "TypeError");
    let week = bench.done("weekly_review", json!({})).await;
    assert_eq!(week["events"], json!({"crash": {"critical": 1}}));
    assert_eq!(week["report"]["kind"], "weekly_review");
}

#[tokio::test]
async fn models_that_have_too_little_are_skipped_and_the_snapshot_can_be_opened() {
    let bench = Bench::new().await;
    let skipped = bench.done("retrain_model", json!({})).await;
    assert_eq!(skipped["status"], "skipped");
    assert_eq!(bench.done("evaluate_models", json!({})).await["status"], "skipped");
    let snapshot = bench.done("snapshot_backup", json!({})).await;
    let objects = bench.world.objects.clone().unwrap();
    let key = snapshot["objects"][0].as_str().unwrap().parse().unwrap();
    let packed = objects.get(crate::store::Bucket::Backups, &key, None).await.unwrap().bytes;
    assert_eq!(packed.len() as u64, snapshot["stored_bytes"].as_u64().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let copy = zstd::stream::decode_all(&packed[..]).unwrap();
    std::fs::write(folder.path().join("copy.db"), copy).unwrap();
    let url = format!("sqlite://{}/copy.db", folder.path().display());
    let opened = Database::connect(&url, &DatabaseOptions::default()).await.unwrap();
    let event = crate::store::past::event(&opened, "e1").await.unwrap();
    assert_eq!(event.unwrap().name, "SK하이닉스");
    let left = std::fs::read_dir(bench.world.scratch.join("snapshot")).unwrap().count();
    assert_eq!(left, 0, "the copy is gone");
}

#[tokio::test]
async fn what_a_process_lacks_is_said() {
    let runner = Runner::new(empty_registry(), RunnerOptions::new("test"));
    for (name, kwargs, told) in [
        ("compute_risk", json!({"symbol": "005930"}), "dry run"),
        ("snapshot_backup", json!({}), "dry run"),
        ("retrain_model", json!({}), "dry run"),
        ("simulate_scenario", json!({"scenario": {}}), "daily bars"),
        ("collect_market_prices", json!({}), "nothing to ask"),
    ] {
        let Value::Object(kwargs) = kwargs else { unreachable!() };
        let call = TaskCall::new(name).kwargs(kwargs);
        let outcome = runner.run(call, CancellationToken::new()).await;
        let Outcome::Failure(failure) = outcome else { panic!("{name}: {outcome:?}") };
        assert!(failure.message().contains(told), "{name}: {failure}");
    }
}

#[test]
fn every_task_has_help_for_all_it_takes() {
    let specs = catalogue();
    let names: Vec<&str> = specs.iter().map(|spec| spec.name).collect();
    let counted = crate::telemetry::families::TASKS;
    assert!(names.iter().all(|name| counted.contains(name)), "{names:?} {counted:?}");
    for spec in &specs {
        assert!(!spec.help.is_empty() && spec.soft_limit <= spec.hard_limit, "{}", spec.name);
        assert!(spec.parameters.iter().all(|one| !one.help.is_empty()), "{}", spec.name);
        let schema = format!("docs/schemas/tasks/{}.schema.json", spec.name);
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(schema);
        assert!(path.is_file(), "{}", path.display());
    }
    let all = json!({ "tasks": specs });
    assert_fits("tasks", &all);
}

//! What reports are made of, read from SQLite and from MariaDB alike, and the columns that were added
//! to tables that had rows already.

use std::sync::Arc;

use bongsu::market::EventTime;
use bongsu::messages::StoreBatch;
use bongsu::messages::advice::{LlmOutcome, LlmUsage, Report, ReportOrigin, Rung};
use bongsu::store::{Database, DatabaseOptions, read, report_data};
use sea_orm::ConnectionTrait;

use super::suite::{at, code, event, minute, set, writer};
use crate::support::mariadb::MariaDb;
use crate::support::skip;

/// Columns that `m0006_reports` adds.
const ADDED: [(&str, &str); 6] = [
    ("reports", "subject"),
    ("reports", "rung"),
    ("llm_usage", "report_id"),
    ("llm_usage", "prompt_version"),
    ("llm_usage", "detail"),
    ("llm_usage", "cost_micros"),
];

fn report(id: &str, subject: &str, rung: Rung, second: i64) -> Arc<Report> {
    let by_model = matches!(rung, Rung::Model | Rung::Cached | Rung::Repaired);
    Arc::new(Report {
        id: id.to_owned(),
        kind: "market_risk".to_owned(),
        subject: subject.to_owned(),
        title: "시장 위험 보고서 🔥".to_owned(),
        body: format!("({id})\n\n본문 '따옴표' \\ 역빗금"),
        as_of: at(second),
        origin: if by_model { ReportOrigin::Model } else { ReportOrigin::Template },
        rung,
        fallback_reason: String::new(),
        retry_in_s: None,
        model: "m".to_owned(),
        sources: vec!["a".to_owned()],
    })
}

fn usage(id: &str, outcome: LlmOutcome, tokens: u32, cost_micros: i64) -> LlmUsage {
    LlmUsage {
        id: id.to_owned(),
        report_id: "r".to_owned(),
        task: "generate_report".to_owned(),
        model: "m".to_owned(),
        prompt_version: "market_risk/2-abc".to_owned(),
        prompt_tokens: tokens,
        completion_tokens: 10,
        latency_ms: 1_500,
        outcome,
        detail: "number".to_owned(),
        cost_micros,
    }
}

async fn run(db: &Database, sql: &str) {
    db.connection().execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// A database of before the migration, with rows; it gets its columns and the rows their values.
async fn columns_are_added_to_rows(db: &Database) {
    db.migrate().await.unwrap();
    for (table, column) in ADDED {
        run(db, &format!("ALTER TABLE {table} DROP COLUMN {column}")).await;
    }
    run(db, "DELETE FROM seaql_migrations WHERE version = 'm0006_reports'").await;
    run(
        db,
        "INSERT INTO reports (id, kind, title, body, as_of, origin, fallback_reason, model, sources, created_at) \
         VALUES ('old', 'market_risk', '제목', '본문', '2024-08-05 00:00:00', 'model', '', 'm', '[]', '2024-08-05 00:00:00')",
    )
    .await;
    db.migrate().await.unwrap();
    db.migrate().await.unwrap();
    let old = read::report(db, read::Pointer::Id("old")).await.unwrap().expect("the old row");
    assert_eq!((old.rung, old.subject.as_str(), old.title.as_str()), (Rung::Template, "", "제목"));
    // Nobody knows whether the model wrote it, so it stands in for nothing.
    let found = read::newest_of_model(db, "market_risk", "", EventTime::default()).await.unwrap();
    assert_eq!(found, None);
    run(db, "DELETE FROM reports").await;
}

/// Everything that a report reads, in words: the same on every database.
async fn what_is_read(db: &Database) -> String {
    let mut writer = writer();
    let mut later = minute(70.5);
    later.minute = at(60);
    (later.point.time, later.point.price) = (at(90), 70_500);
    let rows = [
        StoreBatch::Scores(vec![minute(50.0), later]),
        StoreBatch::Events(vec![event()]),
        StoreBatch::Recommendation(Arc::new(set())),
        StoreBatch::Report(report("first", "market", Rung::Model, 10)),
        StoreBatch::Report(report("template", "market", Rung::Template, 30)),
        StoreBatch::Report(report("again", "market", Rung::Stored, 40)),
        StoreBatch::Report(report("other", "MARKET", Rung::Model, 50)),
        StoreBatch::LlmUsage(vec![
            usage("1", LlmOutcome::Ok, u32::MAX, 3_000_000_000),
            usage("2", LlmOutcome::Ok, u32::MAX, 3_000_000_000),
            usage("3", LlmOutcome::Invalid, 7, 0),
        ]),
    ];
    for batch in rows {
        assert!(writer.push(batch).is_ok());
    }
    writer.flush(db).await.unwrap();
    let (from, to) = (at(-60), at(3_600));
    let ever = (EventTime::default(), at(1_000_000_000));
    let newest = read::newest_of_model(db, "market_risk", "market", from).await.unwrap();
    let (newest, written_at) = newest.expect("the model wrote one");
    assert_eq!(newest, Report::clone(&report("first", "market", Rung::Model, 10)));
    assert!(written_at > at(0), "{written_at:?}");
    // By the wall clock of the row, not by what it is about.
    let after = written_at.plus_micros(1);
    assert_eq!(read::newest_of_model(db, "market_risk", "market", after).await.unwrap(), None);
    assert_eq!(read::newest_of_model(db, "weekly_review", "market", from).await.unwrap(), None);

    let account = report_data::llm_account(db, ever.0, ever.1).await.unwrap();
    let sum = 2 * (i64::from(u32::MAX) + 10);
    let expected = [("invalid".to_owned(), 1, 17, 0), ("ok".to_owned(), 2, sum, 6_000_000_000)];
    assert_eq!(account, expected);
    let ends = report_data::ends(db, "005930", from, to).await.unwrap();
    assert_eq!(ends, Some((71_000, 70_500, at(90))));
    let gravest = report_data::gravest_events(db, from, to, 5).await.unwrap();
    assert_eq!(gravest.len(), 1);
    assert_eq!(gravest[0].id, event().id);
    assert_eq!(report_data::latest_score(db, from, to).await.unwrap(), Some(at(90)));
    format!(
        "{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}",
        report_data::issue_path(db, code("005930"), from, to).await.unwrap(),
        report_data::market_path(db, from, to).await.unwrap(),
        report_data::closes(db, "005930", "1m", from, to).await.unwrap(),
        report_data::event_counts(db, from, to).await.unwrap(),
        report_data::riskiest(db, from, to, 5).await.unwrap(),
        report_data::picks(db, from, to, 5).await.unwrap(),
    )
}

async fn both(db: &Database) -> String {
    columns_are_added_to_rows(db).await;
    what_is_read(db).await
}

#[tokio::test]
async fn reports_read_the_same_from_mariadb() {
    let folder = tempfile::tempdir().unwrap();
    let on_sqlite = both(&super::sqlite(&folder, "reports.db").await).await;
    println!("{on_sqlite}");
    assert!(on_sqlite.contains("(\"000660\", 180000)"), "{on_sqlite}");
    let Some(server) = MariaDb::start() else { skip!("no mariadb-server") };
    let db = Database::connect(&server.url(), &DatabaseOptions::default()).await.unwrap();
    assert_eq!(both(&db).await, on_sqlite);
}

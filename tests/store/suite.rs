//! What must hold on every database.

use std::sync::Arc;

use bongsu::market::bars::Interval;
use bongsu::market::{
    Directory, EventTime, RecordRef, Side, Symbol, SymbolId, TickBatch, Trade, TradeFlags,
};
use bongsu::messages::advice::{
    Basis, MitigationPlan, Pick, PlanOption, RecommendationSet, Report, ReportOrigin, Rung,
};
use bongsu::messages::{
    Cause, Detection, Level, OutwardEvent, Reject, RiskMinute, RiskPoint, Rule, ScoreParts,
    StoreBatch,
};
use bongsu::model::ranker::{Evidence, Interval as MeanInterval};
use bongsu::store::read::{self, Pointer};
use bongsu::store::writer::MAX_PAYLOAD;
use bongsu::store::{
    Database, DatabaseOptions, DigestBuilder, DigestReport, RowCounts, StoreError, StoreWriter,
    Table, WriterOptions,
};
use sea_orm::ConnectionTrait;

/// 2024-08-05T09:00:00+09:00, in seconds.
const OPEN: i64 = 1_722_816_000;

pub fn at(second: i64) -> EventTime {
    EventTime::from_micros((OPEN + second) * 1_000_000)
}

pub fn code(text: &str) -> Symbol {
    text.parse().unwrap()
}

/// Drops every table.
pub async fn wipe(db: &Database) {
    let own = Table::ALL.map(Table::as_str);
    for table in own.into_iter().chain(["seaql_migrations", "scheduler_lease", "job_cursors"]) {
        let sql = format!("DROP TABLE IF EXISTS {table}");
        db.connection().execute_unprepared(&sql).await.unwrap();
    }
}

/// The digest of the rows, with no events.
pub async fn digest(db: &Database) -> DigestReport {
    DigestBuilder::new().finish(db).await.unwrap()
}

fn directory() -> Directory {
    let directory = Directory::new();
    for symbol in ["005930", "000660", "00088K", "00088k"] {
        directory.intern(code(symbol));
    }
    directory
}

pub fn writer() -> StoreWriter {
    StoreWriter::new(directory(), WriterOptions::default())
}

/// Trades of four issues: some late, some expected prices only, some repeated, over a night.
fn trades(from: u32, to: u32) -> StoreBatch {
    let mut batch = TickBatch::default();
    for index in from..to {
        let number = i64::from(index);
        let second = if number >= 700 { number * 2 + 86_400 } else { number * 2 };
        let (second, flags) = match index % 50 {
            7 => (second - 61, TradeFlags::LATE),
            9 => (second, TradeFlags::EXPECTED),
            _ => (second, 0),
        };
        let trade = Trade {
            symbol: SymbolId(index % 4),
            time: at(second.max(0)),
            price: 70_000 + (number * 7_919) % 1_000,
            quantity: 1 + number % 13,
            cum_volume: 1_000 + number * 20,
            side: if index % 3 == 0 { Side::Buy } else { Side::Sell },
            flags: TradeFlags(flags),
            ..Trade::default()
        };
        let place = RecordRef { segment: 1, offset: index * 64, record: (index % 3) as u16 };
        batch.push_trade(trade, place);
        if index % 10 == 3 {
            batch.push_trade(trade, RecordRef { segment: 2, ..place });
        }
    }
    StoreBatch::Ticks(Arc::new(batch))
}

pub fn event() -> Arc<OutwardEvent> {
    Arc::new(OutwardEvent::from_detection(
        &Detection {
            rule: Rule::SymbolCrash,
            level: Level::Critical,
            symbol: Some(code("005930")),
            name: "삼성전자".to_owned(),
            price: 71_000,
            reference_price: 75_000,
            change_pct: -5.333_333,
            window_s: 300,
            score: 91.25,
            time: at(30),
            cause: Cause::Trade { cum_volume: 1_600 },
            at: RecordRef { segment: 1, offset: 1_920, record: 0 },
            evidence: vec![("z", -7.5), ("fall_pct", 5.333_333)],
        },
        0,
    ))
}

pub fn minute(score: f64) -> RiskMinute {
    let point = RiskPoint {
        symbol: SymbolId(0),
        code: code("005930"),
        time: at(59),
        price: 71_000,
        score,
        parts: ScoreParts { volatility: 1.1, drawdown: 2.2, liquidity: 0.3, volume: f64::NAN },
        change_pct: -0.1,
        over_gap: true,
        cum_volume: 1_600,
        model: None,
        at: RecordRef::default(),
    };
    RiskMinute { minute: at(0), point }
}

fn reject(offset: u32) -> Reject {
    Reject {
        stage: "normalizer",
        source: "H0STCNT0".to_owned(),
        reason: "bad_price",
        detail: "price \"칠만\" is not a number".to_owned(),
        payload: "0|H0STCNT0|001|한글^🔥".repeat(400),
        at: Some(RecordRef { segment: 1, offset, record: 0 }),
    }
}

pub fn set() -> RecommendationSet {
    let pick = |rank: u32, symbol: &str| Pick {
        rank,
        symbol: code(symbol),
        name: "에스케이하이닉스".to_owned(),
        weight: 0.25,
        value: 1.5,
        score: 12.75,
        price: 180_000,
        daily_volatility_pct: 1.9,
        reasons: vec!["변동성 1.9 %".to_owned(), "\"따옴표\"".to_owned()],
        factors: vec![("momentum".to_owned(), 0.9), ("quality".to_owned(), 0.6)],
        expected_return_pct: 0.12,
        downside_pct: 11.5,
    };
    RecommendationSet {
        id: "set-1".to_owned(),
        scenario: "안정형".to_owned(),
        as_of: at(60).plus_micros(5),
        universe: 200,
        eligible: 30,
        picks: vec![pick(1, "000660"), pick(2, "00088K")],
        note: "한도 안에서만 추천합니다".to_owned(),
        basis: Basis::Ranked,
        horizon_sessions: 20,
        cash: 0.5,
        var_pct: 3.25,
        model: "20260105T090000Z".parse().ok(),
        data_cut: "2024-09-02".parse().ok(),
        evidence: Some(evidence()),
    }
}

fn evidence() -> Evidence {
    let around = |mean: f64| MeanInterval { mean, low: mean - 0.125, high: mean + 0.125 };
    Evidence {
        horizon: 20,
        weeks: 140,
        from: "2022-07-01".parse().unwrap(),
        to: "2024-08-02".parse().unwrap(),
        hit_ratio: around(0.55),
        null_hit_ratio: 0.498,
        hit_p: 0.03,
        excess_return: around(0.25),
        rank_ic: around(0.0625),
        return_slope: around(0.5),
    }
}

fn plan() -> MitigationPlan {
    MitigationPlan {
        id: "plan-1".to_owned(),
        subject: "005930".to_owned(),
        name: "삼성전자".to_owned(),
        event_id: event().id.clone(),
        as_of: at(61),
        position_value: 10_000_000,
        assumed_position: true,
        options: vec![PlanOption {
            rank: 1,
            action: "trim".to_owned(),
            description: "절반을 매도합니다".to_owned(),
            risk_before: 500_000,
            risk_after: 250_000,
            cost: 12_000,
            infeasible: None,
            ..PlanOption::default()
        }],
        horizon_sessions: 5,
        paths: 4_000,
        seed: 7,
        risk_error: 12,
        model: "20260105T090000Z".parse().ok(),
        data_cut: "2024-09-02".parse().ok(),
    }
}

fn report() -> Report {
    Report {
        id: "report-1".to_owned(),
        kind: "crash_alert".to_owned(),
        title: "급락 경보 🔥".to_owned(),
        body: "## 삼성전자\n5.3 % 하락".to_owned(),
        as_of: at(62),
        origin: ReportOrigin::Template,
        fallback_reason: "모델이 응답하지 않음".to_owned(),
        model: String::new(),
        sources: vec![event().id.clone()],
        subject: "market".into(),
        rung: Rung::Template,
        retry_in_s: None,
    }
}

fn everything() -> Vec<StoreBatch> {
    vec![
        StoreBatch::Scores(vec![minute(50.0)]),
        StoreBatch::Events(vec![event(), event()]),
        StoreBatch::Rejects(vec![reject(1), reject(1), reject(2)]),
        StoreBatch::Recommendation(Arc::new(set())),
        StoreBatch::Mitigation(Arc::new(plan())),
        StoreBatch::Report(Arc::new(report())),
    ]
}

async fn write(writer: &mut StoreWriter, db: &Database, batches: Vec<StoreBatch>) -> RowCounts {
    for batch in batches {
        assert!(writer.push(batch).is_ok());
    }
    writer.flush(db).await.unwrap()
}

/// The whole suite on an empty database; returns the digest of what is in it at the end.
pub async fn store_suite(db: &Database) -> DigestReport {
    rows_wait_for_the_tables(db).await;
    db.migrate().await.unwrap();
    mixed_and_duplicate_batches(db).await;
    half_a_flush(db).await;
    reading_back(db).await;
    restarts_leave_the_same_bars(db).await;
    super::mended::missed_minutes_are_mended(db).await;
    let seen = digest(db).await;
    db.migrate().await.unwrap();
    assert_eq!(seen, digest(db).await, "migrating again changed rows");
    seen
}

/// A failing database: the rows stay, and nothing is taken in once the writer is full.
async fn rows_wait_for_the_tables(db: &Database) {
    let mut writer = StoreWriter::new(directory(), WriterOptions { max_rows: 10 });
    assert!(writer.push(trades(0, 20)).is_ok());
    assert!(writer.push(StoreBatch::Events(vec![event()])).is_err());
    let waiting = writer.pending();
    let error = writer.flush(db).await.unwrap_err();
    assert!(matches!(error, StoreError::Statement { .. }), "{error}");
    assert!(writer.is_full() && writer.pending() == waiting);
    db.migrate().await.unwrap();
    let written = writer.flush(db).await.unwrap();
    assert_eq!(writer.pending(), 0);
    assert_eq!(
        written.get(Table::TradeLogs),
        read::counts(db).await.unwrap().get(Table::TradeLogs)
    );
}

async fn mixed_and_duplicate_batches(db: &Database) {
    let mut writer = writer();
    assert_eq!(writer.flush(db).await.unwrap(), RowCounts::default(), "empty");
    // Half new, half known from the test before.
    let first = write(&mut writer, db, vec![trades(0, 40)]).await;
    let stored = read::counts(db).await.unwrap();
    assert_eq!(stored.get(Table::TradeLogs), 39, "40 less one expected price");
    assert!(first.get(Table::TradeLogs) < 39 && first.get(Table::TradeLogs) > 10);

    write(&mut writer, db, everything()).await;
    let (rows, seen) = (read::counts(db).await.unwrap(), digest(db).await);
    assert_eq!(rows.get(Table::ThreatEvents), 1);
    assert_eq!(rows.get(Table::EtlFailures), 2);
    assert_eq!(rows.get(Table::RecommendationItems), 2);

    // All known.
    let mut again = everything();
    again.push(trades(0, 40));
    let sent = write(&mut writer, db, again).await;
    assert_eq!(sent.get(Table::TradeLogs), 0);
    assert_eq!(read::counts(db).await.unwrap(), rows);
    assert_eq!(digest(db).await, seen);

    // A minute that goes on replaces its row.
    write(&mut writer, db, vec![StoreBatch::Scores(vec![minute(60.0)])]).await;
    assert_eq!(read::counts(db).await.unwrap(), rows);
    assert_ne!(digest(db).await, seen);
}

/// The last of a flush's transactions fails: what went through is not written again, and is told
/// with the next success.
async fn half_a_flush(db: &Database) {
    let sql = |sql: &'static str| db.connection().execute_unprepared(sql);
    let mut writer = writer();
    for batch in [trades(40, 60), StoreBatch::Report(Arc::new(report()))] {
        assert!(writer.push(batch).is_ok());
    }
    sql("ALTER TABLE reports RENAME TO reports_away").await.unwrap();
    let error = writer.flush(db).await.unwrap_err();
    assert!(error.to_string().contains("cannot write reports"), "{error}");
    assert_eq!(writer.pending(), 1);
    sql("ALTER TABLE reports_away RENAME TO reports").await.unwrap();
    let told = writer.flush(db).await.unwrap();
    assert_eq!((told.get(Table::TradeLogs), told.get(Table::Reports)), (19, 1));
    assert_eq!(writer.flush(db).await.unwrap(), RowCounts::default());
}

async fn reading_back(db: &Database) {
    assert_eq!(read::recommendation(db, Pointer::Latest).await.unwrap(), Some(set()));
    assert_eq!(read::recommendation(db, Pointer::Id("set-1")).await.unwrap(), Some(set()));
    assert_eq!(read::recommendation(db, Pointer::Id("SET-1")).await.unwrap(), None);
    assert_eq!(read::mitigation(db, Pointer::Latest).await.unwrap(), Some(plan()));
    assert_eq!(read::report(db, Pointer::Id("report-1")).await.unwrap(), Some(report()));

    let mut writer = writer();
    writer.mark_published(event().id.clone(), at(31));
    writer.mark_published("unknown".to_owned(), at(31));
    writer.flush(db).await.unwrap();
    writer.mark_published(event().id.clone(), at(99));
    writer.flush(db).await.unwrap();
    let events = read::threats(db, Some(at(0)), Some(code("005930")), 10).await.unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].name.as_str(), events[0].event_time), ("삼성전자", at(30)));
    assert_eq!(events[0].published_at, Some(at(31)));
    assert_eq!(events[0].evidence, r#"{"z":-7.5,"fall_pct":5.333333}"#);
    assert!(read::threats(db, Some(at(31)), None, 10).await.unwrap().is_empty());

    use bongsu::store::entity::{etl_failure, trade_log};
    use sea_orm::{EntityTrait, QueryOrder};
    let failures = etl_failure::Entity::find().all(db.connection()).await.unwrap();
    assert!(failures[0].payload.len() <= MAX_PAYLOAD && failures[0].payload.contains("한글^🔥"));
    assert!(failures[0].payload_ref.starts_with("journal:1:"));
    let first = trade_log::Entity::find()
        .order_by_asc(trade_log::Column::Ts)
        .one(db.connection())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first.source_key, "KRX:005930:20240805:1000");
    assert_eq!((first.ts, first.price, first.side.as_str()), (at(0), 70_000, "B"));
    assert_eq!((first.journal_segment, first.journal_offset), (1, 0));
}

/// However often writers begin anew, and from wherever: the rows of one single pass.
async fn restarts_leave_the_same_bars(db: &Database) {
    let once = Database::connect("sqlite::memory:", &DatabaseOptions::default()).await.unwrap();
    once.migrate().await.unwrap();
    write(&mut writer(), &once, everything()).await;
    let mut single = writer();
    write(&mut single, &once, vec![StoreBatch::Scores(vec![minute(60.0)]), trades(0, 1_000)]).await;

    for (from, to) in [(0, 300), (100, 450), (0, 20), (440, 800), (650, 1_000), (0, 1_000)] {
        write(&mut writer(), db, vec![trades(from, to)]).await;
    }
    let (count, expected) = (read::counts(db).await.unwrap(), read::counts(&once).await.unwrap());
    assert_eq!(count, expected);
    for symbol in ["005930", "000660", "00088K", "00088k"] {
        for interval in Interval::ALL {
            let own = read::bars(db, code(symbol), interval, None, None, 10_000).await.unwrap();
            let other =
                read::bars(&once, code(symbol), interval, None, None, 10_000).await.unwrap();
            assert_eq!(own, other, "{symbol}");
            assert!(own.len() >= 2, "case-sensitive codes: {symbol}");
            assert_eq!(own.iter().filter(|bar| !bar.is_final).count(), 1);
        }
    }
    assert_eq!(digest(db).await, digest(&once).await);
    let day = at(86_400).session_day();
    single.end_session(day);
    single.flush(&once).await.unwrap();
    let bars = read::bars(&once, code("005930"), Interval::Day, None, Some(at(86_400)), 1).await;
    assert!(bars.unwrap()[0].is_final);
    let minutes =
        read::bars(&once, code("005930"), Interval::Minute, Some(at(60)), Some(at(180)), 9);
    let minutes = minutes.await.unwrap();
    assert_eq!(minutes.iter().map(|bar| bar.key.start).collect::<Vec<_>>(), [at(60), at(120)]);
}

/// Several processes that make the tables at the same moment.
pub async fn starting_together(url: &str) {
    let start = || async {
        let db = Database::connect(url, &DatabaseOptions::default()).await?;
        db.migrate().await?;
        read::counts(&db).await
    };
    let outcomes = futures::future::join_all([start(), start(), start()]).await;
    for outcome in outcomes {
        outcome.unwrap();
    }
}

/// MySQL: the server ends the pool's connections, as a time-out or a restart does.
pub async fn ended_connections(db: &Database) {
    for _ in 0..3 {
        // The connection that is told to end itself goes back to the pool, dead.
        let ended = db.connection().execute_unprepared("KILL CONNECTION_ID()").await;
        assert!(ended.is_err());
        write(&mut writer(), db, vec![trades(0, 10)]).await;
        db.ping().await.unwrap();
    }
}

/// Writes `count` trades in one flush, twice.
pub async fn many_trades(db: &Database, count: u32) {
    wipe(db).await;
    db.migrate().await.unwrap();
    let mut batch = TickBatch::default();
    for index in 0..count {
        let number = i64::from(index);
        let trade = Trade {
            symbol: SymbolId(index % 4),
            time: at(number / 40),
            price: 70_000 + number % 100,
            quantity: 1,
            cum_volume: 1 + number,
            ..Trade::default()
        };
        batch.push_trade(trade, RecordRef { segment: 1, offset: index, record: 0 });
    }
    let batch = Arc::new(batch);
    for expected in [u64::from(count), 0] {
        let sent = write(&mut writer(), db, vec![StoreBatch::Ticks(Arc::clone(&batch))]).await;
        assert_eq!(sent.get(Table::TradeLogs), expected);
        let stored = read::counts(db).await.unwrap();
        assert_eq!(stored.get(Table::TradeLogs), u64::from(count));
    }
}

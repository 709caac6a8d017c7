//! Transactions in each other's way, and rows that the database refuses.

use std::sync::Arc;

use bongsu::market::{Directory, EventTime, RecordRef, SymbolId, TickBatch, Trade};
use bongsu::messages::StoreBatch;
use bongsu::store::{
    Database, DatabaseOptions, Fault, StoreWriter, Table, Waiting, WriterOptions, read,
};
use sea_orm::{ConnectionTrait, TransactionTrait};

use crate::support::{MariaDb, skip};

/// 2024-08-05T09:00:00+09:00, in seconds.
const OPEN: i64 = 1_722_816_000;

fn trades(range: std::ops::Range<u32>) -> StoreBatch {
    let mut batch = TickBatch::default();
    for index in range {
        let trade = Trade {
            symbol: SymbolId(index % 2),
            time: EventTime::from_micros((OPEN + i64::from(index)) * 1_000_000),
            price: 70_000 + i64::from(index),
            quantity: 1,
            cum_volume: 1 + i64::from(index),
            ..Trade::default()
        };
        batch.push_trade(trade, RecordRef { segment: 1, offset: index, record: 0 });
    }
    StoreBatch::Ticks(Arc::new(batch))
}

fn writer() -> StoreWriter {
    let directory = Directory::new();
    for code in ["005930", "000660"] {
        directory.intern(code.parse().unwrap());
    }
    StoreWriter::new(directory, WriterOptions::default())
}

async fn run(db: &Database, statements: &[&str]) {
    for statement in statements {
        db.connection().execute_unprepared(statement).await.unwrap();
    }
}

async fn number(db: &Database, table: Table) -> u64 {
    read::counts(db).await.unwrap().get(table)
}

/// The writer waits for a lock of another transaction, which then waits for one of the writer's:
/// the server rolls the lighter one back, which is the writer's, and the writer repeats it.
#[tokio::test]
async fn a_deadlock_is_repeated() {
    let Some(server) = MariaDb::start() else { skip!("mariadb-server is not installed") };
    // On a busy machine the wait for the lock must not end before it is seen.
    let options =
        DatabaseOptions { write_timeout: 2 * super::PATIENCE, ..DatabaseOptions::default() };
    let db = Database::connect(&server.url(), &options).await.unwrap();
    db.migrate().await.unwrap();
    let mut writer = writer();
    writer.push(trades(0..2)).unwrap();
    writer.flush(&db).await.unwrap();

    // Holds the bars, and has changed much, so that it is not the one to be rolled back.
    let other = db.connection().begin().await.unwrap();
    let heavy = "insert into etl_runs (id, kind, status, rows_in, rows_out, rejects, detail, started_at) \
                 select seq, 'x', 'x', 0, 0, 0, '', now() from seq_1_to_2000";
    other.execute_unprepared(heavy).await.unwrap();
    other.execute_unprepared("update market_prices set volume = volume").await.unwrap();
    writer.push(trades(2..40)).unwrap();
    // Until the writer waits for the bars, its trades are in. The table of lock waits would not do:
    // InnoDB keeps its content for as long as somebody reads it more often than every 0.1 s.
    let current = "show global status like 'Innodb_row_lock_current_waits'";
    let waits = || server.admin(current).ends_with("\t1");
    let in_the_way = async {
        crate::support::await_until(super::PATIENCE, || async { waits() }, "a waiting writer")
            .await;
        let update = "update trade_logs set flags = flags where cum_volume > 2";
        other.execute_unprepared(update).await.unwrap();
        other.commit().await.unwrap();
    };
    let (written, ()) = tokio::join!(writer.flush(&db), in_the_way);
    written.unwrap();
    assert_eq!(number(&db, Table::TradeLogs).await, 40);
    let sum = server.sql("select sum(volume) from market_prices where `interval` = '1d'");
    assert_eq!(sum, "40");
    let deadlocks = server.admin("show global status like 'Innodb_deadlocks'");
    assert!(deadlocks.ends_with("\t1"), "{deadlocks}");
}

/// One trade that the database refuses: it is in `etl_failures`, in no bar, and the rest is stored.
async fn one_row_is_refused(db: &Database) {
    db.migrate().await.unwrap();
    for _ in 0..2 {
        let mut writer = writer();
        writer.push(trades(0..600)).unwrap();
        writer.flush(db).await.unwrap();
        assert_eq!(writer.pending(), 0);
        assert_eq!(number(db, Table::TradeLogs).await, 599);
        assert_eq!(number(db, Table::EtlFailures).await, 1);
        let symbol = "000660".parse().unwrap();
        let bars = read::bars(db, symbol, bongsu::market::bars::Interval::Day, None, None, 9).await;
        assert_eq!(bars.unwrap()[0].volume, 299);
    }
    use bongsu::store::entity::etl_failure;
    use sea_orm::EntityTrait;
    let failure = etl_failure::Entity::find().one(db.connection()).await.unwrap().unwrap();
    assert_eq!((failure.stage.as_str(), failure.source.as_str()), ("store", "trade_logs"));
    assert_eq!(failure.reason, "refused_by_database");
    assert!(failure.detail.contains("unlucky"), "{}", failure.detail);
    assert!(failure.payload.contains("KRX:000660:20240805:322"), "{}", failure.payload);
}

#[tokio::test]
async fn a_refused_row_does_not_hold_up_the_others_in_sqlite() {
    let db = Database::connect("sqlite::memory:", &DatabaseOptions::default()).await.unwrap();
    db.migrate().await.unwrap();
    let trigger = "create trigger unlucky before insert on trade_logs when new.price = 70321 \
                   begin select raise(abort, 'unlucky'); end";
    run(&db, &[trigger]).await;
    one_row_is_refused(&db).await;
}

#[tokio::test]
async fn a_refused_row_does_not_hold_up_the_others_in_mariadb() {
    let Some(server) = MariaDb::start() else { skip!("mariadb-server is not installed") };
    let db = Database::connect(&server.url(), &DatabaseOptions::default()).await.unwrap();
    db.migrate().await.unwrap();
    run(&db, &["alter table trade_logs add constraint unlucky check (price <> 70321)"]).await;
    one_row_is_refused(&db).await;
}

/// SQLite's file finds no room: the rows wait, and are written when there is some.
#[tokio::test]
async fn a_full_file_keeps_the_rows_waiting() {
    let db = Database::connect("sqlite::memory:", &DatabaseOptions::default()).await.unwrap();
    db.migrate().await.unwrap();
    run(&db, &["pragma max_page_count = 60"]).await;
    let mut writer = writer();
    writer.push(trades(0..5_000)).unwrap();
    let error = writer.flush(&db).await.unwrap_err();
    assert_eq!((error.fault(), writer.pending()), (Fault::Full, 5_000), "{error}");
    run(&db, &["pragma max_page_count = 100000"]).await;
    writer.flush(&db).await.unwrap();
    assert_eq!(number(&db, Table::TradeLogs).await, 5_000);
}

/// What goes through the spill's form and another process is what was to be written.
#[tokio::test]
async fn waiting_rows_survive_their_form_on_disk() {
    let (direct, later) = (open().await, open().await);
    let batches = || [trades(0..5_000), trades(4_000..5_010)];
    let mut first = writer();
    batches().into_iter().for_each(|batch| first.push(batch).unwrap());
    first.flush(&direct).await.unwrap();
    let mut second = writer();
    batches().into_iter().for_each(|batch| second.push(batch).unwrap());
    let stored: Vec<Vec<u8>> =
        second.take_waiting().iter().map(|rows| rows.encode().unwrap()).collect();
    assert!(stored.len() > 1 && second.pending() == 0);
    let mut third = StoreWriter::new(Directory::new(), WriterOptions::default());
    stored.iter().for_each(|bytes| third.put_back(Waiting::decode(bytes).unwrap()));
    third.flush(&later).await.unwrap();
    let digest =
        async |db: &Database| bongsu::store::DigestBuilder::new().finish(db).await.unwrap();
    assert_eq!(digest(&direct).await, digest(&later).await);
    assert!(Waiting::decode(b"\x93rubbish").is_err());
}

async fn open() -> Database {
    let db = Database::connect("sqlite::memory:", &DatabaseOptions::default()).await.unwrap();
    db.migrate().await.unwrap();
    db
}

use std::time::Duration;

use sea_orm::ConnectionTrait;

use super::*;
use crate::market::{EventTime, RecordRef, SymbolId, TickBatch, Trade};
use crate::messages::Position;
use crate::messages::advice::{Report, ReportOrigin, Rung};
use crate::messages::checkpoint::Part;
use crate::store::read::{self, Pointer};
use crate::store::{DatabaseOptions, SpillOptions, Table};

fn trades(range: std::ops::Range<u32>) -> StoreBatch {
    let mut batch = TickBatch::default();
    for index in range {
        let trade = Trade {
            symbol: SymbolId(0),
            time: EventTime::from_micros(1_722_816_000_000_000 + i64::from(index) * 1_000),
            price: 70_000,
            quantity: 1,
            cum_volume: 1 + i64::from(index),
            ..Trade::default()
        };
        batch.push_trade(trade, RecordRef { segment: 1, offset: index, record: 0 });
    }
    StoreBatch::Ticks(Arc::new(batch))
}

fn report(body: &str) -> StoreBatch {
    StoreBatch::Report(Arc::new(Report {
        id: "report-1".to_owned(),
        kind: "crash_alert".to_owned(),
        title: "급락".to_owned(),
        body: body.to_owned(),
        as_of: EventTime::from_micros(1_722_816_000_000_000),
        origin: ReportOrigin::Template,
        fallback_reason: String::new(),
        model: String::new(),
        sources: Vec::new(),
        subject: "market".into(),
        rung: Rung::Template,
        retry_in_s: None,
    }))
}

struct Place {
    database: Database,
    spill: Arc<parking_lot::Mutex<Spill>>,
    recorder: Recorder,
    _folder: tempfile::TempDir,
}

async fn place(spilled: Vec<StoreBatch>, cap: u64) -> Place {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::connect("sqlite::memory:", &DatabaseOptions::default()).await.unwrap();
    database.migrate().await.unwrap();
    let directory = Directory::new();
    directory.intern("005930".parse().unwrap());
    let mut spill = Spill::open(SpillOptions::new(folder.path(), 1 << 30)).unwrap();
    let mut earlier = new_writer(&directory);
    for batch in spilled {
        earlier.push(batch).unwrap();
        for rows in earlier.take_waiting() {
            spill.append(&rows.encode().unwrap()).unwrap();
        }
    }
    spill.sync().unwrap();
    drop(spill);
    let spill = Spill::open(SpillOptions::new(folder.path(), cap)).unwrap();
    let spill = Arc::new(parking_lot::Mutex::new(spill));
    let recorder = Recorder::new(RecorderParts {
        inbox: inbox(),
        database: Some(database.clone()),
        away: None,
        writer: Arc::new(Mutex::new(new_writer(&directory))),
        spill: Some(Arc::clone(&spill)),
        batch_rows: 1,
        flush_every: Duration::from_millis(10),
        health: HealthRegistry::new(),
        checkpoints: Checkpoints::new(Duration::ZERO, false),
    });
    Place { database, spill, recorder, _folder: folder }
}

impl Place {
    async fn record(&mut self, batch: StoreBatch) {
        self.recorder.handle(&Arc::new(batch), &Cursor::default()).unwrap();
        self.recorder.flush(false).await.unwrap();
    }

    /// Wakes it until the spill is empty and nothing waits.
    async fn settle(&mut self) {
        for _ in 0..2_000 {
            self.recorder.flush(true).await.unwrap();
            let waits = self.recorder.parts.writer.lock().await.pending();
            if self.spill.lock().is_empty() && waits == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("rows are left");
    }

    async fn body(&self) -> String {
        read::report(&self.database, Pointer::Id("report-1")).await.unwrap().unwrap().body
    }

    async fn count(&self, table: Table) -> u64 {
        read::counts(&self.database).await.unwrap().get(table)
    }
}

/// What is older lies behind more spilled rows than one look writes: what is newer must wait.
#[tokio::test]
async fn a_newer_row_never_overtakes_a_spilled_one() {
    let mut spilled: Vec<StoreBatch> =
        (0..12).map(|n| trades(n * 4_096..(n + 1) * 4_096)).collect();
    spilled.push(report("older"));
    let mut place = place(spilled, 1 << 30).await;
    place.record(report("newer")).await;
    place.settle().await;
    assert_eq!(place.body().await, "newer");
    assert_eq!(place.count(Table::TradeLogs).await, 12 * 4_096);
}

#[tokio::test]
async fn secured_is_in_the_database_or_in_the_spill() {
    let mut place = place(Vec::new(), 1 << 20).await;
    place.recorder.push(trades(0..10)).await;
    assert!(place.recorder.secure().await);
    assert_eq!(place.count(Table::TradeLogs).await, 10);
    assert!(place.spill.lock().is_empty());

    let rename = |from: &str, to: &str| format!("ALTER TABLE {from} RENAME TO {to}");
    let sql = rename("trade_logs", "away");
    place.database.connection().execute_unprepared(&sql).await.unwrap();
    place.recorder.push(trades(10..20)).await;
    assert!(place.recorder.secure().await);
    assert!(!place.spill.lock().is_empty());
    assert_eq!(place.recorder.parts.writer.lock().await.pending(), 0);
    let sql = rename("away", "trade_logs");
    place.database.connection().execute_unprepared(&sql).await.unwrap();
    place.settle().await;
    assert_eq!(place.count(Table::TradeLogs).await, 20);
}

#[tokio::test]
async fn what_finds_no_room_is_not_secured_and_not_lost() {
    let mut place = place(Vec::new(), 64).await;
    let sql = "ALTER TABLE trade_logs RENAME TO away";
    place.database.connection().execute_unprepared(sql).await.unwrap();
    place.recorder.push(trades(0..50)).await;
    assert!(!place.recorder.secure().await);
    assert_eq!(place.recorder.parts.writer.lock().await.pending(), 50);
    let sql = "ALTER TABLE away RENAME TO trade_logs";
    place.database.connection().execute_unprepared(sql).await.unwrap();
    place.settle().await;
    assert_eq!(place.count(Table::TradeLogs).await, 50);
}

/// A checkpoint at `offset` whose states are all handed in: only storing is left to do.
fn begin(desk: &Checkpoints, offset: u32) -> u64 {
    let position = Position { segment: 1, offset };
    let number = desk.begin_last(position, std::time::Instant::now()).unwrap();
    for part in Part::ALL {
        desk.arrived(number, part, Box::new(|| Ok(Vec::new())));
    }
    number
}

#[tokio::test]
async fn a_checkpoint_is_complete_when_its_rows_are_stored_or_spilled() {
    let mut place = place(Vec::new(), 1 << 20).await;
    let desk = place.recorder.parts.checkpoints.clone();
    place.recorder.parts.batch_rows = 1_000;
    place.record(trades(0..10)).await;
    place.record(StoreBatch::Checkpoint(begin(&desk, 100))).await;
    assert!(!desk.is_complete(), "its rows are in memory only");
    place.settle().await;
    place.recorder.flush(true).await.unwrap();
    assert_eq!(desk.next().unwrap().position.offset, 100);

    let sql = "ALTER TABLE trade_logs RENAME TO away";
    place.database.connection().execute_unprepared(sql).await.unwrap();
    place.recorder.parts.batch_rows = 1;
    place.record(trades(10..20)).await;
    place.record(StoreBatch::Checkpoint(begin(&desk, 200))).await;
    for _ in 0..2_000 {
        if desk.is_complete() {
            break;
        }
        place.recorder.flush(true).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(desk.is_complete(), "its rows are in the spill");
    assert_eq!(desk.next().unwrap().position.offset, 200);
    assert!(!place.spill.lock().is_empty());
}

/// A spill without room while older rows are in it: what finds none waits, and overtakes nothing.
#[tokio::test]
async fn a_full_spill_lets_nothing_overtake() {
    let mut spilled: Vec<StoreBatch> =
        (0..12).map(|n| trades(n * 4_096..(n + 1) * 4_096)).collect();
    spilled.push(report("older"));
    let mut place = place(spilled, 1).await;
    place.record(report("newer")).await;
    assert_eq!(place.recorder.parts.writer.lock().await.pending(), 1, "it waits");
    place.settle().await;
    assert_eq!(place.body().await, "newer");
    assert_eq!(place.count(Table::TradeLogs).await, 12 * 4_096);
}

use super::super::db::tests::memory;
use super::super::entity::market_price;
use super::*;
use crate::market::bar_source::{BarSource, StoredBar};
use crate::market::bars::{Bar, BarKey, Interval};
use crate::market::{Directory, RecordRef, Side, Symbol, TickBatch, Trade};
use crate::messages::StoreBatch;
use crate::store::{StoreWriter, WriterOptions};

const OPEN: i64 = 1_722_816_000_000_000; // 2024-08-05T09:00:00+09:00

fn symbol() -> Symbol {
    "005930".parse().unwrap()
}

fn at(second: i64) -> EventTime {
    EventTime::from_micros(OPEN + second * 1_000_000)
}

fn bar(interval: Interval, volume: i64, is_final: bool) -> StoredBar {
    let key = BarKey::of(symbol(), interval, at(0));
    let bar = Bar {
        key,
        open: 100,
        high: 100,
        low: 100,
        close: 100,
        volume,
        amount: volume * 100,
        is_final,
    };
    StoredBar { bar, source: BarSource::Kis }
}

async fn write_bars_of(db: &Database, bars: &[StoredBar]) -> Written {
    write(db, Kind::Bars, &batch::of_bars(bars).unwrap()).await.unwrap()
}

async fn bars(db: &Database) -> Vec<(String, i64, String, bool)> {
    let mut rows: Vec<_> = market_price::Entity::find()
        .all(db.connection())
        .await
        .unwrap()
        .into_iter()
        .map(|row| (row.interval, row.volume, row.source, row.is_final))
        .collect();
    rows.sort();
    rows
}

/// A writer that was sent one trade of `quantity` for each cumulative volume in `volumes`.
fn fed(volumes: &[i64], quantity: i64) -> StoreWriter {
    let directory = Directory::new();
    let id = directory.intern(symbol());
    let mut ticks = TickBatch::default();
    for (second, cum_volume) in volumes.iter().enumerate() {
        let trade = Trade {
            symbol: id,
            time: at(second as i64),
            price: 100,
            quantity,
            cum_volume: *cum_volume,
            side: Side::Buy,
            ..Trade::default()
        };
        ticks.push_trade(trade, RecordRef { segment: 1, offset: second as u32, record: 0 });
    }
    let mut writer = StoreWriter::new(directory, WriterOptions::default());
    writer.push(StoreBatch::Ticks(ticks.into())).unwrap();
    writer
}

#[tokio::test]
async fn the_feed_and_kis_settle_on_the_better_bar() {
    let db = memory().await;
    let row = |interval: &str, volume, source: &str, last| {
        (interval.to_owned(), volume, source.to_owned(), last)
    };
    // The feed knows of 6 shares so far, KIS of 10 in the minute that is over.
    let mut writer = fed(&[4, 10], 3);
    writer.flush(&db).await.unwrap();
    let written = write_bars_of(&db, &[bar(Interval::Minute, 10, true)]).await;
    assert_eq!(written, Written { written: 1, kept: 0 });
    let written = write_bars_of(&db, &[bar(Interval::Day, 10, false)]).await;
    assert_eq!(written, Written { written: 0, kept: 1 }, "a snapshot of a running day");
    let expected = [row("1d", 6, "trades", false), row("1m", 10, "kis", true)];
    assert_eq!(bars(&db).await, expected);
    // More of the feed changes its own bar, and not the one that is final.
    let mut writer = fed(&[4, 10, 13], 3);
    writer.flush(&db).await.unwrap();
    let expected = [row("1d", 9, "trades", false), row("1m", 10, "kis", true)];
    assert_eq!(bars(&db).await, expected);
    assert_eq!(write_bars_of(&db, &[bar(Interval::Minute, 10, true)]).await.written, 0);
}

fn executions(volumes: &[i64]) -> RecordBatch {
    let executions: Vec<Execution> = volumes
        .iter()
        .map(|cum_volume| Execution {
            symbol: symbol(),
            time: at(0),
            price: 100,
            quantity: 3,
            cum_volume: *cum_volume,
        })
        .collect();
    batch::of_executions(&executions).unwrap()
}

async fn trades(db: &Database) -> Vec<(String, i64, String)> {
    let mut rows: Vec<_> = trade_log::Entity::find()
        .all(db.connection())
        .await
        .unwrap()
        .into_iter()
        .map(|row| (row.source_key, row.journal_segment, row.side))
        .collect();
    rows.sort();
    rows
}

#[tokio::test]
async fn a_trade_seen_by_feed_and_collection_is_one_row_and_counted_once() {
    let db = memory().await;
    let written = write(&db, Kind::Executions, &executions(&[4, 7])).await.unwrap();
    assert_eq!(written, Written { written: 2, kept: 0 });
    let again = write(&db, Kind::Executions, &executions(&[4, 7])).await.unwrap();
    assert_eq!(again, Written { written: 0, kept: 2 });
    // The feed brings one of them: it is in no bar yet, and takes its place in the journal.
    for _ in 0..2 {
        fed(&[7, 10], 3).flush(&db).await.unwrap();
    }
    let key = |volume| format!("KRX:005930:20240805:{volume}");
    let expected =
        [(key(10), 1, "B".to_owned()), (key(4), -1, "A".to_owned()), (key(7), 1, "B".to_owned())];
    assert_eq!(trades(&db).await, expected);
    assert!(bars(&db).await.iter().all(|(_, volume, ..)| *volume == 6));
    assert_eq!(write(&db, Kind::Executions, &executions(&[7, 10])).await.unwrap().written, 0);
    assert_eq!(trades(&db).await, expected);
}

#[tokio::test]
async fn an_order_is_brought_up_to_date() {
    let db = memory().await;
    let order = |filled, price| AccountOrder {
        account: "0123456789ab".into(),
        day: "2024-08-05".parse().unwrap(),
        branch: "00950".into(),
        number: "0000001234".into(),
        symbol: symbol(),
        side: Side::Sell,
        time: at(0),
        ordered: 10,
        filled,
        price,
    };
    for (filled, price, written) in [(4, 100, 1), (4, 100, 0), (10, 101, 1), (10, 101, 0)] {
        let batch = batch::of_orders(&[order(filled, price)]).unwrap();
        assert_eq!(write(&db, Kind::Orders, &batch).await.unwrap().written, written);
    }
    let rows = trade_log::Entity::find().all(db.connection()).await.unwrap();
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!(row.source_key, "ACCT:0123456789ab:20240805:00950:0000001234");
    assert_eq!((row.kind.as_str(), row.side.as_str()), ("account", "S"));
    assert_eq!((row.quantity, row.cum_volume, row.price), (10, 10, 101));
}

#[tokio::test]
async fn a_wrong_batch_stores_nothing() {
    let db = memory().await;
    let error = write(&db, Kind::Bars, &executions(&[4])).await.unwrap_err();
    assert!(matches!(error, StoreError::Batch(_)), "{error}");
    assert!(bars(&db).await.is_empty());
}

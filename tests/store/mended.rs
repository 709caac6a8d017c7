//! Minutes that were asked for because trades were missed.

use std::sync::Arc;

use bongsu::market::bars::{Bar, Interval};
use bongsu::market::{Directory, EventTime, RecordRef, SymbolId, TickBatch, Trade, TradeFlags};
use bongsu::messages::{FetchedBar, FetchedBars, StoreBatch};
use bongsu::store::{Database, StoreWriter, WriterOptions, read};

/// 2024-09-02T09:00:00+09:00, in seconds.
const OPEN: i64 = 1_725_235_200;
const ISSUE: &str = "035720";

fn at(second: i64) -> EventTime {
    EventTime::from_micros((OPEN + second) * 1_000_000)
}

/// Trade number `number` of the day: one every ten seconds, ten shares each.
fn trade(number: i64, flags: u8) -> Trade {
    Trade {
        symbol: SymbolId(0),
        time: at(number * 10),
        price: 50_000 + 100 * (number % 7),
        quantity: 10,
        cum_volume: 10 * (number + 1),
        flags: TradeFlags(flags),
        ..Trade::default()
    }
}

fn ticks(numbers: impl IntoIterator<Item = i64>, flags: u8) -> StoreBatch {
    let mut batch = TickBatch::default();
    for number in numbers {
        let place = RecordRef { segment: 9, offset: number as u32, record: 0 };
        batch.push_trade(trade(number, flags), place);
    }
    StoreBatch::Ticks(Arc::new(batch))
}

/// The minutes from `from` on as the exchange has them.
fn fetched(from: i64, count: i64) -> StoreBatch {
    let bars = (from..from + count).map(|minute| {
        let trades: Vec<Trade> = (minute * 6..minute * 6 + 6).map(|n| trade(n, 0)).collect();
        let prices = || trades.iter().map(|trade| trade.price);
        FetchedBar {
            start: at(minute * 60),
            open: trades[0].price,
            high: prices().max().unwrap(),
            low: prices().min().unwrap(),
            close: trades[5].price,
            volume: 60,
            amount: trades.iter().map(|trade| trade.price * trade.quantity).sum(),
        }
    });
    let symbol = ISSUE.parse().unwrap();
    StoreBatch::Bars(Arc::new(FetchedBars { symbol, bars: bars.collect() }))
}

fn writer() -> StoreWriter {
    let directory = Directory::new();
    directory.intern(ISSUE.parse().unwrap());
    StoreWriter::new(directory, WriterOptions::default())
}

async fn write(writer: &mut StoreWriter, db: &Database, batches: Vec<StoreBatch>) {
    for batch in batches {
        writer.push(batch).unwrap();
    }
    writer.flush(db).await.unwrap();
}

async fn bars(db: &Database, interval: Interval) -> Vec<Bar> {
    let symbol = ISSUE.parse().unwrap();
    read::bars(db, symbol, interval, Some(at(-32_400)), None, 1_000).await.unwrap()
}

/// Trades missing over three minutes: with the minutes told, the bars are those of a feed that
/// missed nothing, in whatever order trades and minutes come, and after a restart of the writer.
pub async fn missed_minutes_are_mended(db: &Database) {
    let whole = Database::connect("sqlite::memory:", &Default::default()).await.unwrap();
    whole.migrate().await.unwrap();
    write(&mut writer(), &whole, vec![ticks(0..60, 0)]).await;
    let (minutes, days) = (bars(&whole, Interval::Minute).await, bars(&whole, Interval::Day).await);
    assert_eq!((minutes.len(), days[0].volume), (10, 600));

    let mut feed = writer();
    write(&mut feed, db, vec![ticks((0..15).chain(32..40), 0)]).await;
    assert_eq!(bars(db, Interval::Day).await[0].volume, 230, "the gap is in the bars");
    // In one flush with trades of later minutes, and of the minute that is still open.
    write(&mut feed, db, vec![fetched(2, 4), ticks(40..45, 0)]).await;
    assert_eq!(bars(db, Interval::Minute).await[..7], minutes[..7]);
    // A trade of a mended minute that comes late is a row and changes no bar.
    write(&mut feed, db, vec![ticks([20], TradeFlags::LATE)]).await;
    write(&mut writer(), db, vec![ticks(45..60, 0)]).await;
    assert_eq!(bars(db, Interval::Minute).await, minutes);
    assert_eq!(bars(db, Interval::Day).await, days);
    // Told again: nothing changes.
    write(&mut writer(), db, vec![fetched(0, 9)]).await;
    assert_eq!(bars(db, Interval::Minute).await, minutes);
    assert_eq!(bars(db, Interval::Day).await, days);
}

//! A recorded session: an ordinary day must raise nothing.
//!
//! Needs `krx-ticks-2020-06-04.parquet` below `$BONGSU_SHARED/data`, by default `shared/data` beside the
//! checkout; without it the test says that it is skipped.

use std::fs::File;
use std::path::PathBuf;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Int32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::support::run;
use crate::market::{Directory, EventTime, RecordRef, Side, TickBatch, Trade};
use crate::risk::{Level, RiskEngine, RiskParams, Rule};

const FILE: &str = "krx-ticks-2020-06-04.parquet";
/// The file's times are Korean without a zone.
const KST_US: i64 = 9 * 3_600 * 1_000_000;

fn path() -> PathBuf {
    let shared = std::env::var_os("BONGSU_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    shared.join("data").join(FILE)
}

fn micros(batch: &RecordBatch) -> Vec<i64> {
    let column = batch.column_by_name("ts").unwrap();
    let (values, scale) = match column.data_type() {
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            (column.as_primitive::<TimestampMillisecondType>().values(), 1_000)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            (column.as_primitive::<TimestampMicrosecondType>().values(), 1)
        }
        other => panic!("{FILE} has times of type {other}"),
    };
    values.iter().map(|value| value * scale - KST_US).collect()
}

fn load(directory: &Directory) -> Vec<(i32, Trade)> {
    let file = File::open(path()).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let mut trades = Vec::new();
    for batch in reader {
        let batch = batch.unwrap();
        let small = |name| batch.column_by_name(name).unwrap().as_primitive::<Int32Type>();
        let large = |name| batch.column_by_name(name).unwrap().as_primitive::<Int64Type>();
        let text = |name, row| batch.column_by_name(name).unwrap().as_string::<i32>().value(row);
        let times = micros(&batch);
        for (row, time) in times.into_iter().enumerate() {
            let trade = Trade {
                symbol: directory.intern(text("symbol", row).parse().unwrap()),
                time: EventTime::from_micros(time),
                price: small("price").value(row).into(),
                quantity: small("qty").value(row).into(),
                cum_volume: large("cum_volume").value(row),
                cum_value: large("cum_amount_10k").value(row) * 10_000,
                side: if text("side", row) == "B" { Side::Buy } else { Side::Sell },
                ask: small("ask1").value(row).into(),
                bid: small("bid1").value(row).into(),
                ..Trade::default()
            };
            trades.push((small("seq").value(row), trade));
        }
    }
    trades.sort_by_key(|(seq, trade)| (trade.time, trade.symbol, *seq));
    trades
}

/// The session as a batch, each trade changed by `change`; `None` when the file is not there.
fn session(test: &str, directory: &Directory, change: impl Fn(&mut Trade)) -> Option<TickBatch> {
    if !path().exists() {
        println!("skipped {test}: no {}", path().display());
        return None;
    }
    let mut batch = TickBatch::default();
    for (offset, (_, mut trade)) in load(directory).into_iter().enumerate() {
        change(&mut trade);
        batch.push_trade(trade, RecordRef { segment: 0, offset: offset as u32, record: 0 });
    }
    assert_eq!(batch.len(), 50_345);
    Some(batch)
}

/// Six per cent in two minutes from 13:00 on, laid over the real trades of one issue.
#[test]
fn a_fall_laid_over_a_real_session_is_found_within_seconds() {
    let directory = Directory::new();
    let posco = directory.intern("005490".parse().unwrap());
    let start = super::support::time(20_200_604, 130_000);
    let fall = |trade: &mut Trade| {
        let seconds = (trade.time.micros_since(start) / 1_000_000).clamp(0, 120);
        if trade.symbol == posco {
            for price in [&mut trade.price, &mut trade.ask, &mut trade.bid] {
                *price = *price * (2_000 - seconds) / 2_000;
            }
        }
    };
    let name = "a_fall_laid_over_a_real_session_is_found_within_seconds";
    let Some(batch) = session(name, &directory, fall) else { return };
    let out = run(&mut RiskEngine::new(RiskParams::default()), &batch, &directory);
    let found: Vec<_> = out
        .detections
        .iter()
        .map(|found| (found.rule, found.level, found.time.micros_since(start) / 1_000_000))
        .collect();
    println!("{found:?}");
    assert!(matches!(found[0], (Rule::SymbolCrash, Level::Watch, 20..=50)), "{found:?}");
    assert!(matches!(found[1], (Rule::SymbolCrash, Level::Warning, 40..=110)), "{found:?}");
    assert!(found.len() <= 5, "{found:?}");
    let score = |from: i64| {
        let from = start.plus_micros(from * 1_000_000);
        out.points.iter().find(|p| p.symbol == posco && p.time >= from).unwrap().score
    };
    assert!(score(120) > score(-5) + 15.0, "{} {}", score(-5), score(120));
}

#[test]
fn an_ordinary_session_raises_nothing() {
    let directory = Directory::new();
    let name = "an_ordinary_session_raises_nothing";
    let Some(batch) = session(name, &directory, |_| {}) else { return };
    let mut engine = RiskEngine::new(RiskParams::default());
    let out = run(&mut engine, &batch, &directory);
    for found in &out.detections {
        println!(
            "{} {:?} {:?} {:?} {:?}",
            found.time, found.rule, found.level, found.symbol, found.evidence
        );
    }
    for row in engine.rows() {
        let scores = || out.points.iter().filter(|p| p.code == row.point.code).map(|p| p.score);
        let (low, high) = (scores().fold(100.0, f64::min), scores().fold(0.0, f64::max));
        println!(
            "{}: {} points, score {low:.1} to {high:.1}, last {:.1} {:?}; {:.2} % a day, spread {:.3} %",
            row.point.code,
            scores().count(),
            row.point.score,
            row.point.parts,
            row.daily_volatility_pct,
            row.spread_pct
        );
        assert!(low > 1.0 && high < 99.0);
    }
    assert!(out.points.iter().all(|point| (0.0..=100.0).contains(&point.score)));
    assert!(out.points.len() > 10_000 && out.minutes.len() > 1_000);
    assert!(out.detections.is_empty(), "{} detections", out.detections.len());
}

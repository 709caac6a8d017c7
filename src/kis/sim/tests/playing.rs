//! The three sources, played without a server.

use std::collections::BTreeMap;

use super::super::source;
use super::*;
use crate::kis::sim::{Feed, SimError};
use crate::market::Reference;

#[test]
fn a_script_plays_consistent_frames() {
    let shape = FrameShape { records_per_frame: 20, ..FrameShape::default() };
    let mut frames = load(&market("crash"), shape).into_frames();
    let references = frames.playback().references();
    let trades = frames.playback().trade_count();
    let mut audit = TradeAudit::default();
    let mut codes: BTreeMap<String, usize> = BTreeMap::new();
    let mut levels: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let mut books = 0;
    let mut last = None;
    while let Some((info, frame)) = frames.next() {
        assert!(last.is_none_or(|last| last <= info.at), "event time goes forward");
        last = Some(info.at);
        let records = records(frame);
        assert_eq!(records.len(), info.records);
        for record in &records {
            match info.feed {
                Feed::Trade => {
                    assert_eq!(record.len(), 47);
                    audit.take(&info, record, true);
                    let base = references[info.key as usize].base_price.unwrap();
                    assert_eq!(number(&record[2]) - number(&record[4]), base);
                }
                Feed::Book => {
                    assert_eq!(record.len(), 63);
                    books += 1;
                    check_book(record, audit.last.get(&record[0]));
                }
                Feed::Index => {
                    assert_eq!(record.len(), 30);
                    check_index(record);
                    levels.entry(record[0].clone()).or_default().push(hundredths(&record[2]));
                }
                Feed::Vi => assert_eq!(record.len(), 16),
                Feed::Operation => {
                    assert_eq!(record.len(), 10);
                    *codes.entry(record[3].clone()).or_default() += 1;
                }
            }
        }
    }
    assert_eq!(audit.trades, trades);
    assert!(books > trades / 10, "{books} books for {trades} trades");
    assert_eq!(codes["112"], references.len());
    assert_eq!(codes["129"], references.len());
    assert!(codes.contains_key("174"), "the crash reaches the circuit breaker: {codes:?}");
    let kospi = &levels["0001"];
    assert!(*kospi.iter().min().unwrap() < kospi[0] * 92 / 100);
    assert!(*kospi.last().unwrap() > *kospi.iter().min().unwrap());
}

fn check_book(record: &[String], trade: Option<&Vec<String>>) {
    let n = |i: usize| number(&record[i]);
    let sum = |from: usize| (from..from + 10).map(n).sum::<i64>();
    assert_eq!((sum(23), sum(33)), (n(43), n(44)));
    for level in 0..9 {
        let asks = (n(3 + level), n(4 + level));
        assert!(asks.0 < asks.1 || asks.1 == 0, "{record:?}");
        let bids = (n(13 + level), n(14 + level));
        assert!(bids.0 > bids.1 || bids == (0, 0), "{record:?}");
    }
    if record[2] != "0" {
        // An auction shows three levels a side around its expected price.
        assert!(n(47) > 0 && n(48) > 0 && n(49) == n(48) + n(53), "{record:?}");
        assert_eq!((n(6), n(16), n(59)), (0, 0, 0));
        return;
    }
    let trade = trade.expect("a continuous book follows a trade");
    assert_eq!((n(47), n(48), n(51)), (0, 0, 5));
    assert_eq!(record[52], "-100.00");
    // The book is the one the last trade told of.
    let of_trade = |i: usize| number(&trade[i]);
    assert_eq!((n(3), n(13)), (of_trade(10), of_trade(11)));
    assert_eq!((n(23), n(33)), (of_trade(36), of_trade(37)));
    assert_eq!((n(43), n(44), n(53)), (of_trade(38), of_trade(39), of_trade(13)));
    if n(3) > 0 && n(13) > 0 {
        assert_eq!(n(59), (n(3) + n(13)) / 2);
    }
}

fn check_index(record: &[String]) {
    let h = |i: usize| hundredths(&record[i]);
    let base = h(2) - h(4);
    assert!(h(12) <= h(2) && h(2) <= h(11) && h(12) <= h(10) && h(10) <= h(11));
    assert_eq!((h(13), h(15), h(17)), (h(10) - base, h(11) - base, h(12) - base));
    assert!(number(&record[22]) <= number(&record[23]));
    assert!(number(&record[26]) <= number(&record[25]));
}

#[test]
fn the_same_seed_plays_the_same_bytes() {
    let bytes = |seed: u64| {
        let shape = FrameShape::default();
        let mut frames = Playback::load(&market("calm"), seed, None, shape).unwrap().into_frames();
        let mut all = Vec::new();
        for _ in 0..5_000 {
            all.extend_from_slice(frames.next().unwrap().1);
        }
        all
    };
    assert_eq!(bytes(1), bytes(1));
    assert_ne!(bytes(1), bytes(2));
}

#[test]
fn frame_widths_can_be_the_old_ones() {
    for (trade_fields, book_fields) in [(46, 59), (46, 62), (47, 63)] {
        let shape = FrameShape { trade_fields, book_fields, ..FrameShape::default() };
        let mut frames = load(&market("calm"), shape).into_frames();
        for _ in 0..500 {
            let (info, frame) = frames.next().unwrap();
            let width = records(frame)[0].len();
            match info.feed {
                Feed::Trade => assert_eq!(width, trade_fields),
                Feed::Book => assert_eq!(width, book_fields),
                Feed::Index | Feed::Operation | Feed::Vi => {}
            }
        }
    }
}

#[test]
fn a_calm_market_is_calm_and_a_crash_comes_soon() {
    let played = |name: &str| {
        let playback = load(&market(name), FrameShape::default());
        let speed = playback.default_speed().unwrap();
        let day = playback.day.clone();
        let previous = day.series[0].previous_close as f64;
        let start = day.span().0;
        let levels: Vec<(f64, f64)> = day
            .index_prints
            .iter()
            .filter(|print| print.series == 0)
            .map(|print| {
                let wall = f64::from(print.at_ms - start) / 1_000.0 / speed;
                (wall, print.level as f64 / previous - 1.0)
            })
            .collect();
        let busiest = day.prints.len() as f64 / (f64::from(day.span().1 - start) / 1_000.0 / speed);
        (levels, busiest)
    };
    let (levels, rate) = played("calm");
    assert!(levels.iter().all(|(_, change)| change.abs() < 0.02), "a calm index stays within 2 %");
    assert!((100.0..2_000.0).contains(&rate), "{rate} trades a second");

    let (levels, rate) = played("crash");
    assert!((100.0..2_000.0).contains(&rate), "{rate} trades a second");
    let at = |wall: f64| levels.iter().rev().find(|(t, _)| *t <= wall).unwrap().1;
    assert!(at(11.0).abs() < 0.012, "calm at first: {}", at(11.0));
    assert!(at(20.0) < -0.03, "then a slide: {}", at(20.0));
    assert!(at(40.0) < -0.08, "a crash within 40 s: {}", at(40.0));
}

#[test]
fn recorded_trades_come_out_as_they_were() {
    let test = "recorded_trades_come_out_as_they_were";
    let Some(path) = shared_data(test, "krx-ticks-2020-06-04.parquet") else { return };
    let expected = recorded(&path);
    assert_eq!(expected.keys().collect::<Vec<_>>(), ["005490", "033640", "036830", "247540"]);
    let source = data(path, "2020-06-04", None, None);
    let shape = FrameShape { records_per_frame: 20, ..FrameShape::default() };
    let mut frames = load(&source, shape).into_frames();
    let mut audit = TradeAudit::default();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut grouped = 0;
    while let Some((info, frame)) = frames.next() {
        if info.feed != Feed::Trade {
            continue;
        }
        grouped += usize::from(info.records > 1);
        for record in records(frame) {
            audit.take(&info, &record, false);
            let position = seen.entry(record[0].clone()).or_default();
            let got = [2, 10, 11, 12, 13, 21].map(|i: usize| number(&record[i]));
            assert_eq!(got, expected[&record[0]][*position]);
            *position += 1;
        }
    }
    assert_eq!(audit.trades, 50_345);
    assert!(grouped > 1_000, "{grouped} frames with several records");
    for (symbol, rows) in &expected {
        assert_eq!(seen[symbol], rows.len(), "{symbol}");
    }
}

/// Price, ask, bid, size, cumulative volume and side of each trade as the file has them, in the
/// order of `seq`, by issue; read without the simulator's own reader.
fn recorded(path: &std::path::Path) -> BTreeMap<String, Vec<[i64; 6]>> {
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Int32Type, Int64Type};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    let file = std::fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let mut rows: BTreeMap<String, Vec<(i32, [i64; 6])>> = BTreeMap::new();
    for batch in reader {
        let batch = batch.unwrap();
        let column = |name: &str| batch.column_by_name(name).unwrap();
        let small = |name: &str| column(name).as_primitive::<Int32Type>().clone();
        let (symbols, sides) =
            (column("symbol").as_string::<i32>(), column("side").as_string::<i32>());
        let [seq, price, ask, bid, size] = ["seq", "price", "ask1", "bid1", "qty"].map(small);
        let volume = column("cum_volume").as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let [price, ask, bid, size] =
                [&price, &ask, &bid, &size].map(|c| i64::from(c.value(row)));
            let side = if sides.value(row) == "B" { 1 } else { 5 };
            let trade = [price, ask, bid, size, volume.value(row), side];
            rows.entry(symbols.value(row).into()).or_default().push((seq.value(row), trade));
        }
    }
    rows.into_iter()
        .map(|(symbol, mut rows)| {
            rows.sort_by_key(|(seq, _)| *seq);
            (symbol, rows.into_iter().map(|(_, trade)| trade).collect())
        })
        .collect()
}

#[test]
fn a_real_day_meets_its_bars() {
    let test = "a_real_day_meets_its_bars";
    let Some(path) = shared_data(test, "krx-daily-kospi-2020-2025.parquet") else { return };
    let Some(indices) = shared_data(test, "indices-1995-2025.parquet") else { return };
    let source = data(path, "2024-08-05", Some(indices), Some(60));
    let playback = Playback::load(&source, 7, Some(300), FrameShape::default()).unwrap();
    let references = playback.references();
    assert_eq!(references.len(), 60);
    // Issues listed in the months before have a shorter history.
    let most = Reference::MAX_CLOSES;
    assert!(references.iter().filter(|r| r.closes.len() == most).count() > 50);
    assert!(references.iter().all(|r| r.closes.len() == r.volumes.len() && r.closes.len() <= most));
    assert!(references.iter().all(|r| r.opens.len() == r.closes.len()));
    assert!(references.iter().all(|r| r.highs.len() == r.lows.len()));
    assert!(references.iter().all(|r| r.base_price == r.closes.last().copied()));
    let samsung = references.iter().position(|r| r.symbol.as_str() == "005930").unwrap();
    assert_eq!(references[samsung].name, "삼성전자");

    let mut frames = playback.into_frames();
    let mut audit = TradeAudit::default();
    let mut index: BTreeMap<String, Vec<String>> = BTreeMap::new();
    while let Some((info, frame)) = frames.next() {
        for record in records(frame) {
            match info.feed {
                Feed::Trade => audit.take(&info, &record, true),
                Feed::Index => {
                    check_index(&record);
                    index.insert(record[0].clone(), record);
                }
                Feed::Book | Feed::Operation | Feed::Vi => {}
            }
        }
    }
    assert_eq!(index["0001"][9], "-8.77");
    assert_eq!(index["1001"][9], "-11.30");
    assert_eq!(index["0001"][2], "2441.55");
    // The day after tells what the file says of this one: it is the last bar of the history.
    let Some(path) = shared_data(test, "krx-daily-kospi-2020-2025.parquet") else { return };
    let after = source::load(&data(path, "2024-08-06", None, None), 7, Some(2)).unwrap();
    let day = frames.playback().session_day();
    let mut compared = 0;
    for (reference, state) in references.iter().zip(&frames.playback().issues) {
        let Some(issue) = after.issues.iter().find(|i| i.symbol == reference.symbol) else {
            continue;
        };
        let bar = issue.history.last().unwrap();
        assert_eq!(bar.day, day);
        let played = (state.open, state.high, state.low, state.price, state.volume);
        assert_eq!(
            played,
            (bar.open, bar.high, bar.low, bar.close, bar.volume),
            "{}",
            issue.symbol
        );
        compared += 1;
    }
    assert!(compared >= 59, "{compared}");
    for (reference, state) in references.iter().zip(&frames.playback().issues) {
        let last = &audit.last[reference.symbol.as_str()];
        assert_eq!(number(&last[13]), state.volume);
        assert_eq!(last[1].get(..4), Some("1530"));
        assert_eq!(number(&last[2]), state.price);
    }
    let falling = references
        .iter()
        .zip(&frames.playback().issues)
        .filter(|(r, state)| state.price < r.base_price.unwrap())
        .count();
    assert!(falling > 55, "{falling} of 60 fell");
}

#[test]
fn what_cannot_be_played_says_why() {
    let error = |source: &SimSource| {
        Playback::load(source, 1, None, FrameShape::default()).unwrap_err().to_string()
    };
    let missing = data("/nowhere/x.parquet".into(), "2024-08-05", None, None);
    assert!(error(&missing).contains("/nowhere/x.parquet"));
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.parquet");
    std::fs::write(&text, "not parquet").unwrap();
    assert!(error(&data(text, "2024-08-05", None, None)).contains("as parquet"));
    assert!(error(&market("boom")).contains("expected crash, calm"));

    let test = "what_cannot_be_played_says_why";
    let Some(ticks) = shared_data(test, "krx-ticks-2020-06-04.parquet") else { return };
    let text = error(&data(ticks, "2020-06-05", None, None));
    assert!(text.contains("2020-06-05") && text.contains("2020-06-04"), "{text}");
    let Some(indices) = shared_data(test, "indices-1995-2025.parquet") else { return };
    let text = error(&data(indices, "2020-06-05", None, None));
    assert!(text.contains("column \"symbol\" is missing"), "{text}");
    let wrong = FrameShape { book_fields: 60, ..FrameShape::default() };
    let refused = Playback::load(&market("calm"), 1, None, wrong);
    assert!(matches!(refused, Err(SimError::Shape { value: 60, .. })));
}

//! Points, minutes, board rows, days.

use std::sync::Arc;

use super::support::{Stream, directory, run, run_new, time};
use crate::market::{
    EventTime, Mark, Quote, RecordRef, Reference, SessionDay, SymbolId, Trade, TradeFlags,
};
use crate::risk::{RiskEngine, RiskParams, ScoreBatch, ScoreParts};

const DAY: u32 = 20_240_805;

#[test]
fn one_point_a_second_and_one_minute_a_minute() {
    let mut stream = Stream::default();
    for (at, price) in [
        (90_001, 10_000),
        (90_001, 10_010),
        (90_002, 10_020),
        (90_059, 10_030),
        (90_100, 10_040),
        (90_305, 10_050),
    ] {
        stream.price(0, time(DAY, at), price);
    }
    let mut engine = RiskEngine::new(RiskParams::default());
    let mut out = run(&mut engine, &stream.batch, &directory(1));
    let prices: Vec<_> = out.points.iter().map(|point| point.price).collect();
    assert_eq!(prices, [10_000, 10_020, 10_030, 10_040, 10_050]);
    assert_eq!(out.points[1].cum_volume, 30);
    assert_eq!(out.points[1].at, RecordRef { segment: 1, offset: 2, record: 0 });
    let minutes = |out: &ScoreBatch| -> Vec<(EventTime, i64)> {
        out.minutes.iter().map(|minute| (minute.minute, minute.point.price)).collect()
    };
    assert_eq!(minutes(&out), [(time(DAY, 90_000), 10_030), (time(DAY, 90_100), 10_040)]);
    out.clear();
    engine.finish(&mut out);
    assert_eq!(minutes(&out), [(time(DAY, 90_300), 10_050)]);
}

#[test]
fn expected_late_and_impossible_trades_are_not_scored() {
    let mut stream = Stream::default();
    for (flags, price) in [(TradeFlags::EXPECTED, 10_000), (TradeFlags::LATE, 10_000), (0, 0)] {
        let (symbol, flags) = (SymbolId(0), TradeFlags(flags));
        let time = time(DAY, 90_000);
        stream.trade(Trade { symbol, time, price, flags, ..Trade::default() });
    }
    assert!(run_new(&stream, &directory(1)).is_empty());
}

#[test]
fn the_board_gets_each_changed_row_once() {
    let mut stream = Stream::default();
    for (symbol, at, price) in [(2, 90_000, 9_900), (0, 90_000, 10_100), (2, 90_001, 9_800)] {
        stream.price(symbol, time(DAY, at), price);
    }
    let mut engine = RiskEngine::new(RiskParams::default());
    run(&mut engine, &stream.batch, &directory(3));
    let rows: Vec<_> = engine.changed_rows().collect();
    let seen: Vec<_> = rows.iter().map(|row| (row.point.symbol.0, row.high, row.low)).collect();
    assert_eq!(seen, [(2, 9_900, 9_800), (0, 10_100, 10_100)]);
    assert!((rows[0].point.change_pct + 2.0).abs() < 1e-9);
    assert_eq!(engine.changed_rows().count(), 0);
    assert_eq!(engine.rows().count(), 2);
}

#[test]
fn parts_add_up_and_quotes_count() {
    let mut stream = Stream::default();
    stream.reference(0, 0.02);
    stream.price(0, time(DAY, 90_000), 10_000);
    let quote = Quote {
        symbol: SymbolId(0),
        time: time(DAY, 90_001),
        ask: 10_200,
        bid: 9_800,
        ask_depth: 900,
        bid_depth: 100,
        phase: b'0',
        ..Quote::default()
    };
    stream.batch.push_quote(quote, RecordRef::default());
    stream.price(0, time(DAY, 90_002), 10_000);
    let out = run_new(&stream, &directory(1));
    let [first, second] = out.points[..] else { panic!("{:?}", out.points) };
    assert_eq!(first.parts.liquidity, 0.0);
    // 4 % wide, leaning 0.8 to the ask: (0.5 + 0.5 · 0.8) · 4 %.
    assert!((second.parts.liquidity - 3.6).abs() < 1e-9, "{second:?}");
    for point in [first, second] {
        let parts = point.parts;
        let downside = parts.volatility + parts.drawdown + parts.liquidity + parts.volume;
        let whole = ScoreParts { volatility: downside, ..ScoreParts::default() };
        assert!((point.score - crate::risk::score::score(&whole)).abs() < 1e-9);
    }
    assert!((25.0..45.0).contains(&first.score), "{first:?}");
}

#[test]
fn another_day_resets_the_day_and_keeps_the_slow() {
    let mut stream = Stream::default();
    for second in 0..3 {
        stream.price(0, time(DAY, 151_900 + second), 10_000 - i64::from(second) * 500);
    }
    let next = |price, at| Trade {
        symbol: SymbolId(0),
        time: time(20_240_806, at),
        price,
        quantity: 5,
        cum_volume: 5,
        ..Trade::default()
    };
    let at = RecordRef::default();
    stream.batch.push_trade(next(9_180, 90_000), at);
    let mut engine = RiskEngine::new(RiskParams::default());
    let out = run(&mut engine, &stream.batch, &directory(1));
    let last = out.points.last().unwrap();
    assert_eq!(out.minutes.last().unwrap().point.price, 9_000, "yesterday's minute is told");
    // The base of the new day is yesterday's last price; the fall of yesterday is over.
    assert!((last.change_pct - 2.0).abs() < 1e-9, "{last:?}");
    assert_eq!(last.parts.drawdown, 0.0);
    let row = engine.rows().next().unwrap();
    assert_eq!((row.high, row.low), (9_180, 9_180));
}

#[test]
fn a_day_of_the_past_is_a_day_as_well() {
    let mut stream = Stream::default();
    stream.price(0, time(20_240_806, 90_000), 10_000);
    stream.price(0, time(DAY, 90_000), 9_000);
    stream.price(1, time(20_240_806, 90_001), 9_000);
    stream.price(0, time(DAY, 90_001), 9_000);
    let out = run_new(&stream, &directory(2));
    assert_eq!(out.points.len(), 4);
}

#[test]
fn gaps_flag_the_points_that_look_back_on_them() {
    let mut stream = Stream::default();
    let mut trade = |at, flags| {
        let (symbol, flags) = (SymbolId(0), TradeFlags(flags));
        stream.trade(Trade {
            symbol,
            time: time(DAY, at),
            price: 10_000,
            flags,
            ..Trade::default()
        });
    };
    trade(100_000, 0);
    trade(100_010, TradeFlags::AFTER_GAP);
    trade(100_509, 0);
    trade(100_511, 0);
    let out = run_new(&stream, &directory(1));
    let flags: Vec<_> = out.points.iter().map(|point| point.over_gap).collect();
    assert_eq!(flags, [false, true, true, false]);
}

#[test]
fn a_base_price_is_for_the_day_that_its_reference_tells() {
    let reference = |about: u32, base_price| Reference {
        day: SessionDay::from_yyyymmdd(about),
        base_price: Some(base_price),
        ..Reference::bare("000000".parse().unwrap())
    };
    let trade = |day, price| Trade {
        symbol: SymbolId(0),
        time: time(day, 90_000),
        price,
        quantity: 1,
        ..Trade::default()
    };
    let tell = |stream: &mut Stream, about, base_price| {
        stream.mark(Mark::Reference(SymbolId(0), Arc::new(reference(about, base_price))));
    };
    let mut stream = Stream::default();
    tell(&mut stream, DAY, 10_000);
    stream.trade(trade(DAY, 9_000));
    tell(&mut stream, DAY, 10_000); // again, of the same day
    stream.trade(trade(DAY + 1, 9_900)); // nothing told: against yesterday's last, 9,000
    tell(&mut stream, DAY + 2, 11_000);
    stream.trade(trade(DAY + 2, 9_900));
    let out = run_new(&stream, &directory(1));
    let changes: Vec<_> = out.points.iter().map(|point| point.change_pct).collect();
    assert_eq!(changes, [-10.0, 10.0, -10.0]);
}

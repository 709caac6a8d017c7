//! The detectors within the engine.

use super::support::{Stream, Walk, directory, of_rule, run_new, time};
use crate::market::{GapCause, Mark, SymbolId};
use crate::risk::{Cause, Level, Rule};

const DAY: u32 = 20_240_805;

/// A whole session of `issues` noisy issues and two indices that go nowhere.
fn flat_day(seed: u64, issues: u32, daily: f64) -> Stream {
    let mut stream = Stream::default();
    let mut walks: Vec<_> = (0..issues).map(|issue| Walk::new(issue, seed, daily)).collect();
    for issue in 0..issues {
        stream.reference(issue, daily);
    }
    let open = time(DAY, 90_000);
    for second in 0..22_800i64 {
        let now = open.plus_micros(second * 1_000_000);
        for walk in &mut walks {
            walk.step(&mut stream, now);
        }
        if second % 10 == 0 {
            let mean: f64 = walks.iter().map(|walk| walk.price).sum::<f64>() / issues as f64;
            stream.index(issues, now, (mean * 26.0) as i64, 260_000);
        }
    }
    stream
}

#[test]
fn a_flat_noisy_day_raises_nothing() {
    for (seed, daily) in [(1, 0.015), (2, 0.025), (3, 0.04)] {
        let out = run_new(&flat_day(seed, 5, daily), &directory(5));
        assert!(out.detections.is_empty(), "seed {seed}: {:#?}", out.detections);
        assert!(out.points.len() > 40_000);
    }
}

#[test]
fn a_fall_of_six_per_cent_in_two_minutes_is_found_within_seconds() {
    let mut stream = Stream::default();
    stream.reference(0, 0.02);
    let mut walk = Walk::new(0, 5, 0.02);
    let open = time(DAY, 100_000);
    for second in 0..720i64 {
        if second >= 600 {
            walk.price *= 1.0 - 0.06 / 120.0;
        }
        walk.step(&mut stream, open.plus_micros(second * 1_000_000));
    }
    let out = run_new(&stream, &directory(1));
    let found = of_rule(&out, Rule::SymbolCrash);
    let after: Vec<_> = found
        .iter()
        .map(|crash| (crash.level, crash.time.micros_since(open) / 1_000_000 - 600))
        .collect();
    // Two per cent are lost after 40 s: nothing can be said before; five after 100 s.
    assert!(matches!(after[0], (Level::Watch, 20..=55)), "{after:?}");
    assert!(matches!(after[1], (Level::Warning, 50..=110)), "{after:?}");
    assert_eq!(found[0].name, "종목0");
    assert_eq!(found[0].symbol.unwrap().as_str(), "000000");
    let trade = (0..stream.batch.trades.len())
        .map(|row| stream.batch.trades.row(row))
        .find(|trade| found[0].cause == Cause::Trade { cum_volume: trade.cum_volume })
        .unwrap();
    assert_eq!((trade.price, trade.time), (found[0].price, found[0].time));
    let before = out.points.iter().rfind(|point| point.time < open.plus_micros(599_000_000));
    let (before, last) = (before.unwrap().score, out.points.last().unwrap().score);
    assert!(last > before + 15.0, "{before} {last}");
}

#[test]
fn the_market_falls_by_index_alone() {
    let mut stream = Stream::default();
    let open = time(DAY, 100_000);
    for minute in 0..100i64 {
        let now = open.plus_micros(minute * 60_000_000);
        stream.index(1, now, 260_000 - minute * 230, 260_000);
        stream.price(0, now, 10_000);
    }
    let out = run_new(&stream, &directory(1));
    let levels: Vec<_> = out.detections.iter().map(|found| (found.rule, found.level)).collect();
    let market = |level| (Rule::MarketCrash, level);
    // −3, −4, −5 and the first circuit-breaker level, −8 %.
    let expected = [Level::Watch, Level::Warning, Level::Critical, Level::Critical].map(market);
    assert_eq!(levels, expected, "{:#?}", out.detections);
    assert_eq!((out.detections[0].name.as_str(), out.detections[0].symbol), ("코스피", None));
    assert_eq!(out.detections[0].reference_price, 260_000);
    let micros = out.detections[0].time.micros();
    assert_eq!(out.detections[0].cause, Cause::Moment { micros });
}

#[test]
fn two_indices_never_share_an_identity() {
    let mut stream = Stream::default();
    for second in 0..3 {
        for index in [1, 2] {
            stream.index(index, time(DAY, 100_000 + second), 240_000, 260_000);
        }
    }
    let out = run_new(&stream, &directory(1));
    let seen: Vec<_> = out.detections.iter().map(|d| (d.name.as_str(), d.level, d.time)).collect();
    let expected = [
        ("코스피", Level::Critical, time(DAY, 100_000)),
        ("코스닥", Level::Critical, time(DAY, 100_001)),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn the_market_falls_by_breadth_alone() {
    let mut stream = Stream::default();
    let open = time(DAY, 93_000);
    for step in 0..120i64 {
        for issue in 0..30u32 {
            let now = open.plus_micros(step * 60_000_000 + i64::from(issue) * 1_000_000);
            // Half the issues stand still, the others lose 6 % in two hours.
            let price = if issue % 2 == 0 { 10_000 } else { 10_000 - step * 5 };
            stream.price(issue, now, price);
        }
        stream.index(30, open.plus_micros(step * 60_000_000), 260_000, 260_000);
    }
    let out = run_new(&stream, &directory(30));
    // The issues that fall are told as slides of their own.
    let found = of_rule(&out, Rule::MarketCrash);
    let levels: Vec<_> = found.iter().map(|found| (found.rule, found.level)).collect();
    assert_eq!(
        levels,
        [(Rule::MarketCrash, Level::Watch), (Rule::MarketCrash, Level::Warning)],
        "{:#?}",
        found
    );
    let evidence = &found[0].evidence;
    assert_eq!((evidence[1], evidence[2].0), (("issues", 30.0), "share_down_5pct"));
    assert!(found[0].score > 0.0);
}

#[test]
fn other_products_are_no_breadth() {
    let mut stream = Stream::default();
    for issue in 0..30u32 {
        let reference = crate::market::Reference {
            market: crate::market::Market::Other,
            ..crate::market::Reference::bare(format!("{issue:06}").parse().unwrap())
        };
        stream.mark(Mark::Reference(SymbolId(issue), std::sync::Arc::new(reference)));
        stream.price(issue, time(DAY, 93_000), 9_300);
    }
    assert!(run_new(&stream, &directory(30)).detections.is_empty());
}

#[test]
fn noise_around_a_threshold_is_told_once_and_again_after_recovery() {
    let mut stream = Stream::default();
    stream.reference(0, 0.02);
    let open = time(DAY, 100_000);
    let mut at = |second: i64, price| stream.price(0, open.plus_micros(second * 1_000_000), price);
    for second in 0..200 {
        at(second, if second % 2 == 0 { 10_000 } else { 9_790 });
    }
    for second in 200..1_500 {
        at(second, 9_800);
    }
    at(1_501, 9_590);
    at(1_502, 9_590);
    let out = run_new(&stream, &directory(1));
    let times: Vec<_> = of_rule(&out, Rule::SymbolCrash)
        .iter()
        .map(|found| found.time.micros_since(open) / 1_000_000)
        .collect();
    assert_eq!(times, [1, 1_501]);
}

#[test]
fn storms_of_price_and_volume() {
    let mut stream = Stream::default();
    stream.reference(0, 0.015);
    let mut walk = Walk::new(0, 9, 0.015);
    let open = time(DAY, 100_000);
    for second in 0..5_400i64 {
        let now = open.plus_micros(second * 1_000_000);
        if second == 2_700 {
            walk.daily = 0.15;
        }
        walk.step(&mut stream, now);
        if second > 2_700 {
            (0..40).for_each(|_| stream.price(0, now, walk.price as i64));
        }
    }
    let out = run_new(&stream, &directory(1));
    for rule in [Rule::Volatility, Rule::VolumeSurge] {
        let found = of_rule(&out, rule);
        let first = found[0].time.micros_since(open) / 1_000_000;
        assert!((2_700..3_900).contains(&first), "{rule:?} {first}");
        assert!(found.len() <= 3 && found[0].evidence[0].0 == "ratio", "{found:#?}");
    }
}

#[test]
fn gaps_are_told_each() {
    let mut stream = Stream::default();
    stream.price(0, time(DAY, 100_000), 10_000);
    for (to, cum_volume) in [(100_100, 5_000), (100_200, 9_000)] {
        stream.mark(Mark::Gap {
            symbol: SymbolId(0),
            from: time(DAY, 100_000),
            to: time(DAY, to),
            missing_volume: 400,
            cum_volume,
            cause: GapCause::Disconnect,
        });
    }
    stream.price(0, time(DAY, 100_200), 10_000);
    let out = run_new(&stream, &directory(1));
    let causes: Vec<_> = of_rule(&out, Rule::FeedGap).iter().map(|found| found.cause).collect();
    let expected = [5_000, 9_000].map(|cum_volume| Cause::Trade { cum_volume });
    assert_eq!(causes, expected);
    assert!(!out.points[0].over_gap && out.points[1].over_gap);
}

#[test]
fn silence_of_the_feed_and_of_an_issue() {
    let mut stream = Stream::default();
    let open = time(DAY, 100_000);
    for second in 0..600i64 {
        let now = open.plus_micros(second * 1_000_000);
        stream.price(0, now, 10_000);
        if second < 200 {
            stream.price(1, now, 10_000);
        }
    }
    let silence_us = 30_000_000;
    let time_of_mark = open.plus_micros(599_000_000 + silence_us);
    stream.mark(Mark::Silence { time: time_of_mark, silence_us });
    stream
        .mark(Mark::Silence { time: time_of_mark.plus_micros(1_000_000), silence_us: 31_000_000 });
    let out = run_new(&stream, &directory(2));
    let found = of_rule(&out, Rule::FeedStale);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!(found[0].symbol.unwrap().as_str(), "000001");
    assert_eq!(found[0].cause, Cause::Trade { cum_volume: 2_000 });
    assert_eq!(found[1].symbol, None);
    let began = open.plus_micros(599_000_000).micros();
    assert_eq!(found[1].cause, Cause::Moment { micros: began });
}

#[test]
fn many_silent_issues_are_one_silent_feed() {
    let mut stream = Stream::default();
    let open = time(DAY, 100_000);
    for second in 0..600i64 {
        let now = open.plus_micros(second * 1_000_000);
        stream.price(0, now, 10_000);
        for issue in 1..20 {
            if second < 200 {
                stream.price(issue, now, 10_000);
            }
        }
    }
    let out = run_new(&stream, &directory(20));
    let found = of_rule(&out, Rule::FeedStale);
    assert_eq!((found.len(), found[0].symbol), (1, None), "{found:#?}");
}

#[test]
fn issues_of_a_halted_board_are_not_silent_though_the_other_board_trades() {
    let market = |halts: bool| {
        let mut stream = Stream::default();
        for issue in 0..6u32 {
            let board = if issue < 3 {
                crate::market::Market::Kospi
            } else {
                crate::market::Market::Kosdaq
            };
            let reference = crate::market::Reference {
                market: board,
                ..crate::market::Reference::bare(format!("{issue:06}").parse().unwrap())
            };
            stream.mark(Mark::Reference(SymbolId(issue), std::sync::Arc::new(reference)));
        }
        let open = time(DAY, 100_000);
        for second in 0..1_500i64 {
            let now = open.plus_micros(second * 1_000_000);
            if second == 300 && halts {
                // Only one issue is registered for the message.
                let (symbol, code) = (SymbolId(1), 174);
                let (halted, vi_active) = (false, false);
                stream.mark(Mark::Operation { symbol, time: now, code, halted, vi_active });
            }
            for issue in if second < 300 { 0..6 } else { 3..6 } {
                stream.price(issue, now, 10_000);
            }
        }
        run_new(&stream, &directory(6))
    };
    assert_eq!(of_rule(&market(false), Rule::FeedStale).len(), 6, "two levels of three issues");
    let halted = market(true);
    assert!(of_rule(&halted, Rule::FeedStale).is_empty(), "{:#?}", halted.detections);
    let told = of_rule(&halted, Rule::Halt);
    assert_eq!((told.len(), told[0].name.as_str(), told[0].level), (1, "코스피", Level::Critical));
}

#[test]
fn a_circuit_breaker_is_told_once_however_many_issues_report_it() {
    let mut stream = Stream::default();
    for symbol in 0..3 {
        stream.mark(Mark::Operation {
            symbol: SymbolId(symbol),
            time: time(DAY, 140_000 + symbol),
            code: 174,
            halted: true,
            vi_active: false,
        });
    }
    stream.mark(Mark::Silence { time: time(DAY, 141_000), silence_us: 600_000_000 });
    let out = run_new(&stream, &directory(3));
    let told: Vec<_> = out.detections.iter().map(|d| (d.rule, d.level, d.symbol, d.time)).collect();
    let issue = |number: usize| {
        let symbol = Some(format!("{number:06}").parse().unwrap());
        (Rule::Halt, Level::Warning, symbol, time(DAY, 140_000 + number as u32))
    };
    let market = |rule| (rule, Level::Critical, None, time(DAY, 140_000));
    let expected = [issue(0), market(Rule::Halt), market(Rule::MarketCrash), issue(1), issue(2)];
    assert_eq!(told, expected);
}

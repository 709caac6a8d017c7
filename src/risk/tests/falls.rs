//! Jump, slide, missing trades, halts, splits: the falls of one issue within the engine.

use proptest::prelude::*;

use super::support::{Stream, Walk, directory, of_rule, run, run_new, time};
use crate::market::{GapCause, Mark, SymbolId, Trade, TradeFlags};
use crate::risk::{Detection, Level, RiskEngine, RiskParams, Rule, ScoreBatch};

const DAY: u32 = 20_240_805;

fn evidence(found: &Detection, name: &str) -> f64 {
    found
        .evidence
        .iter()
        .find(|(known, _)| *known == name)
        .unwrap_or_else(|| panic!("{name}: {found:?}"))
        .1
}

/// Half an hour of an issue that lives at 1 % a day, then `fall` at once.
fn calm_then(fall: f64, change: impl Fn(Trade) -> Trade) -> ScoreBatch {
    let mut stream = Stream::default();
    stream.reference(0, 0.01);
    let mut walk = Walk::new(0, 11, 0.01);
    let open = time(DAY, 110_000);
    for second in 0..1_800i64 {
        walk.step(&mut stream, open.plus_micros(second * 1_000_000));
    }
    for second in 1_800..1_830i64 {
        let price = ((walk.price * (1.0 - fall)) as i64).div_euclid(10) * 10;
        let trade = Trade {
            symbol: SymbolId(0),
            time: open.plus_micros(second * 1_000_000),
            price,
            ask: price + 10,
            bid: price,
            base_price: 10_000,
            ..Trade::default()
        };
        stream.trade(if second == 1_800 { change(trade) } else { trade });
    }
    run_new(&stream, &directory(1))
}

#[test]
fn a_jump_that_no_plain_rule_sees_is_found_at_its_first_trade() {
    let out = calm_then(0.016, |trade| trade);
    let found = of_rule(&out, Rule::SymbolCrash);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((evidence(found[0], "view"), found[0].level), (2.0, Level::Warning));
    assert_eq!(found[0].time, time(DAY, 113_000));
    assert!(evidence(found[0], "jump_statistic") > evidence(found[0], "jump_threshold"));
    assert!(calm_then(0.006, |trade| trade).detections.is_empty(), "too small to be worth a word");
}

/// Noise around a level instead of a walk: livelier than the past from the first trade on.
#[test]
fn a_noisy_level_raises_nothing_from_the_first_minute_on() {
    use rand::{RngExt, SeedableRng};
    for seed in 0..6 {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let mut stream = Stream::default();
        stream.reference(0, 0.02);
        let open = time(DAY, 90_000);
        for second in 0..7_200i64 {
            let noise: f64 = (0..12).map(|_| rng.random_range(-0.5..0.5)).sum();
            let price = (70_000.0 * (1.0 + 0.002_5 * noise)) as i64 / 100 * 100;
            let time = open.plus_micros(second * 1_000_000);
            let base_price = 70_000;
            stream.trade(Trade {
                symbol: SymbolId(0),
                time,
                price,
                base_price,
                ..Trade::default()
            });
        }
        let out = run_new(&stream, &directory(1));
        assert!(of_rule(&out, Rule::SymbolCrash).is_empty(), "{seed}: {:#?}", out.detections);
    }
}

#[test]
fn over_missing_trades_there_is_no_jump_and_a_plain_fall_says_so() {
    let after_gap = |trade| Trade { flags: TradeFlags(TradeFlags::AFTER_GAP), ..trade };
    assert!(calm_then(0.016, after_gap).detections.is_empty());
    let out = calm_then(0.06, after_gap);
    let found = of_rule(&out, Rule::SymbolCrash);
    assert_eq!((evidence(found[0], "view"), evidence(found[0], "over_gap")), (1.0, 1.0));
    let without = calm_then(0.06, |trade| trade);
    assert_eq!(evidence(of_rule(&without, Rule::SymbolCrash)[0], "over_gap"), 0.0);
}

#[test]
fn a_slide_that_no_window_shows_is_found() {
    let mut stream = Stream::default();
    stream.reference(0, 0.02);
    let mut walk = Walk::new(0, 3, 0.02);
    let open = time(DAY, 100_000);
    for second in 0..6_000i64 {
        if second >= 1_200 {
            // Three quarters of a deviation in each half minute: 5.3 % an hour and 20 minutes.
            walk.price *= 1.0 - 0.02 / 780f64.sqrt() * 0.75 / 30.0;
        }
        walk.step(&mut stream, open.plus_micros(second * 1_000_000));
    }
    let out = run_new(&stream, &directory(1));
    let found = of_rule(&out, Rule::SymbolCrash);
    let after = found[0].time.micros_since(open) / 1_000_000 - 1_200;
    assert_eq!(evidence(found[0], "view"), 3.0, "{found:#?}");
    assert!((600..3_600).contains(&after), "{after}");
    assert!(found[0].change_pct < -2.4 && found[0].window_s > 600);
    assert!((evidence(found[0], "false_alarms_a_day") - 0.01).abs() < 1e-9);
}

#[test]
fn a_reopening_after_a_halt_is_no_sudden_fall() {
    let mut stream = Stream::default();
    stream.reference(0, 0.02);
    let open = time(DAY, 100_000);
    for second in 0..900i64 {
        stream.price(0, open.plus_micros(second * 1_000_000), 10_000);
    }
    let halted_at = open.plus_micros(900_000_000);
    let halt = |halted| Mark::Operation {
        symbol: SymbolId(0),
        time: halted_at,
        code: 0,
        halted,
        vi_active: false,
    };
    stream.mark(halt(true));
    stream.mark(halt(true));
    stream.mark(halt(false));
    for second in 1_020..1_200i64 {
        stream.price(0, open.plus_micros(second * 1_000_000), 9_300);
    }
    let out = run_new(&stream, &directory(1));
    let told: Vec<_> = out.detections.iter().map(|found| (found.rule, found.level)).collect();
    assert_eq!(told, [(Rule::Halt, Level::Warning)], "{:#?}", out.detections);
}

#[test]
fn an_unadjusted_split_is_no_crash_of_the_issue_nor_of_the_market() {
    let mut stream = Stream::default();
    let trade = |symbol: u32, day, at, price| Trade {
        symbol: SymbolId(symbol),
        time: time(day, at),
        price,
        ..Trade::default()
    };
    for issue in 0..30 {
        stream.trade(trade(issue, DAY, 151_000, 50_000));
    }
    for second in 0..120 {
        for issue in 0..30 {
            stream.trade(trade(issue, DAY + 1, 90_000 + second % 60, 10_000));
        }
    }
    let out = run_new(&stream, &directory(30));
    assert!(out.detections.is_empty(), "{:#?}", &out.detections[..1]);
}

#[test]
fn interruption_and_limit_are_told_by_the_exchanges_rules() {
    let mut stream = Stream::default();
    stream.reference(0, 0.08);
    let at = |second: i64| time(DAY, 100_000).plus_micros(second * 1_000_000);
    let mut trade = |second, price, vi_reference| {
        stream.trade(Trade {
            symbol: SymbolId(0),
            time: at(second),
            price,
            base_price: 10_000,
            vi_reference,
            ..Trade::default()
        });
    };
    trade(0, 9_400, 10_000);
    trade(10, 9_080, 10_000); // within a per cent of 9,000
    trade(140, 8_800, 8_800); // the auction of an interruption
    trade(150, 7_980, 8_800);
    trade(280, 7_050, 7_050);
    trade(281, 7_000, 7_050); // the lower limit
    let out = run_new(&stream, &directory(1));
    let of = |rule| -> Vec<_> {
        of_rule(&out, rule)
            .iter()
            .map(|d| (d.time.micros_since(at(0)) / 1_000_000, d.level))
            .collect()
    };
    let expected = [(10, Level::Watch), (140, Level::Warning), (280, Level::Warning)];
    assert_eq!(of(Rule::Vi), expected, "nearness rests for half an hour");
    assert_eq!(of(Rule::PriceLimit), [(280, Level::Watch), (281, Level::Critical)]);
}

#[test]
fn a_book_that_dries_up_is_told_and_a_gap_mark_breaks_the_chain() {
    let mut stream = Stream::default();
    stream.reference(0, 0.02);
    let open = time(DAY, 100_000);
    for second in 0..2_400i64 {
        // A spread of ten won on 10,000 is wide after half an hour: 80 won, and a tenth of the bids.
        let (wide, depth) = if second < 1_800 { (10, 5_000) } else { (80, 400) };
        stream.trade(Trade {
            symbol: SymbolId(0),
            time: open.plus_micros(second * 1_000_000),
            price: 10_000,
            ask: 10_000 + wide,
            bid: 10_000,
            ask_depth: 5_000,
            bid_depth: depth,
            base_price: 10_000,
            ..Trade::default()
        });
        if second == 1_000 {
            stream.mark(Mark::Gap {
                symbol: SymbolId(0),
                from: open,
                to: open.plus_micros(second * 1_000_000),
                missing_volume: 1,
                cum_volume: 1_000_000,
                cause: GapCause::Feed,
            });
        }
    }
    let out = run_new(&stream, &directory(1));
    let found = of_rule(&out, Rule::Liquidity);
    let levels: Vec<_> = found.iter().map(|found| found.level).collect();
    assert_eq!(levels[0], Level::Watch, "{found:#?}");
    assert!(levels.len() <= 3);
    let after = found[0].time.micros_since(open) / 1_000_000 - 1_800;
    assert!((1..240).contains(&after), "{after}");
}

/// Rules that do not know what a won is.
fn scale_free(out: &ScoreBatch) -> Vec<(Rule, Level, i64, Option<u32>)> {
    let free = [Rule::SymbolCrash, Rule::MarketCrash, Rule::Volatility];
    out.detections
        .iter()
        .filter(|found| free.contains(&found.rule))
        .map(|found| (found.rule, found.level, found.time.micros(), Some(found.window_s)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Prices times k give the same detections; only tick sizes would not scale.
    #[test]
    fn detections_do_not_depend_on_the_unit_of_price(seed in 0u64..1_000, k in 2i64..50) {
        let found = [1, k].map(|k| {
            let mut stream = Stream::default();
            let mut walks: Vec<_> = (0..3).map(|issue| Walk::new(issue, seed, 0.25)).collect();
            for second in 0..1_500i64 {
                let now = time(DAY, 100_000).plus_micros(second * 1_000_000);
                walks.iter_mut().for_each(|walk| walk.step(&mut stream, now));
            }
            let trades = &mut stream.batch.trades;
            for column in [&mut trades.price, &mut trades.ask, &mut trades.bid, &mut trades.base_price] {
                column.iter_mut().for_each(|price| *price *= k);
            }
            let mut params = RiskParams::default();
            params.jump.min_ticks = 0;
            let out = run(&mut RiskEngine::new(params), &stream.batch, &directory(3));
            prop_assert!(out.detections.iter().all(|d| d.evidence.iter().all(|(_, v)| v.is_finite())));
            Ok(scale_free(&out))
        });
        let [plain, scaled] = found;
        prop_assert_eq!(plain?, scaled?);
    }

    /// A fall from 1.5 to 12 % within 20 seconds is found within seconds, at a level that never
    /// falls with its size.
    #[test]
    fn a_sharp_fall_is_found_within_seconds(seed in 0u64..500, fall in 0.015f64..0.12, more in 0.0f64..0.05) {
        let level = |fall: f64| {
            let mut stream = Stream::default();
            stream.reference(0, 0.015);
            let mut walk = Walk::new(0, seed, 0.015);
            let open = time(DAY, 103_000);
            for second in 0..660i64 {
                if (600..620).contains(&second) {
                    walk.price *= (1.0 - fall).powf(0.05);
                }
                walk.step(&mut stream, open.plus_micros(second * 1_000_000));
            }
            let out = run_new(&stream, &directory(1));
            let found = of_rule(&out, Rule::SymbolCrash);
            let first = found.first().map(|found| found.time.micros_since(open) / 1_000_000 - 600);
            (first, found.iter().map(|found| found.level).max())
        };
        let ((first, most), (_, deeper)) = (level(fall), level(fall + more));
        if fall >= 0.025 {
            prop_assert!(first.is_some_and(|after| (0..25).contains(&after)), "{first:?}");
        }
        prop_assert!(deeper >= most, "{most:?} {deeper:?}");
    }
}

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::kis::sim::book::quotes_around;
use crate::kis::sim::day::Series;
use crate::kis::sim::interruption::AuctionClass;
use crate::market::rules::breaker::Stage;
use crate::market::{SessionDay, Symbol};

const OPEN_MS: u32 = ms(rules::OPEN);
const CLOSE_MS: u32 = ms(rules::CLOSE);

fn symbol(code: &str) -> Symbol {
    Symbol::from_bytes(code.as_bytes()).unwrap()
}

/// A day of one KOSPI and one KOSDAQ issue, with an index of KOSPI. Times are seconds after the
/// opening; each issue gets an auction at both ends.
fn day(paths: [&[(u32, i32)]; 2], levels: &[(u32, i64)]) -> Day {
    let day = SessionDay::from_yyyymmdd(20_240_805).unwrap();
    let of = |code, market, base| Issue::new(day, symbol(code), market, base, 3);
    let first = |path: &[(u32, i32)]| path.first().map_or(10_000, |(_, price)| *price);
    let issues = vec![
        of("000001", Market::Kospi, first(paths[0]).into()),
        of("000002", Market::Kosdaq, first(paths[1]).into()),
    ];
    let mut prints = Vec::new();
    for (number, path) in paths.into_iter().enumerate() {
        let mut trades = vec![(OPEN_MS + 5_000, first(path), Side::Auction)];
        trades.extend(path.iter().map(|(s, price)| (OPEN_MS + s * 1_000, *price, Side::Sell)));
        let last = path.last().map_or(10_000, |(_, price)| *price);
        trades.push((CLOSE_MS + 3_000, last, Side::Auction));
        for (at, (at_ms, price, side)) in trades.into_iter().enumerate() {
            let market = issues[number].market;
            let (ask, bid) = quotes_around(day, market, price.into(), false);
            let (issue, quantity) = (number as u32, 10 + at as i64);
            prints.push(Print {
                at_ms,
                issue,
                quantity,
                price,
                ask: ask as i32,
                bid: bid as i32,
                side,
            });
        }
    }
    prints.sort_by_key(|print| (print.at_ms, print.issue));
    let index_print = |(s, level): &(u32, i64)| IndexPrint {
        at_ms: OPEN_MS + s * 1_000,
        series: 0,
        level: *level,
    };
    Day {
        day,
        issues,
        prints,
        series: vec![Series {
            symbol: symbol("0001"),
            market: Market::Kospi,
            previous_close: 260_000,
        }],
        index_prints: levels.iter().map(index_print).collect(),
        speed: None,
        rules: Rules::default(),
    }
}

fn played(mut day: Day, seed: u64) -> Day {
    act_out(&mut day, &Levels::Given, seed);
    day
}

fn of_issue(day: &Day, issue: u32) -> Vec<Print> {
    day.prints.iter().copied().filter(|print| print.issue == issue).collect()
}

/// When market operations are told.
fn operations(day: &Day) -> Vec<(u16, u32)> {
    let told = day.rules.notices.iter().filter_map(|notice| match notice.what {
        What::Operation { code, .. } => Some((code, notice.at_ms)),
        _ => None,
    });
    told.collect()
}

/// Halts of KOSPI: from, until.
fn halts(day: &Day) -> Vec<(u32, u32)> {
    let of = |wanted| {
        let told = operations(day).into_iter();
        told.filter(move |(code, _)| *code == wanted).map(|(_, at_ms)| at_ms)
    };
    of(174).zip(of(182)).collect()
}

const QUIET: &[(u32, i32)] = &[(60, 10_000), (600, 10_050), (20_000, 9_980)];

#[test]
fn a_fall_of_a_tenth_waits_for_an_auction() {
    let path = [(60, 10_000), (600, 9_500), (601, 8_990), (620, 8_950), (630, 8_900), (900, 9_000)];
    let day = played(day([QUIET, &path], &[]), 1);
    let [vi] = day.rules.interruptions[..] else { panic!("{:?}", day.rules.interruptions) };
    assert_eq!((vi.issue, vi.count, vi.from_ms), (1, 1, OPEN_MS + 601_000));
    let lasted = vi.until_ms - vi.from_ms;
    assert!((120_000..=150_000).contains(&lasted), "{lasted}");
    assert_eq!((vi.breach.price, vi.breach.static_reference), (8_990, 10_000));
    let trades = of_issue(&day, 1);
    let seen: Vec<_> = trades.iter().map(|p| (p.price, p.side == Side::Auction)).collect();
    let expected = [
        (10_000, true),
        (10_000, false),
        (9_500, false),
        (8_990, true),
        (8_950, false),
        (8_900, false),
        (9_000, false),
        (9_000, true),
    ];
    assert_eq!(seen, expected);
    assert_eq!(trades[3].at_ms, vi.until_ms);
    // 19 and 29 seconds behind the trigger, ten times as fast; the rest has not waited.
    assert_eq!(trades[4].at_ms, vi.until_ms + 1_900);
    assert_eq!(trades[5].at_ms, vi.until_ms + 2_900);
    assert_eq!(trades[6].at_ms, OPEN_MS + 900_000);
    // The end is told after the auction print, and books lead up to it.
    let books = day.rules.notices.iter().filter(|notice| {
        matches!(notice.what, What::Book { issue: 1, expected } if expected.class == AuctionClass::Session)
    });
    assert!((11..=15).contains(&books.count()));
}

#[test]
fn a_jump_stops_large_issues_sooner() {
    let path = [(60, 10_000), (600, 9_690), (700, 9_680)];
    let day = played(day([&path, &path], &[]), 1);
    let stopped: Vec<_> =
        day.rules.interruptions.iter().map(|vi| (vi.issue, vi.breach.kind.code())).collect();
    assert_eq!(stopped, [(0, 2)], "3 % for the KOSPI200 issue, 6 % for the other");
}

#[test]
fn no_interruption_where_none_can_be_held() {
    let late = [(60, 10_000), (22_700, 8_000)];
    assert!(played(day([QUIET, &late], &[]), 1).rules.interruptions.is_empty());
    let path = [(60, 10_000), (600, 8_000)];
    let mut unlimited = day([QUIET, &path], &[]);
    unlimited.issues[1].limits = NO_LIMITS;
    assert!(played(unlimited, 1).rules.interruptions.is_empty());
    let mut old = day([QUIET, &path], &[(600, 200_000), (700, 200_000)]);
    old.day = SessionDay::from_yyyymmdd(20_150_612).unwrap();
    let old = played(old, 1);
    assert!(old.rules.interruptions.is_empty() && halts(&old).is_empty());
}

#[test]
fn a_circuit_breaker_stops_one_market() {
    let path: Vec<(u32, i32)> = (1..200).map(|i| (i * 100, 10_000 - i as i32 / 10 * 10)).collect();
    let levels: Vec<(u32, i64)> = (0..800)
        .map(|i| (i * 10, if i < 300 { 250_000 } else { 238_000 - i64::from(i) }))
        .collect();
    let before = day([&path, &path], &levels);
    let day = played(before.clone(), 1);
    let [(from, until)] = halts(&day)[..] else { panic!("{:?}", operations(&day)) };
    assert_eq!(from, OPEN_MS + 3_060_000);
    assert!((1_800_000..=1_830_000).contains(&(until - from)), "{}", until - from);
    let codes: Vec<u16> = operations(&day).iter().map(|(code, _)| *code).collect();
    assert_eq!(codes, [174, 175, 184, 182, 185, 121]);
    assert_eq!(operations(&day)[2].1, from + 1_200_000);

    let kospi = of_issue(&day, 0);
    assert!(kospi.iter().all(|print| print.at_ms <= from || print.at_ms >= until));
    let reopening = kospi.iter().find(|print| print.at_ms >= until).unwrap();
    assert_eq!((reopening.at_ms, reopening.side), (until, Side::Auction));
    assert_eq!(of_issue(&day, 1), of_issue(&before, 1), "KOSDAQ goes on");
    let halted: Vec<_> =
        day.index_prints.iter().filter(|p| p.at_ms > from && p.at_ms < until).collect();
    assert!(halted.len() > 170, "{}", halted.len());
    assert!(halted.iter().all(|print| print.level == 238_000 - 306), "stands still");
    assert_eq!(day.index_prints.last().unwrap().level, before.index_prints.last().unwrap().level);
}

#[test]
fn the_third_stage_ends_the_day() {
    let path: Vec<(u32, i32)> = (1..200).map(|i| (i * 100, 10_000 + i as i32 % 3 * 10)).collect();
    let level = |i: u32| match i {
        ..300 => 250_000,
        300..600 => 238_000,
        600..1_000 => 219_000,
        _ => 205_000,
    };
    let levels: Vec<(u32, i64)> = (0..2_000).map(|i| (i * 10, level(i))).collect();
    let before = day([&path, QUIET], &levels);
    let day = played(before.clone(), 1);
    let trips: Vec<Stage> = trips(&day)[0].1.iter().map(|(stage, _)| *stage).collect();
    assert_eq!(trips, [Stage::First, Stage::Second, Stage::Third]);
    let closed = day.rules.notices.iter().find(|n| n.what == What::Closes(Market::Kospi)).unwrap();
    let (was, is) = (of_issue(&before, 0), of_issue(&day, 0));
    let volume = |prints: &[Print]| prints.iter().map(|print| print.quantity).sum::<i64>();
    assert_eq!(volume(&is), volume(&was));
    let last = is.last().unwrap();
    assert_eq!((last.at_ms, last.side), (closed.at_ms, Side::Auction));
    assert_eq!(last.price, was.last().unwrap().price);
    assert_eq!(of_issue(&day, 1), of_issue(&before, 1));
}

#[test]
fn a_halted_issue_does_not_trade() {
    let path: Vec<(u32, i32)> = (1..100).map(|i| (i * 60, 10_000)).collect();
    let mut day = day([QUIET, &path], &[]);
    let (from_ms, until_ms) = (OPEN_MS + 600_000, Some(OPEN_MS + 1_200_000));
    day.rules.issue_halts = vec![IssueHalt { issue: 1, from_ms, until_ms }];
    let day = played(day, 1);
    let trades = of_issue(&day, 1);
    assert!(!trades.iter().any(|print| day.rules.issue_halts[0].covers(print.at_ms)));
    let again = trades.iter().find(|print| print.at_ms > from_ms).unwrap();
    assert_eq!((again.at_ms, again.side), (OPEN_MS + 1_200_000, Side::Auction));
    let told: Vec<_> = day
        .rules
        .notices
        .iter()
        .filter_map(|n| matches!(n.what, What::Halt { .. }).then_some(n.at_ms))
        .collect();
    assert_eq!(told, [from_ms, OPEN_MS + 1_200_000]);
}

#[test]
fn waiting_never_goes_backwards() {
    for (from, until) in [(OPEN_MS, OPEN_MS + 1), (END_MS - 1_801_000, END_MS - 1_000)] {
        let wait = Wait { from, until };
        let shifted: Vec<u32> = (from..END_MS + 10).step_by(97).map(|at| wait.shift(at)).collect();
        assert!(shifted.is_sorted());
        assert_eq!(wait.shift(from), from);
        assert_eq!(wait.shift(END_MS), END_MS);
        assert!(wait.shift(END_MS - 1) < END_MS);
    }
}

/// A course of an issue: steps of seconds and of tenths of a percent.
fn course() -> impl Strategy<Value = Vec<(u32, i32)>> {
    let step = prop_oneof![12 => -8i32..8, 1 => -90i32..90];
    prop::collection::vec((0u32..300, step), 0..150).prop_map(|steps| {
        let (mut second, mut price) = (31, 10_000);
        let walk = steps.into_iter().map(|(gap, step)| {
            second += gap;
            price = (price + price * step / 1_000).clamp(7_000, 13_000) / 10 * 10;
            (second, price)
        });
        walk.take_while(|(second, _)| *second < 22_700).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// What is traded stays, in its order; nothing is traded in an interruption or a halt; each
    /// ends with an auction print; outside them no trade breaches a threshold that could still be
    /// acted on.
    #[test]
    fn trades_are_moved_and_not_changed(
        a in course(), b in course(), depth in 200_000i64..260_000, when in 100u32..20_000, seed: u64,
    ) {
        let levels: Vec<(u32, i64)> = (0..2_200)
            .map(|i| (i * 10, if i * 10 < when { 259_000 } else { depth.max(210_000) }))
            .collect();
        let before = day([&a, &b], &levels);
        let day = played(before.clone(), seed);
        prop_assert!(day.prints.is_sorted_by_key(|print| (print.at_ms, print.issue)));
        prop_assert!(day.index_prints.is_sorted_by_key(|print| print.at_ms));
        prop_assert!(day.rules.notices.is_sorted_by_key(|notice| notice.at_ms));
        let mut counts = BTreeMap::new();
        for vi in &day.rules.interruptions {
            let count = counts.entry(vi.issue).or_insert(0);
            *count += 1;
            prop_assert_eq!(vi.count, *count);
        }
        for issue in 0..2 {
            let (was, is) = (of_issue(&before, issue), of_issue(&day, issue));
            let what = |prints: &[Print]| -> Vec<(i32, i64)> {
                prints.iter().map(|print| (print.price, print.quantity)).collect()
            };
            prop_assert_eq!(what(&was), what(&is));
            prop_assert_eq!(was.last(), is.last(), "the closing auction stays");
            prop_assert!(was.iter().zip(&is).all(|(was, is)| was.at_ms <= is.at_ms));

            let mut stops: Vec<(u32, u32)> = day.rules.interruptions.iter()
                .filter(|vi| vi.issue == issue).map(|vi| (vi.from_ms, vi.until_ms)).collect();
            prop_assert!(stops.windows(2).all(|pair| pair[0].1 < pair[1].0));
            if issue == 0 {
                stops.extend(halts(&day));
            }
            for (from, until) in &stops {
                prop_assert!(!is.iter().any(|p| *from < p.at_ms && p.at_ms < *until));
            }
            for vi in day.rules.interruptions.iter().filter(|vi| vi.issue == issue) {
                let at_end: Vec<_> = is.iter().filter(|p| p.at_ms == vi.until_ms).collect();
                prop_assert!(at_end.len() == 1 && at_end[0].side == Side::Auction);
                prop_assert_eq!(i64::from(at_end[0].price), vi.breach.price);
                prop_assert!(is.iter().any(|p| p.at_ms <= vi.from_ms) || vi.count == 1);
            }

            let class = if issue == 0 { ViClass::Kospi200 } else { ViClass::Other };
            let own = &day.issues[issue as usize];
            let mut state = ViState::new(day.day, own.market, class, own.base_price);
            for print in is.iter().filter(|print| print.at_ms < END_MS - 160_000) {
                if print.side == Side::Auction {
                    state.auction(print.price.into());
                } else {
                    let breach = state.breach(print.price.into(), ViPhase::Continuous);
                    prop_assert_eq!(breach, None);
                    state.offer(print.price.into(), ViPhase::Continuous);
                }
            }
        }
        prop_assert_eq!(&day.prints, &played(before, seed).prints, "the seed decides");
    }
}

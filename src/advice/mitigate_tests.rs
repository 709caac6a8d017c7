use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::advice::alarm::{Alarm, LivePosition, respond};
use crate::advice::live_world::LiveIssue;
use crate::market::{Reference, SessionBar, SessionDay};

fn as_of() -> EventTime {
    EventTime::from_micros(1_722_816_021_000_000)
}

fn reference(code: &str, wave: usize) -> Arc<Reference> {
    let mut reference = Reference {
        name: format!("종목{code}"),
        market: Market::Kospi,
        base_price: Some(75_000),
        day: Some("2024-08-05".parse().unwrap()),
        ..Reference::bare(code.parse().unwrap())
    };
    let mut close = 70_000.0;
    for (day, date) in (0..80_usize).zip(19_000..) {
        let common = ((day * 7) % 11) as f64 - 5.0;
        let own = ((day * (wave + 3)) % 13) as f64 - 6.0;
        close *= 1.0 + 0.003 * common + 0.001 * own;
        let close = close as i64;
        let bar = SessionBar { open: close, high: close, low: close, close, volume: 10_000_000 };
        reference.push_session(SessionDay::from_epoch_days(date), bar);
    }
    Arc::new(reference)
}

fn watched() -> Vec<Arc<Reference>> {
    (0..14).map(|at| reference(&format!("{at:06}"), at)).collect()
}

fn issue(reference: &Reference) -> LiveIssue<'_> {
    LiveIssue {
        reference,
        price: 71_000,
        daily_volatility_pct: 3.0,
        shortfall_pct: 8.0,
        spread_pct: 0.14,
        halted: false,
    }
}

fn alarm(held: Vec<LivePosition<'_>>) -> Alarm<'_> {
    Alarm {
        event_id: "e1".into(),
        severity: Severity::Critical,
        subject: "000003".into(),
        name: "종목000003".into(),
        as_of: as_of(),
        held,
        market: Market::Kospi,
        value: 10_000_000,
        assumed: true,
        cash: 0,
        market_halted: false,
    }
}

fn option<'a>(plan: &'a MitigationPlan, action: &str) -> &'a PlanOption {
    plan.options.iter().find(|option| option.action == action).unwrap()
}

#[test]
fn every_defence_is_simulated_and_costs_what_it_costs() {
    let watched = watched();
    let held = vec![LivePosition { issue: issue(&watched[3]), value: 10_000_000 }];
    let plan =
        respond(&alarm(held), &watched, None, &PlanSettings::default(), &Control::none()).unwrap();
    assert_eq!((plan.horizon_sessions, plan.paths, plan.seed), (5, 2_000, seed_of("e1")));
    assert_eq!(plan.data_cut.map(|day| day.to_string()).as_deref(), Some("2024-08-05"));
    // 140 whole shares of 71,000.
    assert_eq!(plan.position_value, 9_940_000);
    let value = 9_940_000.0;
    let wait = option(&plan, "wait");
    assert_eq!((wait.risk_after, wait.cost), (wait.risk_before, 0));
    // Five days of 3 % each: near 1.645 √5 3 %, tails and all.
    let normal = 1.645 * 0.03 * 5f64.sqrt() * value;
    let ratio = wait.risk_before as f64 / normal;
    assert!((0.8..1.2).contains(&ratio), "{ratio}");
    assert!(wait.shortfall_before > wait.risk_before && plan.risk_error > 0);

    let cash = option(&plan, "raise_cash");
    // Fee, tax of 2024, half spread, square-root slippage by the average day's value.
    let average = crate::advice::costs::average_value(&watched[3]).unwrap();
    let slippage = 0.7 * 3.0 * (value / average).sqrt();
    let cost = value * (0.015 + 0.18 + 0.07 + slippage) / 100.0;
    assert!((cash.cost as f64 - cost).abs() <= 1.0, "{} {cost}", cash.cost);
    // What is sold loses its cost and no more, in every path.
    assert!((cash.risk_after - cash.cost).abs() <= 2, "{cash:?}");
    assert!((cash.break_even_pct.unwrap() - 100.0 * cost / value).abs() < 1e-9);

    let trim = option(&plan, "trim");
    let budget = 0.03 * 5f64.sqrt() * value;
    assert!(trim.risk_after as f64 <= 1.01 * budget, "{trim:?} {budget}");
    assert!(trim.risk_after as f64 > 0.9 * budget && trim.cost < cash.cost);

    let hedge = option(&plan, "hedge_inverse_etf");
    assert!(hedge.infeasible.is_none(), "{hedge:?}");
    assert!(hedge.risk_after < wait.risk_after && hedge.cost > 0);
    assert!(hedge.description.contains("KODEX 인버스(114800)"), "{}", hedge.description);

    for stop in ["stop", "trailing_stop"] {
        let stop = option(&plan, stop);
        // Sold in some paths: less than a sale for sure, more than nothing.
        assert!(stop.cost > 0 && stop.cost < cash.cost, "{stop:?}");
        assert!(stop.risk_after < wait.risk_after);
        // Two deviations, and what the close that crosses them lies beyond.
        assert!(stop.risk_after as f64 > 0.06 * value, "a stop does not hold its level: {stop:?}");
    }
}

#[test]
fn the_same_event_gives_the_same_plan_and_another_seed_about_it() {
    let watched = watched();
    let plan = |event: &str| {
        let held = vec![LivePosition { issue: issue(&watched[3]), value: 10_000_000 }];
        let alarm = Alarm { event_id: event.into(), ..alarm(held) };
        respond(&alarm, &watched, None, &PlanSettings::default(), &Control::none()).unwrap()
    };
    assert_eq!(plan("e1"), plan("e1"));
    let (one, other) = (plan("e1"), plan("e2"));
    assert_ne!((&one.id, one.seed), (&other.id, other.seed));
    let gap = (option(&one, "wait").risk_before - option(&other, "wait").risk_before).abs();
    assert!(gap > 0 && gap < 5 * one.risk_error, "{gap} {}", one.risk_error);
}

#[test]
fn what_cannot_be_done_says_why() {
    let watched = watched();
    let plan = |change: &dyn Fn(&mut LiveIssue<'_>), value: Won| {
        let mut issue = issue(&watched[3]);
        change(&mut issue);
        let held = vec![LivePosition { issue, value }];
        respond(&alarm(held), &watched, None, &PlanSettings::default(), &Control::none()).unwrap()
    };
    let why = |plan: &MitigationPlan, action: &str| {
        option(plan, action).infeasible.clone().unwrap_or_default()
    };
    let halted = plan(&|issue| issue.halted = true, 10_000_000);
    for action in ["trim", "stop", "trailing_stop", "rotate_low_risk", "raise_cash"] {
        assert!(why(&halted, action).contains("정지"), "{action}");
    }
    assert!(why(&halted, "hedge_inverse_etf").contains("현금이 부족하고"), "{halted:?}");
    assert_eq!(halted.options[0].action, "wait");
    let limit = plan(&|issue| issue.price = 52_500, 10_000_000);
    assert!(why(&limit, "raise_cash").contains("하한가"), "{limit:?}");
    assert!(why(&plan(&|_| (), 50_000), "trim").contains("1주 가격"));
    let calm = plan(&|issue| issue.daily_volatility_pct = 0.5, 10_000_000);
    assert!(why(&calm, "trim").contains("예산"), "{calm:?}");
    let last = calm.options.last().unwrap();
    assert!(last.infeasible.is_some(), "what cannot be done stands last: {calm:?}");

    let held = vec![LivePosition { issue: issue(&watched[3]), value: 10_000_000 }];
    let none = PlanSettings { hedges: Vec::new(), ..PlanSettings::default() };
    let plan = respond(&alarm(held), &watched, None, &none, &Control::none()).unwrap();
    assert!(why(&plan, "hedge_inverse_etf").contains("등록"));
}

#[test]
fn a_market_alarm_is_answered_for_a_portfolio_like_the_market() {
    let watched = watched();
    let alarm = Alarm { subject: "portfolio".into(), ..alarm(Vec::new()) };
    let plan = respond(&alarm, &watched, None, &PlanSettings::default(), &Control::none()).unwrap();
    assert_eq!((plan.subject.as_str(), plan.position_value), ("portfolio", 10_000_000));
    let (wait, hedge) = (option(&plan, "wait"), option(&plan, "hedge_inverse_etf"));
    // It is the market: an inverse fund takes all of it away but costs and fee.
    assert!(hedge.risk_after - hedge.cost < wait.risk_before / 50, "{hedge:?} {wait:?}");
    let stopped = Alarm { market_halted: true, ..alarm };
    let plan =
        respond(&stopped, &watched, None, &PlanSettings::default(), &Control::none()).unwrap();
    let feasible: Vec<&str> = plan
        .options
        .iter()
        .filter(|option| option.infeasible.is_none())
        .map(|option| option.action.as_str())
        .collect();
    assert_eq!(feasible, ["wait"]);
}

#[test]
fn a_portfolio_is_defended_as_a_whole() {
    let watched = watched();
    let mut blocked = issue(&watched[2]);
    blocked.halted = true;
    let held = vec![
        LivePosition { issue: issue(&watched[1]), value: 10_000_000 },
        LivePosition { issue: blocked, value: 10_000_000 },
    ];
    let alarm = Alarm { subject: "portfolio".into(), assumed: false, ..alarm(held) };
    let plan = respond(&alarm, &watched, None, &PlanSettings::default(), &Control::none()).unwrap();
    let cash = option(&plan, "raise_cash");
    assert!(cash.description.contains("1종목은 남습니다"), "{}", cash.description);
    // Half of it cannot be sold, and stays at risk.
    let share = cash.risk_after as f64 / cash.risk_before as f64;
    assert!((0.3..0.8).contains(&share), "{share}");
}

#[test]
fn a_trim_reaches_the_budget_or_says_that_it_cannot() {
    let watched = watched();
    let plan = |blocked_value: Won, measure: Measure, pct: f64| {
        let mut blocked = issue(&watched[2]);
        blocked.halted = true;
        let held = vec![
            LivePosition { issue: issue(&watched[1]), value: 10_000_000 },
            LivePosition { issue: blocked, value: blocked_value },
        ];
        let alarm = Alarm { subject: "portfolio".into(), assumed: false, ..alarm(held) };
        let settings = PlanSettings { measure, risk_budget_pct: pct, ..PlanSettings::default() };
        respond(&alarm, &watched, None, &settings, &Control::none()).unwrap()
    };
    // What cannot be sold takes part of the budget: a proportional sale would leave too much.
    let some = plan(2_000_000, Measure::USUAL, 1.5);
    let budget = 0.015 * 5f64.sqrt() * some.position_value as f64;
    let trim = option(&some, "trim");
    assert!(trim.infeasible.is_none(), "{trim:?}");
    assert!(trim.risk_after as f64 <= budget + 1.0, "{trim:?} {budget}");
    assert!(trim.risk_after as f64 > 0.9 * budget, "and not far below it: {trim:?} {budget}");
    let most = plan(10_000_000, Measure::USUAL, 1.5);
    let why = option(&most, "trim").infeasible.clone().unwrap();
    assert!(why.contains("모두 팔아도 95% VaR이 위험 예산"), "{why}");

    // The measure is the user's: the same budget at 99 % asks for more, a fall on the way too.
    let sold = |measure| option(&plan(100_000, measure, 3.0), "trim").risk_after;
    let usual = sold(Measure::USUAL);
    let rare = option(&plan(100_000, Measure::ValueAtRisk { level: 0.99 }, 3.0), "trim").clone();
    assert!(rare.description.contains("99% VaR을 예산"), "{}", rare.description);
    assert!(rare.risk_after < usual, "{rare:?} {usual}");
    let fall = sold(Measure::Drawdown { level: 0.95 });
    assert!(fall < usual, "{fall} {usual}");
}

#[test]
fn a_hedge_says_what_pays_for_it() {
    let watched = watched();
    let text = |cash: Won| {
        let held = vec![LivePosition { issue: issue(&watched[3]), value: 10_000_000 }];
        let alarm = Alarm { cash, ..alarm(held) };
        let plan =
            respond(&alarm, &watched, None, &PlanSettings::default(), &Control::none()).unwrap();
        option(&plan, "hedge_inverse_etf").description.clone()
    };
    assert!(text(0).starts_with("보유분"), "{}", text(0));
    assert!(text(3_000_000).starts_with("현금 3,000,000원과 보유분"), "{}", text(3_000_000));
    assert!(text(100_000_000).starts_with("현금으로 KODEX"), "{}", text(100_000_000));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn any_numbers_give_a_sound_plan(
        price in prop_oneof![4 => 1_000i64..200_000, 1 => any::<i64>()],
        value in prop_oneof![4 => 0i64..1_000_000_000, 1 => any::<i64>()],
        volatility in prop_oneof![4 => 0.1..15.0f64, 1 => any::<f64>()],
        shortfall in prop_oneof![4 => 0.1..40.0f64, 1 => any::<f64>()],
        spread in prop_oneof![4 => 0.0..2.0f64, 1 => any::<f64>()],
    ) {
        let watched = watched();
        let issue = LiveIssue {
            price,
            daily_volatility_pct: volatility,
            shortfall_pct: shortfall,
            spread_pct: spread,
            ..issue(&watched[3])
        };
        let held = vec![LivePosition { issue, value }];
        let Ok(plan) = respond(&alarm(held), &watched, None, &PlanSettings::default(), &Control::none()) else {
            // Worth nothing.
            prop_assert!(value <= 0);
            return Ok(());
        };
        prop_assert_eq!(plan.options.len(), 7);
        let mut seen_infeasible = false;
        for (at, option) in plan.options.iter().enumerate() {
            prop_assert_eq!(option.rank as usize, at + 1);
            prop_assert!(option.cost >= 0 && option.risk_after >= 0);
            prop_assert!(option.shortfall_after >= option.risk_after - 1, "{option:?}");
            prop_assert!(option.break_even_pct.is_none_or(|pct| (0.0..=100.0).contains(&pct)));
            prop_assert!(!option.description.contains("NaN"));
            prop_assert!(!seen_infeasible || option.infeasible.is_some());
            seen_infeasible |= option.infeasible.is_some();
        }
    }
}

//! Tests across the module, over made-up markets.

use super::leak::{cuts, first_difference};
use super::report::CrashReport;
use super::{Evaluation, RunOptions, run};
use crate::market::SessionDay;
use crate::model::design::SCORED_FROM;
use crate::model::features::Origin;
use crate::model::panel::Panel;
use crate::model::tests::support::panel;

fn market() -> Panel {
    panel(11, 12, SCORED_FROM + 170)
}

#[test]
fn nothing_later_reaches_a_result_and_a_leak_would_show() {
    let market = market();
    for origin in [Origin::Close, Origin::Open] {
        let options = RunOptions { origin, ..RunOptions::default() };
        let mut whole = run(&market, &options, &|_| ()).unwrap();
        let days = cuts(&whole, 2);
        assert_eq!(days.len(), 2);
        for day in &days {
            let found = first_difference(&market, &options, &whole, *day, &|_| ()).unwrap();
            assert_eq!(found, None);
        }
        let row = whole.forecasts[3];
        let forecast = whole.forecasts[3].forecast.as_mut().unwrap();
        forecast.variance = f64::from_bits(forecast.variance.to_bits() + 1);
        let found = first_difference(&market, &options, &whole, days[1], &|_| ()).unwrap();
        let day = SessionDay::from_epoch_days(whole.dates[row.session]);
        let expected = format!("forecast of {} for {day}", whole.symbols[row.issue]);
        assert!(found.unwrap().contains(&expected));
    }
}

#[test]
fn the_window_and_the_wanted_issues_bound_the_result() {
    let market = market();
    let all = run(&market, &RunOptions::default(), &|_| ()).unwrap();
    let last = *all.dates.last().unwrap();
    let from = SessionDay::from_epoch_days(all.dates[all.dates.len() - 40]);
    let wanted = market.issues[..3].iter().map(|issue| issue.symbol).collect();
    let options = RunOptions { from: Some(from), wanted: Some(wanted), ..RunOptions::default() };
    let part = run(&market, &options, &|_| ()).unwrap();
    let metrics = part.metrics.unwrap();
    assert_eq!((metrics.symbols, metrics.rows), (3, 3 * 40));
    assert_eq!((metrics.from, metrics.to), (from, SessionDay::from_epoch_days(last)));
    // The same forecasts, only fewer of them: parameters come from all issues.
    let same =
        |row: &crate::model::forecasts::ForecastRow| all.forecasts.iter().any(|other| other == row);
    assert!(part.forecasts.iter().all(same));
    assert!(part.picks.iter().flatten().all(|issue| *issue < 3));
}

#[test]
fn the_report_has_half_years_and_a_table() {
    let market = market();
    let result = run(&market, &RunOptions::default(), &|_| ()).unwrap();
    let metrics = result.metrics.as_ref().unwrap();
    let report = Evaluation::new(metrics, &result, Origin::Close, Default::default());
    let json: serde_json::Value = serde_json::to_value(&report).unwrap();
    assert!(json["half_years"]["2022H1"]["rows"].is_number(), "{json}");
    for ranking in ["full", "watched", "low_risk"] {
        assert!(json["rankings"][ranking].is_object(), "{ranking}");
    }
    let table = report.table();
    assert!(table.contains("FZ0 2.5 %") && table.contains("2022H1"), "{table}");
    assert!(!table.contains("crash days"), "{table}");
    let crash = CrashReport { days: 3, detected: 2, missed: 1, ..CrashReport::default() };
    let report = Evaluation { crash: Some(crash), ..report };
    let table = report.table();
    let line = "crash days 3: 2 detected, 1 missed; 0 false alarms; median delay none";
    assert!(table.contains(line), "{table}");
}

#[test]
fn issues_that_are_not_fitted_do_not_move_the_coefficients() {
    let mut market = market();
    let universe: rustc_hash::FxHashSet<_> =
        market.issues[..8].iter().map(|issue| issue.symbol).collect();
    let options = RunOptions { universe: Some(universe), ..RunOptions::default() };
    let before = run(&market, &options, &|_| ()).unwrap();
    let bars = &mut market.issues[9].bars;
    for at in 0..bars.len() {
        bars.high[at] *= 1.02;
    }
    let after = run(&market, &options, &|_| ()).unwrap();
    let of = |result: &super::Run, issue: usize| {
        result.forecasts.iter().filter(|row| row.issue == issue).copied().collect::<Vec<_>>()
    };
    assert_eq!(of(&before, 2), of(&after, 2));
    assert_ne!(of(&before, 9), of(&after, 9));
}

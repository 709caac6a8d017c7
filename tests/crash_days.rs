//! Recorded crash days and calm days, rebuilt from daily bars, through the detectors.
//!
//! With the eighty most traded issues and 300 trades each instead of seven hundred and a thousand: the
//! unoptimised program takes a second a day for that, and a minute for all of it. `bongsu check crash` plays
//! the whole. Skipped by name without the shared market data.

use std::path::PathBuf;

use bongsu::cli::evaluate::crash::{self, CRASH_PCT, CrashDays, CrashOptions, CrashReport};

use crate::support::{self, skip};

fn data(name: &str) -> Option<PathBuf> {
    let file = support::shared_dir()?.join("data").join(name);
    file.is_file().then_some(file)
}

fn report(days: &CrashDays) -> Option<CrashReport> {
    let daily = data("krx-daily-kospi-2020-2025.parquet")?;
    let indices = data("indices-1995-2025.parquet")?;
    let options = CrashOptions {
        symbols: Some(80),
        trades_per_symbol: Some(300),
        seed: 1,
        ..CrashOptions::default()
    };
    Some(crash::run(&daily, &indices, days, &options).expect("the days can be played"))
}

#[test]
fn crash_days_are_announced_in_time_and_calm_days_are_not() {
    let Some(report) = report(&CrashDays::Known) else { skip!("no daily bars") };
    println!("{}", report.table());
    let days: Vec<String> = report.sessions.iter().map(|session| session.day.to_string()).collect();
    // The last three by the stated rule: smallest |return of KOSPI| × dispersion of their year.
    let calm = ["2021-07-02", "2022-06-08", "2023-05-24"];
    assert_eq!(days[..3], ["2020-03-19", "2024-08-05", "2025-04-07"]);
    assert_eq!(days[3..], calm);
    let summary = (report.days, report.detected, report.missed, report.false_alarms);
    assert_eq!(summary, (3, 3, 0, 0));
    assert!(
        report.median_delay_s.is_some_and(|delay| delay <= 10.0),
        "{:?}",
        report.median_delay_s
    );
    for session in &report.sessions[..3] {
        let day = session.day;
        let critical = session.critical.as_ref().expect("a critical market crash");
        for announced in [&session.watch, &session.warning] {
            let announced = announced.as_ref().expect("a lower level was told");
            let above = announced.index_change_pct.is_none_or(|change| change > -CRASH_PCT);
            assert!(above || session.open_pct <= -CRASH_PCT, "{day}: {announced:?}");
            assert!(announced.time < critical.time, "{day}: {announced:?} {critical:?}");
        }
        assert!(session.first_symbol.is_some_and(|first| first < critical.time), "{day}");
        assert!(session.crossed.is_some(), "{day}");
    }
    for session in &report.sessions[3..] {
        assert_eq!((session.critical.as_ref(), session.crash), (None, false), "{}", session.day);
    }
}

#[test]
fn the_same_seed_gives_the_same_report_and_a_missing_day_is_named() {
    let day = "2024-08-05".parse().expect("a day");
    let Some(first) = report(&CrashDays::Given(vec![day])) else { skip!("no daily bars") };
    assert_eq!(report(&CrashDays::Given(vec![day])).as_ref(), Some(&first));
    let json = serde_json::to_value(&first).expect("JSON");
    for key in ["days", "detected", "missed", "false_alarms", "median_delay_s"] {
        assert!(json.get(key).is_some(), "{key}: {json}");
    }
    assert_eq!(json["sessions"][0]["day"], "2024-08-05");
    let sunday = "2024-08-04".parse().expect("a day");
    let daily = data("krx-daily-kospi-2020-2025.parquet").expect("it was there");
    let indices = data("indices-1995-2025.parquet").expect("it was there");
    let error =
        crash::run(&daily, &indices, &CrashDays::Given(vec![sunday]), &CrashOptions::default());
    let error = format!("{:#}", error.expect_err("no session on a Sunday"));
    assert!(error.contains("2024-08-04"), "{error}");
}

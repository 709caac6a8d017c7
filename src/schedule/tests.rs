//! The file: what it means and what its mistakes are called.

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::market::{Calendar, EventTime};

fn parse(text: &str) -> Result<Jobs, ScheduleError> {
    Jobs::parse(text, Path::new("jobs.yaml"))
}

fn error(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

#[test]
fn the_built_in_schedule_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = Jobs::load(folder.path()).unwrap();
    assert_eq!(jobs.event_interval(), Some(Duration::from_secs(30)));
    let calendar = Calendar::krx();
    let now = EventTime::from_kst("2026-11-12".parse().unwrap(), "07:00".parse().unwrap());
    for job in jobs.scheduled() {
        let next = job.timing.next(&calendar, now).unwrap();
        assert!(next.is_some_and(|next| next > now), "{}", job.name);
    }
}

#[test]
fn every_mistake_is_named_with_its_line() {
    let text = "\
jobs:
  - name: a b
    task: dance
    every: 30 s
    zone: Asia/Soul
  - name: two
    task: debug_ping
    cron: 0 24 * * *
    zone: Asia/Soul
    misfire: sometimes
    retries: 99
  - name: three
    task: debug_ping
  - name: four
    task: debug_ping
    every: 1h
    cron: 0 1 * * *
";
    let wrong = error(text);
    for (line, what) in [
        (2, "a b"),
        (3, "dance"),
        (4, "30 s"),
        (5, "only a cron has a zone"),
        (8, "hour \"24\""),
        (9, "Asia/Soul"),
        (10, "sometimes"),
        (11, "99"),
        (12, "says nothing of when"),
        (14, "says cron and every"),
    ] {
        assert!(wrong.contains(what), "{what}: {wrong}");
        assert!(wrong.contains(&format!("line {line} ")), "line {line}, {what}: {wrong}");
    }
    assert!(wrong.contains("generate_recommendations"), "the tasks there are: {wrong}");
    let wrong = error("jobs:\n  - name: a\n    task: debug_ping\n    evry: 1s\n");
    assert!(wrong.contains("evry") && wrong.contains('4'), "{wrong}");
    let twice = "jobs:\n  - {name: a, task: debug_ping, every: 1s}\n  - {name: a, task: debug_ping, every: 1h}\n";
    assert!(error(twice).contains("two jobs are named \"a\""));
}

#[test]
fn a_job_says_everything() {
    let text = "\
jobs:
  - name: bars
    task: collect_market_prices
    kwargs: {kind: bars, symbols: ['005930']}
    after_close: 20m
    on: trading_day
    misfire: all
    max_lateness: 6h
    jitter: 30s
    timeout: 20m
    retries: 3
    retry_delay: 2m
    overlap: queue
    enabled: false
";
    let jobs = parse(text).unwrap();
    let job = jobs.find("bars").unwrap();
    assert_eq!((job.task, job.enabled), ("collect_market_prices", false));
    assert_eq!(job.kwargs["symbols"][0], "005930");
    assert_eq!(job.timing.to_string(), "20m after the close");
    assert_eq!((job.misfire, job.overlap), (Misfire::All, Overlap::Queue));
    let spans = [job.max_lateness, job.jitter, job.timeout.unwrap(), job.retry_delay];
    assert_eq!(spans.map(|span| span.as_secs()), [21_600, 30, 1_200, 120]);
    assert_eq!(job.retries, 3);
    assert_eq!(jobs.scheduled().count(), 0);
    let plain =
        parse("jobs:\n  - {name: a, task: debug_ping, cron: '0 18 * * mon-fri'}\n").unwrap();
    let job = &plain.jobs[0];
    assert_eq!(job.timing.zone(), Some(chrono_tz::Asia::Seoul));
    assert_eq!(job.max_lateness, job::DEFAULT_LATENESS);
    assert!(job.enabled && job.timeout.is_none() && job.retries == 0);
}

#[test]
fn a_job_by_the_markets_clock_is_only_an_interval() {
    let wrong = error(
        "jobs:\n  - {name: a, task: debug_ping, clock: event, cron: '* * * * *', misfire: all}\n",
    );
    for what in ["only generate_recommendations", "expected every", "misfire has no meaning"] {
        assert!(wrong.contains(what), "{what}: {wrong}");
    }
    let jobs =
        parse("jobs:\n  - {name: a, task: generate_recommendations, clock: event, every: 5m}\n");
    let jobs = jobs.unwrap();
    assert_eq!(jobs.event_interval(), Some(Duration::from_secs(300)));
    assert_eq!(jobs.scheduled().count(), 0);
}

#[test]
fn a_new_plan_has_another_key() {
    let key = |words: &str| {
        let text = format!("jobs:\n  - {{name: a, task: debug_ping, {words}}}\n");
        parse(&text).unwrap().jobs[0].plan_key()
    };
    let plans = [
        "cron: '0 1 * * *'",
        "cron: '0 1 * * *', zone: UTC",
        "cron: '0 1 * * *', on: trading_day",
        "every: 1h",
        "every: 1h, during: session",
        "after_close: 1h",
        "after_open: 1h",
    ];
    let keys: std::collections::BTreeSet<String> = plans.iter().map(|plan| key(plan)).collect();
    assert_eq!(keys.len(), plans.len());
    assert_eq!(key("every: 60m, retries: 2"), key("every: 1h"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,80}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_word_makes_it_panic(
        field in "(cron|every|zone|on|during|before_open|jitter|clock|misfire|task|name)",
        word in "[ -~가-힣]{0,20}",
    ) {
        let word = word.replace('\'', "''");
        let _ = parse(&format!("jobs:\n  - {{name: a, task: debug_ping, every: 1h}}\n  - {{{field}: '{word}'}}\n"));
    }
}

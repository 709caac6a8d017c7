//! Rows for readers of the schedule.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::market::{Calendar, EventTime};
use crate::messages::{JobRow, LastRun, PlannedAt};
use crate::schedule::{Job, JobClock};

/// A row of the job, with its `count` next runs after `now`.
#[must_use]
pub fn row(
    job: &Job,
    calendar: &Calendar,
    now: EventTime,
    count: usize,
    last: Option<LastRun>,
) -> JobRow {
    let zone = job.timing.zone().unwrap_or(chrono_tz::Asia::Seoul);
    let mut next = Vec::new();
    let mut problem = None;
    let mut after = now;
    while job.is_scheduled() && next.len() < count {
        match job.timing.next(calendar, after) {
            Ok(Some(at)) => {
                next.push(planned_at(at, zone));
                after = at;
            }
            Ok(None) => {
                problem = Some("its conditions are never met".to_owned());
                break;
            }
            Err(error) => {
                problem = Some(error.to_string());
                break;
            }
        }
    }
    JobRow {
        name: job.name.clone(),
        task: job.task,
        kwargs: job.kwargs.clone(),
        enabled: job.enabled,
        clock: match job.clock {
            JobClock::Wall => "wall",
            JobClock::Event => "event",
        },
        when: job.timing.to_string(),
        zone: zone.name().to_owned(),
        misfire: job.misfire.as_str(),
        max_lateness_s: job.max_lateness.as_secs(),
        jitter_s: job.jitter.as_secs(),
        timeout_s: job.timeout.map(|timeout| timeout.as_secs()),
        retries: job.retries,
        overlap: job.overlap.as_str(),
        problem: problem.filter(|_| next.is_empty()),
        next,
        last,
    }
}

/// An instant as clocks in Korea and in `zone` show it.
fn planned_at(at: EventTime, zone: Tz) -> PlannedAt {
    let local = DateTime::<Utc>::from_timestamp_micros(at.micros()).unwrap_or_default();
    let local = local.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S %Z").to_string();
    PlannedAt { at: at.rfc3339(), local }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::schedule::Jobs;

    fn shown(words: &str, now: &str) -> JobRow {
        let text = format!("jobs:\n  - {{name: a, task: debug_ping, {words}}}\n");
        let jobs = Jobs::parse(&text, Path::new("jobs.yaml")).unwrap();
        let now = EventTime::from_kst(now.parse().unwrap(), "12:00".parse().unwrap());
        row(&jobs.jobs[0], &Calendar::krx(), now, 2, None)
    }

    #[test]
    fn next_runs_on_two_clocks() {
        let row = shown("cron: '30 9 * * *', zone: America/New_York", "2026-11-12");
        assert_eq!(row.next[0].at, "2026-11-12T23:30:00+09:00");
        assert_eq!(row.next[0].local, "2026-11-12 09:30:00 EST");
        assert_eq!((row.next.len(), row.problem), (2, None));
    }

    #[test]
    fn why_there_is_no_next_run() {
        let end = shown("after_close: 20m", "2028-01-05");
        assert!(end.next.is_empty() && end.problem.unwrap().contains("2028-01-05"));
        let never = shown("cron: '0 12 * * sun', on: trading_day", "2026-11-12");
        assert!(never.problem.unwrap().contains("never"));
        let off = shown("every: 1h, enabled: false", "2026-11-12");
        assert!(off.next.is_empty() && off.problem.is_none());
    }
}

//! What is done about planned runs: which are due, and what becomes of those that were missed.
//!
//! Input: a job, the calendar, the instant up to which its plan has been dealt with (the *cursor*) and
//! the present. Output: [`Due`], the runs to start now and what is to be told of the others. The plan
//! since the cursor is computed, so a restart, a suspended machine and a clock that was set forward are
//! all the same thing: a hole, treated by the job's [`Misfire`].

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::job::Job;
use super::span;
use crate::market::EventTime;
use crate::market::calendar::{Calendar, CalendarError};

/// A run this much later than planned is on time: what a scheduler takes to wake, to become the leader
/// and to ask the database.
pub const ON_TIME: Duration = Duration::from_secs(10);
/// Runs of one job that are looked at together; of more than this the oldest are missed.
pub const MAX_TOGETHER: usize = 1_000;

/// What becomes of runs whose time passed while nobody was there to start them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Misfire {
    /// The latest is made up for, if it is not older than `max_lateness`.
    #[default]
    Latest,
    /// All are made up for that are not older than `max_lateness`, in order.
    All,
    /// None is.
    None,
}

impl Misfire {
    /// As in the schedule.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Latest => "latest",
            Self::All => "all",
            Self::None => "none",
        }
    }
}

/// What becomes of a run that is due while an earlier one of its job is not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlap {
    /// It is left out.
    #[default]
    Skip,
    /// It waits for its turn.
    Queue,
    /// The earlier one is revoked.
    Replace,
}

impl Overlap {
    /// As in the schedule.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Queue => "queue",
            Self::Replace => "replace",
        }
    }
}

/// Runs that nobody started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    /// The first.
    pub oldest: EventTime,
    /// The last.
    pub newest: EventTime,
    /// How many; at least so many where the hole was longer than what is looked at.
    pub count: usize,
}

/// What is to be done about a job now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Due {
    /// Planned instants of the runs to start, in order.
    pub run: Vec<EventTime>,
    /// What is not made up for.
    pub missed: Option<Missed>,
}

impl Job {
    /// What is due of the job at `now`, when its plan up to and including `cursor` has been dealt with.
    ///
    /// # Errors
    /// When it depends on a day that the calendar does not know.
    pub fn due(
        &self,
        calendar: &Calendar,
        cursor: EventTime,
        now: EventTime,
    ) -> Result<Due, CalendarError> {
        if cursor >= now {
            return Ok(Due::default());
        }
        let on_time = now.plus_micros(-span::micros(ON_TIME));
        let oldest = match self.misfire {
            Misfire::None => on_time,
            _ => on_time.min(now.plus_micros(-span::micros(self.max_lateness))),
        };
        let mut planned = self.planned(calendar, cursor.max(oldest.plus_micros(-1)), now)?;
        let mut missed = Vec::new();
        if cursor < oldest {
            missed = self.timing.between(calendar, cursor, oldest.plus_micros(-1), MAX_TOGETHER)?;
        }
        if self.misfire == Misfire::Latest {
            let late = planned.partition_point(|&at| at < on_time);
            // One that is on time stands for all before it.
            let keep = if late < planned.len() { late } else { late.saturating_sub(1) };
            missed.extend(planned.drain(..keep));
        }
        let missed = match (missed.first(), missed.last()) {
            (Some(&oldest), Some(&newest)) => Some(Missed { oldest, newest, count: missed.len() }),
            _ => None,
        };
        Ok(Due { run: planned, missed })
    }

    /// The newest [`MAX_TOGETHER`] planned instants after `after` up to and including `until`.
    fn planned(
        &self,
        calendar: &Calendar,
        after: EventTime,
        until: EventTime,
    ) -> Result<Vec<EventTime>, CalendarError> {
        let mut newest = std::collections::VecDeque::with_capacity(16);
        let mut from = after;
        loop {
            let some = self.timing.between(calendar, from, until, MAX_TOGETHER)?;
            let Some(&last) = some.last() else { return Ok(newest.into()) };
            from = last;
            for at in some {
                if newest.len() == MAX_TOGETHER {
                    newest.pop_front();
                }
                newest.push_back(at);
            }
        }
    }

    /// How long after its planned instant a run starts, by the job's jitter: the same for the same run
    /// on every machine.
    #[must_use]
    pub fn delay(&self, planned: EventTime) -> Duration {
        let most = span::micros(self.jitter);
        if most == 0 {
            return Duration::ZERO;
        }
        let sum = Sha256::digest(format!("{}\n{}", self.name, planned.micros()));
        let drawn = sum.iter().take(8).fold(0u64, |drawn, byte| drawn << 8 | u64::from(*byte));
        Duration::from_micros(drawn % (most.unsigned_abs() + 1))
    }

    /// The pause before the `attempt`-th repetition (from 1): doubled each time, an hour at most.
    #[must_use]
    pub fn retry_pause(&self, attempt: u32) -> Duration {
        let doubled = self.retry_delay.saturating_mul(1 << attempt.saturating_sub(1).min(10));
        doubled.min(Duration::from_secs(3_600)).max(self.retry_delay)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Jobs;
    use super::*;

    fn job(words: &str) -> Job {
        let text = format!("jobs:\n  - {{name: a, task: debug_ping, {words}}}\n");
        Jobs::parse(&text, std::path::Path::new("jobs.yaml")).unwrap().jobs.remove(0)
    }

    fn at(text: &str) -> EventTime {
        let (day, time) = text.split_once(' ').unwrap();
        EventTime::from_kst(day.parse().unwrap(), time.parse().unwrap())
    }

    fn clock(instants: &[EventTime]) -> Vec<String> {
        instants.iter().map(|at| at.time_of_day().to_string()).collect()
    }

    const CURSOR: &str = "2026-11-12 10:00";

    fn due(words: &str, now: &str) -> (Vec<String>, usize) {
        let due = job(words).due(&Calendar::krx(), at(CURSOR), at(now)).unwrap();
        (clock(&due.run), due.missed.map_or(0, |missed| missed.count))
    }

    #[test]
    fn a_hole_is_treated_as_the_job_says() {
        let hourly = "cron: '0 * * * *'";
        // On time.
        assert_eq!(due(hourly, "2026-11-12 11:00:01"), (vec!["11:00:00".into()], 0));
        assert_eq!(due(hourly, "2026-11-12 10:59:59"), (vec![], 0));
        // Three hours away: the latest is made up for, if it is not too old.
        assert_eq!(due(hourly, "2026-11-12 13:30"), (vec!["13:00:00".into()], 2));
        assert_eq!(due(&format!("{hourly}, max_lateness: 10m"), "2026-11-12 13:30"), (vec![], 3));
        // The one that is on time stands for those before it.
        assert_eq!(due(hourly, "2026-11-12 13:00:02"), (vec!["13:00:00".into()], 2));
        let all = format!("{hourly}, misfire: all, max_lateness: 2h");
        assert_eq!(due(&all, "2026-11-12 13:30").0, ["12:00:00", "13:00:00"]);
        assert_eq!(due(&all, "2026-11-12 13:30").1, 1);
        let none = format!("{hourly}, misfire: none");
        assert_eq!(due(&none, "2026-11-12 13:30"), (vec![], 3));
        assert_eq!(due(&none, "2026-11-12 13:00:05"), (vec!["13:00:00".into()], 2));
    }

    #[test]
    fn a_clock_that_goes_back_makes_nothing_due() {
        let job = job("cron: '0 * * * *'");
        let due = job.due(&Calendar::krx(), at(CURSOR), at("2026-11-12 09:00")).unwrap();
        assert_eq!(due, Due::default());
    }

    #[test]
    fn a_long_hole_of_a_quick_job_is_bounded() {
        let all = "every: 1s, misfire: all, max_lateness: 2h";
        let due = job(all).due(&Calendar::krx(), at(CURSOR), at("2026-11-12 13:00")).unwrap();
        assert_eq!(due.run.len(), MAX_TOGETHER);
        assert_eq!(due.run.last(), Some(&at("2026-11-12 13:00")), "the newest");
    }

    #[test]
    fn pauses_and_delays() {
        let patient = job("every: 1h, retries: 5, retry_delay: 1m");
        let pauses = [1, 2, 3, 12].map(|attempt| patient.retry_pause(attempt).as_secs());
        assert_eq!(pauses, [60, 120, 240, 3_600]);
        let spread = job("every: 1h, jitter: 30s");
        let delays: Vec<Duration> = (0..50)
            .map(|hour| spread.delay(EventTime::from_micros(hour * 3_600_000_000)))
            .collect();
        assert!(delays.iter().all(|&delay| delay <= Duration::from_secs(30)));
        assert!(delays.iter().max() > Some(&Duration::from_secs(25)));
        assert_eq!(delays[7], spread.delay(EventTime::from_micros(7 * 3_600_000_000)));
    }

    proptest! {
        /// However the looks at the clock fall, with `all` every planned instant is due exactly once.
        #[test]
        fn each_instant_is_due_once(steps in prop::collection::vec(1i64..400, 1..60)) {
            let job = job("cron: '*/3 * * * *', misfire: all, max_lateness: 1d");
            let calendar = Calendar::krx();
            let (start, mut cursor) = (at(CURSOR), at(CURSOR));
            let mut run = Vec::new();
            for step in steps {
                let now = cursor.plus_micros(step * 1_000_000);
                run.extend(job.due(&calendar, cursor, now).unwrap().run);
                cursor = now;
            }
            let plan = job.timing.between(&calendar, start, cursor, 10_000).unwrap();
            prop_assert_eq!(run, plan);
        }

        /// What is due and what is missed together are the plan, whatever the policy.
        #[test]
        fn nothing_is_unaccounted_for(hole in 1i64..2_000, which in 0..3usize) {
            let misfire = ["latest", "all", "none"][which];
            let job = job(&format!("cron: '*/7 * * * *', misfire: {misfire}, max_lateness: 40m"));
            let calendar = Calendar::krx();
            let now = at(CURSOR).plus_micros(hole * 10_000_000);
            let due = job.due(&calendar, at(CURSOR), now).unwrap();
            let plan = job.timing.between(&calendar, at(CURSOR), now, 10_000).unwrap();
            let missed = due.missed.map_or(0, |missed| missed.count);
            prop_assert_eq!(missed + due.run.len(), plan.len());
            prop_assert_eq!(&due.run[..], &plan[missed..]);
        }
    }
}

//! The schedule: `jobs.yaml`, the one place that says what runs when.
//!
//! In: the file's text. Out: [`Jobs`], valid. Every mistake is named with its line; a file with a
//! mistake is refused as a whole, because half a schedule is worse than the old one.
//!
//! Advice runs at intervals of event time: the RiskScorer, which sees the market's time pass, tells
//! the advisers. Collection asks an outside service, so its interval is of the wall clock; it runs
//! only where the feed comes from KIS. Models are made and judged at intervals of the wall clock too,
//! counted from the evening in Korea ([`after_hours`]). Nothing here has a clock.

use std::path::{Path, PathBuf};
use std::time::Duration;

use garde::Validate;
use serde::{Deserialize, Serialize};

/// The schedule that is built in: the `jobs.yaml` at the root of the source.
const BUILT_IN: &str = include_str!("../../jobs.yaml");
/// Where the file is looked for, from the working directory.
pub const FILE: &str = "jobs.yaml";

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Picks, and the reports on picks and market.
    GenerateRecommendations,
    /// Prices, trades and the account's orders, asked of KIS.
    CollectMarketPrices,
    /// A new model, fitted to the daily bars of the database.
    RetrainModel,
    /// How good the model in use was.
    EvaluateModels,
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Unique name.
    #[garde(length(min = 1, max = 64), custom(is_name))]
    pub name: String,
    /// What it does.
    #[garde(skip)]
    pub task: Task,
    /// Interval: of event time for advice, of the wall clock for collection.
    #[garde(custom(is_interval))]
    pub every: String,
    /// Whether it runs.
    #[garde(skip)]
    #[serde(default = "yes")]
    pub enabled: bool,
}

const fn yes() -> bool {
    true
}

impl Job {
    /// The interval.
    #[must_use]
    pub fn interval(&self) -> Duration {
        // A job is only ever made by a parser that has checked it.
        parse_interval(&self.every).unwrap_or(Duration::from_secs(3_600))
    }
}

/// A schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct Jobs {
    /// The jobs, in the order of the file.
    #[garde(dive, length(max = 200), custom(are_unique))]
    pub jobs: Vec<Job>,
}

/// Why a schedule cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// The file is there but cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not a schedule.
    #[error("{path} is not a schedule: {what}", path = path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        what: String,
    },
}

impl Jobs {
    /// The schedule in `text`; `path` is for the error.
    ///
    /// # Errors
    /// [`ScheduleError::Wrong`] with line and column.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ScheduleError> {
        serde_saphyr::from_str_valid(text).map_err(|error| ScheduleError::Wrong {
            path: path.to_owned(),
            what: error.to_string(),
        })
    }

    /// The schedule of `folder`, or the built-in one when there is no file.
    ///
    /// # Errors
    /// [`ScheduleError`] when the file cannot be read or is wrong.
    pub fn load(folder: &Path) -> Result<Self, ScheduleError> {
        let path = folder.join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text, &path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Self::parse(BUILT_IN, &path)
            }
            Err(source) => Err(ScheduleError::Read { path, source }),
        }
    }

    /// The job of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Job> {
        self.jobs.iter().find(|job| job.name == name)
    }

    /// The enabled jobs that do `task`.
    pub fn of(&self, task: Task) -> impl Iterator<Item = &Job> {
        self.jobs.iter().filter(move |job| job.enabled && job.task == task)
    }

    /// The shortest interval of the enabled jobs that do `task`; `None` when none does.
    #[must_use]
    pub fn interval_of(&self, task: Task) -> Option<Duration> {
        self.of(task).map(Job::interval).min()
    }
}

/// When a job that is due every `every` and wants a quiet machine is next due after `now`, microseconds
/// since the Unix epoch: at multiples of the interval, counted from 18:00 in Korea, when the session is
/// over.
#[must_use]
pub fn after_hours(now_us: i64, every: Duration) -> i64 {
    const OFFSET_US: i64 = 9 * 3_600 * 1_000_000;
    let every = i64::try_from(every.as_micros()).unwrap_or(i64::MAX).max(1);
    let past = now_us.saturating_sub(OFFSET_US).div_euclid(every);
    past.saturating_add(1).saturating_mul(every).saturating_add(OFFSET_US)
}

/// Longest interval: 31 days.
const LONGEST_S: u64 = 31 * 86_400;

/// `30s`, `5m`, `1h`: from one second to 31 days.
fn parse_interval(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return None,
    };
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds = number.parse::<u64>().ok()?.checked_mul(seconds)?;
    (1..=LONGEST_S).contains(&seconds).then(|| Duration::from_secs(seconds))
}

fn is_interval(text: &str, _: &()) -> garde::Result {
    match parse_interval(text) {
        Some(_) => Ok(()),
        None => Err(garde::Error::new(format!(
            "\"{text}\" is no interval: expected 1s to 744h as 30s, 5m or 1h"
        ))),
    }
}

fn is_name(text: &str, _: &()) -> garde::Result {
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
        return Ok(());
    }
    Err(garde::Error::new(format!("\"{text}\" is no name: expected letters, digits, - and _")))
}

fn are_unique(jobs: &[Job], _: &()) -> garde::Result {
    for (index, job) in jobs.iter().enumerate() {
        if jobs[..index].iter().any(|earlier| earlier.name == job.name) {
            return Err(garde::Error::new(format!("two jobs are named \"{}\"", job.name)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(text: &str) -> String {
        Jobs::parse(text, Path::new("jobs.yaml")).expect_err(text).to_string()
    }

    #[test]
    fn the_built_in_schedule_is_valid() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = Jobs::load(folder.path()).unwrap();
        let every = jobs.interval_of(Task::GenerateRecommendations);
        assert_eq!(every, Some(Duration::from_secs(30)));
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let job = "jobs:\n  - name: a\n    task: generate_recommendations\n";
        let wrong = error(&format!("{job}    every: 30 s\n"));
        assert!(wrong.contains("30 s") && wrong.contains('4'), "{wrong}");
        let wrong = error(&format!("{job}    every: 30s\n    evry: 1s\n"));
        assert!(wrong.contains("evry") && wrong.contains('5'), "{wrong}");
        let wrong = error("jobs:\n  - name: a\n    task: dance\n    every: 1s\n");
        assert!(wrong.contains("dance") && wrong.contains("generate_recommendations"), "{wrong}");
        let twice = format!(
            "{job}    every: 1s\n  - name: a\n    task: generate_recommendations\n    every: 1h\n"
        );
        assert!(error(&twice).contains("two jobs are named \"a\""));
    }

    #[test]
    fn a_job_can_be_off() {
        let text =
            "jobs:\n  - {name: a, task: generate_recommendations, every: 5m, enabled: false}\n";
        let jobs = Jobs::parse(text, Path::new("jobs.yaml")).unwrap();
        assert_eq!(jobs.interval_of(Task::GenerateRecommendations), None);
        assert_eq!(jobs.jobs[0].interval(), Duration::from_secs(300));
    }

    #[test]
    fn quiet_jobs_run_in_the_evening() {
        const HOUR: i64 = 3_600_000_000;
        let week = Duration::from_secs(7 * 86_400);
        let due = after_hours(1_767_603_600_000_000, week);
        assert_eq!(due.rem_euclid(24 * HOUR), 9 * HOUR, "18:00 in Korea");
        assert_eq!(after_hours(due, week) - due, 7 * 24 * HOUR);
        assert_eq!(after_hours(due - 1, week), due);
        assert!(parse_interval("744h").is_some() && parse_interval("745h").is_none());
    }

    proptest! {
        #[test]
        fn a_job_is_due_within_one_interval(now in 0i64..4_000_000_000_000_000, every in 1u64..2_678_400) {
            let due = after_hours(now, Duration::from_secs(every));
            prop_assert!(due > now && due - now <= every as i64 * 1_000_000);
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,80}") {
            let _ = Jobs::parse(&text, Path::new("jobs.yaml"));
            let _ = parse_interval(&text);
        }
    }
}

//! The schedule: `jobs.yaml`, the one place that says what runs when.
//!
//! In: the file's text, the KRX calendar, instants. Out: [`Jobs`], valid; when each is planned
//! ([`Timing`]); which runs are due ([`Job::due`]). Every mistake of the file is named with its line; a
//! file with a mistake is refused as a whole, because half a schedule is worse than the old one.
//!
//! Advice follows the market's clock (`clock: event`): the RiskScorer, which sees that time pass, tells
//! the advisers. Everything else goes by the wall clock and is started by the scheduler
//! (`actors::scheduler`). Nothing here has a clock: the same question has the same answer everywhere.
//!
//! - [`cron`]: crontabs with Celery's semantics; `zone`: local times where clocks are changed
//! - [`timing`]: planned instants; [`policy`]: which of them are due; [`job`]: the words of a job
//!
//! For users: `docs/schedule.md`.

pub mod cron;
pub mod job;
pub mod policy;
mod span;
pub mod timing;
mod zone;

use std::path::{Path, PathBuf};
use std::time::Duration;

use garde::Validate;
use serde::Deserialize;

pub use job::{Job, JobClock};
pub use policy::{Due, Misfire, Missed, ON_TIME, Overlap};
pub use timing::Timing;

/// The schedule that is built in: the `jobs.yaml` at the root of the source.
const BUILT_IN: &str = include_str!("../../jobs.yaml");
/// Where the file is looked for, from the working directory.
pub const FILE: &str = "jobs.yaml";
/// Most jobs of a schedule.
const MAX_JOBS: usize = 200;

/// A schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct Jobs {
    /// The jobs, in the order of the file.
    pub jobs: Vec<Job>,
}

/// A schedule, as in the file.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
struct Entries {
    #[garde(dive, length(max = MAX_JOBS), custom(are_unique))]
    jobs: Vec<job::Entry>,
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
    /// [`ScheduleError::Wrong`] with line and column of every mistake.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ScheduleError> {
        let wrong = |what: String| ScheduleError::Wrong { path: path.to_owned(), what };
        let entries: Entries =
            serde_saphyr::from_str_valid(text).map_err(|error| wrong(error.to_string()))?;
        let jobs = entries.jobs.iter().map(job::Entry::job).collect::<Result<_, _>>();
        // They are valid, so nothing is left to be told; if there were, it would be told without lines.
        let jobs = jobs.map_err(|mistakes| {
            let told: Vec<String> = mistakes.into_iter().map(|(_, what)| what).collect();
            wrong(told.join("; "))
        })?;
        Ok(Self { jobs })
    }

    /// The schedule of `folder`, or the built-in one when there is no file.
    ///
    /// # Errors
    /// [`ScheduleError`] when the file cannot be read or is wrong.
    pub fn load(folder: &Path) -> Result<Self, ScheduleError> {
        Self::parse(&Self::text(folder)?, &folder.join(FILE))
    }

    /// The text of the schedule of `folder`, or the built-in one when there is no file.
    ///
    /// # Errors
    /// [`ScheduleError::Read`].
    pub fn text(folder: &Path) -> Result<String, ScheduleError> {
        let path = folder.join(FILE);
        match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BUILT_IN.to_owned()),
            text => text.map_err(|source| ScheduleError::Read { path, source }),
        }
    }

    /// The job of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Job> {
        self.jobs.iter().find(|job| job.name == name)
    }

    /// The jobs that the scheduler starts.
    pub fn scheduled(&self) -> impl Iterator<Item = &Job> {
        self.jobs.iter().filter(|job| job.is_scheduled())
    }

    /// The shortest interval of the enabled jobs that follow the market's clock; `None` when none does.
    #[must_use]
    pub fn event_interval(&self) -> Option<Duration> {
        let jobs = self.jobs.iter().filter(|job| job.enabled && job.clock == JobClock::Event);
        jobs.filter_map(|job| job.timing.interval()).min()
    }

    /// The shortest interval of the scheduled jobs that do `task` at one.
    #[must_use]
    pub fn interval_of(&self, task: &str) -> Option<Duration> {
        let jobs = self.scheduled().filter(|job| job.task == task);
        jobs.filter_map(|job| job.timing.interval()).min()
    }
}

fn are_unique(jobs: &[job::Entry], (): &()) -> garde::Result {
    for (index, job) in jobs.iter().enumerate() {
        if jobs[..index].iter().any(|earlier| earlier.name == job.name) {
            return Err(garde::Error::new(format!("two jobs are named \"{}\"", job.name)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;

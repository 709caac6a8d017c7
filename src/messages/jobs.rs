//! What readers see of the schedule: the jobs, when each is next, how the last run ended.
//!
//! The scheduler writes it, the HTTP interface reads it, and the command line prints the same rows.

use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::Serialize;
use serde_json::{Map, Value};

/// A planned instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedAt {
    /// RFC 3339 with the Korean offset.
    pub at: String,
    /// The same on a clock in the job's zone, with its abbreviation: `2026-11-12 04:00:00 EST`.
    pub local: String,
}

/// The newest run of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastRun {
    /// Planned instant, RFC 3339.
    pub planned: String,
    /// `waiting`, `running`, `done`, `failed`, `skipped`, `missed` or `replaced`.
    pub status: String,
    /// What happened.
    pub detail: String,
    /// Start, RFC 3339.
    pub started_at: String,
    /// End, RFC 3339; `null` while it is not over.
    pub finished_at: Option<String>,
    /// The attempt, from 1; 0 for a run that was never started.
    pub attempt: u32,
    /// Id of the task of the newest attempt.
    pub task_id: Option<String>,
}

/// A job, its next runs and its newest one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobRow {
    /// Unique name.
    pub name: String,
    /// The task.
    pub task: &'static str,
    /// Its arguments.
    pub kwargs: Map<String, Value>,
    /// Whether it runs.
    pub enabled: bool,
    /// `wall` or `event`.
    pub clock: &'static str,
    /// When, in words.
    pub when: String,
    /// Zone of the local times; intervals and sessions are Korean.
    pub zone: String,
    /// `latest`, `all` or `none`.
    pub misfire: &'static str,
    /// How old a run may be that is made up for, seconds.
    pub max_lateness_s: u64,
    /// Runs start up to so much later than planned, seconds.
    pub jitter_s: u64,
    /// How long an attempt may take, seconds; `null`: the task's own limit.
    pub timeout_s: Option<u64>,
    /// How often a failed run is repeated.
    pub retries: u32,
    /// `skip`, `queue` or `replace`.
    pub overlap: &'static str,
    /// Coming runs; none of a job that is off, or follows the market's clock.
    pub next: Vec<PlannedAt>,
    /// Why there is no next run although the job is on; `null` when there is one.
    pub problem: Option<String>,
    /// The newest run; `null` before the first.
    pub last: Option<LastRun>,
}

/// The schedule as it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobsState {
    /// Who starts the runs: `here`, `elsewhere` or `nobody`.
    pub leader: &'static str,
    /// What is wrong with `jobs.yaml`, whose last good version is in force; `null` when nothing is.
    pub problem: Option<String>,
    /// The jobs, in the order of the file.
    pub jobs: Vec<JobRow>,
}

impl Default for JobsState {
    fn default() -> Self {
        Self { leader: "nobody", problem: None, jobs: Vec::new() }
    }
}

/// The board; clones share it.
#[derive(Debug, Clone, Default)]
pub struct JobBoard {
    state: Arc<ArcSwap<JobsState>>,
}

impl JobBoard {
    /// The schedule now.
    #[must_use]
    pub fn state(&self) -> Arc<JobsState> {
        self.state.load_full()
    }

    /// Puts up a new state.
    pub fn set(&self, state: JobsState) {
        self.state.store(Arc::new(state));
    }
}

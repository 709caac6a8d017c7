//! Where planned runs, cursors and the lease are kept: the database, or in a dry run this process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::market::EventTime;
use crate::store::job_runs::{self, Fenced, JobCursor, JobRun, RunStatus};
use crate::store::lease::{self, Grant};
use crate::store::{Database, StoreError};

/// Runs that a dry run remembers; of more than this the oldest are forgotten.
const REMEMBERED: usize = 10_000;

/// The ledger of the schedule; clones share it.
#[derive(Debug, Clone)]
pub enum Ledger {
    /// The database: any number of schedulers, one of which leads.
    Database(Database),
    /// This process alone: nothing is written, nothing outlives it.
    Memory(Memory),
}

/// A ledger that is not written anywhere.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    runs: Arc<Mutex<BTreeMap<(EventTime, String), JobRun>>>,
}

/// The epoch of a process that has nobody to compete with.
const ALONE: i64 = 1;

impl Ledger {
    /// Asks for the lease, or extends it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take(
        &self,
        holder: &str,
        ttl: Duration,
        now: EventTime,
    ) -> Result<Grant, StoreError> {
        match self {
            Self::Database(db) => lease::take(db, holder, ttl, now).await,
            Self::Memory(_) => Ok(Grant::Held(ALONE)),
        }
    }

    /// Gives the lease back.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn give_back(&self, epoch: i64) -> Result<(), StoreError> {
        match self {
            Self::Database(db) => lease::give_back(db, epoch).await,
            Self::Memory(_) => Ok(()),
        }
    }

    /// Makes the run ours, if it is nobody's yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn claim(&self, epoch: i64, run: &JobRun) -> Result<Fenced, StoreError> {
        match self {
            Self::Database(db) => job_runs::claim(db, epoch, run).await,
            Self::Memory(memory) => Ok(memory.claim(run)),
        }
    }

    /// Writes a claimed run as it is now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn update(&self, epoch: i64, run: &JobRun) -> Result<Fenced, StoreError> {
        match self {
            Self::Database(db) => job_runs::update(db, epoch, run).await,
            Self::Memory(memory) => Ok(memory.update(run)),
        }
    }

    /// Runs that are not over, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open_runs(&self) -> Result<Vec<JobRun>, StoreError> {
        match self {
            Self::Database(db) => job_runs::open_runs(db).await,
            Self::Memory(memory) => {
                let runs = memory.runs.lock();
                Ok(runs.values().filter(|run| !run.status.is_over()).cloned().collect())
            }
        }
    }

    /// The newest run of each job, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn latest(&self) -> Result<BTreeMap<String, JobRun>, StoreError> {
        let runs = match self {
            Self::Database(db) => job_runs::latest_runs(db).await?,
            // In order, so that the newest comes last.
            Self::Memory(memory) => memory.runs.lock().values().cloned().collect(),
        };
        Ok(runs.into_iter().map(|run| (run.job.clone(), run)).collect())
    }

    /// When each job last succeeded.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn successes(&self) -> Result<Vec<(String, EventTime)>, StoreError> {
        match self {
            Self::Database(db) => job_runs::last_successes(db).await,
            Self::Memory(memory) => {
                let runs = memory.runs.lock();
                let done = runs.values().filter(|run| run.status == RunStatus::Done);
                Ok(done.filter_map(|run| Some((run.job.clone(), run.finished?))).collect())
            }
        }
    }

    /// How far each plan has been dealt with, by job.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn cursors(&self) -> Result<BTreeMap<String, JobCursor>, StoreError> {
        let cursors = match self {
            Self::Database(db) => job_runs::cursors(db).await?,
            Self::Memory(_) => Vec::new(),
        };
        Ok(cursors.into_iter().map(|cursor| (cursor.job.clone(), cursor)).collect())
    }

    /// Writes cursors.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn write_cursors(
        &self,
        epoch: i64,
        cursors: &[JobCursor],
    ) -> Result<Fenced, StoreError> {
        match self {
            Self::Database(db) => job_runs::write_cursors(db, epoch, cursors).await,
            Self::Memory(_) => Ok(Fenced::Written),
        }
    }
}

impl Memory {
    fn claim(&self, run: &JobRun) -> Fenced {
        let mut runs = self.runs.lock();
        let key = (run.planned, run.job.clone());
        if runs.contains_key(&key) {
            return Fenced::Taken;
        }
        runs.insert(key, run.clone());
        while runs.len() > REMEMBERED {
            runs.pop_first();
        }
        Fenced::Written
    }

    fn update(&self, run: &JobRun) -> Fenced {
        let mut runs = self.runs.lock();
        match runs.get_mut(&(run.planned, run.job.clone())) {
            Some(known) if !known.status.is_over() => {
                *known = run.clone();
                Fenced::Written
            }
            _ => Fenced::Taken,
        }
    }
}

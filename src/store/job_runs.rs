//! `job_runs`: how runs of the schedule's jobs ended.

use sea_orm::ActiveValue::{NotSet, Set};

use super::entity::job_run;
use super::retry::retry_conflicts;
use super::upsert::upsert;
use super::writer::rows::{self, ascii, head};
use super::{Database, StoreError};
use crate::market::EventTime;

/// A run of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRun {
    /// Job name.
    pub job: String,
    /// Moment of the schedule; with the job, the run's identity.
    pub planned: EventTime,
    /// `running`, `done`, `failed` or `skipped`.
    pub status: &'static str,
    /// What happened.
    pub detail: String,
    /// Start, wall clock.
    pub started: EventTime,
    /// End, wall clock.
    pub finished: Option<EventTime>,
}

/// Writes a run as it is now.
///
/// # Errors
/// When the database fails.
pub async fn write_job_run(db: &Database, run: &JobRun) -> Result<(), StoreError> {
    let row = job_run::ActiveModel {
        id: NotSet,
        job: Set(ascii(&run.job, 64)),
        scheduled_for: Set(run.planned),
        status: Set(run.status.to_owned()),
        detail: Set(head(&run.detail, rows::MAX_TEXT).to_owned()),
        started_at: Set(run.started),
        finished_at: Set(run.finished),
    };
    let write = || async {
        let rows = upsert(db.connection(), [row.clone()]).await;
        rows.map_err(StoreError::statement("write job_runs"))
    };
    retry_conflicts!(db.within("write job_runs", write()).await).map(drop)
}

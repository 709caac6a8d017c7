//! `job_runs` and `job_cursors`: planned runs of the schedule's jobs, and how far each plan has been
//! dealt with.
//!
//! A planned run is one row, unique by job and planned moment: whoever inserts it may start the run,
//! and nobody can a second time, whatever became of leases, clocks and processes. All writes of the
//! schedule are fenced by the lease's epoch ([`super::lease`]); [`Fenced::Lost`] means that another has
//! the schedule now, and nothing was written.

use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder,
    QuerySelect, Statement,
};

use super::entity::{job_cursor, job_run};
use super::lease::fence;
use super::retry::retry_conflicts;
use super::upsert::upsert;
use super::writer::rows::{self, ascii, head};
use super::{Database, StoreError};
use crate::market::EventTime;

/// Runs that are not over which one start takes up again; of more than this the oldest are left.
const MAX_OPEN: u64 = 10_000;

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunStatus {
    /// It is to start: at once, at its turn, or after a pause.
    Waiting,
    /// Its task is in the queue, or runs.
    Running,
    /// Its task succeeded.
    Done,
    /// Its last attempt failed.
    Failed,
    /// It was left out: an earlier run was not over, or there was nothing to do.
    Skipped,
    /// Nobody was there to start it in time.
    Missed,
    /// A later run took its place.
    Replaced,
}

impl RunStatus {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Running,
        Self::Done,
        Self::Failed,
        Self::Skipped,
        Self::Missed,
        Self::Replaced,
    ];

    /// As in the row.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Missed => "missed",
            Self::Replaced => "replaced",
        }
    }

    /// Whether nothing follows.
    #[must_use]
    pub const fn is_over(self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }

    fn parse(text: &str) -> Result<Self, StoreError> {
        let found = Self::ALL.into_iter().find(|status| status.as_str() == text);
        found.ok_or_else(|| StoreError::Content {
            table: "job_runs",
            column: "status",
            value: text.to_owned(),
            expected: "waiting, running, done, failed, skipped, missed or replaced",
        })
    }
}

/// A planned run of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRun {
    /// Job name.
    pub job: String,
    /// Moment of the schedule; with the job, the run's identity.
    pub planned: EventTime,
    /// How it stands.
    pub status: RunStatus,
    /// What happened.
    pub detail: String,
    /// Start, wall clock.
    pub started: EventTime,
    /// End, wall clock.
    pub finished: Option<EventTime>,
    /// Id of the task of the newest attempt.
    pub task_id: Option<String>,
    /// The newest attempt, from 1; 0 before the first.
    pub attempt: u32,
}

impl JobRun {
    fn row(&self, epoch: Option<i64>) -> job_run::ActiveModel {
        job_run::ActiveModel {
            id: NotSet,
            job: Set(ascii(&self.job, 64)),
            scheduled_for: Set(self.planned),
            status: Set(self.status.as_str().to_owned()),
            detail: Set(head(&self.detail, rows::MAX_TEXT).to_owned()),
            started_at: Set(self.started),
            finished_at: Set(self.finished),
            task_id: Set(self.task_id.as_deref().map(|id| ascii(id, 64))),
            attempt: Set(i32::try_from(self.attempt).ok()),
            epoch: Set(epoch),
        }
    }

    fn of(row: job_run::Model) -> Result<Self, StoreError> {
        Ok(Self {
            status: RunStatus::parse(&row.status)?,
            job: row.job,
            planned: row.scheduled_for,
            detail: row.detail,
            started: row.started_at,
            finished: row.finished_at,
            task_id: row.task_id,
            attempt: row.attempt.and_then(|attempt| u32::try_from(attempt).ok()).unwrap_or(0),
        })
    }
}

/// What became of a fenced write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fenced {
    /// It is written.
    Written,
    /// The row is there already: the run is somebody's.
    Taken,
    /// The lease is another's; nothing is written.
    Lost,
}

/// How far the plan of a job has been dealt with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobCursor {
    /// Job name.
    pub job: String,
    /// What made the plan.
    pub plan: String,
    /// Up to and including this moment.
    pub until: EventTime,
}

const CLAIM: &str = "claim a run in job_runs";
const UPDATE: &str = "write job_runs";
const READ: &str = "read job_runs";
const CURSORS: &str = "write job_cursors";

/// Writes a run as it is now, new or not, outside the schedule: one that somebody asked for.
///
/// # Errors
/// When the database fails.
pub async fn write_job_run(db: &Database, run: &JobRun) -> Result<(), StoreError> {
    let row = run.row(None);
    let write = || async {
        let rows = upsert(db.connection(), [row.clone()]).await;
        rows.map_err(StoreError::statement(UPDATE))
    };
    retry_conflicts!(db.within(UPDATE, write()).await).map(drop)
}

/// Makes the run ours, if it is nobody's yet.
///
/// # Errors
/// When the database fails; whether it is ours is then not known, and asking again tells.
pub async fn claim(db: &Database, epoch: i64, run: &JobRun) -> Result<Fenced, StoreError> {
    retry_conflicts!(db.within(CLAIM, claim_once(db, epoch, run)).await)
}

async fn claim_once(db: &Database, epoch: i64, run: &JobRun) -> Result<Fenced, StoreError> {
    let Some(transaction) = fence(db, epoch).await? else { return Ok(Fenced::Lost) };
    // The fence lets one claim at a time through, so looking first is safe; the unique key stands
    // behind it all the same.
    let known = job_run::Entity::find()
        .filter(job_run::Column::Job.eq(ascii(&run.job, 64)))
        .filter(job_run::Column::ScheduledFor.eq(run.planned))
        .one(&transaction)
        .await
        .map_err(StoreError::statement(CLAIM))?;
    if let Some(row) = known {
        // Under our epoch nobody else writes: a claim of ours whose answer was lost.
        let ours = row.epoch == Some(epoch) && !RunStatus::parse(&row.status)?.is_over();
        return Ok(if ours { Fenced::Written } else { Fenced::Taken });
    }
    let insert = job_run::Entity::insert(run.row(Some(epoch)));
    insert.exec_without_returning(&transaction).await.map_err(StoreError::statement(CLAIM))?;
    transaction.commit().await.map_err(StoreError::statement(CLAIM))?;
    Ok(Fenced::Written)
}

/// Writes a claimed run as it is now. A run that is over stays as it ended.
///
/// # Errors
/// When the database fails.
pub async fn update(db: &Database, epoch: i64, run: &JobRun) -> Result<Fenced, StoreError> {
    retry_conflicts!(db.within(UPDATE, update_once(db, epoch, run)).await)
}

async fn update_once(db: &Database, epoch: i64, run: &JobRun) -> Result<Fenced, StoreError> {
    let Some(transaction) = fence(db, epoch).await? else { return Ok(Fenced::Lost) };
    let open = [RunStatus::Waiting.as_str(), RunStatus::Running.as_str()];
    let mut row = run.row(Some(epoch));
    (row.job, row.scheduled_for) = (NotSet, NotSet);
    let done = job_run::Entity::update_many()
        .set(row)
        .filter(job_run::Column::Job.eq(ascii(&run.job, 64)))
        .filter(job_run::Column::ScheduledFor.eq(run.planned))
        .filter(job_run::Column::Status.is_in(open))
        .exec(&transaction)
        .await
        .map_err(StoreError::statement(UPDATE))?;
    transaction.commit().await.map_err(StoreError::statement(UPDATE))?;
    Ok(if done.rows_affected == 0 { Fenced::Taken } else { Fenced::Written })
}

/// Runs that are not over, oldest first.
///
/// # Errors
/// When the database fails, or a row is not ours.
pub async fn open_runs(db: &Database) -> Result<Vec<JobRun>, StoreError> {
    let read = job_run::Entity::find()
        .filter(job_run::Column::Epoch.is_not_null())
        .filter(
            job_run::Column::Status
                .is_in([RunStatus::Waiting.as_str(), RunStatus::Running.as_str()]),
        )
        .order_by_desc(job_run::Column::ScheduledFor)
        .limit(MAX_OPEN)
        .all(db.connection());
    let work = async { read.await.map_err(StoreError::statement(READ)) };
    let rows = db.within(READ, work).await?;
    rows.into_iter().rev().map(JobRun::of).collect()
}

/// The newest run of each job that has one.
///
/// # Errors
/// When the database fails, or a row is not ours.
pub async fn latest_runs(db: &Database) -> Result<Vec<JobRun>, StoreError> {
    let sql = "SELECT r.* FROM job_runs r JOIN (SELECT job, MAX(scheduled_for) AS newest FROM job_runs \
               GROUP BY job) n ON r.job = n.job AND r.scheduled_for = n.newest";
    let ask = Statement::from_string(db.backend(), sql);
    let work = async {
        let rows = db.connection().query_all_raw(ask).await;
        rows.map_err(StoreError::statement(READ))
    };
    let rows = db.within(READ, work).await?;
    let models = rows.iter().map(|row| job_run::Model::from_query_result(row, ""));
    models.map(|row| row.map_err(StoreError::statement(READ)).and_then(JobRun::of)).collect()
}

/// When each job last succeeded, by the wall clock, for those that ever have.
///
/// # Errors
/// When the database fails.
pub async fn last_successes(db: &Database) -> Result<Vec<(String, EventTime)>, StoreError> {
    let ask = job_run::Entity::find()
        .select_only()
        .column(job_run::Column::Job)
        .column_as(job_run::Column::FinishedAt.max(), "finished_at")
        .filter(job_run::Column::Status.eq(RunStatus::Done.as_str()))
        .group_by(job_run::Column::Job)
        .into_tuple::<(String, Option<EventTime>)>()
        .all(db.connection());
    let work = async { ask.await.map_err(StoreError::statement(READ)) };
    let rows = db.within(READ, work).await?;
    Ok(rows.into_iter().filter_map(|(job, at)| Some((job, at?))).collect())
}

/// All cursors.
///
/// # Errors
/// When the database fails.
pub async fn cursors(db: &Database) -> Result<Vec<JobCursor>, StoreError> {
    let read = job_cursor::Entity::find().all(db.connection());
    let work = async { read.await.map_err(StoreError::statement("read job_cursors")) };
    let rows = db.within("read job_cursors", work).await?;
    let of = |row: job_cursor::Model| JobCursor { job: row.id, plan: row.plan, until: row.until };
    Ok(rows.into_iter().map(of).collect())
}

/// Writes cursors, all or none.
///
/// # Errors
/// When the database fails.
pub async fn write_cursors(
    db: &Database,
    epoch: i64,
    cursors: &[JobCursor],
) -> Result<Fenced, StoreError> {
    if cursors.is_empty() {
        return Ok(Fenced::Written);
    }
    retry_conflicts!(db.within(CURSORS, write_cursors_once(db, epoch, cursors)).await)
}

async fn write_cursors_once(
    db: &Database,
    epoch: i64,
    cursors: &[JobCursor],
) -> Result<Fenced, StoreError> {
    let Some(transaction) = fence(db, epoch).await? else { return Ok(Fenced::Lost) };
    let rows = cursors.iter().map(|cursor| job_cursor::ActiveModel {
        id: Set(ascii(&cursor.job, 64)),
        plan: Set(head(&cursor.plan, rows::MAX_TEXT).to_owned()),
        until: Set(cursor.until),
        epoch: Set(epoch),
    });
    let mut conflict = OnConflict::column(job_cursor::Column::Id);
    let replaced = [job_cursor::Column::Plan, job_cursor::Column::Until, job_cursor::Column::Epoch];
    conflict.update_columns(replaced);
    let insert = job_cursor::Entity::insert_many(rows).on_conflict(conflict);
    insert.exec_without_returning(&transaction).await.map_err(StoreError::statement(CURSORS))?;
    transaction.commit().await.map_err(StoreError::statement(CURSORS))?;
    Ok(Fenced::Written)
}

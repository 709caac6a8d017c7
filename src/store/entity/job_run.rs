//! `job_runs`: runs of scheduled jobs.

use sea_orm::entity::prelude::*;

use crate::market::EventTime;

/// A row of `job_runs`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "job_runs")]
pub struct Model {
    /// Running number; no meaning.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Job name.
    pub job: String,
    /// Moment of the schedule; with the job, the run's identity.
    pub scheduled_for: EventTime,
    /// `waiting`, `running`, `done`, `failed`, `skipped`, `missed`, `replaced`.
    pub status: String,
    /// What happened.
    pub detail: String,
    /// Start, wall clock.
    pub started_at: EventTime,
    /// End, wall clock.
    pub finished_at: Option<EventTime>,
    /// Id of the task of the newest attempt.
    pub task_id: Option<String>,
    /// The newest attempt, from 1.
    pub attempt: Option<i32>,
    /// Epoch of the lease under which the row was last written.
    pub epoch: Option<i64>,
}

/// No relation is declared: rows are joined by their ids.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

//! `etl_runs`: runs of the pipeline and of batch collection.

use sea_orm::entity::prelude::*;

use crate::market::EventTime;

/// A row of `etl_runs`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "etl_runs")]
pub struct Model {
    /// Id of the run; of a step of it, `<run>:<step>`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// `live`, `replay`, `collect`, `collect.prices`, ...
    pub kind: String,
    /// `running`, `done`, `partial` (some subjects failed), `failed`, `stopped`.
    pub status: String,
    /// Records read.
    pub rows_in: i64,
    /// Rows written.
    pub rows_out: i64,
    /// Records refused.
    pub rejects: i64,
    /// What happened.
    pub detail: String,
    /// Start, wall clock.
    pub started_at: EventTime,
    /// End, wall clock.
    pub finished_at: Option<EventTime>,
}

/// No relation is declared: rows are joined by their ids.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

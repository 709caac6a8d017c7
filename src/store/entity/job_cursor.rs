//! `job_cursors`: how far the plan of each job has been dealt with.

use sea_orm::entity::prelude::*;

use crate::market::EventTime;

/// A row of `job_cursors`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "job_cursors")]
pub struct Model {
    /// Job name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// What made the plan; another plan is begun anew.
    pub plan: String,
    /// Planned runs up to this moment are in `job_runs`, or were left out for good.
    pub until: EventTime,
    /// Epoch of the lease under which the row was last written.
    pub epoch: i64,
}

/// No relation is declared: rows are joined by their ids.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

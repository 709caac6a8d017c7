//! `scheduler_lease`: who may start planned runs. One row, [`ID`].

use sea_orm::entity::prelude::*;

use crate::market::EventTime;

/// The row.
pub const ID: &str = "scheduler";

/// A row of `scheduler_lease`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "scheduler_lease")]
pub struct Model {
    /// [`ID`].
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Who has it: unique to a start of a scheduler.
    pub holder: String,
    /// Counts the changes of holder; a write under an earlier one is refused.
    pub epoch: i64,
    /// Until when, by the database's clock.
    pub expires_at: EventTime,
}

/// No relation is declared: rows are joined by their ids.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

//! `task_runs`: tasks of the queue.

use sea_orm::entity::prelude::*;

use crate::market::EventTime;

/// A row of `task_runs`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "task_runs")]
pub struct Model {
    /// Task id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Task name.
    pub name: String,
    /// `PENDING`, `STARTED`, `SUCCESS`, ...
    pub state: String,
    /// Arguments, JSON.
    pub args: String,
    /// Result, JSON.
    pub result: String,
    /// Failure text.
    pub error: String,
    /// Retries so far.
    pub retries: i32,
    /// Taken from the queue, wall clock.
    pub received_at: EventTime,
    /// Start, wall clock.
    pub started_at: Option<EventTime>,
    /// End, wall clock.
    pub finished_at: Option<EventTime>,
    /// Key of the newest execution.
    pub execution: Option<String>,
    /// How often it was begun: more than retries say, where a worker died or a message came twice.
    pub executions: Option<i32>,
    /// The call that all of a canvas began with.
    pub root_id: Option<String>,
    /// The call that sent this one.
    pub parent_id: Option<String>,
    /// Who asked.
    pub origin: Option<String>,
    /// Which process ran it last.
    pub worker: Option<String>,
    /// The moment whose world it worked in.
    pub as_of: Option<EventTime>,
}

/// No relation is declared: rows are joined by their ids.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

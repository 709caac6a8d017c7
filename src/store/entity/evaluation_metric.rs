//! `evaluation_metrics`: measures of evaluation runs.

use sea_orm::entity::prelude::*;

use crate::market::EventTime;

/// A row of `evaluation_metrics`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "evaluation_metrics")]
pub struct Model {
    /// Running number; no meaning.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Evaluation run.
    pub run_id: String,
    /// Name of the measure.
    pub metric: String,
    /// Horizon, half-year or level; empty for none.
    pub label: String,
    /// Value.
    pub value: f64,
    /// When, wall clock.
    pub created_at: EventTime,
}

/// No relation is declared: rows are joined by their ids.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

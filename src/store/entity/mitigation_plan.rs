//! `mitigation_plans`: defence plans.

use sea_orm::entity::prelude::*;

use crate::market::EventTime;

/// A row of `mitigation_plans`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "mitigation_plans")]
pub struct Model {
    /// Deterministic id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Issue code, or `portfolio`.
    pub subject: String,
    /// Korean name.
    pub name: String,
    /// The event it answers.
    pub event_id: String,
    /// As of this event time.
    pub as_of: EventTime,
    /// Position value, won.
    pub position_value: i64,
    /// Whether the position is assumed.
    pub assumed_position: bool,
    /// JSON array of the options, best first.
    pub options: String,
    /// When the row was written, wall clock.
    pub created_at: EventTime,
}

/// No relation is declared: rows are joined by their ids.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

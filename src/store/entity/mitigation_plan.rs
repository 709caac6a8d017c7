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
    /// Version of the model; null in rows of earlier versions, as all that follow.
    pub model: Option<String>,
    /// Day before which the daily bars end.
    pub data_cut: Option<String>,
    /// Sessions that were simulated.
    pub horizon_sessions: Option<i64>,
    /// Paths of each simulation.
    pub paths: Option<i64>,
    /// Seed of the draws.
    pub seed: Option<i64>,
    /// Standard error of the value at risk before, won.
    pub risk_error: Option<i64>,
    /// When the row was written, wall clock.
    pub created_at: EventTime,
}

/// No relation is declared: rows are joined by their ids.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

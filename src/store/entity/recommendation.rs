//! `recommendations`: recommendation sets.

use sea_orm::entity::prelude::*;

use crate::market::EventTime;

/// A row of `recommendations`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "recommendations")]
pub struct Model {
    /// Deterministic id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Scenario name.
    pub scenario: String,
    /// As of this event time.
    pub as_of: EventTime,
    /// Issues looked at.
    pub universe: i64,
    /// Issues within the limits.
    pub eligible: i64,
    /// Number of picks.
    pub picks: i64,
    /// Korean note.
    pub note: String,
    /// What the order rests on: `ranked`, `low_risk`, `none`; null in rows of earlier versions, as all
    /// that follow.
    pub basis: Option<String>,
    /// Sessions the picks are meant to be held.
    pub horizon_sessions: Option<i64>,
    /// Share of the capital in cash.
    pub cash: Option<f64>,
    /// Value at risk (95 %) of the picks over the horizon, per cent of the capital.
    pub var_pct: Option<f64>,
    /// Version of the model.
    pub model: Option<String>,
    /// Day before which the daily bars end.
    pub data_cut: Option<String>,
    /// JSON object: what came of such picks in the past.
    pub evidence: Option<String>,
    /// When the row was written, wall clock.
    pub created_at: EventTime,
}

/// No relation is declared: rows are joined by their ids.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

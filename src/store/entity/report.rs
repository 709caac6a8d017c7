//! `reports`: finished reports.

use sea_orm::entity::prelude::*;

use crate::market::EventTime;

/// A row of `reports`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "reports")]
pub struct Model {
    /// Deterministic id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// `market_risk`, `recommendation`, ...
    pub kind: String,
    /// Title, Korean.
    pub title: String,
    /// Body, Korean Markdown.
    pub body: String,
    /// As of this event time.
    pub as_of: EventTime,
    /// `model` or `template`.
    pub origin: String,
    /// Why a template was used although a model is set.
    pub fallback_reason: String,
    /// Model name; empty for a template.
    pub model: String,
    /// JSON array of the ids it speaks of.
    pub sources: String,
    /// What it is about within its kind.
    pub subject: String,
    /// Which step of the ladder gave it.
    pub rung: String,
    /// When the row was written, wall clock.
    pub created_at: EventTime,
}

/// No relation is declared: rows are joined by their ids.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

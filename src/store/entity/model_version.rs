//! `model_versions`: fitted models.

use sea_orm::entity::prelude::*;

use crate::market::EventTime;

/// A row of `model_versions`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "model_versions")]
pub struct Model {
    /// Version id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// What it forecasts.
    pub kind: String,
    /// Whether it is in use.
    pub active: bool,
    /// Where the model is stored.
    pub object_path: String,
    /// Last session day of the training data, `YYYY-MM-DD`.
    pub trained_until: String,
    /// JSON object of its measures.
    pub metrics: String,
    /// When it was fitted, wall clock.
    pub created_at: EventTime,
    /// When it was put to use, wall clock.
    pub activated_at: Option<EventTime>,
}

/// No relation is declared: rows are joined by their ids.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

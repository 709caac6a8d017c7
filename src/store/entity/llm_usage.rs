//! `llm_usage`: calls of the language model.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::market::EventTime;

/// A row of `llm_usage`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize, Deserialize)]
#[sea_orm(table_name = "llm_usage")]
pub struct Model {
    /// Derived from the report, the model and how it ended: the same account twice is one row.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// What for.
    pub task: String,
    /// Model name.
    pub model: String,
    /// Tokens sent.
    pub prompt_tokens: i64,
    /// Tokens received.
    pub completion_tokens: i64,
    /// Both.
    pub total_tokens: i64,
    /// Time to the answer, milliseconds.
    pub latency_ms: i64,
    /// Whether the answer came from the cache.
    pub cached: bool,
    /// `ok`, `invalid`, `timeout`, ...
    pub outcome: String,
    /// When, wall clock.
    pub created_at: EventTime,
}

/// No relation is declared: rows are joined by their ids.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

//! `llm_usage`: calls of the language model.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::market::EventTime;

/// A row of `llm_usage`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize, Deserialize)]
#[sea_orm(table_name = "llm_usage")]
pub struct Model {
    /// Unique; also the name of the stored prompt.
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
    /// Report it was made for.
    pub report_id: String,
    /// Version of the prompt.
    pub prompt_version: String,
    /// Why it ended so, in a word.
    pub detail: String,
    /// Millionths of a US dollar.
    pub cost_micros: i64,
    /// When, wall clock.
    pub created_at: EventTime,
}

/// No relation is declared: rows are joined by their ids.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

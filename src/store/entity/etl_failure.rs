//! `etl_failures`: input that was refused.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::market::EventTime;

/// A row of `etl_failures`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize, Deserialize)]
#[sea_orm(table_name = "etl_failures")]
pub struct Model {
    /// Running number; no meaning.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Derived from stage, position and payload: the same refusal twice is one row.
    pub failure_key: String,
    /// Stage that refused it.
    pub stage: String,
    /// TR id, `journal`, an endpoint.
    pub source: String,
    /// Machine-readable reason.
    pub reason: String,
    /// The field, the value, what was expected.
    pub detail: String,
    /// Its beginning, at most 4 KiB.
    pub payload: String,
    /// Where the whole payload is: `journal:<segment>:<offset>:<record>` or
    /// `raw-data/<object key>`; empty when nowhere.
    pub payload_ref: String,
    /// Journal segment.
    pub journal_segment: Option<i64>,
    /// Byte offset within the segment.
    pub journal_offset: Option<i64>,
    /// Record within the frame.
    pub journal_record: Option<i32>,
    /// When the row was written, wall clock.
    pub created_at: EventTime,
}

/// No relation is declared: rows are joined by their ids.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

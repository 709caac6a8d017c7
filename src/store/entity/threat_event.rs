//! `threat_events`: crash and threat events, as published.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::market::EventTime;

/// A row of `threat_events`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize, Deserialize)]
#[sea_orm(table_name = "threat_events")]
pub struct Model {
    /// Id of the event.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// `crash` or `threat`.
    pub kind: String,
    /// Detector.
    pub rule: String,
    /// `watch`, `warning`, `critical`.
    pub level: String,
    /// Issue code; none for the market or the feed.
    pub symbol: Option<String>,
    /// Korean name.
    pub name: String,
    /// Price that fired, won; an index level in hundredths for the market.
    pub price: i64,
    /// What it is compared with, same unit.
    pub reference_price: i64,
    /// Change, per cent.
    pub change_pct: f64,
    /// Window looked at, seconds.
    pub window_s: i64,
    /// Risk score, 0 to 100.
    pub score: f64,
    /// Time of the trade or print that fired.
    pub event_time: EventTime,
    /// Journal segment of the cause.
    pub journal_segment: i64,
    /// Byte offset within the segment.
    pub journal_offset: i64,
    /// The numbers that fired the rule: a JSON object.
    pub evidence: String,
    /// When its publication was acknowledged, wall clock.
    pub published_at: Option<EventTime>,
}

/// No relation is declared: rows are joined by their ids.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

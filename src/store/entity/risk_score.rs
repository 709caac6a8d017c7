//! `risk_scores`: scores: one row an issue and event minute, as of the minute's last trade.

use sea_orm::entity::prelude::*;

use crate::market::EventTime;

/// A row of `risk_scores`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "risk_scores")]
pub struct Model {
    /// Running number; no meaning.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Issue code.
    pub symbol: String,
    /// Start of the minute.
    pub ts: EventTime,
    /// Time of the trade it was computed at.
    pub event_time: EventTime,
    /// 0 to 100.
    pub score: f64,
    /// Part from volatility, per cent of price.
    pub part_volatility: f64,
    /// Part from the fall under way, per cent of price.
    pub part_drawdown: f64,
    /// Part from spread and thin depth, per cent of price.
    pub part_liquidity: f64,
    /// Part from unusual volume, per cent of price.
    pub part_volume: f64,
    /// Price, won.
    pub price: i64,
    /// Change against the base price, per cent.
    pub change_pct: f64,
    /// Whether trades are missing in the window.
    pub over_gap: bool,
    /// Model that scored; empty for none.
    pub model: String,
}

/// No relation is declared: rows are joined by their ids.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

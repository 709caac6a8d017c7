//! `market_prices`: bars: one row an issue, interval length and start.

use sea_orm::entity::prelude::*;

use crate::market::EventTime;

/// A row of `market_prices`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "market_prices")]
pub struct Model {
    /// Running number; no meaning.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Issue code.
    pub symbol: String,
    /// `1m` or `1d`.
    pub interval: String,
    /// Start of the interval.
    pub ts: EventTime,
    /// First price, won.
    pub open: i64,
    /// Highest price, won.
    pub high: i64,
    /// Lowest price, won.
    pub low: i64,
    /// Last price, won.
    pub close: i64,
    /// Shares traded.
    pub volume: i64,
    /// Value traded, won.
    pub amount: i64,
    /// Where it comes from: `trades` of the feed, or `kis`, which told the bar.
    pub source: String,
    /// Whether nothing more can come (column `final`).
    #[sea_orm(column_name = "final")]
    pub is_final: bool,
}

/// No relation is declared: rows are joined by their ids.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

//! `trade_logs`: trades: one row a record of the feed, however many a frame carries.

use sea_orm::entity::prelude::*;

use crate::market::EventTime;

/// A row of `trade_logs`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "trade_logs")]
pub struct Model {
    /// Running number; no meaning.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Identity of the trade: `KRX:005930:20240805:12345` (venue, issue, session day, cumulative
    /// volume); of an order: `ACCT:…:20240805:00950:0000001234` (account, day, branch, number).
    pub source_key: String,
    /// `market`, or `account` for the account's own orders with fills.
    pub kind: String,
    /// Issue code.
    pub symbol: String,
    /// Time of the trade.
    pub ts: EventTime,
    /// Price, won.
    pub price: i64,
    /// Shares.
    pub quantity: i64,
    /// Aggressor: `B`, `S`, `A` (auction or not told).
    pub side: String,
    /// Shares traded in the session up to and including it.
    pub cum_volume: i64,
    /// Bits of `TradeFlags`.
    pub flags: i16,
    /// Journal segment of its frame; -1 when it was collected, and no frame brought it.
    pub journal_segment: i64,
    /// Byte offset within the segment.
    pub journal_offset: i64,
    /// Record within the frame.
    pub journal_record: i32,
}

/// No relation is declared: rows are joined by their ids.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

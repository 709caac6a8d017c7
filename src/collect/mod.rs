//! What is asked of KIS besides the live feed, in one form: the pure half of collection.
//!
//! In: typed answers. Out: Arrow record batches with a stated schema for each [`Kind`], checked row
//! by row ([`schema::validate`]), from which rows are written. Everything that is collected goes
//! through such a batch, so there is one place that says what good data is.
//!
//! - [`schema`]: the schemas and their checks; [`batch`]: records into batches and back
//! - [`bars`]: KIS's bars into ours, and when they are final
//! - [`prints`]: which trades the newest prints of an issue are
//! - [`naming`]: ids of runs, keys of raw answers, accounts without their numbers
//!
//! No I/O, no clock: who asks is `actors::collection`.

pub mod bars;
pub mod batch;
pub mod naming;
pub mod prints;
pub mod schema;

pub use schema::{Kind, SchemaError};

use crate::market::{EventTime, SessionDay, Side, Symbol, Won};

/// A trade of the market whose identity is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execution {
    /// Issue.
    pub symbol: Symbol,
    /// Time of the trade.
    pub time: EventTime,
    /// Price, won.
    pub price: Won,
    /// Shares.
    pub quantity: i64,
    /// Shares traded in the session up to and including it: its identity within the day.
    pub cum_volume: i64,
}

/// An order of the user's account that was filled at least in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountOrder {
    /// The account's [pseudonym](naming::account_hash).
    pub account: String,
    /// Day of the order.
    pub day: SessionDay,
    /// Branch that numbered it.
    pub branch: String,
    /// Its number.
    pub number: String,
    /// Issue.
    pub symbol: Symbol,
    /// Bought or sold.
    pub side: Side,
    /// When it was given.
    pub time: EventTime,
    /// Shares ordered.
    pub ordered: i64,
    /// Shares filled so far.
    pub filled: i64,
    /// Average price of the fills, won, rounded.
    pub price: Won,
}

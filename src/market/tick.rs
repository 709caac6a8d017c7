//! Typed records of the feed, kept in columns, in the order in which they arrived.
//!
//! A [`TickBatch`] is what passes between the stages of the hot path: trades, quotes and index
//! ticks each in columns of their own (struct of arrays, reused from batch to batch), and a
//! [`BatchSequence`] that remembers how they were interleaved. Whoever computes on a batch walks
//! the sequence, so the result never depends on where one batch ended and the next began.

use serde::{Deserialize, Serialize};

use super::{EventTime, IndexLevel, ModelSwitch, Reference, SessionDay, SymbolId, Won};

/// Where a record stands in the journal, and which record of its frame: the identity that rejects,
/// poison records and events refer to.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct RecordRef {
    /// Number of the journal segment.
    pub segment: u32,
    /// Byte offset of the journal record within the segment.
    pub offset: u32,
    /// Index of the record within the frame.
    pub record: u16,
}

/// Who was the aggressor of a trade (체결구분).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Side {
    /// Matched in an auction, or not told.
    #[default]
    Auction = 3,
    /// A buyer lifted the ask.
    Buy = 1,
    /// A seller hit the bid.
    Sell = 5,
}

impl Side {
    /// One letter: `B`, `S`, `A`.
    #[must_use]
    pub const fn letter(self) -> &'static str {
        match self {
            Self::Auction => "A",
            Self::Buy => "B",
            Self::Sell => "S",
        }
    }
}

/// What else a trade record says, one bit each.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TradeFlags(pub u8);

impl TradeFlags {
    /// The issue is halted (거래정지).
    pub const HALTED: u8 = 1;
    /// The record is an expected price of an auction, not a trade.
    pub const EXPECTED: u8 = 2;
    /// Arrived after a trade with a larger cumulative volume: stored, but not scored.
    pub const LATE: u8 = 4;
    /// Volume is missing between this trade and the one before.
    pub const AFTER_GAP: u8 = 8;
    /// Not one trade but the state at a moment, asked for by REST: price is the last one, quantity
    /// what was traded since the state before. Scored; neither stored as a trade nor put into bars.
    pub const SAMPLED: u8 = 16;

    /// Whether every bit of `mask` is set.
    #[must_use]
    pub const fn has(self, mask: u8) -> bool {
        self.0 & mask == mask
    }
}

/// One trade as the feed gave it. Zero means that the feed left a field empty.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trade {
    /// Issue.
    pub symbol: SymbolId,
    /// Time of the trade; whole seconds.
    pub time: EventTime,
    /// Trade price, won.
    pub price: Won,
    /// Size, shares.
    pub quantity: i64,
    /// Volume of the session including this trade, shares.
    pub cum_volume: i64,
    /// Value of the session including this trade, won.
    pub cum_value: Won,
    /// Aggressor.
    pub side: Side,
    /// Best ask after the trade, won.
    pub ask: Won,
    /// Best bid after the trade, won.
    pub bid: Won,
    /// Sum of the ask sizes of the book, shares.
    pub ask_depth: i64,
    /// Sum of the bid sizes of the book, shares.
    pub bid_depth: i64,
    /// Base price of the day: price minus the change against the previous close, won.
    pub base_price: Won,
    /// Volume of the previous session at the same time of day, shares.
    pub previous_volume_at_time: i64,
    /// Reference price of the static volatility interruption, won.
    pub vi_reference: Won,
    /// Further facts.
    pub flags: TradeFlags,
}

/// The best quotes and the depth of a book at one moment.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    /// Issue.
    pub symbol: SymbolId,
    /// Time of the book.
    pub time: EventTime,
    /// Best ask, won.
    pub ask: Won,
    /// Best bid, won.
    pub bid: Won,
    /// Size at the best ask, shares.
    pub ask_size: i64,
    /// Size at the best bid, shares.
    pub bid_size: i64,
    /// Sum of the ask sizes, shares.
    pub ask_depth: i64,
    /// Sum of the bid sizes, shares.
    pub bid_depth: i64,
    /// Phase (시간구분코드): `b'0'` in session, `b'A'` to `b'D'` in auctions.
    pub phase: u8,
}

/// One print of a sector index.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct IndexTick {
    /// Index series (its sector code is its symbol).
    pub symbol: SymbolId,
    /// Time of the print.
    pub time: EventTime,
    /// Level, hundredths of a point.
    pub level: IndexLevel,
    /// Previous close: level minus the change, hundredths of a point.
    pub previous_close: IndexLevel,
    /// Issues up, including those at the upper limit.
    pub rising: i32,
    /// Issues unchanged.
    pub unchanged: i32,
    /// Issues down, including those at the lower limit.
    pub falling: i32,
}

macro_rules! columns {
    ($(#[$meta:meta])* $columns:ident of $row:ident { $($field:ident: $type:ty),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Default, Clone)]
        #[allow(missing_docs, reason = "each column is documented at the row's field of the same name")]
        pub struct $columns { $(pub $field: Vec<$type>),+ }

        impl $columns {
            /// Number of rows.
            #[must_use]
            pub fn len(&self) -> usize { self.symbol.len() }

            /// Whether there is no row.
            #[must_use]
            pub fn is_empty(&self) -> bool { self.symbol.is_empty() }

            /// Appends a row.
            pub fn push(&mut self, row: $row) { $(self.$field.push(row.$field);)+ }

            /// The row at `index`. Panics when there is none.
            #[must_use]
            pub fn row(&self, index: usize) -> $row { $row { $($field: self.$field[index]),+ } }

            /// All rows in order.
            pub fn rows(&self) -> impl Iterator<Item = $row> + '_ {
                (0..self.len()).map(|index| self.row(index))
            }

            /// Forgets all rows and keeps the memory.
            pub fn clear(&mut self) { $(self.$field.clear();)+ }
        }
    };
}

columns! {
    /// Trades in columns, in order of arrival.
    TradeColumns of Trade {
        symbol: SymbolId, time: EventTime, price: Won, quantity: i64, cum_volume: i64,
        cum_value: Won, side: Side, ask: Won, bid: Won, ask_depth: i64, bid_depth: i64,
        base_price: Won, previous_volume_at_time: i64, vi_reference: Won, flags: TradeFlags,
    }
}

columns! {
    /// Quotes in columns, in order of arrival.
    QuoteColumns of Quote {
        symbol: SymbolId, time: EventTime, ask: Won, bid: Won, ask_size: i64, bid_size: i64,
        ask_depth: i64, bid_depth: i64, phase: u8,
    }
}

columns! {
    /// Index ticks in columns, in order of arrival.
    IndexColumns of IndexTick {
        symbol: SymbolId, time: EventTime, level: IndexLevel, previous_close: IndexLevel,
        rising: i32, unchanged: i32, falling: i32,
    }
}

/// Why volume is missing between two trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapCause {
    /// The connection was lost in between.
    Disconnect,
    /// The connection stayed up; the feed skipped trades.
    Feed,
    /// A record in between was refused, or made a stage fail.
    Rejected,
    /// The connection stayed up, but the subscription brought nothing.
    Mute,
}

/// A fact in the stream that is not a tick.
#[derive(Debug, Clone, PartialEq)]
pub enum Mark {
    /// What is known about an issue changed; the directory already holds it.
    Reference(SymbolId, std::sync::Arc<Reference>),
    /// Nothing came on the feed for `silence_us` microseconds; `time` is the last event time plus
    /// that silence.
    Silence {
        /// Last event time plus the silence.
        time: EventTime,
        /// Microseconds without a frame.
        silence_us: i64,
    },
    /// From here on the scores are made with another model.
    Model(std::sync::Arc<ModelSwitch>),
    /// A feed session began (`up`) or ended.
    Connection {
        /// Whether it began.
        up: bool,
    },
    /// The subscription of `symbol` was found to bring nothing while the issue traded.
    Mute {
        /// Issue.
        symbol: SymbolId,
        /// Event time of the last tick before it was found.
        time: EventTime,
    },
    /// Trades are missing for `symbol`: after the one at `from`, before the one at `to`.
    Gap {
        /// Issue.
        symbol: SymbolId,
        /// Time of the last trade before the gap.
        from: EventTime,
        /// Time of the first trade after it.
        to: EventTime,
        /// Shares traded in between.
        missing_volume: i64,
        /// Cumulative volume of the trade after the gap: with the issue and the day, its identity.
        cum_volume: i64,
        /// Why.
        cause: GapCause,
    },
    /// The market opened, closed or was halted (장운영구분코드 of `H0STMKO0`).
    Operation {
        /// Issue the message is about.
        symbol: SymbolId,
        /// Event time of the last tick before it; the message carries none.
        time: EventTime,
        /// `MKOP_CLS_CODE`; 0 when empty.
        code: u16,
        /// Trading of the issue is halted.
        halted: bool,
        /// A volatility interruption is under way.
        vi_active: bool,
    },
}

/// One entry of a batch's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchSequence {
    /// Row of [`TickBatch::trades`].
    Trade(u32),
    /// Row of [`TickBatch::quotes`].
    Quote(u32),
    /// Row of [`TickBatch::indices`].
    Index(u32),
    /// Entry of [`TickBatch::marks`].
    Mark(u32),
}

/// What the Normalizer makes of a batch of frames.
#[derive(Debug, Default, Clone)]
pub struct TickBatch {
    /// Trades.
    pub trades: TradeColumns,
    /// Journal position of each trade, parallel to `trades`.
    pub trade_refs: Vec<RecordRef>,
    /// Quotes.
    pub quotes: QuoteColumns,
    /// Index ticks.
    pub indices: IndexColumns,
    /// Facts that are not ticks.
    pub marks: Vec<Mark>,
    /// How the above were interleaved, with the journal position of each entry.
    pub sequence: Vec<(BatchSequence, RecordRef)>,
    /// Journal position of the last frame that was taken in; positions of `sequence` may be before
    /// those of an earlier batch, because a frame can wait for its session day. The default where
    /// there is no journal.
    pub upto: RecordRef,
    /// When the oldest frame of the batch was received, microseconds since the Unix epoch by the
    /// wall clock. For latency metrics only; no decision rests on it.
    pub received_us: i64,
    /// Number of the checkpoint that stands for the place behind it.
    pub checkpoint: Option<u64>,
    /// Only to bring back a state: its effects were had before.
    pub muted: bool,
}

impl TickBatch {
    /// Appends a trade.
    pub fn push_trade(&mut self, trade: Trade, at: RecordRef) {
        let row = self.trades.len() as u32;
        self.sequence.push((BatchSequence::Trade(row), at));
        self.trade_refs.push(at);
        self.trades.push(trade);
    }

    /// Appends a quote.
    pub fn push_quote(&mut self, quote: Quote, at: RecordRef) {
        let row = self.quotes.len() as u32;
        self.sequence.push((BatchSequence::Quote(row), at));
        self.quotes.push(quote);
    }

    /// Appends an index tick.
    pub fn push_index(&mut self, tick: IndexTick, at: RecordRef) {
        let row = self.indices.len() as u32;
        self.sequence.push((BatchSequence::Index(row), at));
        self.indices.push(tick);
    }

    /// Appends a fact.
    pub fn push_mark(&mut self, mark: Mark, at: RecordRef) {
        let row = self.marks.len() as u32;
        self.sequence.push((BatchSequence::Mark(row), at));
        self.marks.push(mark);
    }

    /// Number of entries of any kind.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sequence.len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sequence.is_empty()
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.trades.clear();
        self.trade_refs.clear();
        self.quotes.clear();
        self.indices.clear();
        self.marks.clear();
        self.sequence.clear();
        self.upto = RecordRef::default();
        self.received_us = 0;
        self.checkpoint = None;
        self.muted = false;
    }

    /// The session day of the last tick, if there is any.
    #[must_use]
    pub fn last_day(&self) -> Option<SessionDay> {
        self.trades.time.last().or(self.indices.time.last()).map(|time| time.session_day())
    }
}

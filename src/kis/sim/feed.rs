//! The feeds that are played, and what an event and a frame of them say of themselves.

use crate::market::{EventTime, Symbol};

/// A real-time feed that the simulator plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feed {
    /// Trades, `H0STCNT0`.
    Trade,
    /// Order books, `H0STASP0`.
    Book,
    /// Index levels, `H0UPCNT0`.
    Index,
    /// Market operation, `H0STMKO0`.
    Operation,
    /// Begins and ends of volatility interruptions, `H0UNVIC0`.
    Vi,
}

impl Feed {
    /// The TR ID.
    #[must_use]
    pub const fn tr_id(self) -> &'static str {
        match self {
            Self::Trade => "H0STCNT0",
            Self::Book => "H0STASP0",
            Self::Index => "H0UPCNT0",
            Self::Operation => "H0STMKO0",
            Self::Vi => "H0UNVIC0",
        }
    }

    /// The feed with this TR ID.
    #[must_use]
    pub fn from_tr_id(tr_id: &str) -> Option<Self> {
        [Self::Trade, Self::Book, Self::Index, Self::Operation, Self::Vi]
            .into_iter()
            .find(|feed| feed.tr_id() == tr_id)
    }
}

/// One thing that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimEvent {
    /// When.
    pub at: EventTime,
    /// On which feed.
    pub feed: Feed,
    /// Number of the issue in [`super::Playback::references`], or of the index series.
    pub key: u32,
    /// Code of a market operation; 0 when it has none, and otherwise.
    pub code: u16,
}

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameInfo {
    /// When its last record happened.
    pub at: EventTime,
    /// On which feed.
    pub feed: Feed,
    /// Number of the issue or of the index series, as in [`SimEvent::key`].
    pub key: u32,
    /// Issue code or sector code.
    pub symbol: Symbol,
    /// Records in the frame.
    pub records: usize,
}

//! What the market rules do to a day: interruptions, halts, auctions, and when each is told.

use crate::market::rules::breaker::Stage;
use crate::market::rules::vi::Breach;
use crate::market::{EventTime, Market, Symbol, Won};

/// A volatility interruption (VI) that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimInterruption {
    /// Issue.
    pub symbol: Symbol,
    /// Its name.
    pub name: String,
    /// Its market.
    pub market: Market,
    /// Why it began: kind, trigger price and references.
    pub breach: Breach,
    /// How many interruptions the issue has had today, with this one.
    pub count: u32,
    /// When it began.
    pub began: EventTime,
    /// When its auction ended it; `None` while it is under way.
    pub ended: Option<EventTime>,
}

/// A VI of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interruption {
    /// Index into the issues of the day.
    pub issue: u32,
    pub count: u32,
    pub breach: Breach,
    pub from_ms: u32,
    /// When its auction takes place.
    pub until_ms: u32,
}

/// A market that a circuit breaker stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MarketHalt {
    pub market: Market,
    pub stage: Stage,
    pub from_ms: u32,
    /// Begin of the auction.
    pub auction_ms: u32,
    /// When the auction takes place; after stage 3, when the market has closed.
    pub until_ms: u32,
}

/// A halt of one issue (거래정지) that a script asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IssueHalt {
    pub issue: u32,
    pub from_ms: u32,
    /// `None` when it does not trade again today.
    pub until_ms: Option<u32>,
}

impl IssueHalt {
    /// Whether the issue does not trade at this time.
    pub fn covers(&self, at_ms: u32) -> bool {
        self.from_ms <= at_ms && self.until_ms.is_none_or(|until| at_ms < until)
    }
}

/// The kind of an auction as the order book tells it (시간 구분 코드).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuctionClass {
    Closing,
    Opening,
    /// During the session: VI, circuit breaker.
    Session,
}

impl AuctionClass {
    pub const fn code(self) -> &'static str {
        match self {
            Self::Closing => "A",
            Self::Opening => "B",
            Self::Session => "C",
        }
    }
}

/// The state of an auction that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expected {
    pub at_ms: u32,
    pub class: AuctionClass,
    /// Expected price.
    pub price: Won,
    /// Expected quantity.
    pub quantity: i64,
}

/// Something that is told at a time and is neither a trade nor an index level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// Number of the interruption in [`Rules::interruptions`].
    ViBegins(u32),
    ViEnds(u32),
    /// Market operation of a market, or of all.
    Operation {
        code: u16,
        market: Option<Market>,
    },
    /// The market closes for the day.
    Closes(Market),
    /// An issue is halted, or no longer.
    Halt {
        issue: u32,
        halted: bool,
    },
    /// A book of an auction.
    Book {
        issue: u32,
        expected: Expected,
    },
}

/// A [`What`] and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Notice {
    pub at_ms: u32,
    pub what: What,
}

/// What the market rules do to a day. Empty for a recording, which is the truth already.
#[derive(Debug, Default, Clone)]
pub(crate) struct Rules {
    /// By begin.
    pub interruptions: Vec<Interruption>,
    pub issue_halts: Vec<IssueHalt>,
    /// By time.
    pub notices: Vec<Notice>,
}

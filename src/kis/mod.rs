//! KIS Open API: the feed's frames, the REST client, the token cache, the WebSocket session.
//!
//! - [`frame`] parses data frames, the hot path; [`control`] parses acknowledgements and PINGPONG.
//! - [`rest`] makes every REST call there is but those that send orders, [`answer`] reads what comes
//!   back; [`token`] keeps the access token on disk and in memory; [`budget`] and [`backoff`] keep
//!   calls evenly spaced and retries polite; [`circuit`] keeps quiet while KIS shuts us out.
//! - [`subscriptions`] decides what is registered where and keeps the ledgers; [`ws`] runs the
//!   sessions; [`notice`] opens the account's encrypted notices.
//! - [`master`] reads the symbol master files, every issue with its base price.
//! - [`sim`] is the simulator of all this.
//!
//! Outside: nothing is sent but quotations, token requests and subscriptions. There is no order
//! call in this crate.

pub mod account;
pub mod answer;
pub mod backoff;
pub mod budget;
pub mod circuit;
pub mod clock;
pub mod control;
pub mod error;
pub mod frame;
pub mod master;
pub mod notice;
mod private_file;
pub mod rest;
pub mod sim;
pub mod subscriptions;
pub mod token;
pub mod ws;

pub use account::{Account, AccountError};
pub use answer::{
    Auction, Balance, BuyingPower, CalendarDay, DailyBar, DailyChart, DailyPrice, Deposit,
    Execution, Holding, IndexPrice, Level, MarketCapRow, MinuteBar, MinuteChart, OpenOrder,
    OrderBook, OrderHistory, OrderRow, OrderSide, OrderTotals, Price, ViEvent, ViKind,
    VolumeRankRow,
};
pub use budget::{Budget, Lane};
pub use circuit::{Block, BlockCause};
pub use clock::Clock;
pub use error::{KisError, TransportFault};
pub use frame::{FieldError, FrameError, FrameParser, Records, Tr};
pub use rest::{Endpoint, KisClient, KisOptions, Raw, Request};
pub use subscriptions::{Plan, Registration};
pub use token::KeptToken;
pub use ws::{
    Feed, FeedConfig, FeedError, FeedEvent, FrameSink, KisAccess, LossCause, MarketHours,
    SinkClosed,
};

/// Which of the two KIS environments a client talks to. App keys, hosts and limits differ.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Environment {
    /// Real accounts and the whole set of feeds (실전).
    #[default]
    Real,
    /// Paper trading (모의): trades and order books only, one REST call a second.
    Mock,
}

/// The wall clock as an instant of the domain.
fn now() -> crate::market::EventTime {
    let since_epoch = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        // A clock before 1970 is as good as none.
        .unwrap_or_default();
    crate::market::EventTime::from_micros(
        i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX),
    )
}

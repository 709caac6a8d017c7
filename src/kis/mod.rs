//! KIS Open API: the feed's frames, the REST client, the token cache, the WebSocket session.
//!
//! - [`frame`] parses data frames, the hot path; [`control`] parses acknowledgements and PINGPONG.
//! - [`rest`] asks for prices, daily bars and index levels; [`token`] keeps the access token on
//!   disk and in memory; [`budget`] and [`backoff`] keep calls evenly spaced and retries polite.
//! - [`subscriptions`] decides what is registered where and keeps the ledgers; [`ws`] runs the
//!   sessions; [`notice`] opens the account's encrypted notices.
//! - [`master`] reads the symbol master files, every issue with its base price.
//! - [`sim`] is the simulator of all this.
//!
//! Outside: nothing is sent but quotations, token requests and subscriptions. There is no order
//! call in this crate.

pub mod answer;
pub mod backoff;
pub mod budget;
pub mod control;
pub mod error;
pub mod frame;
pub mod master;
pub mod notice;
pub mod rest;
pub mod sim;
pub mod subscriptions;
pub mod token;
pub mod ws;

pub use answer::{DailyBar, DailyChart, IndexPrice, Price};
pub use error::KisError;
pub use frame::{FieldError, FrameError, FrameParser, Records, Tr};
pub use rest::{
    Account, Asked, KisClient, KisOptions, LatestTrade, MinuteBar, OrderLine, Ranking, RawAnswer,
};
pub use subscriptions::{Plan, Registration};
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

//! The KIS simulator: a day of the Korean market played over real sockets as KIS would send it.
//!
//! Pure playback under thin servers:
//!
//! - [`SimSource`] names what is played: a recording of single trades, a day rebuilt from daily
//!   bars, or the script of an invented market. `source` loads it into a `Day`, which holds every
//!   trade and index level to come;
//! - [`Playback`] takes the day event by event, keeps the running sums of every issue and writes
//!   records of `H0STCNT0`, `H0STASP0`, `H0UPCNT0`, `H0STMKO0` and `H0UNVIC0`. It has no clock and no I/O;
//!   the same source and seed give the same bytes. [`PlaybackFrames`] is the same without a server;
//! - [`Simulator`] serves REST (HTTP/1.1) and the WebSocket on two addresses and plays the day by
//!   a clock. REST answers are computed from the same state as the frames, so they agree with what
//!   has been played.
//!
//! `faults` spoils frames, registrations, connections and calls on request, and keeps a record.
//!
//! Invented and rebuilt days obey the market's rules (VI, circuit breaker, price limits); a
//! recording of single trades is played as it was. Each app key has an account whose orders trade
//! against what is played.
//!
//! Limits: auctions are single prints with a few books before; a VI does not prolong the closing
//! auction; sidecars are not acted out, because no futures are played. The order books are
//! invented.
//!
//! Failure modes: a missing or wrong file, day or script is a [`SimError`] at load, a taken port
//! one at start. A subscriber that reads slowly slows the clock and loses nothing; one that reads
//! nothing for [`SimOptions::drop_after`] is dropped.

mod account;
mod auth;
mod book;
mod calls;
mod charts;
mod clock;
mod day;
mod faults;
mod feed;
mod header_case;
mod interruption;
mod notices;
mod options;
mod path;
mod playback;
mod profile;
mod ranking;
mod render;
mod request;
mod request_log;
mod rest;
mod routes;
mod server;
mod session;
mod source;
mod state;
mod text;
mod vi_list;
mod view;

pub use faults::{
    FaultCount, FaultKind, FaultRecord, FaultSpec, FaultSpecError, LostTrades, PlayedTrade,
    fault_help,
};
pub use feed::{Feed, FrameInfo, SimEvent};
pub use interruption::SimInterruption;
pub use options::{
    FrameShape, SimAccountNumber, SimAccountNumberError, SimEnv, SimError, SimHolding, SimOptions,
    SimSource, SimSpeed, SimSpeedError,
};
pub use playback::{Playback, PlaybackFrames};
pub use request_log::{RequestCounts, RequestRecord};
pub use server::{RunningSim, Simulator};
pub use source::builtin_markets;
pub(crate) use source::columns;

#[cfg(test)]
mod tests;

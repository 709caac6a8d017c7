//! What has been done, on record.

use crate::market::{EventTime, Symbol};

use super::audit::PlayedTrade;
use super::kind::FaultKind;
use super::schedule::Target;
use super::spec::FaultSpec;

/// Records kept; later ones are counted only.
const MOST: usize = 65_536;

/// One fault that was played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultRecord {
    /// Event time of the simulator's clock.
    pub at: EventTime,
    /// What went wrong.
    pub kind: FaultKind,
    /// Ordinal of the session, from 1; `None` for calls and connections.
    pub session: Option<u64>,
    /// TR ID of the frame or registration, or the last part of a call's path.
    pub tr: Option<String>,
    /// Issue or index of the frame or registration.
    pub symbol: Option<Symbol>,
    /// What exactly was done.
    pub detail: String,
    /// The how manieth frame of the session, registration of the session, call or connection that
    /// this fault saw; from 1.
    pub ordinal: u64,
    /// Trades of the frame, when it did not arrive as it was. What a fault that lasts swallows
    /// later is not here: [`undelivered`](crate::kis::sim::RunningSim::undelivered) has it.
    pub lost: Option<LostTrades>,
}

/// Trades of one issue that did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LostTrades {
    /// The issue.
    pub symbol: Symbol,
    /// Cumulative volume after the first of them, shares.
    pub first_cum_volume: i64,
    /// Cumulative volume after the last of them, shares.
    pub last_cum_volume: i64,
    /// How many.
    pub trades: usize,
}

impl LostTrades {
    /// The span of `trades`; `None` without any.
    pub(crate) fn of(trades: &[PlayedTrade]) -> Option<Self> {
        let (first, last) = trades.first().zip(trades.last())?;
        Some(Self {
            symbol: first.symbol,
            first_cum_volume: first.cum_volume,
            last_cum_volume: last.cum_volume,
            trades: trades.len(),
        })
    }
}

/// How often a fault was played.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultCount {
    /// The fault.
    pub spec: FaultSpec,
    /// How often it began.
    pub fired: u64,
    /// Frames, registrations, calls and connections that it spoilt.
    pub struck: u64,
}

/// The records, bounded.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub records: Vec<FaultRecord>,
    /// Records that there was no room for.
    pub left_out: u64,
}

impl Log {
    pub fn add(
        &mut self,
        kind: FaultKind,
        target: &Target<'_>,
        ordinal: u64,
        detail: String,
        lost: Option<LostTrades>,
    ) {
        let record = FaultRecord {
            at: target.now,
            kind,
            session: (target.session > 0).then_some(target.session),
            tr: (!target.name.is_empty()).then(|| target.name.to_owned()),
            symbol: target.symbol,
            detail,
            ordinal,
            lost,
        };
        tracing::info!(
            at = record.at.rfc3339(),
            %kind,
            session = record.session,
            tr = record.tr,
            symbol = record.symbol.map(tracing::field::display),
            ordinal,
            trades_lost = lost.map(|lost| lost.trades),
            "fault: {}",
            record.detail
        );
        if self.records.len() < MOST {
            self.records.push(record);
        } else {
            self.left_out += 1;
        }
    }
}

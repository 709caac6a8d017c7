//! Polling: issues whose trades have no registration, asked for by REST.
//!
//! KIS grants a session so many registrations; what finds none is looked at in turn, within the
//! budget of calls and behind everything more urgent. Each answer is the state of the issue at a
//! moment (a [`Sample`]), not its trades: it is scored, and its minutes are asked for as bars every
//! few minutes. Who is polled is said by the feed's health and by `doctor`.
//!
//! **Gets** the list of issues from the feed. **Sends** samples to Ingest, through the journal.
//! **KIS refuses or is away:** the issue's turn comes again; the client spaces and repeats calls.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ingest::wall_micros;
use super::supervision::{Edge, StageError};
use crate::kis::{KisClient, MarketHours, Price};
use crate::market::{EventTime, Phase, Symbol, rules};
use crate::messages::{FrameBatch, FrameKind, Repair, Repairs, Sample, TradingDays};

/// An issue is not asked for more often.
const LEAST_INTERVAL: Duration = Duration::from_secs(5);
/// Market time between two requests for the bars of a polled issue.
const BARS_EVERY_US: i64 = 10 * 60_000_000;

/// Issues to be polled; clones share the list.
#[derive(Debug, Clone)]
pub struct PolledIssues {
    list: Arc<watch::Sender<Arc<[Symbol]>>>,
}

impl Default for PolledIssues {
    fn default() -> Self {
        Self { list: Arc::new(watch::Sender::new(Arc::from([]))) }
    }
}

impl PolledIssues {
    /// From now on these.
    pub fn set(&self, issues: Vec<Symbol>) {
        self.list.send_if_modified(|present| {
            let changed = present[..] != issues[..];
            if changed {
                *present = Arc::from(issues);
            }
            changed
        });
    }

    /// Those that are polled now.
    #[must_use]
    pub fn get(&self) -> Arc<[Symbol]> {
        Arc::clone(&self.list.borrow())
    }
}

/// What the service is made of.
#[derive(Clone)]
pub struct PollParts {
    /// REST, one client an app key: each has a budget of its own.
    pub clients: Vec<KisClient>,
    /// Who is polled.
    pub issues: PolledIssues,
    /// Where minutes are asked for, and the market's time.
    pub repairs: Repairs,
    /// Whose clock is the market's.
    pub hours: MarketHours,
    /// The calendar.
    pub days: TradingDays,
}

/// Polls until it is told to stop.
///
/// # Errors
/// When Ingest is gone.
pub async fn run_poll(
    parts: Arc<PollParts>,
    edge: Edge<Arc<FrameBatch>>,
    stop: CancellationToken,
) -> Result<(), StageError> {
    let mut changes = parts.issues.list.subscribe();
    let mut bars_from: BTreeMap<Symbol, EventTime> = BTreeMap::new();
    let mut turn = 0usize;
    loop {
        let issues = Arc::clone(&changes.borrow_and_update());
        bars_from.retain(|symbol, _| issues.contains(symbol));
        let round = Instant::now() + LEAST_INTERVAL;
        for symbol in issues.iter() {
            let Some(time) = parts.market_time() else { break };
            // Its registration may have come to stand in the meantime.
            if !parts.issues.get().contains(symbol) {
                continue;
            }
            turn = turn.wrapping_add(1);
            let sample = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                sample = sample_from_any(&parts.clients, turn, *symbol, time) => sample,
            };
            let Some(sample) = sample else { continue };
            send(&edge, &sample).await?;
            parts.ask_for_bars(&mut bars_from, *symbol, time);
        }
        let wait = async {
            if issues.is_empty() {
                std::future::pending().await
            } else {
                tokio::time::sleep_until(round).await;
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            // The sender lives in `parts`.
            _ = changes.changed() => {}
            () = wait => {}
        }
    }
}

impl PollParts {
    /// The market's time while it trades.
    fn market_time(&self) -> Option<EventTime> {
        let now = match self.hours {
            MarketHours::Calendar => EventTime::from_micros(wall_micros()),
            MarketHours::Feed => self.repairs.market_time(),
        };
        let phase = self.days.phase(now);
        matches!(phase, Phase::Continuous | Phase::ClosingAuction | Phase::AfterClose)
            .then_some(now)
    }

    fn ask_for_bars(
        &self,
        bars_from: &mut BTreeMap<Symbol, EventTime>,
        symbol: Symbol,
        time: EventTime,
    ) {
        let open = EventTime::from_kst(time.session_day(), rules::OPEN);
        let from = bars_from.entry(symbol).or_insert(open);
        if from.session_day() != time.session_day() {
            *from = open;
        }
        let closing = time.time_of_day() >= rules::CLOSING_AUCTION;
        if time.micros_since(*from) >= BARS_EVERY_US || closing {
            let repair = Repair { symbol, from: *from, to: time, tries: 0 };
            self.repairs.ask(repair, Instant::now(), Duration::ZERO);
            *from = time;
        }
    }
}

/// From the key whose turn it is, or else from the first other one that KIS serves.
async fn sample_from_any(
    clients: &[KisClient],
    turn: usize,
    symbol: Symbol,
    time: EventTime,
) -> Option<Sample> {
    for next in 0..clients.len() {
        match clients[(turn + next) % clients.len()].inquire_price(symbol).await {
            Ok(price) => return sample(symbol, time, &price),
            Err(error) => tracing::debug!(%symbol, %error, "an issue could not be polled"),
        }
    }
    None
}

fn sample(symbol: Symbol, time: EventTime, price: &Price) -> Option<Sample> {
    Some(Sample {
        symbol,
        time,
        price: price.price?,
        base_price: price.base_price.unwrap_or(0),
        cum_volume: price.volume.filter(|volume| *volume > 0)?,
        cum_value: price.value.unwrap_or(0),
    })
}

async fn send(edge: &Edge<Arc<FrameBatch>>, sample: &Sample) -> Result<(), StageError> {
    let payload = serde_json::to_vec(sample)
        .map_err(|error| StageError::Failed(format!("sample as JSON: {error}")))?;
    let mut batch = FrameBatch::new();
    batch.push(FrameKind::Sample, wall_micros(), &payload);
    edge.send(Arc::new(batch)).await?;
    Ok(())
}

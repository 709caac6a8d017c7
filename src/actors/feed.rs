//! The feed: what is known about the issues first, then the live sessions, into Ingest.
//!
//! Reference data (names, base prices, daily closes) comes from REST and goes through the journal
//! like any frame, so that a replay knows the same. Loading it is bounded in time: a slow or
//! refusing REST side delays the live session by at most twenty seconds; what is missing
//! then comes from the symbol master files, if there are any, or is missing from names and scores,
//! and is said.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use super::feed_watch::Watcher;
use super::ingest::wall_micros;
use super::poll::PolledIssues;
use super::recorded::reference_record;
use super::supervision::{Edge, StageError};
use crate::kis::{
    Feed, FeedConfig, FeedError, FeedEvent, FrameSink, KisClient, KisError, SinkClosed,
};
use crate::market::{Reference, SessionDay, Symbol};
use crate::messages::health::{Component, HealthRegistry, HealthState};
use crate::messages::{FrameBatch, FrameKind};

/// Longest time the live session waits for reference data.
const REFERENCES_WITHIN: Duration = Duration::from_secs(20);
/// Reference requests under way at once; the client's budget spaces them.
const REFERENCES_AT_ONCE: usize = 8;
/// Failures that are told one by one; the rest is counted.
const REFUSALS_TOLD: usize = 3;

/// What the feed is made of.
#[derive(Clone)]
pub struct FeedParts {
    /// REST, one client an app key: a session each. The first one asks for reference data.
    pub clients: Vec<KisClient>,
    /// The live session.
    pub config: FeedConfig,
    /// Issues to watch.
    pub symbols: Vec<Symbol>,
    /// What the symbol master files tell of issues that REST does not answer for in time.
    pub masters: BTreeMap<Symbol, Reference>,
    /// The session day.
    pub day: SessionDay,
    /// Where it says how the feed is.
    pub health: HealthRegistry,
    /// Where it says which issues have no registration.
    pub polled: PolledIssues,
}

/// Runs the feed until it is told to stop.
///
/// # Errors
/// When Ingest is gone or KIS refuses the keys.
pub async fn run_feed(
    parts: Arc<FeedParts>,
    edge: Edge<Arc<FrameBatch>>,
    stop: CancellationToken,
) -> Result<(), StageError> {
    tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(()),
        outcome = load_references(&parts, &edge) => outcome?,
    }
    let feed = Feed::new(parts.config.clone());
    let watcher = Watcher::new(parts.health.clone(), parts.polled.clone(), parts.clients.len());
    let sink = IngestSink { edge, batch: FrameBatch::new(), watcher: Arc::new(watcher) };
    match feed.run(parts.clients.clone(), sink, stop).await {
        Ok(()) => Ok(()),
        Err(FeedError::SinkClosed(_)) => Err(StageError::Failed("ingest is gone".to_owned())),
        Err(error @ FeedError::Task(_)) => Err(StageError::Failed(error.to_string())),
        Err(error) => {
            // Wrong keys: asking again and again would only get the address blocked.
            parts.health.set(Component::Feed, HealthState::down(error.to_string()));
            Err(StageError::Fatal(error.to_string()))
        }
    }
}

/// Fetches the references, in the order of the symbols, as far as the time allows.
async fn load_references(
    parts: &FeedParts,
    edge: &Edge<Arc<FrameBatch>>,
) -> Result<(), StageError> {
    let day = parts.day;
    let requests = parts.symbols.iter().copied().enumerate();
    let requests: Vec<_> = requests
        .map(|(turn, symbol)| (turn, symbol, parts.clients.clone()))
        .map(|(turn, symbol, clients)| async move {
            (symbol, reference_from_any(&clients, turn, symbol, day).await)
        })
        .collect();
    let mut answers = futures::stream::iter(requests).buffered(REFERENCES_AT_ONCE);
    let deadline = tokio::time::Instant::now() + REFERENCES_WITHIN;
    let mut batch = FrameBatch::new();
    let mut known = parts.masters.clone();
    known.retain(|symbol, _| parts.symbols.contains(symbol));
    let (mut loaded, mut told) = (0, 0);
    while let Ok(Some((symbol, answer))) = tokio::time::timeout_at(deadline, answers.next()).await {
        match answer {
            Ok(reference) => {
                known.remove(&symbol);
                batch.push(FrameKind::Reference, wall_micros(), &reference_record(&reference)?);
                loaded += 1;
            }
            // Wrong keys are the sessions' to judge: another key may be good.
            Err(error) => {
                told += 1;
                if told <= REFUSALS_TOLD {
                    tracing::warn!(%symbol, %error, "no reference data for this issue");
                }
            }
        }
    }
    let missing = parts.symbols.len() - loaded;
    if missing > 0 {
        tracing::warn!(
            loaded,
            from_masters = known.len(),
            missing = missing - known.len(),
            "reference data is incomplete: what comes from master files has no daily history, the \
             rest no name either"
        );
    }
    for reference in known.values() {
        batch.push(FrameKind::Reference, wall_micros(), &reference_record(reference)?);
    }
    if !batch.is_empty() {
        edge.send(Arc::new(batch)).await?;
    }
    Ok(())
}

/// From the key whose turn it is; from the others in turn where that one is refused or blocked.
async fn reference_from_any(
    clients: &[KisClient],
    turn: usize,
    symbol: Symbol,
    day: SessionDay,
) -> Result<Reference, KisError> {
    let client = |next: usize| &clients[(turn + next) % clients.len()];
    let mut outcome = client(0).fetch_reference(symbol, day).await;
    for next in 1..clients.len() {
        if !matches!(&outcome, Err(error) if error.is_terminal() || error.is_blocked()) {
            break;
        }
        outcome = client(next).fetch_reference(symbol, day).await;
    }
    outcome
}

/// Frames of the live sessions into Ingest's inbox, and the feed's events to whoever watches.
struct IngestSink {
    edge: Edge<Arc<FrameBatch>>,
    batch: FrameBatch,
    watcher: Arc<Watcher>,
}

impl Clone for IngestSink {
    fn clone(&self) -> Self {
        let watcher = Arc::clone(&self.watcher);
        Self { edge: self.edge.clone(), batch: FrameBatch::new(), watcher }
    }
}

impl FrameSink for IngestSink {
    async fn push(
        &mut self,
        kind: FrameKind,
        received_us: i64,
        payload: &[u8],
    ) -> Result<(), SinkClosed> {
        self.batch.push(kind, received_us, payload);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), SinkClosed> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        self.edge.send(Arc::new(batch)).await.map_err(|_| SinkClosed)
    }

    async fn report(&mut self, event: FeedEvent) -> Result<(), SinkClosed> {
        self.watcher.take(event);
        Ok(())
    }
}

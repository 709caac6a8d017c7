//! The feed: what is known about the issues first, then the live session, into Ingest.
//!
//! Reference data (names, base prices, daily closes) comes from REST and goes through the journal
//! like any frame, so that a replay knows the same. Loading it is bounded in time: a slow or
//! refusing REST side delays the live session by at most twenty seconds; what is missing
//! then is missing from names and scores, and is said.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use super::ingest::wall_micros;
use super::recorded::reference_record;
use super::supervision::{Edge, StageError};
use crate::kis::{Feed, FeedConfig, FeedError, FeedEvent, FrameSink, KisClient, SinkClosed};
use crate::market::{SessionDay, Symbol};
use crate::messages::health::{Component, HealthRegistry, HealthState};
use crate::messages::{FrameBatch, FrameKind};

/// Longest time the live session waits for reference data.
const REFERENCES_WITHIN: Duration = Duration::from_secs(20);
/// Reference requests under way at once; the client's budget spaces them.
const REFERENCES_AT_ONCE: usize = 8;

/// What the feed is made of.
#[derive(Clone)]
pub struct FeedParts {
    /// REST.
    pub client: KisClient,
    /// The live session.
    pub config: FeedConfig,
    /// Issues to watch.
    pub symbols: Vec<Symbol>,
    /// The session day.
    pub day: SessionDay,
    /// Where it says how the feed is.
    pub health: HealthRegistry,
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
    let sink = IngestSink { edge, batch: FrameBatch::new(), health: parts.health.clone() };
    match feed.run(parts.client.clone(), sink, stop).await {
        Ok(()) => Ok(()),
        Err(FeedError::SinkClosed(_)) => Err(StageError::Failed("ingest is gone".to_owned())),
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
    let requests = parts.symbols.clone().into_iter().map(|symbol| {
        let client = parts.client.clone();
        async move { (symbol, client.fetch_reference(symbol, day).await) }
    });
    let mut answers = futures::stream::iter(requests).buffered(REFERENCES_AT_ONCE);
    let deadline = tokio::time::Instant::now() + REFERENCES_WITHIN;
    let mut batch = FrameBatch::new();
    let mut loaded = 0;
    while let Ok(Some((symbol, answer))) = tokio::time::timeout_at(deadline, answers.next()).await {
        match answer {
            Ok(reference) => {
                batch.push(FrameKind::Reference, wall_micros(), &reference_record(&reference)?);
                loaded += 1;
            }
            Err(error) if error.is_terminal() => {
                return Err(StageError::Fatal(format!("feed: {error}")));
            }
            Err(error) => tracing::warn!(%symbol, %error, "no reference data for this issue"),
        }
    }
    if loaded < parts.symbols.len() {
        tracing::warn!(
            loaded,
            wanted = parts.symbols.len(),
            "reference data is incomplete, names and daily history are missing for the rest"
        );
    }
    if !batch.is_empty() {
        edge.send(Arc::new(batch)).await?;
    }
    Ok(())
}

/// Frames of the live session into Ingest's inbox.
struct IngestSink {
    edge: Edge<Arc<FrameBatch>>,
    batch: FrameBatch,
    health: HealthRegistry,
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
        match event {
            FeedEvent::Connected => tracing::info!("the feed is connected"),
            FeedEvent::Subscribed { confirmed, refused, left_out } => {
                tracing::info!(
                    confirmed,
                    refused = refused.len(),
                    left_out = left_out.len(),
                    "the feed is subscribed"
                );
                for refusal in &refused {
                    tracing::warn!(?refusal, "a registration was refused");
                }
                let state = if refused.is_empty() {
                    HealthState::Up
                } else {
                    HealthState::degraded(format!("{} registrations were refused", refused.len()))
                };
                self.health.set(Component::Feed, state);
            }
            FeedEvent::Lost { cause, retry_in } => {
                tracing::warn!(%cause, ?retry_in, "the feed was lost");
                metrics::counter!("bongsu_feed_losses_total", "cause" => cause.as_str())
                    .increment(1);
                self.health.set(Component::Feed, HealthState::down(cause.to_string()));
            }
        }
        Ok(())
    }
}

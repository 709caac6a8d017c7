//! The feed: what is known about the issues first, then the live sessions, into Ingest.
//!
//! The live sessions wait for reference data for twenty seconds at most; what is
//! missing then is fetched beside them.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::feed_watch::Watcher;
use super::poll::PolledIssues;
pub use super::references::ExchangeDay;
use super::references::References;
use super::supervision::{Edge, StageError};
use crate::kis::{Feed, FeedConfig, FeedError, FeedEvent, FrameSink, KisClient, SinkClosed};
use crate::market::{Reference, Symbol};
use crate::messages::health::{Component, HealthRegistry, HealthState};
use crate::messages::{Flag, FrameBatch, FrameKind};

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
    /// Which day the exchange is on.
    pub day: ExchangeDay,
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
    let watcher = Watcher::new(parts.health.clone(), parts.polled.clone(), parts.clients.len());
    let watcher = Arc::new(watcher);
    let mut references = References::new(&parts, edge.clone());
    tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(()),
        outcome = references.load() => outcome?,
    }
    let feed = Feed::new(parts.config.clone());
    let sink = IngestSink::new(edge, Arc::clone(&watcher));
    let outcome = tokio::select! {
        biased;
        outcome = feed.run(parts.clients.clone(), sink, stop) => outcome,
        error = references.complete(&watcher) => return Err(error),
    };
    match outcome {
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

/// Frames of the live sessions into Ingest's inbox, and the feed's events to whoever watches.
struct IngestSink {
    edge: Edge<Arc<FrameBatch>>,
    batch: FrameBatch,
    /// Of the newest batch that was sent.
    receipt: Option<Flag>,
    watcher: Arc<Watcher>,
}

impl IngestSink {
    fn new(edge: Edge<Arc<FrameBatch>>, watcher: Arc<Watcher>) -> Self {
        Self { edge, batch: FrameBatch::new(), receipt: None, watcher }
    }
}

impl Clone for IngestSink {
    fn clone(&self) -> Self {
        Self::new(self.edge.clone(), Arc::clone(&self.watcher))
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
        let mut batch = std::mem::take(&mut self.batch);
        self.receipt = Some(batch.receipt());
        self.edge.send(Arc::new(batch)).await.map_err(|_| SinkClosed)
    }

    async fn settled(&mut self) -> Result<(), SinkClosed> {
        if let Some(receipt) = self.receipt.take() {
            receipt.wait().await;
        }
        Ok(())
    }

    async fn report(&mut self, event: FeedEvent) -> Result<(), SinkClosed> {
        self.watcher.take(event);
        Ok(())
    }
}

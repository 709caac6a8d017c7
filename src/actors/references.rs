//! What is known about the watched issues before they trade: names, base prices, daily closes.
//!
//! It comes from REST and goes through the journal like any frame, so that a replay knows the same.
//! The first round is bounded in time: a slow or refusing REST side delays the live sessions by at
//! most twenty seconds. What is missing then comes from the symbol master files for the time being,
//! if there are any; it is asked for again beside the live sessions, at first after half a minute,
//! then at doubling pauses of at most ten minutes, until all of it is there, and the feed says so
//! of itself meanwhile. Nothing here ends the feed but that Ingest is gone.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::time::Instant;

use super::feed::FeedParts;
use super::feed_watch::Watcher;
use super::ingest::wall_micros;
use super::recorded::reference_record;
use super::supervision::{Edge, StageError};
use crate::kis::{KisClient, KisError};
use crate::market::{Reference, SessionDay, Symbol};
use crate::messages::{FrameBatch, FrameKind};

/// Longest time the live sessions wait for reference data.
const FIRST_ROUND: Duration = Duration::from_secs(20);
/// Longest later round; what it does not come to is the next one's.
const LATER_ROUND: Duration = Duration::from_secs(300);
/// Pause before what is missing is asked for again; it doubles while nothing comes.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// Requests under way at once; the client's budget spaces them.
const AT_ONCE: usize = 8;
/// Failures that are told one by one; the rest is counted.
const REFUSALS_TOLD: usize = 3;

/// Brings reference data into Ingest's inbox.
pub(super) struct References<'a> {
    parts: &'a FeedParts,
    edge: Edge<Arc<FrameBatch>>,
    /// Issues it has not come for, in the order of the settings.
    missing: Vec<Symbol>,
}

impl<'a> References<'a> {
    pub(super) fn new(parts: &'a FeedParts, edge: Edge<Arc<FrameBatch>>) -> Self {
        Self { parts, edge, missing: parts.symbols.clone() }
    }

    /// The first round, with what master files tell of the issues it brings nothing for.
    ///
    /// # Errors
    /// When Ingest is gone.
    pub(super) async fn load(&mut self) -> Result<(), StageError> {
        let mut batch = self.round(FIRST_ROUND).await?;
        let known: Vec<&Reference> =
            self.missing.iter().filter_map(|symbol| self.parts.masters.get(symbol)).collect();
        if !self.missing.is_empty() {
            tracing::warn!(
                loaded = self.parts.symbols.len() - self.missing.len(),
                from_masters = known.len(),
                missing = self.missing.len() - known.len(),
                "reference data is incomplete and will be asked for again: what comes from master \
                 files has no daily history, the rest no name either"
            );
        }
        for reference in known {
            batch.push(FrameKind::Reference, wall_micros(), &reference_record(reference)?);
        }
        self.send(batch).await
    }

    /// Later rounds until nothing is missing; then it waits for ever.
    ///
    /// Returns why it could not go on: Ingest is gone.
    pub(super) async fn complete(&mut self, watcher: &Watcher) -> StageError {
        let mut pause = FIRST_PAUSE;
        watcher.without_reference(self.missing.len());
        while !self.missing.is_empty() {
            tokio::time::sleep(pause).await;
            let before = self.missing.len();
            let sent = match self.round(LATER_ROUND).await {
                Ok(batch) => self.send(batch).await,
                Err(error) => Err(error),
            };
            if let Err(error) = sent {
                return error;
            }
            let missing = self.missing.len();
            if missing < before {
                tracing::info!(loaded = before - missing, missing, "more reference data is there");
                pause = FIRST_PAUSE;
            } else {
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            watcher.without_reference(missing);
        }
        std::future::pending().await
    }

    /// Asks for what is missing, as far as the time allows.
    async fn round(&mut self, within: Duration) -> Result<FrameBatch, StageError> {
        let (day, deadline) = (self.parts.day, Instant::now() + within);
        let requests: Vec<_> = (self.missing.iter().copied().enumerate())
            .map(|(turn, symbol)| (turn, symbol, self.parts.clients.clone()))
            .map(|(turn, symbol, clients)| async move {
                (symbol, reference_from_any(&clients, turn, symbol, day).await)
            })
            .collect();
        let mut answers = futures::stream::iter(requests).buffered(AT_ONCE);
        let mut batch = FrameBatch::new();
        let mut told = 0;
        while let Ok(Some((symbol, answer))) =
            tokio::time::timeout_at(deadline, answers.next()).await
        {
            match answer {
                Ok(reference) => {
                    self.missing.retain(|missing| *missing != symbol);
                    batch.push(FrameKind::Reference, wall_micros(), &reference_record(&reference)?);
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
        Ok(batch)
    }

    async fn send(&self, batch: FrameBatch) -> Result<(), StageError> {
        if !batch.is_empty() {
            self.edge.send(Arc::new(batch)).await?;
        }
        Ok(())
    }
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

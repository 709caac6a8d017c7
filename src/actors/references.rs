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

/// How long it asks, and how long it waits in between.
#[derive(Debug, Clone, Copy)]
struct Rounds {
    /// Longest time the live sessions wait.
    first: Duration,
    /// Longest later round; what it does not come to is the next one's.
    later: Duration,
    /// Pause before what is missing is asked for again; it doubles while nothing comes.
    pause: Duration,
    longest_pause: Duration,
}

const ROUNDS: Rounds = Rounds {
    first: Duration::from_secs(20),
    later: Duration::from_secs(300),
    pause: Duration::from_secs(30),
    longest_pause: Duration::from_secs(600),
};
/// Requests under way at once; the client's budget spaces them.
const AT_ONCE: usize = 8;
/// Failures that are told one by one; the rest is counted.
const REFUSALS_TOLD: usize = 3;

/// Brings reference data into Ingest's inbox.
pub(super) struct References<'a> {
    parts: &'a FeedParts,
    edge: Edge<Arc<FrameBatch>>,
    rounds: Rounds,
    /// Issues it has not come for, in the order of the settings.
    missing: Vec<Symbol>,
}

impl<'a> References<'a> {
    pub(super) fn new(parts: &'a FeedParts, edge: Edge<Arc<FrameBatch>>) -> Self {
        Self { parts, edge, rounds: ROUNDS, missing: parts.symbols.clone() }
    }

    /// The first round, with what master files tell of the issues it brings nothing for.
    ///
    /// # Errors
    /// When Ingest is gone.
    pub(super) async fn load(&mut self) -> Result<(), StageError> {
        let mut batch = self.round(self.rounds.first).await?;
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
        let mut pause = self.rounds.pause;
        watcher.without_reference(self.missing.len());
        while !self.missing.is_empty() {
            tokio::time::sleep(pause).await;
            let before = self.missing.len();
            let sent = match self.round(self.rounds.later).await {
                Ok(batch) => self.send(batch).await,
                Err(error) => Err(error),
            };
            if let Err(error) = sent {
                return error;
            }
            let missing = self.missing.len();
            if missing < before {
                tracing::info!(loaded = before - missing, missing, "more reference data is there");
                pause = self.rounds.pause;
            } else {
                pause = (pause * 2).min(self.rounds.longest_pause);
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

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::actors::poll::PolledIssues;
    use crate::actors::supervision::{Inbox, Policy};
    use crate::kis::sim::{SimOptions, Simulator};
    use crate::kis::subscriptions::Watch;
    use crate::kis::{Environment, FeedConfig, KisOptions};
    use crate::messages::health::{Component, HealthRegistry};

    fn parts(rest: String, master: Reference, symbols: Vec<Symbol>, day: SessionDay) -> FeedParts {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let secret = || secrecy::SecretString::from("simulator".to_owned());
        let options = KisOptions {
            calls_per_second: None,
            token_cooldown: Duration::ZERO,
            ..KisOptions::new(Environment::Real, rest, secret(), secret())
        };
        let config = FeedConfig::new(String::new(), Environment::Real, Watch::default());
        let health = HealthRegistry::new();
        health.declare(Component::Feed, true);
        FeedParts {
            clients: vec![KisClient::new(options).unwrap()],
            config,
            masters: BTreeMap::from([(master.symbol, master)]),
            symbols,
            day,
            health,
            polled: PolledIssues::default(),
        }
    }

    fn references(batch: &FrameBatch) -> Vec<Reference> {
        batch.iter().map(|frame| serde_json::from_slice(frame.payload).unwrap()).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_rest_does_not_tell_at_first_comes_when_it_answers() {
        let start = |options| async { Simulator::load(options).unwrap().start().await.unwrap() };
        let sim = start(SimOptions::default()).await;
        let (rest, day) = (sim.rest_addr, sim.session_day());
        let symbols: Vec<Symbol> = sim.references.iter().map(|known| known.symbol).collect();
        let master =
            Reference { symbol: symbols[0], closes: Vec::new(), ..sim.references[0].clone() };
        let parts = parts(sim.rest_url(), master.clone(), symbols.clone(), day);
        drop(sim);
        let inbox = Inbox::new("ingest", 16, Policy::Block);
        let watcher = Watcher::new(parts.health.clone(), parts.polled.clone(), 1);
        let mut wanted = References::new(&parts, inbox.edge("feed"));
        let pause = Duration::from_millis(10);
        wanted.rounds = Rounds { first: Duration::from_millis(200), pause, ..ROUNDS };

        wanted.load().await.unwrap();
        let first = references(&inbox.try_recv().unwrap());
        assert_eq!(first, [master], "nobody answers; the master files know one");
        assert_eq!(wanted.missing, symbols);

        let _sim = start(SimOptions { rest_listen: rest, ..SimOptions::default() }).await;
        let mut found = BTreeSet::new();
        let collect = async {
            while found.len() < symbols.len() {
                let batch = inbox.recv().await.unwrap();
                for reference in references(&batch) {
                    assert!(!reference.closes.is_empty(), "{reference:?}");
                    found.insert(reference.symbol);
                }
            }
        };
        tokio::select! {
            error = wanted.complete(&watcher) => panic!("{error}"),
            () = collect => {}
        }
        assert!(wanted.missing.is_empty());
    }
}

//! What is known about the watched issues before they trade: names, base prices, daily closes.
//!
//! It is fetched at the start and, from a live exchange, anew before each trading day's opening: with
//! the closes that ended since, and all earlier ones adjusted for splits and rights.
//!
//! It comes from REST and goes through the journal like any frame, so that a replay knows the same.
//! The first round is bounded in time: a slow or refusing REST side delays the live sessions by at
//! most twenty seconds. What is missing then comes from the symbol master files for the time being,
//! if there are any, later from the day before; it is asked for again beside the live sessions, at first after half a minute,
//! then at doubling pauses of at most ten minutes, until all of it is there, and the feed says so
//! of itself meanwhile. Nothing here ends the feed but that Ingest is gone.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::time::Instant;

use super::feed::FeedParts;
use super::feed_watch::Watcher;
use super::ingest::wall_micros;
use super::limits::BATCH_BYTES;
use super::recorded::reference_record;
use super::supervision::{Edge, StageError};
use crate::kis::{KisClient, KisError};
use crate::market::{Calendar, EventTime, Reference, SessionDay, Symbol, TimeOfDay};
use crate::messages::{FrameBatch, FrameKind};

/// Which day the exchange is on when it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExchangeDay {
    /// Today, by the wall clock.
    Today,
    /// The one that it plays.
    Played(SessionDay),
    /// It plays a day of its own, which nobody told us.
    OfItsOwn,
}

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
    /// Time between two looks at the wall clock, which may be set.
    look: Duration,
}

const ROUNDS: Rounds = Rounds {
    first: Duration::from_secs(20),
    later: Duration::from_secs(300),
    pause: Duration::from_secs(30),
    longest_pause: Duration::from_secs(600),
    look: Duration::from_secs(60),
};
/// When the day's references are fetched, Korean time: ten minutes before the opening auction takes
/// orders (08:20).
const DAILY_AT: u32 = 8 * 3_600 + 600;
/// Requests under way at once; the client's budget spaces them.
const AT_ONCE: usize = 8;
/// Failures that are told one by one; the rest is counted.
const REFUSALS_TOLD: usize = 3;

/// Brings reference data into Ingest's inbox.
pub(super) struct References<'a> {
    parts: &'a FeedParts,
    edge: Edge<Arc<FrameBatch>>,
    rounds: Rounds,
    clock: fn() -> EventTime,
    /// Issues it has not come for, in the order of the settings.
    missing: Vec<Symbol>,
    /// When all of it was last asked for.
    asked: EventTime,
}

impl<'a> References<'a> {
    pub(super) fn new(parts: &'a FeedParts, edge: Edge<Arc<FrameBatch>>) -> Self {
        let (missing, asked) = (parts.symbols.clone(), EventTime::default());
        Self { parts, edge, rounds: ROUNDS, clock: wall, missing, asked }
    }

    /// The first round, with what master files tell of the issues it brings nothing for.
    ///
    /// # Errors
    /// When Ingest is gone.
    pub(super) async fn load(&mut self) -> Result<(), StageError> {
        self.asked = (self.clock)();
        self.round(self.rounds.first).await?;
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
        let mut batch = FrameBatch::new();
        for reference in known {
            batch.push(FrameKind::Reference, wall_micros(), &reference_record(reference)?);
        }
        self.send(batch).await
    }

    /// Later rounds until nothing is missing, and the same anew for each trading day.
    ///
    /// Returns why it could not go on: Ingest is gone.
    pub(super) async fn complete(&mut self, watcher: &Watcher) -> StageError {
        loop {
            if let Err(error) = self.fill(watcher).await {
                return error;
            }
            self.until_due().await;
            self.asked = (self.clock)();
            self.missing.clone_from(&self.parts.symbols);
            tracing::info!(issues = self.missing.len(), "reference data of the day is asked for");
            if let Err(error) = self.round(self.rounds.later).await {
                return error;
            }
        }
    }

    /// Waits until it is to be fetched anew: for ever where a day is played.
    async fn until_due(&self) {
        loop {
            tokio::time::sleep(self.rounds.look).await;
            let calendar = self.parts.config.days.calendar();
            if self.parts.day == ExchangeDay::Today && is_due(&calendar, self.asked, (self.clock)())
            {
                return;
            }
        }
    }

    /// Rounds until nothing is missing, or it is due anew.
    async fn fill(&mut self, watcher: &Watcher) -> Result<(), StageError> {
        let mut pause = self.rounds.pause;
        watcher.without_reference(self.missing.len());
        while !self.missing.is_empty() {
            tokio::select! {
                biased;
                () = self.until_due() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
            let before = self.missing.len();
            self.round(self.rounds.later).await?;
            let missing = self.missing.len();
            if missing < before {
                tracing::info!(loaded = before - missing, missing, "more reference data is there");
                pause = self.rounds.pause;
            } else {
                pause = (pause * 2).min(self.rounds.longest_pause);
            }
            watcher.without_reference(missing);
        }
        Ok(())
    }

    /// The day that is asked about; `None`: the exchange's own.
    fn day(&self) -> Option<SessionDay> {
        match self.parts.day {
            ExchangeDay::Today => Some((self.clock)().session_day()),
            ExchangeDay::Played(day) => Some(day),
            ExchangeDay::OfItsOwn => None,
        }
    }

    /// Asks for what is missing, as far as the time allows, and sends it on.
    async fn round(&mut self, within: Duration) -> Result<(), StageError> {
        let (day, deadline) = (self.day(), Instant::now() + within);
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
                    if batch.byte_len() >= BATCH_BYTES {
                        self.send(std::mem::take(&mut batch)).await?;
                    }
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
        self.send(batch).await
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
    day: Option<SessionDay>,
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

fn wall() -> EventTime {
    EventTime::from_micros(wall_micros())
}

/// Whether at `now` a trading day's references are to be fetched that were not at `asked`. Where the
/// calendar has ended, any day but a week-end's may be one.
fn is_due(calendar: &Calendar, asked: EventTime, now: EventTime) -> bool {
    let day = now.session_day();
    let trades = calendar.is_session(day).unwrap_or(!day.is_weekend());
    let at = TimeOfDay::from_seconds(DAILY_AT).map(|time| EventTime::from_kst(day, time));
    trades && at.is_some_and(|at| asked < at && at <= now)
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

    fn parts(rest: String, master: Reference, symbols: Vec<Symbol>, day: ExchangeDay) -> FeedParts {
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
        let (rest, day) = (sim.rest_addr, ExchangeDay::Played(sim.session_day()));
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

    fn at(day: u32, hhmm: u32) -> EventTime {
        let day = SessionDay::from_yyyymmdd(day).unwrap();
        EventTime::from_kst(day, TimeOfDay::from_hhmmss(hhmm * 100).unwrap())
    }

    #[test]
    fn they_are_due_once_before_each_trading_day_opens() {
        let due = |asked, now| is_due(&Calendar::krx(), asked, now);
        let friday = at(20_260_911, 1_000);
        assert!(!due(friday, at(20_260_911, 2_300)), "asked for after the time of that day");
        assert!(!due(friday, at(20_260_912, 900)), "a Saturday");
        assert!(!due(friday, at(20_260_914, 809)));
        assert!(due(friday, at(20_260_914, 810)));
        assert!(due(friday, at(20_260_914, 1_400)), "a machine that slept");
        assert!(!due(at(20_260_914, 810), at(20_260_914, 1_400)), "once");
        assert!(due(at(20_260_914, 700), at(20_260_914, 811)), "a start before it is asked again");
        // Chuseok, 24 to 26 September; and a year that the table does not know.
        assert!(!due(friday, at(20_260_925, 1_000)));
        assert!(due(friday, at(20_990_105, 1_000)));
        assert!(!due(friday, at(20_990_104, 1_000)), "a Sunday");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_next_trading_day_begins_with_references_of_its_own() {
        use std::sync::atomic::{AtomicI64, Ordering};
        static NOW: AtomicI64 = AtomicI64::new(0);
        let sim = Simulator::load(SimOptions::default()).unwrap().start().await.unwrap();
        let symbols: Vec<Symbol> = sim.references.iter().map(|known| known.symbol).collect();
        let master = sim.references[0].clone();
        let parts = parts(sim.rest_url(), master, symbols.clone(), ExchangeDay::Today);
        let inbox = Inbox::new("ingest", 16, Policy::Block);
        let watcher = Watcher::new(parts.health.clone(), parts.polled.clone(), 1);
        let mut wanted = References::new(&parts, inbox.edge("feed"));
        wanted.rounds.look = Duration::from_millis(5);
        wanted.clock = || EventTime::from_micros(NOW.load(Ordering::Relaxed));
        let expect = |day: u32| {
            let (inbox, count) = (&inbox, symbols.len());
            async move {
                let mut told = Vec::new();
                while told.len() < count {
                    told.extend(references(&inbox.recv().await.unwrap()));
                }
                let day = SessionDay::from_yyyymmdd(day);
                assert!(told.iter().all(|known| known.day == day && known.last_session < day));
            }
        };
        // The simulator's session and the days after: it goes on telling of its own.
        NOW.store(at(20_260_918, 1_000).micros(), Ordering::Relaxed);
        wanted.load().await.unwrap();
        expect(20_260_918).await;
        let days = async {
            NOW.store(at(20_260_921, 810).micros(), Ordering::Relaxed);
            expect(20_260_921).await;
            NOW.store(at(20_260_922, 900).micros(), Ordering::Relaxed);
            expect(20_260_922).await;
        };
        tokio::select! {
            biased;
            () = days => {}
            error = wanted.complete(&watcher) => panic!("{error}"),
        }
    }
}

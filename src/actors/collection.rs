//! Collection: what is asked of KIS besides the live feed, as a chain of steps.
//!
//! **token → universe → prices → executions → orders.** In: a client, the issues (or a ranking that
//! names them), an account if there is one. Out: bars, trades and the account's orders in the
//! database, every raw answer in the object store, a row of `etl_runs` for the run and each step,
//! a run log, and how it went as the health of the component `collection`.
//!
//! A run is known by its job and planned time ([`crate::collect::naming::run_id`]): doing it again
//! doubles nothing. Issues are asked for one after the other; the client's budget spaces the calls.
//!
//! **Failures.** A call that a pause can cure is repeated with growing pauses, a bounded number of
//! times for each issue; then it is a row of `etl_failures` with the place of the raw answer, and
//! the next issue's turn. An error that no repetition helps (keys, permission) ends the run. In a
//! dry run every step is done but the writing.

mod ask;
mod log;
pub mod probe;
mod run;
mod steps;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use ask::Ranking;
pub use log::{FailureLine, RunLog, RunStatus, StepLog};

use super::ingest::wall_micros;
use crate::kis::{Account, KisClient};
use crate::market::{EventTime, Symbol};
use crate::messages::health::{Component, HealthRegistry, HealthState};
use crate::store::{Database, Objects};
use run::Runner;

/// Which issues are collected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Universe {
    /// These.
    Symbols(Vec<Symbol>),
    /// So many from the top of a ranking.
    Ranked(Ranking, usize),
}

/// Tells the market's time: the wall clock, or the simulator's.
pub type Clock = Arc<dyn Fn() -> EventTime + Send + Sync>;

/// The wall clock.
#[must_use]
pub fn wall_clock() -> Clock {
    Arc::new(|| EventTime::from_micros(wall_micros()))
}

/// How often a call is tried for one issue, and the pauses in between.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Attempts, at least one; each of them repeats by itself what the client can cure.
    pub attempts: u32,
    /// First pause.
    pub first: Duration,
    /// Longest pause.
    pub most: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { attempts: 3, first: Duration::from_millis(500), most: Duration::from_secs(8) }
    }
}

/// What collection is made of.
#[derive(Clone)]
pub struct CollectionParts {
    /// REST.
    pub client: KisClient,
    /// Issues.
    pub universe: Universe,
    /// The account whose orders are collected; without one the step is left out.
    pub account: Option<Account>,
    /// Where rows go; `None` in a dry run.
    pub database: Option<Database>,
    /// Where raw answers and run logs go; `None` in a dry run.
    pub objects: Option<Objects>,
    /// The market's time.
    pub clock: Clock,
    /// How failing calls are met.
    pub patience: Patience,
    /// Where it says how it went.
    pub health: HealthRegistry,
}

/// Does the run of `job` that was planned for `planned`, and tells how it went. A stop cuts it off
/// between two calls.
pub async fn collect(
    parts: &CollectionParts,
    job: &str,
    planned: EventTime,
    stop: &CancellationToken,
) -> RunLog {
    let log = Runner::new(parts, job, planned, stop).run().await;
    let state = match log.status {
        RunStatus::Done => Some(HealthState::Up),
        RunStatus::Partial => Some(HealthState::degraded(log.summary())),
        RunStatus::Failed => Some(HealthState::down(log.summary())),
        RunStatus::Stopped => None,
    };
    if let Some(state) = state {
        parts.health.set(Component::Collection, state);
    }
    tracing::info!(job, run = log.id, status = log.status.as_str(), "{}", log.summary());
    log
}

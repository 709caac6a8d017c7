//! How the database is, as the Recorder sees it: the circuit, and what health says of it.
//!
//! Text and state follow from three things: whether the circuit is open and why, how much lies in
//! the spill, and whether rows still find room. `down` while nobody answers, `degraded` while rows
//! of an absence are on their way, `up` else. A change is told once it has settled
//! ([`Circuit::is_settled`]), so that a short loss is not told at all.

use std::time::Duration;

use tokio::time::Instant;

use crate::messages::health::{Component, HealthRegistry, HealthState};
use crate::messages::{Circuit, CircuitOptions};
use crate::store::{Fault, StoreError};

/// Where rows go while the database is away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refuge {
    /// Nowhere: they wait in memory.
    Memory,
    /// On disk, so many bytes of at most so many.
    Spill { bytes: u64, cap: u64 },
    /// Nowhere any more: why the disk does not take them.
    Full(String),
}

pub(super) struct Outage {
    health: HealthRegistry,
    circuit: Circuit,
    began: Instant,
    cause: String,
    told: Option<HealthState>,
}

impl Outage {
    pub(super) fn new(health: HealthRegistry) -> Self {
        let circuit = Circuit::new(CircuitOptions::default());
        Self { health, circuit, began: Instant::now(), cause: String::new(), told: None }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(super) fn is_open(&self) -> bool {
        self.circuit.is_open()
    }

    pub(super) fn may_try(&self) -> bool {
        self.circuit.may_try(self.now())
    }

    /// How long until the database may be asked again.
    pub(super) fn wait(&self) -> Duration {
        self.circuit.wait(self.now())
    }

    /// It was not there at the start: there is nothing to be patient about.
    pub(super) fn begin_open(&mut self, cause: &str) {
        cause.clone_into(&mut self.cause);
        self.circuit.trip(self.now(), crate::store::chance());
    }

    pub(super) fn succeeded(&mut self) {
        if self.circuit.succeeded(self.now()) {
            tracing::info!("the database takes rows again");
        }
    }

    pub(super) fn failed(&mut self, error: &StoreError) {
        let fault = error.fault();
        metrics::counter!("bongsu_store_failures_total", "fault" => fault.as_str()).increment(1);
        self.cause = match advice(fault) {
            Some(advice) => format!("{error} ({advice})"),
            None => error.to_string(),
        };
        let opened = self.circuit.failed(self.now(), crate::store::chance());
        let retry_in = self.wait();
        if opened {
            metrics::counter!("bongsu_dependency_losses_total", "dependency" => "database")
                .increment(1);
            tracing::error!(%error, fault = fault.as_str(), ?retry_in, "the database is away; rows are kept");
        } else {
            tracing::warn!(%error, fault = fault.as_str(), ?retry_in, "rows could not be written, they are kept");
        }
    }

    /// Tells health how things are. Cheap when nothing has changed.
    pub(super) fn tell(&mut self, refuge: &Refuge) {
        let state = self.state(refuge);
        if let Some(state) = state
            && self.told.as_ref() != Some(&state)
        {
            self.health.set(Component::Database, state.clone());
            self.told = Some(state);
        }
    }

    /// `None`: as told before.
    fn state(&self, refuge: &Refuge) -> Option<HealthState> {
        let waits = match refuge {
            Refuge::Spill { bytes: 0, .. } | Refuge::Memory => String::new(),
            Refuge::Spill { bytes, cap } => {
                format!("{} of {} MiB wait in the spill", mib(*bytes), mib(*cap))
            }
            Refuge::Full(why) => format!("no more rows find room, the pipeline waits: {why}"),
        };
        let cause = &self.cause;
        if self.circuit.is_open() {
            let waits = if waits.is_empty() { "rows wait in memory" } else { &waits };
            return Some(HealthState::down(format!("{cause}; {waits}")));
        }
        if matches!(refuge, Refuge::Full(_)) {
            return Some(HealthState::down(waits));
        }
        if !waits.is_empty() {
            return Some(HealthState::degraded(format!("{waits} and are written in order")));
        }
        if self.circuit.is_settled(self.now()) {
            return Some(HealthState::Up);
        }
        // A first failure is not told; that it is back is told as such until it has settled.
        let was_away = self.told.as_ref().is_some_and(|told| *told != HealthState::Up);
        was_away.then(|| HealthState::degraded(format!("it has just come back after: {cause}")))
    }
}

fn mib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}

/// What the operator can do, where the error does not say it.
const fn advice(fault: Fault) -> Option<&'static str> {
    match fault {
        Fault::Full => Some("make room on the database's disk"),
        Fault::ReadOnly => Some("it takes no writes: is this a replica, or is read_only set?"),
        Fault::Slow => Some("it answers too slowly: look at its load, its disk and its locks"),
        Fault::Conflict => Some("another transaction holds a lock for long"),
        Fault::Away | Fault::Refused | Fault::Row | Fault::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deadline() -> StoreError {
        StoreError::Deadline { action: "write rows".to_owned(), limit: Duration::from_secs(1) }
    }

    const NOTHING: Refuge = Refuge::Spill { bytes: 0, cap: 2 << 20 };
    const SOME: Refuge = Refuge::Spill { bytes: 3 << 19, cap: 2 << 20 };

    fn line(health: &HealthRegistry) -> String {
        let line = health.get(Component::Database).unwrap();
        format!("{} {}", line.state.as_str(), line.state.reason().unwrap_or_default())
    }

    #[tokio::test(start_paused = true)]
    async fn a_blip_is_not_told_and_an_absence_is_with_its_cause() {
        let health = HealthRegistry::new();
        let mut outage = Outage::new(health.clone());
        outage.tell(&NOTHING);
        assert_eq!(line(&health), "up ");
        outage.failed(&deadline());
        outage.tell(&NOTHING);
        assert_eq!(line(&health), "up ", "one failure");
        outage.succeeded();

        for _ in 0..4 {
            outage.failed(&deadline());
            tokio::time::advance(outage.wait()).await;
        }
        assert!(outage.is_open() && outage.may_try());
        outage.tell(&SOME);
        let text = line(&health);
        assert!(text.starts_with("down cannot write rows"), "{text}");
        assert!(text.contains("too slowly") && text.contains("1.5 of 2.0 MiB"), "{text}");
        outage.tell(&Refuge::Full("disk full".to_owned()));
        assert!(line(&health).contains("the pipeline waits: disk full"), "{}", line(&health));

        outage.succeeded();
        outage.tell(&SOME);
        assert!(line(&health).starts_with("degraded 1.5 of 2.0 MiB"), "{}", line(&health));
        outage.tell(&NOTHING);
        assert!(line(&health).starts_with("degraded"), "not settled yet");
        tokio::time::advance(Duration::from_secs(3)).await;
        outage.tell(&NOTHING);
        assert_eq!(line(&health), "up ");
    }
}

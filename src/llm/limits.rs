//! What may be asked of the endpoint: requests and tokens a minute, calls at once, tokens and money
//! a day, and a circuit that leaves a failing endpoint alone.
//!
//! A permit is taken before a call with the tokens it may use at most; afterwards the day's account
//! gets what it did use. Days are Korean. What was spent today before a restart is handed in.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::messages::circuit::{Circuit, CircuitOptions, CircuitState};

/// The limits. Zero means none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Calls at once; at least one.
    pub concurrency: u32,
    /// Requests a minute.
    pub requests_per_minute: u32,
    /// Tokens a minute, prompts and answers.
    pub tokens_per_minute: u32,
    /// Tokens a day.
    pub tokens_per_day: u64,
    /// Millionths of a US dollar a day.
    pub cost_per_day_micros: u64,
    /// First pause after several failures in a row; it doubles up to ten times as long.
    pub cool_down: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrency: 2,
            requests_per_minute: 60,
            tokens_per_minute: 200_000,
            tokens_per_day: 2_000_000,
            cost_per_day_micros: 5_000_000,
            cool_down: Duration::from_secs(30),
        }
    }
}

/// What was spent on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Day, counted from the epoch in Korea.
    pub day: i64,
    /// Tokens.
    pub tokens: u64,
    /// Millionths of a US dollar.
    pub cost_micros: u64,
}

/// Why nothing is asked now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The endpoint failed several times in a row.
    #[error("언어 모델이 이어서 실패하여 {}초 뒤에 다시 시도함", .0.as_secs() + 1)]
    Circuit(Duration),
    /// Too many requests or tokens within a minute.
    #[error("분당 요청 또는 토큰 한도에 닿음, {}초 뒤에 다시 가능", .0.as_secs() + 1)]
    Rate(Duration),
    /// Today's tokens are used up.
    #[error("하루 토큰 한도에 닿음")]
    DailyTokens,
    /// Today's money is used up.
    #[error("하루 비용 한도에 닿음")]
    DailyCost,
    /// All calls that may run at once do.
    #[error("다른 요청이 끝나지 않아 차례가 오지 않음")]
    Busy,
}

impl Denied {
    /// In a word, for `llm_usage`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Circuit(_) => "circuit",
            Self::Rate(_) => "rate_limit",
            Self::DailyTokens => "daily_tokens",
            Self::DailyCost => "daily_cost",
            Self::Busy => "busy",
        }
    }

    /// When to try again; `None`: not before tomorrow.
    #[must_use]
    pub const fn retry_in(&self) -> Option<Duration> {
        match self {
            Self::Circuit(wait) | Self::Rate(wait) => Some(*wait),
            Self::Busy => Some(Duration::from_secs(30)),
            Self::DailyTokens | Self::DailyCost => None,
        }
    }
}

/// Keeps the limits. Shared by all calls.
pub struct Gate {
    limits: Limits,
    started: Instant,
    slots: Arc<Semaphore>,
    requests: Option<DefaultDirectRateLimiter>,
    tokens: Option<(DefaultDirectRateLimiter, NonZeroU32)>,
    circuit: Mutex<Circuit>,
    /// Until when the endpoint asked to be left alone.
    rest: Mutex<Option<Instant>>,
    spent: Mutex<Spent>,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let spent = *self.spent.lock();
        f.debug_struct("Gate")
            .field("limits", &self.limits)
            .field("spent", &spent)
            .finish_non_exhaustive()
    }
}

impl Gate {
    /// A gate with these limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let per_minute = |count: u32| {
            let count = NonZeroU32::new(count)?;
            Some((RateLimiter::direct(Quota::per_minute(count)), count))
        };
        let pause = limits.cool_down.max(Duration::from_millis(1));
        let circuit = Circuit::new(CircuitOptions {
            threshold: 3,
            grace: Duration::ZERO,
            pause: (pause, pause.saturating_mul(10)),
            settle: Duration::from_secs(10),
        });
        Self {
            slots: Arc::new(Semaphore::new(limits.concurrency.max(1) as usize)),
            requests: per_minute(limits.requests_per_minute).map(|(limiter, _)| limiter),
            tokens: per_minute(limits.tokens_per_minute),
            circuit: Mutex::new(circuit),
            rest: Mutex::default(),
            spent: Mutex::default(),
            started: Instant::now(),
            limits,
        }
    }

    /// What was spent before this process began.
    pub fn resume(&self, spent: Spent) {
        *self.spent.lock() = spent;
    }

    /// What was spent today.
    #[must_use]
    pub fn spent(&self) -> Spent {
        *self.spent.lock()
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Leave for one call of at most `tokens`, which is waited for until `deadline`.
    ///
    /// # Errors
    /// What forbids it. Nothing is used up then.
    pub async fn enter(
        &self,
        tokens: u32,
        day: i64,
        deadline: Instant,
    ) -> Result<OwnedSemaphorePermit, Denied> {
        self.may_spend(tokens, day)?;
        self.circuit_allows()?;
        let slots = Arc::clone(&self.slots);
        let slot = tokio::time::timeout_at(deadline, slots.acquire_owned())
            .await
            .ok()
            .and_then(Result::ok)
            .ok_or(Denied::Busy)?;
        // It may have opened while this one waited for its turn.
        self.circuit_allows()?;
        let rest = self.resting();
        if !rest.is_zero() {
            wait_for(rest, deadline).await?;
        }
        self.pace(tokens, deadline).await?;
        Ok(slot)
    }

    /// The endpoint asked to be left alone for a while.
    pub fn rest(&self, wait: Duration) {
        *self.rest.lock() = Some(Instant::now() + wait);
    }

    /// How long the endpoint still wants to be left alone.
    fn resting(&self) -> Duration {
        let until = *self.rest.lock();
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    fn circuit_allows(&self) -> Result<(), Denied> {
        let now = self.now();
        let circuit = self.circuit.lock();
        match circuit.state(now) {
            CircuitState::Open => Err(Denied::Circuit(circuit.wait(now))),
            CircuitState::Closed | CircuitState::HalfOpen => Ok(()),
        }
    }

    /// Waits until requests and tokens a minute allow a call, when that is before `deadline`.
    async fn pace(&self, tokens: u32, deadline: Instant) -> Result<(), Denied> {
        let clock = DefaultClock::default();
        if let Some((limiter, most)) = &self.tokens {
            // A call larger than a minute's worth waits for a whole minute's.
            let tokens = NonZeroU32::new(tokens.min(most.get())).unwrap_or(NonZeroU32::MIN);
            while let Ok(Err(later)) = limiter.check_n(tokens) {
                wait_for(later.wait_time_from(clock.now()), deadline).await?;
            }
        }
        if let Some(limiter) = &self.requests {
            while let Err(later) = limiter.check() {
                wait_for(later.wait_time_from(clock.now()), deadline).await?;
            }
        }
        Ok(())
    }

    fn may_spend(&self, tokens: u32, day: i64) -> Result<(), Denied> {
        let spent = self.of_day(day);
        let limit = self.limits.tokens_per_day;
        if limit > 0 && spent.tokens.saturating_add(tokens.into()) > limit {
            return Err(Denied::DailyTokens);
        }
        let limit = self.limits.cost_per_day_micros;
        if limit > 0 && spent.cost_micros >= limit {
            return Err(Denied::DailyCost);
        }
        Ok(())
    }

    fn of_day(&self, day: i64) -> Spent {
        let mut spent = self.spent.lock();
        if spent.day != day {
            *spent = Spent { day, ..Spent::default() };
        }
        *spent
    }

    /// Takes in what a call used.
    pub fn spend(&self, tokens: u32, cost_micros: i64, day: i64) {
        self.of_day(day);
        let mut spent = self.spent.lock();
        spent.tokens = spent.tokens.saturating_add(tokens.into());
        spent.cost_micros = spent.cost_micros.saturating_add(cost_micros.max(0).unsigned_abs());
    }

    /// The endpoint answered, whatever the answer is worth.
    pub fn answered(&self) {
        self.circuit.lock().succeeded(self.now());
    }

    /// The endpoint failed.
    pub fn failed(&self) {
        let opened = self.circuit.lock().failed(self.now(), random_unit());
        if opened {
            tracing::warn!(
                "the language model failed several times in a row and is left alone for a while"
            );
        }
    }
}

/// A number from 0 to 1. The standard library's hash keys are random for each use; jitter needs
/// no better source.
pub(super) fn random_unit() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 11;
    bits as f64 / (1u64 << 53) as f64
}

async fn wait_for(wait: Duration, deadline: Instant) -> Result<(), Denied> {
    let until = Instant::now() + wait;
    if until >= deadline {
        return Err(Denied::Rate(wait));
    }
    tokio::time::sleep_until(until).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Limits = Limits {
        concurrency: 1,
        requests_per_minute: 0,
        tokens_per_minute: 0,
        tokens_per_day: 0,
        cost_per_day_micros: 0,
        cool_down: Duration::from_secs(30),
    };

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(5)
    }

    #[tokio::test]
    async fn one_at_a_time() {
        let gate = Gate::new(NONE);
        let first = gate.enter(10, 1, soon()).await.unwrap();
        assert_eq!(gate.enter(10, 1, soon()).await.unwrap_err(), Denied::Busy);
        drop(first);
        assert!(gate.enter(10, 1, soon()).await.is_ok());
    }

    #[tokio::test]
    async fn requests_and_tokens_a_minute() {
        let gate = Gate::new(Limits { requests_per_minute: 2, ..NONE });
        for _ in 0..2 {
            assert!(gate.enter(10, 1, soon()).await.is_ok());
        }
        assert!(matches!(gate.enter(10, 1, soon()).await, Err(Denied::Rate(_))));
        let gate = Gate::new(Limits { tokens_per_minute: 100, ..NONE });
        assert!(gate.enter(90, 1, soon()).await.is_ok());
        assert!(matches!(gate.enter(90, 1, soon()).await, Err(Denied::Rate(_))));
        let gate = Gate::new(Limits { tokens_per_minute: 100, ..NONE });
        assert!(gate.enter(5_000, 1, soon()).await.is_ok(), "larger than a minute's worth");
    }

    #[tokio::test]
    async fn a_day_has_its_budget() {
        let gate = Gate::new(Limits { tokens_per_day: 100, cost_per_day_micros: 50, ..NONE });
        gate.resume(Spent { day: 1, tokens: 60, cost_micros: 0 });
        assert_eq!(gate.enter(50, 1, soon()).await.unwrap_err(), Denied::DailyTokens);
        assert!(gate.enter(40, 1, soon()).await.is_ok());
        gate.spend(10, 50, 1);
        assert_eq!(gate.enter(10, 1, soon()).await.unwrap_err(), Denied::DailyCost);
        assert!(gate.enter(50, 2, soon()).await.is_ok(), "a new day");
        assert_eq!(gate.spent(), Spent { day: 2, tokens: 0, cost_micros: 0 });
    }

    #[tokio::test]
    async fn a_failing_endpoint_is_left_alone() {
        let gate = Gate::new(NONE);
        for _ in 0..3 {
            assert!(gate.enter(1, 1, soon()).await.is_ok());
            gate.failed();
        }
        assert!(matches!(gate.enter(1, 1, soon()).await, Err(Denied::Circuit(_))));
        gate.answered();
        assert!(gate.enter(1, 1, soon()).await.is_ok());
    }
}

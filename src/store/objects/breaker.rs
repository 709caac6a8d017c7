//! A circuit breaker: after some failures in a row a service is left alone for a while, then one
//! call tries it.
//!
//! In: the outcome of each call. Out: whether the next one may be made. The pause doubles with each
//! failed try, up to a limit; a success ends it. Only what says that the service is away counts as a
//! failure: a refusal is an answer.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// When the circuit opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerLimits {
    /// So many failures in a row open it.
    pub failures: u32,
    /// First pause.
    pub first: Duration,
    /// Longest pause.
    pub most: Duration,
}

impl Default for BreakerLimits {
    fn default() -> Self {
        Self { failures: 3, first: Duration::from_secs(1), most: Duration::from_secs(15) }
    }
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// Not asked before this moment.
    until: Option<Instant>,
    pause: Duration,
    /// A call that tries whether the service is back is under way.
    trying: bool,
    cause: String,
}

/// The breaker of one service.
#[derive(Debug, Default)]
pub struct Breaker {
    limits: BreakerLimits,
    state: Mutex<State>,
}

/// Why a call is not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// How long the service is left alone yet; zero while another call tries it.
    pub left: Duration,
    /// What the last failure was.
    pub cause: String,
}

/// The right to make one call. Let go of without an outcome, it counts as nothing.
#[derive(Debug)]
pub struct Pass<'a> {
    breaker: &'a Breaker,
    tries: bool,
}

impl Breaker {
    /// A closed one.
    #[must_use]
    pub fn new(limits: BreakerLimits) -> Self {
        Self { limits, state: Mutex::default() }
    }

    /// Whether a call may be made.
    ///
    /// # Errors
    /// [`Open`] while the service is left alone.
    pub fn enter(&self) -> Result<Pass<'_>, Open> {
        let mut state = self.state.lock();
        let Some(until) = state.until else { return Ok(Pass { breaker: self, tries: false }) };
        let left = until.saturating_duration_since(Instant::now());
        if !left.is_zero() || state.trying {
            return Err(Open { left, cause: state.cause.clone() });
        }
        state.trying = true;
        Ok(Pass { breaker: self, tries: true })
    }
}

impl Pass<'_> {
    /// The service answered.
    pub fn answered(self) {
        let mut state = self.breaker.state.lock();
        *state = State { trying: state.trying, ..State::default() };
    }

    /// The service is away.
    pub fn failed(self, cause: String) {
        let limits = self.breaker.limits;
        let mut state = self.breaker.state.lock();
        state.failures = state.failures.saturating_add(1);
        state.cause = cause;
        if self.tries || (state.failures >= limits.failures && state.until.is_none()) {
            state.pause = match state.pause {
                Duration::ZERO => limits.first,
                pause => (pause * 2).min(limits.most),
            };
            state.until = Some(Instant::now() + state.pause);
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.tries {
            self.breaker.state.lock().trying = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breaker: &Breaker) {
        breaker.enter().unwrap().failed("refused".to_owned());
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_tries_once_and_closes() {
        let breaker = Breaker::new(BreakerLimits::default());
        fail(&breaker);
        fail(&breaker);
        breaker.enter().unwrap().answered();
        (0..3).for_each(|_| fail(&breaker));
        let open = breaker.enter().unwrap_err();
        assert_eq!((open.left, open.cause.as_str()), (Duration::from_secs(1), "refused"));

        tokio::time::advance(Duration::from_secs(1)).await;
        let first = breaker.enter().unwrap();
        assert!(breaker.enter().is_err(), "one call tries it, not all");
        first.failed("refused".to_owned());
        assert_eq!(breaker.enter().unwrap_err().left, Duration::from_secs(2));

        // A try that is cut off leaves the next one free.
        tokio::time::advance(Duration::from_secs(2)).await;
        drop(breaker.enter().unwrap());
        breaker.enter().unwrap().answered();
        fail(&breaker);
        assert!(breaker.enter().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_pause_has_a_limit() {
        let breaker = Breaker::new(BreakerLimits::default());
        (0..3).for_each(|_| fail(&breaker));
        for _ in 0..10 {
            let open = breaker.enter().unwrap_err();
            assert!(open.left <= Duration::from_secs(15), "{open:?}");
            tokio::time::advance(open.left).await;
            fail(&breaker);
        }
    }
}

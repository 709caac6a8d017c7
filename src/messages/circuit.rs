//! A circuit breaker: when a part that fails is asked again, and when it counts as away.
//!
//! Arithmetic over times alone. In: successes and failures with the time they came at, on any clock
//! that only runs forward; a number from 0 to 1 for jitter. Out: whether to try now, and whether
//! the circuit is closed (works), open (away: nobody asks) or half-open (one try may find out).
//!
//! It is damped on both sides. A single failure, or several within [`CircuitOptions::grace`], do
//! not open it: a lost connection that heals at once is no outage. After it has closed, a failure
//! within [`CircuitOptions::settle`] opens it at once and the pauses go on where they were, so that
//! a part that comes and goes is not asked more and more often.

use std::time::Duration;

/// When a circuit opens, and how long it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CircuitOptions {
    /// Failures in a row that open it, at least.
    pub threshold: u32,
    /// How long they must have lasted, at least.
    pub grace: Duration,
    /// First and longest pause between two tries; doubled each time, with jitter.
    pub pause: (Duration, Duration),
    /// How long it must have worked to count as well again.
    pub settle: Duration,
}

impl Default for CircuitOptions {
    fn default() -> Self {
        Self {
            threshold: 2,
            grace: Duration::from_millis(300),
            pause: (Duration::from_millis(100), Duration::from_secs(5)),
            settle: Duration::from_secs(2),
        }
    }
}

/// What a circuit says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CircuitState {
    /// It works, as far as is known.
    Closed,
    /// It is away, and not asked before the time of the next try.
    Open,
    /// It is away, and the next try finds out whether it still is.
    HalfOpen,
}

/// The circuit of one part. Times are durations since any fixed moment.
#[derive(Debug, Clone)]
pub struct Circuit {
    options: CircuitOptions,
    is_open: bool,
    failures: u32,
    first_failure: Duration,
    next_try: Duration,
    pauses: u32,
    /// When it last closed, until it has settled.
    closed_at: Option<Duration>,
}

impl Circuit {
    /// A closed circuit.
    #[must_use]
    pub const fn new(options: CircuitOptions) -> Self {
        Self {
            options,
            is_open: false,
            failures: 0,
            first_failure: Duration::ZERO,
            next_try: Duration::ZERO,
            pauses: 0,
            closed_at: None,
        }
    }

    /// How it is at `now`.
    #[must_use]
    pub fn state(&self, now: Duration) -> CircuitState {
        match (self.is_open, now >= self.next_try) {
            (false, _) => CircuitState::Closed,
            (true, false) => CircuitState::Open,
            (true, true) => CircuitState::HalfOpen,
        }
    }

    /// Whether the part counts as away.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.is_open
    }

    /// Whether it may be asked now: also a closed circuit pauses after a failure.
    #[must_use]
    pub fn may_try(&self, now: Duration) -> bool {
        now >= self.next_try
    }

    /// How long until it may be asked.
    #[must_use]
    pub fn wait(&self, now: Duration) -> Duration {
        self.next_try.saturating_sub(now)
    }

    /// Whether it works and has for long enough to be believed.
    #[must_use]
    pub fn is_settled(&self, now: Duration) -> bool {
        let since = self.closed_at.is_none_or(|at| now.saturating_sub(at) >= self.options.settle);
        !self.is_open && self.failures == 0 && since
    }

    /// Opens it at once: nobody answered at the start, and there is nothing to be patient about.
    pub fn trip(&mut self, now: Duration, jitter: f64) {
        self.failed(now, jitter);
        self.is_open = true;
    }

    /// It answered. True when that closes the circuit.
    pub fn succeeded(&mut self, now: Duration) -> bool {
        self.failures = 0;
        self.next_try = Duration::ZERO;
        if self.is_open {
            self.is_open = false;
            self.closed_at = Some(now);
            return true;
        }
        if self.is_settled(now) {
            self.closed_at = None;
            self.pauses = 0;
        }
        false
    }

    /// It failed; `jitter` from 0 to 1 shortens the pause by up to half. True when that opens the
    /// circuit.
    pub fn failed(&mut self, now: Duration, jitter: f64) -> bool {
        if self.is_settled(now) {
            self.closed_at = None;
            self.pauses = 0;
        }
        if self.failures == 0 {
            self.first_failure = now;
        }
        self.failures = self.failures.saturating_add(1);
        let (first, longest) = self.options.pause;
        // 2^20 first pauses pass every cap in use; more would overflow the multiplication.
        let whole = first.saturating_mul(1 << self.pauses.min(20)).min(longest.max(first));
        self.pauses = self.pauses.saturating_add(1);
        self.next_try = now + whole.mul_f64(1.0 - 0.5 * jitter.clamp(0.0, 1.0));
        if self.is_open {
            return false;
        }
        let lasted = now.saturating_sub(self.first_failure) >= self.options.grace;
        let many = self.failures >= self.options.threshold.max(1);
        self.is_open = (many && lasted) || self.closed_at.is_some();
        self.is_open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn circuit() -> Circuit {
        Circuit::new(CircuitOptions {
            threshold: 2,
            grace: ms(300),
            pause: (ms(100), ms(1_000)),
            settle: ms(2_000),
        })
    }

    #[test]
    fn a_blip_does_not_open_it() {
        let mut circuit = circuit();
        assert!(!circuit.failed(ms(0), 0.0));
        assert!(!circuit.may_try(ms(99)) && circuit.may_try(ms(100)));
        assert!(!circuit.failed(ms(100), 0.0), "two failures, but within the grace");
        assert!(!circuit.succeeded(ms(300)));
        assert_eq!(circuit.state(ms(300)), CircuitState::Closed);
        assert!(!circuit.failed(ms(1_000), 0.0), "the count begins anew");
    }

    #[test]
    fn it_opens_waits_longer_and_longer_and_closes() {
        let mut circuit = circuit();
        circuit.failed(ms(0), 0.0);
        circuit.failed(ms(100), 0.0);
        assert!(circuit.failed(ms(300), 0.0));
        assert_eq!(circuit.state(ms(699)), CircuitState::Open);
        assert_eq!(circuit.state(ms(700)), CircuitState::HalfOpen);
        assert!(!circuit.failed(ms(700), 0.0), "it is open already");
        assert_eq!(circuit.wait(ms(700)), ms(800));
        circuit.failed(ms(1_500), 0.0);
        assert_eq!(circuit.wait(ms(1_500)), ms(1_000), "the cap");
        circuit.failed(ms(2_500), 1.0);
        assert_eq!(circuit.wait(ms(2_500)), ms(500), "the most jitter");
        assert!(circuit.succeeded(ms(3_000)));
        assert!(!circuit.is_open() && !circuit.is_settled(ms(3_000)));
        circuit.succeeded(ms(5_000));
        assert!(circuit.is_settled(ms(5_000)));
        circuit.failed(ms(6_000), 0.0);
        assert_eq!(circuit.wait(ms(6_000)), ms(100), "well again: the first pause");
    }

    #[test]
    fn tripped_it_is_open_and_heals_like_any() {
        let mut circuit = circuit();
        circuit.trip(ms(0), 0.0);
        assert_eq!((circuit.state(ms(99)), circuit.wait(ms(0))), (CircuitState::Open, ms(100)));
        assert!(circuit.succeeded(ms(100)));
        circuit.succeeded(ms(3_000));
        assert!(!circuit.failed(ms(4_000), 0.0), "a blip after it has settled");
    }

    #[test]
    fn one_that_comes_and_goes_opens_at_once_and_keeps_its_pauses() {
        let mut circuit = circuit();
        for at in [0, 100, 300, 700] {
            circuit.failed(ms(at), 0.0);
        }
        assert!(circuit.succeeded(ms(1_600)));
        assert!(circuit.failed(ms(1_700), 0.0), "a single failure soon after");
        assert_eq!(circuit.wait(ms(1_700)), ms(1_000));
    }
}

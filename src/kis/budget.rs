//! One budget of REST calls a key: evenly spaced, slower after a refusal.
//!
//! KIS counts over a sliding second by several gateways, so equal gaps work and bursts do not. A
//! refusal for speed (EGW00201) widens the gap by a quarter, up to four times the configured one;
//! each call that is served narrows it by a hundredth.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

const WIDEN: f64 = 1.25;
const NARROW: f64 = 0.99;
const WIDEST: f64 = 4.0;

/// The budget; shared by all calls of a client. Unlimited when no rate is set.
#[derive(Debug)]
pub struct Budget {
    gap: Option<Duration>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When the next call may go; `None` before the first.
    next: Option<Instant>,
    stretch: f64,
}

impl Budget {
    /// A budget of `calls_per_second`; `None`, zero or less means no limit.
    #[must_use]
    pub fn new(calls_per_second: Option<f64>) -> Self {
        let gap = calls_per_second
            .filter(|rate| rate.is_finite() && *rate > 0.0)
            .map(|rate| Duration::from_secs_f64(1.0 / rate.max(0.001)));
        Self { gap, state: Mutex::new(State { next: None, stretch: 1.0 }) }
    }

    /// Waits for the next free slot. Slots are given in the order of the calls.
    pub async fn take(&self) {
        let Some(gap) = self.gap else { return };
        let slot = {
            let mut state = self.state.lock();
            let now = Instant::now();
            let slot = state.next.map_or(now, |next| next.max(now));
            state.next = Some(slot + gap.mul_f64(state.stretch));
            slot
        };
        tokio::time::sleep_until(slot).await;
    }

    /// A call was served.
    pub fn served(&self) {
        let mut state = self.state.lock();
        state.stretch = (state.stretch * NARROW).max(1.0);
    }

    /// A call was refused for speed.
    pub fn refused(&self) {
        let mut state = self.state.lock();
        state.stretch = (state.stretch * WIDEN).min(WIDEST);
    }

    /// Calls that could still go within the next second; `None` without a limit.
    #[must_use]
    pub fn remaining(&self) -> Option<f64> {
        let gap = self.gap?;
        let state = self.state.lock();
        let busy = state
            .next
            .map_or(Duration::ZERO, |next| next.saturating_duration_since(Instant::now()));
        let free = Duration::from_secs(1).saturating_sub(busy);
        Some(free.as_secs_f64() / gap.mul_f64(state.stretch).as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calls_are_evenly_spaced_and_slow_down_after_a_refusal() {
        let budget = Budget::new(Some(10.0));
        let start = Instant::now();
        for _ in 0..11 {
            budget.take().await;
        }
        assert_eq!(start.elapsed().as_millis(), 1_000);
        budget.refused();
        budget.take().await;
        let before = Instant::now();
        budget.take().await;
        assert_eq!(before.elapsed().as_millis(), 125);
        assert!(budget.remaining().unwrap() < 8.0);
        for _ in 0..50 {
            budget.served();
        }
        budget.take().await;
        let before = Instant::now();
        budget.take().await;
        assert_eq!(before.elapsed().as_millis(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn no_limit_never_waits() {
        let budget = Budget::new(None);
        let start = Instant::now();
        for _ in 0..1_000 {
            budget.take().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(budget.remaining(), None);
    }
}

//! Pauses between attempts: doubling from a floor to a cap, with jitter so that many clients do
//! not come back in step.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// A growing pause. Attempts are the caller's to count where they are bounded.
#[derive(Debug, Clone)]
pub struct Backoff {
    floor: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    /// Pauses from `floor` to `cap`; a cap below the floor is the floor.
    #[must_use]
    pub fn new(floor: Duration, cap: Duration) -> Self {
        Self { floor, cap: cap.max(floor), failures: 0 }
    }

    /// The pause before the next attempt: between half of and the whole of
    /// `floor * 2^failures`, within floor and cap.
    pub fn pause(&mut self) -> Duration {
        // 2^20 floors pass every cap in use; more would overflow the multiplication.
        let whole = self.floor.saturating_mul(1 << self.failures.min(20)).min(self.cap);
        self.failures = self.failures.saturating_add(1);
        whole.mul_f64(0.5 + 0.5 * random_unit()).max(self.floor)
    }

    /// Starts again from the floor.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A number from 0 to 1. The standard library's hash keys are random for each use; jitter needs
/// no better source, and nothing that decides rests on it.
fn random_unit() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 11;
    bits as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_the_cap_and_starts_again() {
        let (floor, cap) = (Duration::from_millis(100), Duration::from_secs(3));
        let mut backoff = Backoff::new(floor, cap);
        let mut whole = floor;
        for _ in 0..40 {
            let pause = backoff.pause();
            assert!(
                pause >= floor && pause >= whole / 2 && pause <= whole,
                "{pause:?} of {whole:?}"
            );
            whole = (whole * 2).min(cap);
        }
        backoff.reset();
        assert_eq!(backoff.pause(), floor);
    }

    #[test]
    fn jitter_differs() {
        let pauses: std::collections::BTreeSet<Duration> = (0..20)
            .map(|_| {
                let mut backoff = Backoff::new(Duration::from_millis(1), Duration::from_secs(9));
                (0..8).for_each(|_| {
                    let _ = backoff.pause();
                });
                backoff.pause()
            })
            .collect();
        assert!(pauses.len() > 10);
    }
}

//! Escalation, hysteresis and cool-down: what keeps a detector from repeating itself.
//!
//! A ladder has rungs 1, 2, … (0 is "nothing"). It fires when a rung above the highest one already
//! told is reached. It forgets what it told only when the measure has receded (hysteresis, judged by
//! the caller) *and* the cool-down has passed in event time. So one episode is told at most once a
//! rung, and noise around a threshold is told once.

use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latch {
    told: u8,
    since: i64,
}

impl Latch {
    /// Whether `rung` is news at event second `now`. Does not remember it: see [`Latch::told`].
    pub fn is_news(&mut self, rung: u8, receded: bool, now: i64, cooldown_s: i64) -> bool {
        if receded && rung == 0 && self.told > 0 && now - self.since >= cooldown_s {
            self.told = 0;
        }
        rung > self.told
    }

    /// The highest rung told and not forgotten; 0 for none.
    #[must_use]
    pub const fn level(&self) -> u8 {
        self.told
    }

    /// Remembers that `rung` was told at event second `now`.
    pub fn told(&mut self, rung: u8, now: i64) {
        self.told = rung;
        self.since = now;
    }
}

/// The highest rung of an ascending ladder that `value` has reached; 0 for none.
#[must_use]
pub fn rung(value: f64, ladder: &[f64]) -> u8 {
    ladder.iter().take_while(|step| value >= **step).count() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rungs() {
        let at = |value| rung(value, &[3.0, 5.0, 8.0]);
        assert_eq!((at(2.9), at(3.0), at(7.9), at(80.0), at(f64::NAN)), (0, 1, 2, 3, 0));
    }

    #[test]
    fn escalates_at_once_and_repeats_only_after_receding_and_cooling() {
        let mut latch = Latch::default();
        assert!(latch.is_news(1, false, 0, 100));
        latch.told(1, 0);
        assert!(!latch.is_news(1, false, 500, 100), "not receded");
        assert!(
            !latch.is_news(0, true, 50, 100) && !latch.is_news(1, false, 51, 100),
            "not cooled"
        );
        assert!(latch.is_news(3, false, 52, 100), "a higher rung is news at any time");
        latch.told(3, 52);
        assert!(!latch.is_news(2, false, 53, 100), "a lower rung is not");
        assert!(!latch.is_news(0, false, 200, 100) && !latch.is_news(1, false, 201, 100));
        assert!(!latch.is_news(0, true, 202, 100));
        assert!(latch.is_news(1, false, 203, 100), "armed again");
    }
}

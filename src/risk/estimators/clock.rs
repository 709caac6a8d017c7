//! The session's activity clock: how much trading and price variation belong to a time of day.
//!
//! Korean sessions are L-shaped: the first half hour carries about a fifth of a day, the middle
//! goes slowly. Measuring variance and volume against this clock instead of seconds (business
//! time; Ané & Geman, Journal of Finance 2000) keeps an ordinary opening from looking like a
//! storm. The table is coarse on purpose: half hours, rounded by hand, one for all issues.
//!
//! Input: seconds since midnight, Korean time. Output: density (mean 1 over the session) and the
//! share of the session elapsed (0 to 1). Outside 09:00 to 15:30 the density is that of a quiet
//! half hour and the share stands still.

use crate::market::{TimeOfDay, rules};

/// Length of the regular session, seconds.
pub const SESSION_S: f64 = 23_400.0;

const SLOT_S: u32 = 1_800;
const SLOTS: usize = 13;

/// Relative density of each half hour from 09:00 on; the mean is 1.
const DENSITY: [f64; SLOTS] =
    [2.6, 1.4, 1.1, 0.95, 0.85, 0.75, 0.7, 0.7, 0.7, 0.75, 0.8, 0.85, 0.85];

const OUTSIDE: f64 = 0.7;

/// Share elapsed before each half hour; the table has one more entry for the close.
const ELAPSED: [f64; SLOTS + 1] = {
    let mut table = [0.0; SLOTS + 1];
    let mut slot = 0;
    while slot < SLOTS {
        table[slot + 1] = table[slot] + DENSITY[slot] / SLOTS as f64;
        slot += 1;
    }
    table
};

/// Density of activity at `time`, mean 1 over the session.
#[must_use]
pub fn density(time: TimeOfDay) -> f64 {
    match time.seconds().checked_sub(rules::OPEN.seconds()) {
        Some(since_open) => DENSITY.get((since_open / SLOT_S) as usize).copied().unwrap_or(OUTSIDE),
        None => OUTSIDE,
    }
}

/// Share of the session's activity that lies before `time`, 0 to 1.
#[must_use]
pub fn elapsed(time: TimeOfDay) -> f64 {
    let since_open = time.seconds().saturating_sub(rules::OPEN.seconds());
    let slot = (since_open / SLOT_S) as usize;
    if slot >= SLOTS {
        return 1.0;
    }
    let within = f64::from(since_open % SLOT_S) / f64::from(SLOT_S);
    (ELAPSED[slot] + within * DENSITY[slot] / SLOTS as f64).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: u32) -> TimeOfDay {
        TimeOfDay::from_seconds(seconds).unwrap()
    }

    #[test]
    fn a_session_is_whole() {
        assert!((DENSITY.iter().sum::<f64>() / SLOTS as f64 - 1.0).abs() < 1e-12);
        assert_eq!(elapsed(at(0)), 0.0);
        assert_eq!(elapsed(rules::OPEN), 0.0);
        assert_eq!(elapsed(rules::CLOSE), 1.0);
        assert_eq!(elapsed(at(86_399)), 1.0);
    }

    proptest! {
        #[test]
        fn elapsed_is_the_sum_of_density(seconds in 32_400u32..55_800) {
            let naive: f64 = (32_400..seconds).map(|s| density(at(s)) / SESSION_S).sum();
            prop_assert!((elapsed(at(seconds)) - naive).abs() < 1e-9);
        }
    }
}

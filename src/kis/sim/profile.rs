//! How a day's volume is spread over the hours.
//!
//! An opening auction, a continuous session that is busy at both ends (a parabola), a closing
//! auction. Everything that needs "volume at this time of day" asks here, so that the previous
//! day's volume at the same time (field 41 of a trade) and today's rebuilt one agree.

use std::sync::LazyLock;

use crate::market::rules;

use super::day::ms;

/// Share of the day's volume in the opening auction.
pub(crate) const OPENING_SHARE: f64 = 0.02;
/// Share of the day's volume in the closing auction.
pub(crate) const CLOSING_SHARE: f64 = 0.05;
/// Continuous trading is taken to begin here: the random end of the opening auction is over.
pub(crate) const CONTINUOUS_FROM_MS: u32 = ms(rules::OPEN) + 30_000;
/// Last millisecond of continuous trading, exclusive.
pub(crate) const CONTINUOUS_TO_MS: u32 = ms(rules::CLOSING_AUCTION);

/// Extra density at the ends against the middle.
const EDGE: f64 = 2.0;
const STEPS: usize = 4_096;

/// Part of the continuous volume traded in the first part `u` of continuous trading.
fn continuous_cdf(u: f64) -> f64 {
    let centred = 2.0 * u - 1.0;
    (u + EDGE * (centred * centred * centred + 1.0) / 6.0) / (1.0 + EDGE / 3.0)
}

static INVERSE: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let mut low = 0.0;
    (0..=STEPS)
        .map(|step| {
            let target = step as f64 / STEPS as f64;
            let mut high = 1.0;
            for _ in 0..50 {
                let middle = (low + high) / 2.0;
                if continuous_cdf(middle) < target { low = middle } else { high = middle }
            }
            low
        })
        .collect()
});

/// When (0 to 1 of continuous trading) the part `share` of the continuous volume is done.
pub(crate) fn when(share: f64) -> f64 {
    let position = share.clamp(0.0, 1.0) * STEPS as f64;
    let step = (position as usize).min(STEPS - 1);
    let table = &*INVERSE;
    table[step] + (table[step + 1] - table[step]) * (position - step as f64)
}

/// Part of continuous trading that has passed at `at_ms`, 0 to 1.
pub(crate) fn continuous_part(at_ms: u32) -> f64 {
    let length = f64::from(CONTINUOUS_TO_MS - CONTINUOUS_FROM_MS);
    (f64::from(at_ms.saturating_sub(CONTINUOUS_FROM_MS)) / length).min(1.0)
}

/// Time of day of the part `u` of continuous trading.
pub(crate) fn at_ms(u: f64) -> u32 {
    let length = CONTINUOUS_TO_MS - CONTINUOUS_FROM_MS;
    CONTINUOUS_FROM_MS + ((f64::from(length) * u) as u32).min(length - 1)
}

/// Part of the continuous volume done at `at_ms`.
pub(crate) fn continuous_share(at_ms: u32) -> f64 {
    continuous_cdf(continuous_part(at_ms))
}

/// Part of a day's volume that is usually done at `at_ms`, 0 to 1.
pub(crate) fn day_share(at_ms: u32) -> f64 {
    if at_ms < ms(rules::OPEN) {
        0.0
    } else if at_ms >= ms(rules::CLOSE) {
        1.0
    } else {
        OPENING_SHARE + (1.0 - OPENING_SHARE - CLOSING_SHARE) * continuous_share(at_ms)
    }
}

/// Splits `total` into integers of at least 1 in proportion to `weights`, exactly. `total` must
/// not be below the number of weights.
pub(crate) fn apportion(total: i64, weights: &[f64]) -> Vec<i64> {
    let spare = total - weights.len() as i64;
    let sum: f64 = weights.iter().sum();
    let (mut so_far, mut given) = (0.0, 0);
    let last = weights.len().saturating_sub(1);
    weights
        .iter()
        .enumerate()
        .map(|(index, weight)| {
            so_far += weight;
            let until = if index == last { spare } else { (spare as f64 * (so_far / sum)) as i64 };
            let until = until.clamp(given, spare.max(given));
            let part = 1 + until - given;
            given = until;
            part
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn busy_at_both_ends() {
        let hour = |from: u32| day_share(from + 3_600_000) - day_share(from);
        let (open, noon) = (ms(rules::OPEN), 12 * 3_600_000);
        assert!(hour(open) > 1.5 * hour(noon));
        assert_eq!(day_share(ms(rules::CLOSE)), 1.0);
    }

    proptest! {
        #[test]
        fn when_is_the_inverse(share in 0.0f64..1.0) {
            prop_assert!((continuous_cdf(when(share)) - share).abs() < 1e-4);
        }

        #[test]
        fn parts_add_up(total in 20i64..10_000_000_000, weights in prop::collection::vec(0.001f64..9.0, 1..20)) {
            let parts = apportion(total, &weights);
            prop_assert_eq!(parts.iter().sum::<i64>(), total);
            prop_assert!(parts.iter().all(|part| *part >= 1));
        }
    }
}

//! Quantiles and tail means of standardised residuals.
//!
//! Filtered historical simulation (Barone-Adesi, Giannopoulos & Vosper 1999): the tail of
//! tomorrow's return is the tail of past residuals z = r / √h, times tomorrow's √h. An issue's own
//! residuals are few, those of all issues are many but not its own; the forecast mixes both.
//!
//! Quantiles are of type 6 (Hyndman & Fan 1996): the α-quantile of n values lies at position
//! α (n + 1), linear between neighbours. The tail mean takes the ⌊αn⌋ lowest values whole and the
//! next by what is left of αn.

use serde::{Deserialize, Serialize};

/// The levels of a forecast.
pub const LEVELS: [f64; 3] = [0.01, 0.025, 0.05];

/// Points of a distribution's lower tail; of z (unit free), or of returns.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct TailPoints {
    /// 1 % quantile.
    pub v01: f64,
    /// 2.5 % quantile.
    pub v025: f64,
    /// 5 % quantile.
    pub v05: f64,
    /// Mean below the 2.5 % quantile.
    pub e025: f64,
    /// Mean below the 5 % quantile.
    pub e05: f64,
}

impl TailPoints {
    /// Of values in ascending order, `lowest` of which are at hand out of `count`; `None` when
    /// there are too few to know the 5 % points.
    #[must_use]
    pub fn of_lowest(lowest: &[f64], count: usize) -> Option<Self> {
        let enough = (0.05 * (count as f64 + 1.0)).ceil() as usize + 1;
        if count == 0 || (lowest.len() < enough && lowest.len() < count) {
            return None;
        }
        Some(Self {
            v01: quantile(lowest, count, 0.01),
            v025: quantile(lowest, count, 0.025),
            v05: quantile(lowest, count, 0.05),
            e025: tail_mean(lowest, count, 0.025),
            e05: tail_mean(lowest, count, 0.05),
        })
    }

    /// Of all values, in ascending order; `None` without any.
    #[must_use]
    pub fn of_sorted(sorted: &[f64]) -> Option<Self> {
        Self::of_lowest(sorted, sorted.len())
    }

    /// `weight` of `self` and the rest of `other`, point by point.
    #[must_use]
    pub fn mixed(self, weight: f64, other: Self) -> Self {
        let mix = |own: f64, other: f64| weight * own + (1.0 - weight) * other;
        Self {
            v01: mix(self.v01, other.v01),
            v025: mix(self.v025, other.v025),
            v05: mix(self.v05, other.v05),
            e025: mix(self.e025, other.e025),
            e05: mix(self.e05, other.e05),
        }
    }

    /// Every point times `factor`.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self {
            v01: self.v01 * factor,
            v025: self.v025 * factor,
            v05: self.v05 * factor,
            e025: self.e025 * factor,
            e05: self.e05 * factor,
        }
    }

    /// Whether the points are finite, below zero, and in the order that a tail has.
    #[must_use]
    pub fn is_tail(&self) -> bool {
        let all = [self.v01, self.v025, self.v05, self.e025, self.e05];
        all.iter().all(|point| point.is_finite() && *point < 0.0)
            && self.v01 <= self.v025
            && self.v025 <= self.v05
            && self.e025 <= self.v025
            && self.e05 <= self.v05
            && self.e025 <= self.e05
    }
}

/// The `alpha`-quantile of type 6 of `count` values whose lowest are `lowest`, ascending.
///
/// Beyond what is at hand it is the nearest value; NaN without any.
#[must_use]
pub fn quantile(lowest: &[f64], count: usize, alpha: f64) -> f64 {
    let Some(last) = lowest.len().checked_sub(1) else { return f64::NAN };
    let position = (alpha * (count as f64 + 1.0) - 1.0).max(0.0);
    let below = (position.floor() as usize).min(last);
    let share = if below == last { 0.0 } else { position - below as f64 };
    let above = (below + 1).min(last);
    lowest[below] + share * (lowest[above] - lowest[below])
}

/// The mean of the lowest `alpha` share of `count` values whose lowest are `lowest`, ascending;
/// NaN without any.
#[must_use]
pub fn tail_mean(lowest: &[f64], count: usize, alpha: f64) -> f64 {
    if lowest.is_empty() {
        return f64::NAN;
    }
    let mass = alpha * count as f64;
    let whole = (mass.floor() as usize).min(lowest.len());
    let sum: f64 = lowest[..whole].iter().sum();
    let next = lowest.get(whole).copied().unwrap_or(0.0);
    if mass > 0.0 { (sum + (mass - whole as f64) * next) / mass } else { lowest[0] }
}

/// How an issue's own residuals and the pooled ones are mixed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mixing {
    /// Weight of the own points, 0 to 1.
    pub own_weight: f64,
    /// How many of its last residuals an issue's own points are taken from.
    pub own_window: usize,
    /// Fewer own residuals than this count for nothing.
    pub own_minimum: usize,
    /// How many sessions the pooled points are taken from.
    pub pooled_sessions: usize,
    /// How fast an issue's quantiles follow its own exceedances ([`tracking`](super::tracking));
    /// 0, and in documents of earlier versions: not at all.
    #[serde(default)]
    pub coverage_step: f64,
}

impl Default for Mixing {
    fn default() -> Self {
        Self {
            own_weight: 0.25,
            own_window: 1_000,
            own_minimum: 200,
            pooled_sessions: 500,
            coverage_step: 4e-4,
        }
    }
}

impl Mixing {
    /// Half own, half pooled points and nothing that follows: the classical mixture.
    #[must_use]
    pub fn classical() -> Self {
        Self { own_weight: 0.5, coverage_step: 0.0, ..Self::default() }
    }

    /// The tail that an issue's own residuals, ascending, and the pooled tail make.
    #[must_use]
    pub fn tail(&self, own: &[f64], pooled: TailPoints) -> TailPoints {
        if own.len() < self.own_minimum {
            return pooled;
        }
        match TailPoints::of_sorted(own) {
            Some(own) => own.mixed(self.own_weight, pooled),
            None => pooled,
        }
    }
}

/// The last `capacity` values of a sequence, kept in ascending order as well.
///
/// A push costs a binary search and a move of at most `capacity` numbers.
#[derive(Debug, Clone)]
pub struct SortedWindow {
    capacity: usize,
    recent: std::collections::VecDeque<f64>,
    sorted: Vec<f64>,
}

impl SortedWindow {
    /// An empty window of `capacity` values, at least one.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            recent: std::collections::VecDeque::new(),
            sorted: Vec::new(),
        }
    }

    /// Takes `value` in, and the oldest out when there are too many. NaN is left out.
    pub fn push(&mut self, value: f64) {
        if value.is_nan() {
            return;
        }
        if self.recent.len() < self.capacity {
            let at = self.sorted.partition_point(|kept| *kept < value);
            self.sorted.insert(at, value);
        } else if let Some(oldest) = self.recent.pop_front() {
            self.replace(oldest, value);
        }
        self.recent.push_back(value);
    }

    /// Puts `value` in the place of `oldest`, moving only what lies between the two.
    fn replace(&mut self, oldest: f64, value: f64) {
        let from = self.sorted.partition_point(|kept| *kept < oldest);
        let to = self.sorted.partition_point(|kept| *kept < value);
        if to > from {
            self.sorted.copy_within(from + 1..to, from);
            self.sorted[to - 1] = value;
        } else {
            self.sorted.copy_within(to..from, to + 1);
            self.sorted[to] = value;
        }
    }

    /// The values in ascending order.
    #[must_use]
    pub fn sorted(&self) -> &[f64] {
        &self.sorted
    }

    /// Median; the mean of the middle two of an even number, NaN without any.
    #[must_use]
    pub fn median(&self) -> f64 {
        let n = self.sorted.len();
        match (n, n % 2) {
            (0, _) => f64::NAN,
            (_, 1) => self.sorted[n / 2],
            _ => f64::midpoint(self.sorted[n / 2 - 1], self.sorted[n / 2]),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn by_hand() {
        // Position 0.05 × 101 = 5.05: between the 5th and 6th value.
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert!((quantile(&values, 100, 0.05) - 5.05).abs() < 1e-12);
        assert!((quantile(&values, 100, 0.01) - 1.01).abs() < 1e-12);
        assert!((tail_mean(&values, 100, 0.05) - 3.0).abs() < 1e-12);
        // αn = 2.5: (1 + 2 + 0.5 × 3) / 2.5.
        assert!((tail_mean(&values, 100, 0.025) - 1.8).abs() < 1e-12);
        // Fewer than one value of mass: the lowest.
        assert!((tail_mean(&values[..10], 10, 0.05) - 1.0).abs() < 1e-12);
        assert!((quantile(&values[..10], 10, 0.05) - 1.0).abs() < 1e-12);
        assert!(quantile(&[], 0, 0.05).is_nan() && tail_mean(&[], 0, 0.05).is_nan());
        assert_eq!(TailPoints::of_sorted(&[]), None);
    }

    proptest! {
        #[test]
        fn the_lowest_are_enough(mut values in prop::collection::vec(-5.0..5.0_f64, 1..400)) {
            values.sort_by(f64::total_cmp);
            let all = TailPoints::of_sorted(&values).unwrap();
            let needed = (0.05 * (values.len() as f64 + 1.0)).ceil() as usize + 1;
            let lowest = &values[..needed.min(values.len())];
            prop_assert_eq!(TailPoints::of_lowest(lowest, values.len()), Some(all));
            prop_assert!(all.v01 <= all.v025 && all.v025 <= all.v05);
            prop_assert!(all.e025 <= all.v025 + 1e-12 && all.e05 <= all.v05 + 1e-12);
            if needed < values.len() {
                prop_assert_eq!(TailPoints::of_lowest(&lowest[1..], values.len()), None);
            }
        }

        #[test]
        fn the_window_is_sorted(values in prop::collection::vec(-3..3_i32, 0..60), keep in 1..9_usize) {
            let mut window = SortedWindow::new(keep);
            for (at, value) in values.iter().enumerate() {
                window.push(f64::from(*value));
                let mut naive: Vec<f64> = values[(at + 1).saturating_sub(keep)..=at]
                    .iter().map(|v| f64::from(*v)).collect();
                naive.sort_by(f64::total_cmp);
                prop_assert_eq!(window.sorted(), naive.as_slice());
            }
        }
    }
}

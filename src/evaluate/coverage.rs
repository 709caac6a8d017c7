//! Whether quantiles were exceeded as often, and as independently, as they should be.
//!
//! Kupiec (1995) tests the number of exceedances, Christoffersen (1998) also whether one follows
//! another. Both take all rows for independent. Stocks fall together, so over many issues they
//! reject almost any forecast; the clustered test, over sums by session, does not.

use serde::Serialize;
use statrs::distribution::{ChiSquared, ContinuousCDF as _};

use crate::model::series::{by_session, test_mean};

/// Rows an issue needs for tests of its own.
pub const LEAST_ROWS: u64 = 100;
/// An issue passes a test with a p-value above this.
const PASSED: f64 = 0.05;

/// Whether rows of one issue exceeded, counted by what the row before did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Rows.
    pub rows: u64,
    /// Rows that exceeded.
    pub hits: u64,
    /// Pairs of consecutive rows: by the row before, then the row after, 0 no, 1 yes.
    pub pairs: [[u64; 2]; 2],
}

impl Counts {
    /// Of the rows of one issue in their order.
    #[must_use]
    pub fn of(hits: impl Iterator<Item = bool>) -> Self {
        let mut counts = Self::default();
        let mut before: Option<bool> = None;
        for hit in hits {
            counts.rows += 1;
            counts.hits += u64::from(hit);
            if let Some(before) = before {
                counts.pairs[usize::from(before)][usize::from(hit)] += 1;
            }
            before = Some(hit);
        }
        counts
    }

    /// The sum of two.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.rows += other.rows;
        self.hits += other.hits;
        for (row, others) in self.pairs.iter_mut().zip(other.pairs) {
            row.iter_mut().zip(others).for_each(|(pair, other)| *pair += other);
        }
        self
    }

    /// Kupiec's likelihood ratio.
    #[must_use]
    pub fn unconditional(&self, level: f64) -> f64 {
        let free = self.hits as f64 / self.rows as f64;
        let likelihood = |q: f64| binomial(self.rows - self.hits, self.hits, q);
        (-2.0 * (likelihood(level) - likelihood(free))).max(0.0)
    }

    /// Christoffersen's likelihood ratio of independence.
    #[must_use]
    pub fn independence(&self) -> f64 {
        let [[n00, n01], [n10, n11]] = self.pairs;
        let share = |hits: u64, others: u64| {
            if hits + others == 0 { 0.0 } else { hits as f64 / (hits + others) as f64 }
        };
        let alike = binomial(n00 + n10, n01 + n11, share(n01 + n11, n00 + n10));
        let apart = binomial(n00, n01, share(n01, n00)) + binomial(n10, n11, share(n11, n10));
        (-2.0 * (alike - apart)).max(0.0)
    }

    /// p-value of Kupiec's test.
    #[must_use]
    pub fn kupiec_p(&self, level: f64) -> f64 {
        chi_squared_p(self.unconditional(level), 1.0)
    }

    /// p-value of Christoffersen's test of conditional coverage.
    #[must_use]
    pub fn christoffersen_p(&self, level: f64) -> f64 {
        chi_squared_p(self.unconditional(level) + self.independence(), 2.0)
    }
}

/// Log-likelihood of `hits` with probability `q` each; 0 ln 0 is 0.
fn binomial(misses: u64, hits: u64, q: f64) -> f64 {
    let part = |n: u64, q: f64| if n == 0 { 0.0 } else { n as f64 * q.ln() };
    part(misses, 1.0 - q) + part(hits, q)
}

fn chi_squared_p(statistic: f64, freedom: f64) -> f64 {
    ChiSquared::new(freedom).map_or(f64::NAN, |law| law.sf(statistic))
}

/// Coverage of one quantile over many issues.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Coverage {
    /// Share of rows below the quantile.
    pub exceed_ratio: f64,
    /// Kupiec's p-value, rows of all issues pooled.
    pub kupiec_p: f64,
    /// Christoffersen's, pooled.
    pub christoffersen_p: f64,
    /// p-value of the share by session: the one to judge by.
    pub clustered_p: f64,
    /// Share of issues with enough rows that pass Kupiec's test; `None` without such an issue.
    pub symbols_passing_kupiec: Option<f64>,
    /// The same of Christoffersen's.
    pub symbols_passing_christoffersen: Option<f64>,
}

/// Coverage of the `level`-quantile. `hits`: issue, session and whether the row was below, in the
/// order of issues and sessions.
#[must_use]
pub fn coverage(hits: &[(usize, usize, bool)], level: f64) -> Coverage {
    let issues = hits.chunk_by(|a, b| a.0 == b.0);
    let counts: Vec<Counts> = issues.map(|rows| Counts::of(rows.iter().map(|row| row.2))).collect();
    let pooled = counts.iter().fold(Counts::default(), |sum, counts| sum.with(*counts));
    let enough: Vec<&Counts> = counts.iter().filter(|counts| counts.rows >= LEAST_ROWS).collect();
    let passing = |p: &dyn Fn(&Counts) -> f64| {
        let passed = enough.iter().filter(|counts| p(counts) > PASSED).count();
        (!enough.is_empty()).then(|| passed as f64 / enough.len() as f64)
    };
    let excess = hits.iter().map(|row| (row.1, f64::from(u8::from(row.2)) - level));
    let clustered = test_mean(&by_session(excess));
    Coverage {
        exceed_ratio: pooled.hits as f64 / pooled.rows as f64,
        kupiec_p: pooled.kupiec_p(level),
        christoffersen_p: pooled.christoffersen_p(level),
        clustered_p: clustered.p,
        symbols_passing_kupiec: passing(&|counts| counts.kupiec_p(level)),
        symbols_passing_christoffersen: passing(&|counts| counts.christoffersen_p(level)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_values() {
        // scipy.special.xlogy, scipy.stats.chi2.sf; 9 exceedances of 1 % in 250 rows.
        let counts = Counts { rows: 250, hits: 9, pairs: [[230, 10], [7, 2]] };
        assert!((counts.unconditional(0.01) - KUPIEC).abs() < 1e-9);
        assert!((counts.kupiec_p(0.01) - KUPIEC_P).abs() < 1e-9);
        assert!((counts.independence() - INDEPENDENCE).abs() < 1e-9);
        let twelve = Counts { hits: 12, ..counts };
        assert!((twelve.christoffersen_p(0.01) - CHRISTOFFERSEN_P).abs() < 1e-9);
    }

    const KUPIEC: f64 = 10.229_030_632_597_755;
    const KUPIEC_P: f64 = 0.001_382_473_007_504_668_7;
    const INDEPENDENCE: f64 = 3.520_065_123_817_433_4;
    const CHRISTOFFERSEN_P: f64 = 1.277_365_906_930_457_2e-5;

    #[test]
    fn exact_coverage_passes_and_none_at_all_fails() {
        let rows = |hit: fn(usize) -> bool| -> Vec<(usize, usize, bool)> {
            (0..4)
                .flat_map(|issue| (0..400).map(move |at| (issue, at, hit(at + issue * 7))))
                .collect()
        };
        let exact = coverage(&rows(|at| at % 20 == 3), 0.05);
        assert!((exact.exceed_ratio - 0.05).abs() < 1e-12);
        assert!(exact.kupiec_p > 0.99 && exact.symbols_passing_kupiec == Some(1.0));
        let none = coverage(&rows(|_| false), 0.05);
        assert!(none.kupiec_p < 1e-9 && none.symbols_passing_kupiec == Some(0.0));
        assert_eq!(coverage(&rows(|at| at % 20 == 3)[..50], 0.05).symbols_passing_kupiec, None);
    }

    #[test]
    fn hits_in_a_row_are_not_independent() {
        let clustered = Counts::of((0..400).map(|at| (100..120).contains(&at)));
        assert!(clustered.kupiec_p(0.05) > 0.9 && clustered.christoffersen_p(0.05) < 1e-9);
    }

    proptest! {
        #[test]
        fn p_values_are_probabilities(hits in prop::collection::vec(any::<bool>(), 1..300)) {
            let counts = Counts::of(hits.iter().copied());
            prop_assert!((0.0..=1.0).contains(&counts.kupiec_p(0.025)));
            prop_assert!((0.0..=1.0).contains(&counts.christoffersen_p(0.025)));
            prop_assert_eq!(counts.pairs.iter().flatten().sum::<u64>(), counts.rows - 1);
        }
    }
}

//! Means of dependent observations: a series of one value a session, and its standard error.

use statrs::distribution::{ContinuousCDF as _, Normal, StudentsT};

/// ⌊4 (T/100)^(2/9)⌋ lags (Newey & West 1994).
#[must_use]
pub fn automatic_lags(sessions: usize) -> usize {
    (4.0 * (sessions as f64 / 100.0).powf(2.0 / 9.0)).floor() as usize
}

/// Mean of `series`; NaN without any value.
#[must_use]
pub fn mean(series: &[f64]) -> f64 {
    series.iter().sum::<f64>() / series.len() as f64
}

/// Standard error of the mean of a series whose values may depend on up to `lags` before them:
/// Bartlett weights (Newey & West 1987). NaN without any value.
#[must_use]
pub fn newey_west(series: &[f64], lags: usize) -> f64 {
    let n = series.len();
    let mean = mean(series);
    let centred: Vec<f64> = series.iter().map(|value| value - mean).collect();
    let product = |lag: usize| -> f64 {
        centred[lag..].iter().zip(&centred).map(|(a, b)| a * b).sum::<f64>() / n as f64
    };
    let lags = lags.min(n.saturating_sub(1));
    let weighted = |lag: usize| 2.0 * (1.0 - lag as f64 / (lags as f64 + 1.0)) * product(lag);
    let variance = product(0) + (1..=lags).map(weighted).sum::<f64>();
    (variance.max(0.0) / n as f64).sqrt()
}

/// A mean and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tested {
    /// Mean over sessions.
    pub mean: f64,
    /// Mean over its Newey–West error; 0 when the mean is 0, infinite when only the error is.
    pub t: f64,
    /// Two-sided p-value by the normal law.
    pub p: f64,
}

/// Whether the mean of `series`, one value a session, differs from 0.
#[must_use]
pub fn test_mean(series: &[f64]) -> Tested {
    let mean = mean(series);
    let error = newey_west(series, automatic_lags(series.len()));
    let t = if mean == 0.0 { 0.0 } else { mean / error };
    Tested { mean, t, p: normal_p(t) }
}

/// Two-sided p-value of a standard normal statistic.
#[must_use]
pub fn normal_p(t: f64) -> f64 {
    2.0 * Normal::standard().sf(t.abs())
}

/// Two-sided p-value of Student's t; NaN for a statistic that is no number.
#[must_use]
pub fn student_p(t: f64, freedom: f64) -> f64 {
    if t.is_nan() {
        return f64::NAN;
    }
    StudentsT::new(0.0, 1.0, freedom).map_or(f64::NAN, |law| 2.0 * law.sf(t.abs()))
}

/// The 97.5 % quantile of Student's t.
#[must_use]
pub fn student_quantile(freedom: f64) -> f64 {
    StudentsT::new(0.0, 1.0, freedom).map_or(f64::NAN, |law| law.inverse_cdf(0.975))
}

/// Sums of values by session, over the mean number of rows a session: the mean of this series is
/// the mean over all rows, its error allows for rows of a session that move together.
#[must_use]
pub fn by_session(rows: impl Iterator<Item = (usize, f64)>) -> Vec<f64> {
    let mut sums: std::collections::BTreeMap<usize, f64> = std::collections::BTreeMap::new();
    let mut count = 0_usize;
    for (session, value) in rows {
        *sums.entry(session).or_default() += value;
        count += 1;
    }
    let per_session = count as f64 / sums.len() as f64;
    sums.into_values().map(|sum| sum / per_session).collect()
}

/// Comparison of two methods over the same rows (Diebold & Mariano 1995, clustered by session).
///
/// `rows`: session, loss of the first, loss of the second. A negative mean is for the first.
#[must_use]
pub fn diebold_mariano(rows: impl Iterator<Item = (usize, f64, f64)>) -> Tested {
    test_mean(&by_session(rows.map(|(session, first, second)| (session, first - second))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_values() {
        // statsmodels 0.14: OLS on a constant, cov_type="HAC", maxlags=2, use_correction=False,
        // for [1, 2, 4, 7, 11]; by hand: γ0 = 13.2, γ1 = 4.8, γ2 = −2.2 (divided by 5).
        let series = [1.0, 2.0, 4.0, 7.0, 11.0];
        let centred = series.map(|v| v - 5.0);
        let gamma = |lag: usize| -> f64 {
            centred[lag..].iter().zip(&centred).map(|(a, b)| a * b).sum::<f64>() / 5.0
        };
        let by_hand = (gamma(0) + 2.0 * (2.0 / 3.0 * gamma(1) + gamma(2) / 3.0)) / 5.0;
        assert!((newey_west(&series, 2) - by_hand.sqrt()).abs() < 1e-12);
        assert_eq!(automatic_lags(241), 4);
        // scipy.stats: 2 * norm.sf(1.96), 2 * t.sf(2.0, 50), t.ppf(0.975, 50).
        assert!((normal_p(1.96) - 0.049_995_790_296_440_87).abs() < 1e-9);
        assert!((student_p(2.0, 50.0) - 0.050_947_068_737_693_24).abs() < 1e-9);
        // Nothing over nothing, as weeks without a pick give.
        assert!(student_p(f64::NAN, 50.0).is_nan());
        assert!((student_quantile(50.0) - 2.008_559_112_100_761).abs() < 1e-7);
    }

    #[test]
    fn rows_of_a_session_count_together() {
        let rows = [(4, 1.0), (4, 3.0), (9, -2.0), (9, 2.0)];
        assert_eq!(by_session(rows.into_iter()), [2.0, 0.0]);
        let dm = diebold_mariano([(0, 1.0, 2.0), (1, 1.0, 2.0), (2, 0.0, 1.0)].into_iter());
        assert!((dm.mean + 1.0).abs() < 1e-12);
        assert_eq!(diebold_mariano([(0, 1.0, 1.0), (1, 2.0, 2.0)].into_iter()).p, 1.0);
    }

    proptest! {
        #[test]
        fn without_lags_it_is_the_plain_error(series in prop::collection::vec(-9.0..9.0_f64, 2..50)) {
            let m = mean(&series);
            let n = series.len() as f64;
            let plain = (series.iter().map(|v| (v - m).powi(2)).sum::<f64>() / n / n).sqrt();
            prop_assert!((newey_west(&series, 0) - plain).abs() < 1e-12);
            prop_assert!(newey_west(&series, 5) >= 0.0);
        }
    }
}

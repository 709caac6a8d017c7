//! Statistics of daily closes: returns, volatility, correlation, beta.
//!
//! Inputs are closes in won (or index levels in hundredths), oldest first. Every result is finite;
//! what cannot be computed is `None`.

/// Smallest and largest daily log return that the ±30 % price limit allows, with a tick of slack.
/// A close beyond them is a corporate action that was not adjusted for, or bad data.
const POSSIBLE_RETURN: std::ops::RangeInclusive<f64> = -0.363_9..=0.266_2;

/// Fewest pairs of returns from which a correlation or a beta is taken.
pub const MIN_PAIRS: usize = 20;

/// Days of the run of daily log returns that leads up to the last close without a break.
///
/// A close that is not positive, or a return beyond the price limits, breaks the run: nothing
/// before it can be compared with what follows.
#[must_use]
pub fn log_returns(closes: &[i64]) -> Vec<f64> {
    let mut returns = Vec::with_capacity(closes.len());
    for pair in closes.windows(2).rev() {
        if pair[0] <= 0 || pair[1] <= 0 {
            break;
        }
        let change = (pair[1] as f64 / pair[0] as f64).ln();
        if !POSSIBLE_RETURN.contains(&change) {
            break;
        }
        returns.push(change);
    }
    returns.reverse();
    returns
}

/// Arithmetic mean; `None` of nothing.
#[must_use]
pub fn mean(values: &[f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    mean.is_finite().then_some(mean)
}

/// Median; `None` of nothing or when a value is not a number.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    if values.is_empty() || values.iter().any(|value| value.is_nan()) {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let median = if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    };
    median.is_finite().then_some(median)
}

/// Second moments of the common tail of two series: variance of each, covariance.
fn moments(a: &[f64], b: &[f64]) -> Option<(f64, f64, f64)> {
    let pairs = a.len().min(b.len());
    if pairs < MIN_PAIRS {
        return None;
    }
    let (a, b) = (&a[a.len() - pairs..], &b[b.len() - pairs..]);
    let (mean_a, mean_b) = (mean(a)?, mean(b)?);
    let mut sums = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        let (x, y) = (x - mean_a, y - mean_b);
        sums.0 += x * x;
        sums.1 += y * y;
        sums.2 += x * y;
    }
    let count = (pairs - 1) as f64;
    Some((sums.0 / count, sums.1 / count, sums.2 / count))
}

/// Pearson correlation of the last returns the two series have in common, aligned at their ends;
/// `None` with fewer than [`MIN_PAIRS`] of them or when one does not vary.
///
/// Daily closes carry no dates, so two issues of which one was halted in between are misaligned
/// by that session; the correlation then comes out too low.
#[must_use]
pub fn correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    let (variance_a, variance_b, covariance) = moments(a, b)?;
    let scale = (variance_a * variance_b).sqrt();
    let correlation = covariance / scale;
    (scale > 0.0 && correlation.is_finite()).then(|| correlation.clamp(-1.0, 1.0))
}

/// Slope of an issue's returns on the market's, and their correlation; `None` as for
/// [`correlation`].
#[must_use]
pub fn beta(issue: &[f64], market: &[f64]) -> Option<(f64, f64)> {
    let (_, variance, covariance) = moments(issue, market)?;
    let correlation = correlation(issue, market)?;
    let beta = covariance / variance;
    beta.is_finite().then_some((beta, correlation))
}

/// Probability that a standard normal variable lies below `x`: the approximation 7.1.26 of
/// Abramowitz and Stegun, absolute error below 1.5e-7.
#[must_use]
pub fn normal_cdf(x: f64) -> f64 {
    if x.is_nan() {
        return 0.5;
    }
    let z = x.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let series = t
        * (0.254_829_592
            + t * (-0.284_496_736
                + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    let erf = 1.0 - series * (-z * z).exp();
    if x >= 0.0 { f64::midpoint(1.0, erf) } else { f64::midpoint(1.0, -erf) }
}

/// `value` within `low..=high`, and `fallback` for what is not a number.
#[must_use]
pub fn bounded(value: f64, low: f64, high: f64, fallback: f64) -> f64 {
    if value.is_nan() { fallback } else { value.clamp(low, high) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_split_breaks_the_run() {
        // A 1:5 split between the third and the fourth close.
        let returns = log_returns(&[50_000, 51_000, 52_000, 10_400, 10_500, 10_300]);
        assert_eq!(returns.len(), 2);
        assert!((returns[0] - (10_500f64 / 10_400.0).ln()).abs() < 1e-12);
        assert!(log_returns(&[100, 0, 100]).is_empty());
    }

    #[test]
    fn beta_of_twice_the_market_is_two() {
        let market: Vec<f64> = (0..30).map(|day| f64::from(day * 7 % 11) / 1_000.0).collect();
        let issue: Vec<f64> = market.iter().map(|change| 2.0 * change + 0.001).collect();
        let (slope, correlation) = beta(&issue, &market).unwrap();
        assert!((slope - 2.0).abs() < 1e-9 && (correlation - 1.0).abs() < 1e-9);
        assert_eq!(beta(&issue[..19], &market), None);
        assert_eq!(correlation_of_constant(&issue), None);
    }

    fn correlation_of_constant(issue: &[f64]) -> Option<f64> {
        correlation(issue, &vec![0.0; issue.len()])
    }

    #[test]
    fn normal_probabilities() {
        for (x, probability) in [(0.0, 0.5), (-1.0, 0.158_655), (1.644_854, 0.95), (-9.0, 0.0)] {
            assert!((normal_cdf(x) - probability).abs() < 1e-6, "{x}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_ever_infinite(closes in prop::collection::vec(any::<i64>(), 0..80),
                                    others in prop::collection::vec(0i64..100_000, 0..80)) {
            let (a, b) = (log_returns(&closes), log_returns(&others));
            prop_assert!(a.iter().chain(&b).all(|change| change.is_finite()));
            if let Some(value) = correlation(&a, &b) {
                prop_assert!((-1.0..=1.0).contains(&value));
            }
            if let Some((slope, _)) = beta(&a, &b) {
                prop_assert!(slope.is_finite());
            }
        }
    }
}

//! Loss functions of a forecast, for one row.
//!
//! Returns and tail points are in per cent, variances in per cent squared; lower is better.

use super::document::Forecast;

/// E r² / E P over scored rows: P also counts moves that cancel by the close.
pub const RANGE_TO_RETURN: f64 = 0.86;
/// Floor of a range variance, as a fraction squared.
pub const VARIANCE_FLOOR: f64 = 1e-5;

/// ln h + r² / h: quasi-likelihood of a variance against a squared return (Patton 2011).
#[must_use]
pub fn qlike_return(variance: f64, r: f64) -> f64 {
    variance.ln() + r * r / variance
}

/// x/h − ln(x/h) − 1: quasi-likelihood of a variance against a measured one (Patton 2011).
#[must_use]
pub fn qlike_range(variance: f64, measured: f64) -> f64 {
    let ratio = measured / variance;
    ratio - ratio.ln() - 1.0
}

/// What a day's variance is measured by: 0.86 · max(P, 10⁻⁵), in per cent squared.
#[must_use]
pub fn measured_variance(range_variance: f64) -> f64 {
    RANGE_TO_RETURN * range_variance.max(VARIANCE_FLOOR) * 1e4
}

/// FZ0 (Patton, Ziegel & Chen 2019): the joint loss of a quantile `v` and tail mean `e`.
#[must_use]
pub fn fz0(r: f64, v: f64, e: f64, alpha: f64) -> f64 {
    let hit = if r <= v { (v - r) / (alpha * e) } else { 0.0 };
    -hit + v / e + (-e).ln() - 1.0
}

/// Pinball loss of a quantile (Koenker & Bassett 1978).
#[must_use]
pub fn pinball(r: f64, v: f64, alpha: f64) -> f64 {
    (alpha - f64::from(u8::from(r < v))) * (r - v)
}

/// A forecast in per cent, held to the bounds under which all forecasts are scored: variance at
/// least 10⁻⁶, quantiles at most −0.001, tail means not above their quantiles (as fractions).
#[must_use]
pub fn bounded(forecast: &Forecast) -> Forecast {
    let percent = |v: f64| v.min(-0.001) * 100.0;
    let (v025, v05) = (percent(forecast.v025), percent(forecast.v05));
    Forecast {
        variance: forecast.variance.max(1e-6) * 1e4,
        v01: percent(forecast.v01),
        v025,
        v05,
        e025: (forecast.e025 * 100.0).min(v025),
        e05: (forecast.e05 * 100.0).min(v05),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn by_hand() {
        // −(−2 + 4)/(0.025 · −3) + 2/3 + ln 3 − 1
        let expected = 2.0 / 0.075 + 2.0 / 3.0 + 3.0_f64.ln() - 1.0;
        assert!((fz0(-4.0, -2.0, -3.0, 0.025) - expected).abs() < 1e-12);
        assert!((fz0(1.0, -2.0, -3.0, 0.025) - (2.0 / 3.0 + 3.0_f64.ln() - 1.0)).abs() < 1e-12);
        assert!((pinball(-4.0, -2.0, 0.05) - 1.9).abs() < 1e-12);
        assert!((pinball(1.0, -2.0, 0.05) - 0.15).abs() < 1e-12);
        assert!((qlike_return(4.0, 2.0) - (4.0_f64.ln() + 1.0)).abs() < 1e-12);
        assert!(qlike_range(3.0, 3.0).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn a_right_forecast_loses_least(r in -9.0..9.0_f64, h in 0.1..50.0_f64) {
            prop_assert!(qlike_range(h, r * r + 0.1) >= 0.0);
            prop_assert!(pinball(r, -h, 0.05) >= 0.0);
            prop_assert!(fz0(r, -h, -h * 1.2, 0.05).is_finite());
        }
    }
}

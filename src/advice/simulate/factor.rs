//! A market as a whole: its returns, its variance, and its residuals.
//!
//! Where an index series is at hand, the factor is the index. Otherwise it is the mean return of
//! the market's issues, weighted by the value they trade. Its variance is an exponentially weighted
//! mean with a half-life of [`HALF_LIFE`] sessions of what was measured (the range variance of the
//! index, the squared return of a mean), times the ratio that makes residuals have unit mean
//! square: what RiskMetrics (1996) does, with ranges. It is plainer than the issues' model; the
//! issues do not depend on it but for shocks of the market and hedges.

use serde::{Deserialize, Serialize};

use crate::market::Market;

/// Sessions in which a day's weight halves.
pub const HALF_LIFE: f64 = 10.0;
/// Days before a residual is made.
const WARM_UP: usize = 22;
/// Least variance of a factor's day, fraction².
const FLOOR: f64 = 1e-6;

/// A market as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MarketFactor {
    /// Series it is, or `KOSPI issues`, `issues`.
    pub name: String,
    /// Market it stands for.
    pub market: Market,
    /// Forecast variance of the next session's return, fraction².
    pub variance: f64,
    /// Mean of its forecast variances.
    pub long_run: f64,
    /// Residuals, one a day of the world; NaN where a day is missing.
    pub residuals: Vec<f32>,
    /// Simple returns, one a day; NaN where a day is missing.
    pub returns: Vec<f32>,
}

impl MarketFactor {
    /// Of simple returns and measured variances, one a session; NaN where there is none.
    #[must_use]
    pub fn new(name: String, market: Market, returns: &[f64], measured: &[f64]) -> Self {
        let keep = 0.5_f64.powf(1.0 / HALF_LIFE);
        let (mut level, mut seen) = (f64::NAN, 0_usize);
        let mut variances = Vec::with_capacity(returns.len());
        for (&r, &measured) in returns.iter().zip(measured) {
            variances.push(if seen >= WARM_UP { level } else { f64::NAN });
            if r.is_finite() && measured.is_finite() {
                // The plain mean first, so that the first day does not rule for long.
                let weight = (1.0 - keep).max(1.0 / (seen as f64 + 1.0));
                level = if seen == 0 { measured } else { level + weight * (measured - level) };
                level = level.max(FLOOR);
                seen += 1;
            }
        }
        let (mut squares, mut count) = (0.0, 0.0);
        for (&r, &variance) in returns.iter().zip(&variances) {
            if r.is_finite() && variance.is_finite() {
                squares += r * r / variance;
                count += 1.0;
            }
        }
        let ratio = if count > 0.0 && squares > 0.0 { squares / count } else { 1.0 };
        let residuals =
            returns.iter().zip(&variances).map(|(r, v)| (r / (v * ratio).sqrt()) as f32);
        let residuals: Vec<f32> = residuals.collect();
        let known: Vec<f64> = variances.iter().copied().filter(|v| v.is_finite()).collect();
        let mean = known.iter().sum::<f64>() / known.len().max(1) as f64;
        let now = if level.is_finite() { level } else { FLOOR };
        Self {
            name,
            market,
            variance: now * ratio,
            long_run: if known.is_empty() { now * ratio } else { mean * ratio },
            residuals,
            returns: returns.iter().map(|r| *r as f32).collect(),
        }
    }
}

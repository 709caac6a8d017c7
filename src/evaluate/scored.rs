//! The rows on which forecasts are judged.

use rayon::prelude::*;

use crate::model::design::{Design, SCORED_FROM};
use crate::model::document::Forecast;
use crate::model::features::own::MINIMUM_DAYS;
use crate::model::forecasts::ForecastRow;
use crate::model::losses::{bounded, measured_variance};
use crate::model::tails::TailPoints;

/// Returns of the stand-in for a missing forecast.
const STAND_IN: usize = 250;

/// A forecast and what came of it, in per cent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoredRow {
    /// Place of the issue in the design.
    pub issue: usize,
    /// Number of the session.
    pub session: usize,
    /// Log return.
    pub r: f64,
    /// Measured variance.
    pub measured: f64,
    /// The forecast, within the bounds of scoring.
    pub forecast: Forecast,
    /// Whether it is the stand-in.
    pub replaced: bool,
}

/// Rows with their outcomes, in the order of `rows`. A missing forecast is replaced by historical
/// simulation over the last 250 clean returns, and counted.
#[must_use]
pub fn scored(design: &Design, rows: &[ForecastRow]) -> Vec<ScoredRow> {
    let score = |row: &ForecastRow| {
        let issue = &design.issues[row.issue];
        let day = issue.day(row.at);
        let valid = row.forecast.filter(Forecast::is_valid);
        let forecast = valid.or_else(|| {
            let until = row.at + MINIMUM_DAYS;
            let days = &issue.clean.rows[until.saturating_sub(STAND_IN)..until];
            historical(&days.iter().map(|day| day.r).collect::<Vec<_>>())
        })?;
        Some(ScoredRow {
            issue: row.issue,
            session: row.session,
            r: day.r * 100.0,
            measured: measured_variance(day.range),
            forecast: bounded(&forecast),
            replaced: valid.is_none(),
        })
    };
    rows.par_iter().filter_map(score).collect()
}

/// Historical simulation: quantiles, tail means and mean square of past returns.
fn historical(returns: &[f64]) -> Option<Forecast> {
    debug_assert!(returns.len() >= STAND_IN.min(SCORED_FROM));
    let mut sorted = returns.to_vec();
    sorted.sort_by(f64::total_cmp);
    let TailPoints { v01, v025, v05, e025, e05 } = TailPoints::of_sorted(&sorted)?;
    let variance = returns.iter().map(|r| r * r).sum::<f64>() / returns.len() as f64;
    Some(Forecast { variance, v01, v025, v05, e025, e05 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stand_in_by_hand() {
        let returns: Vec<f64> = (0..250).map(|at| f64::from(at) / 1e4 - 0.02).collect();
        let forecast = historical(&returns).unwrap();
        // Position 0.05 × 251 = 12.55, the first value is −0.02 in steps of 10⁻⁴.
        assert!((forecast.v05 - (-0.02 + 11.55e-4)).abs() < 1e-12);
        let squares: f64 = returns.iter().map(|r| r * r).sum();
        assert!((forecast.variance - squares / 250.0).abs() < 1e-15);
    }
}

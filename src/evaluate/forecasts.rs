//! All figures of forecasts over a window.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::coverage::{Coverage, coverage};
use super::scored::ScoredRow;
use crate::market::SessionDay;
use crate::model::losses::{fz0, pinball, qlike_range, qlike_return};
use crate::model::tails::LEVELS;

/// Exceedances of a half-year.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HalfYear {
    /// Rows.
    pub rows: u64,
    /// Share of rows below the 1 % quantile.
    pub exceed_99: f64,
    /// Share of rows below the 5 % quantile.
    pub exceed_95: f64,
    /// p-value of the former, clustered by session.
    pub clustered_p_99: f64,
    /// p-value of the latter.
    pub clustered_p_95: f64,
}

/// How good one quantile was.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct QuantileMetrics {
    /// Whether it was exceeded as often as it should be.
    #[serde(flatten)]
    pub coverage: Coverage,
    /// Its pinball loss.
    pub pinball: f64,
}

/// Figures of a window; means over its rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ForecastMetrics {
    /// The 1 % quantile.
    pub var_99: QuantileMetrics,
    /// The 2.5 % quantile.
    pub var_975: QuantileMetrics,
    /// The 5 % quantile.
    pub var_95: QuantileMetrics,
    /// By half-year, `2024H2`.
    pub half_years: BTreeMap<String, HalfYear>,
    /// Quasi-likelihood against squared returns.
    pub qlike_r2: f64,
    /// Quasi-likelihood against range variances.
    pub qlike_range: f64,
    /// Joint loss of quantile and tail mean at 2.5 %.
    pub fz0_025: f64,
    /// The same at 5 %.
    pub fz0_05: f64,
    /// Realised over forecast loss in the worst 2.5 %: above 1 the forecast is too mild.
    pub es_ratio_975: f64,
    /// Share of rows whose variance was forecast at more than twice the measured one.
    pub overestimate_ratio: f64,
    /// Share of rows whose variance was forecast at less than half the measured one.
    pub underestimate_ratio: f64,
    /// Sum of variances over sum of squared returns: above 1 there is too much risk on average.
    pub variance_ratio: f64,
    /// Rows.
    pub rows: u64,
    /// Of these, rows whose forecast was missing and replaced by historical simulation.
    pub replaced: u64,
    /// Issues.
    pub symbols: u64,
    /// First session.
    pub from: SessionDay,
    /// Last session.
    pub to: SessionDay,
}

/// Loss functions by row, in the order of [`LOSSES`].
pub const LOSSES: [&str; 7] =
    ["qlike_r2", "qlike_range", "fz0_025", "fz0_05", "pinball_01", "pinball_025", "pinball_05"];

/// The losses of a row.
#[must_use]
pub fn row_losses(row: &ScoredRow) -> [f64; 7] {
    let (f, r) = (&row.forecast, row.r);
    [
        qlike_return(f.variance, r),
        qlike_range(f.variance, row.measured),
        fz0(r, f.v025, f.e025, 0.025),
        fz0(r, f.v05, f.e05, 0.05),
        pinball(r, f.v01, 0.01),
        pinball(r, f.v025, 0.025),
        pinball(r, f.v05, 0.05),
    ]
}

/// `2024H2` of a day.
fn half_year(day: SessionDay) -> String {
    let (year, month, _) = day.ymd();
    format!("{year}H{}", if month <= 6 { 1 } else { 2 })
}

/// Figures of `rows`, which are in the order of issues and sessions; `None` without any.
/// `dates` are the sessions' days since 1970-01-01.
#[must_use]
pub fn evaluate_forecasts(rows: &[ScoredRow], dates: &[i32]) -> Option<ForecastMetrics> {
    let day = |session: usize| SessionDay::from_epoch_days(dates[session]);
    let sessions = || rows.iter().map(|row| row.session);
    let (from, to) = (day(sessions().min()?), day(sessions().max()?));
    let n = rows.len() as f64;
    let mut losses = [0.0; 7];
    for row in rows {
        losses.iter_mut().zip(row_losses(row)).for_each(|(sum, loss)| *sum += loss);
    }
    let losses = losses.map(|sum| sum / n);
    let quantiles = |row: &ScoredRow| [row.forecast.v01, row.forecast.v025, row.forecast.v05];
    let hits = |at: usize| -> Vec<(usize, usize, bool)> {
        rows.iter().map(|row| (row.issue, row.session, row.r < quantiles(row)[at])).collect()
    };
    let share = |holds: &dyn Fn(&ScoredRow) -> bool| {
        rows.iter().filter(|row| holds(row)).count() as f64 / n
    };
    let sum = |of: &dyn Fn(&ScoredRow) -> f64| rows.iter().map(of).sum::<f64>();
    let worst = |of: fn(&ScoredRow) -> f64| {
        rows.iter().filter(|row| row.r <= row.forecast.v025).map(of).sum::<f64>()
    };
    let quantile = |at: usize| QuantileMetrics {
        coverage: coverage(&hits(at), LEVELS[at]),
        pinball: losses[4 + at],
    };
    Some(ForecastMetrics {
        var_99: quantile(0),
        var_975: quantile(1),
        var_95: quantile(2),
        half_years: half_years(rows, day),
        qlike_r2: losses[0],
        qlike_range: losses[1],
        fz0_025: losses[2],
        fz0_05: losses[3],
        es_ratio_975: worst(|row| row.r) / worst(|row| row.forecast.e025),
        overestimate_ratio: share(&|row| row.forecast.variance > 2.0 * row.measured),
        underestimate_ratio: share(&|row| row.forecast.variance < row.measured / 2.0),
        variance_ratio: sum(&|row| row.forecast.variance) / sum(&|row| row.r * row.r),
        rows: rows.len() as u64,
        replaced: rows.iter().filter(|row| row.replaced).count() as u64,
        symbols: rows.iter().map(|row| row.issue).collect::<BTreeSet<_>>().len() as u64,
        from,
        to,
    })
}

fn half_years(rows: &[ScoredRow], day: impl Fn(usize) -> SessionDay) -> BTreeMap<String, HalfYear> {
    let mut halves: BTreeMap<String, Vec<&ScoredRow>> = BTreeMap::new();
    for row in rows {
        halves.entry(half_year(day(row.session))).or_default().push(row);
    }
    let judged = |rows: Vec<&ScoredRow>| {
        let of = |below: fn(&ScoredRow) -> bool, level: f64| {
            let hits: Vec<(usize, usize, bool)> =
                rows.iter().map(|row| (row.issue, row.session, below(row))).collect();
            coverage(&hits, level)
        };
        let [one, five] = [
            of(|row| row.r < row.forecast.v01, LEVELS[0]),
            of(|row| row.r < row.forecast.v05, LEVELS[2]),
        ];
        HalfYear {
            rows: rows.len() as u64,
            exceed_99: one.exceed_ratio,
            exceed_95: five.exceed_ratio,
            clustered_p_99: one.clustered_p,
            clustered_p_95: five.clustered_p,
        }
    };
    halves.into_iter().map(|(label, rows)| (label, judged(rows))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::document::Forecast;

    fn row(issue: usize, session: usize, r: f64) -> ScoredRow {
        let forecast =
            Forecast { variance: 4.0, v01: -4.0, v025: -3.5, v05: -3.0, e025: -4.5, e05: -4.0 };
        ScoredRow { issue, session, r, measured: 4.0, forecast, replaced: issue == 1 }
    }

    #[test]
    fn by_hand() {
        let rows = [row(0, 0, -5.0), row(0, 1, 1.0), row(1, 0, -3.2), row(1, 1, 2.0)];
        // 2024-06-28 and 2024-07-01.
        let metrics = evaluate_forecasts(&rows, &[19_902, 19_905]).unwrap();
        assert_eq!((metrics.rows, metrics.symbols, metrics.replaced), (4, 2, 2));
        let quantiles = [metrics.var_99, metrics.var_975, metrics.var_95];
        let ratios = quantiles.map(|quantile| quantile.coverage.exceed_ratio);
        assert_eq!(ratios, [0.25, 0.25, 0.5]);
        assert_eq!(metrics.half_years["2024H1"].exceed_99, 0.5);
        assert_eq!(metrics.half_years["2024H2"].exceed_95, 0.0);
        assert!((metrics.es_ratio_975 - 5.0 / 4.5).abs() < 1e-12);
        assert!((metrics.variance_ratio - 16.0 / (25.0 + 1.0 + 10.24 + 4.0)).abs() < 1e-12);
        assert_eq!((metrics.overestimate_ratio, metrics.underestimate_ratio), (0.0, 0.0));
        assert!(metrics.qlike_range.abs() < 1e-12);
        assert_eq!(evaluate_forecasts(&[], &[]), None);
    }

    #[test]
    fn too_wide_and_too_narrow_begin_at_twice_and_half() {
        // Forecast 4: twice the second, not the first; less than half the fifth, not the fourth.
        let measured = [2.1, 1.9, 4.0, 7.9, 8.1];
        let rows: Vec<ScoredRow> =
            (0..5).map(|at| ScoredRow { measured: measured[at], ..row(0, at, 1.0) }).collect();
        let metrics = evaluate_forecasts(&rows, &[19_902, 19_903, 19_904, 19_905, 19_906]).unwrap();
        assert_eq!((metrics.overestimate_ratio, metrics.underestimate_ratio), (0.2, 0.2));
    }

    proptest! {
        #[test]
        fn figures_are_numbers(returns in prop::collection::vec(-30.0..26.0_f64, 4..120)) {
            let rows: Vec<ScoredRow> =
                returns.iter().enumerate().map(|(at, r)| row(at / 40, at % 40, *r)).collect();
            let dates: Vec<i32> = (19_900..19_940).collect();
            let metrics = evaluate_forecasts(&rows, &dates).unwrap();
            prop_assert!(metrics.fz0_025.is_finite() && metrics.qlike_r2.is_finite());
            for quantile in [metrics.var_99, metrics.var_975, metrics.var_95] {
                prop_assert!(quantile.pinball >= 0.0);
                prop_assert!((0.0..=1.0).contains(&quantile.coverage.clustered_p));
            }
        }
    }
}

//! How good picks were: against the median of what could have been picked.
//!
//! Issues fall and rise together, so the week is the unit: each gives one figure, and the interval is
//! that of their mean. A week's outcome over 20 sessions overlaps the next three, which the Newey–West
//! error allows for (1 lag for 5 sessions, 5 for 20); it is never taken below the plain one.

use super::{HORIZONS, Week, average_ranks};
use crate::model::series::{mean, newey_west, student_p, student_quantile};

/// A mean over weeks with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Mean over weeks.
    pub mean: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Standard error: the larger of the plain and the Newey–West one.
    pub error: f64,
}

/// Judgement of picks over one horizon.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PickMetrics {
    /// Sessions from a pick to its outcome.
    pub horizon: usize,
    /// Weeks.
    pub weeks: usize,
    /// Share of picks that beat the median.
    pub hit_ratio: Estimate,
    /// Share of all eligible issues that did: just under one half.
    pub null_hit_ratio: f64,
    /// p-value of the difference of the two.
    pub hit_p: f64,
    /// Mean simple return of the picks less that of the eligible.
    pub excess_return: Estimate,
    /// Spearman correlation of score and return.
    pub rank_ic: Estimate,
    /// Simple return for each unit of score, by a regression within each week (Fama & MacBeth 1973).
    pub return_slope: Estimate,
    /// Sessions of the first and the last week judged.
    pub span: (usize, usize),
}

/// Figures of one week; `None` when nothing is known.
struct WeekResult {
    session: usize,
    hit: f64,
    null: f64,
    excess: f64,
    rank_ic: f64,
    slope: f64,
}

/// Judges the picks of weeks over both horizons. Only issues for which `wanted` holds take part.
#[must_use]
pub fn evaluate_picks(weeks: &[Week], wanted: &dyn Fn(usize) -> bool) -> Vec<PickMetrics> {
    (0..HORIZONS.len())
        .filter_map(|place| {
            let results: Vec<WeekResult> =
                weeks.iter().filter_map(|week| judge(week, place, wanted)).collect();
            summary(HORIZONS[place], &results)
        })
        .collect()
}

fn judge(week: &Week, place: usize, wanted: &dyn Fn(usize) -> bool) -> Option<WeekResult> {
    let known = week.entries.iter().filter(|entry| wanted(entry.issue));
    let known: Vec<(usize, f64, f64)> = known
        .filter_map(|entry| Some((entry.issue, entry.score?, entry.outcomes[place]?)))
        .collect();
    if known.len() < 2 {
        return None;
    }
    let mut outcomes: Vec<f64> = known.iter().map(|entry| entry.2).collect();
    let scores: Vec<f64> = known.iter().map(|entry| entry.1).collect();
    let rank_ic = spearman(&scores, &outcomes);
    let slope = slope(&scores, &outcomes.iter().map(|f| f.exp_m1()).collect::<Vec<_>>());
    outcomes.sort_by(f64::total_cmp);
    let half = outcomes.len() / 2;
    let even = outcomes.len().is_multiple_of(2);
    let median =
        if even { f64::midpoint(outcomes[half - 1], outcomes[half]) } else { outcomes[half] };
    let picks = week.picks(wanted);
    let picked: Vec<f64> =
        known.iter().filter(|entry| picks.contains(&entry.0)).map(|entry| entry.2).collect();
    if picked.is_empty() {
        return None;
    }
    let share = |values: &[f64]| {
        values.iter().filter(|f| **f > median).count() as f64 / values.len() as f64
    };
    let simple = |values: &[f64]| mean(&values.iter().map(|f| f.exp_m1()).collect::<Vec<_>>());
    Some(WeekResult {
        session: week.session,
        slope,
        hit: share(&picked),
        null: share(&outcomes),
        excess: simple(&picked) - simple(&outcomes),
        rank_ic,
    })
}

/// Least-squares slope of `y` on `x`; 0 when `x` does not vary.
fn slope(x: &[f64], y: &[f64]) -> f64 {
    let (mean_x, mean_y) = (mean(x), mean(y));
    let (cross, square) = x.iter().zip(y).fold((0.0, 0.0), |sum, (x, y)| {
        (sum.0 + (x - mean_x) * (y - mean_y), sum.1 + (x - mean_x).powi(2))
    });
    if square > 0.0 { cross / square } else { 0.0 }
}

/// Spearman's rank correlation; 0 when one side does not vary.
#[must_use]
pub fn spearman(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (average_ranks(a), average_ranks(b));
    let (mean_a, mean_b) = (mean(&a), mean(&b));
    let mut sums = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(&b) {
        let (x, y) = (x - mean_a, y - mean_b);
        sums = (sums.0 + x * y, sums.1 + x * x, sums.2 + y * y);
    }
    if sums.1 * sums.2 > 0.0 { sums.0 / (sums.1 * sums.2).sqrt() } else { 0.0 }
}

fn summary(horizon: usize, results: &[WeekResult]) -> Option<PickMetrics> {
    if results.len() < 2 {
        return None;
    }
    let series = |of: fn(&WeekResult) -> f64| results.iter().map(of).collect::<Vec<f64>>();
    let null = mean(&series(|week| week.null));
    let over_null = estimate(&series(|week| week.hit - week.null), horizon);
    let freedom = results.len() as f64 - 1.0;
    Some(PickMetrics {
        horizon,
        weeks: results.len(),
        hit_ratio: estimate(&series(|week| week.hit), horizon),
        null_hit_ratio: null,
        // Weeks that are all alike and as chance has them say nothing.
        hit_p: match over_null.mean == 0.0 {
            true => 1.0,
            false => student_p(over_null.mean / over_null.error, freedom),
        },
        excess_return: estimate(&series(|week| week.excess), horizon),
        rank_ic: estimate(&series(|week| week.rank_ic), horizon),
        return_slope: estimate(&series(|week| week.slope), horizon),
        span: (results[0].session, results[results.len() - 1].session),
    })
}

/// Mean and interval by Student's t; weeks overlap by the horizon, so the error allows for that.
fn estimate(series: &[f64], horizon: usize) -> Estimate {
    let weeks = series.len() as f64;
    let lags = if horizon <= 5 { 1 } else { 5 };
    let plain = newey_west(series, 0) * (weeks / (weeks - 1.0)).sqrt();
    let error = plain.max(newey_west(series, lags));
    let (mean, width) = (mean(series), student_quantile(weeks - 1.0) * error);
    Estimate { mean, low: mean - width, high: mean + width, error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ranker::Entry;

    fn week(session: usize, outcomes: &[f64]) -> Week {
        let entry = |(issue, f): (usize, &f64)| Entry {
            issue,
            ranks: Vec::new(),
            outcomes: [Some(*f), None],
            score: Some(issue as f64),
        };
        Week { session, entries: outcomes.iter().enumerate().map(entry).collect() }
    }

    #[test]
    fn by_hand() {
        // Twenty issues; the ten best scores are issues 10 to 19, of which nine are above the median.
        let mut good: Vec<f64> = (0..20).map(|at| f64::from(at) / 100.0).collect();
        good.swap(3, 15);
        let weeks = [week(4, &good), week(9, &good), week(14, &good)];
        let found = evaluate_picks(&weeks, &|_| true);
        assert_eq!(found.len(), 1, "nothing is known over 20 sessions");
        assert_eq!((found[0].weeks, found[0].null_hit_ratio), (3, 0.5));
        assert!((found[0].hit_ratio.mean - 0.9).abs() < 1e-12);
        assert!((found[0].excess_return.mean - 0.042).abs() < 0.001 && found[0].rank_ic.mean > 0.7);
        assert_eq!(found[0].span, (4, 14));
        assert!(evaluate_picks(&weeks[..1], &|_| true).is_empty());
    }

    #[test]
    fn the_slope_is_return_by_score() {
        // Simple returns of one per cent for each unit of score.
        let f: Vec<f64> = (0..20).map(|at| (0.01 * f64::from(at)).ln_1p()).collect();
        let found = evaluate_picks(&[week(4, &f), week(9, &f)], &|_| true);
        assert!((found[0].return_slope.mean - 0.01).abs() < 1e-12);
        assert!(found[0].return_slope.error < 1e-12);
    }

    #[test]
    fn rank_correlation() {
        // scipy.stats.spearmanr([1, 2, 3, 4, 5], [2, 1, 4, 3, 5]) = 0.8
        assert!((spearman(&[1., 2., 3., 4., 5.], &[2., 1., 4., 3., 5.]) - 0.8).abs() < 1e-12);
        assert_eq!(spearman(&[1.0, 1.0], &[1.0, 2.0]), 0.0);
    }
}

//! From variances to forecasts: the residual tails that belong to each session.

use rayon::prelude::*;

use super::design::Design;
use super::document::Forecast;
use super::tails::{Mixing, SortedWindow, TailPoints};
use super::walk::Walk;

/// A forecast and the row it is of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ForecastRow {
    /// Place of the issue in the design.
    pub issue: usize,
    /// Row of the issue, of those with terms.
    pub at: usize,
    /// Session that is forecast.
    pub session: usize,
    /// The forecast; `None` where too little was known.
    pub forecast: Option<Forecast>,
}

/// By session, the residuals of the fitted issues in ascending order.
#[derive(Debug, Clone)]
pub struct SessionResiduals(Vec<Vec<f64>>);

impl SessionResiduals {
    /// Of a walk over a design.
    #[must_use]
    pub fn new(design: &Design, walk: &Walk) -> Self {
        let mut sessions: Vec<Vec<f64>> = vec![Vec::new(); design.sessions.len()];
        for (number, issue) in design.issues.iter().enumerate().filter(|(_, issue)| issue.fitted) {
            for at in (0..issue.len()).filter(|&at| issue.may_fit(at)) {
                let z = walk.residual(design, number, at);
                if z.is_finite() {
                    sessions[issue.session(at)].push(z);
                }
            }
        }
        sessions.par_iter_mut().for_each(|values| values.sort_unstable_by(f64::total_cmp));
        Self(sessions)
    }

    /// All residuals of the sessions from `from` to before `to`, ascending.
    #[must_use]
    pub fn sorted(&self, from: usize, to: usize) -> Vec<f64> {
        let mut all: Vec<f64> = self.0[from..to].iter().flatten().copied().collect();
        all.par_sort_unstable_by(f64::total_cmp);
        all
    }

    /// Tail of the residuals of the `window` sessions before `session`; `None` without any.
    ///
    /// Only the lowest are looked at: those below a bar, which is lifted until they are enough.
    #[must_use]
    pub fn tail_before(&self, session: usize, window: usize) -> Option<TailPoints> {
        let sessions = &self.0[session.saturating_sub(window)..session];
        let count: usize = sessions.iter().map(Vec::len).sum();
        let needed = (0.05 * (count as f64 + 1.0)).ceil() as usize + 1;
        let mut bar = -1.3;
        loop {
            let below = |values: &Vec<f64>| values.partition_point(|z| *z < bar);
            let found: usize = sessions.iter().map(below).sum();
            if found < needed.min(count) {
                bar += if bar < 1e3 { 0.3 } else { f64::INFINITY };
                continue;
            }
            let mut lowest: Vec<f64> = Vec::with_capacity(found);
            for values in sessions {
                lowest.extend_from_slice(&values[..below(values)]);
            }
            lowest.sort_unstable_by(f64::total_cmp);
            return TailPoints::of_lowest(&lowest, count);
        }
    }
}

/// Forecasts of the scored rows of the sessions from `from` to before `to`, by issue and session.
/// Only issues for which `wanted` holds are forecast.
#[must_use]
pub fn forecasts(
    design: &Design,
    walk: &Walk,
    residuals: &SessionResiduals,
    mixing: &Mixing,
    (from, to): (usize, usize),
    wanted: &(dyn Fn(usize) -> bool + Sync),
) -> Vec<ForecastRow> {
    let pooled: Vec<Option<TailPoints>> = (from..to)
        .into_par_iter()
        .map(|session| residuals.tail_before(session, mixing.pooled_sessions))
        .collect();
    let of_issue = |number: usize| {
        let issue = &design.issues[number];
        let mut own = SortedWindow::new(mixing.own_window);
        let mut rows = Vec::new();
        for at in 0..issue.between(0, to).end {
            let session = issue.session(at);
            if session >= from && issue.is_scored(at) {
                let tail = pooled[session - from].map(|pooled| mixing.tail(own.sorted(), pooled));
                let variance = walk.variance[number][at];
                let forecast =
                    tail.map(|tail| Forecast::of(variance, tail)).filter(Forecast::is_valid);
                rows.push(ForecastRow { issue: number, at, session, forecast });
            }
            own.push(walk.residual(design, number, at));
        }
        rows
    };
    let issues = (0..design.issues.len()).into_par_iter().filter(|&number| wanted(number));
    issues.map(of_issue).collect::<Vec<_>>().concat()
}

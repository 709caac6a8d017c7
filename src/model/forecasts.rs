//! From variances to forecasts: the residual tails that belong to each session.

use rayon::prelude::*;

use super::design::Design;
use super::document::Forecast;
use super::features::{Origin, Variant};
use super::shape::{LevelRule, TailShape};
use super::slopes::ShapeSchedule;
use super::tails::{Mixing, TailPoints};
use super::tracking::{Tracking, each_row};
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

/// By session, values of the fitted issues' rows in ascending order.
#[derive(Debug, Clone)]
pub struct SessionResiduals(Vec<Vec<f64>>);

impl SessionResiduals {
    /// Of a value by issue and row; those that are not finite are left out.
    #[must_use]
    pub fn new(design: &Design, value: &dyn Fn(usize, usize) -> f64) -> Self {
        let mut sessions: Vec<Vec<f64>> = vec![Vec::new(); design.sessions.len()];
        for (number, issue) in design.issues.iter().enumerate().filter(|(_, issue)| issue.fitted) {
            for at in (0..issue.len()).filter(|&at| issue.may_fit(at)) {
                let z = value(number, at);
                if z.is_finite() {
                    sessions[issue.session(at)].push(z);
                }
            }
        }
        sessions.par_iter_mut().for_each(|values| values.sort_unstable_by(f64::total_cmp));
        Self(sessions)
    }

    /// How many values the `window` sessions before `session` have.
    #[must_use]
    pub fn count_before(&self, session: usize, window: usize) -> usize {
        self.0[session.saturating_sub(window)..session].iter().map(Vec::len).sum()
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
            // Sorting costs the most: of what is below the bar only as many as are needed.
            if needed < lowest.len() {
                lowest.select_nth_unstable_by(needed, f64::total_cmp);
                lowest.truncate(needed);
            }
            lowest.sort_unstable_by(f64::total_cmp);
            return TailPoints::of_lowest(&lowest, count);
        }
    }
}

/// Residuals of a walk brought to one distribution, and what they were divided by.
#[derive(Debug, Clone)]
pub struct Tails {
    /// Downside scale times level, by issue and row.
    pub scale: Vec<Vec<f64>>,
    /// Level before each session, and after the last.
    pub level: Vec<f64>,
    /// u = z / scale of the fitted issues, by session.
    pub residuals: SessionResiduals,
}

impl Tails {
    /// Of a walk whose forecasts are made at `origin`, each row with the shape of its own session.
    #[must_use]
    pub fn new(design: &Design, walk: &Walk, shapes: &ShapeSchedule, origin: Origin) -> Self {
        let dates = design.sessions.dates();
        let of_day: Vec<&TailShape> = dates.iter().map(|date| shapes.on(*date)).collect();
        let variants: Vec<Variant> =
            design.market.iter().map(|market| market.variant(origin)).collect();
        let mut scale: Vec<Vec<f64>> = design
            .issues
            .par_iter()
            .map(|issue| {
                let of = |at: usize| {
                    let session = issue.session(at);
                    let (own, market) = (&issue.terms[at], &design.market[session]);
                    of_day[session].downside(variants[session], own, market)
                };
                (0..issue.len()).map(of).collect()
            })
            .collect();
        // After the last session that of the day that follows.
        let next = dates.last().map(|date| shapes.on(*date + 1));
        let rules: Vec<Option<LevelRule>> =
            of_day.iter().copied().chain(next).map(|shape| shape.level).collect();
        let level = levels(design, &rules, &|issue, at| {
            walk.residual(design, issue, at) / scale[issue][at]
        });
        scale.par_iter_mut().zip(&design.issues).for_each(|(scale, issue)| {
            for (at, scale) in scale.iter_mut().enumerate() {
                *scale *= level[issue.session(at)];
            }
        });
        let residuals = SessionResiduals::new(design, &|issue, at| {
            walk.residual(design, issue, at) / scale[issue][at]
        });
        Self { scale, level, residuals }
    }
}

/// The slow level before each session, and after the last, each by its rule.
fn levels(
    design: &Design,
    rules: &[Option<LevelRule>],
    value: &dyn Fn(usize, usize) -> f64,
) -> Vec<f64> {
    if rules.iter().all(Option::is_none) {
        return vec![1.0; rules.len()];
    }
    let residuals = SessionResiduals::new(design, value);
    let before = |(session, rule): (usize, &Option<LevelRule>)| {
        let Some(rule) = rule else { return 1.0 };
        let enough = residuals.count_before(session, rule.sessions) >= rule.least_rows;
        let tail = residuals.tail_before(session, rule.sessions).filter(|_| enough);
        rule.level(tail.map(|tail| tail.v05))
    };
    rules.par_iter().enumerate().map(before).collect()
}

/// Forecasts of the scored rows of the sessions from `from` to before `to`, by issue and session.
/// Only issues for which `wanted` holds are forecast; `tracking` reaches to `to` at least.
#[must_use]
pub fn forecasts(
    design: &Design,
    walk: &Walk,
    tails: &Tails,
    (mixing, tracking): (&Mixing, &Tracking),
    (from, to): (usize, usize),
    wanted: &(dyn Fn(usize) -> bool + Sync),
) -> Vec<ForecastRow> {
    let of_issue = |number: usize| {
        let issue = &design.issues[number];
        let mut rows = Vec::new();
        each_row(design, walk, tails, (mixing, number, to), |at, own, _| {
            let session = issue.session(at);
            if session < from || !issue.is_scored(at) {
                return;
            }
            let tail = tracking.pooled(session).map(|pooled| {
                let tail = tracking.before(number, at).of(mixing.tail(own, pooled));
                tail.scaled(tails.scale[number][at])
            });
            let variance = walk.variance[number][at];
            let forecast = tail.map(|tail| Forecast::of(variance, tail)).filter(Forecast::is_valid);
            rows.push(ForecastRow { issue: number, at, session, forecast });
        });
        rows
    };
    let issues = (0..design.issues.len()).into_par_iter().filter(|&number| wanted(number));
    issues.map(of_issue).collect::<Vec<_>>().concat()
}

/// The tail of each issue's own residuals after its last day; those with too few are left out.
#[must_use]
pub fn own_tails(
    design: &Design,
    walk: &Walk,
    tails: &Tails,
    mixing: &Mixing,
) -> Vec<Option<TailPoints>> {
    let of_issue = |number: usize| {
        let issue = &design.issues[number];
        let from = issue.len().saturating_sub(mixing.own_window);
        let u = |at: usize| walk.residual(design, number, at) / tails.scale[number][at];
        let mut own: Vec<f64> = (from..issue.len()).map(u).filter(|u| u.is_finite()).collect();
        own.sort_unstable_by(f64::total_cmp);
        (own.len() >= mixing.own_minimum).then(|| TailPoints::of_sorted(&own)).flatten()
    };
    (0..design.issues.len()).into_par_iter().map(of_issue).collect()
}

//! What an issue's own exceedances teach about its quantiles.
//!
//! | | |
//! |---|---|
//! | what | a factor on the 1 %, 2.5 % and 5 % quantile of each issue's residuals, near 1 ([`Correction`]) |
//! | by | online quantile tracking: Gibbs & Candès (2021, adaptive conformal inference), on the logarithm of the quantile as in Angelopoulos, Candès & Tibshirani (2023) |
//! | from | whether the issue's residuals of earlier sessions lay below its corrected quantiles |
//! | not touched | the variance, and the tail means, which no exceedance measures |
//!
//! After each session of an issue, for the quantile of level α,
//! ln factor += step · (hit − mean hit of the session) / α, where hit is 1 if the residual lay
//! below. An issue that is hit more often than the others gets a wider tail, one that is not hit a
//! narrower one, and both come back by themselves: a year without a hit of the 1 % quantile takes
//! about a tenth off it, a hit adds four hundredths. The mean of the session is subtracted because
//! what all issues share is the business of the downside scale and the slow level
//! ([`shape`](super::shape)); a crash would otherwise widen every tail after the event.
//!
//! Why beside an issue's own residuals: ten of a thousand lie below the 1 % quantile, so points
//! taken from them are noisy. Exceedances come more evenly over issues when a share of that noise
//! is traded for a correction that answers to them. The step of the 2.5 % quantile is half that of
//! the others: it is judged together with its tail mean, which stays.
//!
//! Limits: an issue begins with 1 and needs a year or two to depart from it. What is not finite is
//! left out and changes nothing.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::design::Design;
use super::forecasts::Tails;
use super::tails::{LEVELS, Mixing, SortedWindow, TailPoints};
use super::walk::Walk;

/// Share of the step that each of [`LEVELS`] moves by.
const SHARES: [f64; 3] = [1.0, 0.5, 1.0];
/// The logarithm of a factor stays within this: it bounds what broken data could do. Of 740
/// issues over five years 733 stayed within 0.3, the farthest of the others at 0.498.
pub const LARGEST: f64 = 0.5;

/// Logarithms of the factors of an issue's 1 %, 2.5 % and 5 % quantile; 0 changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Correction {
    /// Of the 1 % quantile.
    pub v01: f64,
    /// Of the 2.5 % quantile.
    pub v025: f64,
    /// Of the 5 % quantile.
    pub v05: f64,
}

impl Correction {
    const fn array(self) -> [f64; 3] {
        [self.v01, self.v025, self.v05]
    }

    /// The quantiles `v` of [`LEVELS`] times their factors, kept in order about the middle one.
    fn quantiles(self, v: [f64; 3]) -> [f64; 3] {
        let [first, middle, last] = self.array();
        let middle = v[1] * middle.exp();
        [(v[0] * first.exp()).min(middle), middle, (v[2] * last.exp()).max(middle)]
    }

    /// The tail with its quantiles corrected. A tail mean stays, unless its quantile went below it.
    #[must_use]
    pub fn of(self, tail: TailPoints) -> TailPoints {
        let [v01, v025, v05] = self.quantiles([tail.v01, tail.v025, tail.v05]);
        TailPoints { v01, v025, v05, e025: tail.e025.min(v025), e05: tail.e05.min(v05) }
    }

    /// After a session with these hits (1 or 0) while the issues' mean was `usual`.
    #[must_use]
    fn after(self, step: f64, hits: [f64; 3], usual: [f64; 3]) -> Self {
        let moved = |at: usize| {
            let by = step * SHARES[at] * (hits[at] - usual[at]) / LEVELS[at];
            (self.array()[at] + by).clamp(-LARGEST, LARGEST)
        };
        Self { v01: moved(0), v025: moved(1), v05: moved(2) }
    }

    /// Whether it can be one: finite, within [`LARGEST`].
    #[must_use]
    pub fn is_possible(&self) -> bool {
        self.array().iter().all(|log| log.abs() <= LARGEST)
    }
}

/// The pooled tail before each session, and each issue's correction before each of its rows.
#[derive(Debug, Clone)]
pub struct Tracking {
    pooled: Vec<Option<TailPoints>>,
    /// By issue and row with terms; empty when nothing is tracked.
    before: Vec<Vec<Correction>>,
    /// By issue, after its last row.
    last: Vec<Correction>,
}

/// A row whose quantiles were known before it.
struct Observed {
    at: usize,
    session: usize,
    u: f64,
    quantiles: [f64; 3],
    /// Whether it counts for the session's mean.
    usual: bool,
}

impl Observed {
    fn hits(&self, correction: Correction) -> [f64; 3] {
        correction.quantiles(self.quantiles).map(|v| f64::from(u8::from(self.u < v)))
    }
}

impl Tracking {
    /// Over the sessions before `to`.
    #[must_use]
    pub fn new(design: &Design, walk: &Walk, tails: &Tails, mixing: &Mixing, to: usize) -> Self {
        let pooled: Vec<Option<TailPoints>> = (0..to)
            .into_par_iter()
            .map(|session| tails.residuals.tail_before(session, mixing.pooled_sessions))
            .collect();
        let issues = design.issues.len();
        let mut tracking =
            Self { pooled, before: Vec::new(), last: vec![Correction::default(); issues] };
        if mixing.coverage_step > 0.0 {
            let observed: Vec<Vec<Observed>> = (0..issues)
                .into_par_iter()
                .map(|number| tracking.observed(design, walk, tails, mixing, number))
                .collect();
            let rows = design.issues.iter().map(|issue| vec![Correction::default(); issue.len()]);
            tracking.before = rows.collect();
            tracking.follow(&observed, mixing.coverage_step);
        }
        tracking
    }

    /// Pooled tail before `session`; `None` without residuals.
    #[must_use]
    pub fn pooled(&self, session: usize) -> Option<TailPoints> {
        self.pooled[session]
    }

    /// Correction of issue `issue` before its row `at`.
    #[must_use]
    pub fn before(&self, issue: usize, at: usize) -> Correction {
        self.before.get(issue).map_or_else(Correction::default, |rows| rows[at])
    }

    /// Correction of each issue after its last row.
    #[must_use]
    pub fn last(&self) -> &[Correction] {
        &self.last
    }

    fn observed(
        &self,
        design: &Design,
        walk: &Walk,
        tails: &Tails,
        mixing: &Mixing,
        number: usize,
    ) -> Vec<Observed> {
        let issue = &design.issues[number];
        let mut rows = Vec::new();
        let to = self.pooled.len();
        each_row(design, walk, tails, (mixing, number, to), |at, own, u| {
            let session = issue.session(at);
            if let Some(pooled) = self.pooled[session].filter(|_| u.is_finite()) {
                let tail = mixing.tail(own, pooled);
                let quantiles = [tail.v01, tail.v025, tail.v05];
                rows.push(Observed { at, session, u, quantiles, usual: issue.may_fit(at) });
            }
        });
        rows
    }

    /// Session by session: corrections before it, then what it taught.
    fn follow(&mut self, observed: &[Vec<Observed>], step: f64) {
        let mut rows: Vec<_> = observed.iter().map(|rows| rows.iter().peekable()).collect();
        let mut today: Vec<(usize, [f64; 3])> = Vec::with_capacity(observed.len());
        for session in 0..self.pooled.len() {
            today.clear();
            let (mut sums, mut count) = ([0.0; 3], 0.0);
            for (issue, rows) in rows.iter_mut().enumerate() {
                let Some(row) = rows.next_if(|row| row.session == session) else { continue };
                let correction = self.last[issue];
                self.before[issue][row.at] = correction;
                let hits = row.hits(correction);
                if row.usual {
                    count += 1.0;
                    sums.iter_mut().zip(hits).for_each(|(sum, hit)| *sum += hit);
                }
                today.push((issue, hits));
            }
            if count > 0.0 {
                let usual = sums.map(|sum| sum / count);
                for &(issue, hits) in &today {
                    self.last[issue] = self.last[issue].after(step, hits, usual);
                }
            }
        }
    }
}

/// Calls `visit` with each row of issue `number` before session `to`, its own residuals before it in
/// ascending order, and its own residual.
pub fn each_row(
    design: &Design,
    walk: &Walk,
    tails: &Tails,
    (mixing, number, to): (&Mixing, usize, usize),
    mut visit: impl FnMut(usize, &[f64], f64),
) {
    let mut own = SortedWindow::new(mixing.own_window);
    for at in 0..design.issues[number].between(0, to).end {
        let u = walk.residual(design, number, at) / tails.scale[number][at];
        visit(at, own.sorted(), u);
        own.push(u);
    }
}

#[cfg(test)]
mod tests;

//! The same terms by a gamma likelihood.
//!
//! Least squares of ln P fits the middle of ln P; a gamma likelihood with a log link fits P
//! itself, which is least QLIKE (McCullagh & Nelder 1989; Patton 2011). Fisher scoring needs the
//! terms' second moments only once: each step is a regression of the relative residual
//! y exp(−x'b) − 1 on the terms.

use rayon::prelude::*;

use super::design::Design;
use super::features::OWN;
use super::fit::{Coefficients, System};
use super::gram::{Gram, TERMS, centred_own};
use super::losses::VARIANCE_FLOOR;
use super::train::TrainError;

/// Steps at most; from the fit of half a year before, three or four are enough.
const STEPS: usize = 12;
/// Steps end when the mean prediction and all slopes, times ten, move by less than this.
const SETTLED: f64 = 1e-7;
/// A day's variance counts up to so many times its prediction.
const LARGEST: f64 = 50.0;

/// Coefficients of ln E P on the rows of the sessions before `until`, from `start` on. `gram` and
/// `system` are the moments of the same rows.
///
/// # Errors
/// When a sum is not finite or the solver fails.
pub fn gamma(
    design: &Design,
    gram: &Gram,
    system: &System,
    until: usize,
    start: &Coefficients,
) -> Result<Coefficients, TrainError> {
    let mut fitted = start.clone();
    for _ in 0..STEPS {
        let (mean, with_terms) = relative_residuals(design, gram, until, &fitted);
        let step = system.solve(mean, &with_terms, 0.0)?;
        let slopes = fitted.own.iter_mut().chain(&mut fitted.market);
        slopes.zip(step.own.iter().chain(&step.market)).for_each(|(slope, move_)| *slope += move_);
        fitted.intercept += step.intercept;
        let largest =
            step.own.iter().chain(&step.market).fold(mean.abs(), |a, b| a.max(10.0 * b.abs()));
        if largest < SETTLED {
            break;
        }
    }
    Ok(fitted)
}

/// Mean of y exp(−x'b) − 1 over the rows, and of its products with the centred terms. Sessions
/// are summed in blocks, in parallel, and added in their order.
fn relative_residuals(
    design: &Design,
    gram: &Gram,
    until: usize,
    fitted: &Coefficients,
) -> (f64, [f64; TERMS]) {
    const BLOCK: usize = 32;
    let mut sums = vec![(0.0, [0.0; OWN]); until];
    sums.par_chunks_mut(BLOCK).enumerate().for_each(|(block, sums)| {
        let from = block * BLOCK;
        let shared: Vec<Option<f64>> = (from..from + sums.len())
            .map(|session| {
                let market = &design.market[session];
                gram.takes(market).then(|| fitted.session_part(market))
            })
            .collect();
        for issue in design.issues.iter().filter(|issue| issue.fitted) {
            for at in issue.between(from, from + sums.len()) {
                let place = issue.session(at) - from;
                if let Some(shared) = shared[place]
                    && issue.may_fit(at)
                {
                    let terms = &issue.terms[at];
                    let log = shared + fitted.own_part(terms);
                    let y = issue.day(at).range.max(VARIANCE_FLOOR);
                    let residual = (y * (-log).exp()).min(LARGEST) - 1.0;
                    let sum = &mut sums[place];
                    sum.0 += residual;
                    for (sum, x) in sum.1.iter_mut().zip(centred_own(terms)) {
                        *sum += residual * x;
                    }
                }
            }
        }
    });
    let (mut total, mut with_terms) = (0.0, [0.0; TERMS]);
    for (session, (residual, own)) in sums.iter().enumerate().filter(|(_, sum)| sum.0 != 0.0) {
        total += residual;
        let market = gram.centred(&design.market[session]).map(|term| residual * term);
        for (sum, value) in with_terms.iter_mut().zip(own.iter().chain(&market)) {
            *sum += value;
        }
    }
    (total / gram.rows, with_terms.map(|sum| sum / gram.rows))
}

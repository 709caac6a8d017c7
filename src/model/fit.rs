//! Pooled least squares from sums of products.
//!
//! The sums are brought to means and unit variances and factored by Cholesky, R = L Lᵀ. That
//! leaves a square system Lᵀ β = L⁻¹ c of the size of the terms, whose least-squares solution
//! (by `linfa-linear`, QR) is that of all rows: hundreds of thousands of rows become some thirty.
//! The solver takes NaN without a word, so everything is checked before. A term that does not
//! vary, or follows from those before it, gets the coefficient 0 and is named.

use linfa::DatasetBase;
use linfa::traits::Fit as _;
use linfa_linear::LinearRegression;
use ndarray::{Array1, Array2};

use super::features::{MARKET, MARKET_NAMES, MarketTerms, OWN, OWN_NAMES, OwnTerms};
use super::gram::{Gram, TERMS};
use super::train::TrainError;

/// Least pivot of the correlation matrix: below it a term is a combination of those before it.
/// The square root of the machine's precision: fewer than half the digits would be left.
const LEAST_PIVOT: f64 = 1.5e-8;

/// Coefficients of a linear form over the terms.
#[derive(Debug, Clone, PartialEq)]
pub struct Coefficients {
    /// Intercept.
    pub intercept: f64,
    /// Of the own terms.
    pub own: [f64; OWN],
    /// Of the market terms; 0 for those not used.
    pub market: [f64; MARKET],
    /// Terms without influence because they did not vary or followed from others.
    pub dropped: Vec<String>,
    /// Rows fitted.
    pub rows: f64,
}

impl Coefficients {
    /// The linear form without the own terms, once a session.
    #[must_use]
    pub fn session_part(&self, market: &MarketTerms) -> f64 {
        // An unused term has coefficient 0 and may be unknown.
        let terms = self.market.iter().zip(market.0).filter(|(beta, _)| **beta != 0.0);
        self.intercept + terms.map(|(beta, term)| beta * term).sum::<f64>()
    }

    /// The part of the own terms.
    #[must_use]
    pub fn own_part(&self, own: &OwnTerms) -> f64 {
        self.own.iter().zip(own.0).map(|(beta, term)| beta * term).sum()
    }
}

/// Name of term `at`.
#[must_use]
pub fn term_name(at: usize) -> &'static str {
    if at < OWN { OWN_NAMES[at] } else { MARKET_NAMES[at - OWN] }
}

/// Least squares of the target on the set's terms, with an intercept.
///
/// # Errors
/// When a sum is not finite or the solver fails. Too few rows are the caller's to refuse.
pub fn solve(gram: &Gram) -> Result<Coefficients, TrainError> {
    let n = gram.rows;
    let mean: [f64; TERMS] = std::array::from_fn(|at| gram.sums[at] / n);
    let mean_target = gram.target / n;
    let covariance = |a: usize, b: usize| gram.products[a][b] / n - mean[a] * mean[b];
    let deviation: [f64; TERMS] = std::array::from_fn(|at| covariance(at, at).max(0.0).sqrt());
    for at in (0..TERMS).filter(|&at| gram.uses(at)) {
        let with_target = gram.with_target[at] / n - mean[at] * mean_target;
        if !(deviation[at].is_finite() && with_target.is_finite()) {
            return Err(TrainError::NotFinite { term: term_name(at).to_owned() });
        }
    }
    let correlation = |a: usize, b: usize| covariance(a, b) / (deviation[a] * deviation[b]);
    let factored = factor(gram, &deviation, &correlation);
    let right: Vec<f64> = factored
        .kept
        .iter()
        .map(|&at| (gram.with_target[at] / n - mean[at] * mean_target) / deviation[at])
        .collect();
    let standard = square_system(&factored.lower, &right)?;
    let mut all = [0.0; TERMS];
    for (&at, beta) in factored.kept.iter().zip(standard) {
        all[at] = beta / deviation[at];
        if !all[at].is_finite() {
            return Err(TrainError::NotFinite { term: term_name(at).to_owned() });
        }
    }
    // Means are measured from the centres of the sums.
    let shift: f64 = (0..TERMS).map(|at| all[at] * (Gram::centre(at) + mean[at])).sum();
    Ok(Coefficients {
        intercept: Gram::target_centre() + mean_target - shift,
        own: std::array::from_fn(|at| all[at]),
        market: std::array::from_fn(|at| all[OWN + at]),
        dropped: factored.dropped.into_iter().map(|at| term_name(at).to_owned()).collect(),
        rows: n,
    })
}

struct Factored {
    kept: Vec<usize>,
    dropped: Vec<usize>,
    /// Rows of the lower factor, each as long as its place.
    lower: Vec<Vec<f64>>,
}

/// Cholesky of the correlation matrix, leaving out terms that add nothing.
fn factor(
    gram: &Gram,
    deviation: &[f64; TERMS],
    correlation: &impl Fn(usize, usize) -> f64,
) -> Factored {
    let mut factored = Factored { kept: Vec::new(), dropped: Vec::new(), lower: Vec::new() };
    for at in (0..TERMS).filter(|&at| gram.uses(at)) {
        let scale = 1.0 + (gram.sums[at] / gram.rows).abs();
        if deviation[at] <= 1e-9 * scale {
            factored.dropped.push(at);
            continue;
        }
        let mut row: Vec<f64> = Vec::with_capacity(factored.kept.len() + 1);
        for (place, &before) in factored.kept.iter().enumerate() {
            let known = &factored.lower[place];
            let dot: f64 = row.iter().zip(known).map(|(a, b)| a * b).sum();
            row.push((correlation(before, at) - dot) / known[place]);
        }
        let pivot = 1.0 - row.iter().map(|value| value * value).sum::<f64>();
        if pivot < LEAST_PIVOT {
            factored.dropped.push(at);
            continue;
        }
        row.push(pivot.sqrt());
        factored.lower.push(row);
        factored.kept.push(at);
    }
    factored
}

/// Solves L Lᵀ x = right: L⁻¹ right by substitution, then Lᵀ x = that by the regression solver.
fn square_system(lower: &[Vec<f64>], right: &[f64]) -> Result<Vec<f64>, TrainError> {
    let size = right.len();
    if size == 0 {
        return Ok(Vec::new());
    }
    let mut half: Vec<f64> = Vec::with_capacity(size);
    for (row, value) in lower.iter().zip(right) {
        let dot: f64 = row.iter().zip(&half).map(|(a, b)| a * b).sum();
        half.push((value - dot) / row[half.len()]);
    }
    let upper =
        Array2::from_shape_fn(
            (size, size),
            |(row, column)| {
                if row <= column { lower[column][row] } else { 0.0 }
            },
        );
    let system = DatasetBase::new(upper, Array1::from_vec(half));
    let fitted = LinearRegression::new()
        .with_intercept(false)
        .fit(&system)
        .map_err(|error| TrainError::Solver(error.to_string()))?;
    Ok(fitted.params().to_vec())
}

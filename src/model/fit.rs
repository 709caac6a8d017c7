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
/// A term whose standard deviation is not above this does not vary: all terms are of order one.
const LEAST_DEVIATION: f64 = 1e-7;

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

    /// `weight` of `self` and the rest of `other`: a geometric mean of the two variances.
    #[must_use]
    pub fn mixed(&self, weight: f64, other: &Self) -> Self {
        let mix = |a: f64, b: f64| weight * a + (1.0 - weight) * b;
        Self {
            intercept: mix(self.intercept, other.intercept),
            own: std::array::from_fn(|at| mix(self.own[at], other.own[at])),
            market: std::array::from_fn(|at| mix(self.market[at], other.market[at])),
            dropped: self.dropped.clone(),
            rows: self.rows,
        }
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

/// The second moments of a set of terms, factored once for any number of targets.
#[derive(Debug, Clone)]
pub struct System {
    used: Vec<usize>,
    /// Means of the used terms about their centres.
    mean: Vec<f64>,
    factored: Factored,
    rows: f64,
}

impl System {
    /// Of the rows of `gram`.
    ///
    /// # Errors
    /// When a sum is not finite. Too few rows are the caller's to refuse.
    pub fn new(gram: &Gram) -> Result<Self, TrainError> {
        let n = gram.rows;
        let used: Vec<usize> = (0..TERMS).filter(|&at| gram.uses(at)).collect();
        let mean: Vec<f64> = used.iter().map(|&at| gram.sums[at] / n).collect();
        let covariance = Array2::from_shape_fn((used.len(), used.len()), |(a, b)| {
            let (low, high) = (used[a.min(b)], used[a.max(b)]);
            gram.products[low][high] / n - mean[a] * mean[b]
        });
        let factored = Factored::new(&covariance).map_err(|error| named(&used, error))?;
        Ok(Self { used, mean, factored, rows: n })
    }

    /// Least squares of a target given by its mean and the mean of its product with each centred
    /// term; the target is measured from `centre`.
    ///
    /// # Errors
    /// When a sum is not finite or the solver fails.
    pub fn solve(
        &self,
        mean_target: f64,
        with_target: &[f64; TERMS],
        centre: f64,
    ) -> Result<Coefficients, TrainError> {
        let covariances = self.used.iter().zip(&self.mean);
        let covariances: Vec<f64> =
            covariances.map(|(&at, mean)| with_target[at] - mean * mean_target).collect();
        let slopes = self.factored.solve(&covariances).map_err(|error| named(&self.used, error))?;
        let mut all = [0.0; TERMS];
        self.used.iter().zip(&slopes).for_each(|(&at, slope)| all[at] = *slope);
        let levels = self.used.iter().zip(&self.mean);
        let levels = levels.map(|(&at, mean)| all[at] * (Gram::centre(at) + mean));
        let dropped = self.factored.dropped.iter().map(|&at| term_name(self.used[at]).to_owned());
        Ok(Coefficients {
            intercept: centre + mean_target - levels.sum::<f64>(),
            own: std::array::from_fn(|at| all[at]),
            market: std::array::from_fn(|at| all[OWN + at]),
            dropped: dropped.collect(),
            rows: self.rows,
        })
    }
}

fn named(used: &[usize], error: RegressError) -> TrainError {
    match error {
        RegressError::NotFinite(at) => {
            TrainError::NotFinite { term: term_name(used[at]).to_owned() }
        }
        RegressError::Solver(reason) => TrainError::Solver(reason),
    }
}

/// Least squares of the ln range variance on the set's terms, with an intercept.
///
/// # Errors
/// When a sum is not finite or the solver fails. Too few rows are the caller's to refuse.
pub fn solve(gram: &Gram) -> Result<(System, Coefficients), TrainError> {
    let system = System::new(gram)?;
    let with_target = gram.with_target.map(|sum| sum / gram.rows);
    let fitted = system.solve(gram.target / gram.rows, &with_target, Gram::target_centre())?;
    Ok((system, fitted))
}

/// Second moments of some terms and a target about their means.
#[derive(Debug, Clone)]
pub struct Moments {
    /// Covariances of the terms.
    pub covariance: Array2<f64>,
    /// Covariances of each term and the target.
    pub with_target: Vec<f64>,
}

/// Slopes of a regression.
#[derive(Debug, Clone, PartialEq)]
pub struct Slopes {
    /// One a term; 0 for those dropped.
    pub values: Vec<f64>,
    /// Terms that did not vary or followed from those before them.
    pub dropped: Vec<usize>,
}

/// Why there are no slopes.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RegressError {
    /// The moments of this term are not finite.
    #[error("the moments of term {0} are not finite")]
    NotFinite(usize),
    /// The solver failed.
    #[error("the solver failed: {0}")]
    Solver(String),
}

/// Least-squares slopes from moments.
///
/// # Errors
/// When a moment or a slope is not finite, or the solver fails.
pub fn regress(moments: &Moments) -> Result<Slopes, RegressError> {
    let factored = Factored::new(&moments.covariance)?;
    let values = factored.solve(&moments.with_target)?;
    Ok(Slopes { values, dropped: factored.dropped })
}

/// A correlation matrix by Cholesky, without the terms that add nothing.
#[derive(Debug, Clone)]
struct Factored {
    deviation: Vec<f64>,
    kept: Vec<usize>,
    dropped: Vec<usize>,
    /// Rows of the lower factor, each as long as its place.
    lower: Vec<Vec<f64>>,
}

impl Factored {
    fn new(covariance: &Array2<f64>) -> Result<Self, RegressError> {
        let size = covariance.nrows();
        let finite = |at: usize| covariance.row(at).iter().all(|value| value.is_finite());
        if let Some(at) = (0..size).find(|&at| !finite(at)) {
            return Err(RegressError::NotFinite(at));
        }
        let deviation: Vec<f64> =
            (0..size).map(|at| covariance[(at, at)].max(0.0).sqrt()).collect();
        let correlation = |a: usize, b: usize| covariance[(a, b)] / (deviation[a] * deviation[b]);
        let (mut kept, mut dropped) = (Vec::new(), Vec::new());
        let mut lower: Vec<Vec<f64>> = Vec::new();
        for (at, spread) in deviation.iter().enumerate() {
            if *spread <= LEAST_DEVIATION {
                dropped.push(at);
                continue;
            }
            let mut row: Vec<f64> = Vec::with_capacity(kept.len() + 1);
            for (place, &before) in kept.iter().enumerate() {
                let known: &Vec<f64> = &lower[place];
                let dot: f64 = row.iter().zip(known).map(|(a, b)| a * b).sum();
                row.push((correlation(before, at) - dot) / known[place]);
            }
            let pivot = 1.0 - row.iter().map(|value| value * value).sum::<f64>();
            if pivot < LEAST_PIVOT {
                dropped.push(at);
                continue;
            }
            row.push(pivot.sqrt());
            lower.push(row);
            kept.push(at);
        }
        Ok(Self { deviation, kept, dropped, lower })
    }

    fn solve(&self, with_target: &[f64]) -> Result<Vec<f64>, RegressError> {
        if let Some(at) = with_target.iter().position(|value| !value.is_finite()) {
            return Err(RegressError::NotFinite(at));
        }
        let right: Vec<f64> =
            self.kept.iter().map(|&at| with_target[at] / self.deviation[at]).collect();
        let standard = square_system(&self.lower, &right).map_err(RegressError::Solver)?;
        let mut values = vec![0.0; with_target.len()];
        for (&at, slope) in self.kept.iter().zip(standard) {
            values[at] = slope / self.deviation[at];
            if !values[at].is_finite() {
                return Err(RegressError::NotFinite(at));
            }
        }
        Ok(values)
    }
}

/// Solves L Lᵀ x = right: L⁻¹ right by substitution, then Lᵀ x = that by the regression solver.
fn square_system(lower: &[Vec<f64>], right: &[f64]) -> Result<Vec<f64>, String> {
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
        .map_err(|error| error.to_string())?;
    Ok(fitted.params().to_vec())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn moments(rows: &[[f64; 3]], y: &[f64]) -> Moments {
        let n = y.len() as f64;
        let mean = |of: &dyn Fn(usize) -> f64| (0..y.len()).map(of).sum::<f64>() / n;
        let x = |at: usize| mean(&|row| rows[row][at]);
        let my = mean(&|row| y[row]);
        let cross = |a: usize, b: usize| mean(&|row| (rows[row][a] - x(a)) * (rows[row][b] - x(b)));
        let with = |a: usize| mean(&|row| (rows[row][a] - x(a)) * (y[row] - my));
        Moments {
            covariance: Array2::from_shape_fn((3, 3), |(a, b)| cross(a, b)),
            with_target: (0..3).map(with).collect(),
        }
    }

    #[test]
    fn what_does_not_vary_or_follows_is_dropped() {
        let rows: Vec<[f64; 3]> =
            (0..9).map(|at| [f64::from(at), 5.0, 3.0 * f64::from(at) - 1.0]).collect();
        let y: Vec<f64> = rows.iter().map(|row| 2.0 * row[0] + 7.0).collect();
        let slopes = regress(&moments(&rows, &y)).unwrap();
        assert_eq!(slopes.dropped, [1, 2]);
        assert!((slopes.values[0] - 2.0).abs() < 1e-12 && slopes.values[1..] == [0.0, 0.0]);
        let mut broken = moments(&rows, &y);
        broken.covariance[(1, 0)] = f64::NAN;
        assert_eq!(regress(&broken), Err(RegressError::NotFinite(1)));
    }

    proptest! {
        #[test]
        fn an_exact_line_is_found(
            rows in prop::collection::vec(prop::array::uniform3(-3.0..3.0_f64), 12..40),
            beta in prop::array::uniform3(-2.0..2.0_f64),
        ) {
            let y: Vec<f64> = rows.iter()
                .map(|row| row.iter().zip(beta).map(|(x, b)| x * b).sum::<f64>() + 1.5).collect();
            let slopes = regress(&moments(&rows, &y)).unwrap();
            prop_assume!(slopes.dropped.is_empty());
            for (found, expected) in slopes.values.iter().zip(beta) {
                prop_assert!((found - expected).abs() < 1e-6);
            }
        }
    }
}

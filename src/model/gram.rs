//! Sums of products, session by session, from which every fit follows.
//!
//! The market terms of a session are the same for all issues, so a row costs the products of its
//! own terms alone; a session's sums are then completed once. A fit on all sessions before a month
//! is a running total over sessions ([`Gram`]). Rows are added in the order of sessions and issues,
//! whatever the number of threads: equal data give equal sums, to the last bit, and data after a
//! session change nothing before it.

use rayon::prelude::*;

use super::design::Design;
use super::features::{MARKET, MarketTerms, OWN, OwnTerms, TermSet};
use super::losses::VARIANCE_FLOOR;

/// Near the mean of each own term, subtracted before products are summed: digits are kept.
const OWN_CENTRE: [f64; OWN] = [
    -7.5, -7.5, -7.5, -7.5, -7.5, -7.5, 0.0, -0.4, 0.4, -0.4, 0.4, 0.3, 0.1, -0.2, 22.0, -7.5, 0.0,
];
/// The same of the market terms.
const MARKET_CENTRE: [f64; MARKET] =
    [-7.5, -7.5, 0.3, 0.0, 0.5, -9.5, -9.5, -9.5, -0.4, 0.4, 3.0, 0.7, 3.0, 0.7, -0.4, 0.0];
/// Near the mean of the target.
const TARGET_CENTRE: f64 = -7.5;
const PAIRS: usize = OWN * (OWN + 1) / 2;
/// Terms of both kinds.
pub const TERMS: usize = OWN + MARKET;

/// Target of the regression: ln of the range variance, not below ln 10⁻⁵.
#[must_use]
pub fn target(range_variance: f64) -> f64 {
    range_variance.max(VARIANCE_FLOOR).ln()
}

/// Own terms about their centres.
#[must_use]
pub fn centred_own(terms: &OwnTerms) -> [f64; OWN] {
    std::array::from_fn(|at| terms.0[at] - OWN_CENTRE[at])
}

/// Sums over the rows of one session: own terms and target alone.
#[derive(Debug, Clone, Copy)]
struct SessionSums {
    rows: f64,
    own: [f64; OWN],
    pairs: [f64; PAIRS],
    target: f64,
    own_target: [f64; OWN],
    target_square: f64,
}

impl SessionSums {
    const ZERO: Self = Self {
        rows: 0.0,
        own: [0.0; OWN],
        pairs: [0.0; PAIRS],
        target: 0.0,
        own_target: [0.0; OWN],
        target_square: 0.0,
    };

    fn add(&mut self, terms: &OwnTerms, y: f64) {
        let x = centred_own(terms);
        let y = y - TARGET_CENTRE;
        self.rows += 1.0;
        self.target += y;
        self.target_square += y * y;
        let mut pairs = self.pairs.as_mut_slice();
        for at in 0..OWN {
            self.own[at] += x[at];
            self.own_target[at] += x[at] * y;
            let (row, rest) = pairs.split_at_mut(OWN - at);
            for (pair, other) in row.iter_mut().zip(&x[at..]) {
                *pair += x[at] * other;
            }
            pairs = rest;
        }
    }
}

/// The sums of each session of a design.
#[derive(Debug, Clone)]
pub struct DailySums(Vec<SessionSums>);

impl DailySums {
    /// Over the rows that may be fitted. Sessions are taken in blocks, in parallel.
    #[must_use]
    pub fn new(design: &Design) -> Self {
        const BLOCK: usize = 32;
        let mut sums = vec![SessionSums::ZERO; design.sessions.len()];
        sums.par_chunks_mut(BLOCK).enumerate().for_each(|(block, sums)| {
            let from = block * BLOCK;
            for issue in design.issues.iter().filter(|issue| issue.fitted) {
                for at in issue.between(from, from + sums.len()) {
                    if issue.may_fit(at) {
                        let sum = &mut sums[issue.session(at) - from];
                        sum.add(&issue.terms[at], target(issue.day(at).range));
                    }
                }
            }
        });
        Self(sums)
    }

    /// Rows of one session.
    #[must_use]
    pub fn rows(&self, session: usize) -> f64 {
        self.0[session].rows
    }
}

/// Sums of products of a set of terms and the target over some sessions, about fixed centres.
#[derive(Debug, Clone)]
pub struct Gram {
    /// Its terms.
    pub set: TermSet,
    /// Rows.
    pub rows: f64,
    /// Sessions.
    pub sessions: usize,
    /// Sum of each term.
    pub sums: [f64; TERMS],
    /// Sums of products of two terms, upper triangle.
    pub products: Box<[[f64; TERMS]; TERMS]>,
    /// Sum of the target.
    pub target: f64,
    /// Sums of products of a term and the target.
    pub with_target: [f64; TERMS],
    /// Sum of the squared target.
    pub target_square: f64,
}

impl Gram {
    /// Nothing yet, of these terms.
    #[must_use]
    pub fn new(set: TermSet) -> Self {
        Self {
            set,
            rows: 0.0,
            sessions: 0,
            sums: [0.0; TERMS],
            products: Box::new([[0.0; TERMS]; TERMS]),
            target: 0.0,
            with_target: [0.0; TERMS],
            target_square: 0.0,
        }
    }

    /// Whether term `at` is one of the set.
    #[must_use]
    pub fn uses(&self, at: usize) -> bool {
        if at < OWN { self.set.own[at] } else { self.set.market[at - OWN] }
    }

    /// The number from which term `at` is measured in the sums.
    #[must_use]
    pub fn centre(at: usize) -> f64 {
        if at < OWN { OWN_CENTRE[at] } else { MARKET_CENTRE[at - OWN] }
    }

    /// The number from which the target is measured in the sums.
    #[must_use]
    pub fn target_centre() -> f64 {
        TARGET_CENTRE
    }

    /// Whether a session with these market terms is one of those summed.
    #[must_use]
    pub fn takes(&self, market: &MarketTerms) -> bool {
        self.set.market.iter().zip(market.0).all(|(used, term)| !used || term.is_finite())
    }

    /// The set's market terms about their centres; 0 for those not used.
    #[must_use]
    pub fn centred(&self, market: &MarketTerms) -> [f64; MARKET] {
        let used = &self.set.market;
        std::array::from_fn(|at| if used[at] { market.0[at] - MARKET_CENTRE[at] } else { 0.0 })
    }

    /// Adds a session, unless one of the set's market terms is unknown on it.
    pub fn add(&mut self, daily: &DailySums, session: usize, market: &MarketTerms) {
        let sums = &daily.0[session];
        if sums.rows == 0.0 || !self.takes(market) {
            return;
        }
        let market = self.centred(market);
        self.rows += sums.rows;
        self.sessions += 1;
        self.target += sums.target;
        self.target_square += sums.target_square;
        let mut pairs = sums.pairs.iter();
        for at in 0..OWN {
            self.sums[at] += sums.own[at];
            self.with_target[at] += sums.own_target[at];
            for (product, pair) in self.products[at][at..OWN].iter_mut().zip(&mut pairs) {
                *product += pair;
            }
            for (product, term) in self.products[at][OWN..].iter_mut().zip(market) {
                *product += sums.own[at] * term;
            }
        }
        for (at, term) in market.into_iter().enumerate() {
            self.sums[OWN + at] += sums.rows * term;
            self.with_target[OWN + at] += sums.target * term;
            let products = &mut self.products[OWN + at][OWN + at..];
            for (product, other) in products.iter_mut().zip(&market[at..]) {
                *product += sums.rows * term * other;
            }
        }
    }
}

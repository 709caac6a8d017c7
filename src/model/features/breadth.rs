//! Whether most issues fell or rose lately, against their own volatility.

use super::super::losses::VARIANCE_FLOOR;

/// Issues without which a session says nothing about the market.
pub const LEAST_ISSUES: usize = 50;
/// Weight of the newest session: a half-life of three.
const WEIGHT: f64 = 0.206_299_474_015_900_26;
/// Returns count up to so many standard deviations.
const LIMIT: f64 = 6.0;

/// Exponential averages over sessions of two means over issues: of the standardised return
/// (`bz`), and of its squared positive part (`bp`).
///
/// After days on which most issues fell, tomorrow's variance and its lower tail are larger than an
/// issue's own past says: a common leverage effect (Black 1976; Bollerslev, Litvinova & Tauchen
/// 2006).
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Breadth {
    /// Average standardised return.
    pub bz: f64,
    /// Average squared positive standardised return.
    pub bp: f64,
}

impl Default for Breadth {
    /// A market that neither fell nor rose.
    fn default() -> Self {
        Self { bz: 0.0, bp: 0.5 }
    }
}

/// Sums over the issues of one session.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BreadthSum {
    issues: usize,
    returns: f64,
    rises: f64,
}

impl BreadthSum {
    /// Adds an issue: its return, and the mean range variance of its last 22 clean days before.
    pub fn add(&mut self, r: f64, range22: f64) {
        let unit = (r / range22.max(VARIANCE_FLOOR).sqrt()).clamp(-LIMIT, LIMIT);
        self.issues += 1;
        self.returns += unit;
        self.rises += unit.max(0.0).powi(2);
    }
}

impl Breadth {
    /// After a session; one with fewer than [`LEAST_ISSUES`] issues changes nothing.
    #[must_use]
    pub fn after(self, session: &BreadthSum) -> Self {
        if session.issues < LEAST_ISSUES {
            return self;
        }
        let n = session.issues as f64;
        Self {
            bz: self.bz + WEIGHT * (session.returns / n - self.bz),
            bp: self.bp + WEIGHT * (session.rises / n - self.bp),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_half_life_of_three_sessions() {
        assert!((1.0 - WEIGHT - 0.5_f64.powf(1.0 / 3.0)).abs() < 1e-15);
        let mut fallen = BreadthSum::default();
        (0..60).for_each(|_| fallen.add(-0.02, 4e-4));
        let mut breadth = Breadth::default();
        (0..3).for_each(|_| breadth = breadth.after(&fallen));
        assert!((breadth.bz + 0.5).abs() < 1e-12 && (breadth.bp - 0.25).abs() < 1e-12);
        let few = BreadthSum { issues: 49, ..fallen };
        assert_eq!(breadth.after(&few), breadth);
    }

    proptest! {
        #[test]
        fn bounded(returns in prop::collection::vec(-0.4..0.3_f64, 50..90)) {
            let mut sum = BreadthSum::default();
            returns.iter().for_each(|r| sum.add(*r, 0.0));
            let breadth = Breadth::default().after(&sum);
            prop_assert!(breadth.bz.abs() <= LIMIT && (0.0..=LIMIT * LIMIT).contains(&breadth.bp));
        }
    }
}

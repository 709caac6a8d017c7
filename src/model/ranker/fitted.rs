//! The fitted ranking as it is stored with a model, and what it is worth.
//!
//! In: the weeks of a panel. Out: slopes for the traits that a daemon knows
//! ([`TraitSet::Watched`]), and for each horizon how the rankings made walking forward came out.
//! The coefficients are those of the last fit; the evidence is that of all fits before it, none of
//! which had seen the weeks it is judged by.
//!
//! **Whether there is an edge** is decided here, by one rule ([`Evidence::has_edge`]): over the weeks
//! walked through, both the return for each unit of score and the mean excess return of the ten best
//! must lie above zero with their whole 95 % interval. A hit rate above one half is not enough: picks
//! that beat the median often by little and miss the few large winners have one, and earn nothing.

use serde::{Deserialize, Serialize};

use super::picks::{Estimate, PickMetrics, evaluate_picks};
use super::{Entry, Ranking, TraitSet, Week, rank_weeks};
use crate::market::SessionDay;
use crate::model::design::Design;
use crate::model::fit::RegressError;
use crate::model::panel::Panel;

/// A mean over weeks with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// Mean.
    pub mean: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl From<Estimate> for Interval {
    fn from(Estimate { mean, low, high, .. }: Estimate) -> Self {
        Self { mean, low, high }
    }
}

/// How weekly rankings came out over one horizon, each made with what was known before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Sessions from a ranking to its outcome.
    pub horizon: usize,
    /// Weeks judged.
    pub weeks: usize,
    /// Day of the first.
    pub from: SessionDay,
    /// Day of the last.
    pub to: SessionDay,
    /// Share of the ten best that beat the median of the eligible.
    pub hit_ratio: Interval,
    /// Share of all eligible that did: just under one half.
    pub null_hit_ratio: f64,
    /// p-value of the difference of the two.
    pub hit_p: f64,
    /// Mean simple return of the ten best less that of the eligible, as a fraction, before costs.
    pub excess_return: Interval,
    /// Spearman correlation of score and return.
    pub rank_ic: Interval,
    /// Simple return over the horizon for each unit of score, as a fraction.
    pub return_slope: Interval,
}

impl Evidence {
    /// Of the figures of picks; `day` says on which day a session was.
    #[must_use]
    pub fn new(metrics: &PickMetrics, day: impl Fn(usize) -> SessionDay) -> Self {
        Self {
            horizon: metrics.horizon,
            weeks: metrics.weeks,
            from: day(metrics.span.0),
            to: day(metrics.span.1),
            hit_ratio: metrics.hit_ratio.into(),
            null_hit_ratio: metrics.null_hit_ratio,
            hit_p: metrics.hit_p,
            excess_return: metrics.excess_return.into(),
            rank_ic: metrics.rank_ic.into(),
            return_slope: metrics.return_slope.into(),
        }
    }

    /// Whether higher scores brought higher returns, and the best ten more than the others, beyond
    /// what chance brings.
    #[must_use]
    pub fn has_edge(&self) -> bool {
        self.return_slope.low > 0.0 && self.excess_return.low > 0.0
    }

    /// All figures, for a check that they are numbers.
    fn figures(&self) -> [f64; 14] {
        let of = |interval: &Interval| [interval.mean, interval.low, interval.high];
        let (hit, excess) = (of(&self.hit_ratio), of(&self.excess_return));
        let (ic, slope) = (of(&self.rank_ic), of(&self.return_slope));
        let mut all = [self.null_hit_ratio; 14];
        all[1] = self.hit_p;
        all[2..5].copy_from_slice(&hit);
        all[5..8].copy_from_slice(&excess);
        all[8..11].copy_from_slice(&ic);
        all[11..].copy_from_slice(&slope);
        all
    }
}

/// A ranking that a reader can apply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RankerModel {
    /// Which traits.
    pub set: TraitSet,
    /// Their names, in the order of the slopes.
    pub traits: Vec<String>,
    /// Expected rank of the return, −½ to ½, for each unit of a trait's rank, −½ to ½.
    pub slopes: Vec<f64>,
    /// Weeks fitted.
    pub weeks: usize,
    /// Day of the last of them.
    pub fitted_until: SessionDay,
    /// What came of rankings made walking forward, by horizon, ascending.
    pub evidence: Vec<Evidence>,
    /// The same of the ten calmest issues by variance of 66 days, in the same weeks: what is left to
    /// recommend without an edge.
    pub low_risk: Vec<Evidence>,
}

impl RankerModel {
    /// Fits the traits of `set` on all weeks of the panel; `None` when there are too few of them, or
    /// none that the walk could judge.
    ///
    /// # Errors
    /// When the sums of a fit are not finite.
    pub fn fit(
        panel: &Panel,
        design: &Design,
        set: TraitSet,
    ) -> Result<Option<Self>, RegressError> {
        let Ranking { weeks, last } = rank_weeks(panel, design, set)?;
        let judged = |weeks: &[Week]| -> Vec<Evidence> {
            let metrics = evaluate_picks(weeks, &|_| true);
            metrics.iter().map(|one| Evidence::new(one, |session| design.day(session))).collect()
        };
        let evidence = judged(&weeks);
        let low_risk = judged(&calmest(set, &weeks));
        let Some(last) = last.filter(|_| !evidence.is_empty()) else { return Ok(None) };
        Ok(Some(Self {
            set,
            traits: set.names().iter().map(|name| (*name).to_owned()).collect(),
            slopes: last.slopes,
            weeks: last.weeks,
            fitted_until: design.day(last.session),
            evidence,
            low_risk,
        }))
    }

    /// The evidence of the horizon nearest to `sessions`.
    #[must_use]
    pub fn evidence_for(&self, sessions: u32) -> Option<&Evidence> {
        nearest(&self.evidence, sessions)
    }

    /// The same of the calmest issues.
    #[must_use]
    pub fn low_risk_for(&self, sessions: u32) -> Option<&Evidence> {
        nearest(&self.low_risk, sessions)
    }

    /// What is wrong with it, if anything: the part, and how.
    #[must_use]
    pub fn problem(&self) -> Option<(&'static str, String)> {
        let names = self.set.names();
        if self.traits != names {
            return Some(("traits", format!("are {:?}, expected {names:?}", self.traits)));
        }
        if self.slopes.len() != names.len() {
            let (found, expected) = (self.slopes.len(), names.len());
            return Some(("slopes", format!("has {found} entries, expected {expected}")));
        }
        if let Some(slope) = self.slopes.iter().find(|slope| !slope.is_finite()) {
            return Some(("slopes", format!("has {slope}, expected numbers")));
        }
        if self.evidence.is_empty() {
            return Some(("evidence", "is empty".to_owned()));
        }
        let broken = |evidence: &&Evidence| {
            evidence.horizon == 0 || evidence.figures().iter().any(|figure| !figure.is_finite())
        };
        self.evidence
            .iter()
            .chain(&self.low_risk)
            .find(broken)
            .map(|evidence| ("evidence", format!("has a figure that is no number: {evidence:?}")))
    }
}

fn nearest(evidence: &[Evidence], sessions: u32) -> Option<&Evidence> {
    evidence.iter().min_by_key(|evidence| evidence.horizon.abs_diff(sessions as usize))
}

/// The weeks with the calmness of the last months in the place of the scores: minus the rank of the
/// variance over the set's long window.
#[must_use]
pub fn calmest(set: TraitSet, weeks: &[Week]) -> Vec<Week> {
    let long = set
        .names()
        .iter()
        .position(|name| name.starts_with("volatility_") && *name != "volatility_22");
    let calm = |entry: &Entry| Entry {
        score: entry.score.and(long).map(|place| -entry.ranks[place]),
        ..entry.clone()
    };
    weeks
        .iter()
        .map(|week| Week {
            session: week.session,
            entries: week.entries.iter().map(calm).collect(),
        })
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const fn around(mean: f64, width: f64) -> Interval {
        Interval { mean, low: mean - width, high: mean + width }
    }

    /// A ranking by one trait, with an edge or without.
    pub(crate) fn example(edge: bool) -> RankerModel {
        let evidence = |horizon: usize| Evidence {
            horizon,
            weeks: 100,
            from: "2022-07-01".parse().unwrap(),
            to: "2025-05-30".parse().unwrap(),
            hit_ratio: around(0.55, 0.03),
            null_hit_ratio: 0.499,
            hit_p: 0.01,
            excess_return: around(0.001, if edge { 0.0005 } else { 0.004 }),
            rank_ic: around(0.08, 0.05),
            return_slope: around(0.02, if edge { 0.01 } else { 0.03 }),
        };
        let set = TraitSet::Watched;
        let slopes = set.names().iter().map(|name| match *name {
            "momentum_3_1" => 0.2,
            "volatility_66" => -0.1,
            _ => 0.0,
        });
        RankerModel {
            set,
            traits: set.names().iter().map(|name| (*name).to_owned()).collect(),
            slopes: slopes.collect(),
            weeks: 126,
            fitted_until: "2025-05-30".parse().unwrap(),
            evidence: vec![evidence(5), evidence(20)],
            low_risk: vec![evidence(5), evidence(20)],
        }
    }

    #[test]
    fn an_edge_needs_both_intervals_above_zero() {
        let good = example(true);
        assert!(good.evidence.iter().all(Evidence::has_edge));
        assert!(!example(false).evidence.iter().any(Evidence::has_edge));
        let mut half = good.evidence[0].clone();
        half.excess_return.low = -0.0001;
        assert!(!half.has_edge(), "a hit rate and a slope alone are none");
    }

    #[test]
    fn the_calmest_score_highest() {
        let entry = |issue: usize, variance: f64, score: Option<f64>| {
            let mut ranks = vec![0.0; TraitSet::Watched.names().len()];
            ranks[5] = variance;
            Entry { issue, ranks, outcomes: [None; 2], score }
        };
        let entries =
            vec![entry(0, 0.5, Some(0.3)), entry(1, -0.5, Some(0.1)), entry(2, 0.0, None)];
        let weeks = calmest(TraitSet::Watched, &[Week { session: 3, entries }]);
        let scores: Vec<Option<f64>> = weeks[0].entries.iter().map(|entry| entry.score).collect();
        assert_eq!(scores, [Some(-0.5), Some(0.5), None]);
    }

    #[test]
    fn the_nearest_horizon_speaks() {
        let model = example(true);
        for (sessions, horizon) in [(1, 5), (5, 5), (12, 5), (13, 20), (20, 20), (250, 20)] {
            assert_eq!(model.evidence_for(sessions).unwrap().horizon, horizon, "{sessions}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let broken = |change: fn(&mut RankerModel)| {
            let mut model = example(true);
            change(&mut model);
            model.problem().unwrap().0
        };
        assert_eq!(example(true).problem(), None);
        assert_eq!(broken(|m| m.traits[0] = "luck".into()), "traits");
        assert_eq!(broken(|m| m.slopes.truncate(3)), "slopes");
        assert_eq!(broken(|m| m.slopes[1] = f64::NAN), "slopes");
        assert_eq!(broken(|m| m.evidence.clear()), "evidence");
        assert_eq!(broken(|m| m.evidence[1].rank_ic.low = f64::INFINITY), "evidence");
    }
}

//! What the model's ranking says of the issues at hand: expected return, by trait.
//!
//! In: the candidates' daily bars, as a daemon knows them (some 85 sessions), and the ranking of the
//! model in use ([`RankerModel`]). Out: for each candidate its rank in every trait, and what each
//! rank adds to the return that is expected over the horizon.
//!
//! The ranks are among the candidates that can be ranked: 66 clean days, and a median of 200 million
//! won traded a day over the known ones (a year when it was fitted). A daemon that watches few issues
//! ranks among few: with fewer than [`LEAST_RANKED`] nothing is said. The market that betas are
//! against is the mean of the same issues.
//!
//! **Expected return** is score · λ, with λ the return for each unit of score that walking forward
//! brought ([`Evidence::return_slope`]), taken from the horizon that is judged nearest to the one
//! asked for. For a shorter one it is taken in proportion, beyond it nothing is added. Without an edge
//! ([`Evidence::has_edge`]) λ is zero: the ranking is then no reason to expect anything, and none is
//! given.

use std::fmt;

use crate::advice::recommend::Candidate;
use crate::advice::statistics::median;
use crate::model::clean::DayRow;
use crate::model::design::VALUE_FLOOR;
use crate::model::live::{History, history};
use crate::model::ranker::traits::traits;
use crate::model::ranker::{Evidence, RankerModel, TraitSet, cross_section};

/// Issues among which a rank says something.
pub const LEAST_RANKED: usize = 20;

/// Why there is no expectation.
#[derive(Debug, Clone, PartialEq)]
pub enum NoEdge {
    /// The model has no ranking, or one whose traits cannot be computed here.
    NoRanking,
    /// Too few candidates can be ranked.
    TooFew {
        /// How many can.
        ranked: usize,
    },
    /// What it said in the past was not significant.
    NotSignificant(Box<Evidence>),
}

impl fmt::Display for NoEdge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRanking => f.write_str("사용 중인 모델에 종목 순위 모형이 없습니다"),
            Self::TooFew { ranked } => {
                write!(f, "순위를 매길 수 있는 종목이 {ranked}개로 {LEAST_RANKED}개보다 적습니다")
            }
            Self::NotSignificant(evidence) => write!(
                f,
                "{} ~ {} {}주 전진 검증에서 상위 10종목의 {}일 초과수익이 {:+.2}% (95% 구간 {:+.2} ~ {:+.2}%)로 0과 유의하게 다르지 않습니다",
                evidence.from,
                evidence.to,
                evidence.weeks,
                evidence.horizon,
                100.0 * evidence.excess_return.mean,
                100.0 * evidence.excess_return.low,
                100.0 * evidence.excess_return.high
            ),
        }
    }
}

/// A trait's part in what is expected of an issue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TraitPart {
    /// Name of the trait.
    pub name: &'static str,
    /// Rank among the ranked, −½ (lowest) to ½.
    pub rank: f64,
    /// Expected return over the horizon, per cent.
    pub return_pct: f64,
}

/// Expectations of candidates, in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectations {
    /// By candidate; `None` for one that cannot be ranked.
    pub issues: Vec<Option<Vec<TraitPart>>>,
    /// What came of such rankings.
    pub evidence: Evidence,
}

/// What `ranker` expects of `candidates` over `horizon` sessions.
///
/// # Errors
/// Why nothing is expected.
pub fn expectations(
    candidates: &[&Candidate],
    ranker: Option<&RankerModel>,
    horizon: u32,
) -> Result<Expectations, NoEdge> {
    let ranker =
        ranker.filter(|ranker| ranker.set == TraitSet::Watched).ok_or(NoEdge::NoRanking)?;
    let evidence = ranker.evidence_for(horizon).ok_or(NoEdge::NoRanking)?;
    let known = known_traits(candidates, ranker.set);
    let ranked = known.iter().flatten().count();
    if ranked < LEAST_RANKED {
        return Err(NoEdge::TooFew { ranked });
    }
    if !evidence.has_edge() {
        return Err(NoEdge::NotSignificant(Box::new(evidence.clone())));
    }
    let share = (f64::from(horizon) / evidence.horizon as f64).min(1.0);
    let per_score = 100.0 * evidence.return_slope.mean * share;
    let names = ranker.set.names();
    let mut ranks =
        cross_section(known.iter().flatten().map(Vec::as_slice), names.len()).into_iter();
    let parts = |ranks: Vec<f64>| -> Vec<TraitPart> {
        let of = |((name, rank), slope): ((&&'static str, f64), &f64)| TraitPart {
            name,
            rank,
            return_pct: per_score * slope * rank,
        };
        names.iter().zip(ranks).zip(&ranker.slopes).map(of).collect()
    };
    let issues = known.iter().map(|known| known.as_ref().and_then(|_| ranks.next()).map(&parts));
    Ok(Expectations { issues: issues.collect(), evidence: evidence.clone() })
}

/// Traits of the candidates that have enough days and are traded enough.
fn known_traits(candidates: &[&Candidate], set: TraitSet) -> Vec<Option<Vec<f64>>> {
    let histories: Vec<History> =
        candidates.iter().map(|candidate| history(&candidate.reference)).collect();
    let market = market_returns(&histories);
    let of = |history: &History| {
        let first = market.len() - history.len();
        let clean = history.iter().zip(&market[first..]);
        let (rows, market): (Vec<DayRow>, Vec<f64>) =
            clean.filter_map(|(row, market)| Some(((*row)?, *market))).unzip();
        let values: Vec<f64> = rows.iter().map(|row| row.value).collect();
        let liquid = median(&values).is_some_and(|value| value >= VALUE_FLOOR);
        let found = if liquid { traits(set, &rows, &market) } else { None };
        found.filter(|traits| traits.iter().all(|value| value.is_finite()))
    };
    histories.iter().map(of).collect()
}

/// Mean return of the issues that were clean, by session; the histories end with the same one.
fn market_returns(histories: &[History]) -> Vec<f64> {
    let sessions = histories.iter().map(Vec::len).max().unwrap_or(0);
    let mut sums = vec![(0.0, 0.0_f64); sessions];
    for history in histories {
        let sums = &mut sums[sessions - history.len()..];
        for (sum, row) in sums.iter_mut().zip(history) {
            if let Some(row) = row {
                *sum = (sum.0 + row.r, sum.1 + 1.0);
            }
        }
    }
    sums.into_iter().map(|(sum, count)| if count > 0.0 { sum / count } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice::recommend::tests::candidate;
    use crate::model::ranker::fitted::tests::example;

    fn crowd(count: usize) -> Vec<Candidate> {
        (0..count)
            .map(|at| candidate(&format!("{at:06}"), 3 + at % 7, 0.0001 * at as f64))
            .collect()
    }

    #[test]
    fn expected_returns_follow_ranks_and_slopes() {
        let candidates = crowd(24);
        let borrowed: Vec<&Candidate> = candidates.iter().collect();
        let found = expectations(&borrowed, Some(&example(true)), 20).unwrap();
        let sum = |at: usize| -> f64 {
            found.issues[at].as_ref().unwrap().iter().map(|part| part.return_pct).sum()
        };
        for (at, issue) in found.issues.iter().enumerate() {
            let momentum = issue.as_ref().unwrap()[0];
            assert_eq!(momentum.name, "momentum_3_1");
            // λ = 0.02 and a slope of 0.2: 0.4 % for each unit of rank.
            assert!((momentum.return_pct - 0.4 * momentum.rank).abs() < 1e-12, "{at}");
        }
        let total: f64 = (0..24).map(sum).sum();
        assert!(total.abs() < 1e-9, "ranks are centred: {total}");
        // A shorter horizon counts in proportion, a longer one adds nothing.
        let of = |horizon: u32| {
            let found = expectations(&borrowed, Some(&example(true)), horizon).unwrap();
            found.issues[3].as_ref().unwrap()[0].return_pct
        };
        assert!((of(250) - of(20)).abs() < 1e-15 && (of(15) - 0.75 * of(20)).abs() < 1e-12);
    }

    #[test]
    fn without_an_edge_nothing_is_expected() {
        let candidates = crowd(24);
        let borrowed: Vec<&Candidate> = candidates.iter().collect();
        assert_eq!(expectations(&borrowed, None, 20), Err(NoEdge::NoRanking));
        let found = expectations(&borrowed[..19], Some(&example(true)), 20);
        assert_eq!(found, Err(NoEdge::TooFew { ranked: 19 }));
        let Err(NoEdge::NotSignificant(evidence)) =
            expectations(&borrowed, Some(&example(false)), 5)
        else {
            panic!("an edge where there is none")
        };
        let text = NoEdge::NotSignificant(evidence).to_string();
        assert!(text.contains("100주") && text.contains("+0.10%"), "{text}");
    }

    #[test]
    fn short_and_thin_histories_are_left_out() {
        let mut candidates = crowd(24);
        let reference = std::sync::Arc::make_mut(&mut candidates[3].reference);
        reference.volumes.iter_mut().for_each(|volume| *volume = 10);
        let reference = std::sync::Arc::make_mut(&mut candidates[4].reference);
        for list in [
            &mut reference.opens,
            &mut reference.highs,
            &mut reference.lows,
            &mut reference.closes,
            &mut reference.volumes,
        ] {
            list.drain(..30);
        }
        let borrowed: Vec<&Candidate> = candidates.iter().collect();
        let found = expectations(&borrowed, Some(&example(true)), 20).unwrap();
        let missing: Vec<usize> = (0..24).filter(|&at| found.issues[at].is_none()).collect();
        assert_eq!(missing, [3, 4]);
    }
}

//! Which issues may do better than the others: a weekly ranking.
//!
//! Each ISO week's last session T, the issues that were traded enough are ranked by traits of
//! their past ([`mod@traits`]); a pooled linear model of the ranks says how high an issue's return over
//! the following 5 and 20 sessions will rank. Walking forward it is fitted each January and July, on
//! weeks whose outcomes were known by then, and [`picks`] judges what it said. The model document
//! keeps the last fit with that judgement ([`fitted`]). A ranking is no promise.

pub mod fitted;
pub mod outcomes;
pub mod picks;
pub mod traits;

use ndarray::Array2;
use rayon::prelude::*;

use super::clean::Sessions;
use super::design::Design;
use super::fit::{Moments, RegressError, regress};
use super::panel::Panel;
use crate::market::SessionDay;
pub use fitted::{Evidence, Interval, RankerModel};
pub use outcomes::{HORIZONS, outcome};
pub use traits::TraitSet;
use traits::{eligible, traits};

/// Picks of a week.
pub const PICKS: usize = 10;
/// Weeks with known outcomes before the first fit.
const LEAST_WEEKS: usize = 26;

/// One issue in one week.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Place of the issue in the panel.
    pub issue: usize,
    /// Ranks of its traits among the eligible, −½ to ½.
    pub ranks: Vec<f64>,
    /// Log returns over [`HORIZONS`]; `None` where they are not known or not defined.
    pub outcomes: [Option<f64>; 2],
    /// Expected rank of the return; `None` before the first fit.
    pub score: Option<f64>,
}

/// The eligible issues of one week.
#[derive(Debug, Clone, PartialEq)]
pub struct Week {
    /// Its last session.
    pub session: usize,
    /// Eligible issues in the panel's order.
    pub entries: Vec<Entry>,
}

impl Week {
    /// The issues with the highest scores among those `wanted`, best first.
    #[must_use]
    pub fn picks(&self, wanted: &dyn Fn(usize) -> bool) -> Vec<usize> {
        let scored = self.entries.iter().filter(|entry| wanted(entry.issue));
        let mut scored: Vec<(f64, usize)> =
            scored.filter_map(|entry| entry.score.map(|score| (score, entry.issue))).collect();
        // Equal scores in the panel's order.
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        scored.into_iter().take(PICKS).map(|(_, issue)| issue).collect()
    }
}

/// Last sessions of each ISO week of the data.
#[must_use]
pub fn week_ends(sessions: &Sessions) -> Vec<usize> {
    // Day 0, 1970-01-01, was a Thursday: weeks begin on Mondays, three days earlier.
    let week = |date: i32| (date + 3).div_euclid(7);
    let dates = sessions.dates();
    let last = |at: &usize| dates.get(at + 1).is_none_or(|next| week(*next) != week(dates[*at]));
    (0..dates.len()).filter(last).collect()
}

/// The weeks of a panel, and what was fitted on them.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking {
    /// All weeks, each scored with what was fitted before it.
    pub weeks: Vec<Week>,
    /// Fitted on every week with known outcomes: what later weeks are scored with. `None` with too few.
    pub last: Option<WeeklyFit>,
}

/// Slopes of the expected rank on the traits' ranks.
#[derive(Debug, Clone, PartialEq)]
pub struct WeeklyFit {
    /// One a trait.
    pub slopes: Vec<f64>,
    /// Weeks fitted.
    pub weeks: usize,
    /// Session of the last of them.
    pub session: usize,
}

impl WeeklyFit {
    fn score(&self, ranks: &[f64]) -> f64 {
        ranks.iter().zip(&self.slopes).map(|(rank, slope)| rank * slope).sum()
    }
}

/// All weeks of a panel with their scores by the traits of `set`.
///
/// # Errors
/// When a fit's sums are not finite.
pub fn rank_weeks(panel: &Panel, design: &Design, set: TraitSet) -> Result<Ranking, RegressError> {
    let market = traits::market_returns(design);
    let mut weeks: Vec<Week> = week_ends(&design.sessions)
        .into_par_iter()
        .map(|session| week(panel, design, set, &market, session))
        .collect();
    let dates = design.sessions.dates();
    let half = |session: usize| {
        let (year, month, _) = SessionDay::from_epoch_days(dates[session]).ymd();
        (year, month > 6)
    };
    let mut known: Option<WeeklyFit> = None;
    let mut fitted_in = None;
    for at in 0..weeks.len() {
        let session = weeks[at].session;
        if fitted_in != Some(half(session)) {
            fitted_in = Some(half(session));
            let first = (0..=session).find(|&s| half(s) == half(session)).unwrap_or(session);
            if let Some(fresh) = fit(design, &weeks, set, first)? {
                known = Some(fresh);
            }
        }
        if let Some(fit) = &known {
            for entry in &mut weeks[at].entries {
                entry.score = Some(fit.score(&entry.ranks));
            }
        }
    }
    let last = fit(design, &weeks, set, dates.len())?;
    Ok(Ranking { weeks, last })
}

fn week(panel: &Panel, design: &Design, set: TraitSet, market: &[f64], session: usize) -> Week {
    let of = |issue: usize| {
        let rows = &design.issues[issue].clean;
        let at = rows.session.binary_search(&(session as u32)).ok()?;
        if !eligible(rows, at) {
            return None;
        }
        let first = (at + 1).saturating_sub(set.span());
        let sessions = &rows.session[first..=at];
        let market: Vec<f64> = sessions.iter().map(|&session| market[session as usize]).collect();
        Some((issue, traits(set, &rows.rows[first..=at], &market)?))
    };
    let known: Vec<(usize, Vec<f64>)> = (0..design.issues.len()).filter_map(of).collect();
    let ranks = cross_section(known.iter().map(|(_, traits)| traits.as_slice()), set.names().len());
    let entries = known.iter().zip(ranks).map(|(&(issue, _), ranks)| {
        let bars = &panel.issues[issue].bars;
        let outcomes = HORIZONS.map(|h| outcome(bars, &design.sessions, session, h));
        Entry { issue, ranks, outcomes, score: None }
    });
    Week { session, entries: entries.collect() }
}

/// Ranks of each trait among the issues, −½ to ½, by issue.
#[must_use]
pub fn cross_section<'a>(issues: impl Iterator<Item = &'a [f64]>, traits: usize) -> Vec<Vec<f64>> {
    let issues: Vec<&[f64]> = issues.collect();
    let mut ranks = vec![vec![0.0; traits]; issues.len()];
    for place in 0..traits {
        let values: Vec<f64> = issues.iter().map(|issue| issue[place]).collect();
        for (ranks, rank) in ranks.iter_mut().zip(centred_ranks(&values)) {
            ranks[place] = rank;
        }
    }
    ranks
}

/// Ranks of values, equal values sharing theirs, brought to −½ … ½.
#[must_use]
pub fn centred_ranks(values: &[f64]) -> Vec<f64> {
    let ranks = average_ranks(values);
    let last = values.len().saturating_sub(1).max(1) as f64;
    ranks.into_iter().map(|rank| rank / last - 0.5).collect()
}

/// Ranks from 0 on, equal values sharing their mean.
#[must_use]
pub fn average_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    for equal in order.chunk_by(|&a, &b| values[a].total_cmp(&values[b]).is_eq()) {
        let rank = start as f64 + (equal.len() - 1) as f64 / 2.0;
        equal.iter().for_each(|&at| ranks[at] = rank);
        start += equal.len();
    }
    ranks
}

/// Slopes of the mean rank of the outcomes on the traits' ranks, over the fitted issues in weeks
/// whose outcomes were known before session `first`; `None` with too few.
fn fit(
    design: &Design,
    weeks: &[Week],
    set: TraitSet,
    first: usize,
) -> Result<Option<WeeklyFit>, RegressError> {
    let traits = set.names().len();
    let longest = HORIZONS[HORIZONS.len() - 1];
    let mut sums = vec![vec![0.0; traits]; traits];
    let mut with_target = vec![0.0; traits];
    let (mut used, mut rows, mut last) = (0, 0.0, 0);
    for week in weeks.iter().filter(|week| week.session + longest < first) {
        let known: Vec<&Entry> = week
            .entries
            .iter()
            .filter(|entry| design.issues[entry.issue].fitted)
            .filter(|entry| entry.outcomes.iter().all(Option::is_some))
            .collect();
        if known.len() < 2 {
            continue;
        }
        let ranks = [0, 1].map(|at| {
            let values: Vec<f64> = known.iter().filter_map(|entry| entry.outcomes[at]).collect();
            centred_ranks(&values)
        });
        for (place, entry) in known.iter().enumerate() {
            let target = f64::midpoint(ranks[0][place], ranks[1][place]);
            for (a, x) in entry.ranks.iter().enumerate() {
                with_target[a] += x * target;
                sums[a].iter_mut().zip(&entry.ranks).for_each(|(sum, y)| *sum += x * y);
            }
        }
        used += 1;
        rows += known.len() as f64;
        last = week.session;
    }
    if used < LEAST_WEEKS {
        return Ok(None);
    }
    // Ranks are centred in every week: their means are all but zero.
    let moments = Moments {
        covariance: Array2::from_shape_fn((traits, traits), |(a, b)| sums[a][b] / rows),
        with_target: with_target.iter().map(|sum| sum / rows).collect(),
    };
    let slopes = regress(&moments)?.values;
    Ok(Some(WeeklyFit { slopes, weeks: used, session: last }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn weeks_end_where_the_next_begins() {
        // 2024-08-01 (Thursday), Friday, Monday the 5th, Tuesday, then Monday the 12th.
        let days = ["2024-08-01", "2024-08-02", "2024-08-05", "2024-08-06", "2024-08-12"];
        let dates = days.map(|day| day.parse::<SessionDay>().unwrap().epoch_days());
        assert_eq!(week_ends(&Sessions::new(dates.to_vec())), [1, 3, 4]);
    }

    #[test]
    fn equal_values_share_a_rank() {
        assert_eq!(average_ranks(&[3.0, 1.0, 3.0, 2.0]), [2.5, 0.0, 2.5, 1.0]);
        assert_eq!(centred_ranks(&[5.0]), [-0.5]);
        assert!(centred_ranks(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn ranks_are_centred(values in prop::collection::vec(-9..9_i32, 2..40)) {
            let ranks = centred_ranks(&values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>());
            prop_assert!(ranks.iter().sum::<f64>().abs() < 1e-9);
            prop_assert!(ranks.iter().all(|rank| (-0.5..=0.5).contains(rank)));
        }
    }
}

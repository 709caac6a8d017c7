//! The rows that are fitted and forecast: clean days with their terms, by issue.

use rayon::prelude::*;
use rustc_hash::FxHashSet;

use super::clean::{CleanRows, DayRow, Sessions, clean_rows};
use super::features::breadth::{Breadth, BreadthSum, LEAST_ISSUES};
use super::features::own::MINIMUM_DAYS;
use super::features::{IndexTerms, LEVEL_TERMS, MarketTerms, OwnState, OwnTerms, SessionTerms};
use super::losses::VARIANCE_FLOOR;
use super::panel::{Issue, Panel};
use crate::market::{SessionDay, Symbol};

/// Clean days before a row from which it is scored.
pub const SCORED_FROM: usize = 500;
/// Least median of the daily value traded of a row that is fitted or scored, won.
pub const VALUE_FLOOR: f64 = 200_000_000.0;

/// One issue's clean days and the terms of each from the 66th on.
#[derive(Debug, Clone)]
pub struct IssueRows {
    /// Issue code.
    pub symbol: Symbol,
    /// Whether the coefficients are fitted on it.
    pub fitted: bool,
    /// Its clean days.
    pub clean: CleanRows,
    /// Terms of the clean days from number [`MINIMUM_DAYS`] on.
    pub terms: Vec<OwnTerms>,
    /// Whether the value traded before was above the floor, for the same days.
    pub liquid: Vec<bool>,
    /// Mean range variance of the 22 clean days before, for the same days.
    pub range22: Vec<f64>,
    /// After its last day.
    pub state: OwnState,
}

impl IssueRows {
    fn new(issue: &Issue, fitted: bool, sessions: &Sessions) -> Self {
        let clean = clean_rows(&issue.bars, sessions);
        let known = clean.rows.len().saturating_sub(MINIMUM_DAYS);
        let (mut terms, mut liquid) = (Vec::with_capacity(known), Vec::with_capacity(known));
        let mut range22 = Vec::with_capacity(known);
        let mut state = OwnState::default();
        for row in &clean.rows {
            if let Some(range) = state.range22() {
                range22.push(range);
                // Terms of clean days are finite; were one not, the row would count for nothing.
                let own = state.terms();
                let enough = state.median_value().is_some_and(|value| value >= VALUE_FLOOR);
                liquid.push(own.is_some() && enough);
                terms.push(own.unwrap_or(OwnTerms([0.0; super::features::OWN])));
            }
            state.push(row);
        }
        Self { symbol: issue.symbol, fitted, clean, terms, liquid, range22, state }
    }

    /// Number of rows that have terms.
    #[must_use]
    pub fn len(&self) -> usize {
        self.terms.len()
    }

    /// Whether no row has terms.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Session of row `at` of those with terms.
    #[must_use]
    pub fn session(&self, at: usize) -> usize {
        self.clean.session[at + MINIMUM_DAYS] as usize
    }

    /// What was measured on row `at` of those with terms.
    #[must_use]
    pub fn day(&self, at: usize) -> &DayRow {
        &self.clean.rows[at + MINIMUM_DAYS]
    }

    /// Whether coefficients may be fitted on row `at`.
    #[must_use]
    pub fn may_fit(&self, at: usize) -> bool {
        self.fitted && self.liquid[at]
    }

    /// Whether the forecast of row `at` is scored.
    #[must_use]
    pub fn is_scored(&self, at: usize) -> bool {
        self.liquid[at] && at + MINIMUM_DAYS >= SCORED_FROM
    }

    /// The rows with terms of the sessions from `from` to before `to`.
    #[must_use]
    pub fn between(&self, from: usize, to: usize) -> std::ops::Range<usize> {
        let days = self.clean.session.get(MINIMUM_DAYS..).unwrap_or_default();
        let start = days.partition_point(|&session| (session as usize) < from);
        start..days.partition_point(|&session| (session as usize) < to)
    }
}

/// Rows with terms of all issues, and the market terms of every session.
#[derive(Debug, Clone)]
pub struct Design {
    /// KRX sessions.
    pub sessions: Sessions,
    /// Issues in the panel's order.
    pub issues: Vec<IssueRows>,
    /// Market terms by session.
    pub market: Vec<MarketTerms>,
    /// What they follow from, for sessions after the last.
    pub session_terms: SessionTerms,
}

/// Whose terms the rows have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reader {
    /// All that the panel tells.
    #[default]
    Panel,
    /// A daemon: no index, no US session, no levels over all issues.
    Daemon,
}

impl Reader {
    /// The rows of `panel` as it reads them.
    #[must_use]
    pub fn design(self, panel: &Panel, universe: Option<&FxHashSet<Symbol>>) -> Design {
        let design = Design::new(panel, universe);
        match self {
            Self::Panel => design,
            Self::Daemon => design.watched(),
        }
    }
}

impl Design {
    /// All rows of `panel`; coefficients are fitted on the issues of `universe`, or on all.
    #[must_use]
    pub fn new(panel: &Panel, universe: Option<&FxHashSet<Symbol>>) -> Self {
        let sessions = Sessions::new(panel.sessions());
        let fitted = |issue: &Issue| universe.is_none_or(|known| known.contains(&issue.symbol));
        let issues: Vec<IssueRows> = panel
            .issues
            .par_iter()
            .map(|issue| IssueRows::new(issue, fitted(issue), &sessions))
            .collect();
        let spread = spread(&issues, sessions.len());
        let session_terms = SessionTerms::new(
            IndexTerms::new(&panel.indices),
            spread,
            breadth(&issues, sessions.len()),
        );
        let market = (0..sessions.len()).map(|at| session_terms.of(&sessions, at)).collect();
        Self { sessions, issues, market, session_terms }
    }

    /// The same rows with what a daemon knows of the market and no more ([`Variant::Watched`]).
    ///
    /// [`Variant::Watched`]: super::Variant::Watched
    #[must_use]
    fn watched(mut self) -> Self {
        for market in &mut self.market {
            market.0[LEVEL_TERMS..].fill(f64::NAN);
        }
        self
    }

    /// The day of a session.
    ///
    /// # Panics
    /// When there is no such session.
    #[must_use]
    pub fn day(&self, session: usize) -> SessionDay {
        SessionDay::from_epoch_days(self.sessions.dates()[session])
    }

    /// Rows on which coefficients may be fitted.
    #[must_use]
    pub fn fitted_rows(&self) -> usize {
        let of = |issue: &IssueRows| (0..issue.len()).filter(|&at| issue.may_fit(at)).count();
        self.issues.iter().map(of).sum()
    }
}

/// Mean over the fitted issues of the ln range variance of each session, over all clean days.
fn spread(issues: &[IssueRows], sessions: usize) -> Vec<f64> {
    let (mut sums, mut counts) = (vec![0.0; sessions], vec![0.0_f64; sessions]);
    for issue in issues.iter().filter(|issue| issue.fitted) {
        for (session, row) in issue.clean.session.iter().zip(&issue.clean.rows) {
            sums[*session as usize] += row.range.max(VARIANCE_FLOOR).ln();
            counts[*session as usize] += 1.0;
        }
    }
    sums.iter().zip(counts).map(|(sum, count)| sum / count).collect()
}

/// The breadth after each session, over the rows that may be fitted.
fn breadth(issues: &[IssueRows], sessions: usize) -> Vec<Breadth> {
    let mut sums = vec![BreadthSum::default(); sessions];
    for issue in issues.iter().filter(|issue| issue.fitted) {
        for at in (0..issue.len()).filter(|&at| issue.may_fit(at)) {
            sums[issue.session(at)].add(issue.day(at).r, issue.range22[at]);
        }
    }
    let mut breadth = Breadth::default();
    let after = |sum: &BreadthSum| {
        breadth = breadth.after(sum, LEAST_ISSUES);
        breadth
    };
    sums.iter().map(after).collect()
}

//! A world of daily bars and a model.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::dynamics::{Dynamics, Transition};
use super::factor::MarketFactor;
use super::sessions::{cut_after, session_at};
use super::world::{Known, World, WorldIssue, WorldSource};
use crate::market::{Market, ModelId, SessionDay, Symbol};
use crate::model::clean::index_rows;
use crate::model::design::{Design, IssueRows};
use crate::model::document::Document;
use crate::model::features::Origin;
use crate::model::forecasts::Tails;
use crate::model::panel::{Issue, Panel};
use crate::model::slopes::ShapeSchedule;
use crate::model::validation::frozen_walk;
use crate::model::walk::Walk;

/// Sessions that are known at most: eleven years.
const MOST_DAYS: usize = 2_750;
/// Sessions that are drawn at most: five years.
const MOST_DRAWN: usize = 1_250;
/// Sessions over which a variance's long-run level is taken: three years.
const LONG_RUN: usize = 750;
/// Days over which the value traded is averaged.
const VALUE_DAYS: usize = 20;
/// Returns with which a correlation counts half against [`USUAL_CORRELATION`].
const HALF_WEIGHT: f64 = 60.0;
/// Correlation of an issue with its market when nothing was measured.
const USUAL_CORRELATION: f64 = 0.4;
/// Issues of a market that make a factor without an index.
const LEAST_ISSUES: usize = 20;

/// Which model, and what it is called.
#[derive(Debug, Clone, Copy)]
pub struct ModelInUse<'a> {
    /// The model.
    pub document: &'a Document,
    /// Version; `None` for one that was never registered.
    pub id: Option<ModelId>,
    /// SHA-256 of its document as stored, hexadecimal.
    pub sha256: &'a str,
}

/// Why there is no world.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WorldError {
    /// No session at or before the day.
    #[error("no session at or before {as_of}: the data cover {first} to {last}")]
    NoSession {
        /// Day wanted.
        as_of: SessionDay,
        /// First session of the data.
        first: SessionDay,
        /// Last session of the data.
        last: SessionDay,
    },
    /// Too little history.
    #[error(
        "too little history before {as_of}: {days} days can be drawn, at least {needed} are needed; an issue is forecast from its 67th clean day on"
    )]
    TooFewDays {
        /// Day wanted.
        as_of: SessionDay,
        /// Days there are.
        days: usize,
        /// Days needed.
        needed: usize,
    },
    /// There is no bar at all.
    #[error("there are no daily bars")]
    NoBars,
}

/// Fewest days that can be drawn.
pub const LEAST_DAYS: usize = 120;

impl World {
    /// What was known at the close of `as_of`, or of the last session before it.
    ///
    /// # Errors
    /// When there is no such session, or too little before it.
    pub fn build(
        panel: &Panel,
        model: ModelInUse<'_>,
        known: &BTreeMap<Symbol, Known>,
        as_of: Option<SessionDay>,
    ) -> Result<Self, WorldError> {
        let session = session_at(panel, as_of)?;
        let cut = cut_after(panel, session);
        let panel = cut.as_ref().unwrap_or(panel);
        let design = Design::new(panel, None);
        let walk = frozen_walk(&design, model.document, Origin::Close);
        let tails = Tails::new(&design, &walk, &shapes_of(model.document), Origin::Close);
        let ahead = Ahead::of_model(&design, model.document, &tails);
        let past = Past { panel, design: &design, walk: &walk, tails: &tails };
        Self::assemble(past, design.sessions.len(), &ahead, model, known)
    }

    /// What was known before session number `end` of `past`: of its variances and tails only those
    /// before `end` are looked at, and those of `end` as the forecasts of it. With a walk's, each is
    /// from what was known before it, and nothing later is in the world.
    ///
    /// # Errors
    /// When there is too little before.
    pub fn before_session(
        past: Past<'_>,
        end: usize,
        model: ModelInUse<'_>,
        known: &BTreeMap<Symbol, Known>,
    ) -> Result<Self, WorldError> {
        let ahead = Ahead::of_session(past, end);
        Self::assemble(past, end, &ahead, model, known)
    }

    fn assemble(
        past: Past<'_>,
        end: usize,
        ahead: &Ahead,
        model: ModelInUse<'_>,
        known: &BTreeMap<Symbol, Known>,
    ) -> Result<Self, WorldError> {
        let Past { panel, design, walk, .. } = past;
        let Some(last) = end.checked_sub(1) else { return Err(WorldError::NoBars) };
        let as_of = design.day(last);
        let span = Span { first: end.saturating_sub(MOST_DAYS), end };
        let usual = Known::default();
        let columns: Vec<Option<IssueColumn>> = panel
            .issues
            .par_iter()
            .enumerate()
            .map(|(number, issue)| {
                let about = known.get(&issue.symbol).unwrap_or(&usual);
                IssueColumn::new(issue, number, past, ahead.0[number]?, span, about)
            })
            .collect();
        let mut unforecast = Vec::new();
        let mut issues: Vec<IssueColumn> = Vec::new();
        for (column, issue) in columns.into_iter().zip(&panel.issues) {
            match column {
                // Of a code that two sources have the first counts.
                Some(column) if issues.last().is_none_or(|l| l.about.symbol != issue.symbol) => {
                    issues.push(column);
                }
                Some(_) => {}
                None => unforecast.push(issue.symbol),
            }
        }
        let factors = factors(panel, design, &issues, span);
        let drawn_from = drawn_from(&issues, &factors[0], span.days());
        let drawn = span.days() - drawn_from;
        if drawn < LEAST_DAYS {
            return Err(WorldError::TooFewDays { as_of, days: drawn, needed: LEAST_DAYS });
        }
        let estimated = transitions(design, walk, end);
        let dynamics = Dynamics::estimate(estimated.iter().flatten().copied());
        issues.par_iter_mut().for_each(|column| column.link(&factors, drawn_from));
        let mut world = Self {
            as_of,
            source: WorldSource {
                model: model.id,
                model_sha256: model.sha256.to_owned(),
                model_trained_until: model.document.trained_until,
                data_sha256: panel.info.sha256.clone(),
                data_from: panel.info.from,
                data_to: as_of,
            },
            days: (span.first..end).map(|session| design.day(session)).collect(),
            drawn_from,
            issues: Vec::with_capacity(issues.len()),
            unforecast,
            factors,
            dynamics,
            residuals: Vec::with_capacity(issues.len() * span.days()),
            returns: Vec::with_capacity(issues.len() * span.days()),
        };
        for column in issues {
            world.residuals.extend(column.residuals);
            world.returns.extend(column.returns);
            world.issues.push(column.about);
        }
        Ok(world)
    }
}

/// The shape of a model's tails, the same for all days: residuals of then are brought to now by what
/// the model says now.
fn shapes_of(document: &Document) -> ShapeSchedule {
    ShapeSchedule::constant(document.shape.clone())
}

/// Bars with what was made of them.
#[derive(Debug, Clone, Copy)]
pub struct Past<'a> {
    /// Bars.
    pub panel: &'a Panel,
    /// Their clean days and terms.
    pub design: &'a Design,
    /// Variances that were forecast for them.
    pub walk: &'a Walk,
    /// What moved the tails of their residuals.
    pub tails: &'a Tails,
}

/// By issue, variance and downside scale (times level) that are forecast for the session after the
/// last; `None` when too little is known.
struct Ahead(Vec<Option<(f64, f64)>>);

impl Ahead {
    /// By a model.
    fn of_model(design: &Design, document: &Document, tails: &Tails) -> Self {
        let sessions = design.sessions.len();
        if sessions == 0 {
            return Self(Vec::new());
        }
        // Of the next session only the gap of days before it matters: the next weekday stands for it.
        let mut target = design.day(sessions - 1).next();
        while target.is_weekend() {
            target = target.next();
        }
        let market = design.session_terms.on(&design.sessions, sessions, target.epoch_days());
        let variant = market.variant(Origin::Close);
        let of_issue = |rows: &IssueRows| {
            let own = rows.state.terms()?;
            let variance = document.choose(Origin::Close, &market)?.variance(&own, &market);
            let scale = document.shape.downside(variant, &own, &market) * tails.level[sessions];
            is_forecast(variance, scale)
        };
        Self(design.issues.iter().map(of_issue).collect())
    }

    /// As they were forecast for session `end`, of the issues that then traded.
    fn of_session(past: Past<'_>, end: usize) -> Self {
        let of_issue = |(number, rows): (usize, &IssueRows)| {
            let at = rows.between(end, end + 1).next()?;
            is_forecast(past.walk.variance[number][at], past.tails.scale[number][at])
        };
        Self(past.design.issues.iter().enumerate().map(of_issue).collect())
    }
}

fn is_forecast(variance: f64, scale: f64) -> Option<(f64, f64)> {
    let right = |value: f64| value.is_finite() && value > 0.0;
    (right(variance) && right(scale)).then_some((variance, scale))
}

/// Sessions of the design that a world knows.
#[derive(Debug, Clone, Copy)]
struct Span {
    first: usize,
    end: usize,
}

impl Span {
    const fn days(self) -> usize {
        self.end - self.first
    }

    /// Place of a session among the days; `None` where it is not one of them.
    fn place(self, session: usize) -> Option<usize> {
        (self.first..self.end).contains(&session).then(|| session - self.first)
    }
}

/// An issue with its days.
struct IssueColumn {
    about: WorldIssue,
    residuals: Vec<f32>,
    returns: Vec<f32>,
}

impl IssueColumn {
    fn new(
        issue: &Issue,
        number: usize,
        Past { design, walk, tails, .. }: Past<'_>,
        (variance, now): (f64, f64),
        span: Span,
        known: &Known,
    ) -> Option<Self> {
        let rows = &design.issues[number];
        let mut residuals = vec![f32::NAN; span.days()];
        let mut returns = vec![f32::NAN; span.days()];
        for (session, day) in rows.clean.session.iter().zip(&rows.clean.rows) {
            if let Some(at) = span.place(*session as usize) {
                returns[at] = day.r.exp_m1() as f32;
            }
        }
        let mut count = 0;
        for at in rows.between(span.first, span.end) {
            let h = walk.variance[number][at];
            let z = rows.day(at).r.exp_m1() / h.sqrt();
            let z = if z < 0.0 { z * now / tails.scale[number][at] } else { z };
            if z.is_finite() {
                residuals[rows.session(at) - span.first] = z as f32;
                count += 1;
            }
        }
        let past = &walk.variance[number][..rows.between(0, span.end).end];
        let recent = past[past.len().saturating_sub(LONG_RUN)..].iter().copied();
        let recent: Vec<f64> = recent.filter(|h| h.is_finite()).collect();
        let long_run = crate::advice::statistics::mean(&recent).unwrap_or(variance);
        let as_of = design.day(span.end - 1);
        let bars = issue.bars.date.partition_point(|date| *date <= as_of.epoch_days());
        let last = issue.bars.get(bars.checked_sub(1)?);
        // A halted issue's close is carried on from day to day; what it was last traded at is older.
        let traded = (0..bars).rev().map(|at| issue.bars.get(at)).find(|bar| bar.volume > 0.0);
        let last_day = SessionDay::from_epoch_days(traded.map_or(last.date, |bar| bar.date));
        Some(Self {
            about: WorldIssue {
                symbol: issue.symbol,
                known: known.clone(),
                price: last.close,
                last_day,
                halted: last.halted || last.volume <= 0.0 || last_day < as_of,
                variance,
                long_run,
                average_value: average_value(issue, bars),
                spread_pct: 0.0,
                beta: 1.0,
                tail_beta: 1.0,
                correlation: USUAL_CORRELATION,
                factor: 0,
                residuals: count,
            },
            residuals,
            returns,
        })
    }

    /// How it moves with its market.
    fn link(&mut self, factors: &[MarketFactor], drawn_from: usize) {
        let market = self.about.known.market;
        let factor = factors.iter().position(|one| one.market == market).unwrap_or(0);
        self.about.factor = factor;
        let one = &factors[factor];
        let pairs = one.residuals[drawn_from..].iter().zip(&self.residuals[drawn_from..]);
        let mut pairs: Vec<(f64, f64)> = pairs
            .filter(|(x, y)| x.is_finite() && y.is_finite())
            .map(|(x, y)| (f64::from(*x), f64::from(*y)))
            .collect();
        let n = pairs.len() as f64;
        let correlation = moments(&pairs).map_or(USUAL_CORRELATION, |(_, rho)| rho);
        let trust = n / (n + HALF_WEIGHT);
        self.about.correlation = trust * correlation + (1.0 - trust) * USUAL_CORRELATION;
        let ratio = (self.about.variance / one.variance).sqrt();
        let slope = moments(&pairs).map_or(USUAL_CORRELATION, |(slope, _)| slope);
        let slope = trust * slope + (1.0 - trust) * USUAL_CORRELATION;
        self.about.beta = slope * ratio;
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        pairs.truncate(pairs.len() / 10);
        let tail = moments(&pairs).map_or(slope, |(tail, _)| 0.5 * (slope + tail));
        self.about.tail_beta = tail.clamp(-1.0, 3.0) * ratio;
    }
}

/// Least-squares slope of the second on the first, and their correlation; `None` with fewer than
/// ten pairs or no spread.
fn moments(pairs: &[(f64, f64)]) -> Option<(f64, f64)> {
    let n = pairs.len() as f64;
    if pairs.len() < 10 {
        return None;
    }
    let (sx, sy) = pairs.iter().fold((0.0, 0.0), |sum, (x, y)| (sum.0 + x, sum.1 + y));
    let (mx, my) = (sx / n, sy / n);
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in pairs {
        let (x, y) = (x - mx, y - my);
        (xx, yy, xy) = (xx + x * x, yy + y * y, xy + x * y);
    }
    (xx > 1e-9 && yy > 1e-9).then(|| (xy / xx, xy / (xx * yy).sqrt()))
}

fn average_value(issue: &Issue, end: usize) -> Option<f64> {
    let days = end.saturating_sub(VALUE_DAYS)..end;
    let pairs = issue.bars.close[days.clone()].iter().zip(&issue.bars.volume[days]);
    let values: Vec<f64> = pairs.map(|(close, volume)| close * volume).collect();
    crate::advice::statistics::mean(&values).filter(|value| value.is_finite())
}

/// The first day from which half of the issues have a residual, or the fifth-last year's.
fn drawn_from(issues: &[IssueColumn], main: &MarketFactor, days: usize) -> usize {
    let earliest = days.saturating_sub(MOST_DRAWN);
    let enough = |day: &usize| {
        let with = issues.iter().filter(|column| column.residuals[*day].is_finite()).count();
        2 * with >= issues.len() && main.residuals[*day].is_finite()
    };
    (earliest..days).find(enough).unwrap_or(days)
}

/// Every pair of forecasts of one issue for two sessions in a row before `end`.
fn transitions(design: &Design, walk: &Walk, end: usize) -> Vec<Vec<Transition>> {
    let of_issue = |(number, rows): (usize, &IssueRows)| {
        let variances = &walk.variance[number][..rows.between(0, end).end];
        let known = || variances.iter().filter(|h| h.is_finite());
        let long_run = known().sum::<f64>() / known().count().max(1) as f64;
        let usable = |at: &usize| {
            rows.session(*at) + 1 == rows.session(at + 1)
                && rows.liquid[*at]
                && variances[*at].is_finite()
                && variances[at + 1].is_finite()
        };
        (0..variances.len().saturating_sub(1))
            .filter(usable)
            .map(|at| Transition {
                variance: variances[at],
                next: variances[at + 1],
                long_run,
                residual: rows.day(at).r.exp_m1() / variances[at].sqrt(),
            })
            .collect()
    };
    design.issues.par_iter().enumerate().map(of_issue).collect()
}

/// The markets: KOSPI and KOSDAQ where they have a series or enough issues; else one of all issues.
fn factors(
    panel: &Panel,
    design: &Design,
    issues: &[IssueColumn],
    span: Span,
) -> Vec<MarketFactor> {
    let mut factors = Vec::new();
    for (name, market) in [("KOSPI", Market::Kospi), ("KOSDAQ", Market::Kosdaq)] {
        if let Some(bars) = panel.indices.get(name) {
            let (mut returns, mut measured) =
                (vec![f64::NAN; span.days()], vec![f64::NAN; span.days()]);
            for (date, r, range) in index_rows(bars) {
                let session = design.sessions.number(date);
                if let Some(at) = session.and_then(|session| span.place(session)) {
                    (returns[at], measured[at]) = (r.exp_m1(), range);
                }
            }
            if returns.iter().filter(|r| r.is_finite()).count() >= LEAST_DAYS {
                factors.push(MarketFactor::new(name.to_owned(), market, &returns, &measured));
                continue;
            }
        }
        let members: Vec<&IssueColumn> =
            issues.iter().filter(|column| column.about.known.market == market).collect();
        if members.len() >= LEAST_ISSUES {
            factors.push(mean_of(format!("{name} issues"), market, &members, span.days()));
        }
    }
    if factors.is_empty() {
        let all: Vec<&IssueColumn> = issues.iter().collect();
        factors.push(mean_of("issues".to_owned(), Market::Unknown, &all, span.days()));
    }
    factors
}

/// The mean of issues, weighted by the value they trade, none counting for more than a tenth of what
/// the others do together.
fn mean_of(name: String, market: Market, issues: &[&IssueColumn], days: usize) -> MarketFactor {
    let value = |column: &IssueColumn| column.about.average_value.unwrap_or(0.0).max(1.0);
    let total: f64 = issues.iter().map(|column| value(column)).sum();
    let mut sums = vec![(0.0, 0.0); days];
    for column in issues {
        let weight = value(column).min(0.1 * total);
        for (sum, r) in sums.iter_mut().zip(&column.returns) {
            if r.is_finite() {
                *sum = (sum.0 + weight * f64::from(*r), sum.1 + weight);
            }
        }
    }
    let returns: Vec<f64> = sums
        .iter()
        .map(|(sum, weight)| if *weight > 0.0 { sum / weight } else { f64::NAN })
        .collect();
    let measured: Vec<f64> = returns.iter().map(|r| r * r).collect();
    MarketFactor::new(name, market, &returns, &measured)
}

#[cfg(test)]
#[path = "build_tests.rs"]
mod tests;

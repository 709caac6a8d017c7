//! The terms that all issues of a session share.
//!
//! They are known at the KRX close of the session before, but for the last four, which are known
//! before the open. A US session closes after the KRX session of the same date: at the close it
//! counts only if its date is before that of the KRX session, at the open if it is before the
//! date of the session that opens.

use std::collections::BTreeMap;

use super::window::SlidingSum;
use super::{BREADTH, Breadth, INDEX_TERMS, MARKET, MarketTerms, US_CLOSE, US_OPEN, US_RETURN};
use crate::model::clean::{Sessions, index_rows};
use crate::model::panel::IndexBars;

/// Floor of an index's range variance.
const INDEX_FLOOR: f64 = 1e-6;
/// Trading days of a year, by which the VIX is brought to one day.
const YEAR: f64 = 252.0;

/// What the index series give, by their own trading days.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IndexTerms {
    kospi: Vec<(i32, [f64; 5])>,
    us: Vec<UsSession>,
}

/// What a US session gives.
#[derive(Debug, Clone, Copy, PartialEq)]
struct UsSession {
    date: i32,
    /// ln VIX, size and negative part of the standardised S&P 500 return.
    terms: [f64; 3],
    /// Log return of the S&P 500.
    r: f64,
    /// What the VIX at its close says of a day's deviation.
    deviation: f64,
}

impl IndexTerms {
    /// From the series `KOSPI`, `VIX` and `SP500`; terms of a series that is not there are unknown.
    #[must_use]
    pub fn new(indices: &BTreeMap<String, IndexBars>) -> Self {
        let kospi = indices.get("KOSPI").map(kospi_terms).unwrap_or_default();
        let us = match (indices.get("SP500"), indices.get("VIX")) {
            (Some(stocks), Some(vix)) => us_terms(stocks, vix),
            _ => Vec::new(),
        };
        Self { kospi, us }
    }

    /// Place of the last US session dated before `day`.
    fn us_before(&self, day: i32) -> Option<usize> {
        self.us.partition_point(|session| session.date < day).checked_sub(1)
    }

    /// The terms of the session on day `target` after that on day `previous`. `spread` are the
    /// means over issues of the ln range variance of the last five sessions, the newest last;
    /// `breadth` is that after the session before.
    #[must_use]
    pub fn terms(
        &self,
        previous: i32,
        target: i32,
        spread: &[f64],
        breadth: Breadth,
    ) -> MarketTerms {
        let mut terms = [f64::NAN; MARKET];
        if let Some(newest) = spread.last() {
            terms[0] = *newest;
            terms[1] = spread.iter().sum::<f64>() / spread.len() as f64;
        }
        terms[2] = f64::from((target - previous).max(1)).ln();
        terms[BREADTH..INDEX_TERMS].copy_from_slice(&[breadth.bz, breadth.bp]);
        if let Ok(at) = self.kospi.binary_search_by_key(&previous, |(date, _)| *date) {
            terms[INDEX_TERMS..US_CLOSE].copy_from_slice(&self.kospi[at].1);
        }
        let close = self.us_before(previous);
        if let Some(at) = close {
            terms[US_CLOSE..US_OPEN].copy_from_slice(&self.us[at].terms[..2]);
        }
        if let Some(at) = self.us_before(target) {
            terms[US_OPEN..US_RETURN].copy_from_slice(&self.us[at].terms);
            if let Some(known) = close {
                let since: f64 = self.us[known + 1..=at].iter().map(|session| session.r).sum();
                terms[US_RETURN] = (since / self.us[known].deviation).clamp(-6.0, 6.0);
            }
        }
        MarketTerms(terms)
    }
}

/// By KOSPI session: ln range variance of it, of 5 and of 22; its return's negative and positive
/// part in units of the deviation over 22.
fn kospi_terms(bars: &IndexBars) -> Vec<(i32, [f64; 5])> {
    let (mut five, mut month) = (SlidingSum::new(5), SlidingSum::new(22));
    let ln = |variance: f64| variance.max(INDEX_FLOOR).ln();
    let mut terms = Vec::new();
    for (date, r, range) in index_rows(bars) {
        five.push(range);
        month.push(range);
        if month.count() < 22 {
            continue;
        }
        let unit = r / month.mean().max(INDEX_FLOOR).sqrt();
        let parts = [unit.clamp(-6.0, 0.0), unit.clamp(0.0, 6.0)];
        terms.push((date, [ln(range), ln(five.mean()), ln(month.mean()), parts[0], parts[1]]));
    }
    terms
}

/// Returns of the S&P 500 in units of what the VIX of the session before said of a day.
fn us_terms(stocks: &IndexBars, vix: &IndexBars) -> Vec<UsSession> {
    let level = |day: i32| {
        let after = vix.date.partition_point(|date| *date <= day);
        after.checked_sub(1).map(|at| vix.close[at])
    };
    let deviation = |vix: f64| vix / 100.0 / YEAR.sqrt();
    (1..stocks.date.len())
        .filter_map(|at| {
            let (today, before) = (level(stocks.date[at])?, level(stocks.date[at - 1])?);
            let r = (stocks.close[at] / stocks.close[at - 1]).ln();
            let unit = r / deviation(before);
            let terms = [today.ln(), unit.abs().min(6.0), unit.clamp(-6.0, 0.0)];
            let date = stocks.date[at];
            let finite = terms.iter().all(|term| term.is_finite());
            finite.then(|| UsSession { date, terms, r, deviation: deviation(today) })
        })
        .collect()
}

/// The market terms of every session, and of the one after the last.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SessionTerms {
    index: IndexTerms,
    /// Mean over the fitted issues of the ln range variance, by session; NaN without any.
    spread: Vec<f64>,
    /// After each session.
    breadth: Vec<Breadth>,
}

impl SessionTerms {
    /// From the index series, the mean ln range variance of each session and the breadth after it.
    #[must_use]
    pub fn new(index: IndexTerms, spread: Vec<f64>, breadth: Vec<Breadth>) -> Self {
        Self { index, spread, breadth }
    }

    /// The breadth after the first `sessions` sessions.
    #[must_use]
    pub fn breadth(&self, sessions: usize) -> Breadth {
        sessions.checked_sub(1).and_then(|at| self.breadth.get(at)).copied().unwrap_or_default()
    }

    /// The terms of session number `session`; those of the first are unknown.
    #[must_use]
    pub fn of(&self, sessions: &Sessions, session: usize) -> MarketTerms {
        match sessions.dates().get(session) {
            Some(&target) => self.on(sessions, session, target),
            None => MarketTerms::UNKNOWN,
        }
    }

    /// The terms of a session on day `target` after the first `before` sessions.
    #[must_use]
    pub fn on(&self, sessions: &Sessions, before: usize, target: i32) -> MarketTerms {
        let Some(previous) = before.checked_sub(1) else { return MarketTerms::UNKNOWN };
        let last = &self.spread[before.saturating_sub(5)..before];
        let spread = if last.iter().all(|value| value.is_finite()) { last } else { &[] };
        self.index.terms(sessions.dates()[previous], target, spread, self.breadth(before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(from: i32, closes: &[f64]) -> IndexBars {
        let mut bars = IndexBars::default();
        for (at, close) in closes.iter().enumerate() {
            bars.date.push(from + at as i32);
            bars.open.push(*close);
            bars.high.push(close * 1.01);
            bars.low.push(close * 0.99);
            bars.close.push(*close);
        }
        bars
    }

    fn terms() -> IndexTerms {
        let stocks: Vec<f64> = (0..40).map(|at| 100.0 + f64::from(at % 3)).collect();
        let vix: Vec<f64> = (0..40).map(|at| 15.0 + f64::from(at)).collect();
        IndexTerms::new(&BTreeMap::from([
            ("KOSPI".to_owned(), series(0, &stocks)),
            ("SP500".to_owned(), series(0, &stocks)),
            ("VIX".to_owned(), series(0, &vix)),
        ]))
    }

    #[test]
    fn a_us_session_of_the_same_date_is_not_known_at_the_close() {
        // Forecast for day 31 after the KRX session of day 30: New York closes day 30 afterwards.
        let known = terms().terms(30, 31, &[-8.0; 5], Breadth::default()).0;
        assert!((known[10] - (15.0_f64 + 29.0).ln()).abs() < 1e-12, "at the close: day 29");
        assert!((known[12] - (15.0_f64 + 30.0).ln()).abs() < 1e-12, "before the open: day 30");
        // The return of day 29 in units of what the VIX of day 28 said.
        let r = (102.0_f64 / 101.0).ln() / (43.0 / 100.0 / 252.0_f64.sqrt());
        assert!((known[11] - r.abs()).abs() < 1e-12);
        // Between the two lies the one session of day 30, in units of the VIX of day 29.
        let since = (100.0_f64 / 102.0).ln() / (44.0 / 100.0 / 252.0_f64.sqrt());
        assert!((known[15] - since).abs() < 1e-12);
        // After a weekend the session of day 30 is known at neither KRX close.
        let monday = terms().terms(30, 33, &[-8.0; 5], Breadth::default()).0;
        assert!((monday[2] - 3.0_f64.ln()).abs() < 1e-12);
        assert!((monday[12] - (15.0_f64 + 32.0).ln()).abs() < 1e-12);
    }

    #[test]
    fn what_is_not_there_is_unknown() {
        let none = IndexTerms::new(&BTreeMap::new()).terms(30, 31, &[], Breadth::default()).0;
        assert!(none[2] == 0.0 && none.iter().filter(|term| term.is_finite()).count() == 3);
        let early = terms().terms(10, 11, &[-8.0], Breadth::default()).0;
        assert!(early[5].is_nan(), "22 index sessions are needed");
        let empty = SessionTerms::new(terms(), vec![-8.0; 3], vec![Breadth::default(); 3]);
        let sessions = Sessions::new(vec![28, 29, 30]);
        assert_eq!(empty.of(&sessions, 3).0.map(f64::is_nan), [true; MARKET]);
        assert!(empty.of(&sessions, 0).0[0].is_nan());
        assert!(empty.on(&sessions, 3, 33).0.iter().all(|term| term.is_finite()));
    }
}

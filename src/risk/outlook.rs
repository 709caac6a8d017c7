//! What the daily model says of an issue's day, and what of it is left as the day goes on.
//!
//! At the first trade of a session the model forecasts every issue from the sessions before
//! ([`crate::model::live`]): its variance from close to close, and how far the lower tail reaches in
//! standard deviations. The close of a day joins the history of the next. Where the model has too
//! little (a new issue, a feed that tells closes alone), the variance is that of the closes
//! ([`Prior`](super::estimators::Prior)) and the tail that of the normal law.
//!
//! **The rest of the day.** Once an issue has opened, the variance of the session that is left
//! follows from the forecast h and the gap of the open: s² = h · (0.78 + 0.62 · min(q, 8)), q the
//! squared gap over h. So a quiet opening leaves three quarters of the day's variance, and a gap of
//! two deviations announces a session of more than three days' variance. Least squares in gamma
//! likelihood of the squared open-to-close return over h, KOSPI issues 2022-01 to 2024-06 (314,704
//! days); from 2024-07 to 2025-06 the same fit gives 0.75 and 0.70. What the session has shown since
//! is weighed against it as in the daily forecast, and the share that is over by the activity clock
//! is taken away.

use serde::{Deserialize, Serialize};

use super::params::EstimatorParams;
use super::state::SymbolState;
use crate::market::{Reference, SessionBar, SessionDay};
use crate::model::Forecast;

/// Share of a day's variance that a session has after an opening without a gap.
const SESSION_SHARE: f64 = 0.78;
/// What a gap adds to it, for each unit of its squared size.
const GAP_EFFECT: f64 = 0.62;
/// Squared size from which on a gap says no more.
const GAP_LIMIT: f64 = 8.0;

/// Forecast of one issue's day.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Outlook {
    /// Variance of the log return, close to close, fraction².
    pub variance: f64,
    /// The losses that are passed with a chance of 1, 2.5 and 5 %, in standard deviations.
    pub v01: f64,
    /// See `v01`.
    pub v025: f64,
    /// See `v01`.
    pub v05: f64,
    /// The mean loss beyond it, in standard deviations.
    pub tail: f64,
}

impl Outlook {
    /// The normal law's tail at 2.5 %.
    const NORMAL: (f64, f64) = (1.959_964, 2.337_803);

    fn of(forecast: &Forecast) -> Self {
        let deviation = forecast.variance.sqrt();
        Self {
            variance: forecast.variance,
            v01: -forecast.v01 / deviation,
            v025: -forecast.v025 / deviation,
            v05: -forecast.v05 / deviation,
            tail: -forecast.e025 / deviation,
        }
    }
}

impl SymbolState {
    /// How far the lower tail at 2.5 % begins, and reaches on average, in standard deviations.
    pub fn tail(&self) -> (f64, f64) {
        self.outlook.map_or(Outlook::NORMAL, |outlook| (outlook.v025, outlook.tail))
    }

    /// Log return of the day, base price to last trade; `None` before a trade or a base price.
    pub fn log_return(&self) -> Option<f64> {
        let known = self.base_price > 0 && self.last_price > 0;
        known.then(|| (self.last_price as f64 / self.base_price as f64).ln())
    }

    /// Takes the model's word for the day; `None`: it has none.
    pub fn take_outlook(&mut self, forecast: Option<&Forecast>, params: &EstimatorParams) {
        self.outlook = forecast.map(Outlook::of);
        self.session_volatility = self.prior_session_variance(params).sqrt();
    }

    /// Variance of a day, close to close, before anything is known of it: the model's word, else
    /// that of the closes. The one never writes over the other, so a model that has none for an
    /// issue leaves nothing of the model before it.
    pub fn normal_daily_variance(&self) -> f64 {
        self.outlook.map_or(self.prior.daily_variance, |outlook| outlook.variance)
    }

    /// The market's session of `ended` is over: it joins the history in `reference`, unless it is
    /// in there already; one without a trade does so too.
    pub fn end_session(&mut self, ended: SessionDay, reference: &mut Reference) {
        let is_there = match self.history_until {
            Some(until) => ended < until,
            // What was told had no day and was followed by no trade: it may end with any session.
            None => self.day.is_none(),
        };
        if is_there {
            return;
        }
        self.history_until = Some(ended.next());
        let (range, volume) = (&self.range, self.cum_volume);
        // Of a session that was not seen from its opening on, only the last price is known.
        if self.day == Some(ended) && !self.seen_late {
            let (open, high, low) = (range.first(), range.high(), range.low());
            let bar = SessionBar { open, high, low, close: self.last_price, volume };
            reference.push_session(ended, bar);
        } else if self.day == Some(ended) {
            reference.push_session(ended, SessionBar::without_trade(self.last_price));
        } else if let Some(&close) = reference.closes.last() {
            reference.push_session(ended, SessionBar::without_trade(close));
        }
    }

    /// The session of `day` is under way: it is taken out of the history in `reference`, where it is
    /// the last one, and joins it when it is over.
    pub fn leave_out(&mut self, day: SessionDay, reference: &mut Reference) {
        reference.pop_session();
        reference.previous_volume = reference.volumes.last().copied();
        self.history_until = Some(day);
    }

    /// Variance of the whole session as the opening lets expect it, fraction².
    fn session_forecast(&self, params: &EstimatorParams) -> f64 {
        let variance = self.normal_daily_variance();
        let first = self.range.first();
        if self.base_price <= 0 || first <= 0 || variance <= 0.0 {
            return self.prior_session_variance(params);
        }
        let gap = (first as f64 / self.base_price as f64).ln();
        variance * (SESSION_SHARE + GAP_EFFECT * (gap * gap / variance).min(GAP_LIMIT))
    }

    /// Value at risk of the rest of the session at 97.5 %, per cent of price.
    pub fn rest_of_day_var(&self, params: &EstimatorParams) -> f64 {
        let weight = self.weight_of_today(params);
        let session = self.seen_session_variance();
        let level = (1.0 - weight) * self.session_forecast(params) + weight * session;
        let deviation = (level * (1.0 - self.elapsed).max(0.0)).sqrt();
        // Log return to per cent of price.
        -100.0 * (-self.tail().0 * deviation).exp_m1()
    }
}

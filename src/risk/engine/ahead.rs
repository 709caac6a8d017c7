//! The engine's look ahead: the sessions that each issue's forecast looks back on, and the daily
//! model's forecasts of the session that begins.
//!
//! A session joins an issue's history once, whoever tells of it: the engine when it is over, or a
//! reference, whose sessions count up to the day it says ([`Reference::told_until`]). A reference
//! that tells of later sessions replaces the history, adjusted as it is for what happened since. Told
//! again, as at every start, it changes nothing of a day that has begun. An exchange that plays a day
//! of its own may tell of the session that is under way: that one is no history.

use std::sync::Arc;

use super::RiskEngine;
use crate::market::{Calendar, EventTime, RecordRef, Reference, SessionDay, SymbolId};
use crate::model::features::Breadth;
use crate::model::live::{History, history, known_terms, watched_breadth};
use crate::model::{FittedModel, MarketTerms, OwnTerms};
use crate::risk::types::ScoreBatch;

impl RiskEngine {
    /// Goes on with another model: every issue is forecast anew. Scores told before are of the
    /// model before; every later one is of this.
    pub fn take_model(&mut self, model: Arc<FittedModel>) {
        self.model = Some(model);
        if let Some(day) = self.market.day {
            self.forecast_all(day);
        }
    }

    /// Takes in what is known of an issue, its sessions when they are news.
    pub(super) fn take_reference(&mut self, symbol: SymbolId, told: &Arc<Reference>) {
        let present = self.market.day;
        let state = &mut self.symbols[symbol.index()];
        let known = &mut self.references[symbol.index()];
        let is_news = is_news(told, (known.as_deref(), state.history_until), present);
        let mut reference = match known.as_deref().filter(|_| !is_news) {
            Some(known) => Arc::new(told.with_sessions_of(known)),
            None => Arc::clone(told),
        };
        if is_news {
            state.history_until = told.told_until();
            if let Some(present) = present.filter(|present| is_under_way(told, *present)) {
                state.leave_out(present, Arc::make_mut(&mut reference));
            }
        }
        state.take_reference(&reference, &self.params.estimators);
        *known = Some(reference);
        if is_news {
            self.forecast_late(symbol);
        }
    }

    /// A session begins: the one before, `last`, is judged and joins the histories, and the issues are
    /// forecast. A day of the past ends nothing: the one that was under way is not yet over.
    pub(super) fn look_ahead(
        &mut self,
        last: Option<SessionDay>,
        now: (EventTime, RecordRef),
        out: &mut ScoreBatch,
    ) {
        let day = now.0.session_day();
        if let Some(ended) = last.filter(|last| *last < day) {
            self.judge(ended, day, now, out);
            for (state, reference) in self.symbols.iter_mut().zip(&mut self.references) {
                if let Some(reference) = reference {
                    state.end_session(ended, Arc::make_mut(reference));
                }
            }
        }
        if last.is_none_or(|last| last < day) {
            for (state, reference) in self.symbols.iter_mut().zip(&mut self.references) {
                if let Some(known) = reference.as_mut().filter(|known| is_under_way(known, day)) {
                    state.leave_out(day, Arc::make_mut(known));
                }
            }
        }
        let terms = self.forecast_all(day);
        self.compare_terms(&terms, day, now, out);
    }

    /// Forecasts every issue for `day`; gives the terms of those that have enough days. The evening
    /// and the morning before the next session are still of `day`, whatever a reference told of it
    /// since: it is no part of what is looked back on.
    fn forecast_all(&mut self, day: SessionDay) -> Vec<OwnTerms> {
        let Some(model) = self.model.clone() else { return Vec::new() };
        let known = self.symbols.iter().zip(&self.references);
        let histories: Vec<History> = known
            .map(|(state, reference)| {
                let reference = reference.as_deref();
                reference.map(|known| history_before(day, known, state.history_until))
            })
            .map(Option::unwrap_or_default)
            .collect();
        let breadth = watched_breadth(&histories);
        self.breadth_before = Some(breadth);
        self.uncounted = true;
        let terms = market_terms(day, breadth);
        let mut all = Vec::with_capacity(histories.len());
        for (state, history) in self.symbols.iter_mut().zip(&histories) {
            let own = known_terms(history);
            let forecast =
                own.and_then(|own| model.document.forecast_watched(state.code, &own, &terms));
            state.take_outlook(forecast.as_ref(), &self.params.estimators);
            all.extend(own);
        }
        all
    }

    /// An issue whose reference came while the day was under way, and tells of no later one.
    pub(super) fn forecast_late(&mut self, symbol: SymbolId) {
        let (Some(model), Some(breadth), Some(day)) =
            (&self.model, self.breadth_before, self.market.day)
        else {
            return;
        };
        let state = &mut self.symbols[symbol.index()];
        if state.history_until.is_some_and(|until| until > day) {
            return;
        }
        let Some(reference) = &self.references[symbol.index()] else { return };
        self.uncounted = true;
        let terms = market_terms(day, breadth);
        let forecast = known_terms(&history(reference))
            .and_then(|own| model.document.forecast_watched(state.code, &own, &terms));
        state.take_outlook(forecast.as_ref(), &self.params.estimators);
    }
}

/// Whether the sessions of `told` replace what is known: a history and the day it reaches up to.
fn is_news(
    told: &Reference,
    (known, known_until): (Option<&Reference>, Option<SessionDay>),
    present: Option<SessionDay>,
) -> bool {
    if told.closes.is_empty() {
        return false;
    }
    if known.is_none_or(|known| known.closes.is_empty()) {
        return true;
    }
    let begun = |day| present.is_some_and(|present| day <= present);
    match told.told_until() {
        // It may tell of any sessions, so it is believed only before there are any of our own.
        None => present.is_none(),
        Some(_) if present.is_some_and(|present| is_under_way(told, present)) => false,
        Some(until) => {
            known_until.is_none_or(|known| until > known || (until == known && !begun(until)))
        }
    }
}

/// Whether the last session that `told` knows of is that of `day`, and may not be over: it does not
/// say that it was asked for later.
fn is_under_way(told: &Reference, day: SessionDay) -> bool {
    told.last_session == Some(day) && told.day.is_none_or(|about| about <= day)
}

/// The sessions before `day` of a history that reaches up to `until`; empty where that cannot be told.
fn history_before(day: SessionDay, known: &Reference, until: Option<SessionDay>) -> History {
    if until.is_none_or(|until| until <= day) {
        return history(known);
    }
    match known.last_session {
        Some(last) if last < day => history(known),
        Some(last) if last == day => {
            let mut before = known.clone();
            before.pop_session();
            history(&before)
        }
        _ => History::new(),
    }
}

/// The calendar and the breadth of what is watched.
pub(in crate::risk) fn market_terms(day: SessionDay, breadth: Breadth) -> MarketTerms {
    let day_number = day.epoch_days();
    let previous = Calendar::krx().previous_session(day);
    let previous = previous.map_or(day_number - 1, |before| before.epoch_days());
    MarketTerms::watched(previous, day_number, breadth)
}

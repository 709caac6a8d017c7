//! The engine's look ahead: the daily model's forecasts of the session that begins.

use std::sync::Arc;

use super::RiskEngine;
use crate::market::{Calendar, EventTime, RecordRef, SessionDay, SymbolId};
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
        let terms = self.forecast_all(day);
        self.compare_terms(&terms, day, now, out);
    }

    /// Forecasts every issue; gives the terms of those that have enough days.
    fn forecast_all(&mut self, day: SessionDay) -> Vec<OwnTerms> {
        let Some(model) = self.model.clone() else { return Vec::new() };
        let histories: Vec<History> = self
            .references
            .iter()
            .map(|reference| reference.as_deref().map(history).unwrap_or_default())
            .collect();
        let breadth = watched_breadth(&histories);
        self.breadth_before = Some(breadth);
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

    /// An issue whose reference came while the day was under way.
    pub(super) fn forecast_late(&mut self, symbol: SymbolId) {
        let (Some(model), Some(breadth), Some(day)) =
            (&self.model, self.breadth_before, self.market.day)
        else {
            return;
        };
        let state = &mut self.symbols[symbol.index()];
        if !state.expects_forecast(day) {
            return;
        }
        let Some(reference) = &self.references[symbol.index()] else { return };
        let terms = market_terms(day, breadth);
        let forecast = known_terms(&history(reference))
            .and_then(|own| model.document.forecast_watched(state.code, &own, &terms));
        state.take_outlook(forecast.as_ref(), &self.params.estimators);
    }
}

/// The calendar and the breadth of what is watched.
fn market_terms(day: SessionDay, breadth: Breadth) -> MarketTerms {
    let day_number = day.epoch_days();
    let previous = Calendar::krx().previous_session(day);
    let previous = previous.map_or(day_number - 1, |before| before.epoch_days());
    MarketTerms::watched(previous, day_number, breadth)
}

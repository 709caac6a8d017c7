//! The engine's watch over its model: once a session, is what happened as likely as was forecast?
//!
//! At the first trade of a session the one before is judged: each issue's return from base price to
//! last trade against the quantiles that were forecast for it. A finding is a `model_drift`
//! detection; its cause is the session that begins, so it is the same after a restart. Another model
//! begins a new watch.

use serde::{Deserialize, Serialize};

use super::RiskEngine;
use crate::market::{EventTime, ModelId, RecordRef, SessionDay, rules};
use crate::model::clean::RETURN_LIMITS;
use crate::model::features::OWN_NAMES;
use crate::model::{Moments, OwnTerms};
use crate::risk::detectors::Finding;
use crate::risk::detectors::model_drift::{
    CoverageWatch, DriftFinding, SessionCoverage, TermWatch,
};
use crate::risk::types::{Rule, ScoreBatch};

/// Terms in units of the issue itself. The level of the others depends on which issues are watched,
/// so that a difference to all issues that were fitted says nothing.
const WATCHED_TERMS: [&str; 5] = ["neg1", "pos1", "neg5", "pos5", "lvol"];

/// State of the watch.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(super) struct Drift {
    coverage: CoverageWatch,
    terms: TermWatch,
    /// The model whose forecasts were judged last.
    judged: Option<ModelId>,
    /// The model whose terms were compared last.
    compared: Option<ModelId>,
}

impl RiskEngine {
    /// Judges the forecasts of session `last`, now that `day` begins.
    pub(super) fn judge(
        &mut self,
        last: SessionDay,
        day: SessionDay,
        (time, at): (EventTime, RecordRef),
        out: &mut ScoreBatch,
    ) {
        let Some(id) = self.model.as_ref().map(|model| model.id) else { return };
        let outcomes = self.symbols.iter().filter(|state| state.day == Some(last));
        let outcomes = outcomes.filter_map(|state| {
            let outlook = state.outlook?;
            let made = state.log_return()?;
            let deviation = outlook.variance.sqrt();
            (RETURN_LIMITS.0..=RETURN_LIMITS.1).contains(&made).then_some((
                made,
                -outlook.v05 * deviation,
                -outlook.v01 * deviation,
            ))
        });
        let session = SessionCoverage::count(outcomes);
        let is_new = self.drift.judged.replace(id) != Some(id);
        if let Some(found) = self.drift.coverage.push(session, is_new) {
            let began = EventTime::from_kst(day, rules::OPEN);
            self.tell_drift(id, found, began, (time, at), out);
        }
    }

    /// Compares the terms of the session that begins with those that the model was fitted on.
    pub(super) fn compare_terms(
        &mut self,
        terms: &[OwnTerms],
        day: SessionDay,
        (time, at): (EventTime, RecordRef),
        out: &mut ScoreBatch,
    ) {
        let Some(model) = self.model.clone() else { return };
        let now: Vec<Option<Moments>> = (0..OWN_NAMES.len())
            .map(|term| {
                let is_watched = WATCHED_TERMS.contains(&OWN_NAMES[term]);
                let values = terms.iter().map(|own| own.0[term]);
                is_watched.then(|| Moments::of(values)).flatten()
            })
            .collect();
        let is_new = self.drift.compared.replace(model.id) != Some(model.id);
        if let Some(found) = self.drift.terms.push(&now, &model.document.own_moments, is_new) {
            // Another finding than that of the coverage, which may come with the same session.
            let began = EventTime::from_kst(day, rules::OPEN).plus_micros(1);
            self.tell_drift(model.id, found, began, (time, at), out);
        }
    }

    fn tell_drift(
        &self,
        id: ModelId,
        found: DriftFinding,
        began: EventTime,
        (time, at): (EventTime, RecordRef),
        out: &mut ScoreBatch,
    ) {
        let finding = Finding {
            level: found.level,
            price: 0,
            reference_price: 0,
            change_pct: 0.0,
            window_s: 0,
            evidence: found.evidence,
        };
        let context = self.market_context(Rule::ModelDrift, time, began, at);
        self.tell_as(context, &id.to_string(), finding, out);
    }
}

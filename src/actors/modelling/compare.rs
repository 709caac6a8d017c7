//! A new model beside the one in use: on which sessions, with which losses, and what follows. Both
//! forecast with the terms that a daemon knows, as it will score with them.

use std::sync::Arc;

use serde::Serialize;

use super::super::model_watch::built_in;
use super::{Activate, Effort, ModellingError, compute};
use crate::evaluate::{self, Run, RunOptions};
use crate::market::{ModelId, ModelSwitch, SessionDay};
use crate::messages::ModelVersion;
use crate::model::choice::LEAST_SESSIONS;
use crate::model::design::Reader;
use crate::model::{Document, Losses, Origin, Panel, Validation, validate, worse};
use crate::store::models::ModelRegistry;

/// A new model beside the one in use, on the same sessions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The version in use.
    pub with: ModelId,
    /// Whether the sessions are those since it was fitted; else the window of the validation.
    pub since_its_fit: bool,
    /// Losses of the new one and of the one in use; `None`: one of them cannot be scored there.
    pub losses: Option<(Losses, Losses)>,
}

/// The new model beside the one in use, measured as [`crate::model::choice`] says; `None`: there is none
/// in use.
pub(super) async fn compare(
    registry: &ModelRegistry,
    panel: &Arc<Panel>,
    new: &Document,
    effort: Effort,
) -> Result<Option<Comparison>, ModellingError> {
    let index = registry.index().await?;
    let (id, old) = match index.active() {
        Some(active) => (active.id, in_use(registry, active).await),
        // Daemons score with the one that is built in until there is another.
        None => match built_in().map_err(ModellingError::BuiltIn)? {
            Some(switch) => (switch.id, of_switch(&switch)),
            None => return Ok(None),
        },
    };
    let nothing = Comparison { with: id, since_its_fit: false, losses: None };
    // One that is damaged must not stand in the way of a new one.
    let old = match old {
        Ok(document) => document,
        Err(error) => {
            tracing::warn!(%error, "the model in use cannot be compared with");
            return Ok(Some(nothing));
        }
    };
    let rows = match panel.info.to > new.trained_until {
        true => Arc::new(panel.before(new.trained_until.next())),
        false => Arc::clone(panel),
    };
    let since = old.trained_until.next();
    let unseen = rows.sessions().iter().filter(|day| **day >= since.epoch_days()).count();
    let since_its_fit = unseen >= LEAST_SESSIONS;
    let losses = if since_its_fit {
        let window = (since, new.trained_until);
        let walked = walk(&rows, Reader::Daemon, window, effort).await.map(|run| losses_of(&run));
        both(walked, measure(&rows, old, Reader::Daemon, window, effort).await)
    } else if let Some(window) = new.validation.as_ref().map(|one| (one.from, one.to)) {
        let own = measure(&rows, new.clone(), Reader::Daemon, window, effort).await;
        let own = own.map(|own| Some(Losses::from(&own)));
        both(own, measure(&rows, old, Reader::Daemon, window, effort).await)
    } else {
        Ok(None)
    };
    Ok(Some(Comparison { since_its_fit, losses: losses?, ..nothing }))
}

/// Both losses, where both could be had.
fn both(
    new: Result<Option<Losses>, ModellingError>,
    old: Result<Validation, ModellingError>,
) -> Result<Option<(Losses, Losses)>, ModellingError> {
    match (new, old) {
        (Ok(Some(new)), Ok(old)) => Ok(Some((new, Losses::from(&old)))),
        (Ok(None), _) => Ok(None),
        (Err(error), _) | (_, Err(error)) if error.is_too_few() => {
            tracing::debug!(%error, "nothing to compare on");
            Ok(None)
        }
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

fn losses_of(run: &Run) -> Option<Losses> {
    let metrics = run.metrics.as_ref()?;
    Some(Losses {
        fz0_025: metrics.fz0_025,
        qlike_r2: metrics.qlike_r2,
        rows: metrics.rows,
        from: metrics.from,
        to: metrics.to,
    })
}

/// Forecasts and picks of each session of the window, from what was known before it.
pub(super) async fn walk(
    panel: &Arc<Panel>,
    reader: Reader,
    (from, to): (SessionDay, SessionDay),
    effort: Effort,
) -> Result<Run, ModellingError> {
    let rows = Arc::clone(panel);
    let options = RunOptions { from: Some(from), to: Some(to), reader, ..RunOptions::default() };
    Ok(compute(effort, move || evaluate::run(&rows, &options, &|_| ())).await??)
}

fn of_switch(switch: &ModelSwitch) -> Result<Document, ModellingError> {
    Document::from_json(switch.document.as_bytes())
        .map_err(|error| ModellingError::Unusable { id: switch.id, reason: error.to_string() })
}

pub(super) async fn in_use(
    registry: &ModelRegistry,
    version: &ModelVersion,
) -> Result<Document, ModellingError> {
    let bytes = registry.document(version).await?;
    Document::from_json(&bytes)
        .map_err(|error| ModellingError::Unusable { id: version.id, reason: error.to_string() })
}

pub(super) async fn measure(
    panel: &Arc<Panel>,
    document: Document,
    reader: Reader,
    window: (SessionDay, SessionDay),
    effort: Effort,
) -> Result<Validation, ModellingError> {
    let rows = Arc::clone(panel);
    let measure = move || validate(&rows, &document, (Origin::Close, reader), window);
    Ok(compute(effort, measure).await??)
}

/// Whether the new version is put to use, with a note; else why not.
pub(super) fn verdict(
    activate: Activate,
    new: Option<&Validation>,
    found: Option<&Comparison>,
) -> Result<String, String> {
    match (activate, new, found) {
        (Activate::Never, ..) => Err("registered only, as asked".to_owned()),
        (Activate::Always, ..) => Ok("put to use by force".to_owned()),
        (_, None, _) => {
            Err("it could not be validated: no row of the last year has 500 clean days \
                             before it; --force puts it to use all the same"
                .to_owned())
        }
        (_, Some(_), None) => Ok("the first one in use".to_owned()),
        (_, Some(_), Some(Comparison { with, losses: None, .. })) => {
            Ok(format!("the model in use, {with}, cannot be scored on these rows"))
        }
        (_, Some(_), Some(Comparison { with, losses: Some((new, old)), .. }))
            if !new.same_rows(old) =>
        {
            Err(format!(
                "it was scored on {} rows from {} to {}, {with} on {} from {} to {}: that is no \
                 comparison; --force puts it to use all the same",
                new.rows, new.from, new.to, old.rows, old.from, old.to
            ))
        }
        (_, Some(_), Some(Comparison { with, losses: Some((new, old)), .. })) => {
            match worse(new, old) {
                Some(worse) => Err(format!("worse than {with}: {worse}")),
                None => Ok(format!("not worse than {with}")),
            }
        }
    }
}

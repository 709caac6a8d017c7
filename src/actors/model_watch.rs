//! Looks after the model that scores are made with: asks the registry at the start and now and then
//! whether another version is in use, and brings it into the stream.
//!
//! **In:** the registry, and the model that is built in. **Out:** a journal record
//! ([`ModelRecord`]) into Ingest's inbox, so that the switch has its place among the frames and a
//! replay sees the same; what is said of the versions on the [`ModelBoard`]; their rows in the
//! database; the health line `model`. **State:** the version that was brought last.
//!
//! Order of choice: the registry's active version, else the one built in, else none.
//!
//! **The registry is away, hangs, or is damaged; a document cannot be read:** the model in use stays,
//! the health line says why, and it is asked again. At the start the feed waits for the first
//! answer, at most [`FIRST_ANSWER`]: so a day is not begun with one model and gone on with another
//! for no reason. Without an answer by then the built-in model serves until there is one.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::ingest::wall_micros;
use super::supervision::{Edge, StageError};
use crate::market::{ModelId, ModelOrigin, ModelSwitch};
use crate::messages::health::{Component, HealthRegistry, HealthState};
use crate::messages::{
    Flag, Forecasts, FrameBatch, FrameKind, LiveModel, ModelBoard, ModelRecord, ModelVersion,
};
use crate::model::{Document, FittedModel};
use crate::store::Database;
use crate::store::models::{ModelRegistry, newest_evaluation, sha256, write_versions};

/// The feed waits for the registry's first answer no longer than this.
pub const FIRST_ANSWER: Duration = Duration::from_secs(5);
/// A later answer may take as long: a document of some megabytes over a slow line.
const LATER_ANSWER: Duration = Duration::from_secs(60);
const DAY_US: i64 = 86_400_000_000;

/// What the watch is made of.
#[derive(Debug, Clone)]
pub struct ModelWatchParts {
    /// The registry.
    pub registry: ModelRegistry,
    /// The model shipped with the program; `None`: there is none.
    pub built_in: Option<ModelSwitch>,
    /// Where the versions' rows go; `None` in a dry run.
    pub database: Option<Database>,
    /// What readers see.
    pub board: ModelBoard,
    /// Where it says which model is in use.
    pub health: HealthRegistry,
    /// Time between two looks.
    pub every: Duration,
    /// Longest time until the first answer: [`FIRST_ANSWER`].
    pub first_answer: Duration,
    /// Set after the first look, whatever came of it.
    pub looked: Flag,
}

/// The model shipped with the program, as its file was when the program was built.
const SHIPPED: &[u8] = include_bytes!("../../config/models/default.json");

/// The model shipped with the program; `None` while there is none (the file says `null`).
///
/// # Errors
/// When the shipped file is no model: a mistake of the build.
pub fn built_in() -> Result<Option<ModelSwitch>, String> {
    shipped(SHIPPED)
}

/// A shipped file: `null`, or `{"id": …, "document": …}`.
fn shipped(bytes: &[u8]) -> Result<Option<ModelSwitch>, String> {
    #[derive(serde::Deserialize)]
    struct Shipped {
        id: ModelId,
        document: Document,
    }
    let wrong = |error: &dyn std::fmt::Display| format!("config/models/default.json: {error}");
    let found: Option<Shipped> = serde_json::from_slice(bytes).map_err(|error| wrong(&error))?;
    let Some(Shipped { id, document }) = found else { return Ok(None) };
    let text = document.to_json().map_err(|error| wrong(&error))?;
    let sha256 = sha256(bytes);
    Ok(Some(ModelSwitch { id, origin: ModelOrigin::BuiltIn, sha256, document: text.into() }))
}

/// What was done so far.
#[derive(Debug, Default)]
struct Watch {
    /// What was brought last, with its checksum.
    brought: Option<(LiveModel, String)>,
    /// The list whose rows are in the database.
    stored: Vec<ModelVersion>,
    /// The trouble that was told last.
    told: Option<String>,
    evaluation_read: bool,
}

/// Watches the registry until it is told to stop.
///
/// # Errors
/// When Ingest is gone.
pub async fn run_model_watch(
    parts: Arc<ModelWatchParts>,
    frames: Edge<Arc<FrameBatch>>,
    stop: CancellationToken,
) -> Result<(), StageError> {
    let mut watch = Watch::default();
    loop {
        {
            let look = watch.look(&parts, &frames);
            tokio::pin!(look);
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                done = &mut look => done?,
                // A journal that takes nothing takes no model either. The feed is not kept from it:
                // what comes is refused and told by Ingest, and the model comes when there is room.
                () = tokio::time::sleep(2 * parts.first_answer), if !parts.looked.is_set() => {
                    parts.looked.set();
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => return Ok(()),
                        done = &mut look => done?,
                    }
                }
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(parts.every) => {}
        }
    }
}

impl Watch {
    /// One look.
    async fn look(
        &mut self,
        parts: &ModelWatchParts,
        frames: &Edge<Arc<FrameBatch>>,
    ) -> Result<(), StageError> {
        let patience = if parts.looked.is_set() { LATER_ANSWER } else { parts.first_answer };
        let problem = match tokio::time::timeout(patience, self.wanted(parts)).await {
            Ok(Ok(Some(switch))) => self.bring(frames, &switch).await?,
            Ok(Ok(None)) => None,
            Ok(Err(problem)) => Some(problem),
            Err(_) => Some(format!("the registry has not answered within {patience:?}")),
        };
        // A registry that cannot be read at the start must not leave the daemon without any model; one
        // that came back with a checkpoint goes on.
        if problem.is_some()
            && self.brought.is_none()
            && parts.board.live().is_none()
            && let Some(built_in) = &parts.built_in
        {
            self.bring(frames, built_in).await?;
        }
        self.tell(parts, problem);
        parts.looked.set();
        self.store(parts).await;
        Ok(())
    }

    /// The model that should be in use, when it is not the one that was brought last.
    async fn wanted(&mut self, parts: &ModelWatchParts) -> Result<Option<ModelSwitch>, String> {
        let index = parts.registry.index().await.map_err(|error| error.to_string())?;
        if parts.board.versions().as_ref() != index.versions() {
            parts.board.set_versions(index.versions().to_vec());
        }
        let Some(active) = index.active() else {
            let own = parts.built_in.as_ref();
            return Ok(own.filter(|own| !self.has(own.id, &own.sha256)).cloned());
        };
        if self.has(active.id, &active.model_sha256) {
            return Ok(None);
        }
        let bytes = parts.registry.document(active).await.map_err(|error| error.to_string())?;
        let text = std::str::from_utf8(&bytes).map_err(|error| error.to_string());
        let text = text.map_err(|error| format!("the model {}: {error}", active.id))?;
        Ok(Some(ModelSwitch {
            id: active.id,
            origin: ModelOrigin::Registry,
            sha256: active.model_sha256.clone(),
            document: text.into(),
        }))
    }

    fn has(&self, id: ModelId, sha256: &str) -> bool {
        self.brought.as_ref().is_some_and(|(known, checksum)| known.id == id && checksum == sha256)
    }

    /// Sends a model on, unless it cannot be used; then why.
    async fn bring(
        &mut self,
        frames: &Edge<Arc<FrameBatch>>,
        switch: &ModelSwitch,
    ) -> Result<Option<String>, StageError> {
        let checked = FittedModel::read(switch).map_err(|error| error.to_string());
        let packed =
            checked.and_then(|_| ModelRecord::payload(switch).map_err(|error| error.to_string()));
        let payload = match packed {
            Ok(payload) => payload,
            Err(error) => {
                return Ok(Some(format!("the model {} cannot be used: {error}", switch.id)));
            }
        };
        let mut batch = FrameBatch::new();
        batch.push(FrameKind::Model, wall_micros(), &payload);
        let journaled = batch.receipt();
        frames.send(Arc::new(batch)).await?;
        journaled.wait().await;
        tracing::info!(
            model = %switch.id,
            origin = ?switch.origin,
            sha256 = switch.sha256,
            bytes = payload.len(),
            "scores are made with this model from here on"
        );
        let live = LiveModel { id: switch.id, origin: switch.origin };
        self.brought = Some((live, switch.sha256.clone()));
        Ok(None)
    }

    /// Says which model is in use, and what is wrong.
    fn tell(&mut self, parts: &ModelWatchParts, problem: Option<String>) {
        if let Some(problem) =
            problem.as_ref().filter(|problem| self.told.as_ref() != Some(problem))
        {
            tracing::error!(problem, "the model in use stays");
        }
        // A start that went on where the last run ended may have one that nobody brought yet.
        let live = self.brought.as_ref().map(|(live, _)| live.clone());
        let live = live.or_else(|| parts.board.live());
        let note = live.as_ref().map_or_else(
            || "none: scores are made by the stated formula alone".to_owned(),
            |live| {
                let days = (wall_micros() - live.id.time().micros()).max(0) / DAY_US;
                let own = if live.origin == ModelOrigin::BuiltIn { " (built-in)" } else { "" };
                format!("{}{own}, {days} days old", live.id)
            },
        );
        parts.health.describe(Component::Model, &note);
        let blind = parts.board.forecasts().filter(|_| live.is_some()).and_then(Forecasts::lack);
        let reasons: Vec<String> = problem.iter().cloned().chain(blind).collect();
        let state = match reasons.is_empty() {
            true => HealthState::Up,
            false => HealthState::degraded(format!("{}; in use: {note}", reasons.join("; "))),
        };
        parts.health.set(Component::Model, state);
        parts.board.set_problem(problem.clone());
        self.told = problem;
    }

    /// Brings the rows of the list up to date, and reads the newest evaluation once. The database may be
    /// away: then later.
    async fn store(&mut self, parts: &ModelWatchParts) {
        let Some(database) = &parts.database else { return };
        let versions = parts.board.versions();
        if self.stored.as_slice() != versions.as_ref() {
            match write_versions(database, &versions).await {
                Ok(_) => self.stored = versions.to_vec(),
                Err(error) => tracing::debug!(%error, "model_versions is brought up to date later"),
            }
        }
        if !self.evaluation_read {
            match newest_evaluation(database).await {
                Ok(found) => {
                    self.evaluation_read = true;
                    found.into_iter().for_each(|found| parts.board.set_evaluation(found));
                }
                Err(error) => tracing::debug!(%error, "the newest evaluation is read later"),
            }
        }
    }
}

#[cfg(test)]
mod tests;

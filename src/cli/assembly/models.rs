//! The registry of fitted models, and what watches it.

use std::sync::Arc;
use std::time::Duration;

use super::ObjectParts;
use crate::actors::model_watch::{FIRST_ANSWER, ModelWatchParts, built_in};
use crate::actors::modelling::{Effort, ModelJobParts};
use crate::cli::CliError;
use crate::config::{FeedSource, Settings};
use crate::messages::health::{Component, HealthRegistry};
use crate::messages::{Flag, ModelBoard};
use crate::store::Database;
use crate::store::models::ModelRegistry;

/// The registry of the settings' object store.
///
/// # Errors
/// When the settings of the service cannot be used.
pub fn model_registry(settings: &Settings) -> Result<ModelRegistry, CliError> {
    Ok(ModelRegistry::new(super::object_store(settings, None, false)?))
}

/// What the jobs about models work with; `None` where there is no database. The simulator's invented
/// days are no history to learn from.
#[must_use]
pub fn model_jobs(settings: &Settings, watch: &ModelWatchParts) -> Option<Arc<ModelJobParts>> {
    let database = watch.database.clone()?;
    if settings.feed.source == FeedSource::Sim {
        return None;
    }
    Some(Arc::new(ModelJobParts {
        registry: watch.registry.clone(),
        database,
        board: watch.board.clone(),
        effort: Effort::Background,
        dry_run: !settings.writes,
    }))
}

/// The watch of a daemon. In a dry run it reads the registry all the same.
///
/// # Errors
/// When the settings of the service cannot be used.
pub fn model_watch(
    settings: &Settings,
    objects: Option<&ObjectParts>,
    database: Option<&Database>,
    board: &ModelBoard,
    health: &HealthRegistry,
) -> Result<ModelWatchParts, CliError> {
    health.declare(Component::Model, false);
    let registry = match objects {
        Some(parts) => ModelRegistry::new(parts.objects.clone()),
        None => model_registry(settings)?,
    };
    Ok(ModelWatchParts {
        registry,
        built_in: built_in().map_err(CliError::runtime)?,
        database: database.cloned(),
        board: board.clone(),
        health: health.clone(),
        every: Duration::from_secs(settings.models.watch_seconds),
        first_answer: FIRST_ANSWER,
        looked: Flag::pending(),
    })
}

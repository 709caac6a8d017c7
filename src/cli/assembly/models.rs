//! The registry of fitted models, and what watches it.

use std::time::Duration;

use super::ObjectParts;
use crate::actors::model_watch::{ModelWatchParts, built_in};
use crate::cli::CliError;
use crate::config::Settings;
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
        looked: Flag::pending(),
    })
}

//! The registry of fitted models, and what watches it.

use std::sync::Arc;
use std::time::Duration;

use super::ObjectParts;
use crate::actors::model_watch::{ModelWatchParts, built_in};
use crate::actors::modelling::{Effort, ModelJob, ModelJobParts};
use crate::cli::CliError;
use crate::config::{FeedSource, Settings};
use crate::messages::health::{Component, HealthRegistry};
use crate::messages::{Flag, ModelBoard};
use crate::schedule::Task;
use crate::store::Database;
use crate::store::models::ModelRegistry;

/// The registry of the settings' object store.
///
/// # Errors
/// When the settings of the service cannot be used.
pub fn model_registry(settings: &Settings) -> Result<ModelRegistry, CliError> {
    Ok(ModelRegistry::new(super::object_store(settings, None, false)?))
}

/// The jobs about models that are on, with what they need; `None` where there is no database or no such
/// job. The simulator's invented days are no history to learn from.
///
/// # Errors
/// When `jobs.yaml` is wrong.
pub fn model_jobs(
    settings: &Settings,
    watch: &ModelWatchParts,
) -> Result<Option<ModelJobs>, CliError> {
    let Some(database) = watch.database.clone() else { return Ok(None) };
    let jobs = super::schedule()?;
    let of = |task, job: ModelJob| {
        jobs.of(task).map(move |one| (job, one.name.clone(), one.interval())).collect::<Vec<_>>()
    };
    let mut due = of(Task::RetrainModel, ModelJob::Retrain);
    due.extend(of(Task::EvaluateModels, ModelJob::Evaluate));
    if due.is_empty() || settings.feed.source == FeedSource::Sim {
        return Ok(None);
    }
    let parts = ModelJobParts {
        registry: watch.registry.clone(),
        database,
        board: watch.board.clone(),
        effort: Effort::Background,
        dry_run: !settings.writes,
    };
    Ok(Some((Arc::new(parts), due)))
}

/// Jobs about models: name and interval of each.
pub type ModelJobs = (Arc<ModelJobParts>, Vec<(ModelJob, String, Duration)>);

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

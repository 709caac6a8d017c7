//! `bongsu models`: the registry of fitted models.
//!
//! Reads and writes the object store of the settings, also beside a running daemon, which loads another
//! version by itself. The rows of `model_versions` follow where the database can be reached; they are no
//! condition.

use std::fmt::Write as _;

use anyhow::Context;
use serde_json::json;

use super::args::ModelsCommand;
use super::{CliError, assembly};
use crate::actors::collection::wall_clock;
use crate::config::Settings;
use crate::market::ModelId;
use crate::messages::ModelVersion;
use crate::messages::health::HealthRegistry;
use crate::model::{Document, DocumentError};
use crate::store::models::{ModelRegistry, RegistryError, write_versions};

/// Runs it.
///
/// # Errors
/// When the registry cannot be read or written, or there is no such version.
pub fn execute(command: ModelsCommand, settings: &Settings) -> Result<(), CliError> {
    assembly::start_telemetry(settings)?;
    let runtime = assembly::runtime()?;
    let registry = assembly::model_registry(settings)?;
    let text = runtime.block_on(async {
        match command {
            ModelsCommand::List { json } => list(&registry, json).await,
            ModelsCommand::Show { id, json } => show(&registry, id, json).await,
            ModelsCommand::Activate { id, json } => activate(&registry, settings, id, json).await,
        }
    })?;
    super::print(&text)
}

pub(super) fn failed(error: RegistryError) -> CliError {
    CliError::Runtime(error.into())
}

async fn list(registry: &ModelRegistry, json: bool) -> Result<String, CliError> {
    let index = registry.index().await.map_err(failed)?;
    if json {
        let active = index.active().map(|version| version.id);
        let body = json!({
            "place": registry.place(), "active": active, "models": index.versions(),
        });
        return Ok(format!("{body}\n"));
    }
    if index.versions().is_empty() {
        return Ok(format!(
            "no model is registered in {}: bongsu train makes one\n",
            registry.place()
        ));
    }
    let lines: Vec<String> = index.versions().iter().map(line).collect();
    Ok(format!("{}\n", lines.join("\n")))
}

/// A version as one line.
fn line(version: &ModelVersion) -> String {
    let mark = if version.active { "*" } else { " " };
    let measure = |name: &str| match version.metrics.get(name).and_then(serde_json::Value::as_f64) {
        Some(value) => format!("{value:.4}"),
        None => "-".to_owned(),
    };
    let text = format!(
        "{mark} {}  {:<10} until {}  {:>9} rows  fz0_025 {:>8}  qlike_r2 {:>7}  {}",
        version.id,
        version.kind,
        version.trained_until,
        version.data.rows,
        measure("fz0_025"),
        measure("qlike_r2"),
        version.note
    );
    text.trim_end().to_owned()
}

async fn show(registry: &ModelRegistry, id: ModelId, json: bool) -> Result<String, CliError> {
    let index = registry.index().await.map_err(failed)?;
    let Some(version) = index.find(id) else {
        return Err(failed(RegistryError::Unknown { id, known: index.ids() }));
    };
    let bytes = registry.document(version).await.map_err(failed)?;
    let document = Document::from_json(&bytes).map_err(|error| unusable(id, &error))?;
    if json {
        return Ok(format!("{}\n", json!({ "version": version, "document": document })));
    }
    let mut text = serde_json::to_string_pretty(version).context("the version as JSON")?;
    let variants = document.variants.iter();
    let variants: Vec<String> = variants
        .map(|variant| format!("{:?} (scale {:.4})", variant.variant, variant.scale))
        .collect();
    // Writing into a text cannot fail.
    let _ = writeln!(
        text,
        "\nits document is whole: {} bytes, {} rows fitted, coefficients {}",
        bytes.len(),
        document.fitted_rows,
        variants.join(", ")
    );
    Ok(text)
}

fn unusable(id: ModelId, error: &DocumentError) -> CliError {
    CliError::runtime(format!("the model {id} {error}; activate another version"))
}

async fn activate(
    registry: &ModelRegistry,
    settings: &Settings,
    id: ModelId,
    json: bool,
) -> Result<String, CliError> {
    let index = registry.index().await.map_err(failed)?;
    // One that no daemon could load is not put to use.
    if let Some(version) = index.find(id) {
        let bytes = registry.document(version).await.map_err(failed)?;
        Document::from_json(&bytes).map_err(|error| unusable(id, &error))?;
    }
    if !settings.writes {
        let active = index.active().map(|version| version.id);
        if index.find(id).is_none() {
            return Err(failed(RegistryError::Unknown { id, known: index.ids() }));
        }
        if json {
            return Ok(format!(
                "{}\n",
                json!({ "active": active, "before": active, "dry_run": true })
            ));
        }
        let stays = active.map_or_else(|| "none".to_owned(), |active| active.to_string());
        return Ok(format!(
            "dry run (BONGSU_WRITES=off): {id} could be put to use; in use is still {stays}\n"
        ));
    }
    let before = registry.activate(id, wall_clock()(), None).await.map_err(failed)?;
    store_rows(registry, settings).await;
    if json {
        return Ok(format!("{}\n", json!({ "active": id, "before": before })));
    }
    let was = before.map_or_else(|| "none".to_owned(), |before| before.to_string());
    let seconds = settings.models.watch_seconds;
    Ok(format!("{id} is in use (before: {was}); running daemons load it within {seconds} s\n"))
}

/// Brings `model_versions` up to date where the database can be reached; a daemon does it too.
pub(super) async fn store_rows(registry: &ModelRegistry, settings: &Settings) {
    let outcome = async {
        let health = HealthRegistry::new();
        let Some(database) = assembly::database(settings, &health).await? else { return Ok(()) };
        let index = registry.index().await.map_err(failed)?;
        let written = write_versions(&database, index.versions()).await;
        written.map(drop).map_err(|error| CliError::Runtime(error.into()))
    };
    if let Err(error) = outcome.await {
        tracing::warn!(%error, "model_versions is not up to date; a running daemon brings it there");
    }
}

//! The database and what writes into it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::super::CliError;
use crate::actors::recorder::RecorderParts;
use crate::api::{BarQuery, ReadBars};
use crate::config::Settings;
use crate::market::Directory;
use crate::messages::Checkpoints;
use crate::messages::health::{Component, HealthRegistry, HealthState};
use crate::store::{
    self, Database, DatabaseOptions, Spill, SpillOptions, StoreWriter, WriterOptions,
};

/// The database, connected and migrated; `None` in a dry run.
///
/// # Errors
/// When it cannot be reached or migrated.
pub async fn database(
    settings: &Settings,
    health: &HealthRegistry,
) -> Result<Option<Database>, CliError> {
    if !settings.writes {
        return Ok(None);
    }
    health.declare(Component::Database, true);
    let options = database_options(settings);
    let open = async {
        let database = Database::connect(settings.database.url.expose(), &options).await?;
        database.migrate().await?;
        Ok::<_, crate::store::StoreError>(database)
    };
    let database = open.await.map_err(|error| CliError::Runtime(error.into()))?;
    health.set(Component::Database, HealthState::Up);
    Ok(Some(database))
}

fn database_options(settings: &Settings) -> DatabaseOptions {
    DatabaseOptions {
        connections: settings.database.pool.max(2),
        write_timeout: Duration::from_millis(settings.database.timeout_ms),
        ..DatabaseOptions::default()
    }
}

/// As [`database`], for a daemon: a server that is away is waited for while rows go to the spill.
/// Also why it is away.
///
/// # Errors
/// When waiting would not help.
pub async fn database_or_away(
    settings: &Settings,
    health: &HealthRegistry,
) -> Result<(Option<Database>, Option<String>), CliError> {
    if !settings.writes {
        return Ok((None, None));
    }
    health.declare(Component::Database, true);
    let url = settings.database.url.expose();
    let (database, away) = Database::open(url, &database_options(settings))
        .await
        .map_err(|error| CliError::Runtime(error.into()))?;
    let away = away.map(|error| error.to_string());
    match &away {
        None => health.set(Component::Database, HealthState::Up),
        Some(why) => {
            tracing::error!(
                why,
                "the database is away at the start; rows go to the spill until it comes"
            );
            health.set(Component::Database, HealthState::down(why.clone()))
        }
    };
    Ok((Some(database), away))
}

/// Reads bars of `database` for the HTTP interface, each time within `database.timeout_ms`, and one
/// client after the other: however many ask, the Recorder finds a connection of the pool free.
#[must_use]
pub fn bars(settings: &Settings, database: Database) -> ReadBars {
    let within = Duration::from_millis(settings.database.timeout_ms);
    let turn = Arc::new(Mutex::new(database));
    Arc::new(move |wanted: BarQuery| {
        let turn = Arc::clone(&turn);
        Box::pin(async move {
            let BarQuery { symbol, interval, from, to, limit } = wanted;
            let read = async {
                let database = turn.lock().await;
                store::read::bars(&database, symbol, interval, from, to, limit as u64).await
            };
            match tokio::time::timeout(within, read).await {
                Ok(Ok(bars)) => Ok(bars),
                Ok(Err(error)) => {
                    tracing::warn!(%error, "stored bars cannot be read");
                    Err("the database does not answer as it should".to_owned())
                }
                Err(_) => Err("the database does not answer in time".to_owned()),
            }
        })
    })
}

/// Adds what a daemon needs while its database is away: the spill below `data_dir`.
///
/// # Errors
/// When its folder cannot be used.
pub fn with_spill(
    parts: RecorderParts,
    settings: &Settings,
    data_dir: &Path,
    away: Option<String>,
) -> Result<RecorderParts, CliError> {
    let cap = settings.database.spill_mib << 20;
    let spill = Spill::open(SpillOptions::new(data_dir.join("spill"), cap))
        .map_err(|error| CliError::Runtime(error.into()))?;
    if !spill.is_empty() {
        tracing::info!(
            bytes = spill.bytes(),
            "rows of an earlier run lie in the spill and are written first"
        );
    }
    let spill = Some(Arc::new(parking_lot::Mutex::new(spill)));
    Ok(RecorderParts { spill, away, ..parts })
}

/// The Recorder over `database`.
#[must_use]
pub fn recorder(
    settings: &Settings,
    database: Option<Database>,
    directory: &Directory,
    health: &HealthRegistry,
    checkpoints: &Checkpoints,
) -> RecorderParts {
    let options = WriterOptions {
        max_rows: WriterOptions::default().max_rows.max(2 * settings.database.batch_rows),
    };
    RecorderParts {
        inbox: crate::actors::recorder::inbox(),
        database,
        away: None,
        spill: None,
        writer: Arc::new(Mutex::new(StoreWriter::new(directory.clone(), options))),
        batch_rows: settings.database.batch_rows,
        flush_every: Duration::from_millis(settings.database.flush_ms),
        health: health.clone(),
        checkpoints: checkpoints.clone(),
    }
}

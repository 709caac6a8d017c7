//! `bongsu jobs`: the schedule that is in force, and doing one of its jobs by hand.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::run::wait_for_the_end;
use super::{CliError, assembly};
use crate::actors::collection::{Clock, RunLog, RunStatus, collect, wall_clock};
use crate::actors::modelling::{Effort, ModelJob, ModelJobParts, run_job};
use crate::config::{FeedSource, Settings};
use crate::kis::sim::{RunningSim, SimOptions, SimSpeed, Simulator};
use crate::market::{EventTime, Symbol, rules};
use crate::messages::ModelBoard;
use crate::messages::health::HealthRegistry;
use crate::schedule::Task;

/// Prints the jobs.
///
/// # Errors
/// When `jobs.yaml` is wrong, or the output cannot be written.
pub fn list(json: bool) -> Result<(), CliError> {
    let jobs = assembly::schedule()?;
    if json {
        let text = serde_json::to_string(&jobs).context("jobs as JSON")?;
        return super::print(&format!("{text}\n"));
    }
    let mut text = String::new();
    for job in &jobs.jobs {
        let state = if job.enabled { "on" } else { "off" };
        let task = serde_json::to_value(job.task).context("task as JSON")?;
        let task = task.as_str().unwrap_or_default();
        // Writing into a text cannot fail.
        let _ = writeln!(text, "{:<24} {:<4} every {:<6} {task}", job.name, state, job.every);
    }
    super::print(&text)
}

/// Does the job `name` now.
///
/// # Errors
/// When there is no such job, it cannot be done by hand, or not all of it could be done.
pub fn run(name: &str, json: bool, settings: &Settings) -> Result<(), CliError> {
    let jobs = assembly::schedule()?;
    let Some(job) = jobs.find(name) else {
        let known: Vec<&str> = jobs.jobs.iter().map(|job| job.name.as_str()).collect();
        let known = known.join(", ");
        return Err(CliError::Usage(format!("there is no job \"{name}\"; jobs.yaml has: {known}")));
    };
    match job.task {
        Task::CollectMarketPrices => {}
        Task::RetrainModel => return model_job(ModelJob::Retrain, &job.name, json, settings),
        Task::EvaluateModels => return model_job(ModelJob::Evaluate, &job.name, json, settings),
        Task::GenerateRecommendations => {
            return Err(CliError::Usage(format!(
                "the job \"{name}\" follows the market within `bongsu run` and cannot be done by hand"
            )));
        }
    }
    assembly::start_telemetry(settings)?;
    let runtime = assembly::runtime()?;
    let log = collect_now(&runtime, &job.name, settings);
    if let Ok(runtime) = Arc::try_unwrap(runtime) {
        runtime.shutdown_timeout(Duration::from_millis(500));
    }
    let log = log?;
    let text = if json {
        serde_json::to_string(&log).context("the run as JSON")?
    } else {
        format!("{name} {} {}", log.id, log.summary())
    };
    super::print(&format!("{text}\n"))?;
    match log.status {
        RunStatus::Done => Ok(()),
        _ => Err(CliError::runtime(format!(
            "the job \"{name}\" is not done whole: {}",
            log.summary()
        ))),
    }
}

/// A job about models, now, with all cores.
fn model_job(job: ModelJob, name: &str, json: bool, settings: &Settings) -> Result<(), CliError> {
    assembly::start_telemetry(settings)?;
    let runtime = assembly::runtime()?;
    let outcome = runtime.block_on(async {
        let database = assembly::database(settings, &HealthRegistry::new()).await?;
        let database = database.ok_or_else(|| {
            CliError::Usage(format!(
                "the job \"{name}\" reads the database, which a dry run (BONGSU_WRITES=off) does not open"
            ))
        })?;
        let parts = ModelJobParts {
            registry: assembly::model_registry(settings)?,
            database,
            board: ModelBoard::default(),
            effort: Effort::Full,
            dry_run: false,
        };
        Ok::<_, CliError>(run_job(&parts, job, name, wall_clock()()).await)
    })?;
    let text = match json {
        true => serde_json::to_string(&outcome).context("the outcome as JSON")?,
        false => format!("{name} {}: {}", outcome.status, outcome.detail),
    };
    super::print(&format!("{text}\n"))?;
    match outcome.is_failure() {
        false => Ok(()),
        true => Err(CliError::runtime(format!("the job \"{name}\" failed: {}", outcome.detail))),
    }
}

fn collect_now(runtime: &Arc<Runtime>, job: &str, settings: &Settings) -> Result<RunLog, CliError> {
    let health = HealthRegistry::new();
    let database = runtime.block_on(assembly::database(settings, &health))?;
    let sim = match settings.feed.source {
        FeedSource::Sim => Some(runtime.block_on(played_day(settings))?),
        FeedSource::Kis => None,
    };
    let client = assembly::kis_clients(settings, sim.as_ref(), &settings.data_dir)?.swap_remove(0);
    let (symbols, clock) = match &sim {
        Some(sim) => (simulated(settings, sim), after_close(sim)),
        None => (settings.feed.symbols.clone(), wall_clock()),
    };
    let objects = match settings.writes {
        true => Some(assembly::object_store(settings, None, true)?),
        false => None,
    };
    if let Some(objects) = &objects {
        let wishes = assembly::bucket_wishes(settings);
        if let Err(error) = runtime.block_on(objects.prepare(&wishes)) {
            tracing::warn!(%error, "raw answers cannot be kept");
        }
    }
    let stores = (database, objects);
    let parts = assembly::collection(settings, client, &symbols, stores, &health, clock)?;
    let planned = wall_clock()();
    Ok(runtime.block_on(async {
        let stop = CancellationToken::new();
        let run = collect(&parts, job, planned, &stop);
        tokio::pin!(run);
        let log = tokio::select! {
            log = &mut run => log,
            why = wait_for_the_end(None) => {
                tracing::info!(why, "stopping");
                stop.cancel();
                run.await
            }
        };
        if let Some(sim) = &sim {
            sim.stop().await;
        }
        log
    }))
}

/// The built-in simulator, its day played to the end.
pub(super) async fn played_day(settings: &Settings) -> Result<RunningSim, CliError> {
    let options = SimOptions { speed: Some(SimSpeed::Max), ..assembly::sim_options(settings)? };
    let failed = |error: crate::kis::sim::SimError| CliError::Runtime(error.into());
    let sim = Simulator::load(options).map_err(failed)?.start().await.map_err(failed)?;
    sim.finished().await;
    Ok(sim)
}

pub(super) fn simulated(settings: &Settings, sim: &RunningSim) -> Vec<Symbol> {
    if settings.feed.symbols.is_empty() {
        return sim.references.iter().map(|reference| reference.symbol).collect();
    }
    settings.feed.symbols.clone()
}

/// A clock that stands still after the close of the simulated day.
pub(super) fn after_close(sim: &RunningSim) -> Clock {
    const HOUR: i64 = 3_600_000_000;
    let now = EventTime::from_kst(sim.session_day(), rules::CLOSE).plus_micros(HOUR);
    Arc::new(move || now)
}

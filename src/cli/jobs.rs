//! `bongsu jobs`: the schedule that is in force, and doing one of its jobs by hand.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::run::wait_for_the_end;
use super::{CliError, assembly};
use crate::actors::collection::{Clock, RunLog, RunStatus, collect, wall_clock};
use crate::actors::modelling::{Effort, JobOutcome, ModelJob, ModelJobParts, run_job};
use crate::actors::scheduler::view;
use crate::config::{FeedSource, Settings};
use crate::kis::sim::{RunningSim, SimOptions, SimSpeed, Simulator};
use crate::market::{Calendar, EventTime, Symbol, rules};
use crate::messages::health::HealthRegistry;
use crate::messages::{JobRow, ModelBoard};
use crate::store::Database;
use crate::store::job_runs::{JobRun, RunStatus as RunState, write_job_run};

/// Prints the jobs.
///
/// # Errors
/// When `jobs.yaml` is wrong, or the output cannot be written.
pub fn list(json: bool) -> Result<(), CliError> {
    let rows = rows(1)?;
    if json {
        return print_json(&rows);
    }
    let mut text = String::new();
    for row in &rows {
        let state = if row.enabled { "on" } else { "off" };
        let next = match (row.next.first(), &row.problem) {
            (Some(next), _) => format!("next {}", next.local),
            (None, Some(problem)) => format!("no next run: {problem}"),
            (None, None) if row.clock == "event" => "by the market's clock".to_owned(),
            (None, None) => String::new(),
        };
        // Writing into a text cannot fail.
        let _ =
            writeln!(text, "{:<20} {state:<3}  {:<26} {:<44} {next}", row.name, row.task, row.when);
    }
    super::print(&text)
}

/// Prints the `count` coming runs of each job that the scheduler starts, with zone and reason.
///
/// # Errors
/// As [`list`].
pub fn next(count: usize, json: bool) -> Result<(), CliError> {
    let mut rows = rows(count)?;
    rows.retain(|row| row.enabled && row.clock == "wall");
    if json {
        return print_json(&rows);
    }
    let mut text = String::new();
    for row in &rows {
        let _ = writeln!(text, "{}: {} ({})", row.name, row.when, row.zone);
        for next in &row.next {
            let _ = writeln!(text, "  {}  {}", next.at, next.local);
        }
        if let Some(problem) = &row.problem {
            let _ = writeln!(text, "  {problem}");
        }
    }
    super::print(&text)
}

/// Rows of all jobs by the built-in calendar, with their `count` coming runs.
fn rows(count: usize) -> Result<Vec<JobRow>, CliError> {
    let (jobs, calendar, now) = (assembly::schedule()?, Calendar::krx(), wall_clock()());
    Ok(jobs.jobs.iter().map(|job| view::row(job, &calendar, now, count, None)).collect())
}

fn print_json(rows: &[JobRow]) -> Result<(), CliError> {
    let text = serde_json::to_string(&json!({ "jobs": rows })).context("jobs as JSON")?;
    super::print(&format!("{text}\n"))
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
        "collect_market_prices" => {}
        "retrain_model" => return model_job(ModelJob::Retrain, &job.name, json, settings),
        "evaluate_models" => return model_job(ModelJob::Evaluate, &job.name, json, settings),
        task => {
            return Err(CliError::Usage(format!(
                "the job \"{name}\" ({task}) is done within `bongsu run` and cannot be done by hand"
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
        let planned = wall_clock()();
        let outcome = run_job(&parts, job, name, planned).await;
        note(&parts.database, name, planned, &outcome).await;
        Ok::<_, CliError>(outcome)
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

/// Puts a run by hand into `job_runs`.
async fn note(database: &Database, job: &str, planned: EventTime, outcome: &JobOutcome) {
    let status = match outcome.status {
        "done" => RunState::Done,
        "skipped" => RunState::Skipped,
        _ => RunState::Failed,
    };
    let run = JobRun {
        job: job.to_owned(),
        planned,
        status,
        detail: outcome.detail.clone(),
        started: planned,
        finished: Some(wall_clock()()),
        task_id: None,
        attempt: 1,
    };
    if let Err(error) = write_job_run(database, &run).await {
        tracing::warn!(job, %error, "the run is not in job_runs");
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

//! The scheduler of a daemon, and what it has done.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::actors::collection::{CollectionParts, RunStatus, collect};
use crate::actors::modelling::{ModelJob, ModelJobParts, run_job};
use crate::actors::scheduler::{
    Clocks, Desk, Ledger, LocalDesk, Memory, Progress, ScheduleFile, SchedulerParts, Work,
};
use crate::cli::CliError;
use crate::config::Settings;
use crate::messages::health::{Component, HealthRegistry};
use crate::messages::{JobBoard, TradingDays};
use crate::schedule::{FILE, Jobs};
use crate::store::Database;

/// What planned runs work with; `None` for what this process has not.
pub struct JobWorks {
    /// Collection from KIS.
    pub collection: Option<Arc<CollectionParts>>,
    /// Models of the database.
    pub models: Option<Arc<ModelJobParts>>,
}

/// The scheduler over the schedule of the working directory.
///
/// # Errors
/// When `jobs.yaml` is wrong or cannot be read.
pub fn scheduler(
    settings: &Settings,
    desk: Arc<dyn Desk>,
    database: Option<Database>,
    days: TradingDays,
    board: JobBoard,
    health: &HealthRegistry,
) -> Result<SchedulerParts, CliError> {
    health.declare(Component::Scheduler, false);
    let wrong = |error: crate::schedule::ScheduleError| CliError::Usage(error.to_string());
    let folder = PathBuf::new();
    let text = Jobs::text(&folder).map_err(wrong)?;
    let jobs = Jobs::parse(&text, &folder.join(FILE)).map_err(wrong)?;
    let file = move || ScheduleFile::new(folder.clone(), text.clone(), jobs.clone());
    Ok(SchedulerParts {
        file: Arc::new(file),
        ledger: database.map_or_else(|| Ledger::Memory(Memory::default()), Ledger::Database),
        desk: Some(desk),
        days,
        clocks: Clocks::machine(),
        holder: format!("pid {}", std::process::id()),
        ttl: Duration::from_secs(settings.schedule.lease_seconds),
        board,
        health: health.clone(),
    })
}

/// A desk that does what this process can by itself.
#[must_use]
pub fn local_desk(runtime: &Runtime, works: JobWorks) -> Arc<dyn Desk> {
    Arc::new(LocalDesk::new(
        runtime.handle().clone(),
        works_of(works),
        "this process has nothing to do it with: no keys of KIS, no database, or no tasks".into(),
    ))
}

fn works_of(JobWorks { collection, models }: JobWorks) -> BTreeMap<&'static str, Work> {
    let mut works: BTreeMap<&'static str, Work> = BTreeMap::new();
    works.insert(
        "debug_ping",
        Arc::new(|_, _| Box::pin(async { Progress::Done("pong".to_owned()) })),
    );
    if let Some(parts) = collection {
        let work: Work = Arc::new(move |order, stop| {
            let parts = Arc::clone(&parts);
            Box::pin(async move {
                let log = collect(&parts, &order.job, order.planned, &stop).await;
                match log.status {
                    RunStatus::Done => Progress::Done(log.summary()),
                    _ => Progress::Failed(log.summary()),
                }
            })
        });
        works.insert("collect_market_prices", work);
    }
    if let Some(parts) = models {
        // One at a time: each takes half the cores.
        let turn = Arc::new(tokio::sync::Mutex::new(()));
        for job in [ModelJob::Retrain, ModelJob::Evaluate] {
            let (parts, turn) = (Arc::clone(&parts), Arc::clone(&turn));
            let work: Work = Arc::new(move |order, stop| {
                let (parts, turn) = (Arc::clone(&parts), Arc::clone(&turn));
                Box::pin(async move {
                    let _turn = turn.lock().await;
                    let outcome = tokio::select! {
                        biased;
                        () = stop.cancelled() => return Progress::Failed("taken back".to_owned()),
                        outcome = run_job(&parts, job, &order.job, order.planned) => outcome,
                    };
                    match outcome.status {
                        "done" => Progress::Done(outcome.detail),
                        "skipped" => Progress::Skipped(outcome.detail),
                        _ => Progress::Failed(outcome.detail),
                    }
                })
            });
            works.insert(job.as_str(), work);
        }
    }
    works
}

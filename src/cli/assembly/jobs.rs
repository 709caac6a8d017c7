//! What tasks are made of: their world, their runner, and the queue they come by.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;

use crate::actors::collection::CollectionParts;
use crate::actors::jobs::{TaskWorld, registry};
use crate::actors::modelling::{Effort, ModelJobParts};
use crate::actors::outlet::AdviceOutlet;
use crate::actors::reports::ReportDesk;
use crate::actors::scheduler::{Desk, QueueOrders};
use crate::actors::supervision::Edge;
use crate::actors::task_desk::QueueDesk;
use crate::actors::task_log::{self, RunsToStore, run_task_log};
use crate::actors::task_queue::{run_task_queue, watch_tasks};
use crate::actors::tree::{AdviceParts, Tree};
use crate::api::Access;
use crate::bus::Publisher;
use crate::cli::CliError;
use crate::config::{Settings, TaskSettings};
use crate::messages::health::{Component, HealthRegistry};
use crate::messages::task_desk::TaskDesk;
use crate::messages::{AdviceBoard, AskScenario, EventBus, ModelBoard, RiskBoard, StoreBatch};
use crate::store::{Database, Objects};
use crate::tasks::memory::{MemoryOptions, MemoryQueue};
use crate::tasks::{Clock, Registry, Runner, RunnerOptions, TaskPolicy};

/// What of a process the tasks work on.
pub struct TaskMeans {
    /// Scores.
    pub board: RiskBoard,
    /// Events.
    pub bus: EventBus,
    /// Newest advice.
    pub advice: AdviceBoard,
    /// Models.
    pub models: ModelBoard,
    /// The way outward.
    pub publisher: Publisher,
    /// The database; `None` in a dry run.
    pub database: Option<Database>,
    /// The object store; `None` in a dry run.
    pub objects: Option<Objects>,
    /// What asks KIS; `Err`: why there is none.
    pub collection: Result<Arc<CollectionParts>, String>,
    /// Who answers scenarios.
    pub scenarios: Option<AskScenario>,
}

/// The world of the tasks; `recorder`: where what comes of them is stored, `health`: where it is told how the
/// language model does.
#[must_use]
pub fn task_world(
    settings: &Settings,
    means: TaskMeans,
    advice: &AdviceParts,
    recorder: Option<Edge<Arc<StoreBatch>>>,
    (effort, health): (Effort, &HealthRegistry),
) -> TaskWorld {
    let models = match (&means.database, &means.objects) {
        (Some(database), Some(objects)) => Some(Arc::new(ModelJobParts {
            registry: crate::store::models::ModelRegistry::new(objects.clone()),
            database: database.clone(),
            board: means.models,
            effort,
            dry_run: !settings.writes,
        })),
        _ => None,
    };
    let outlet = AdviceOutlet { publisher: means.publisher, board: means.advice, recorder };
    let reports = ReportDesk {
        writer: advice.writer.clone(),
        outlet: outlet.clone(),
        objects: means.objects.clone(),
        database: means.database.clone(),
        directory: means.board.directory.clone(),
        health: Some(health.clone()),
    };
    TaskWorld {
        board: means.board,
        bus: means.bus,
        outlet,
        database: means.database,
        objects: means.objects,
        limits: advice.limits.clone(),
        plans: advice.plans.clone(),
        assumed_position: advice.assumed_position,
        reports,
        collection: means.collection,
        models,
        scenarios: means.scenarios,
        scratch: settings.data_dir.join("tmp"),
    }
}

/// The registry of the tasks, with what the settings say of each.
///
/// # Errors
/// When the settings name a task that is not there.
pub fn task_registry(settings: &Settings, world: &TaskWorld) -> Result<Registry, CliError> {
    let wrong = |error: crate::tasks::RegistryError| CliError::Usage(error.to_string());
    let mut registry = registry(world).map_err(wrong)?;
    let policies =
        settings.task_limits.iter().map(|task| (task.name.to_owned(), policy(task))).collect();
    registry.tune(&policies).map_err(wrong)?;
    Ok(registry)
}

/// What the settings say of a task.
fn policy(task: &TaskSettings) -> TaskPolicy {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    TaskPolicy {
        soft_limit: seconds(task.soft_limit_seconds),
        hard_limit: seconds(task.hard_limit_seconds),
        max_retries: Some(task.max_retries),
        retry_backoff: seconds(task.retry_backoff_seconds),
        retry_backoff_max: seconds(task.retry_backoff_max_seconds),
        // Its form was checked with the settings.
        rate_limit: task.rate_limit.as_deref().and_then(|rate| rate.parse().ok()),
    }
}

/// The tasks of a daemon: the runner, and the queue within the process.
pub struct TaskServices {
    /// Runs them.
    pub runner: Runner,
    /// Where they can be asked for.
    pub desk: Arc<dyn TaskDesk>,
    queue: MemoryQueue,
    runs: RunsToStore,
    recorder: Option<Edge<Arc<StoreBatch>>>,
    health: HealthRegistry,
}

impl TaskServices {
    /// The schedule's way into the queue.
    #[must_use]
    pub fn orders(&self) -> Arc<dyn Desk> {
        Arc::new(QueueOrders::new(Arc::new(self.queue.clone())))
    }
}

/// The tasks over `world`; `clock`: the market's present moment.
///
/// # Errors
/// When the settings name a task that is not there.
pub fn task_services(
    settings: &Settings,
    world: &TaskWorld,
    clock: Clock,
    health: &HealthRegistry,
) -> Result<TaskServices, CliError> {
    health.declare(Component::Tasks, false);
    let (log, runs) = task_log::channel();
    let options = RunnerOptions {
        clock,
        log: world.outlet.recorder.is_some().then(|| Arc::new(log) as _),
        ..RunnerOptions::new(worker_name())
    };
    let runner = Runner::new(task_registry(settings, world)?, options);
    let queue = MemoryQueue::new(MemoryOptions::default());
    let desk = Arc::new(QueueDesk::new(runner.clone(), Arc::new(queue.clone())));
    let recorder = world.outlet.recorder.clone();
    Ok(TaskServices { runner, desk, queue, runs, recorder, health: health.clone() })
}

/// The name of this process among others: host, process id, and the moment of its start.
#[must_use]
pub fn worker_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = match host.trim() {
        "" => "unknown",
        host => host,
    };
    let started = chrono::Utc::now().timestamp();
    format!("bongsu@{host}:{}:{started}", std::process::id())
}

/// Who may ask the HTTP interface for what.
///
/// # Errors
/// When `api.tokens` is wrong.
pub fn access(settings: &Settings) -> Result<Access, CliError> {
    let tokens = settings.api.tokens.as_ref().map_or("", |tokens| tokens.expose_secret());
    Access::new(settings.http.listen, tokens)
        .map_err(|why| CliError::Usage(format!("api.tokens (BONGSU_API__TOKENS): {why}")))
}

/// Adds what runs tasks to the tree; those that write end before the Recorder does.
pub fn add_task_services(tree: &mut Tree, services: TaskServices) {
    let TaskServices { runner, queue, runs, recorder, health, .. } = services;
    let served = runner.clone();
    tree.add_service("task_queue", move |stop| run_task_queue(queue.clone(), served.clone(), stop));
    tree.add_service("task_watch", move |stop| watch_tasks(runner.clone(), health.clone(), stop));
    if let Some(recorder) = recorder {
        tree.add_service("task_log", move |stop| {
            run_task_log(Arc::clone(&runs), recorder.clone(), stop)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::jobs::catalogue;
    use crate::config::Sources;

    #[test]
    fn the_settings_default_to_what_the_program_says_of_each_task() {
        let settings = Settings::load(&Sources::default()).unwrap();
        let world = TaskWorld::nothing();
        let tuned = task_registry(&settings, &world).unwrap();
        for spec in catalogue() {
            let now = tuned.get(spec.name).unwrap().spec();
            assert_eq!(
                (now.soft_limit, now.hard_limit, now.retry, now.rate_limit),
                (spec.soft_limit, spec.hard_limit, spec.retry, spec.rate_limit),
                "{}",
                spec.name
            );
            assert!(
                settings.task_limits.iter().any(|task| task.name == spec.name),
                "{}",
                spec.name
            );
        }
    }
}

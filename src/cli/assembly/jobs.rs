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
use crate::actors::task_worker::{PATIENCE, STOPS_WITHIN, TaskWorkerParts, run_task_worker};
use crate::actors::tree::{AdviceParts, Tree};
use crate::api::Access;
use crate::bus::Publisher;
use crate::cli::CliError;
use crate::config::{Settings, TaskSettings};
use crate::messages::health::{Component, HealthRegistry};
use crate::messages::task_desk::TaskDesk;
use crate::messages::{AdviceBoard, AskScenario, EventBus, ModelBoard, RiskBoard, StoreBatch};
use crate::store::{Database, Objects};
use crate::tasks::celery::{CeleryQueue, ClientOptions, WorkerOptions, node_name};
use crate::tasks::memory::{MemoryOptions, MemoryQueue};
use crate::tasks::{Clock, Registry, Runner, RunnerOptions, Submit, TaskPolicy};

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
        indices: means.board.indices.clone(),
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
        holdings: advice.holdings.clone(),
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

/// Where calls come from.
enum Queue {
    /// Redis, as Celery has it; and how the worker stands there.
    Redis(Arc<CeleryQueue>, Box<WorkerOptions>),
    /// This process.
    Memory(MemoryQueue),
}

impl Queue {
    fn of(settings: &Settings) -> Result<Self, CliError> {
        match task_worker_options(settings) {
            Some(options) => Ok(Self::Redis(Arc::new(celery_queue(&options)?), Box::new(options))),
            None => Ok(Self::Memory(MemoryQueue::new(MemoryOptions::default()))),
        }
    }

    fn submit(&self) -> Arc<dyn Submit> {
        match self {
            Self::Redis(queue, _) => Arc::<CeleryQueue>::clone(queue),
            Self::Memory(queue) => Arc::new(queue.clone()),
        }
    }
}

/// The queue on Redis, for those who send.
///
/// # Errors
/// When the address of Redis cannot be used.
pub fn celery_queue(options: &WorkerOptions) -> Result<CeleryQueue, CliError> {
    let host = options.node.split_once('@').map_or("localhost", |(_, host)| host);
    CeleryQueue::open(ClientOptions {
        url: options.url.clone(),
        queue: options.queue.clone(),
        origin: format!("gen{}@{host}", std::process::id()),
        timeout: Duration::from_secs(3),
    })
    .map_err(|error| CliError::Usage(format!("redis.url (REDIS_URL): {error}")))
}

/// How the worker stands at its queue; `None` without Redis.
#[must_use]
pub fn task_worker_options(settings: &Settings) -> Option<WorkerOptions> {
    let (url, set) = (settings.redis.url.as_ref()?, &settings.tasks);
    let node = if set.node.contains('@') { set.node.clone() } else { node_name(&set.node) };
    Some(WorkerOptions {
        url: url.expose().to_owned(),
        queue: set.queue.clone(),
        node,
        concurrency: set.concurrency,
        prefetch: set.prefetch,
        visibility: Duration::from_secs(set.visibility_timeout_seconds),
        lost_after: Duration::from_secs(set.lost_after_seconds),
        result_life: Duration::from_secs(set.result_expires_seconds),
        track_started: set.track_started,
        events: set.events,
        max_message: set.max_message_mib << 20,
        patience: PATIENCE,
    })
}

/// The tasks of a daemon: the runner, and the queue they come by.
pub struct TaskServices {
    /// Runs them.
    pub runner: Runner,
    /// Where they can be asked for.
    pub desk: Arc<dyn TaskDesk>,
    queue: Queue,
    runs: RunsToStore,
    recorder: Option<Edge<Arc<StoreBatch>>>,
    health: HealthRegistry,
}

impl TaskServices {
    /// The schedule's way into the queue.
    #[must_use]
    pub fn orders(&self) -> Arc<dyn Desk> {
        Arc::new(QueueOrders::new(self.queue.submit()))
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
    let (log, runs) = task_log::channel();
    let options = RunnerOptions {
        clock,
        io_concurrency: settings.tasks.concurrency,
        log: world.outlet.recorder.is_some().then(|| Arc::new(log) as _),
        ..RunnerOptions::new(worker_name())
    };
    let runner = Runner::new(task_registry(settings, world)?, options);
    let queue = Queue::of(settings)?;
    let desk = Arc::new(QueueDesk::new(runner.clone(), queue.submit()));
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
    health.declare(Component::Tasks, false);
    match queue {
        Queue::Redis(_, options) => {
            let recorder = recorder.clone();
            let parts = Arc::new(TaskWorkerParts { options: *options, runner, health, recorder });
            tree.add_patient_service("task_worker", STOPS_WITHIN, move |stop| {
                run_task_worker(Arc::clone(&parts), stop)
            });
        }
        Queue::Memory(queue) => {
            let served = runner.clone();
            tree.add_service("task_queue", move |stop| {
                run_task_queue(queue.clone(), served.clone(), stop)
            });
            tree.add_service("task_watch", move |stop| {
                watch_tasks(runner.clone(), health.clone(), stop)
            });
        }
    }
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

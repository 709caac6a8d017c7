//! A process without the role `ingest`: tasks, schedule or HTTP, over the same database, Redis and objects as
//! the one that has the pipeline.
//!
//! It owns no journal and locks no data folder, so any number of them may run. What it lacks it reads from the
//! database and from the stream on Redis ([`crate::actors::follow`]). Rows that it writes wait in memory while
//! the database is away.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::{Mutex, watch};

use super::collection::present;
use super::{Role, serve, stop_when_told, tell_health};
use crate::actors::collection::{CollectionParts, wall_clock};
use crate::actors::follow::{follow_events, follow_scores};
use crate::actors::modelling::Effort;
use crate::actors::scheduler::run_scheduler;
use crate::actors::tree::{ServiceParts, Tree};
use crate::api::{self, ApiError, ApiState};
use crate::cli::CliError;
use crate::cli::args::RunArgs;
use crate::cli::assembly::{self, TaskMeans};
use crate::config::{FeedSource, Settings};
use crate::market::Directory;
use crate::messages::health::HealthRegistry;
use crate::messages::{
    AdviceBoard, BusLimits, Checkpoints, EventBus, JobBoard, ModelBoard, RiskBoard, TradingDays,
};
use crate::store::{Database, Objects};
use crate::telemetry;

/// Why a schedule alone does nothing.
const NOBODY_WORKS: &str = "--roles: beat without worker hands its jobs to the workers at the queue on Redis, and \
    none is set; set redis.url (REDIS_URL) here and there, or give this process the role worker too";

/// Runs the roles until the process is told to stop.
///
/// # Errors
/// When the role beat has nobody to work for it, when a part cannot be started, or the tree gives up.
pub(super) fn run(
    runtime: &Arc<Runtime>,
    settings: &Settings,
    args: &RunArgs,
    told: watch::Receiver<Option<&'static str>>,
) -> Result<(), CliError> {
    let has = |role: Role| role.is_in(&args.roles);
    let health = HealthRegistry::new();
    let listener = listener(runtime, settings, has(Role::Api))?;
    let (database, _) = runtime.block_on(assembly::database_or_away(settings, &health))?;
    let bus = EventBus::new(BusLimits::default());
    let publisher = assembly::publisher(runtime, settings, &bus, &health)?;
    let objects = match settings.writes {
        true => Some(assembly::object_store(settings, Some(&health), false)?),
        false => None,
    };
    let board = RiskBoard::new(Directory::new());
    let (advice, models) = (AdviceBoard::default(), ModelBoard::default());
    let recorder = assembly::recorder(
        settings,
        database.clone(),
        &board.directory,
        &health,
        &Checkpoints::none(),
    );
    let rows = recorder.database.is_some().then(|| recorder.inbox.edge("tasks"));
    let world_objects = objects.clone();
    let scenarios = assembly::daemon_scenarios(settings, database.clone())?;
    // What is stored of a score is less than a pipeline knows: tasks read it with the daily bars.
    let means = TaskMeans {
        board: RiskBoard::new(Directory::new()),
        bus: bus.clone(),
        advice: advice.clone(),
        models: models.clone(),
        publisher: publisher.clone(),
        database: database.clone(),
        objects: objects.clone(),
        collection: collection(settings, (database.clone(), objects), &health),
        scenarios: scenarios.clone(),
    };
    let advisers = assembly::advice(runtime, settings, (database.clone(), world_objects))?;
    let how = (Effort::Background, &health);
    let world = assembly::task_world(settings, means, &advisers, rows, how);
    // Without the role, tasks can still be asked for: over Redis, of who has it.
    let tasks = match has(Role::Worker) || settings.redis.url.is_some() {
        true => {
            Some(assembly::task_services(settings, &world, present(&board, settings), &health)?)
        }
        false => None,
    };
    let jobs = JobBoard::default();
    let scheduler = match (has(Role::Beat), &tasks) {
        (false, _) => None,
        (true, None) => return Err(CliError::Usage(NOBODY_WORKS.to_owned())),
        (true, Some(tasks)) => {
            let (ledger, days) = (database.clone(), TradingDays::default());
            let desk = tasks.orders();
            let parts = assembly::scheduler(settings, desk, ledger, days, jobs.clone(), &health)?;
            Some(Arc::new(parts))
        }
    };
    let state = ApiState::new(
        board.clone(),
        bus.clone(),
        advice.clone(),
        health.clone(),
        Arc::new(|| telemetry::install().render()),
        settings.http.max_streams,
    )
    .with_bars(database.clone().map(|database| assembly::bars(settings, database)))
    .with_models(models)
    .with_jobs(jobs)
    .with_scenarios(scenarios)
    .with_tasks(tasks.as_ref().map(|tasks| Arc::clone(&tasks.desk)))
    .with_access(assembly::access(settings)?)
    .with_health_only(!has(Role::Api));
    let roles: Vec<String> =
        args.roles.iter().map(|role| format!("{role:?}").to_lowercase()).collect();
    tracing::info!(
        roles = roles.join(","),
        http = listener.as_ref().and_then(|one| one.local_addr().ok()).map(|at| format!("http://{at}")),
        database = %crate::store::db::redact(settings.database.url.expose()),
        redis = settings.redis.url.is_some(),
        "bongsu is starting without a pipeline"
    );
    runtime.spawn(telemetry::install().keep_up());
    let parts = ServiceParts {
        runtime: Arc::clone(runtime),
        supervision: assembly::supervision(settings),
        recorder: Some(recorder),
    };
    let (monitored, monitor) = (health.clone(), publisher.clone());
    // A day that is played has its own present, which the scores tell.
    let played = has(Role::Worker) && settings.feed.source == FeedSource::Sim;
    let (shows, follows) = (has(Role::Api), has(Role::Api) || played);
    let works = has(Role::Worker);
    let (url, listen) = (settings.redis.url.clone(), settings.http.listen);
    let stop_after = args.duration.map(|seconds| seconds.0);
    let outcome = assembly::run_tree(
        runtime,
        || {
            let mut tree = Tree::of_services(parts);
            tree.add_service("health_monitor", move |stop| {
                tell_health(monitored.clone(), monitor.clone(), stop)
            });
            if let (true, Some(database)) = (follows, database.clone()) {
                let health = health.clone();
                tree.add_service("follow_scores", move |stop| {
                    follow_scores(board.clone(), database.clone(), health.clone(), stop)
                });
            }
            if let (true, Some(url)) = (shows, url) {
                tree.add_service("follow_events", move |stop| {
                    let url = url.expose().to_owned();
                    follow_events(url, bus.clone(), advice.clone(), database.clone(), stop)
                });
            }
            if let Some(scheduler) = scheduler {
                tree.add_service("scheduler", move |stop| {
                    run_scheduler(Arc::clone(&scheduler), stop)
                });
            }
            if let Some(tasks) = tasks.filter(|_| works) {
                assembly::add_task_services(&mut tree, tasks);
            }
            if let Some(listener) = listener {
                let first = Arc::new(Mutex::new(Some(listener)));
                tree.add_service("http", move |stop| {
                    serve(Arc::clone(&first), listen, state.clone(), stop)
                });
            }
            tree
        },
        |tree| stop_when_told(tree.handles.root.clone(), told, stop_after),
    );
    let unsent = runtime.block_on(publisher.close(Duration::from_secs(2)));
    if unsent > 0 {
        tracing::warn!(unsent, "events could not be sent to Redis before the end");
    }
    outcome?;
    tracing::info!("bongsu has stopped");
    Ok(())
}

/// The address of HTTP. Without the role `api` it is for probes alone, so an address that another process of
/// this machine has is gone without.
fn listener(
    runtime: &Runtime,
    settings: &Settings,
    needed: bool,
) -> Result<Option<tokio::net::TcpListener>, CliError> {
    match runtime.block_on(api::bind(settings.http.listen)) {
        Ok(listener) => Ok(Some(listener)),
        Err(error @ ApiError::InUse(_)) if !needed => {
            tracing::warn!(%error, "this process answers no probes");
            Ok(None)
        }
        Err(error) => Err(CliError::Runtime(error.into())),
    }
}

/// What asks KIS from here; why there is none, otherwise.
fn collection(
    settings: &Settings,
    stores: (Option<Database>, Option<Objects>),
    health: &HealthRegistry,
) -> Result<Arc<CollectionParts>, String> {
    if settings.feed.source == FeedSource::Sim {
        return Err("the source is the simulator, which plays within the process that has the role ingest; set KIS_APP_KEY and KIS_APP_SECRET here, or ask there".to_owned());
    }
    let mut clients = assembly::kis_clients(settings, None, &settings.data_dir)
        .map_err(|error| error.to_string())?;
    let client = clients.swap_remove(0);
    assembly::collection(settings, client, &settings.feed.symbols, stores, health, wall_clock())
        .map(Arc::new)
        .map_err(|error| error.to_string())
}

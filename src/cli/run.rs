//! `bongsu run`: the daemon.
//!
//! Puts the parts together: settings, data folder, database, outward bus, the simulator when it is
//! the source, the feed, the tree and the HTTP server; runs until it is told to stop; stops in the
//! order in which data flows, so that everything received is handled and stored.

mod collection;
mod satellite;
mod signals;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use self::collection::{collection_of, collection_on_demand, present};
use self::signals::listen;
pub(super) use self::signals::wait_for_the_end;
use super::CliError;
use super::args::{Role, RunArgs};
use super::assembly::{self, Continuity, DataDir, TaskMeans, TaskServices};
use crate::actors::backfill::{BackfillParts, run_backfill};
use crate::actors::feed::{FeedParts, run_feed};
use crate::actors::model_watch::{ModelWatchParts, run_model_watch};
use crate::actors::modelling::Effort;
use crate::actors::poll::{PollParts, run_poll};
use crate::actors::scheduler::{SchedulerParts, run_scheduler};
use crate::actors::supervision::{StageError, SupervisorHandle};
use crate::actors::trading_days::run_trading_days;
use crate::actors::tree::{Tree, TreeParts};
use crate::api::{self, Access, ApiState, ReadBars};
use crate::bus::Publisher;
use crate::config::{FeedSource, Settings};
use crate::journal::JournalOptions;
use crate::kis::sim::{RunningSim, SimOptions, Simulator};
use crate::kis::{Lane, MarketHours};
use crate::market::Directory;
use crate::messages::health::{Component, HealthRegistry};
use crate::messages::{
    AdviceBoard, AskScenario, BusLimits, EventBus, Flag, JobBoard, ModelBoard, Repairs, RiskBoard,
    SegmentUse,
};
use crate::telemetry;

/// A stop is over within this time, one way or the other.
const STOP_WITHIN: Duration = Duration::from_millis(9_500);

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// [`CliError::Runtime`] when a part cannot be started, or the tree gives up.
pub fn execute(args: RunArgs, settings: Settings) -> Result<(), CliError> {
    assembly::start_telemetry(&settings)?;
    let runtime = assembly::runtime()?;
    let told = listen(&runtime);
    if !Role::Ingest.is_in(&args.roles) {
        let outcome = satellite::run(&runtime, &settings, &args, told);
        if let Ok(runtime) = Arc::try_unwrap(runtime) {
            runtime.shutdown_timeout(Duration::from_millis(500));
        }
        return outcome;
    }
    let data_dir = DataDir::lock(&settings.data_dir)?;
    let outcome = Daemon::start(&runtime, &settings, &args.roles, &data_dir)
        .and_then(|daemon| daemon.run(&runtime, &settings, args, told));
    // Tasks that still run (a simulator, a connection driver) are not waited for long.
    if let Ok(runtime) = Arc::try_unwrap(runtime) {
        runtime.shutdown_timeout(Duration::from_millis(500));
    }
    drop(data_dir);
    outcome
}

/// Everything that was started before the tree.
struct Daemon {
    bus: EventBus,
    publisher: Publisher,
    health: HealthRegistry,
    board: RiskBoard,
    advice_board: AdviceBoard,
    models: ModelBoard,
    model_watch: Arc<ModelWatchParts>,
    jobs: JobBoard,
    scheduler: Arc<SchedulerParts>,
    listener: tokio::net::TcpListener,
    feed: FeedParts,
    repairs: Repairs,
    objects: Option<assembly::ObjectParts>,
    sim: Option<RunningSim>,
    parts: TreeParts,
    continuity: Continuity,
    /// What the HTTP interface reads bars with; `None` in a dry run.
    bars: Option<ReadBars>,
    /// Who answers scenarios; `None` without daily bars to look into.
    scenarios: Option<AskScenario>,
    tasks: TaskServices,
    access: Access,
}

impl Daemon {
    fn start(
        runtime: &Arc<Runtime>,
        settings: &Settings,
        roles: &[Role],
        data_dir: &DataDir,
    ) -> Result<Self, CliError> {
        let health = HealthRegistry::new();
        health.declare(Component::Feed, true);
        health.declare(Component::Journal, true);
        let listener = runtime
            .block_on(api::bind(settings.http.listen))
            .map_err(|error| CliError::Runtime(error.into()))?;
        let (database, away) = runtime.block_on(assembly::database_or_away(settings, &health))?;
        let bars = database.clone().map(|database| assembly::bars(settings, database));
        let scenarios = assembly::daemon_scenarios(settings, database.clone())?;
        let bus = EventBus::new(BusLimits::default());
        let publisher = assembly::publisher(runtime, settings, &bus, &health)?;
        let sim = match settings.feed.source {
            FeedSource::Sim => Some(start_simulator(runtime, settings)?),
            FeedSource::Kis => None,
        };
        let feed = assembly::feed_parts(settings, sim.as_ref(), data_dir, &health)?;
        let repairs = Repairs::default();
        let objects = assembly::object_parts(settings, &data_dir.path, &health)?;
        let store = objects.as_ref().map(|parts| parts.objects.clone());
        let stores_of_tasks = store.clone();
        let stores = (database.clone(), store);
        let advice_stores = stores.clone();
        let collection = collection_of(settings, &feed, stores.clone(), &health, &repairs)?;
        let board = RiskBoard::new(Directory::new());
        let advice_board = AdviceBoard::default();
        let segments = objects.as_ref().map_or_else(
            || SegmentUse::new(settings.archive.enabled),
            |parts| parts.segments.clone(),
        );
        let models = ModelBoard::default();
        let model_watch =
            assembly::model_watch(settings, objects.as_ref(), database.as_ref(), &models, &health)?;
        let (jobs, ledger) = (JobBoard::default(), database.clone());
        let mut continuity = Continuity::of(settings, &data_dir.path, &segments)?;
        let states = continuity.states(&board.directory, &repairs, &publisher);
        let checkpoints = continuity.checkpoints.clone();
        let means = TaskMeans {
            board: board.clone(),
            bus: bus.clone(),
            advice: advice_board.clone(),
            models: models.clone(),
            publisher: publisher.clone(),
            database: database.clone(),
            objects: stores_of_tasks,
            collection: collection_on_demand(settings, &feed, &stores, &health, &repairs),
            scenarios: scenarios.clone(),
        };
        let recorder =
            assembly::recorder(settings, database, &board.directory, &health, &checkpoints);
        let rows = recorder.database.is_some().then(|| recorder.inbox.edge("tasks"));
        let advice = assembly::advice(runtime, settings, advice_stores)?;
        let how = (Effort::Background, &health);
        let world = assembly::task_world(settings, means, &advice, rows, how);
        let clock = present(&board, settings);
        let tasks = assembly::task_services(settings, &world, clock, &health)?;
        // The simulator's invented days are no history for jobs to work on.
        let desk = match settings.feed.source {
            FeedSource::Kis if Role::Worker.is_in(roles) || settings.redis.url.is_some() => {
                tasks.orders()
            }
            _ => assembly::local_desk(
                runtime,
                assembly::JobWorks {
                    collection,
                    models: assembly::model_jobs(settings, &model_watch),
                },
            ),
        };
        let days = feed.config.days.clone();
        let scheduler = assembly::scheduler(settings, desk, ledger, days, jobs.clone(), &health)?;
        let recorder = assembly::with_spill(recorder, settings, &data_dir.path, away)?;
        let parts = TreeParts {
            runtime: Arc::clone(runtime),
            supervision: assembly::supervision(settings),
            journal: JournalOptions {
                segment_use: segments.clone(),
                ..assembly::journal_options(settings, &data_dir.path)
            },
            silence_after: Some(Duration::from_secs(settings.risk.stale_seconds.into())),
            risk: assembly::risk_params(settings),
            board: board.clone(),
            advice_board: advice_board.clone(),
            models: models.clone(),
            publisher: publisher.clone(),
            health: health.clone(),
            recorder: Some(recorder),
            advice: Some(advice),
            repairs: Some(repairs.clone()),
            batch_latency: None,
            checkpoints,
            caught_up: continuity.caught_up.clone(),
            states,
        };
        Ok(Self {
            bus,
            publisher,
            health,
            board,
            advice_board,
            models,
            jobs,
            scheduler: Arc::new(scheduler),
            model_watch: Arc::new(model_watch),
            listener,
            feed,
            repairs,
            objects,
            sim,
            parts,
            continuity,
            bars,
            scenarios,
            tasks,
            access: assembly::access(settings)?,
        })
    }

    fn run(
        self,
        runtime: &Arc<Runtime>,
        settings: &Settings,
        args: RunArgs,
        told: watch::Receiver<Option<&'static str>>,
    ) -> Result<(), CliError> {
        let Self {
            bus,
            publisher,
            health,
            board,
            advice_board,
            models,
            model_watch,
            jobs,
            scheduler,
            listener,
            feed,
            repairs,
            objects,
            sim,
            parts,
            mut continuity,
            bars,
            scenarios,
            tasks,
            access,
        } = self;
        let roles = args.roles.clone();
        let address = listener.local_addr().unwrap_or(settings.http.listen);
        let asked = Role::Worker.is_in(&roles) || settings.redis.url.is_some();
        let state = ApiState::new(
            board,
            bus,
            advice_board,
            health.clone(),
            Arc::new(|| telemetry::install().render()),
            settings.http.max_streams,
        )
        .with_bars(bars)
        .with_scenarios(scenarios)
        .with_models(models)
        .with_jobs(jobs)
        .with_tasks(asked.then(|| Arc::clone(&tasks.desk)))
        .with_access(access)
        .with_health_only(!Role::Api.is_in(&roles));
        tracing::info!(
            source = settings.feed.source.as_str(),
            issues = feed.symbols.len(),
            http = %format!("http://{address}"),
            database = %crate::store::db::redact(settings.database.url.expose()),
            redis = settings.redis.url.is_some(),
            writes = settings.writes,
            "bongsu is starting"
        );
        let listener = Arc::new(Mutex::new(Some(listener)));
        let listen = settings.http.listen;
        let stop_after = args.duration.map(|seconds| seconds.0);
        let (monitored, monitor) = (health.clone(), publisher.clone());
        runtime.spawn(telemetry::install().keep_up());
        let outcome = assembly::run_tree(
            runtime,
            || {
                let mut tree = Tree::new(parts);
                continuity.catch_up(&mut tree, &health);
                let ready = model_watch.looked.clone();
                watch_models(&mut tree, model_watch, &continuity.caught_up);
                bring_frames(&mut tree, feed, repairs, &ready);
                tree.add_service("health_monitor", move |stop| {
                    tell_health(monitored.clone(), monitor.clone(), stop)
                });
                if let Some(objects) = objects {
                    assembly::add_object_services(&mut tree, objects);
                }
                if Role::Beat.is_in(&roles) {
                    tree.add_service("scheduler", move |stop| {
                        run_scheduler(Arc::clone(&scheduler), stop)
                    });
                }
                if Role::Worker.is_in(&roles) {
                    assembly::add_task_services(&mut tree, tasks);
                }
                tree.add_service("http", move |stop| {
                    serve(Arc::clone(&listener), listen, state.clone(), stop)
                });
                tree
            },
            |tree| {
                let root = tree.handles.root.clone();
                stop_when_told(root, told, stop_after)
            },
        );
        continuity.finish();
        runtime.block_on(async {
            let unsent = publisher.close(Duration::from_secs(2)).await;
            if unsent > 0 {
                tracing::warn!(unsent, "events could not be sent to Redis before the end");
            }
            if let Some(sim) = sim {
                sim.stop().await;
            }
        });
        outcome?;
        tracing::info!("bongsu has stopped");
        Ok(())
    }
}

/// Asks the tree to stop when the process is told to, or `stop_after` has passed; a stop that does not come to
/// its end ends the process.
async fn stop_when_told(
    root: SupervisorHandle,
    mut told: watch::Receiver<Option<&'static str>>,
    stop_after: Option<Duration>,
) {
    let why = tokio::select! {
        biased;
        Ok(why) = told.wait_for(Option::is_some) => why.unwrap_or("a signal"),
        why = wait_for_the_end(stop_after) => why,
    };
    tracing::info!(why, "stopping");
    root.stop();
    // A stop that does not come to its end is cut short: what is journaled is kept.
    tokio::select! {
        () = tokio::time::sleep(STOP_WITHIN) => tracing::error!(
            "the stop takes too long and is cut short; what is not in the database is in the journal"
        ),
        again = wait_for_the_end(None) => {
            tracing::error!(again, "told to stop again, ending at once");
        }
    }
    std::process::exit(1);
}

/// The watch over the model in use; it begins once the journal has been caught up with.
fn watch_models(tree: &mut Tree, parts: Arc<ModelWatchParts>, caught_up: &Flag) {
    let (edge, ready) = (tree.frames.clone(), caught_up.clone());
    tree.add_feed_task("model_watch", move |stop| {
        let (parts, to) = (Arc::clone(&parts), edge.clone());
        assembly::after(ready.clone(), stop, move |stop| run_model_watch(parts, to, stop))
    });
}

/// Everything that brings frames, once `ready`: the sessions, and what REST gives where they do not reach.
fn bring_frames(tree: &mut Tree, feed: FeedParts, repairs: Repairs, begin: &Flag) {
    let edge = tree.frames.clone();
    let patience = match feed.config.hours {
        MarketHours::Calendar => Duration::from_secs(90),
        // A day that is played stands still when it is over.
        MarketHours::Feed => Duration::from_secs(5),
    };
    let in_lane = |lane| feed.clients.iter().map(|client| client.with_lane(lane)).collect();
    let backfill = BackfillParts {
        clients: in_lane(Lane::Backfill),
        hours: feed.config.hours,
        repairs: repairs.clone(),
        patience,
    };
    let poll = PollParts {
        clients: in_lane(Lane::Poll),
        issues: feed.polled.clone(),
        repairs,
        hours: feed.config.hours,
        days: feed.config.days.clone(),
    };
    if feed.config.hours == MarketHours::Calendar {
        let (clients, days) = (feed.clients.clone(), feed.config.days.clone());
        tree.add_service("trading_days", move |stop| {
            run_trading_days(clients.clone(), days.clone(), stop)
        });
    }
    let (feed, backfill, poll) = (Arc::new(feed), Arc::new(backfill), Arc::new(poll));
    let to = edge.clone();
    let ready = begin.clone();
    tree.set_feed(move |stop| {
        let (feed, to) = (Arc::clone(&feed), to.clone());
        assembly::after(ready.clone(), stop, move |stop| run_feed(feed, to, stop))
    });
    let (to, ready) = (edge.clone(), begin.clone());
    tree.add_feed_task("backfill", move |stop| {
        let (backfill, to) = (Arc::clone(&backfill), to.clone());
        assembly::after(ready.clone(), stop, move |stop| run_backfill(backfill, to, stop))
    });
    let ready = begin.clone();
    tree.add_feed_task("poll", move |stop| {
        let (poll, to) = (Arc::clone(&poll), edge.clone());
        assembly::after(ready.clone(), stop, move |stop| run_poll(poll, to, stop))
    });
}

/// Serves HTTP; a restarted server binds the address anew.
async fn serve(
    first: Arc<Mutex<Option<tokio::net::TcpListener>>>,
    address: std::net::SocketAddr,
    state: ApiState,
    stop: CancellationToken,
) -> Result<(), StageError> {
    let failed = |error: api::ApiError| StageError::Failed(error.to_string());
    let listener = match first.lock().await.take() {
        Some(listener) => listener,
        None => api::bind(address).await.map_err(failed)?,
    };
    api::serve(listener, state, stop).await.map_err(failed)
}

/// Publishes every change of a component's state.
async fn tell_health(
    health: HealthRegistry,
    publisher: Publisher,
    stop: CancellationToken,
) -> Result<(), StageError> {
    let mut changes = health.changes();
    loop {
        let change = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            change = changes.recv() => change,
        };
        match change {
            Ok(line) => {
                publisher.publish(vec![Arc::new(line.event())]).await;
            }
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "components change state faster than that can be published");
            }
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}

fn start_simulator(runtime: &Arc<Runtime>, settings: &Settings) -> Result<RunningSim, CliError> {
    let options = SimOptions { hold: true, ..assembly::sim_options(settings)? };
    let simulator = Simulator::load(options).map_err(|error| CliError::Runtime(error.into()))?;
    let (trades, speed) = (simulator.playback().trade_count(), simulator.speed());
    let running =
        runtime.block_on(simulator.start()).map_err(|error| CliError::Runtime(error.into()))?;
    tracing::info!(
        rest = running.rest_url(),
        ws = running.ws_url(),
        day = %running.session_day(),
        issues = running.references.len(),
        trades,
        %speed,
        "the built-in KIS simulator is up"
    );
    Ok(running)
}

//! `bongsu run`: the daemon.
//!
//! Puts the parts together: settings, data folder, database, outward bus, the simulator when it is
//! the source, the feed, the tree and the HTTP server; runs until it is told to stop; stops in the
//! order in which data flows, so that everything received is handled and stored.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};
use tokio::runtime::Runtime;
use tokio::sync::Mutex;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::CliError;
use super::args::{Role, RunArgs};
use super::assembly::{self, DataDir};
use crate::actors::feed::{FeedParts, run_feed};
use crate::actors::supervision::StageError;
use crate::actors::tree::{Tree, TreeParts};
use crate::api::{self, ApiState};
use crate::bus::Publisher;
use crate::config::{FeedSource, KisEnv, Settings};
use crate::kis::sim::{RunningSim, SimOptions, Simulator};
use crate::kis::subscriptions::Watch;
use crate::kis::{Environment, FeedConfig, KisClient, KisOptions};
use crate::market::symbol::{KOSDAQ_CODE, KOSPI_CODE};
use crate::market::{Directory, EventTime, SessionDay, Symbol};
use crate::messages::health::{Component, HealthRegistry};
use crate::messages::{AdviceBoard, BusLimits, EventBus, RiskBoard};
use crate::telemetry;

/// A stop is over within this time, one way or the other.
const STOP_WITHIN: Duration = Duration::from_millis(9_500);

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// [`CliError::Runtime`] when a part cannot be started, or the tree gives up.
pub fn execute(args: RunArgs, settings: Settings) -> Result<(), CliError> {
    assembly::start_telemetry(&settings)?;
    if args.roles != [Role::All] {
        return Err(CliError::Usage(
            "--roles: only all is there yet: one process runs every part".to_owned(),
        ));
    }
    let runtime = assembly::runtime()?;
    let data_dir = DataDir::lock(&settings.data_dir)?;
    let outcome = Daemon::start(&runtime, &settings, &data_dir)
        .and_then(|daemon| daemon.run(&runtime, &settings, args));
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
    listener: tokio::net::TcpListener,
    feed: FeedParts,
    sim: Option<RunningSim>,
    parts: TreeParts,
}

impl Daemon {
    fn start(
        runtime: &Arc<Runtime>,
        settings: &Settings,
        data_dir: &DataDir,
    ) -> Result<Self, CliError> {
        let health = HealthRegistry::new();
        health.declare(Component::Feed, true);
        health.declare(Component::Journal, true);
        let listener = runtime
            .block_on(api::bind(settings.http.listen))
            .map_err(|error| CliError::Runtime(error.into()))?;
        let database = runtime.block_on(assembly::database(settings, &health))?;
        let bus = EventBus::new(BusLimits::default());
        let publisher = assembly::publisher(runtime, settings, &bus, &health)?;
        let sim = match settings.feed.source {
            FeedSource::Sim => Some(start_simulator(runtime, settings)?),
            FeedSource::Kis => None,
        };
        let feed = feed_parts(settings, sim.as_ref(), data_dir, &health)?;
        let board = RiskBoard::new(Directory::new());
        let advice_board = AdviceBoard::default();
        let parts = TreeParts {
            runtime: Arc::clone(runtime),
            supervision: assembly::supervision(settings),
            journal: assembly::journal_options(settings, &data_dir.path),
            silence_after: Some(Duration::from_secs(settings.risk.stale_seconds.into())),
            risk: assembly::risk_params(settings),
            board: board.clone(),
            advice_board: advice_board.clone(),
            publisher: publisher.clone(),
            health: health.clone(),
            recorder: Some(assembly::recorder(settings, database, &board.directory, &health)),
            advice: Some(assembly::advice(settings)?),
            batch_latency: None,
        };
        Ok(Self { bus, publisher, health, board, advice_board, listener, feed, sim, parts })
    }

    fn run(
        self,
        runtime: &Arc<Runtime>,
        settings: &Settings,
        args: RunArgs,
    ) -> Result<(), CliError> {
        let Self { bus, publisher, health, board, advice_board, listener, feed, sim, parts } = self;
        let address = listener.local_addr().unwrap_or(settings.http.listen);
        let state = ApiState::new(
            board,
            bus,
            advice_board,
            health.clone(),
            Arc::new(|| telemetry::install().render()),
            settings.http.max_streams,
        );
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
                let edge = tree.frames.clone();
                let feed = Arc::new(feed);
                tree.set_feed(move |stop| run_feed(Arc::clone(&feed), edge.clone(), stop));
                tree.add_service("health_monitor", move |stop| {
                    tell_health(monitored.clone(), monitor.clone(), stop)
                });
                tree.add_service("http", move |stop| {
                    serve(Arc::clone(&listener), listen, state.clone(), stop)
                });
                tree
            },
            |tree| {
                let root = tree.handles.root.clone();
                async move {
                    let why = wait_for_the_end(stop_after).await;
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
            },
        );
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

/// Waits for SIGTERM, SIGINT or the end of the set time; says which it was.
pub(super) async fn wait_for_the_end(after: Option<Duration>) -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let limit = async {
        match after {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            () = limit => "the set duration is over",
        },
        (terminate, interrupt) => {
            tracing::error!(?terminate, ?interrupt, "signals cannot be watched");
            limit.await;
            "the set duration is over"
        }
    }
}

fn start_simulator(runtime: &Arc<Runtime>, settings: &Settings) -> Result<RunningSim, CliError> {
    let options =
        SimOptions { hold: true, max_registrations: None, ..assembly::sim_options(settings)? };
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

/// Where the feed comes from and what it is to bring.
fn feed_parts(
    settings: &Settings,
    sim: Option<&RunningSim>,
    data_dir: &DataDir,
    health: &HealthRegistry,
) -> Result<FeedParts, CliError> {
    let environment = match settings.kis.env {
        KisEnv::Real => Environment::Real,
        KisEnv::Mock => Environment::Mock,
    };
    let (base_url, ws_url, key, secret) = match sim {
        Some(sim) => {
            let key = || SecretString::from("simulator".to_owned());
            (sim.rest_url(), sim.ws_url(), key(), key())
        }
        None => {
            let missing = || {
                CliError::Usage(
                    "feed.source is kis, but kis.app_key and kis.app_secret are not set: set \
                     KIS_APP_KEY and KIS_APP_SECRET, or a kis_devlp.yaml, or use --source sim"
                        .to_owned(),
                )
            };
            (
                settings.kis.base_url.expose().to_owned(),
                settings.kis.ws_url.expose().to_owned(),
                settings.kis.app_key.clone().ok_or_else(missing)?,
                settings.kis.app_secret.clone().ok_or_else(missing)?,
            )
        }
    };
    if key.expose_secret().is_empty() {
        return Err(CliError::Usage("kis.app_key is empty: set KIS_APP_KEY".to_owned()));
    }
    let mut options = KisOptions::new(environment, base_url, key, secret);
    if sim.is_some() {
        options.calls_per_second = None;
        options.token_cooldown = Duration::ZERO;
    } else {
        options.calls_per_second = Some(settings.kis.calls_per_second);
        options.user_agent.clone_from(&settings.kis.user_agent);
        options.token_cache = Some(data_dir.path.join("kis-token.json"));
    }
    let client = KisClient::new(options).context("kis").map_err(CliError::Runtime)?;
    let symbols: Vec<Symbol> = match (&settings.feed.symbols, sim) {
        (chosen, _) if !chosen.is_empty() => chosen.clone(),
        (_, Some(sim)) => sim.references.iter().map(|reference| reference.symbol).collect(),
        (_, None) => {
            return Err(CliError::Usage(
                "feed.symbols is empty: with KIS, say which issues to watch, for example \
                 BONGSU_FEED__SYMBOLS=005930,000660"
                    .to_owned(),
            ));
        }
    };
    let indices = [KOSPI_CODE, KOSDAQ_CODE].map(|code| {
        // Both constants are codes.
        Symbol::from_bytes(code.as_bytes()).unwrap_or_else(|| unreachable!("{code} is a code"))
    });
    let watch = Watch {
        operation_key: symbols.first().copied(),
        symbols: symbols.clone(),
        indices: indices.to_vec(),
        books: settings.feed.books,
    };
    let mut config = FeedConfig::new(ws_url, environment, watch);
    if sim.is_some() {
        config.max_registrations = None;
        config.subscribe_gap = Duration::ZERO;
    } else {
        config.max_registrations = usize::try_from(settings.feed.max_registrations).ok();
    }
    config.idle_timeout = Duration::from_secs(settings.feed.silence_seconds.into());
    config.batch_frames = settings.pipeline.batch_frames;
    let day = sim.map_or_else(today, RunningSim::session_day);
    Ok(FeedParts { client, config, symbols, day, health: health.clone() })
}

/// The Korean date by the wall clock.
fn today() -> SessionDay {
    EventTime::from_micros(crate::actors::ingest::wall_micros()).session_day()
}

//! What `run`, `replay` and `bench` have in common: runtime, folder lock, and running a tree.

mod channels;
mod data_dir;
mod database;
mod feed;
mod jobs;
mod kis;
mod llm;
mod models;
mod objects;
mod recovery;
mod scenarios;
mod schedule;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use secrecy::ExposeSecret;
use tokio::runtime::Runtime;

use self::channels::channels;
pub use self::data_dir::DataDir;
pub use self::database::{bars, database, database_or_away, recorder, with_spill};
pub use self::feed::feed_parts;
pub use self::jobs::{
    TaskMeans, TaskServices, access, add_task_services, celery_queue, task_registry, task_services,
    task_worker_options, task_world, worker_name,
};
pub use self::kis::{environment, kis_clients, kis_options, watch};
pub use self::llm::{advice, writer};
pub use self::models::{model_jobs, model_registry, model_watch};
pub use self::objects::{
    ObjectParts, add_object_services, bucket_wishes, object_parts, object_store,
};
pub use self::recovery::{Continuity, after};
pub use self::scenarios::{daemon_scenarios, holdings, scenarios};
pub use self::schedule::{JobWorks, local_desk, scheduler};
use super::CliError;
use crate::actors::collection::{Clock, CollectionParts, Patience, Ranking, Universe};
use crate::actors::tree::{SupervisionOptions, Tree, journal_folder};
use crate::bus::{Publisher, RedisOptions, RedisPublisher};
use crate::config::{CollectUniverse, Durability, KisEnv, LogFormat, Settings, Speed};
use crate::journal::JournalOptions;
use crate::kis::sim::{FaultSpec, FrameShape, SimEnv, SimOptions, SimSource, SimSpeed};
use crate::kis::{Account, KisClient, Lane};
use crate::market::Symbol;
use crate::messages::EventBus;
use crate::messages::health::{Component, HealthRegistry};
use crate::risk::RiskParams;
use crate::schedule::Jobs;
use crate::store::{Database, Objects};
use crate::telemetry;

/// The shared runtime: everything that waits for the outside runs on it, and all arbiters of the
/// tree are made on it. Two workers: the hot path has threads of its own.
///
/// # Errors
/// When threads cannot be started.
pub fn runtime() -> anyhow::Result<Arc<Runtime>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("io")
        .enable_all()
        .build()
        .context("start the runtime")?;
    Ok(Arc::new(runtime))
}

/// Runs a tree on this thread until it ends. `beside` is started with it and may stop it through
/// its handles.
///
/// # Errors
/// Why the root gave up.
pub fn run_tree<F, B>(
    runtime: &Arc<Runtime>,
    build: impl FnOnce() -> Tree,
    beside: F,
) -> anyhow::Result<()>
where
    F: FnOnce(&Tree) -> B,
    B: Future<Output = ()> + Send + 'static,
{
    let shared = Arc::clone(runtime);
    let system = actix_rt::System::with_tokio_rt(move || shared);
    system.block_on(async {
        let tree = build();
        let task = runtime.spawn(beside(&tree));
        let outcome = tree.run().await;
        task.abort();
        outcome.map_err(|why| anyhow!("the supervisor tree gave up: {why}"))
    })
}

/// Metrics and logs, as the settings say.
///
/// # Errors
/// When the log filter is wrong.
pub fn start_telemetry(settings: &Settings) -> Result<(), CliError> {
    telemetry::install();
    let format = match settings.log.format {
        LogFormat::Text => telemetry::logging::LogFormat::Text,
        LogFormat::Json => telemetry::logging::LogFormat::Json,
    };
    telemetry::logging::init(&settings.log.level, format)
        .map_err(|error| CliError::Usage(format!("log.level: {error}")))?;
    Ok(())
}

/// The way outward: the in-process bus, Redis and a channel layer when they are set.
///
/// # Errors
/// When the settings of Redis or of the layer cannot be used. One that is away is no error: events wait for it.
pub fn publisher(
    runtime: &Arc<Runtime>,
    settings: &Settings,
    bus: &EventBus,
    health: &HealthRegistry,
) -> Result<Publisher, CliError> {
    let redis = match &settings.redis.url {
        None => None,
        Some(url) => {
            health.declare(Component::Redis, false);
            let options = RedisOptions {
                stream_cap: settings.redis.stream_maxlen,
                health: Some(health.clone()),
                ..RedisOptions::new(url.expose())
            };
            // The driver of the connection lives on the shared runtime.
            let _entered = runtime.enter();
            let redis = RedisPublisher::start(options)
                .map_err(|error| CliError::Usage(format!("redis.url: {error}")))?;
            Some(redis)
        }
    };
    let channels = channels(runtime, settings, health)?;
    Ok(Publisher::new(bus.clone(), redis).with_channels(channels))
}

/// How the tree meets failures.
#[must_use]
pub fn supervision(settings: &Settings) -> SupervisionOptions {
    let set = &settings.supervision;
    SupervisionOptions {
        max_failures: set.max_restarts as usize,
        within: Duration::from_secs(set.within_seconds),
        backoff_initial: Duration::from_millis(set.backoff_initial_ms),
        backoff_max: Duration::from_millis(set.backoff_max_ms),
        heartbeat: Duration::from_millis(set.heartbeat_ms),
        hang_after: Duration::from_secs(set.hang_seconds),
        max_leaked_threads: set.max_leaked_threads as usize,
    }
}

/// The journal below `data_dir`.
#[must_use]
pub fn journal_options(settings: &Settings, data_dir: &Path) -> JournalOptions {
    let set = &settings.journal;
    let max_bytes = (set.max_gib * (1u64 << 30) as f64) as u64;
    // Offsets have 32 bits, and a batch may go past the size. A quarter of the cap at most: what
    // goes goes by whole segments, and the one that is written never does.
    let segment_bytes =
        (set.segment_mib << 20).min(max_bytes / 4).min((u32::MAX - (64 << 20)).into());
    JournalOptions {
        segment_bytes: u32::try_from(segment_bytes).unwrap_or(u32::MAX),
        durability: match set.durability {
            Durability::Process => crate::journal::Durability::Process,
            Durability::Group => {
                crate::journal::Durability::Group(Duration::from_millis(set.group_ms))
            }
            Durability::Power => crate::journal::Durability::Power,
        },
        max_bytes,
        min_free_bytes: set.min_free_mib << 20,
        keep: set.keep_hours.map(|hours| Duration::from_secs(hours * 3_600)),
        ..JournalOptions::new(journal_folder(data_dir))
    }
}

/// Thresholds of the detectors. A setting gives the level `watch` or `warning` as its text says;
/// the other levels keep their ratio to it.
#[must_use]
pub fn risk_params(settings: &Settings) -> RiskParams {
    let set = &settings.risk;
    let mut params = RiskParams::default();
    let scale = |levels: &mut [f64], factor: f64| levels.iter_mut().for_each(|x| *x *= factor);

    let crash = &mut params.symbol_crash;
    let factor = set.symbol_crash_pct / crash.long_falls_pct[1];
    scale(&mut crash.long_falls_pct, factor);
    scale(&mut crash.short_falls_pct, factor);

    let market = &mut params.market_crash;
    let factor = set.market_crash_index_pct / market.index_falls_pct[0];
    scale(&mut market.index_falls_pct, factor);
    let factor = set.market_breadth_pct / 100.0 / market.down_share[0];
    market.down_share.iter_mut().for_each(|share| *share = (*share * factor).min(1.0));

    let factor = set.volatility_ratio / params.volatility.ratios[0];
    scale(&mut params.volatility.ratios, factor);
    let factor = set.volume_surge_ratio / params.volume_surge.ratios[0];
    scale(&mut params.volume_surge.ratios, factor);

    let factor = set.jump_false_alarms / params.jump.false_alarms_a_day[0];
    scale(&mut params.jump.false_alarms_a_day, factor);
    let factor = set.slide_days / params.slide.run_length_days[0];
    scale(&mut params.slide.run_length_days, factor);
    let liquidity = &mut params.liquidity;
    let factor = set.liquidity_ratio / liquidity.spread_ratios[0];
    for ratios in
        [&mut liquidity.spread_ratios, &mut liquidity.depth_ratios, &mut liquidity.dry_ratios]
    {
        scale(ratios, factor);
    }

    let stale = i64::from(set.stale_seconds);
    params.feed_stale.feed_silence_s = [stale, 4 * stale, 20 * stale];

    let factor = f64::from(set.cooldown_seconds) / params.symbol_crash.cooldown_s as f64;
    for cooldown in [
        &mut params.symbol_crash.cooldown_s,
        &mut params.market_crash.cooldown_s,
        &mut params.volatility.cooldown_s,
        &mut params.volume_surge.cooldown_s,
        &mut params.liquidity.cooldown_s,
        &mut params.vi.cooldown_s,
        &mut params.price_limit.cooldown_s,
    ] {
        *cooldown = (*cooldown as f64 * factor) as i64;
    }
    params
}

/// The schedule of the working directory.
///
/// # Errors
/// When `jobs.yaml` is wrong.
pub fn schedule() -> Result<Jobs, CliError> {
    Jobs::load(Path::new("")).map_err(|error| CliError::Usage(error.to_string()))
}

/// What the simulator plays, by the settings.
///
/// # Errors
/// When the frames' form is not one KIS ever had, or a fault is none.
pub fn sim_options(settings: &Settings) -> Result<SimOptions, CliError> {
    let set = &settings.sim;
    let source = match &set.data {
        Some(path) => SimSource::Data {
            path: path.clone(),
            day: set.day,
            indices: set.indices.clone(),
            symbols: set.symbols.and_then(|count| usize::try_from(count).ok()),
        },
        None => SimSource::Market { market: set.market.clone(), day: set.day },
    };
    let shape = FrameShape {
        trade_fields: set.trade_fields as usize,
        book_fields: set.book_fields as usize,
        records_per_frame: set.records_per_frame as usize,
        ..FrameShape::default()
    };
    shape.check().map_err(|error| CliError::Usage(error.to_string()))?;
    let speed = set.speed.map(|speed| match speed {
        Speed::Times(times) => SimSpeed::Times(times),
        Speed::Max => SimSpeed::Max,
    });
    let env = match settings.kis.env {
        KisEnv::Real => SimEnv::Real,
        KisEnv::Mock => SimEnv::Mock,
    };
    let faults = FaultSpec::parse_list(&set.fault)
        .map_err(|error| CliError::Usage(format!("sim.fault (--fault): {error}")))?;
    Ok(SimOptions {
        source,
        speed,
        seed: set.seed,
        shape,
        env,
        faults,
        max_registrations: set.max_registrations.and_then(|most| usize::try_from(most).ok()),
        enforce_rate_limits: set.enforce_limits,
        ..SimOptions::default()
    })
}

/// The collection, over the issues of the settings or else those of the feed.
///
/// # Errors
/// When the account or the issues cannot be used.
pub fn collection(
    settings: &Settings,
    client: KisClient,
    feed_symbols: &[Symbol],
    stores: (Option<Database>, Option<Objects>),
    health: &HealthRegistry,
    clock: Clock,
) -> Result<CollectionParts, CliError> {
    let (database, objects) = stores;
    let set = &settings.collect;
    let universe = match set.universe {
        CollectUniverse::MarketCap(count) => Universe::Ranked(Ranking::MarketCap, count),
        CollectUniverse::Volume(count) => Universe::Ranked(Ranking::Volume, count),
        CollectUniverse::Symbols if !set.symbols.is_empty() => {
            Universe::Symbols(set.symbols.clone())
        }
        CollectUniverse::Symbols => Universe::Symbols(feed_symbols.to_vec()),
    };
    if universe == Universe::Symbols(Vec::new()) {
        return Err(CliError::Usage(
            "collect.symbols and feed.symbols are empty: say which issues to collect, for example \
             BONGSU_COLLECT__SYMBOLS=005930,000660, or set collect.universe to market_cap:30"
                .to_owned(),
        ));
    }
    let account = match &settings.kis.account {
        None => None,
        Some(text) => Some(
            Account::parse(text.expose_secret(), "01")
                .map_err(|error| CliError::Usage(format!("kis.account: {error}")))?,
        ),
    };
    Ok(CollectionParts {
        client: client.with_lane(Lane::Collect),
        universe,
        account,
        database,
        objects,
        clock,
        patience: Patience::default(),
        health: health.clone(),
    })
}

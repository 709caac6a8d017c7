//! `bongsu bench`: how fast the real stages are, end to end.
//!
//! `pipeline` drives frames through Ingest (with the journal on), Normalizer, RiskScorer and Alert
//! as the daemon runs them, as fast as they go, and prints one JSON line, or a table of what each
//! durability of the journal costs. `latency` sends them at a
//! steady rate with a real Redis behind Alert and compares the time from the reception of a frame
//! to the acknowledged publication with a bare PUBLISH. `store` compares bulk writes with the
//! database's own loader.

mod recovery;
mod simulate;
mod store;
mod storm;
mod train;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use parking_lot::Mutex as SyncMutex;
use serde::Serialize;

use anyhow::Context;

pub use storm::Storm;

use super::args::{BenchArgs, BenchCommand, BenchDurability};
use super::{CliError, assembly};
use crate::actors::ingest::wall_micros;
use crate::actors::limits::BATCH_FRAMES;
use crate::actors::supervision::StageError;
use crate::actors::tree::{SupervisionOptions, Tree, TreeParts};
use crate::config::Settings;
use crate::telemetry;
use fred::interfaces::{ClientLike, PubsubInterface};

use crate::bus::{Publisher, RedisOptions, RedisPublisher, redis_connection};
use crate::journal::{Durability, JournalOptions};
use crate::market::Directory;
use crate::messages::health::HealthRegistry;
use crate::messages::{
    AdviceBoard, BusLimits, Checkpoints, EventBus, Flag, FrameBatch, FrameKind, ModelBoard,
    RiskBoard,
};
use crate::risk::RiskParams;

/// Runs the command.
///
/// # Errors
/// When the tree gives up, or Redis cannot be reached.
pub fn execute(args: BenchArgs, settings: Settings) -> Result<(), CliError> {
    telemetry::install();
    let folder = std::env::temp_dir().join(format!("bongsu-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let line = match args.command {
        BenchCommand::Train { data, indices, whole, json } => {
            Ok(train::measure(&data, &indices, whole, json))
        }
        BenchCommand::Simulate { paths, horizon, holdings, days, rounds, export } => {
            let shape = simulate::Shape {
                paths: paths as usize,
                horizon,
                holdings: holdings as usize,
                days: days as usize,
                rounds: rounds as usize,
            };
            Ok(simulate::measure(shape, export.as_deref()).and_then(|figures| json(&figures)))
        }
        BenchCommand::Store { rows, rounds, database } => {
            let url = database.as_deref().unwrap_or_else(|| settings.database.url.expose());
            store::compare(&folder, url, rows as usize, rounds as usize)
                .map(|figures| json(&figures))
        }
        BenchCommand::Pipeline { frames, symbols, durability: BenchDurability::All } => {
            Ok(every_durability(&folder, frames as usize, symbols as usize))
        }
        BenchCommand::Pipeline { frames, symbols, durability } => {
            pipeline(&folder, frames as usize, symbols as usize, durability)
                .map(|figures| json(&figures))
        }
        BenchCommand::Recovery { frames, tail, symbols } => {
            let (frames, tail) = (frames as usize, tail as usize);
            recovery::recovery(&folder, frames, tail, symbols as usize)
                .map(|figures| json(&figures))
        }
        BenchCommand::Latency { rate, seconds, symbols } => {
            latency(&folder, &settings, &rate, Duration::from_secs(seconds), symbols as usize)
                .map(|figures| json(&figures))
        }
    };
    std::fs::remove_dir_all(&folder)
        .with_context(|| format!("cannot remove {}", folder.display()))?;
    super::print(&format!("{}\n", line??))
}

fn json(figures: &impl Serialize) -> anyhow::Result<String> {
    serde_json::to_string(figures).context("figures as JSON")
}

/// Ticks in a second of event time: a storm over the whole market.
const TICKS_PER_EVENT_SECOND: u64 = 50_000;

/// What `bench pipeline` prints.
#[derive(Debug, Clone, Serialize)]
pub struct PipelineFigures {
    /// Trades that were scored.
    pub ticks: u64,
    /// Issues.
    pub symbols: usize,
    /// Bytes of all frames.
    pub bytes: u64,
    /// From the first batch sent to the last one handled.
    pub seconds: f64,
    /// Their ratio.
    pub ticks_per_second: f64,
    /// Events published in the process.
    pub events: u64,
    /// From a batch being sent to its scores being there, including the wait in full inboxes.
    pub p50_batch_ms: f64,
    /// The same, 99th percentile.
    pub p99_batch_ms: f64,
    /// Frames in a batch.
    pub batch_frames: usize,
    /// What the journal survives.
    pub durability: &'static str,
}

/// Supervision as the daemon's defaults have it.
#[must_use]
pub fn supervision() -> SupervisionOptions {
    SupervisionOptions {
        max_failures: 10,
        within: Duration::from_secs(60),
        backoff_initial: Duration::from_millis(20),
        backoff_max: Duration::from_secs(5),
        heartbeat: Duration::from_millis(500),
        hang_after: Duration::from_secs(10),
        max_leaked_threads: 4,
    }
}

fn parts(
    runtime: &Arc<tokio::runtime::Runtime>,
    folder: &Path,
    durability: Durability,
    publisher: Publisher,
    latency: Arc<SyncMutex<Histogram<u64>>>,
) -> TreeParts {
    TreeParts {
        runtime: Arc::clone(runtime),
        supervision: supervision(),
        journal: JournalOptions { durability, ..JournalOptions::new(folder.join("journal")) },
        silence_after: None,
        risk: RiskParams::default(),
        board: RiskBoard::new(Directory::new()),
        advice_board: AdviceBoard::default(),
        models: ModelBoard::default(),
        publisher,
        health: HealthRegistry::new(),
        recorder: None,
        advice: None,
        repairs: None,
        batch_latency: Some(latency),
        checkpoints: Checkpoints::none(),
        caught_up: Flag::already(),
        states: None,
    }
}

/// A histogram of microseconds up to a minute with three significant digits.
///
/// # Errors
/// Never with these bounds.
fn histogram() -> anyhow::Result<Arc<SyncMutex<Histogram<u64>>>> {
    let histogram = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?;
    Ok(Arc::new(SyncMutex::new(histogram)))
}

/// The journal's durability for a word of the command line.
const fn durability_of(word: BenchDurability) -> Durability {
    match word {
        BenchDurability::Off => Durability::Buffered,
        BenchDurability::Process | BenchDurability::All => Durability::Process,
        BenchDurability::Group => Durability::Group(Duration::from_millis(50)),
        BenchDurability::Power => Durability::Power,
    }
}

/// The pipeline with each durability of the journal, as a table.
fn every_durability(folder: &Path, frames: usize, symbols: usize) -> anyhow::Result<String> {
    let each = [
        (BenchDurability::Off, "nothing: gathered in memory"),
        (BenchDurability::Process, "the death of the process"),
        (BenchDurability::Group, "a power cut, but for 50 ms"),
        (BenchDurability::Power, "a power cut"),
    ];
    let mut table = format!(
        "{frames} frames, {symbols} issues, {BATCH_FRAMES} frames a batch, journal in {}\n{:<10} {:>10} {:>9} {:>11} {:>11}  survives",
        folder.display(),
        "durability",
        "ticks/s",
        "MB/s",
        "p50 batch",
        "p99 batch"
    );
    for (durability, survives) in each {
        let folder = folder.join(durability.as_str());
        let figures = pipeline(&folder, frames, symbols, durability)?;
        std::fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
        let megabytes = figures.bytes as f64 / 1e6 / figures.seconds;
        table += &format!(
            "\n{:<10} {:>10.0} {megabytes:>9.1} {:>8.3} ms {:>8.3} ms  {survives}",
            figures.durability,
            figures.ticks_per_second,
            figures.p50_batch_ms,
            figures.p99_batch_ms,
        );
    }
    Ok(table)
}

/// Runs the pipeline over `frames` frames of `symbols` issues, with the journal in `folder`.
///
/// # Errors
/// When the tree gives up.
pub fn pipeline(
    folder: &Path,
    frames: usize,
    symbols: usize,
    durability: BenchDurability,
) -> anyhow::Result<PipelineFigures> {
    let runtime = assembly::runtime()?;
    let latency = histogram()?;
    let bus = EventBus::new(BusLimits::default());
    let publisher = Publisher::new(bus.clone(), None);
    let batches = Storm::new(symbols, TICKS_PER_EVENT_SECOND).batches(frames, BATCH_FRAMES);
    let bytes = batches.iter().map(|batch| batch.byte_len() as u64).sum();
    let batches = Arc::new(SyncMutex::new(Some(batches)));
    let journal = durability_of(durability);
    let parts = parts(&runtime, folder, journal, publisher, Arc::clone(&latency));
    let began = Instant::now();
    assembly::run_tree(
        &runtime,
        || {
            let mut tree = Tree::new(parts);
            let edge = tree.frames.clone();
            let root = tree.handles.root.clone();
            tree.set_feed(move |_| {
                let (edge, root) = (edge.clone(), root.clone());
                let batches = batches.lock().take();
                async move {
                    for mut batch in batches.into_iter().flatten() {
                        batch.stamp(wall_micros());
                        edge.send(Arc::new(batch)).await?;
                    }
                    root.stop();
                    Ok::<(), StageError>(())
                }
            });
            tree
        },
        |_| async {},
    )?;
    let seconds = began.elapsed().as_secs_f64();
    let latency = latency.lock();
    Ok(PipelineFigures {
        ticks: frames as u64,
        symbols,
        bytes,
        seconds,
        ticks_per_second: frames as f64 / seconds,
        events: bus.last_sequence(),
        p50_batch_ms: latency.value_at_quantile(0.5) as f64 / 1e3,
        p99_batch_ms: latency.value_at_quantile(0.99) as f64 / 1e3,
        batch_frames: BATCH_FRAMES,
        durability: durability.as_str(),
    })
}

/// Time at the start of a rate that is not measured: threads wake up, the script is loaded.
const WARM_UP: Duration = Duration::from_secs(2);
/// Event seconds in a second of `bench latency`: with forty issues that gives a thousand events a
/// second, evenly, instead of forty in a heap at each turn of a second.
const EVENT_SECONDS: u64 = 25;

/// One rate of `bench latency`. Times are microseconds.
#[derive(Debug, Clone, Serialize)]
pub struct RateFigures {
    /// Ticks a second as asked for.
    pub rate: u64,
    /// Ticks a second as sent.
    pub sent_rate: f64,
    /// Events acknowledged by Redis.
    pub events: u64,
    /// From the reception of the frame to the acknowledgement.
    pub p50_us: u64,
    /// The same, 99th percentile.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
    /// A bare PUBLISH of an event of the same size over a connection of its own, during the run.
    pub bare_publish_p50_us: u64,
    /// The same, 99th percentile.
    pub bare_publish_p99_us: u64,
}

/// What `bench latency` prints.
#[derive(Debug, Clone, Serialize)]
pub struct LatencyFigures {
    /// Issues.
    pub symbols: usize,
    /// What the journal survives.
    pub durability: &'static str,
    /// One entry a rate.
    pub rates: Vec<RateFigures>,
}

/// Sends ticks at steady rates and measures how long their events take to Redis.
///
/// # Errors
/// When Redis is not set or cannot be reached, or the tree gives up.
pub fn latency(
    folder: &Path,
    settings: &Settings,
    rates: &[u64],
    span: Duration,
    symbols: usize,
) -> anyhow::Result<LatencyFigures> {
    let url = settings.redis.url.as_ref().context(
        "bench latency needs a Redis: set REDIS_URL, for example redis://127.0.0.1:6379",
    )?;
    let mut figures = Vec::with_capacity(rates.len());
    for rate in rates {
        let folder = folder.join(rate.to_string());
        figures.push(one_rate(&folder, url.expose(), *rate, span, symbols)?);
    }
    Ok(LatencyFigures { symbols, durability: "process", rates: figures })
}

fn one_rate(
    folder: &Path,
    url: &str,
    rate: u64,
    span: Duration,
    symbols: usize,
) -> anyhow::Result<RateFigures> {
    let runtime = assembly::runtime()?;
    let (observed, bare) = (histogram()?, histogram()?);
    let (redis, client) = {
        let _entered = runtime.enter();
        let options =
            RedisOptions { observer: Some(Arc::clone(&observed)), ..RedisOptions::new(url) };
        (RedisPublisher::start(options)?, redis_connection(url, Duration::from_secs(3))?)
    };
    runtime.block_on(async {
        client.init().await.context("the Redis of bench latency cannot be reached")?;
        client.publish::<i64, _, _>("bongsu.bench", "warm").await.context("PUBLISH")
    })?;
    let publisher = Publisher::new(EventBus::new(BusLimits::default()), Some(redis));
    let journal = Durability::Process;
    let parts = parts(&runtime, folder, journal, publisher.clone(), histogram()?);
    let sent = Arc::new(SyncMutex::new((0u64, 0f64)));
    let (count, bare_times) = (Arc::clone(&sent), Arc::clone(&bare));
    let cold = [Arc::clone(&observed), Arc::clone(&bare)];
    assembly::run_tree(
        &runtime,
        || {
            let mut tree = Tree::new(parts);
            let edge = tree.frames.clone();
            let root = tree.handles.root.clone();
            tree.set_feed(move |_| {
                let (edge, root, count) = (edge.clone(), root.clone(), Arc::clone(&count));
                let cold = cold.clone();
                async move {
                    let mut storm = Storm::new(symbols, rate / EVENT_SECONDS);
                    steady(&edge, &mut storm, rate, WARM_UP).await?;
                    cold.iter().for_each(|histogram| histogram.lock().reset());
                    *count.lock() = steady(&edge, &mut storm, rate, span).await?;
                    root.stop();
                    Ok::<(), StageError>(())
                }
            });
            tree
        },
        |_| bare_publishes(client.clone(), bare_times),
    )?;
    runtime.block_on(async {
        publisher.close(Duration::from_secs(5)).await;
        client.quit().await.context("QUIT")
    })?;
    let (ticks, seconds) = *sent.lock();
    let (observed, bare) = (observed.lock(), bare.lock());
    Ok(RateFigures {
        rate,
        sent_rate: ticks as f64 / seconds,
        events: observed.len(),
        p50_us: observed.value_at_quantile(0.5),
        p99_us: observed.value_at_quantile(0.99),
        max_us: observed.max(),
        bare_publish_p50_us: bare.value_at_quantile(0.5),
        bare_publish_p99_us: bare.value_at_quantile(0.99),
    })
}

/// Sends single frames, each stamped when it is due, as a socket would bring them: whatever has
/// become due since the last look goes as one batch. Ticks sent, and seconds.
async fn steady(
    edge: &crate::actors::supervision::Edge<Arc<FrameBatch>>,
    storm: &mut Storm,
    rate: u64,
    span: Duration,
) -> Result<(u64, f64), StageError> {
    let mut bytes = Vec::with_capacity(512);
    let began = tokio::time::Instant::now();
    let mut ticks = 0u64;
    let mut timer = tokio::time::interval(Duration::from_millis(1));
    while began.elapsed() < span {
        timer.tick().await;
        let due = (began.elapsed().as_secs_f64() * rate as f64) as u64;
        let mut batch = FrameBatch::new();
        while ticks < due {
            bytes.clear();
            storm.frame(&mut bytes);
            batch.push(FrameKind::Data, wall_micros(), &bytes);
            ticks += 1;
        }
        if !batch.is_empty() {
            edge.send(Arc::new(batch)).await?;
        }
    }
    Ok((ticks, began.elapsed().as_secs_f64()))
}

/// A PUBLISH every ten milliseconds, timed, until the run is over.
async fn bare_publishes(client: fred::prelude::Client, times: Arc<SyncMutex<Histogram<u64>>>) {
    let payload = "x".repeat(600);
    let mut timer = tokio::time::interval(Duration::from_millis(10));
    loop {
        timer.tick().await;
        let began = Instant::now();
        match client.publish::<i64, _, _>("bongsu.bench", payload.as_str()).await {
            Ok(_) => times.lock().saturating_record(began.elapsed().as_micros() as u64),
            Err(error) => tracing::warn!(%error, "a bare PUBLISH failed"),
        }
    }
}

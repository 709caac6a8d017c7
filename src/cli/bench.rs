//! `bongsu bench`: how fast the real stages are, end to end.
//!
//! `pipeline` drives frames through Ingest (with the journal on), Normalizer, RiskScorer and Alert
//! as the daemon runs them, as fast as they go, and prints one JSON line. `latency` sends them at a
//! steady rate with a real Redis behind Alert and compares the time from the reception of a frame
//! to the acknowledged publication with a bare PUBLISH. `store` compares bulk writes with the
//! database's own loader.

mod store;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use parking_lot::Mutex as SyncMutex;
use serde::Serialize;

use anyhow::Context;

use super::args::{BenchArgs, BenchCommand};
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
use crate::market::{Directory, EventTime, SessionDay, TimeOfDay};
use crate::messages::health::HealthRegistry;
use crate::messages::{AdviceBoard, BusLimits, EventBus, FrameBatch, FrameKind, RiskBoard};
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
        BenchCommand::Store { rows, rounds, database } => {
            let url = database.as_deref().unwrap_or_else(|| settings.database.url.expose());
            store::compare(&folder, url, rows as usize, rounds as usize)
                .map(|figures| json(&figures))
        }
        BenchCommand::Pipeline { frames, symbols } => {
            pipeline(&folder, frames as usize, symbols as usize).map(|figures| json(&figures))
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

/// Frames of an invented storm, one trade each, `symbols` issues in turn.
#[derive(Debug)]
pub struct Storm {
    symbols: Vec<Issue>,
    next: usize,
    tick: u64,
    rate: u64,
    noise: u64,
    start: EventTime,
}

#[derive(Debug)]
struct Issue {
    code: String,
    base: i64,
    price: i64,
    cum_volume: i64,
    cum_value: i64,
}

impl Storm {
    /// A storm over `symbols` issues with `rate` ticks in a second of event time.
    #[must_use]
    pub fn new(symbols: usize, rate: u64) -> Self {
        let issue = |index: usize| {
            let base = 10_000 + (index as i64 * 37 % 900) * 100;
            Issue {
                code: format!("{:06}", index * 10),
                base,
                price: base,
                cum_volume: 0,
                cum_value: 0,
            }
        };
        // 2026-09-15 09:00:00, a date like any other.
        let start = EventTime::from_kst(
            SessionDay::from_epoch_days(20_711),
            TimeOfDay::from_seconds(32_400).unwrap_or_default(),
        );
        Self {
            symbols: (0..symbols.max(1)).map(issue).collect(),
            next: 0,
            tick: 0,
            rate: rate.max(1),
            noise: 0x9E37_79B9_7F4A_7C15,
            start,
        }
    }

    /// Appends the next frame: 47 fields, about 260 bytes.
    pub fn frame(&mut self, out: &mut Vec<u8>) {
        use std::io::Write;
        // xorshift64: cheap, seeded, good enough to make prices move.
        self.noise ^= self.noise << 13;
        self.noise ^= self.noise >> 7;
        self.noise ^= self.noise << 17;
        let now = self.start.plus_micros((self.tick / self.rate) as i64 * 1_000_000);
        let (day, time) = (now.session_day().yyyymmdd(), now.time_of_day().hhmmss());
        let issue = &mut self.symbols[self.next];
        let step = [0, 0, 0, 50, -50, 100, -100, 0][(self.noise >> 33) as usize % 8];
        let held = (issue.price + step).clamp(issue.base * 95 / 100, issue.base * 105 / 100);
        issue.price = held;
        let quantity = 1 + (self.noise >> 40) as i64 % 200;
        issue.cum_volume += quantity;
        issue.cum_value += quantity * issue.price;
        let (price, base) = (issue.price, issue.base);
        let side = if self.noise & 1 == 0 { 1 } else { 5 };
        // Writing into a Vec cannot fail.
        let _ = write!(
            out,
            "0|H0STCNT0|001|{code}^{time:06}^{price}^2^{change}^0.42^{price}.00^{base}^{price}^{base}^{ask}^{bid}\
             ^{quantity}^{volume}^{value}^1178^1221^43^100.12^1721981^1723971^{side}^0.45^28.62^090021^2^3100\
             ^101431^3^0^091059^2^3700^{day}^20^N^89022^3900^741191^252322^0.07^{before}^92.70^0^^{base}^2",
            code = issue.code,
            change = price - base,
            ask = price + 50,
            bid = price - 50,
            volume = issue.cum_volume,
            value = issue.cum_value,
            before = issue.cum_volume + 1_000,
        );
        self.next = (self.next + 1) % self.symbols.len();
        self.tick += 1;
    }

    /// The next `frames` frames in batches.
    pub fn batches(&mut self, frames: usize, batch: usize) -> Vec<FrameBatch> {
        let mut batches = Vec::with_capacity(frames.div_ceil(batch));
        let mut bytes = Vec::with_capacity(512);
        let mut left = frames;
        while left > 0 {
            let size = left.min(batch);
            let mut frames = FrameBatch::with_capacity(size, size * 280);
            for _ in 0..size {
                bytes.clear();
                self.frame(&mut bytes);
                frames.push(FrameKind::Data, 0, &bytes);
            }
            batches.push(frames);
            left -= size;
        }
        batches
    }
}

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
    publisher: Publisher,
    latency: Arc<SyncMutex<Histogram<u64>>>,
) -> TreeParts {
    TreeParts {
        runtime: Arc::clone(runtime),
        supervision: supervision(),
        journal: JournalOptions {
            folder: folder.join("journal"),
            segment_bytes: 64 << 20,
            durability: Durability::Process,
        },
        silence_after: None,
        risk: RiskParams::default(),
        board: RiskBoard::new(Directory::new()),
        advice_board: AdviceBoard::default(),
        publisher,
        health: HealthRegistry::new(),
        recorder: None,
        advice: None,
        repairs: None,
        batch_latency: Some(latency),
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

/// Runs the pipeline over `frames` frames of `symbols` issues, with the journal in `folder`.
///
/// # Errors
/// When the tree gives up.
pub fn pipeline(folder: &Path, frames: usize, symbols: usize) -> anyhow::Result<PipelineFigures> {
    let runtime = assembly::runtime()?;
    let latency = histogram()?;
    let bus = EventBus::new(BusLimits::default());
    let publisher = Publisher::new(bus.clone(), None);
    let batches = Storm::new(symbols, TICKS_PER_EVENT_SECOND).batches(frames, BATCH_FRAMES);
    let bytes = batches.iter().map(|batch| batch.byte_len() as u64).sum();
    let batches = Arc::new(SyncMutex::new(Some(batches)));
    let parts = parts(&runtime, folder, publisher, Arc::clone(&latency));
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
        durability: "process",
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
    let parts = parts(&runtime, folder, publisher.clone(), histogram()?);
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

//! `bongsu bench simulate`: paths a second, over an invented world that others can read too.
//!
//! The question: how long does a simulation of many paths take, next to numpy doing the same? The world
//! is made of a seed (a common factor, heavy tails); with `--export` the arrays that the kernel works on
//! are written as little-endian float32 files with a `world.json`, so that
//! `benches/simulation/simulate.py` computes the same algorithm on the same numbers and compares both
//! time and result. The limit: a path's session reads eight bytes a holding, some 10 ps a byte from the
//! second-level cache, and does about ten operations on them in vectors of eight, of which the root
//! takes the longest; a draw costs about 1 ns a session, whatever the number of holdings.

use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, StudentT};
use serde::Serialize;

use crate::advice::simulate::{
    Control, Dynamics, Exposure, Known, MarketFactor, Outcome, Plan, RiskAtLevel, World,
    WorldIssue, WorldSource, kernel::Kernel, simulate,
};
use crate::market::{Market, SessionDay, Symbol};

/// What is measured.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Shape {
    /// Paths.
    pub paths: usize,
    /// Sessions.
    pub horizon: u32,
    /// Holdings.
    pub holdings: usize,
    /// Days that are drawn from.
    pub days: usize,
    /// Rounds; the fastest counts.
    pub rounds: usize,
}

/// What it prints.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    #[serde(flatten)]
    shape: Shape,
    threads: usize,
    /// Seconds of each round: paths, figures and contributions.
    seconds: Vec<f64>,
    best_seconds: f64,
    /// Path sessions of one holding in a second.
    steps_per_second: f64,
    peak_memory_mib: Option<f64>,
    mean: f64,
    deviation: f64,
    drawdown_mean: f64,
    risk: Vec<RiskAtLevel>,
}

/// Measures, and exports the world when asked.
pub fn measure(shape: Shape, export: Option<&Path>) -> anyhow::Result<Figures> {
    let world = world(shape)?;
    let exposures: Vec<Exposure> =
        (0..shape.holdings).map(|at| Exposure::issue(at, 1_000_000.0)).collect();
    let plan = Plan { paths: shape.paths, horizon: shape.horizon, ..Plan::default() };
    if let Some(folder) = export {
        write_world(folder, shape, &Kernel::new(&world, &exposures, &plan)?)?;
    }
    let mut seconds = Vec::new();
    let mut outcome: Option<Outcome> = None;
    for _ in 0..shape.rounds {
        let began = Instant::now();
        outcome = Some(simulate(&world, &exposures, &plan, &Control::none())?);
        seconds.push(began.elapsed().as_secs_f64());
    }
    let outcome = outcome.context("no round was asked for")?;
    let best_seconds = seconds.iter().copied().fold(f64::INFINITY, f64::min);
    let steps = shape.paths as f64 * f64::from(shape.horizon) * shape.holdings as f64;
    Ok(Figures {
        shape,
        threads: rayon::current_num_threads(),
        seconds,
        best_seconds,
        steps_per_second: steps / best_seconds,
        peak_memory_mib: super::train::peak_memory_mib(),
        mean: outcome.returns.mean,
        deviation: outcome.returns.deviation,
        drawdown_mean: outcome.drawdown.mean,
        risk: outcome.risk,
    })
}

/// A market of `holdings` issues: a common factor and own parts, both of Student's t with five degrees of
/// freedom.
fn world(shape: Shape) -> anyhow::Result<World> {
    let Shape { holdings, days, .. } = shape;
    let mut rng = ChaCha8Rng::seed_from_u64(20_240_805);
    let tail = StudentT::new(5.0)?;
    // The deviation of t with five degrees of freedom.
    let unit = (5.0_f64 / 3.0).sqrt();
    let mut draw = || tail.sample(&mut rng) / unit;
    let market: Vec<f64> = (0..days).map(|_| draw()).collect();
    let day = |at: usize| SessionDay::from_epoch_days(18_267 + at as i32);
    let (mut issues, mut residuals) = (Vec::new(), Vec::new());
    for number in 0..holdings {
        let correlation = 0.4 + 0.2 * number as f64 / holdings as f64;
        let own = (1.0 - correlation * correlation).sqrt();
        residuals.extend(market.iter().map(|m| (correlation * m + own * draw()) as f32));
        let deviation = 0.015 + 0.0003 * number as f64;
        let code = format!("{number:06}");
        let symbol: Symbol = code.parse()?;
        issues.push(WorldIssue {
            symbol,
            known: Known::default(),
            price: 10_000.0,
            last_day: day(days - 1),
            halted: false,
            variance: deviation * deviation,
            long_run: deviation * deviation,
            average_value: None,
            spread_pct: 0.0,
            beta: correlation,
            tail_beta: correlation,
            correlation,
            factor: 0,
            residuals: days,
        });
    }
    let returns = vec![0.0; residuals.len()];
    let factor = MarketFactor {
        name: "KOSPI".to_owned(),
        market: Market::Kospi,
        variance: 1e-4,
        long_run: 1e-4,
        residuals: market.iter().map(|z| *z as f32).collect(),
        returns: vec![0.0; days],
    };
    let source = WorldSource {
        model: None,
        model_sha256: String::new(),
        model_trained_until: day(days - 1),
        data_sha256: String::new(),
        data_from: day(0),
        data_to: day(days - 1),
    };
    let known = (0..days).map(day).collect();
    let dynamics = Dynamics::default();
    World::of_parts(
        day(days - 1),
        source,
        known,
        issues,
        vec![factor],
        dynamics,
        residuals,
        returns,
    )
    .map_err(anyhow::Error::msg)
}

/// Writes the kernel's arrays, rows by day.
fn write_world(folder: &Path, shape: Shape, kernel: &Kernel) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let arrays = kernel.arrays();
    let files = [
        ("residuals.f32", &arrays.residuals),
        ("factors.f32", &arrays.factors),
        ("pull.f32", &arrays.pull),
        ("variance.f32", &arrays.variance),
        ("value.f32", &arrays.value),
    ];
    for (name, values) in files {
        let path = folder.join(name);
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let path = folder.join("world.json");
    let about = serde_json::json!({
        "paths": shape.paths,
        "horizon": shape.horizon,
        "holdings": shape.holdings,
        "days": kernel.drawn(),
        "price_limit": crate::advice::simulate::vectors::PRICE_LIMIT,
        "most_variance": crate::advice::simulate::vectors::MOST_VARIANCE,
    });
    std::fs::write(&path, about.to_string())
        .with_context(|| format!("cannot write {}", path.display()))
}

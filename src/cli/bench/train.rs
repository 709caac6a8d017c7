//! `bongsu bench train`: from files to a fitted model.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use serde::Serialize;

use crate::model::design::Design;
use crate::model::features::Variant;
use crate::model::gram::DailySums;
use crate::model::train::{Method, TrainOptions, train};
use crate::model::walk::Walk;
use crate::store::panel::{self, Join};

/// What it took.
#[derive(Debug, Clone, Serialize)]
struct Figures {
    engine: &'static str,
    /// Bars read.
    rows: usize,
    /// Rows fitted.
    fitted: usize,
    read_s: f64,
    features_s: f64,
    /// All months' fits and the forecasts with them.
    fit_s: f64,
    wall_s: f64,
    /// A whole training, from terms to the checked document; `None` when it was not asked for.
    train_s: Option<f64>,
    /// Largest memory of the process so far; `None` where the system does not tell.
    peak_mib: Option<f64>,
}

/// Reads, makes terms, fits every month on the rows before it and forecasts it.
pub fn measure(
    data: &[PathBuf],
    indices: &[PathBuf],
    whole: bool,
    json: bool,
) -> anyhow::Result<String> {
    let start = Instant::now();
    let panel = panel::read(data, indices, Join::Apart).context("cannot use the data")?;
    let read = start.elapsed();
    let design = Design::new(&panel, None);
    let features = start.elapsed();
    let sums = DailySums::new(&design);
    let variants = [Variant::Close, Variant::NoUs, Variant::Watched, Variant::OwnOnly];
    let walk = Walk::new(&design, &sums, Method::Har25, &variants, 0..usize::MAX, &|_, _| ())
        .context("cannot fit")?;
    let wall = start.elapsed();
    // The forecasts must not be left out as unused.
    anyhow::ensure!(walk.variance.len() == design.issues.len(), "an issue has no forecasts");
    let train_s = if whole {
        let start = Instant::now();
        train(&panel, &TrainOptions::default(), &|_| ()).context("cannot train")?;
        Some(start.elapsed().as_secs_f64())
    } else {
        None
    };
    let figures = Figures {
        engine: "bongsu, HAR-25 OLS",
        rows: panel.rows(),
        fitted: design.fitted_rows(),
        read_s: read.as_secs_f64(),
        features_s: (features - read).as_secs_f64(),
        fit_s: (wall - features).as_secs_f64(),
        wall_s: wall.as_secs_f64(),
        train_s,
        peak_mib: peak_memory_mib(),
    };
    if json {
        return serde_json::to_string(&figures).context("figures as JSON");
    }
    let trained = train_s.map_or_else(String::new, |s| format!("a whole training {s:.2} s; "));
    Ok(format!(
        "{} bars, {} rows fitted: read {:.2} s, terms {:.2} s, fits {:.2} s, in all {:.2} s; {trained}at most {} MiB",
        figures.rows,
        figures.fitted,
        figures.read_s,
        figures.features_s,
        figures.fit_s,
        figures.wall_s,
        figures.peak_mib.map_or("unknown".into(), |peak| format!("{peak:.0}")),
    ))
}

/// Peak resident memory as Linux tells it.
pub fn peak_memory_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1_024.0)
}

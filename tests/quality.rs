//! The quality of the forecasts on the real market, and the figures of `bongsu evaluate` against those of a
//! scorer that shares no code with it.
//!
//! `quality/scorer.py` reads the bars and the forecasts that `evaluate` wrote, decides by itself which rows
//! count and computes every figure anew. Run it by hand on any forecasts:
//!
//! ```text
//! bongsu evaluate --data BARS.parquet --indices INDICES.parquet --forecasts F.parquet
//! python tests/quality/scorer.py --data BARS.parquet --forecasts F.parquet [--against G.parquet]
//! ```
//!
//! Skipped by name without the shared market data; the scorer needs packages that `scripts/test` installs.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Process, shared_dir, skip, temp_dir};

/// The script's whole run; importing pandas takes most of it.
const RUN: Duration = Duration::from_secs(180);

fn bongsu(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bongsu"));
    command.args(arguments).current_dir(folder).env_clear().env("HOME", folder);
    command.output().expect("the program starts")
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The real market's bars and index series; nothing where they are not on this machine.
fn real_files() -> Option<(String, String)> {
    let file = |name: &str| {
        let path = shared_dir()?.join("data").join(name);
        path.exists().then(|| path.to_string_lossy().into_owned())
    };
    Some((file("krx-daily-kospi-2020-2025.parquet")?, file("indices-1995-2025.parquet")?))
}

/// One year of the real market, fitted month by month: figures that were computed independently
/// in Python (polars, numpy) over the same files.
#[test]
fn real_year() {
    let Some((data, indices)) = real_files() else { skip!("no daily bars of the real market") };
    let folder = temp_dir();
    let files = ["evaluate", "--data", &data, "--indices", &indices];
    let window = ["--method", "har25", "--from", "2024-07-01", "--to", "2025-06-30"];
    let results = ["--forecasts", "f.parquet", "--json"];
    let output = bongsu(folder.path(), &[&files[..], &window, &results].concat());
    assert!(output.status.success(), "{}", errors(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((report["rows"].as_u64(), report["symbols"].as_u64()), (Some(112_053), Some(523)));
    let near = |value: &Value, expected: f64, tolerance: f64| {
        let found = value.as_f64().unwrap();
        assert!((found - expected).abs() < tolerance, "{found}, expected {expected}");
    };
    near(&report["qlike_r2"], 2.7962, 1e-4);
    near(&report["qlike_range"], 0.5122, 1e-4);
    near(&report["fz0_025"], 1.8804, 1e-4);
    near(&report["fz0_05"], 1.6612, 1e-4);
    near(&report["var_99"]["exceed_ratio"], 0.0129, 1e-4);
    near(&report["var_975"]["exceed_ratio"], 0.0290, 1e-4);
    near(&report["var_95"]["exceed_ratio"], 0.0521, 1e-4);
    near(&report["var_99"]["clustered_p"], 0.475, 1e-3);
    // 2024-08-05, 2024-12-09 and 2025-04-07; the calmest days of both years stay quiet.
    let crash = &report["crash"];
    let found = ["days", "detected", "missed", "false_alarms"].map(|key| crash[key].as_u64());
    assert_eq!(found, [Some(3), Some(3), Some(0), Some(0)], "{crash}");
    assert!(crash["median_delay_s"].as_f64().is_some_and(|delay| delay.abs() < 10.0), "{crash}");
    let Some(python) = std::env::var_os("BONGSU_TEST_PYTHON").map(PathBuf::from) else {
        skip!("BONGSU_TEST_PYTHON is not set: no Python with pandas for the scorer")
    };
    same_figures(&report, &scored(&python, folder.path(), &data));
}

/// What the scorer says of the forecasts in `folder`.
fn scored(python: &Path, folder: &Path, data: &str) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/quality/scorer.py");
    let mut command = Command::new(python);
    command
        .arg(script)
        .args(["--data", data, "--forecasts", "f.parquet", "--json"])
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", folder)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let mut process = Process::spawn("scorer.py", &mut command, &folder.join("log"));
    assert!(process.wait_exit(RUN).success(), "{}", process.tail());
    let log = process.log();
    let line = log.lines().find(|line| line.starts_with('{')).expect("a JSON object");
    serde_json::from_str(line).expect("a JSON object")
}

/// Every figure that both have is the same but for rounding.
fn same_figures(report: &Value, scored: &Value) {
    let same = |ours: &Value, theirs: &Value, name: &str| {
        let (Some(a), Some(b)) = (ours.as_f64(), theirs.as_f64()) else {
            panic!("{name}: {ours}, the scorer has {theirs}")
        };
        // p-values near 0 have no digits to compare.
        assert!((a - b).abs() <= 1e-9 * b.abs().max(1e-3), "{name}: {a}, the scorer has {b}");
    };
    let window = &scored["window"];
    for (ours, theirs) in [
        ("rows", "rows"),
        ("symbols", "symbols"),
        ("replaced", "replaced"),
        ("qlike_r2", "qlike_r2"),
        ("qlike_range", "qlike_range"),
        ("fz0_025", "fz0_025"),
        ("fz0_05", "fz0_05"),
        ("es_ratio_975", "es_ratio_975"),
        ("overestimate_ratio", "over_2x"),
        ("underestimate_ratio", "under_half"),
        ("variance_ratio", "sum_h_over_r2"),
    ] {
        same(&report[ours], &window[theirs], ours);
    }
    for (ours, theirs) in [("var_99", "01"), ("var_975", "025"), ("var_95", "05")] {
        let (level, other) = (&report[ours], &window[format!("v{theirs}")]);
        same(&level["pinball"], &window[format!("pinball_{theirs}")], ours);
        for (ours, theirs) in [
            ("exceed_ratio", "exceed"),
            ("clustered_p", "clustered_p"),
            ("kupiec_p", "kupiec_p"),
            ("christoffersen_p", "christoffersen_p"),
            ("symbols_passing_kupiec", "pass_kupiec"),
            ("symbols_passing_christoffersen", "pass_christoffersen"),
        ] {
            same(&level[ours], &other[theirs], ours);
        }
    }
    let halves = report["half_years"].as_object().expect("half-years");
    assert_eq!(halves.keys().collect::<Vec<_>>(), ["2024H2", "2025H1"]);
    for (label, half) in halves {
        let other = &scored["half_years"][label];
        same(&half["rows"], &other["rows"], label);
        for (level, name) in [("99", "v01"), ("95", "v05")] {
            same(&half[format!("exceed_{level}")], &other[name]["exceed"], label);
            same(&half[format!("clustered_p_{level}")], &other[name]["clustered_p"], label);
        }
    }
}

/// Single forecasts of the default method against the same Python source: date, symbol, variance,
/// quantiles and tail means before the open of 2022-06-13 and after the close before it.
#[test]
fn real_day() {
    let Some((data, indices)) = real_files() else { skip!("no daily bars of the real market") };
    let folder = temp_dir();
    let close: [(&str, [f64; 6]); 3] = [
        ("005930", [0.000_175_38, -0.034_672, -0.027_076, -0.022_809, -0.037_798, -0.031_639]),
        ("000660", [0.000_421_75, -0.057_749, -0.044_659, -0.035_748, -0.059_648, -0.049_899]),
        ("011200", [0.000_687_21, -0.069_650, -0.053_044, -0.043_333, -0.074_147, -0.061_529]),
    ];
    let open: [(&str, [f64; 6]); 3] = [
        ("005930", [0.000_248_24, -0.041_376, -0.034_255, -0.027_882, -0.047_371, -0.039_670]),
        ("000660", [0.000_599_16, -0.074_913, -0.057_215, -0.043_957, -0.074_927, -0.062_549]),
        ("011200", [0.000_988_12, -0.086_990, -0.067_864, -0.054_037, -0.094_461, -0.077_664]),
    ];
    for (origin, expected) in [("close", close), ("open", open)] {
        let files = ["evaluate", "--data", &data, "--indices", &indices, "--origin", origin];
        let day = ["--from", "2022-06-13", "--to", "2022-06-13", "--forecasts", "f.csv"];
        let output = bongsu(folder.path(), &[&files[..], &day].concat());
        assert!(output.status.success(), "{}", errors(&output));
        let text = std::fs::read_to_string(folder.path().join("f.csv")).unwrap();
        for (symbol, figures) in expected {
            let start = format!("2022-06-13,{symbol},");
            let line = text.lines().find_map(|line| line.strip_prefix(&start)).unwrap();
            let found = line.split(',').map(|figure| figure.parse::<f64>().unwrap());
            for (found, expected) in found.zip(figures) {
                assert!((found / expected - 1.0).abs() < 1e-4, "{origin} {symbol}: {line}");
            }
        }
    }
}

//! Our technical indicators against those of the Python package `ta`, bar for bar, on bars that
//! have what real ones have: gaps, stretches without a move, bars without volume.
//!
//! `ta_values.py` computes theirs. It needs packages that `scripts/test` installs; without them the
//! test is skipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bongsu::market::bars::{Bar, BarKey, Interval};
use bongsu::market::indicators::Indicator;
use bongsu::market::{EventTime, Won};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::support::{Process, skip, temp_dir};

/// The script's whole run; importing pandas takes most of it.
const RUN: Duration = Duration::from_secs(120);
const BARS: usize = 500;
/// Every word with its usual window, and others.
const NAMES: &[&str] = &[
    "sma20",
    "sma3",
    "ema14",
    "ema50",
    "wma9",
    "wma30",
    "rsi14",
    "rsi3",
    "macd",
    "bb20",
    "bb5",
    "atr14",
    "atr3",
    "stoch14",
    "stoch5",
    "willr14",
    "willr5",
    "cci20",
    "cci5",
    "adx14",
    "adx5",
    "obv",
    "mfi14",
    "mfi3",
    "vwap14",
    "vwap3",
    "roc12",
    "roc1",
    "donchian20",
    "donchian5",
    "keltner20",
    "keltner5",
    "keltneratr20",
    "keltneratr12",
    "ulcer14",
    "ulcer5",
];

/// A walk from `start` in steps of `tick`, with jumps, still stretches longer than most windows, and
/// bars without volume.
fn bars(seed: u64, start: Won, tick: Won) -> Vec<Bar> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut bars = Vec::with_capacity(BARS);
    let (mut close, mut still) = (start, 0);
    while bars.len() < BARS {
        let index = bars.len() as i64;
        if still == 0 && rng.random_range(0..60) == 0 {
            still = rng.random_range(2..40);
        }
        let mut step = |width: Won| rng.random_range(-width..=width) * tick;
        let [open, high, low, volume] = if still > 0 {
            still -= 1;
            let volume = if still % 3 == 0 { 0 } else { 10 };
            [close, close, close, volume]
        } else {
            // One bar in forty opens with a gap.
            let gap = if step(20) == 20 * tick { step(80) } else { step(2) };
            let open = (close + gap).max(10 * tick);
            close = (open + step(12)).max(10 * tick);
            let (over, under) = (step(6).abs(), step(6).abs());
            let volume = (step(40) / tick * 250).max(0);
            [open, open.max(close) + over, (open.min(close) - under).max(tick), volume]
        };
        let start = EventTime::from_micros(1_722_816_000_000_000 + index * 60_000_000);
        let symbol = "005930".parse().expect("a code");
        let key = BarKey { start, interval: Interval::Minute, symbol };
        bars.push(Bar {
            key,
            open,
            high,
            low,
            close,
            volume,
            amount: volume * close,
            is_final: true,
        });
    }
    bars
}

/// Rows of a file with a header.
struct Csv {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Csv {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("the script has written it");
        let mut rows = text.lines().map(|line| line.split(',').map(str::to_owned).collect());
        Self { header: rows.next().expect("a header"), rows: rows.collect() }
    }
}

/// Runs the script over `bars`.
fn theirs(python: &Path, dir: &Path, bars: &[Bar]) -> Csv {
    let (source, target) = (dir.join("bars.csv"), dir.join("ta.csv"));
    let line =
        |bar: &Bar| format!("{},{},{},{},{}\n", bar.open, bar.high, bar.low, bar.close, bar.volume);
    let lines: String = bars.iter().map(line).collect();
    fs::write(&source, format!("open,high,low,close,volume\n{lines}")).expect("a folder of ours");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/indicators/ta_values.py");
    let mut command = Command::new(python);
    command
        .arg(script)
        .args([&source, &target])
        .args(NAMES)
        .current_dir(dir)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", dir)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let mut process = Process::spawn("ta_values.py", &mut command, &dir.join("log"));
    assert!(process.wait_exit(RUN).success(), "{}", process.tail());
    Csv::read(&target)
}

#[test]
fn indicators_are_those_of_the_package_ta() {
    let Some(python) = std::env::var_os("BONGSU_TEST_PYTHON").map(PathBuf::from) else {
        skip!("BONGSU_TEST_PYTHON is not set: no Python with the package ta")
    };
    let mut compared = 0;
    for (seed, start, tick) in [(1, 71_000, 100), (2, 1_205, 1), (3, 850_000, 1_000)] {
        let (dir, bars) = (temp_dir(), bars(seed, start, tick));
        let theirs = theirs(&python, dir.path(), &bars);
        assert_eq!(theirs.rows.len(), bars.len());
        let indicators = NAMES.iter().map(|name| Indicator::parse(name).expect("a name"));
        let ours: Vec<(String, Vec<Option<f64>>)> = indicators
            .flat_map(|one| one.columns().into_iter().zip(one.over(&[], &bars)))
            .collect();
        let names: Vec<&String> = ours.iter().map(|(name, _)| name).collect();
        assert_eq!(names, theirs.header.iter().collect::<Vec<_>>());
        for (column, (name, values)) in ours.iter().enumerate() {
            let mut told = 0;
            for (index, value) in values.iter().enumerate() {
                let cell = theirs.rows[index][column].as_str();
                let expected: Option<f64> = match cell {
                    "skip" => continue,
                    "" => None,
                    number => Some(number.parse().expect("a number")),
                };
                let same = match (value, expected) {
                    // A difference of prices is as exact as they are.
                    (Some(a), Some(b)) if name.starts_with("macd") => {
                        (a - b).abs() <= 1e-9 * b.abs().max(1e-3 * bars[index].close as f64)
                    }
                    (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * b.abs().max(1.0),
                    (a, b) => a.is_none() && b.is_none(),
                };
                assert!(same, "seed {seed}, {name}, bar {index}: {value:?}, ta has \"{cell}\"");
                told += usize::from(expected.is_some());
            }
            assert!(told > BARS / 2, "seed {seed}, {name}: only {told} values to compare");
            compared += told;
        }
    }
    assert!(compared > 70_000, "only {compared} values were compared");
}

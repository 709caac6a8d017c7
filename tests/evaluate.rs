//! `bongsu evaluate` as a user meets it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::support::parquet::{each_batch, integers};

fn bongsu(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bongsu"));
    command.args(arguments).current_dir(folder).env_clear().env("HOME", folder);
    command.output().unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Weekdays from 2020-01-06 on as text.
fn days(count: usize) -> Vec<String> {
    let day = |at: i32| bongsu::market::SessionDay::from_epoch_days(18_267 + at);
    (0..).map(day).filter(|day| !day.is_weekend()).take(count).map(|day| day.to_string()).collect()
}

/// Bars of `issues` issues that wander, as CSV.
fn bars(folder: &Path, name: &str, issues: std::ops::Range<usize>, days: &[String]) -> PathBuf {
    let mut text = String::from("date,symbol,open,high,low,close,volume,halted,jump\n");
    for issue in issues {
        let mut rng = ChaCha8Rng::seed_from_u64(issue as u64);
        let mut close = 30_000.0_f64;
        for day in days {
            let open = close * (1.0 + 0.01 * (rng.random::<f64>() - 0.5));
            close = (close * (1.0 + 0.04 * (rng.random::<f64>() - 0.5))).round();
            let high = open.max(close) * (1.0 + 0.01 * rng.random::<f64>());
            let low = open.min(close) * (1.0 - 0.01 * rng.random::<f64>());
            let volume = (1e5 * (0.5 + rng.random::<f64>())).round();
            writeln!(
                text,
                "{day},{issue:06},{open:.0},{high:.0},{low:.0},{close},{volume},false,false"
            )
            .unwrap();
        }
    }
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn figures_files_and_no_leak() {
    let folder = tempfile::tempdir().unwrap();
    let days = days(640);
    bars(folder.path(), "bars.csv", 1..7, &days);
    let arguments = [
        "evaluate",
        "--data",
        "bars.csv",
        "--json",
        "--forecasts",
        "f.parquet",
        "--picks",
        "p.csv",
    ];
    let output = bongsu(folder.path(), &arguments);
    assert!(output.status.success(), "{}", errors(&output));
    assert!(errors(&output).contains("no series KOSPI"), "{}", errors(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = report["rows"].as_u64().unwrap();
    assert_eq!((rows, report["symbols"].as_u64()), (6 * 139, Some(6)));
    assert_eq!(report["to"], days[639].as_str());
    assert!((0.01..0.1).contains(&report["var_95"]["exceed_ratio"].as_f64().unwrap()));
    let mut written = Vec::new();
    each_batch(&folder.path().join("f.parquet"), &["date"], |batch| {
        written.extend(integers(&batch, "date"))
    });
    assert_eq!(written.len() as u64, rows);
    let picks = std::fs::read_to_string(folder.path().join("p.csv")).unwrap();
    assert!(picks.starts_with("date,symbol,rank\n"), "{picks}");
    let table = bongsu(folder.path(), &["evaluate", "--data", "bars.csv"]);
    assert!(String::from_utf8_lossy(&table.stdout).contains("half-year"));
    let leak = bongsu(folder.path(), &["evaluate", "--data", "bars.csv", "--leak-check"]);
    assert!(leak.status.success(), "{}", errors(&leak));
    assert!(String::from_utf8_lossy(&leak.stdout).starts_with("no difference"));
}

#[test]
fn a_fit_universe_with_bars_of_its_own_is_fitted_and_not_scored() {
    let folder = tempfile::tempdir().unwrap();
    let days = days(600);
    bars(folder.path(), "others.csv", 20..22, &days);
    bars(folder.path(), "known.csv", 1..5, &days);
    let arguments = ["evaluate", "--data", "others.csv", "--fit-universe", "known.csv", "--json"];
    let output = bongsu(folder.path(), &arguments);
    assert!(output.status.success(), "{}", errors(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((report["symbols"].as_u64(), report["replaced"].as_u64()), (Some(2), Some(0)));
    std::fs::write(folder.path().join("codes.csv"), "symbol\n000020\n").unwrap();
    let arguments = ["evaluate", "--data", "others.csv", "--fit-universe", "codes.csv", "--json"];
    let output = bongsu(folder.path(), &arguments);
    assert!(output.status.success(), "{}", errors(&output));
}

#[test]
fn what_is_wrong_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let few = days(90);
    bars(folder.path(), "few.csv", 1..3, &few);
    for (arguments, code, expected) in [
        (&["evaluate"][..], 2, "--data FILE"),
        (
            &["evaluate", "--data", "a.csv", "--from", "2024-02-01", "--to", "2024-01-01"],
            2,
            "--from 2024-02-01 is after",
        ),
        (&["evaluate", "--data", "a.csv", "--from", "soon"], 2, "\"soon\" is not a date"),
        (
            &["evaluate", "--data", "a.csv", "--forecasts", "out.txt"],
            2,
            "ending in .parquet or .csv",
        ),
        (&["evaluate", "--data", "none.csv"], 1, "cannot read none.csv"),
        (&["evaluate", "--data", "few.csv"], 1, "at least 500 are needed"),
    ] {
        let output = bongsu(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {}", errors(&output));
        assert!(errors(&output).contains(expected), "{arguments:?} {}", errors(&output));
        assert!(output.stdout.is_empty());
    }
}

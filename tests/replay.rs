//! `bongsu replay`: equal input gives an equal digest, however it is cut, paced or stored between.
//!
//! Runs over the shared market data, so each test is skipped by name where they are absent.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use bongsu::store::{Database, DatabaseOptions};
use sea_orm::{ConnectionTrait, Statement};
use serde_json::Value;

use crate::support::{self, Daemon, parquet, skip, temp_dir, wait_until};

/// Trades in the recorded session.
const TRADES: u64 = 50_345;

fn data(name: &str) -> Option<PathBuf> {
    let file = support::shared_dir()?.join("data").join(name);
    file.is_file().then_some(file)
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// `bongsu replay` in `dir`, to its end.
fn replay(dir: &Path, input: [&str; 2], sandbox: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bongsu"))
        .arg("replay")
        .args(input)
        .arg("--sandbox")
        .arg(sandbox)
        .args(words(more))
        .current_dir(dir)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", dir)
        .env("RUST_BACKTRACE", "1")
        .output()
        .expect("the program can be started")
}

/// The JSON object that its last line must be.
#[track_caller]
fn summary(output: &Output) -> Value {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
    let last = stdout.lines().last().unwrap_or_default();
    let summary: Value = serde_json::from_str(last)
        .unwrap_or_else(|error| panic!("{error}: the last line is {last:?}\n{stderr}"));
    let digest = summary["digest"].as_str().unwrap_or_default();
    assert!(digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()), "{last}");
    // What a stop cut off would be missing from the digest.
    assert!(!stderr.contains("fenced"), "{stderr}");
    summary
}

/// What must be equal: everything but how long it took and how it was framed.
fn outcome(summary: &Value) -> (String, Value) {
    (summary["digest"].to_string(), summary["counts"].clone())
}

/// Rows of a sandbox's database.
fn query(sandbox: &Path, sql: &str, mut row: impl FnMut(&sea_orm::QueryResult)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let url = format!("sqlite://{}?mode=rw", sandbox.join("bongsu.db").display());
        let database = Database::connect(&url, &DatabaseOptions::default()).await;
        let database = database.expect("the sandbox has a database");
        let statement = Statement::from_string(database.backend(), sql);
        let rows = database.connection().query_all_raw(statement).await;
        rows.unwrap_or_else(|error| panic!("{sql}: {error}")).iter().for_each(&mut row);
    });
}

#[test]
fn a_recorded_session_has_one_digest() {
    let Some(ticks) = data("krx-ticks-2020-06-04.parquet") else { skip!("no recorded session") };
    let dir = temp_dir();
    let sandbox = dir.path().join("first");
    let input = ["--data", ticks.to_str().expect("the path is text")];
    let first = summary(&replay(dir.path(), input, &sandbox, &[]));
    assert_eq!(first["counts"]["trade_logs"], TRADES);
    for part in ["market_prices", "risk_scores", "events.risk"] {
        assert!(first["counts"][part].as_u64() > Some(1_000), "{part}: {first}");
    }
    assert_eq!(first["faults"], 0);

    // What it was made of is in the sandbox's journal, and gives the same.
    let journal = sandbox.join("journal");
    let journal = ["--journal", journal.to_str().expect("the path is text")];
    let copy = dir.path().join("copy");
    let again = summary(&replay(dir.path(), journal, &copy, &[]));
    assert_eq!(outcome(&again), outcome(&first));
    assert_eq!((&again["frames"], &again["faults"]), (&first["frames"], &first["faults"]));

    // Into a sandbox that a replay made: it is emptied, so nothing of before is left.
    let leftover = copy.join("leftover");
    std::fs::write(&leftover, "old").expect("the sandbox can be written to");
    let span = ["--from", "10:00", "--to", "10:05"];
    let emptied = summary(&replay(dir.path(), input, &copy, &span));
    let fresh = summary(&replay(dir.path(), input, &dir.path().join("fresh"), &span));
    assert_eq!(outcome(&emptied), outcome(&fresh));
    assert!(fresh["counts"]["trade_logs"].as_u64() < Some(TRADES), "{fresh}");
    assert!(!leftover.exists());
}

/// Recorded scenarios and what their digests were when they were last looked at. A change of a
/// formula or a threshold changes them on purpose: look at what changed, then write the new ones
/// with `BONGSU_TEST_WRITE=1`.
#[test]
fn every_recorded_scenario_has_its_golden_digest() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/digests.json");
    let mut scenarios: Vec<(&str, [String; 2])> = ["calm", "crash"]
        .map(|market| (market, ["--market".to_owned(), market.to_owned()]))
        .to_vec();
    let ticks = "krx-ticks-2020-06-04.parquet";
    let path = data(ticks);
    match &path {
        Some(path) => scenarios.push((ticks, ["--data".to_owned(), path.display().to_string()])),
        None => skip!("no recorded session"),
    }
    let dir = temp_dir();
    let found: BTreeMap<&str, Value> = scenarios
        .iter()
        .map(|(name, [flag, input])| {
            let sandbox = dir.path().join("sandbox");
            let span = ["--from", "09:00", "--to", "09:45"];
            let summary = summary(&replay(dir.path(), [flag, input], &sandbox, &span));
            let kept =
                serde_json::json!({ "digest": summary["digest"], "counts": summary["counts"] });
            (*name, kept)
        })
        .collect();
    let text = serde_json::to_string_pretty(&found).expect("JSON") + "\n";
    if std::env::var_os("BONGSU_TEST_WRITE").is_some() {
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder can be made");
        std::fs::write(&file, &text).expect("the digests can be written");
    }
    let golden = std::fs::read_to_string(&file).expect("tests/golden/digests.json");
    assert_eq!(text, golden, "what these scenarios give has changed");
}

#[test]
fn neither_batches_nor_speed_change_the_outcome() {
    let Some(ticks) = data("krx-ticks-2020-06-04.parquet") else { skip!("no recorded session") };
    let dir = temp_dir();
    let input = ["--data", ticks.to_str().expect("the path is text")];
    let span = ["--from", "10:00", "--to", "10:10"];
    let sandbox = dir.path().join("sandbox");
    let run =
        |more: &[&str]| summary(&replay(dir.path(), input, &sandbox, &[&span[..], more].concat()));
    let whole = run(&["--speed", "max"]);
    let trades = whole["counts"]["trade_logs"].as_u64().expect("a count");
    assert!((100..TRADES).contains(&trades), "{whole}");
    for batch in ["1", "7", "4096"] {
        assert_eq!(outcome(&run(&["--batch", batch])), outcome(&whole), "--batch {batch}");
    }
    let began = Instant::now();
    let paced = run(&["--speed", "100"]);
    assert_eq!(outcome(&paced), outcome(&whole));
    // Ten minutes at a hundred times the speed are six seconds, less the quiet at both ends; what
    // comes before the span is not waited for.
    let seconds = began.elapsed().as_secs_f64();
    assert!((5.0..40.0).contains(&seconds), "ten minutes at 100 times took {seconds:.1} s");

    // Half of it is not the same.
    let less = summary(&replay(dir.path(), input, &sandbox, &["--from", "10:00", "--to", "10:05"]));
    assert_ne!(less["digest"], whole["digest"]);
}

#[test]
fn a_replay_of_nothing_is_no_success() {
    let dir = temp_dir();
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).expect("a folder can be made");
    let input = ["--journal", empty.to_str().expect("the path is text")];
    let span = ["--market", "calm"];
    let sandbox = dir.path().join("sandbox");
    for (input, more) in [(input, &[][..]), (span, &["--from", "10:00", "--to", "09:00"][..])] {
        let output = replay(dir.path(), input, &sandbox, more);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{input:?}: {stderr}");
        assert!(stderr.contains("nothing was replayed"), "{stderr}");
    }
}

#[test]
fn a_folder_that_is_not_a_sandbox_is_left_alone() {
    let Some(ticks) = data("krx-ticks-2020-06-04.parquet") else { skip!("no recorded session") };
    let dir = temp_dir();
    let mine = dir.path().join("mine");
    std::fs::create_dir(&mine).expect("a folder can be made");
    std::fs::write(mine.join("thesis.txt"), "years of work").expect("a file can be written");
    let input = ["--data", ticks.to_str().expect("the path is text")];
    let output = replay(dir.path(), input, &mine, &[]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("not empty") && stderr.contains("mine"), "{stderr}");
    assert!(output.stdout.is_empty());
    let left: Vec<_> = std::fs::read_dir(&mine).expect("it is there").collect();
    assert_eq!(left.len(), 1);
    let text = std::fs::read_to_string(mine.join("thesis.txt")).expect("it is there");
    assert_eq!(text, "years of work");
}

/// Open, high, low, close, volume.
type Bar = [i64; 5];

/// The bars of `day` (days since 1970) in a file of daily bars.
fn bars_of(file: &Path, day: i64) -> BTreeMap<String, Bar> {
    let columns = ["date", "symbol", "open", "high", "low", "close", "volume"];
    let mut bars = BTreeMap::new();
    parquet::each_batch(file, &columns, |batch| {
        let (dates, symbols) =
            (parquet::integers(&batch, "date"), parquet::texts(&batch, "symbol"));
        let levels = [2, 3, 4, 5, 6].map(|column| parquet::integers(&batch, columns[column]));
        for (row, symbol) in symbols.into_iter().enumerate().filter(|(row, _)| dates[*row] == day) {
            bars.insert(symbol, std::array::from_fn(|level| levels[level][row]));
        }
    });
    bars
}

#[test]
fn a_rebuilt_day_has_its_bars_and_its_crash() {
    let (Some(daily), Some(indices)) =
        (data("krx-daily-all-2023-2025.parquet"), data("indices-1995-2025.parquet"))
    else {
        skip!("no daily bars")
    };
    let dir = temp_dir();
    let sandbox = dir.path().join("sandbox");
    let text = |path: &Path| path.to_str().expect("the path is text").to_owned();
    let (daily_text, indices) = (text(&daily), text(&indices));
    let symbols = "005930,000660,247540,373220,068270";
    let more = ["--day", "2024-08-05", "--indices", &indices, "--symbols", symbols];
    let first = summary(&replay(dir.path(), ["--data", &daily_text], &sandbox, &more));

    let mut bars = BTreeMap::new();
    let sql = "select symbol, open, high, low, close, volume from market_prices \
               where interval = '1d' and ts = '2024-08-04T15:00:00+00:00'";
    query(&sandbox, sql, |row| {
        let symbol: String = row.try_get_by_index(0).expect("a text");
        let bar: Bar =
            std::array::from_fn(|level| row.try_get_by_index(level + 1).expect("an integer"));
        bars.insert(symbol, bar);
    });
    // 2024-08-05.
    let mut expected = bars_of(&daily, 19_940);
    expected.retain(|symbol, _| symbols.contains(symbol.as_str()));
    assert!(expected.len() >= 3, "the file has only {:?} of {symbols}", expected.keys());
    assert_eq!(bars, expected);

    // KOSPI fell by 8 % at 14:14 that day: a circuit breaker, critical again after −5 %.
    let mut falls: Vec<(String, i64, f64)> = Vec::new();
    let sql = "select level, price, change_pct from threat_events \
               where rule = 'market_crash' order by event_time";
    query(&sandbox, sql, |row| {
        let text = |column| row.try_get_by_index::<String>(column).expect("a text");
        let price = row.try_get_by_index(1).expect("an integer");
        falls.push((text(0), price, row.try_get_by_index(2).expect("a number")));
    });
    // Levels of the KOSPI that day, hundredths; breadth has no level, KOSDAQ is far below.
    let kospi = falls.iter().filter(|(_, price, _)| (230_000..270_000).contains(price));
    let critical: Vec<_> = kospi.filter(|(level, ..)| level == "critical").collect();
    assert!(!critical.is_empty(), "{falls:?}");
    assert!(critical.iter().all(|(_, _, change)| *change <= -5.0), "{critical:?}");
    assert!(critical.iter().any(|(_, _, change)| *change <= -8.0), "{critical:?}");
    assert!(falls.iter().any(|(level, ..)| level == "watch"), "{falls:?}");
    let told = first["counts"]["events.crash"].as_u64().expect("a count");
    assert!(told >= falls.len() as u64, "{first}");
}

#[test]
fn a_calm_market_raises_nothing() {
    let setup = Daemon::setup().args(["run", "--market", "calm", "--speed", "max"]);
    let mut daemon = setup.start();
    daemon.wait_ready(Duration::from_secs(30));
    // An hour and a half of the session; the detectors' windows are minutes.
    let scored = || {
        let (_, exposition) = daemon.get("/metrics");
        let line = exposition.lines().find(|line| {
            line.starts_with("bongsu_store_rows_total") && line.contains("trade_logs")
        });
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()) > Some(20_000.0)
    };
    wait_until(Duration::from_secs(60), scored, "20,000 trades of the calm market");
    let (status, body) = daemon.get("/v1/events?type=crash,threat");
    assert_eq!(status, 200);
    let events: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(events["count"], 0, "{body}");
}

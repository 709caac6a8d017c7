//! A database or a Redis that goes away, is slow or refuses: nothing is lost, nothing is doubled,
//! the daemon says what is wrong and heals by itself.
//!
//! Each test plays the same recorded session; its rows are compared with those of a run that
//! nothing disturbed, which the first test makes and the others read.

mod database;
mod redis;
mod rows;
mod start;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::daemon::Setup;
use crate::support::{self, Daemon, MariaDb, Process, find_program, temp_dir, wait_until};

/// For what takes as long as a busy machine takes.
const PATIENCE: Duration = Duration::from_secs(90);
/// Trades in the recorded session.
const TRADES: f64 = 50_345.0;
/// All trades have gone through the pipeline.
const HANDLED: &str = "bongsu_ticks_total{kind=\"trade\"}";

fn ticks() -> Option<PathBuf> {
    let file = support::shared_dir()?.join("data/krx-ticks-2020-06-04.parquet");
    file.is_file().then_some(file)
}

/// The recorded session and a server, or the reason why the test is skipped.
fn parts() -> Result<(PathBuf, MariaDb), &'static str> {
    let ticks = ticks().ok_or("no recorded session")?;
    Ok((ticks, MariaDb::start().ok_or("mariadb-server is not installed")?))
}

/// A daemon that plays the session as fast as it goes.
fn playing(ticks: &Path, database: &str) -> Setup {
    Daemon::setup()
        .args(["run", "--speed", "max", "--data"])
        .args([ticks])
        .env("DATABASE_URL", database)
}

/// The session's rows, as the server gives them.
fn rows(database: &MariaDb) -> String {
    // A replacement of equal rows leaves other running numbers: they are not compared.
    database.sql(
        "select source_key, kind, symbol, ts, price, quantity, side, cum_volume, flags \
         from trade_logs where ts < '2020-06-05' order by source_key; \
         select symbol, `interval`, ts, open, high, low, close, volume, amount, source \
         from market_prices where ts < '2020-06-05' order by symbol, `interval`, ts; \
         select symbol, ts, event_time, score, price from risk_scores where ts < '2020-06-05' \
         order by symbol, ts",
    )
}

fn trades_in(database: &MariaDb) -> f64 {
    database.sql("select count(*) from trade_logs").parse().expect("a number")
}

/// The rows of a run that nothing disturbed.
fn undisturbed(ticks: &Path) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let program = fs::metadata(env!("CARGO_BIN_EXE_bongsu")).and_then(|file| file.modified());
    let stamp = program.expect("the program is there");
    let stamp = stamp.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos();
    let kept = folder.join(format!("undisturbed-{stamp}.txt"));
    let lock = File::create(folder.join("undisturbed.lock")).expect("the lock can be made");
    lock.lock().expect("the lock can be taken");
    if let Ok(rows) = fs::read_to_string(&kept) {
        return rows;
    }
    let database = MariaDb::require();
    let mut daemon = playing(ticks, &database.url()).start();
    daemon.wait_ready(PATIENCE);
    daemon.wait_metric(HANDLED, TRADES, PATIENCE);
    daemon.stop();
    let rows = rows(&database);
    fs::write(&kept, &rows).expect("the rows can be kept");
    rows
}

#[track_caller]
fn assert_undisturbed(database: &MariaDb, ticks: &Path) {
    let (ours, expected) = (rows(database), undisturbed(ticks));
    assert_eq!(ours.lines().count(), expected.lines().count(), "rows are missing or doubled");
    let different = ours.lines().zip(expected.lines()).find(|(ours, expected)| ours != expected);
    assert_eq!(different, None, "a row differs from the undisturbed run");
}

/// The line of `/readyz` about a component, behind the status.
fn ready_line(daemon: &Daemon, component: &str) -> (u16, String) {
    let (status, text) = daemon.get("/readyz");
    let line = text.lines().find(|line| line.starts_with(component));
    (status, line.unwrap_or_else(|| panic!("no {component} in {text}")).to_owned())
}

/// Waits until `/readyz` is 503 and the database's line has every one of `words`.
#[track_caller]
fn wait_down(daemon: &Daemon, words: &[&str]) {
    let mut seen = (0, String::new());
    let look = || {
        seen = ready_line(daemon, "database");
        seen.0 == 503 && words.iter().all(|word| seen.1.contains(word))
    };
    // The line itself is the best explanation of a failure.
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_until(PATIENCE, look, "the database to be missed");
    }));
    assert!(outcome.is_ok(), "expected {words:?}, last seen {seen:?}");
}

/// Waits until the daemon is well again, the spill empty, and every trade stored.
#[track_caller]
fn wait_healed(daemon: &Daemon, database: &MariaDb) {
    let healed =
        || daemon.get("/readyz").0 == 200 && ready_line(daemon, "database").1.contains("up");
    wait_until(PATIENCE, healed, "the database to be back");
    daemon.wait_metric(HANDLED, TRADES, PATIENCE);
    wait_until(PATIENCE, || trades_in(database) >= TRADES, "all trades in the database");
    wait_until(PATIENCE, || daemon.metric("bongsu_spill_bytes") == 0.0, "an empty spill");
}

/// Bytes of the daemon's memory.
fn memory(daemon: &mut Daemon) -> u64 {
    let path = format!("/proc/{}/status", daemon.process().pid());
    let status = fs::read_to_string(path).expect("the process runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line VmRSS");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
    kib << 10
}

fn spilled_files(daemon: &Daemon) -> usize {
    let folder = daemon.dir().join("var/spill");
    let names = fs::read_dir(folder).expect("the spill's folder is there");
    names.filter(|name| name.as_ref().is_ok_and(|n| n.path().extension().is_some())).count()
}

/// A client of the server that holds a connection with an open statement.
fn sleeper(database: &MariaDb, dir: &Path) -> Process {
    let mut command = std::process::Command::new(find_program("mariadb").expect("the client"));
    command
        .args(["--no-defaults", "-h", "127.0.0.1", "-u", "bongsu", "-pbeacon", "-P"])
        .arg(database.port().to_string())
        .args(["-e", "select sleep(600)"]);
    Process::spawn("mariadb", &mut command, &dir.join("sleeper.log"))
}

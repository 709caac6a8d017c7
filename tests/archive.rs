//! The archive, end to end: a daemon over the simulator, sealed segments in an S3 service or a folder,
//! read by pandas and DuckDB, and replayed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use bongsu::journal::JournalReader;
use bongsu::market::EventTime;
use bongsu::store::{Bucket, Objects};
use serde_json::Value;

use crate::support::daemon::Setup;
use crate::support::seaweed::{self, ADMIN};
use crate::support::stored::stored;
use crate::support::{Daemon, Process, Seaweed, skip, temp_dir, wait_until};

const A_MINUTE: Duration = Duration::from_secs(60);
const LAG: &str = "bongsu_archive_lag_segments";
const FRAMES: &str = "bongsu_archive_rows_total{dataset=\"frames\"}";
const FAILURES: &str = "bongsu_archive_failures_total";
const NO_SERVICE: &str = "no weed (SeaweedFS): scripts/test installs it";
const NO_PYTHON: &str = "BONGSU_TEST_PYTHON is not set: no pandas, no DuckDB";

/// A daemon whose segments are sealed every other second or so.
fn setup(dir: &Path) -> Setup {
    Daemon::setup()
        .args(["run", "--market", "calm"])
        .env("BONGSU_SIM__SPEED", "300")
        .env("BONGSU_JOURNAL__SEGMENT_MIB", "1")
        .dir(dir)
}

fn with_service(dir: &Path, server: &Seaweed) -> Setup {
    let set = |setup: Setup, (name, value): (&str, String)| setup.env(name, value);
    server.environment().into_iter().fold(setup(dir), set)
}

/// Ends a daemon, and has another one archive what it left; the last segment is then an empty one.
/// `manifests`: how many segments are in the archive. The lag alone would not do: it is none before the
/// next daemon has opened its segment, which seals the last one of before.
fn archive_the_rest(mut daemon: Daemon, next: Setup, manifests: impl Fn() -> usize) {
    daemon.stop();
    let left = segments(daemon.dir()).len();
    // So slow that it brings no trade the first one did not: it would be in an open segment.
    let next = next.env("BONGSU_SIM__SPEED", "1");
    let mut next = next.args(["--symbols", "005930"]).start();
    next.wait_ready(A_MINUTE);
    let archived = || {
        let (_, text) = next.get("/readyz");
        text.lines().any(|line| line.contains("archive") && line.contains("up"))
            && manifests() == left
            && next.metric(LAG) == 0.0
    };
    wait_until(A_MINUTE, archived, "everything archived");
    next.stop();
}

/// Manifests in the service.
fn in_service(server: &Seaweed) -> usize {
    let objects = Objects::S3(server.client(ADMIN, |_| {}));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let keys = objects.list(Bucket::RawData, "kis/segments/", None, 10_000).await;
        keys.expect("a list").len()
    })
}

/// Manifests in the folder.
fn in_folder(dir: &Path) -> usize {
    std::fs::read_dir(dir.join("var/objects/raw-data/kis/segments")).map_or(0, Iterator::count)
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir.join("var/journal")).into_iter().flatten();
    entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "journal"))
        .collect()
}

/// The report of `read_archive.py`, which must find nothing wrong.
#[track_caller]
fn read(python: &Path, source: &[&str], copy: &Path) -> Value {
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/archive_readers/read_archive.py");
    let mut command = Command::new(python);
    command.arg(script).args(source).arg("--copy").arg(copy).env("PYTHONDONTWRITEBYTECODE", "1");
    let log = copy.with_extension("log");
    let mut process = Process::spawn("read_archive.py", &mut command, &log);
    let status = process.wait_exit(Duration::from_secs(120));
    let said = process.log();
    let last = said.lines().last().unwrap_or_default().to_owned();
    let report: Value =
        serde_json::from_str(&last).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert!(status.success() && report["problems"] == serde_json::json!([]), "{report}");
    report
}

fn replay(dir: &Path, arguments: &[&str], environment: &[(&str, String)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bongsu"))
        .arg("replay")
        .args(arguments)
        .current_dir(dir)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", dir)
        .envs(environment.iter().map(|(name, value)| (*name, value.as_str())))
        .output()
        .expect("the program can be started")
}

/// Digest and counts of a replay.
#[track_caller]
fn outcome(output: &Output) -> (String, Value, Value) {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
    let summary: Value =
        serde_json::from_str(stdout.lines().last().unwrap_or_default()).expect("JSON");
    (summary["digest"].to_string(), summary["counts"].clone(), summary["frames"].clone())
}

/// What is not archived is in the last segment alone; a copy of the journal without it.
fn archived_journal(dir: &Path, to: &Path) {
    let mut found = segments(dir);
    found.sort();
    found.pop();
    std::fs::create_dir(to).expect("a folder can be made");
    for path in found {
        std::fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("it can be copied");
    }
}

fn python() -> Option<PathBuf> {
    std::env::var_os("BONGSU_TEST_PYTHON").map(PathBuf::from)
}

/// Every object of the archive is there in one version: nothing was stored twice.
#[track_caller]
fn assert_once(server: &Seaweed) {
    let objects = Objects::S3(server.client(ADMIN, |_| {}));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let keys = objects.list(Bucket::RawData, "kis/", None, 10_000).await.expect("a list");
        assert!(keys.len() > 10, "{keys:?}");
        for key in keys {
            let versions = objects.versions(Bucket::RawData, &key).await.expect("versions");
            assert_eq!(versions.len(), 1, "{key}");
        }
    });
}

#[test]
fn a_service_that_is_killed_and_comes_back_has_all_of_it_once() {
    outage(Duration::ZERO);
}

#[test]
#[ignore = "slow: the service is away for a minute"]
fn a_service_that_is_away_for_a_minute_has_all_of_it_once() {
    outage(A_MINUTE);
}

/// At least so long, and until two tries have failed and two segments wait.
fn outage(least: Duration) {
    let Some(mut server) = Seaweed::start() else { skip!("{NO_SERVICE}") };
    let Some(python) = python() else { skip!("{NO_PYTHON}") };
    let dir = temp_dir();
    let mut daemon = with_service(dir.path(), &server).start();
    daemon.wait_ready(A_MINUTE);
    daemon.wait_metric(FRAMES, 1.0, A_MINUTE);

    server.kill9();
    daemon.wait_metric(LAG, 2.0, A_MINUTE);
    daemon.wait_metric(FAILURES, 2.0, A_MINUTE);
    let (status, text) = daemon.get("/readyz");
    assert_eq!(status, 200, "{text}");
    let line =
        |name: &str| text.lines().find(|line| line.contains(name)).unwrap_or_default().to_owned();
    assert!(line("objects").contains("is away"), "{text}");
    assert!(line("archive").contains("segments wait"), "{text}");
    assert_eq!(daemon.metric("bongsu_dependency_up{dependency=\"objects\"}"), 0.0);
    let ticks = daemon.metric("bongsu_ticks_total{kind=\"trade\"}");
    daemon.wait_metric("bongsu_ticks_total{kind=\"trade\"}", ticks + 1_000.0, A_MINUTE);

    let began = std::time::Instant::now();
    wait_until(2 * A_MINUTE, || began.elapsed() >= least, "the outage");

    server.restart();
    let heals = || daemon.metric(LAG) <= 1.0 && daemon.get("/readyz").1.contains("ready");
    wait_until(2 * A_MINUTE, heals, "the archive has caught up");
    assert_eq!(daemon.metric("bongsu_dependency_up{dependency=\"objects\"}"), 1.0);
    archive_the_rest(daemon, with_service(dir.path(), &server), || in_service(&server));

    assert_once(&server);

    // pandas and DuckDB find what the manifests say, and each trade of the database.
    let copy = dir.path().join("copy");
    let endpoint = server.endpoint();
    let source = ["--s3", &endpoint, "--access-key", ADMIN.0, "--secret-key", ADMIN.1];
    let report = read(&python, &source, &copy);
    let stored = stored(dir.path());
    let trades = stored.trades.len() as u64;
    // The last daemon's own trades are not archived yet: they repeat those of the first.
    assert_eq!(report["trades"], trades, "{report}");
    let shares: i64 = stored.trades.iter().map(|trade| trade.quantity).sum();
    assert_eq!(report["quantity"], shares, "{report}");
    assert_eq!((&report["repeated_frames"], &report["faults"]), (&0.into(), &0.into()), "{report}");
    assert!(report["segments"].as_u64() > Some(4), "{report}");

    // The same digest from the journal, the service, and a copy of the bucket.
    let journal = dir.path().join("archived");
    archived_journal(dir.path(), &journal);
    let run = |input: [&str; 2], sandbox: &str| {
        let arguments = [&input[..], &["--sandbox", sandbox]].concat();
        outcome(&replay(dir.path(), &arguments, &server.environment()))
    };
    let first = run(["--journal", journal.to_str().expect("text")], "s1");
    assert_eq!(run(["--archive", "s3"], "s2"), first);
    assert_eq!(run(["--archive", copy.to_str().expect("text")], "s3x"), first);
    assert!(first.2.as_u64() > Some(1_000), "{first:?}");
}

#[test]
fn a_daemon_that_is_killed_while_it_archives_goes_on_where_it_was() {
    let Some(server) = Seaweed::start() else { skip!("{NO_SERVICE}") };
    let Some(python) = python() else { skip!("{NO_PYTHON}") };
    let dir = temp_dir();
    let mut daemon = with_service(dir.path(), &server).env("BONGSU_SIM__SPEED", "max").start();
    daemon.wait_ready(A_MINUTE);
    for round in 1..=3 {
        // Segments are sealed faster than they are archived: a kill meets one on its way.
        daemon.wait_metric(FRAMES, 1.0, A_MINUTE);
        daemon.wait_metric(LAG, f64::from(round), A_MINUTE);
        daemon.restart();
        daemon.wait_ready(A_MINUTE);
    }
    archive_the_rest(daemon, with_service(dir.path(), &server), || in_service(&server));
    assert_once(&server);
    let copy = dir.path().join("copy");
    let endpoint = server.endpoint();
    let source = ["--s3", &endpoint, "--access-key", ADMIN.0, "--secret-key", ADMIN.1];
    let report = read(&python, &source, &copy);
    assert_eq!(report["repeated_frames"], 0, "{report}");
    let journal = dir.path().join("archived");
    archived_journal(dir.path(), &journal);
    assert_eq!(report["frames"], received(&journal).len(), "{report}");
}

/// When each record of a journal was received.
fn received(journal: &Path) -> Vec<i64> {
    let mut reader = JournalReader::open(journal).expect("the journal");
    let mut times = Vec::new();
    while let Some(record) = reader.next() {
        times.extend(record.ok().map(|record| record.received_us));
    }
    times
}

#[test]
fn a_folder_has_all_of_it_and_replays_by_day_and_issue() {
    let Some(python) = python() else { skip!("{NO_PYTHON}") };
    let dir = temp_dir();
    let mut daemon = setup(dir.path()).start();
    daemon.wait_ready(A_MINUTE);
    daemon.wait_metric(FRAMES, 1.0, A_MINUTE);
    daemon.wait_metric("bongsu_store_rows_total{table=\"trade_logs\"}", 15_000.0, A_MINUTE);
    archive_the_rest(daemon, setup(dir.path()), || in_folder(dir.path()));
    let root = dir.path().join("var/objects/raw-data");
    let copy = dir.path().join("copy");
    let report = read(&python, &["--folder", root.to_str().expect("text")], &copy);
    assert_eq!(report["trades"], stored(dir.path()).trades.len() as u64, "{report}");
    let day = report["days"][0].as_str().expect("a day").to_owned();

    let journal = dir.path().join("archived");
    archived_journal(dir.path(), &journal);
    let run = |arguments: &[&str]| outcome(&replay(dir.path(), arguments, &[]));
    let journal = journal.to_str().expect("text");
    let only = ["--symbols", "005930"];
    let first = run(&[&["--journal", journal, "--sandbox", "s1"][..], &only].concat());
    let whole = ["--archive", "var/objects", "--sandbox", "s2"];
    assert_eq!(run(&[&whole[..], &only].concat()), first);
    assert_eq!(run(&[&whole[..], &only, &["--day", &day]].concat()), first);

    // Half of it, by the time of reception.
    let times = received(Path::new(journal));
    let middle = EventTime::from_micros(times[times.len() / 2]).rfc3339();
    for bound in ["--from", "--to"] {
        let half = run(&["--journal", journal, "--sandbox", "s1", bound, &middle]);
        assert_eq!(run(&[&whole[..], &[bound, &middle]].concat()), half, "{bound} {middle}");
        let frames = half.2.as_u64().expect("a count");
        assert!(frames.abs_diff(times.len() as u64 / 2) < 2_000, "{frames} of {}", times.len());
    }

    let none = replay(dir.path(), &[&whole[..], &["--day", "1999-01-04"]].concat(), &[]);
    let said = String::from_utf8_lossy(&none.stderr).into_owned();
    assert_eq!(none.status.code(), Some(1), "{said}");
    assert!(said.contains("nothing was replayed"), "{said}");
    let empty = replay(dir.path(), &["--archive", "s1", "--sandbox", "s4"], &[]);
    let said = String::from_utf8_lossy(&empty.stderr).into_owned();
    assert_eq!(empty.status.code(), Some(1), "{said}");
    assert!(said.contains("kis/segments"), "{said}");
}

#[test]
fn a_wrong_secret_is_named_and_nothing_ends() {
    let Some(server) = Seaweed::start() else { skip!("{NO_SERVICE}") };
    let dir = temp_dir();
    let wrong = with_service(dir.path(), &server).env("MINIO_SECRET_KEY", "canary");
    let mut daemon = wrong.start();
    daemon.wait_ready(A_MINUTE);
    let told = || daemon.get("/readyz").1.contains("signaturedoesnotmatch");
    wait_until(A_MINUTE, told, "the refusal in /readyz");
    daemon.wait_metric(LAG, 1.0, A_MINUTE);
    daemon.wait_metric(FAILURES, 1.0, A_MINUTE);
    let (status, text) = daemon.get("/readyz");
    assert!(status == 200 && text.starts_with("degraded"), "{text}");
    assert!(text.contains("MINIO_SECRET_KEY") && !text.contains("canary"), "{text}");
    assert_eq!(daemon.metric("bongsu_actor_restarts_total{actor=\"archiver\"}"), 0.0);
    daemon.stop();
    assert!(!daemon.process().log().contains("canary"));
}

#[test]
fn a_service_that_does_not_answer_holds_nothing_up() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let dir = temp_dir();
    let mut daemon = setup(dir.path())
        .env("MINIO_ENDPOINT", &endpoint)
        .env("MINIO_ACCESS_KEY", ADMIN.0)
        .env("MINIO_SECRET_KEY", ADMIN.1)
        .env("BONGSU_OBJECTS__TIMEOUT_SECONDS", "1")
        .start();
    daemon.wait_ready(A_MINUTE);
    let told = || daemon.get("/readyz").1.contains("no answer to");
    wait_until(A_MINUTE, told, "the silence in /readyz");
    daemon.wait_metric(LAG, 2.0, A_MINUTE);
    daemon.wait_metric("bongsu_ticks_total{kind=\"trade\"}", 5_000.0, A_MINUTE);
    // Everything is still in the journal, and the stop is not held up either.
    daemon.stop();
    assert!(segments(dir.path()).len() > 2);
}

#[test]
fn doctor_says_how_the_buckets_are() {
    let Some(server) = Seaweed::start() else { skip!("{NO_SERVICE}") };
    let dir = temp_dir();
    let doctor = |server: &Seaweed, secret: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_bongsu"))
            .args(["doctor", "--json"])
            .current_dir(dir.path())
            .env_clear()
            .env("HOME", dir.path())
            .env("BONGSU_HTTP__LISTEN", "127.0.0.1:0")
            .envs(server.environment())
            .env("MINIO_SECRET_KEY", secret)
            .output()
            .expect("the program can be started");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let absent = || doctor(&server, ADMIN.1).contains("absent: bucket");
    wait_until(A_MINUTE, absent, "absent buckets");
    let mut daemon = with_service(dir.path(), &server).start();
    daemon.wait_ready(A_MINUTE);
    let good = || {
        doctor(&server, ADMIN.1)
            .contains("bucket, versioning, default encryption, lifecycle, policy as they should be")
    };
    wait_until(A_MINUTE, good, "buckets as they should be");
    daemon.stop();
    let refused = doctor(&server, "canary");
    assert!(refused.contains("signaturedoesnotmatch") && !refused.contains("canary"), "{refused}");
    let reader = doctor(&server, seaweed::READER.1);
    assert!(reader.contains("signaturedoesnotmatch"), "{reader}");
}

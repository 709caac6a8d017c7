//! Clients that others wrote run against the simulator by configuration alone: host and port in
//! their own `kis_devlp.yaml`.
//!
//! - `official_style_client.py` works as the vendor's sample does and compares every call and feed
//!   with the reference: headers, envelopes, field names, their order and formats, paging, refusals;
//! - `user_client.py` configures and calls a package that KIS's users have written.
//!
//! Both print a line a check. They need packages that `scripts/test` installs; without them the
//! tests are skipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Process, TempDir, free_port, skip, temp_dir};

const APP_KEY: &str = "PSabcdefghijklmnopqrstuvwxyz01234567";
const ACCOUNT: &str = "50000001";
/// The simulator invents a day before it listens.
const READY: Duration = Duration::from_secs(60);
/// A client's whole run; the longest takes some 25 seconds on an idle machine.
const RUN: Duration = Duration::from_secs(120);

/// `bongsu kis-sim` on ports of its own, and the file that tells a client of it.
struct Sim {
    // Dropped before the folder, as fields are in order.
    _process: Process,
    dir: TempDir,
}

impl Sim {
    fn start(arguments: &[&str]) -> Self {
        let dir = temp_dir();
        let (rest, ws) =
            (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
        let secret = "S".repeat(180);
        fs::write(dir.path().join("kis_devlp.yaml"), kis_devlp(&secret, &rest, &ws))
            .expect("the folder can be written to");
        let mut command = Command::new(env!("CARGO_BIN_EXE_bongsu"));
        command
            .args(["kis-sim", "--listen", &rest, "--ws-listen", &ws])
            .args(["--market", "calm", "--speed", "60"])
            .args(arguments)
            .current_dir(dir.path())
            .env_clear()
            .env("HOME", dir.path())
            .env("RUST_BACKTRACE", "1")
            .env("KIS_APP_KEY", APP_KEY)
            .env("KIS_APP_SECRET", &secret);
        let mut process = Process::spawn("bongsu kis-sim", &mut command, &dir.path().join("log"));
        let log = dir.path().join("log");
        let listens = || fs::read_to_string(&log).is_ok_and(|log| log.contains("KIS_WS_URL="));
        process.wait_ready(READY, listens);
        Self { _process: process, dir }
    }

    /// Runs a client to its end.
    #[track_caller]
    fn run(&self, python: &Path, client: &str, arguments: &[&str]) -> Outcome {
        let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kis_clients");
        let log = self.dir.path().join(format!("{client}.log"));
        let mut command = Command::new(python);
        command
            .arg(clients.join(client))
            .arg("--config")
            .arg(self.dir.path().join("kis_devlp.yaml"))
            .args(["--seconds", "40"])
            .args(arguments)
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONIOENCODING", "utf-8");
        // A second run of a client is not to show the checks of the first.
        fs::write(&log, "").expect("the folder can be written to");
        let mut process = Process::spawn(client, &mut command, &log);
        let status = process.wait_exit(RUN);
        Outcome::read(status.code(), &process)
    }
}

/// The file as KIS's users have it, with the addresses of a server of ours.
fn kis_devlp(secret: &str, rest: &str, ws: &str) -> String {
    let keys = [
        ("my_app", APP_KEY),
        ("my_sec", secret),
        ("paper_app", APP_KEY),
        ("paper_sec", secret),
        ("my_htsid", "bongsu01"),
        ("my_acct_stock", ACCOUNT),
        ("my_acct_future", ACCOUNT),
        ("my_paper_stock", ACCOUNT),
        ("my_paper_future", ACCOUNT),
        ("my_prod", "01"),
        ("prod", &format!("http://{rest}")),
        ("ops", &format!("ws://{ws}")),
        ("vps", &format!("http://{rest}")),
        ("vops", &format!("ws://{ws}")),
        ("my_token", ""),
        ("my_agent", "Mozilla/5.0"),
    ];
    keys.iter().map(|(key, value)| format!("{key}: \"{value}\"\n")).collect()
}

/// What a client found.
struct Outcome {
    exit: Option<i32>,
    passed: usize,
    /// Names of the failed checks.
    failed: Vec<String>,
    /// Their lines; without any, the end of what it said.
    said: String,
}

impl Outcome {
    fn read(exit: Option<i32>, process: &Process) -> Self {
        let log = process.log();
        let checks = log.lines().filter_map(|line| {
            let check: Value = serde_json::from_str(line).ok()?;
            Some((check["check"].as_str()?.to_owned(), check["ok"].as_bool()?, line))
        });
        let (good, bad): (Vec<_>, Vec<_>) = checks.partition(|(_, ok, _)| *ok);
        let lines: Vec<&str> = bad.iter().map(|(_, _, line)| *line).collect();
        Self {
            exit,
            passed: good.len(),
            said: if lines.is_empty() { process.tail() } else { lines.join("\n") },
            failed: bad.into_iter().map(|(name, ..)| name).collect(),
        }
    }

    /// At least so many checks, and all of them passed.
    #[track_caller]
    fn assert_passed(&self, least: usize) {
        assert!(
            self.exit == Some(0) && self.failed.is_empty(),
            "exit {:?}\n{}",
            self.exit,
            self.said
        );
        assert!(
            self.passed >= least,
            "only {} of {least} checks were made\n{}",
            self.passed,
            self.said
        );
    }
}

/// The Python that has the clients' packages.
fn python() -> Option<PathBuf> {
    std::env::var_os("BONGSU_TEST_PYTHON").map(PathBuf::from)
}

const NO_PYTHON: &str = "BONGSU_TEST_PYTHON is not set: no Python with the clients' packages";

#[test]
fn the_official_style_client_finds_the_real_environment() {
    let Some(python) = python() else { skip!("{NO_PYTHON}") };
    let sim = Sim::start(&[]);
    // As fast as 18 calls a second let it.
    let arguments = ["--env", "prod", "--pause", "0.06"];
    let more = ["--with-orders", "--with-limits", "--require-pages"];
    let outcome = sim.run(&python, "official_style_client.py", &[&arguments[..], &more].concat());
    outcome.assert_passed(225);
}

#[test]
fn the_official_style_client_finds_paper_trading() {
    let Some(python) = python() else { skip!("{NO_PYTHON}") };
    // One call a second would take a minute; that limit has a test of its own.
    let sim = Sim::start(&["--env", "mock", "--no-rate-limits"]);
    let arguments = ["--env", "vps", "--pause", "0", "--with-orders", "--require-pages"];
    sim.run(&python, "official_style_client.py", &arguments).assert_passed(165);
}

#[test]
fn the_official_style_client_finds_old_frames_and_the_limits_of_paper_trading() {
    let Some(python) = python() else { skip!("{NO_PYTHON}") };
    let sim = Sim::start(&["--env", "mock", "--trade-fields", "46", "--book-fields", "59"]);
    let client = "official_style_client.py";
    let feeds = ["--env", "vps", "--only", "limits", "feeds", "--with-limits"];
    let narrow = ["--trade-columns", "46", "--book-columns", "59"];
    sim.run(&python, client, &[&feeds[..], &narrow].concat()).assert_passed(15);

    // And a client that counts on other frames says so.
    let wide = sim.run(&python, client, &["--env", "vps", "--only", "feeds"]);
    assert_eq!(wide.failed, ["feeds.H0STCNT0.width", "feeds.H0STASP0.width"], "{}", wide.said);
    assert_eq!(wide.exit, Some(1));
}

#[test]
fn a_client_of_the_users_runs_in_the_real_environment() {
    let Some(python) = python() else { skip!("{NO_PYTHON}") };
    let sim = Sim::start(&[]);
    sim.run(&python, "user_client.py", &["--env", "prod"]).assert_passed(22);
}

#[test]
fn a_client_of_the_users_runs_in_paper_trading() {
    let Some(python) = python() else { skip!("{NO_PYTHON}") };
    let sim = Sim::start(&["--env", "mock", "--no-rate-limits"]);
    sim.run(&python, "user_client.py", &["--env", "vps"]).assert_passed(12);
}

//! The `bongsu` program as a child process.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use super::{Process, TempDir, free_port, http, temp_dir, wait_until};

/// How a [`Daemon`] is started.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    files: Vec<(String, String)>,
    dir: Option<PathBuf>,
}

impl Setup {
    /// Adds command-line arguments.
    pub fn args<S: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Puts a file into its folder before it starts.
    pub fn file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    /// Runs it in a folder that outlives the value, to look at what it leaves or to hand it on.
    pub fn dir(mut self, dir: &Path) -> Self {
        self.dir = Some(dir.to_owned());
        self
    }

    /// Starts it. It may not be ready yet: [`Daemon::wait_ready`].
    pub fn start(self) -> Daemon {
        let owned = self.dir.is_none().then(temp_dir);
        let dir = match (&self.dir, &owned) {
            (Some(dir), _) => dir.clone(),
            (None, Some(owned)) => owned.path().to_owned(),
            (None, None) => unreachable!("a folder is made when none is given"),
        };
        for (name, text) in &self.files {
            std::fs::write(dir.join(name), text).expect("the daemon's folder can be written to");
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let process = spawn(&self, address, &dir);
        Daemon { process, setup: self, address, dir, _owned: owned }
    }
}

/// A running `bongsu`, in a folder of its own, listening on a free loopback port. Killed when
/// dropped; a failing test shows the end of its log.
///
/// It sees nothing of the caller's environment but `PATH` and what a test sets: no settings, no
/// keys, and a `HOME` in its folder.
#[derive(Debug)]
pub struct Daemon {
    process: Process,
    setup: Setup,
    address: SocketAddr,
    dir: PathBuf,
    // Dropped after the process, as fields are in order.
    _owned: Option<TempDir>,
}

impl Daemon {
    /// `Daemon::setup().args(["run"]).env("REDIS_URL", url).start()`.
    pub fn setup() -> Setup {
        Setup::default()
    }

    /// Where its HTTP interface listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The folder it runs in; its data are in `var` there.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The child: pid, log, other signals.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Ends it without warning.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Starts it again: same arguments, environment, folder and port. Ends it first if it runs.
    pub fn restart(&mut self) {
        self.process.kill9();
        self.process = spawn(&self.setup, self.address, &self.dir);
    }

    /// Waits for it to end by itself.
    ///
    /// # Panics
    /// When it has not within `deadline`.
    #[track_caller]
    pub fn wait_exit(&mut self, deadline: Duration) -> ExitStatus {
        self.process.wait_exit(deadline)
    }

    /// Waits for `GET /readyz` to answer 200.
    ///
    /// # Panics
    /// When it ends before, or has not within `deadline`.
    #[track_caller]
    pub fn wait_ready(&mut self, deadline: Duration) {
        let address = self.address;
        self.process.wait_ready(deadline, || {
            http::http_get(address, "/readyz").is_ok_and(|(status, _)| status == 200)
        });
    }

    /// `GET path`: status and body.
    ///
    /// # Panics
    /// When nobody answers.
    #[track_caller]
    pub fn get(&self, path: &str) -> (u16, String) {
        http::http_get(self.address, path).unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// `GET path`, which must answer 200 with JSON.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn json(&self, path: &str) -> serde_json::Value {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "GET {path}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("GET {path}: {error}: {body}"))
    }

    /// The metrics' samples by series, `bongsu_ticks_total{kind="trade"}`.
    ///
    /// # Panics
    /// When they cannot be had or read.
    #[track_caller]
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        let (status, text) = self.get("/metrics");
        assert_eq!(status, 200, "{text}");
        let samples = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        samples
            .map(|line| {
                let (series, value) = line.rsplit_once(' ').expect("a series and its value");
                (series.to_owned(), value.parse().unwrap_or_else(|_| panic!("a number: {line}")))
            })
            .collect()
    }

    /// One sample; 0 when there is none.
    #[track_caller]
    pub fn metric(&self, series: &str) -> f64 {
        self.metrics().get(series).copied().unwrap_or_default()
    }

    /// Waits until a sample is at least `value`.
    ///
    /// # Panics
    /// When it is not within `deadline`, or nobody answers.
    #[track_caller]
    pub fn wait_metric(&self, series: &str, value: f64, deadline: Duration) {
        wait_until(deadline, || self.metric(series) >= value, &format!("{series} {value}"));
    }

    /// Asks it to drain and end, SIGTERM, and waits until it has, with exit code 0.
    ///
    /// # Panics
    /// When it does not within the ten seconds it has.
    #[track_caller]
    pub fn stop(&mut self) {
        self.stop_by("TERM");
    }

    /// As [`Daemon::stop`], by another signal.
    #[track_caller]
    pub fn stop_by(&mut self, signal: &str) {
        self.process.signal(signal);
        let status = self.process.wait_exit(Duration::from_secs(10));
        assert_eq!(status.code(), Some(0), "{}", self.process.tail());
    }
}

fn spawn(setup: &Setup, address: SocketAddr, dir: &Path) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bongsu"));
    command
        .args(&setup.arguments)
        .current_dir(dir)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", dir)
        .env("RUST_BACKTRACE", "1")
        .env("BONGSU_DATA_DIR", dir.join("var"))
        .env("BONGSU_HTTP__LISTEN", address.to_string())
        .envs(setup.environment.iter().map(|(name, value)| (name, value)));
    Process::spawn("bongsu", &mut command, &dir.join("bongsu.log"))
}

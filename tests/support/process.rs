//! A child process with its output in a file, ended by its pid.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::wait_until;

/// Lines of the log that a failure shows.
const TAIL: usize = 40;

/// A running (or ended) child. Dropping it kills it and, when the test is failing, prints the end
/// of its log.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    exited: Option<ExitStatus>,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with no standard input and with both outputs appended to `log`.
    ///
    /// # Panics
    /// When the program or the log file cannot be opened.
    pub fn spawn(name: &str, command: &mut Command, log: &Path) -> Self {
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .unwrap_or_else(|error| panic!("{name}: log {}: {error}", log.display()));
        let errors = output.try_clone().expect("the log's handle can be doubled");
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: cannot start {command:?}: {error}"));
        Self { name: name.to_owned(), child, exited: None, log: log.to_owned() }
    }

    /// Process id; of a child that has ended it may already be somebody else's.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far, both outputs together.
    pub fn log(&self) -> String {
        fs::read(&self.log).map_or_else(
            |error| format!("(log {}: {error})", self.log.display()),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    /// The exit status, once it has ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        if self.exited.is_none() {
            self.exited = self.child.try_wait().expect("a child of ours can be waited for");
        }
        self.exited
    }

    /// Looks until `ready` holds.
    ///
    /// # Panics
    /// At once when the process ends before, or at `deadline`; with the end of its log.
    #[track_caller]
    pub fn wait_ready(&mut self, deadline: Duration, mut ready: impl FnMut() -> bool) {
        let start = Instant::now();
        let mut failure = None;
        let look = || {
            if ready() {
                return true;
            }
            if let Some(status) = self.exited() {
                failure = Some(format!("ended before it was ready: {status}"));
            } else if start.elapsed() >= deadline {
                failure = Some(format!("not ready within {deadline:?}"));
            }
            failure.is_some()
        };
        wait_until(deadline + Duration::from_secs(1), look, "readiness");
        if let Some(failure) = failure {
            panic!("{}: {failure}\n{}", self.name, self.tail());
        }
    }

    /// Sends a signal by name, `TERM`, `INT`, `STOP`, `CONT`.
    ///
    /// # Panics
    /// When it has ended already: the pid may be another's.
    pub fn signal(&mut self, signal: &str) {
        if let Some(status) = self.exited() {
            panic!("{}: ended ({status}) before SIG{signal}\n{}", self.name, self.tail());
        }
        // The shell's own `kill`: a minimal system has no program of that name.
        let status = Command::new("sh")
            .args(["-c", &format!("kill -{signal} {}", self.pid())])
            .status()
            .expect("sh can be started");
        assert!(status.success(), "{}: kill -{signal}: {status}", self.name);
    }

    /// Asks it to end, SIGTERM.
    pub fn terminate(&mut self) {
        self.signal("TERM");
    }

    /// Ends it as a power cut would, SIGKILL, and waits until it is gone, its port free again.
    pub fn kill9(&mut self) {
        if self.exited().is_none() {
            self.child.kill().expect("a child of ours can be killed");
            self.exited = Some(self.child.wait().expect("a child of ours can be waited for"));
        }
    }

    /// Waits for it to end by itself.
    ///
    /// # Panics
    /// When it has not within `deadline`; with the end of its log.
    #[track_caller]
    pub fn wait_exit(&mut self, deadline: Duration) -> ExitStatus {
        let start = Instant::now();
        let mut status = None;
        let look = || {
            status = self.exited();
            status.is_some() || start.elapsed() >= deadline
        };
        wait_until(deadline + Duration::from_secs(1), look, "exit");
        status.unwrap_or_else(|| {
            panic!("{}: still running after {deadline:?}\n{}", self.name, self.tail())
        })
    }

    /// The last lines of the log, with its name.
    pub fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(TAIL)..];
        format!("--- end of the log of {}:\n{}\n---", self.name, tail.join("\n"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Not `kill9`: a second panic while a test unwinds would abort the whole program.
        let ended: io::Result<()> = match self.exited {
            Some(_) => Ok(()),
            None => self.child.kill().and_then(|()| self.child.wait().map(drop)),
        };
        if let Err(error) = ended {
            eprintln!("{}: cannot end pid {}: {error}", self.name, self.pid());
        }
        if std::thread::panicking() {
            eprintln!("{}", self.tail());
        }
    }
}

//! A MariaDB server of the test's own.
//!
//! Installing a data folder takes seconds, copying a prepared one a tenth of that. So the first
//! test prepares a template under cargo's folder for test data (user, database and clean shutdown
//! included), and every server starts from a copy.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use super::{Process, TempDir, find_program, free_port, temp_dir};

/// The first start of a copied folder takes half a second on a quiet machine.
const START: Duration = Duration::from_secs(60);
const DATABASE: &str = "bongsu";
const USER: &str = "bongsu";
const PASSWORD: &str = "beacon";
/// Counts up when [`prepare`] changes, so that an older template is not used.
const RECIPE: u32 = 1;

/// `mariadbd` in its own folder on a free loopback port, UTF-8 throughout, with the empty database
/// `bongsu` and a user who owns it. Committed rows survive [`kill9`](Self::kill9) and
/// [`restart`](Self::restart). Killed when dropped.
#[derive(Debug)]
pub struct MariaDb {
    process: Process,
    port: u16,
    dir: TempDir,
}

impl MariaDb {
    /// Starts one; `None` when `mariadb-server` or its client is not installed.
    ///
    /// # Panics
    /// When it is installed and does not come up.
    pub fn start() -> Option<Self> {
        for program in ["mariadbd", "mariadb-install-db", "mariadb"] {
            find_program(program)?;
        }
        let template = template();
        let (port, dir) = (free_port(), temp_dir());
        run("cp -a", Command::new("cp").arg("-a").arg(&template).arg(dir.path().join("data")));
        let mut process = spawn(port, dir.path());
        wait_up(&mut process, dir.path());
        Some(Self { process, port, dir })
    }

    /// Starts one on a machine that must have it.
    ///
    /// # Panics
    /// When it is not installed, saying how to install it.
    pub fn require() -> Self {
        Self::start().expect("MariaDB is needed: apt-get install mariadb-server mariadb-client")
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `mysql://bongsu:…@127.0.0.1:<port>/bongsu`.
    pub fn url(&self) -> String {
        format!("mysql://{USER}:{PASSWORD}@127.0.0.1:{}/{DATABASE}", self.port)
    }

    /// Runs statements as the user of [`url`](Self::url) by the command-line client; rows as lines,
    /// columns parted by tabs, no headings.
    ///
    /// # Panics
    /// When the client refuses, with its message.
    #[track_caller]
    pub fn sql(&self, statements: &str) -> String {
        let output = run(
            statements,
            client()
                .args(["-h", "127.0.0.1", "-P", &self.port.to_string(), "-u", USER])
                .arg(format!("-p{PASSWORD}"))
                .args([DATABASE, "-e", statements]),
        );
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Runs statements as the server's own root.
    ///
    /// # Panics
    /// When the client refuses, with its message.
    #[track_caller]
    pub fn admin(&self, statements: &str) -> String {
        let output = run(statements, as_admin(self.dir.path()).args(["-e", statements]));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// As [`admin`](Self::admin), but `None` when the server refuses, for example because all its
    /// connections are taken.
    pub fn try_admin(&self, statements: &str) -> Option<String> {
        let output = as_admin(self.dir.path()).args(["-e", statements]).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        output.status.success().then_some(text)
    }

    /// Kills every connection of our user; how many there were.
    pub fn kill_connections(&self) -> usize {
        let query = format!("select id from information_schema.processlist where user = '{USER}'");
        let ids = self.try_admin(&query).unwrap_or_default();
        // One that has ended meanwhile is an error to the server, and none to us.
        for id in ids.lines() {
            let _ = self.try_admin(&format!("kill {id}"));
        }
        ids.lines().count()
    }

    /// Whether it answers.
    pub fn is_up(&self) -> bool {
        answers(self.dir.path())
    }

    /// Ends it without warning; its port and folder stay its own.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Ends it in order, SIGTERM.
    pub fn stop(&mut self) {
        self.process.terminate();
        self.process.wait_exit(START);
    }

    /// Starts it again on the same port and folder, ending it first if it still runs.
    pub fn restart(&mut self) {
        self.process.kill9();
        self.process = spawn(self.port, self.dir.path());
        wait_up(&mut self.process, self.dir.path());
    }
}

/// The prepared data folder, made by whoever comes first.
fn template() -> PathBuf {
    let version = run("mariadbd --version", program("mariadbd").arg("--version")).stdout;
    let version: String = String::from_utf8_lossy(&version)
        .split_whitespace()
        .skip_while(|&word| word != "Ver")
        .nth(1)
        .unwrap_or("unknown")
        .to_owned();
    let tests = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let root = tests.join(format!("mariadb-{version}-{RECIPE}"));
    let ready = root.join("ready");
    let lock = File::create(tests.join("mariadb.lock")).expect("the template's lock can be made");
    lock.lock().expect("the template's lock can be taken");
    if !ready.exists() {
        // A half-made one of a run that was interrupted.
        if root.exists() {
            fs::remove_dir_all(&root).expect("a half-made template can be removed");
        }
        fs::create_dir_all(&root).expect("the template's folder can be made");
        prepare(&root);
        File::create(&ready).expect("the template can be marked as ready");
    }
    root.join("data")
}

fn prepare(root: &Path) {
    run(
        "mariadb-install-db",
        program("mariadb-install-db")
            .arg("--no-defaults")
            .args(as_root())
            .arg(format!("--datadir={}", root.join("data").display()))
            .args(["--auth-root-authentication-method=normal", "--skip-test-db"])
            .args(["--skip-name-resolve"]),
    );
    // The socket's path may be 107 bytes at most, which a deep checkout passes: it goes elsewhere.
    let run_dir = temp_dir();
    std::os::unix::fs::symlink(root.join("data"), run_dir.path().join("data"))
        .expect("the template can be linked to");
    let mut server = spawn(free_port(), run_dir.path());
    wait_up(&mut server, run_dir.path());
    let statements = format!(
        "create database {DATABASE}; \
         create user '{USER}'@'127.0.0.1' identified by '{PASSWORD}'; \
         grant all on {DATABASE}.* to '{USER}'@'127.0.0.1'"
    );
    run(&statements, as_admin(run_dir.path()).args(["-e", &statements]));
    server.terminate();
    server.wait_exit(START);
}

/// The server over `dir/data`, with its socket and log in `dir`.
fn spawn(port: u16, dir: &Path) -> Process {
    let file = |name: &str| dir.join(name).display().to_string();
    let mut command = program("mariadbd");
    command
        .arg("--no-defaults")
        .args(as_root())
        .arg(format!("--datadir={}", file("data")))
        .arg(format!("--socket={}", file("s")))
        .arg(format!("--pid-file={}", file("pid")))
        .arg(format!("--port={port}"))
        .args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--skip-log-bin"])
        .args(["--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M"])
        // Without these the server speaks latin1 and refuses Korean names.
        .args(["--character-set-server=utf8mb4", "--collation-server=utf8mb4_general_ci"]);
    Process::spawn("mariadbd", &mut command, &dir.join("log"))
}

fn wait_up(process: &mut Process, dir: &Path) {
    process.wait_ready(START, || answers(dir));
}

fn answers(dir: &Path) -> bool {
    as_admin(dir).args(["-e", "select 1"]).output().is_ok_and(|output| output.status.success())
}

/// The client, as the server's own root over its socket.
fn as_admin(dir: &Path) -> Command {
    let mut command = client();
    command.args(["-u", "root", "-S"]).arg(dir.join("s"));
    command
}

fn client() -> Command {
    let mut command = program("mariadb");
    command.args(["--no-defaults", "--default-character-set=utf8mb4", "-N", "-B"]);
    command
}

fn program(name: &str) -> Command {
    Command::new(find_program(name).unwrap_or_else(|| panic!("{name} is not installed any more")))
}

/// Run by root, the server insists on being told so.
fn as_root() -> Option<&'static str> {
    let ours = fs::metadata("/proc/self").expect("/proc is there").uid();
    (ours == 0).then_some("--user=root")
}

#[track_caller]
fn run(what: &str, command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(
        output.status.success(),
        "{what}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

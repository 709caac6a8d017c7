//! What is wrong is said once: the key, the value, and what to do.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use crate::support::{Daemon, TempDir, temp_dir};

const SOON: Duration = Duration::from_secs(20);

/// One mistake.
struct Case {
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
    code: i32,
    /// What the message must hold.
    said: Vec<String>,
}

impl Case {
    fn new(arguments: &[&str], code: i32, said: &[&str]) -> Self {
        Self {
            arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
            environment: Vec::new(),
            code,
            said: said.iter().map(|text| (*text).to_owned()).collect(),
        }
    }

    fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }
}

/// Starts `bongsu run` with the mistake in `dir` and looks at how it ends.
#[track_caller]
fn ends(dir: &Path, case: &Case) {
    let mut setup = Daemon::setup().args(["run"]).args(case.arguments.clone()).dir(dir);
    for (name, value) in &case.environment {
        setup = setup.env(name, value);
    }
    let mut daemon = setup.start();
    let status = daemon.wait_exit(SOON);
    let log = daemon.process().log();
    assert_eq!(status.code(), Some(case.code), "{:?}\n{log}", case.said);
    for text in &case.said {
        assert_eq!(log.matches(text.as_str()).count(), 1, "{text:?} is not said once:\n{log}");
    }
    assert_eq!(log.matches("bongsu: ").count(), 1, "{log}");
    let mut lines: Vec<&str> = log.lines().filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    assert!(lines.windows(2).all(|pair| pair[0] != pair[1]), "a line is said twice:\n{log}");
    for noise in ["stack backtrace", "panicked", "canary"] {
        assert!(!log.contains(noise), "{noise}:\n{log}");
    }
}

fn with_file(name: &str, text: &str) -> TempDir {
    let dir = temp_dir();
    let path = dir.path().join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).unwrap();
    std::fs::write(path, text).unwrap();
    dir
}

#[test]
fn settings_that_do_not_exist() {
    let said = ["unknown variable BONGSU_FEED__SIMBOLS", "did you mean BONGSU_FEED__SYMBOLS?"];
    ends(temp_dir().path(), &Case::new(&[], 2, &said).env("BONGSU_FEED__SIMBOLS", "005930"));

    let dir = with_file("config/bongsu.toml", "[feed]\nbooks = true\nsimbols = \"005930\"\n");
    let said = ["unknown key feed.simbols (config/bongsu.toml line 3): did you mean feed.symbols?"];
    ends(dir.path(), &Case::new(&[], 2, &said));

    let dir = with_file(".env", "BONGSU_HTTP__LISTEM=127.0.0.1:1\n");
    let said = ["BONGSU_HTTP__LISTEM (.env line 1", "did you mean BONGSU_HTTP__LISTEN?"];
    ends(dir.path(), &Case::new(&[], 2, &said));
}

#[test]
fn values_of_the_wrong_form() {
    let said = ["redis.url = ", "environment variable REDIS_URL", "expected"];
    ends(temp_dir().path(), &Case::new(&[], 2, &said).env("REDIS_URL", "http://:canary@x"));
    let said = ["database.url = ", "environment variable DATABASE_URL", "mysql"];
    let url = "postgres://bongsu:canary@127.0.0.1/bongsu";
    ends(temp_dir().path(), &Case::new(&[], 2, &said).env("DATABASE_URL", url));
    let said = ["kis.base_url = ", "environment variable KIS_BASE_URL", "expected"];
    ends(temp_dir().path(), &Case::new(&[], 2, &said).env("KIS_BASE_URL", "not a url"));
    for speed in ["fast", "0", "-2", "inf"] {
        let shown = format!("sim.speed = \"{speed}\" (flag --speed): expected ");
        ends(temp_dir().path(), &Case::new(&["--speed", speed], 2, &[&shown, "max"]));
    }
}

#[test]
fn kis_without_what_it_needs() {
    let case =
        Case::new(&["--source", "kis"], 2, &["KIS_APP_KEY", "KIS_APP_SECRET", "feed.source"]);
    ends(temp_dir().path(), &case);
    let said = ["kis.app_key", "set without kis.app_secret"];
    ends(temp_dir().path(), &Case::new(&[], 2, &said).env("KIS_APP_KEY", "canary"));
    // Keys, but nothing to watch.
    let case =
        Case::new(&["--source", "kis"], 2, &["feed.symbols is empty", "BONGSU_FEED__SYMBOLS"])
            .env("KIS_APP_KEY", "canary")
            .env("KIS_APP_SECRET", "canary")
            .env("KIS_BASE_URL", "http://127.0.0.1:1")
            .env("KIS_WS_URL", "ws://127.0.0.1:1")
            .env("BONGSU_LOG__LEVEL", "error");
    ends(temp_dir().path(), &case);
}

#[test]
fn files_that_are_not_there() {
    let case = Case::new(&["--config", "missing.toml"], 2, &["missing.toml: cannot read"]);
    ends(temp_dir().path(), &case);
    // A folder is no file either, whoever reads it.
    ends(temp_dir().path(), &Case::new(&["--config", "."], 2, &["cannot read this configuration"]));
    let broken = with_file("broken.toml", "[feed\n");
    let said = ["broken.toml line 1: not valid TOML"];
    ends(broken.path(), &Case::new(&["--config", "broken.toml"], 2, &said));

    let case = Case::new(&["--data", "missing.parquet"], 1, &["missing.parquet", "No such file"]);
    ends(temp_dir().path(), &case.env("BONGSU_LOG__LEVEL", "error"));
    let text = with_file("text.parquet", "symbol,price\n");
    let case = Case::new(&["--data", "text.parquet"], 1, &["text.parquet"]);
    ends(text.path(), &case.env("BONGSU_LOG__LEVEL", "error"));
    let case = Case::new(&["--market", "missing.yaml"], 1, &["missing.yaml", "No such file"]);
    ends(temp_dir().path(), &case.env("BONGSU_LOG__LEVEL", "error"));
}

#[test]
fn a_port_in_use() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap().to_string();
    let said = format!("http address {address} is in use");
    let case = Case::new(&[], 1, &[&said, "set BONGSU_HTTP__LISTEN to another address"]);
    ends(temp_dir().path(), &case.env("BONGSU_HTTP__LISTEN", address));
}

#[test]
fn a_folder_that_cannot_be_written() {
    // Below a regular file: not even root can make a folder there.
    let dir = with_file("file", "");
    let data_dir = dir.path().join("file/var");
    let said = format!("data_dir {}: cannot make the folder", data_dir.display());
    let case = Case::new(&[], 1, &[&said, "set BONGSU_DATA_DIR to one that can be written"]);
    ends(dir.path(), &case.env("BONGSU_DATA_DIR", data_dir.to_str().unwrap()));
}

//! `bongsu check etl` and `bongsu doctor` against the simulator: each thing that can be wrong with KIS
//! is named with what to do about it, and no more is asked of KIS than is needed to know.

use std::process::{Command, Output};
use std::time::Duration;

use bongsu::kis::sim::{FaultSpec, RunningSim, SimEnv, SimOptions, SimSource, SimSpeed, Simulator};
use bongsu::market::{Calendar, EventTime, SessionDay, rules};
use serde_json::Value;

use crate::support::{Daemon, TempDir, temp_dir};

const KEY: &str = "PScanary-key";
const SECRET: &str = "canary-secret";
const HTS_ID: &str = "canary-hts";
const ACCOUNT: &str = "50770001-01";
const TOKEN: &str = "/oauth2/tokenP";

/// The last session that is over in Korea: of a day that is played ahead of the clock, the minutes
/// to come are none yet.
fn session() -> SessionDay {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = EventTime::from_micros(i64::try_from(now.as_micros()).unwrap());
    let (today, krx) = (now.session_day(), Calendar::krx());
    let is_over = now >= EventTime::from_kst(today, rules::CLOSE).plus_micros(120_000_000);
    let is_today = is_over && krx.is_session(today) == Some(true);
    if is_today { today } else { krx.previous_session(today).unwrap() }
}

fn options() -> SimOptions {
    SimOptions {
        source: SimSource::Market { market: "calm".to_owned(), day: Some(session()) },
        speed: Some(SimSpeed::Max),
        app_key: Some(KEY.into()),
        app_secret: Some(SECRET.into()),
        hts_id: Some(HTS_ID.to_owned()),
        ..SimOptions::default()
    }
}

fn fault(text: &str) -> Vec<FaultSpec> {
    FaultSpec::parse_list(text).unwrap()
}

/// A simulated KIS after its day, and the folder and environment of those who use it.
struct Place {
    sim: RunningSim,
    folder: TempDir,
    environment: Vec<(&'static str, String)>,
}

impl Place {
    async fn new(options: SimOptions) -> Self {
        let sim = Simulator::load(options).unwrap().start().await.unwrap();
        sim.finished().await;
        let environment = vec![
            ("KIS_BASE_URL", sim.rest_url()),
            ("KIS_WS_URL", sim.ws_url()),
            ("KIS_APP_KEY", KEY.to_owned()),
            ("KIS_APP_SECRET", SECRET.to_owned()),
            ("BONGSU_FEED__SYMBOLS", "005930,000660".to_owned()),
            ("BONGSU_HTTP__LISTEN", "127.0.0.1:0".to_owned()),
        ];
        Self { sim, folder: temp_dir(), environment }
    }

    fn set(mut self, name: &'static str, value: &str) -> Self {
        self.environment.retain(|(known, _)| *known != name);
        self.environment.push((name, value.to_owned()));
        self
    }

    fn output(&self, arguments: &[&str]) -> Output {
        let output = Command::new(env!("CARGO_BIN_EXE_bongsu"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.folder.path())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap();
        for bytes in [&output.stdout, &output.stderr] {
            let text = String::from_utf8_lossy(bytes);
            for secret in ["canary", "50770001", "eyJ0eXAi"] {
                assert!(!text.contains(secret), "{secret}:\n{text}");
            }
        }
        output
    }

    fn run(&self, arguments: &[&str]) -> Report {
        let output = self.output(&[arguments, &["--json"]].concat());
        let json: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        let code = output.status.code().unwrap();
        assert_eq!(json["ok"], code == 0, "the exit code tells what the report tells");
        Report { code, json }
    }

    fn check(&self) -> Report {
        self.run(&["check", "etl"])
    }

    fn doctor(&self) -> Report {
        self.run(&["doctor"])
    }

    /// Requests so far.
    fn asked(&self) -> u64 {
        self.sim.request_counts().values().sum()
    }

    /// Tokens asked for so far.
    fn tokens(&self) -> u64 {
        let counts = self.sim.request_counts();
        counts.iter().filter(|((endpoint, _), _)| *endpoint == TOKEN).map(|(_, count)| count).sum()
    }
}

struct Report {
    code: i32,
    json: Value,
}

impl Report {
    /// State, finding and advice of a line.
    #[track_caller]
    fn line(&self, name: &str) -> (&str, &str, &str) {
        let checks = self.json["checks"].as_array().unwrap();
        let line = checks.iter().find(|check| check["name"] == name);
        let line = line.unwrap_or_else(|| panic!("no line {name}: {:#}", self.json));
        let text = |key: &str| line[key].as_str().unwrap();
        (text("state"), text("found"), text("advice"))
    }

    /// A failed line with these words, and advice with those.
    #[track_caller]
    fn fails(&self, name: &str, found: &[&str], advice: &[&str]) {
        let line = self.line(name);
        assert_eq!(line.0, "fail", "{line:?}");
        assert!(found.iter().all(|part| line.1.contains(part)), "{found:?}: {line:?}");
        assert!(advice.iter().all(|part| line.2.contains(part)), "{advice:?}: {line:?}");
        assert_eq!(self.code, 1);
    }

    /// Names of the failed lines.
    fn failed(&self) -> Vec<&str> {
        let checks = self.json["checks"].as_array().unwrap().iter();
        let failed = checks.filter(|check| check["state"] == "fail");
        failed.map(|check| check["name"].as_str().unwrap()).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_is_well_and_one_token_is_asked_for() {
    let place = Place::new(options()).await.set("KIS_ACCOUNT", ACCOUNT).set("KIS_HTS_ID", HTS_ID);
    let before = place.doctor();
    assert_eq!(before.failed(), [""; 0], "{:#}", before.json);
    let (state, found, advice) = before.line("kis keys");
    assert_eq!((state, place.tokens()), ("warn", 0), "{found}");
    assert!(found.contains("unproven") && advice.contains("bongsu check etl"), "{found} {advice}");

    let report = place.check();
    assert_eq!(report.failed(), [""; 0], "{:#}", report.json);
    for endpoint in ["inquire_price", "daily_bars", "minute_bars", "latest_trades"] {
        let (state, found, _) = report.line(&format!("kis {endpoint}"));
        assert_eq!(state, "ok", "{endpoint}: {found}");
    }
    for name in
        ["kis keys", "kis order_history", "kis websocket", "clock", "kis calendar", "objects"]
    {
        assert_eq!(report.line(name).0, "ok", "{:?}", report.line(name));
    }
    assert!(report.line("account notices").1.contains("no orders in the last days"));
    // Trades, books and interruptions of two issues, two indices, market state, notices.
    let registrations = report.line("registrations").1;
    assert!(registrations.starts_with("10 of 41 slots in use, 31 free"), "{registrations}");
    assert!(report.line("kis budget").1.contains("2 issues"));
    let subscribed: Vec<String> = place
        .sim
        .requests()
        .into_iter()
        .filter(|request| request.endpoint == "ws:subscribe")
        .map(|request| request.tr_id)
        .collect();
    assert_eq!(subscribed, ["H0STCNT0 005930".to_owned(), format!("H0STCNI0 {HTS_ID}")]);

    assert_eq!(place.check().failed(), [""; 0]);
    let after = place.doctor();
    assert!(after.line("kis keys").1.starts_with("accepted (the access token kept until"));
    assert_eq!(place.tokens(), 1);
    place.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_online_proves_the_keys() {
    let place = Place::new(options()).await;
    let report = place.run(&["doctor", "--online"]);
    assert_eq!((report.line("kis keys").0, place.tokens()), ("ok", 1), "{:#}", report.json);
    place.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_keys_and_half_of_them() {
    let place = Place::new(options()).await;
    for (missing, said) in [
        ("KIS_APP_SECRET", "kis.app_key (environment variable KIS_APP_KEY): set without"),
        ("KIS_APP_KEY", "kis.app_secret (environment variable KIS_APP_SECRET): set without"),
    ] {
        for arguments in [&["check", "etl"][..], &["doctor"]] {
            let mut half = Command::new(env!("CARGO_BIN_EXE_bongsu"));
            half.args(arguments).current_dir(place.folder.path()).env_clear();
            half.env("HOME", place.folder.path());
            half.envs(place.environment.iter().filter(|(name, _)| *name != missing).cloned());
            let output = half.output().unwrap();
            assert_eq!(output.status.code(), Some(2));
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(stderr.contains(said) && !stderr.contains("canary"), "{stderr}");
        }
    }
    let keyless = Place {
        environment: vec![("BONGSU_FEED__SOURCE", "kis".to_owned())],
        sim: place.sim,
        folder: place.folder,
    };
    for arguments in [&["check", "etl"][..], &["doctor"]] {
        let output = keyless.output(arguments);
        assert_eq!(output.status.code(), Some(2));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("set KIS_APP_KEY and KIS_APP_SECRET"), "{stderr}");
    }
    assert_eq!(keyless.asked(), 0);
    // Without a word about KIS the built-in simulator is what there is to check.
    let simulated = keyless.set("BONGSU_FEED__SOURCE", "sim").set("BONGSU_SIM__MARKET", "calm");
    let report = simulated.check();
    assert_eq!(report.failed(), [""; 0], "{:#}", report.json);
    let (state, found, advice) = report.line("source");
    assert_eq!(state, "warn");
    assert!(found.contains("no KIS keys") && advice.contains("KIS_APP_KEY"), "{found} {advice}");
    assert!(!simulated.folder.path().join("var").exists(), "a simulated day keeps nothing");
    simulated.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_keys_are_told_and_not_sent_again() {
    for (name, code) in [("KIS_APP_KEY", "EGW00103"), ("KIS_APP_SECRET", "EGW00105")] {
        let place = Place::new(options()).await.set(name, "canary-wrong");
        let report = place.check();
        report.fails("kis keys", &[code, "token"], &["KIS_APP_KEY", "KIS_ENV=mock", "real"]);
        assert_eq!(report.line("kis endpoints").0, "warn");
        place.check().fails("kis keys", &[code], &["KIS_APP_SECRET"]);
        place.doctor().fails("kis keys", &[code, "at 20"], &["KIS_APP_SECRET"]);
        assert_eq!(place.tokens(), 1, "a refusal is remembered");
        place.sim.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_keys_at_a_paper_server() {
    let options = SimOptions { env: SimEnv::Mock, ..options() };
    let place = Place::new(options).await.set("KIS_HTS_ID", HTS_ID);
    let report = place.check();
    report.fails("kis calendar", &["EGW02004"], &["KIS_ENV=mock"]);
    report.fails("account notices", &["OPSP8991"], &["KIS_ENV"]);
    place.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paper_keys_at_a_real_server() {
    let place = Place::new(options()).await.set("KIS_ENV", "mock").set("KIS_ACCOUNT", ACCOUNT);
    place.check().fails("kis order_history", &["EGW02004"], &["KIS_ENV=real"]);
    place.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paper_trading_as_it_is() {
    let options = SimOptions { env: SimEnv::Mock, ..options() };
    let place = Place::new(options).await.set("KIS_ENV", "mock").set("KIS_HTS_ID", HTS_ID);
    let report = place.check();
    assert_eq!(report.failed(), [""; 0], "{:#}", report.json);
    assert!(report.line("kis calendar").1.contains("paper trading has none"));
    let (state, found, _) = report.line("account notices");
    assert_eq!(state, "warn");
    assert!(found.contains("subscribed; ") && found.contains("paper trading"), "{found}");
    place.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_differ() {
    let off = |seconds| SimOptions { clock_offset: seconds, ..options() };
    let place = Place::new(off(30)).await;
    for report in [place.check(), place.doctor()] {
        assert_eq!(report.failed(), [""; 0], "{:#}", report.json);
        let (state, found, advice) = report.line("clock");
        assert_eq!(state, "warn", "{found}");
        assert!(found.contains("behind KIS's") && advice.contains("synchronise"), "{found}");
    }
    place.sim.stop().await;
    let place = Place::new(off(-7_200)).await;
    // Without a token, before: an answer needs no key to have a date.
    place.doctor().fails("clock", &["s ahead of KIS's"], &["synchronise"]);
    assert_eq!(place.tokens(), 0);
    place.check().fails("clock", &["s ahead of KIS's"], &["synchronise"]);
    place.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_is_told_and_kept_to() {
    let place = Place::new(SimOptions { faults: fault("blocked"), ..options() }).await;
    let report = place.check();
    let found = ["since 20", "http 403", "nothing is sent before 20"];
    report.fails("kis keys", &found, &["portal", "KIS's support"]);
    let struck = place.sim.faults().len();
    assert!(struck > 0);
    place.check().fails("kis keys", &found, &["portal"]);
    place.doctor().fails("kis keys", &found, &["portal"]);
    assert_eq!(place.sim.faults().len(), struck, "nothing is sent while it lasts");
    place.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_holiday_data() {
    let faults = fault("http:endpoint=chk-holiday,code=EGW00206");
    let place = Place::new(SimOptions { faults, ..options() }).await;
    let report = place.check();
    report.fails("kis calendar", &["no holiday data", "EGW00206"], &["built-in calendar"]);
    assert_eq!(report.failed(), ["kis calendar"]);
    place.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hts_id_that_kis_does_not_know_and_none() {
    let place = Place::new(options()).await.set("KIS_HTS_ID", "canary-oth");
    place.check().fails("account notices", &["OPSP0017"], &["KIS_HTS_ID"]);
    let place = place.set("KIS_HTS_ID", "");
    let report = place.check();
    assert_eq!(report.line("account notices").0, "ok");
    assert!(report.line("account notices").1.contains("no HTS id is set"));
    let text = String::from_utf8(place.output(&["check", "etl"]).stdout).unwrap();
    assert!(text.contains("kis keys") && text.contains("  ok    accepted"), "{text}");
    place.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_at_work_keeps_its_session() {
    let place = Place::new(options()).await;
    let mut setup = Daemon::setup().args(["run"]).dir(place.folder.path());
    for (name, value) in &place.environment {
        if *name != "BONGSU_HTTP__LISTEN" {
            setup = setup.env(name, value);
        }
    }
    let mut daemon = setup.start();
    daemon.wait_ready(Duration::from_secs(30));
    let place = place.set("BONGSU_HTTP__LISTEN", &daemon.address().to_string());
    let connections = || {
        let counts = place.sim.request_counts();
        counts.get(&("ws:connect", "101".to_owned())).copied()
    };
    let before = connections();
    let report = place.check();
    let (_, found, _) = report.line("kis websocket");
    assert!(
        found.contains("a daemon runs on this data folder") && found.contains("feed: "),
        "{found}"
    );
    assert_eq!((connections(), place.tokens()), (before, 1));
    daemon.stop();
    place.sim.stop().await;
}

#[test]
fn scores_and_reports_are_checked_without_keys() {
    let folder = temp_dir();
    let output = Command::new(env!("CARGO_BIN_EXE_bongsu"))
        .args(["check", "all"])
        .current_dir(folder.path())
        .env_clear()
        .env("HOME", folder.path())
        .env("BONGSU_SIM__MARKET", "calm")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("of 0 to 100") && text.contains("templates write the reports"), "{text}");
}

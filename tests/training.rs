//! `bongsu train` and `bongsu models` as an operator uses them, and a daemon that takes another version
//! without a restart.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use bongsu::market::SessionDay;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::support::{Daemon, temp_dir, wait_until};

const SOON: Duration = Duration::from_secs(60);

/// Daily bars of invented issues over `sessions` weekdays, as CSV: returns of changing size.
fn bars(issues: usize, sessions: usize, seed: u64) -> String {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let first = SessionDay::from_yyyymmdd(20_220_103).expect("a day");
    let mut text = "date,symbol,open,high,low,close,volume\n".to_owned();
    for issue in 0..issues {
        let (mut close, mut size, mut day) = (50_000.0_f64, 0.015_f64, first);
        for _ in 0..sessions {
            while day.is_weekend() {
                day = day.next();
            }
            let chance: f64 = (0..6).map(|_| rng.random_range(-1.0..1.0)).sum::<f64>() / 1.41;
            let step = (size * chance).clamp(-0.2, 0.2);
            size = (0.9 * size + 0.1 * (0.005 + step.abs())).clamp(0.004, 0.05);
            let open = close * (1.0 + 0.3 * step);
            close = (close * (1.0 + step)).clamp(5_000.0, 500_000.0);
            let spread = 1.0 + size * rng.random_range(0.2..0.8);
            let (high, low) = (open.max(close) * spread, open.min(close) / spread);
            let volume = 1_000_000.0 * (1.0 + 20.0 * step.abs()) * rng.random_range(0.7..1.3);
            let _ = writeln!(
                text,
                "{day},{:06},{open:.0},{high:.0},{low:.0},{close:.0},{volume:.0}",
                5_930 + 10 * issue
            );
            day = day.next();
        }
    }
    text
}

fn bongsu(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bongsu"));
    command.args(arguments).current_dir(dir).env_clear().env("HOME", dir);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    // As it is without the variable: a relative folder, which may not be there yet.
    command.env("BONGSU_DATA_DIR", "var");
    command.output().expect("the program starts")
}

/// Standard output as JSON; the command must have ended well.
fn json(dir: &Path, arguments: &[&str]) -> Value {
    let output = bongsu(dir, arguments);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {told}");
    let text = String::from_utf8(output.stdout).expect("text");
    serde_json::from_str(text.trim()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Exit code and standard error of a command that must fail.
fn refusal(dir: &Path, arguments: &[&str]) -> (i32, String) {
    let output = bongsu(dir, arguments);
    let code = output.status.code().expect("it ends by itself");
    (code, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_model_is_trained_put_to_use_by_running_daemons_and_rolled_back() {
    let folder = temp_dir();
    let dir = folder.path();
    std::fs::write(dir.join("bars.csv"), bars(6, 760, 1)).expect("it can be written");
    let first = json(dir, &["train", "--data", "bars.csv", "--until", "2024-07-01", "--json"]);
    assert_eq!(first["activated"], true, "{first}");
    // Nothing is registered yet: it is measured against the one that is built in.
    let built_in = include_str!("../config/models/default.json");
    let built_in: Value = serde_json::from_str(built_in).expect("JSON");
    assert_eq!(
        (&first["data"]["files"][0], &first["comparison"]["with"]),
        (&"bars.csv".into(), &built_in["id"])
    );
    assert!(first["validation"]["rows"].as_u64().is_some_and(|rows| rows > 200), "{first}");
    assert_eq!(first["trained_until"], "2024-07-01");
    let old = first["id"].as_str().expect("a name").to_owned();

    // The months since decide between it and one that knows them. Chance alone says which is better on
    // invented rows, so it is forced.
    let second = json(dir, &["train", "--data", "bars.csv", "--force", "--json"]);
    assert_eq!(second["before"], old.as_str(), "{second}");
    let found = &second["comparison"];
    assert_eq!((&found["with"], &found["since_its_fit"]), (&old.as_str().into(), &true.into()));
    let [new_losses, old_losses] = [&found["losses"][0], &found["losses"][1]];
    assert_eq!(new_losses["rows"], old_losses["rows"], "{found}");
    assert_eq!(new_losses["to"], old_losses["to"], "{found}");
    assert!(old_losses["from"].as_str() > Some("2024-07-01"), "{found}");

    // The same rows again: not worse than itself. And once more, but only registered.
    let again = json(dir, &["train", "--data", "bars.csv", "--json"]);
    let new = again["id"].as_str().expect("a name").to_owned();
    assert_eq!((&again["activated"], &again["before"]), (&true.into(), &second["id"]), "{again}");
    assert_eq!(again["comparison"]["since_its_fit"], false);
    assert_eq!(again["data"]["sha256"], second["data"]["sha256"], "the same snapshot");
    let third = json(dir, &["train", "--data", "bars.csv", "--no-activate", "--json"]);
    assert_eq!(third["activated"], false);

    let list = json(dir, &["models", "list", "--json"]);
    let models = list["models"].as_array().expect("a list");
    assert_eq!((models.len(), &list["active"]), (4, &new.as_str().into()));
    let shown = json(dir, &["models", "show", &old, "--json"]);
    assert_eq!(shown["version"]["model_sha256"], first["model_sha256"]);
    let text = String::from_utf8(bongsu(dir, &["models", "list"]).stdout).expect("text");
    assert!(text.contains(&format!("* {new}  daily_risk")), "{text}");

    // A daemon takes the active one at its start, and another while it runs.
    let setup = Daemon::setup().args(["run", "--market", "calm", "--speed", "30"]).dir(dir);
    let mut daemon = setup.env("BONGSU_MODELS__WATCH_SECONDS", "1").start();
    daemon.wait_ready(SOON);
    let live = |daemon: &Daemon| daemon.json("/v1/models")["live"]["id"].clone();
    wait_until(SOON, || live(&daemon) == new.as_str(), "the active model");
    let scored = |daemon: &Daemon, id: &str| {
        let body = daemon.json("/v1/risk?limit=1");
        body["scores"][0]["model"] == id
    };
    wait_until(SOON, || scored(&daemon, &new), "a score of it");
    let back = json(dir, &["models", "activate", &old, "--json"]);
    assert_eq!((&back["active"], &back["before"]), (&old.as_str().into(), &new.as_str().into()));
    wait_until(SOON, || live(&daemon) == old.as_str(), "the older model");
    wait_until(SOON, || scored(&daemon, &old), "a score of it");
    let (_, ready) = daemon.get("/readyz");
    wait_until(SOON, || daemon.get("/readyz").1.contains(&format!("model: up ({old}")), &ready);
    daemon.stop();

    // A replay of the journal switches where the daemon did, and says the same each time.
    let replay =
        |sandbox: &str| json(dir, &["replay", "--journal", "var/journal", "--sandbox", sandbox]);
    let once = replay("one");
    assert_eq!(once["digest"], replay("two")["digest"]);
    let models = |path: &Path| {
        let url = format!("sqlite://{}", path.display());
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            use bongsu::store::entity::risk_score;
            use sea_orm::EntityTrait as _;
            let options = bongsu::store::DatabaseOptions::default();
            let database =
                bongsu::store::Database::connect(&url, &options).await.expect("it is there");
            let rows = risk_score::Entity::find().all(database.connection()).await.expect("rows");
            rows.into_iter().map(|row| row.model).collect::<std::collections::BTreeSet<_>>()
        })
    };
    let both = std::collections::BTreeSet::from([old.clone(), new.clone()]);
    assert_eq!(models(&dir.join("one/bongsu.db")), both, "in the replay");
    assert_eq!(models(&dir.join("var/bongsu.db")), both, "live");
}

#[test]
fn what_cannot_be_done_is_said() {
    let folder = temp_dir();
    let dir = folder.path();
    let (code, told) = refusal(dir, &["train"]);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("the database has no daily bars") && told.contains("--data"), "{told}");
    let (code, told) = refusal(dir, &["train", "--indices", "a.csv"]);
    assert_eq!(code, 2, "{told}");
    let (code, told) = refusal(dir, &["train", "--data", "none.csv"]);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("none.csv"), "{told}");
    std::fs::write(dir.join("few.csv"), bars(1, 70, 1)).expect("it can be written");
    let (code, told) = refusal(dir, &["train", "--data", "few.csv"]);
    assert!(code == 1 && told.contains("at least"), "{told}");

    let (code, told) = refusal(dir, &["models", "activate", "20260101T000000Z"]);
    assert_eq!(code, 1, "{told}");
    assert!(
        told.contains("no version 20260101T000000Z") && told.contains("bongsu train"),
        "{told}"
    );
    let (code, told) = refusal(dir, &["models", "activate", "soon"]);
    assert!(code == 2 && told.contains("20260105T090000Z"), "{told}");

    // A job on a fresh machine has nothing to do, which is no failure.
    for job in ["retrain", "evaluation"] {
        let outcome = json(dir, &["jobs", "run", job, "--json"]);
        assert_eq!(outcome["status"], "skipped", "{outcome}");
    }
}

//! A report that an earlier process's model wrote stands in after a restart: from SQLite and a
//! folder, from MariaDB and an S3 service.

use std::time::Duration;

use bongsu::market::EventTime;
use bongsu::messages::advice::Report;
use bongsu::store::{Bucket, Database, DatabaseOptions, LocalObjects, Objects, read};
use serde_json::Value;

use super::peer::{Peer, Reply};
use crate::support::daemon::Setup;
use crate::support::mariadb::MariaDb;
use crate::support::{Daemon, Seaweed, seaweed, skip, wait_until};

const PATIENCE: Duration = Duration::from_secs(90);
const LATEST: &str = "/v1/reports/latest?kind=market_risk";

fn runtime() -> tokio::runtime::Runtime {
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime")
}

/// The newest report, once it is of this rung.
fn waited(daemon: &Daemon, rung: &str) -> Value {
    let mut found = None;
    let look = || {
        let (status, body) = daemon.get(LATEST);
        let answer: Option<Value> = serde_json::from_str(&body).ok().filter(|_| status == 200);
        found = answer.filter(|report| report["rung"] == rung);
        found.is_some()
    };
    wait_until(PATIENCE, look, rung);
    found.expect("it was waited for")
}

/// The page of a report in the store.
async fn page(objects: &Objects, id: &str) -> Option<String> {
    let keys = objects.list(Bucket::Reports, "", None, 10_000).await.ok()?;
    let end = format!("market_risk-{id}.html");
    let key = keys.into_iter().find(|key| key.as_str().ends_with(&end))?;
    let object = objects.get(Bucket::Reports, &key, None).await.ok()?;
    Some(String::from_utf8(object.bytes.to_vec()).expect("UTF-8"))
}

/// What the model wrote last, as it stands in the database.
async fn newest(url: &str) -> Report {
    let database = Database::connect(url, &DatabaseOptions::default()).await.expect("it is there");
    let since = EventTime::default();
    let found = read::newest_of_model(&database, "market_risk", "market", since).await;
    found.expect("it can be read").expect("one was written").0
}

/// A daemon whose model writes; it is ended by `end`, and goes on with a model that refuses.
/// `url` is that of its database.
fn stands_in(
    setup: impl FnOnce(Setup) -> Setup,
    stores: impl FnOnce(&Daemon) -> (String, Objects),
    end: impl FnOnce(&mut Daemon),
) {
    let runtime = runtime();
    let (peer, url) = runtime.block_on(Peer::start([Reply::Recite(str::to_owned)]));
    let daemon = Daemon::setup()
        .args(["run", "--speed", "60", "--symbols", "005930,000660,373220,247540,086520,277810"])
        .env("OPENAI_BASE_URL", &url)
        .env("OPENAI_MODEL", "test-model")
        // Each of them by the model.
        .env("BONGSU_LLM__REFRESH_SECONDS", "0");
    let mut daemon = setup(daemon).start();
    daemon.wait_ready(PATIENCE);
    let (database, objects) = stores(&daemon);
    let first = waited(&daemon, "model");
    let id = first["id"].as_str().expect("an id");
    let kept = || runtime.block_on(page(&objects, id)).is_some();
    wait_until(PATIENCE, kept, "its page");
    end(&mut daemon);
    let last = runtime.block_on(newest(&database));
    let last_page = runtime.block_on(page(&objects, &last.id));

    peer.set([Reply::Status(400, "x-a", "b", "{}")]);
    let before = peer.calls();
    daemon.restart();
    daemon.wait_ready(PATIENCE);
    let stored = waited(&daemon, "stored");
    assert!(peer.calls() > before, "the model was asked first");
    let body = stored["body"].as_str().expect("a body");
    let (mark, text) = body.split_once("\n\n").expect("a mark and a text");
    assert!(mark.starts_with("(언어 모델이 응답하지 않아 "), "{body}");
    assert!(mark.ends_with("분 전의 보고서를 다시 보임)"), "{body}");
    assert_eq!(text, last.body);
    assert_eq!((&stored["model"], &stored["subject"]), (&"test-model".into(), &"market".into()));
    let id = stored["id"].as_str().expect("an id");
    assert_ne!(id, last.id);
    let shown = || runtime.block_on(page(&objects, id));
    // The market begins anew after a kill: a report of before may have had this id, and its page.
    let marked = || shown().is_some_and(|page| page.contains(mark));
    wait_until(PATIENCE, marked, "the page with its mark");
    let shown = shown().expect("it was there");
    // A kill may come between a row and its page.
    if let Some(last_page) = last_page {
        assert_eq!(shown.replacen(&format!("<p class=\"mark\">{mark}</p>"), "", 1), last_page);
    }
}

#[test]
fn after_a_restart_the_newest_report_of_the_database_stands_in() {
    stands_in(
        |setup| setup,
        |daemon| {
            let dir = daemon.dir().join("var");
            let url = format!("sqlite://{}", dir.join("bongsu.db").display());
            (url, Objects::Local(LocalObjects::new(dir.join("objects"))))
        },
        Daemon::stop,
    );
}

#[test]
fn after_a_kill_the_newest_report_of_mariadb_and_s3_stands_in() {
    let Some(database) = MariaDb::start() else { skip!("no mariadb-server") };
    let Some(service) = Seaweed::start() else { skip!("no weed: scripts/test installs it") };
    let url = database.url();
    let count = "SELECT COUNT(*) FROM reports WHERE kind = 'market_risk' AND rung = 'model'";
    stands_in(
        |setup| {
            let environment = service.environment();
            let setup = setup.env("DATABASE_URL", &url);
            environment.iter().fold(setup, |setup, (name, value)| setup.env(name, value))
        },
        |_| (url.clone(), Objects::S3(service.client(seaweed::ADMIN, |_| ()))),
        |daemon| {
            let stored = || database.sql(count).trim().parse::<u32>().is_ok_and(|rows| rows > 0);
            wait_until(PATIENCE, stored, "its row");
            daemon.kill9();
        },
    );
}

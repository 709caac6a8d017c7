//! Collection against the simulator and against a KIS that fails: rows, archive, failures.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::Query;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use bongsu::actors::collection::{
    Clock, CollectionParts, Patience, RunLog, RunStatus, Universe, collect, wall_clock,
};
use bongsu::collect::naming;
use bongsu::kis::sim::{RunningSim, SimOptions, SimSource, SimSpeed, Simulator};
use bongsu::kis::{Account, Environment, KisClient, KisOptions};
use bongsu::market::bars::Interval;
use bongsu::market::{EventTime, Symbol, rules};
use bongsu::messages::{Component, HealthRegistry, HealthState};
use bongsu::store::entity::{etl_failure, etl_run, trade_log};
use bongsu::store::objects::Key;
use bongsu::store::{Bucket, Database, DatabaseOptions, LocalObjects, Objects, Table, read};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{MariaDb, TempDir, skip, temp_dir};

const SYMBOLS: [&str; 2] = ["005930", "000660"];
const PLANNED: EventTime = EventTime::from_micros(1_726_000_000_000_000);

fn symbols() -> Vec<Symbol> {
    SYMBOLS.iter().map(|code| code.parse().unwrap()).collect()
}

fn client(base_url: String) -> KisClient {
    // What other tests have installed already is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options = KisOptions {
        calls_per_second: None,
        token_cooldown: Duration::ZERO,
        attempts: 1,
        ..KisOptions::new(Environment::Real, base_url, "key".into(), "secret".into())
    };
    KisClient::new(options).unwrap()
}

/// Everything a run needs, in a folder of its own.
struct Place {
    folder: TempDir,
    parts: CollectionParts,
}

impl Place {
    async fn new(base_url: String, clock: Clock, url: Option<String>) -> Self {
        let folder = temp_dir();
        let url = url
            .unwrap_or_else(|| format!("sqlite://{}", folder.path().join("bongsu.db").display()));
        let database = Database::connect(&url, &DatabaseOptions::default()).await.unwrap();
        database.migrate().await.unwrap();
        let objects = Objects::Local(LocalObjects::new(folder.path().join("objects")));
        let parts = CollectionParts {
            client: client(base_url),
            universe: Universe::Symbols(symbols()),
            account: None,
            database: Some(database),
            objects: Some(objects),
            clock,
            patience: Patience {
                attempts: 3,
                first: Duration::from_millis(1),
                most: Duration::from_millis(2),
            },
            health: HealthRegistry::new(),
        };
        Self { folder, parts }
    }

    async fn collect(&self) -> RunLog {
        collect(&self.parts, "collection", PLANNED, &CancellationToken::new()).await
    }

    fn database(&self) -> &Database {
        self.parts.database.as_ref().unwrap()
    }

    fn health(&self) -> HealthState {
        let lines = self.parts.health.snapshot();
        lines.into_iter().find(|line| line.component == Component::Collection).unwrap().state
    }

    /// The raw answer at `payload_ref`, unpacked.
    async fn raw(&self, payload_ref: &str) -> String {
        let key: Key = payload_ref.strip_prefix("raw-data/").unwrap().parse().unwrap();
        let objects = self.parts.objects.as_ref().unwrap();
        let object = objects.get(Bucket::RawData, &key, None).await.unwrap();
        assert_eq!(object.about.content_type, "application/zstd");
        String::from_utf8(zstd::decode_all(&object.bytes[..]).unwrap()).unwrap()
    }
}

async fn played_day() -> (RunningSim, Clock) {
    let source = SimSource::Market { market: "calm".to_owned(), day: None };
    let options = SimOptions { source, speed: Some(SimSpeed::Max), ..SimOptions::default() };
    let sim = Simulator::load(options).unwrap().start().await.unwrap();
    sim.finished().await;
    let after = EventTime::from_kst(sim.session_day(), rules::CLOSE).plus_micros(120_000_000);
    (sim, Arc::new(move || after))
}

/// The chain over a whole day, twice; what is stored is what the simulator says of the day.
async fn chain_on(url: Option<String>) {
    let (sim, clock) = played_day().await;
    let place = Place::new(sim.rest_url(), clock, url).await;
    let log = place.collect().await;
    assert_eq!(log.status, RunStatus::Done, "{}", log.summary());
    assert_eq!(log.id, naming::run_id("collection", PLANNED));
    assert_eq!(place.health(), HealthState::Up);
    for symbol in symbols() {
        let truth = place.parts.client.inquire_price(symbol).await.unwrap();
        let bars = |interval| read::bars(place.database(), symbol, interval, None, None, 1_000);
        let days = bars(Interval::Day).await.unwrap();
        let day = days.last().unwrap();
        assert_eq!(day.key.start.session_day(), sim.session_day());
        assert_eq!(
            [Some(day.open), Some(day.high), Some(day.low), Some(day.close)],
            [truth.open, truth.high, truth.low, truth.price]
        );
        assert_eq!((Some(day.volume), Some(day.amount)), (truth.volume, truth.value));
        assert!(days.len() > 60 && days.iter().all(|bar| bar.is_final));
        let minutes = bars(Interval::Minute).await.unwrap();
        assert_eq!(minutes.iter().map(|bar| bar.volume).sum::<i64>(), day.volume);
        assert_eq!(minutes.iter().map(|bar| bar.amount).sum::<i64>(), day.amount);
        assert_eq!((minutes[0].open, minutes.last().unwrap().close), (day.open, day.close));
        let trades = trade_log::Entity::find()
            .filter(trade_log::Column::Symbol.eq(symbol.as_str()))
            .order_by_desc(trade_log::Column::CumVolume)
            .all(place.database().connection())
            .await
            .unwrap();
        assert_eq!(trades.len(), 30);
        assert_eq!(Some(trades[0].cum_volume), truth.volume);
        for pair in trades.windows(2) {
            assert_eq!(pair[0].cum_volume - pair[0].quantity, pair[1].cum_volume);
            assert!(pair[0].ts >= pair[1].ts);
        }
    }
    let before = read::counts(place.database()).await.unwrap();
    assert_eq!(before.get(Table::EtlRuns), 6, "the run and its five steps");
    assert_eq!(before.get(Table::EtlFailures), 0);
    let again = place.collect().await;
    assert_eq!((again.status, again.sum(|step| step.rows_out)), (RunStatus::Done, 0));
    assert_eq!(again.sum(|step| step.kept), log.sum(|step| step.rows_out));
    assert_eq!(read::counts(place.database()).await.unwrap(), before);
    let objects = place.parts.objects.as_ref().unwrap();
    let key: Key = naming::log_key(&log.id).parse().unwrap();
    let stored = objects.get(Bucket::RawData, &key, None).await.unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&stored.bytes).unwrap()["status"], "done");
    assert_eq!(objects.versions(Bucket::RawData, &key).await.unwrap().len(), 2);
    let prefix = format!("kis/rest/dt={}/minute_bars/005930/", sim.session_day());
    let raws = objects.list(Bucket::RawData, &prefix, None, 100).await.unwrap();
    assert!(raws.len() > 10, "a page for each half hour: {raws:?}");
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chain_stores_what_was_played_and_doubles_nothing() {
    chain_on(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chain_stores_the_same_in_mariadb() {
    let Some(server) = MariaDb::start() else { skip!("mariadb-server is not installed") };
    chain_on(Some(server.url())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_does_everything_but_write() {
    let (sim, clock) = played_day().await;
    let mut place = Place::new(sim.rest_url(), clock, None).await;
    let database = place.parts.database.take().unwrap();
    place.parts.objects = None;
    let log = place.collect().await;
    assert_eq!((log.status, log.dry_run), (RunStatus::Done, true));
    assert!(log.sum(|step| step.rows_in) > 500 && log.raw_answers > 30, "{}", log.summary());
    assert_eq!(log.sum(|step| step.rows_out), 0);
    assert_eq!(read::counts(&database).await.unwrap().total(), 0);
    assert!(!place.folder.path().join("objects").exists());
    sim.stop().await;
}

fn answer(body: Value) -> Json<Value> {
    let mut answer = json!({"rt_cd": "0", "msg_cd": "MCA00000", "msg1": ""});
    answer.as_object_mut().unwrap().extend(body.as_object().cloned().unwrap());
    Json(answer)
}

type Parameters = Query<std::collections::HashMap<String, String>>;

/// A KIS that refuses 005930 for good, and answers 000660 at the third attempt; two pages of orders.
fn failing(asked: Arc<AtomicUsize>, well: bool) -> Router {
    let daily = move |Query(query): Parameters| {
        let asked = Arc::clone(&asked);
        async move {
            let refusal = |status, code: &str| {
                (status, Json(json!({"rt_cd": "1", "msg_cd": code, "msg1": "안됩니다"})))
                    .into_response()
            };
            if query["FID_INPUT_ISCD"] == "005930" && !well {
                return refusal(StatusCode::OK, "APBK0656");
            }
            if asked.fetch_add(1, Ordering::SeqCst) < 2 {
                return refusal(StatusCode::INTERNAL_SERVER_ERROR, "EGW00316");
            }
            let bar = json!({"stck_bsop_date": "20240805", "stck_oprc": "100", "stck_hgpr": "110",
                "stck_lwpr": "90", "stck_clpr": "105", "acml_vol": "7", "acml_tr_pbmn": "700"});
            answer(json!({"output1": {}, "output2": [bar]})).into_response()
        }
    };
    let price = || async { answer(json!({"output": {"stck_prpr": "105", "acml_vol": "7"}})) };
    let prints = || async {
        let row = json!({"stck_cntg_hour": "100000", "stck_prpr": "105", "cntg_vol": "7"});
        answer(json!({"output": [row]}))
    };
    let orders = |Query(query): Parameters, headers: HeaderMap| async move {
        let second = headers.get("tr_cont").is_some_and(|value| value == "N");
        assert_eq!(second, query["CTX_AREA_NK100"] == "next");
        assert_eq!((&query["CANO"][..], &query["ACNT_PRDT_CD"][..]), ("12345678", "01"));
        let number = if second { "0000000002" } else { "0000000001" };
        let row = json!({"ord_dt": "20240805", "ord_gno_brno": "00950", "odno": number,
            "sll_buy_dvsn_cd": "01", "pdno": "005930", "ord_qty": "10", "ord_tmd": "090102",
            "tot_ccld_qty": "3", "tot_ccld_amt": "316", "ctac_tlno": "01012345678"});
        let unfilled = json!({"ord_dt": "20240805", "odno": "0000000003", "pdno": "005930",
            "sll_buy_dvsn_cd": "02", "ord_qty": "1", "tot_ccld_qty": "0"});
        let body = answer(json!({"output1": [row, unfilled], "CANO": "12345678",
            "ctx_area_fk100": "12345678", "ctx_area_nk100": "next", "output2": {}}));
        ([("tr_cont", if second { "D" } else { "F" })], body)
    };
    let quotation = |name: &str| format!("/uapi/domestic-stock/v1/quotations/{name}");
    let token = || async {
        Json(json!({"access_token": "t", "token_type": "Bearer", "expires_in": 86_400}))
    };
    Router::new()
        .route("/oauth2/tokenP", post(token))
        .route(&quotation("inquire-daily-itemchartprice"), get(daily))
        .route(&quotation("inquire-price"), get(price))
        .route(&quotation("inquire-ccnl"), get(prints))
        .route("/uapi/domestic-stock/v1/trading/inquire-daily-ccld", get(orders))
}

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

#[tokio::test]
async fn one_issues_failure_is_kept_and_stops_no_other() {
    let asked = Arc::new(AtomicUsize::new(0));
    let url = serve(failing(Arc::clone(&asked), false)).await;
    let mut place = Place::new(url, wall_clock(), None).await;
    place.parts.account = Account::parse("12345678-01", "01").ok();
    let log = place.collect().await;
    assert_eq!(log.status, RunStatus::Partial, "{}", log.summary());
    assert_eq!(asked.load(Ordering::SeqCst), 3, "twice in trouble, then well");
    let connection = place.database().connection();
    let failures = etl_failure::Entity::find().all(connection).await.unwrap();
    assert_eq!(failures.len(), 1);
    let failure = &failures[0];
    assert_eq!((&failure.stage[..], &failure.source[..]), ("collect", "daily_bars"));
    assert!(failure.detail.contains("005930") && failure.detail.contains("APBK0656"));
    assert!(place.raw(&failure.payload_ref).await.contains("APBK0656"));
    assert!(
        matches!(place.health(), HealthState::Degraded { reason } if reason.contains("005930"))
    );

    let trades = trade_log::Entity::find()
        .order_by_asc(trade_log::Column::SourceKey)
        .all(connection)
        .await
        .unwrap();
    let hash = naming::account_hash("1234567801");
    let keys: Vec<&str> = trades.iter().map(|row| &row.source_key[..]).collect();
    assert_eq!(
        keys,
        [
            format!("ACCT:{hash}:20240805:00950:0000000001"),
            format!("ACCT:{hash}:20240805:00950:0000000002"),
            "KRX:000660:20240805:7".to_owned(),
        ]
    );
    assert_eq!((&trades[0].side[..], trades[0].quantity, trades[0].price), ("S", 3, 105));
    // Nothing in the archive tells the account's number or the phone's.
    let objects = place.parts.objects.as_ref().unwrap();
    let keys = objects.list(Bucket::RawData, "kis/rest/dt=", None, 1_000).await.unwrap();
    let orders: Vec<&Key> =
        keys.iter().filter(|key| key.as_str().contains("/order_history/")).collect();
    assert_eq!(orders.len(), 2);
    for key in orders {
        let text = place.raw(&format!("raw-data/{key}")).await;
        assert!(!text.contains("12345678") && text.contains("***"), "{text}");
    }

    let runs = etl_run::Entity::find().order_by_asc(etl_run::Column::Kind).all(connection).await;
    let runs: Vec<(String, String)> =
        runs.unwrap().into_iter().map(|run| (run.kind, run.status)).collect();
    let run = |kind: &str, status: &str| (kind.to_owned(), status.to_owned());
    assert!(
        runs.contains(&run("collect", "partial"))
            && runs.contains(&run("collect.prices", "partial"))
    );
    assert!(runs.contains(&run("collect.orders", "done")), "{runs:?}");

    // The next clean run heals.
    let well = serve(failing(Arc::new(AtomicUsize::new(2)), true)).await;
    let healed = CollectionParts { client: client(well), ..place.parts.clone() };
    let planned = PLANNED.plus_micros(1);
    let log = collect(&healed, "collection", planned, &CancellationToken::new()).await;
    assert_eq!((log.status, place.health()), (RunStatus::Done, HealthState::Up));
}

#[tokio::test]
async fn refused_keys_end_the_run() {
    let refuse = || async {
        let body = json!({"error_code": "EGW00103", "error_description": "유효하지 않은 AppKey"});
        (StatusCode::FORBIDDEN, Json(body))
    };
    let url = serve(Router::new().route("/oauth2/tokenP", post(refuse))).await;
    let place = Place::new(url, wall_clock(), None).await;
    let log = place.collect().await;
    assert_eq!((log.status, log.steps.len()), (RunStatus::Failed, 1), "no step goes on");
    assert!(log.summary().contains("EGW00103") && log.summary().contains("KIS_APP_KEY"));
    assert!(matches!(place.health(), HealthState::Down { .. }));
    assert_eq!(read::counts(place.database()).await.unwrap().get(Table::EtlFailures), 1);
}

#[tokio::test]
async fn a_stop_cuts_a_run_off() {
    let url = serve(failing(Arc::new(AtomicUsize::new(0)), false)).await;
    let place = Place::new(url, wall_clock(), None).await;
    let stop = CancellationToken::new();
    stop.cancel();
    let log = collect(&place.parts, "collection", PLANNED, &stop).await;
    assert_eq!((log.status, log.raw_answers), (RunStatus::Stopped, 0));
}

fn bongsu(folder: &TempDir, arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bongsu"));
    command.args(arguments).current_dir(folder.path()).env_clear().env("HOME", folder.path());
    command.env("BONGSU_FEED__SYMBOLS", "005930").env("BONGSU_LOG__LEVEL", "error");
    command.output().unwrap()
}

#[test]
fn the_job_can_be_done_by_hand() {
    let folder = temp_dir();
    let output = bongsu(&folder, &["jobs", "run", "collection", "--json"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let log: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&log["status"], &log["dry_run"]), (&json!("done"), &json!(false)));
    assert!(log["steps"][2]["rows_out"].as_u64().unwrap() > 300, "{log}");
    assert_eq!(log["steps"][4]["skipped"], "no account is set");
    let output = bongsu(&folder, &["jobs", "run", "dance"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("\"dance\"") && said.contains("recommendations, collection"), "{said}");
    let output = bongsu(&folder, &["jobs", "run", "recommendations"]);
    assert_eq!(output.status.code(), Some(2));
}

mod simulated;
mod wire;

use std::collections::HashMap;
use std::sync::Mutex as StdMutex;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};

use serde_json::{Value, json};

use super::super::error::Refusal;
use super::*;
use crate::market::{Market, Reference, SessionDay, Symbol};

const QUOTATIONS: &str = "/uapi/domestic-stock/v1/quotations";

const SECRET: &str = "app-secret-of-the-test";

/// What the stub answers next, by call; the last one is repeated.
#[derive(Default)]
struct Script {
    answers: HashMap<&'static str, Vec<(u16, Value)>>,
    seen: Vec<(&'static str, HashMap<String, String>)>,
    tokens: usize,
}

type Shared = Arc<StdMutex<Script>>;

fn next(
    shared: &Shared,
    call: &'static str,
    query: HashMap<String, String>,
) -> (StatusCode, Json<Value>) {
    let mut script = shared.lock().unwrap();
    script.seen.push((call, query));
    let answers = script.answers.get_mut(call).unwrap_or_else(|| panic!("no answer for {call}"));
    let (status, body) = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
    (StatusCode::from_u16(status).unwrap(), Json(body))
}

struct Stub {
    url: String,
    shared: Shared,
}

impl Stub {
    async fn start(answers: &[(&'static str, Vec<(u16, Value)>)]) -> Self {
        let script = Script { answers: answers.iter().cloned().collect(), ..Script::default() };
        let shared: Shared = Arc::new(StdMutex::new(script));
        let quote = |call: &'static str| {
            get(
                move |State(shared): State<Shared>,
                      Query(query): Query<HashMap<String, String>>| async move {
                    next(&shared, call, query)
                },
            )
        };
        let app = Router::new()
            .route("/oauth2/tokenP", post(|State(shared): State<Shared>, Json(body): Json<Value>| async move {
                assert_eq!(body["appsecret"], SECRET);
                let mut script = shared.lock().unwrap();
                if script.answers.contains_key("token") {
                    drop(script);
                    return next(&shared, "token", HashMap::new());
                }
                script.tokens += 1;
                let token = format!("token-{}", script.tokens);
                (StatusCode::OK, Json(json!({"access_token": token, "token_type": "Bearer", "expires_in": 86_400})))
            }))
            .route("/oauth2/Approval", post(|State(shared): State<Shared>, Json(body): Json<Value>| async move {
                assert_eq!(body["secretkey"], SECRET);
                next(&shared, "approval", HashMap::new())
            }))
            .route(&format!("{QUOTATIONS}/inquire-price"), quote("price"))
            .route(&format!("{QUOTATIONS}/inquire-daily-itemchartprice"), quote("bars"))
            .route(&format!("{QUOTATIONS}/inquire-index-price"), quote("index"))
            .with_state(Arc::clone(&shared));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, shared }
    }

    fn client(&self, token_cache: Option<PathBuf>) -> KisClient {
        // Another test may have installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        KisClient::new(KisOptions {
            token_cache,
            calls_per_second: None,
            token_cooldown: Duration::from_millis(10),
            ..KisOptions::new(
                Environment::Real,
                &self.url,
                "app-key-of-the-test".into(),
                SECRET.into(),
            )
        })
        .unwrap()
    }

    fn calls(&self, call: &str) -> usize {
        self.shared.lock().unwrap().seen.iter().filter(|(seen, _)| *seen == call).count()
    }

    /// How many tokens were given out. A guard of the script in the test's own expression would
    /// live to the end of its statement, and a call of [`Self::calls`] in there would wait for it.
    fn tokens(&self) -> usize {
        self.shared.lock().unwrap().tokens
    }
}

fn refusal(code: &str) -> (u16, Value) {
    (500, json!({"rt_cd": "1", "msg_cd": code, "msg1": format!("refused {SECRET}   ")}))
}

fn price() -> (u16, Value) {
    let output = json!({"stck_prpr": "74500", "prdy_vrss": "3300", "stck_sdpr": "71200",
        "lstn_stcn": "5919637922", "rprs_mrkt_kor_name": "KOSPI200", "acml_vol": "", "temp_stop_yn": "N"});
    (
        200,
        json!({"rt_cd": "0", "msg_cd": "MCA00000", "msg1": "정상처리 되었습니다.", "output": output}),
    )
}

fn bars() -> (u16, Value) {
    let row = |day: &str, close: &str, volume: &str| json!({"stck_bsop_date": day, "stck_clpr": close, "stck_oprc": "0", "acml_vol": volume});
    (
        200,
        json!({"rt_cd": "0", "msg_cd": "MCA00000", "msg1": "",
        "output1": {"hts_kor_isnm": "삼성전자 ", "prdy_vol": "13482115"},
        "output2": [row("20260915", "74500", "3861613"), row("20260914", "71200", "13482115"),
            row("20260911", "70900", "11520999"), {}]}),
    )
}

fn samsung() -> Symbol {
    "005930".parse().unwrap()
}

#[tokio::test]
async fn a_reference_from_price_and_bars() {
    let stub = Stub::start(&[("price", vec![price()]), ("bars", vec![bars()])]).await;
    let day: SessionDay = "2026-09-15".parse().unwrap();
    let reference = stub.client(None).fetch_reference(samsung(), Some(day)).await.unwrap();
    assert_eq!(reference.name, "삼성전자");
    assert_eq!(reference.market, Market::Kospi);
    assert_eq!(reference.base_price, Some(71_200));
    assert_eq!(reference.previous_volume, Some(13_482_115));
    assert_eq!(reference.listed_shares, Some(5_919_637_922));
    assert_eq!(reference.closes, [70_900, 71_200]);
    assert_eq!((reference.day, reference.last_session), (Some(day), "2026-09-14".parse().ok()));
    assert_eq!(reference.volumes, [11_520_999, 13_482_115]);
    let script = stub.shared.lock().unwrap();
    let query = &script.seen.iter().find(|(call, _)| *call == "bars").unwrap().1;
    assert_eq!(
        (query["FID_INPUT_DATE_2"].as_str(), query["FID_ORG_ADJ_PRC"].as_str()),
        ("20260915", "0")
    );
}

#[tokio::test]
async fn the_token_on_disk_serves_a_second_client() {
    let stub = Stub::start(&[("price", vec![price()])]).await;
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("kis-token.json");
    stub.client(Some(cache.clone())).inquire_price(samsung()).await.unwrap();
    stub.client(Some(cache)).inquire_price(samsung()).await.unwrap();
    assert_eq!((stub.tokens(), stub.calls("price")), (1, 2));
}

#[tokio::test]
async fn an_expired_token_is_renewed_once() {
    let stub = Stub::start(&[("price", vec![refusal("EGW00123"), price()])]).await;
    let found = stub.client(None).inquire_price(samsung()).await.unwrap();
    assert_eq!((found.price, found.volume, found.market), (Some(74_500), None, Market::Kospi));
    assert_eq!((stub.tokens(), stub.calls("price")), (2, 2));

    let stub = Stub::start(&[("price", vec![refusal("EGW00121")])]).await;
    let error = stub.client(None).inquire_price(samsung()).await.unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::Token));
    assert!(error.is_terminal() && error.to_string().contains("KIS_ENV"), "{error}");
    assert_eq!(stub.calls("price"), 2, "a token that is refused again is not asked for for ever");
}

#[tokio::test]
async fn trouble_is_repeated_and_wrong_input_is_not() {
    let stub =
        Stub::start(&[("price", vec![refusal("EGW00316"), refusal("EGW00201"), price()])]).await;
    stub.client(None).inquire_price(samsung()).await.unwrap();
    assert_eq!(stub.calls("price"), 3);

    let stub = Stub::start(&[("price", vec![refusal("OPSQ2001")])]).await;
    let error = stub.client(None).inquire_price(samsung()).await.unwrap_err();
    assert!(error.is_terminal());
    assert_eq!(stub.calls("price"), 1);
    let text = format!("{error} {error:?}");
    assert!(
        text.contains("OPSQ2001") && text.contains("[redacted]") && !text.contains(SECRET),
        "{text}"
    );
}

#[tokio::test]
async fn the_attempts_are_bounded() {
    let stub = Stub::start(&[("price", vec![refusal("EGW00316")])]).await;
    stub.client(None).inquire_price(samsung()).await.unwrap_err();
    assert_eq!(stub.calls("price"), 4);
}

#[tokio::test]
async fn wrong_keys_end_at_once() {
    let wrong = (
        403,
        json!({"error_code": "EGW00105", "error_description": "유효하지 않은 AppSecret입니다."}),
    );
    let stub = Stub::start(&[("token", vec![wrong])]).await;
    let error = stub.client(None).inquire_price(samsung()).await.unwrap_err();
    assert!(error.is_terminal() && error.to_string().contains("KIS_APP_SECRET"), "{error}");
    assert_eq!(stub.calls("token"), 1);
}

#[tokio::test]
async fn index_and_approval_key() {
    let output = json!({"bstp_nmix_prpr": "3412.55", "bstp_nmix_prdy_vrss": "-14.43", "ascn_issu_cnt": "502"});
    let stub = Stub::start(&[
        ("index", vec![(200, json!({"rt_cd": "0", "output": output}))]),
        ("approval", vec![(200, json!({"approval_key": "3f6d1c52"}))]),
    ])
    .await;
    let client = stub.client(None);
    let index = client.index_price("0001".parse().unwrap()).await.unwrap();
    assert_eq!((index.level, index.change, index.rising), (341_255, -1_443, Some(502)));
    let key = client.approval_key().await.unwrap();
    assert_eq!(key.expose_secret(), "3f6d1c52");
    assert!(!format!("{client:?} {key:?}").contains(SECRET));
}

#[tokio::test]
async fn no_answer_and_no_json_are_transport_errors() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options = KisOptions {
        attempts: 1,
        ..KisOptions::new(Environment::Real, url, "k".into(), "s".into())
    };
    let error = KisClient::new(options).unwrap().token().await.unwrap_err();
    assert!(matches!(error, KisError::Transport { .. }) && error.is_retryable(), "{error}");
    let bad = KisOptions::new(Environment::Real, "not a url", "k".into(), "s".into());
    assert!(matches!(KisClient::new(bad), Err(KisError::Options(_))));
}

#[tokio::test]
async fn the_reference_samples_are_understood() {
    let root = std::env::var_os("BONGSU_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let sample = |name: &str| {
        let text = std::fs::read_to_string(root.join("kis/samples/rest").join(name)).ok()?;
        Some((200, serde_json::from_str::<Value>(&text).unwrap()))
    };
    let (Some(price), Some(bars), Some(index)) = (
        sample("inquire-price.json"),
        sample("inquire-daily-itemchartprice.json"),
        sample("inquire-index-price.json"),
    ) else {
        eprintln!("skipped: the samples of kis/samples/rest are not at hand");
        return;
    };
    let stub =
        Stub::start(&[("price", vec![price]), ("bars", vec![bars]), ("index", vec![index])]).await;
    let client = stub.client(None);
    let day: SessionDay = "2026-09-15".parse().unwrap();
    let reference = client.fetch_reference(samsung(), Some(day)).await.unwrap();
    assert_eq!(reference.name, "삼성전자");
    assert_eq!(reference.closes.last(), Some(&71_200));
    assert_eq!(reference.closes.len(), Reference::MAX_CLOSES);
    assert_eq!(client.index_price("0001".parse().unwrap()).await.unwrap().level, 341_255);
}

#[tokio::test]
async fn a_token_near_its_end_serves_while_another_is_asked_for() {
    use std::sync::atomic::{AtomicI64, Ordering};
    let stub = Stub::start(&[("price", vec![price()])]).await;
    let at = Arc::new(AtomicI64::new(1_789_000_000_000_000));
    let told = Arc::clone(&at);
    let clock =
        Clock::new(move || crate::market::EventTime::from_micros(told.load(Ordering::SeqCst)));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options = KisOptions {
        clock,
        calls_per_second: None,
        ..KisOptions::new(Environment::Real, &stub.url, "k".into(), SECRET.into())
    };
    let client = KisClient::new(options).unwrap();
    client.inquire_price(samsung()).await.unwrap();
    at.fetch_add((86_400 - 300) * 1_000_000, Ordering::SeqCst);
    assert_eq!(client.token().await.unwrap().expose_secret(), "token-1");
    let renewed = async {
        while client.token().await.unwrap().expose_secret() == "token-1" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), renewed).await.unwrap();
    assert_eq!((stub.tokens(), client.token().await.unwrap().expose_secret()), (2, "token-2"));
}

//! The client over real sockets: a server that says what the test scripts, header by header.

use axum::body::{Body, Bytes};
use axum::extract::Request as Incoming;
use axum::response::Response;

use super::super::super::error::TransportFault;
use super::super::super::{BlockCause, OrderHistory};
use super::*;
use crate::market::EventTime;

/// One answer: status, headers, body.
type Reply = (u16, Vec<(&'static str, String)>, String);

/// One call as the server saw it.
#[derive(Debug, Clone)]
struct Seen {
    path: String,
    query: String,
    headers: HashMap<String, String>,
}

/// Answers any path but the token's with the next reply; the last one is repeated.
struct Server {
    url: String,
    replies: Arc<StdMutex<Vec<Reply>>>,
    seen: Arc<StdMutex<Vec<Seen>>>,
}

async fn answer(
    request: Incoming,
    replies: Arc<StdMutex<Vec<Reply>>>,
    seen: Arc<StdMutex<Vec<Seen>>>,
) -> Response {
    let path = request.uri().path().to_owned();
    if path == "/oauth2/tokenP" {
        return Response::new(Body::from(r#"{"access_token":"t","expires_in":86400}"#));
    }
    let query = request.uri().query().unwrap_or_default().to_owned();
    let headers = request.headers().iter();
    let headers = headers.map(|(k, v)| (k.to_string(), v.to_str().unwrap().to_owned())).collect();
    seen.lock().unwrap().push(Seen { path, query, headers });
    let mut replies = replies.lock().unwrap();
    let (status, headers, body) =
        if replies.len() > 1 { replies.remove(0) } else { replies[0].clone() };
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Body::from(Bytes::from(body))).unwrap()
}

impl Server {
    async fn start(replies: Vec<Reply>) -> Self {
        let replies = Arc::new(StdMutex::new(replies));
        let seen = Arc::new(StdMutex::new(Vec::new()));
        let (for_replies, for_seen) = (Arc::clone(&replies), Arc::clone(&seen));
        let app = Router::new().fallback(move |request: Incoming| {
            answer(request, Arc::clone(&for_replies), Arc::clone(&for_seen))
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, replies, seen }
    }

    fn options(&self) -> KisOptions {
        let _ = rustls::crypto::ring::default_provider().install_default();
        KisOptions {
            calls_per_second: None,
            token_cooldown: Duration::ZERO,
            ..KisOptions::new(Environment::Real, &self.url, "k".into(), SECRET.into())
        }
    }

    fn client(&self) -> KisClient {
        KisClient::new(self.options()).unwrap()
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    fn reply(&self, reply: Reply) {
        *self.replies.lock().unwrap() = vec![reply];
    }
}

fn ok(body: impl ToString) -> Reply {
    (200, Vec::new(), body.to_string())
}

fn page() -> Reply {
    (403, Vec::new(), "<html><body>Request blocked</body></html>".into())
}

/// A clock that the test moves.
fn movable() -> (Clock, Arc<std::sync::atomic::AtomicI64>) {
    let at = Arc::new(std::sync::atomic::AtomicI64::new(1_789_000_000_000_000));
    let told = Arc::clone(&at);
    let tell = move || EventTime::from_micros(told.load(std::sync::atomic::Ordering::SeqCst));
    (Clock::new(tell), at)
}

#[tokio::test]
async fn a_block_is_not_retried_and_outlives_the_client() {
    let server = Server::start(vec![page()]).await;
    let folder = tempfile::tempdir().unwrap();
    let (clock, at) = movable();
    let client = || {
        KisClient::new(KisOptions {
            token_cache: Some(folder.path().join("kis-token.json")),
            clock: clock.clone(),
            ..server.options()
        })
        .unwrap()
    };
    let error = client().inquire_price(samsung()).await.unwrap_err();
    let KisError::Blocked { cause, since, until, .. } = &error else { panic!("{error}") };
    assert_eq!((cause, until.micros_since(*since)), (&BlockCause::Page(403), 300_000_000));
    assert!(!error.is_retryable() && !error.is_terminal() && error.is_blocked());
    assert!(error.to_string().contains("KIS Developers") && error.outcome() == "blocked");
    assert_eq!(server.seen().len(), 1, "a block is not retried");
    // Another process, another call, not even a token: nothing is sent.
    let restarted = client();
    assert!(restarted.order_book(samsung()).await.unwrap_err().is_blocked());
    assert!(restarted.approval_key().await.unwrap_err().is_blocked());
    assert_eq!(server.seen().len(), 1);
    // One probe; it fails, and the pause is longer.
    at.fetch_add(301_000_000, std::sync::atomic::Ordering::SeqCst);
    for _ in 0..3 {
        assert!(restarted.order_book(samsung()).await.unwrap_err().is_blocked());
    }
    assert_eq!(server.seen().len(), 2);
    at.fetch_add(301_000_000, std::sync::atomic::Ordering::SeqCst);
    assert!(client().order_book(samsung()).await.unwrap_err().is_blocked());
    assert_eq!(server.seen().len(), 2);
    // The next probe is answered, be it with a refusal.
    server.reply((500, Vec::new(), json!({"rt_cd": "1", "msg_cd": "OPSQ2001"}).to_string()));
    at.fetch_add(3_600_000_000, std::sync::atomic::Ordering::SeqCst);
    let client = client();
    for _ in 0..3 {
        let error = client.inquire_price(samsung()).await.unwrap_err();
        assert_eq!(error.refusal(), Some(Refusal::Request), "{error}");
    }
    assert_eq!(server.seen().len(), 5);
}

#[tokio::test]
async fn what_is_a_block_and_what_is_not() {
    let refused = |code: &str| json!({"rt_cd": "1", "msg_cd": code, "msg1": ""}).to_string();
    let html = || "<html>".to_owned();
    for (status, body, blocked) in [
        (403, html(), true),
        (429, html(), false),
        (503, String::new(), false),
        (502, html(), false),
        (404, html(), false),
        (500, refused("EGW00207"), true),
        (500, refused("EGW00206"), false),
        (500, refused("EGW00201"), false),
        (403, refused("EGW00316"), false),
    ] {
        let server = Server::start(vec![(status, Vec::new(), body.clone())]).await;
        let options = KisOptions { attempts: 1, ..server.options() };
        let error = KisClient::new(options).unwrap().order_book(samsung()).await.unwrap_err();
        assert_eq!(error.is_blocked(), blocked, "{status} {body}: {error}");
    }
}

#[tokio::test]
async fn a_server_says_how_long_to_wait() {
    let busy = (502, vec![("retry-after", "1".to_owned())], "<html>".to_owned());
    let server = Server::start(vec![busy.clone(), price_reply()]).await;
    let before = tokio::time::Instant::now();
    server.client().inquire_price(samsung()).await.unwrap();
    assert!(before.elapsed() >= Duration::from_secs(1));
    // Longer than the deadline: not waited for.
    let server = Server::start(vec![busy]).await;
    let options = KisOptions { deadline: Duration::from_millis(500), ..server.options() };
    let error = KisClient::new(options).unwrap().inquire_price(samsung()).await.unwrap_err();
    assert!(matches!(error, KisError::Malformed { status: 502, .. }), "{error}");
    assert_eq!(server.seen().len(), 1);
}

fn price_reply() -> Reply {
    ok(json!({"rt_cd": "0", "output": {"stck_prpr": "74500"}}))
}

#[tokio::test]
async fn raw_answers_headers_and_the_clock() {
    let date = ("date", "Tue, 15 Sep 2026 01:15:30 GMT".to_owned());
    let (status, _, body) = price_reply();
    let server = Server::start(vec![(status, vec![date], body.clone())]).await;
    let kst: EventTime =
        EventTime::from_kst("2026-09-15".parse().unwrap(), "10:15:20".parse().unwrap());
    let client = KisClient::new(KisOptions {
        user_agent: Some("Mozilla/5.0 (X11)".into()),
        clock: Clock::new(move || kst),
        ..server.options()
    })
    .unwrap();
    assert_eq!(client.clock_skew(), None);
    let raw = client.fetch(&Request::inquire_price(samsung())).await.unwrap();
    assert_eq!((raw.status, raw.tr_id, raw.received_at), (200, "FHKST01010100", kst));
    assert_eq!(raw.body, body.as_bytes());
    assert_eq!(client.clock_skew().unwrap().num_milliseconds(), 10_500);
    let seen = server.seen().remove(0);
    assert_eq!(seen.path, format!("{QUOTATIONS}/inquire-price"));
    assert_eq!(seen.query, "FID_COND_MRKT_DIV_CODE=J&FID_INPUT_ISCD=005930");
    let header = |name: &str| seen.headers.get(name).map(String::as_str);
    assert_eq!((header("user-agent"), header("custtype")), (Some("Mozilla/5.0 (X11)"), Some("P")));
    assert_eq!((header("authorization"), header("tr_cont")), (Some("Bearer t"), None));
    let bad = KisOptions { user_agent: Some("브라우저".into()), ..server.options() };
    let agent = KisClient::new(KisOptions { user_agent: Some("a\nb".into()), ..bad });
    assert!(matches!(agent, Err(KisError::Options(_))));
}

#[tokio::test]
async fn paper_trading_has_its_own_ids_and_lacks_calls() {
    let balance = json!({"rt_cd": "0", "output1": [], "output2": [{}]});
    let server = Server::start(vec![ok(balance)]).await;
    let options = KisOptions { environment: Environment::Mock, ..server.options() };
    let client = KisClient::new(options).unwrap();
    let account: super::super::super::Account = "50000001-01".parse().unwrap();
    client.balance(&account).await.unwrap();
    assert_eq!(server.seen()[0].headers["tr_id"], "VTTC8434R");
    let error = client.index_price("0001".parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, KisError::NotInPaperTrading { endpoint: "index_price" }), "{error}");
    assert!(client.open_orders(&account).await.unwrap_err().is_terminal());
    assert_eq!(server.seen().len(), 1, "nothing was sent");
}

fn orders(number: &str, next: &str) -> String {
    json!({"rt_cd": "0", "msg_cd": "KIOK0500", "ctx_area_fk100": "50000001^01^  ", "ctx_area_nk100": next,
        "output1": [{"ord_dt": "20260915", "odno": number, "pdno": "005930"}],
        "output2": {"tot_ord_qty": "3"}})
    .to_string()
}

#[tokio::test]
async fn pages_are_followed_to_the_last() {
    let more = |mark: &str| vec![("tr_cont", mark.to_owned())];
    let server = Server::start(vec![
        (200, more("F"), orders("1", "A^  ")),
        (200, more("M"), orders("2", "B^  ")),
        (200, more("D"), orders("3", "    ")),
    ])
    .await;
    let clock = EventTime::from_kst("2026-09-15".parse().unwrap(), "10:00".parse().unwrap());
    let options = KisOptions { clock: Clock::new(move || clock), ..server.options() };
    let client = KisClient::new(options).unwrap();
    let account = "50000001-01".parse().unwrap();
    let day = "2026-09-15".parse().unwrap();
    let history: OrderHistory = client.order_history(&account, day, day).await.unwrap();
    let numbers: Vec<_> = history.orders.iter().map(|order| order.number.as_str()).collect();
    assert_eq!((numbers, history.totals.quantity), (vec!["1", "2", "3"], 3));
    let seen = server.seen();
    assert_eq!(seen[0].headers.get("tr_cont"), None);
    assert!(seen[0].query.contains("CTX_AREA_NK100=&") || seen[0].query.ends_with("NK100="));
    assert_eq!(seen[1].headers["tr_cont"], "N");
    assert!(seen[1].query.contains("CTX_AREA_FK100=50000001%5E01%5E++"), "{}", seen[1].query);
    assert!(seen[2].query.contains("CTX_AREA_NK100=B%5E++"), "{}", seen[2].query);
    // A page that leads to itself would be asked for for ever.
    server.reply((200, more("M"), orders("4", "C^")));
    let error = client.order_history(&account, day, day).await.unwrap_err();
    assert!(error.to_string().contains("another page"), "{error}");
    server.reply((200, more("M"), json!({"rt_cd": "0", "output1": [], "output2": {}}).to_string()));
    assert!(client.order_history(&account, day, day).await.is_err());
}

#[tokio::test]
async fn minutes_are_asked_for_until_the_first() {
    let page = |hours: std::ops::Range<u32>| {
        let rows = hours.rev().map(|minute| {
            json!({"stck_bsop_date": "20260915", "stck_cntg_hour": format!("09{minute:02}00"),
                "stck_prpr": "100", "stck_oprc": "100", "stck_hgpr": "100", "stck_lwpr": "100",
                "cntg_vol": "1", "acml_tr_pbmn": (minute * 100 + 100).to_string()})
        });
        let rows: Vec<Value> = rows.collect();
        ok(json!({"rt_cd": "0", "output1": {}, "output2": rows}))
    };
    let server = Server::start(vec![page(20..50), page(0..20)]).await;
    let client = server.client();
    let day: SessionDay = "2026-09-15".parse().unwrap();
    let [from, to] = ["09:10", "09:45"].map(|text| text.parse().unwrap());
    let bars = client.minute_bars_between(samsung(), day, from, to).await.unwrap();
    assert_eq!(bars.len(), 36);
    assert_eq!((bars[0].start.time_of_day(), bars[35].start.time_of_day()), (from, to));
    assert_eq!(server.seen().len(), 2);
    assert!(server.seen()[1].query.contains("FID_INPUT_HOUR_1=091900"));
    // Another day, or no way back: no loop.
    let other = client.minute_bars_between(samsung(), day.next(), from, to).await.unwrap();
    assert_eq!((other.len(), server.seen().len()), (0, 3));
    client.minute_bars_of_day(samsung(), day).await.unwrap();
    assert!(server.seen().len() < 10);
}

#[tokio::test]
async fn the_calendar_is_followed_by_its_days() {
    let page = |days: &[&str]| {
        let rows: Vec<Value> =
            days.iter().map(|day| json!({"bass_dt": day, "opnd_yn": "Y"})).collect();
        ok(json!({"rt_cd": "0", "output": rows}))
    };
    let server = Server::start(vec![
        page(&["20260915", "20260916"]),
        page(&["20260917", "20260918"]),
        page(&[]),
    ])
    .await;
    let client = server.client();
    let [from, through] = ["2026-09-15", "2026-09-17"].map(|text| text.parse().unwrap());
    assert_eq!(client.holidays(from, through).await.unwrap().len(), 3);
    assert!(server.seen()[1].query.contains("BASS_DT=20260917"));
    assert_eq!(server.seen().len(), 2);
    assert_eq!(client.holidays(from, through).await.unwrap().len(), 0);
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn connections_that_are_cut_are_told_apart() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options = KisOptions {
        attempts: 1,
        calls_per_second: None,
        ..KisOptions::new(Environment::Real, url, "k".into(), "s".into())
    };
    let client = KisClient::new(options).unwrap();
    let cut = async {
        // Closed as soon as it stands.
        drop(listener.accept().await.unwrap());
        drop(listener);
    };
    let (error, ()) = tokio::join!(client.approval_key(), cut);
    let fault = |error: KisError| match error {
        KisError::Transport { fault, .. } => fault,
        error => panic!("{error}"),
    };
    assert_eq!(fault(error.unwrap_err()), TransportFault::Reset);
    assert_eq!(fault(client.approval_key().await.unwrap_err()), TransportFault::Connect);
}

#[tokio::test]
async fn clients_of_one_key_share_its_budget() {
    let server = Server::start(vec![price_reply()]).await;
    let options = KisOptions { calls_per_second: Some(10.0), ..server.options() };
    let first = KisClient::new(options).unwrap();
    let options = KisOptions { budget: Some(first.budget()), ..server.options() };
    let second = KisClient::new(options).unwrap().with_lane(Lane::Collect);
    let before = tokio::time::Instant::now();
    // Each has a token of its own to get: six slots, five gaps.
    let twice = |client: KisClient| async move {
        client.inquire_price(samsung()).await.unwrap();
        client.inquire_price(samsung()).await.unwrap();
    };
    tokio::join!(twice(first), twice(second));
    assert!(before.elapsed() >= Duration::from_millis(499), "{:?}", before.elapsed());
}

#[tokio::test]
async fn hash_and_revocation() {
    let server = Server::start(vec![
        ok(json!({"BODY": {"PDNO": "005930"}, "HASH": "c064"})),
        ok(json!({"code": "200", "message": "접근토큰 폐기에 성공하였습니다"})),
    ])
    .await;
    let client = server.client();
    assert_eq!(client.hashkey(&json!({"PDNO": "005930"})).await.unwrap(), "c064");
    assert_eq!(server.seen()[0].headers["appkey"], "k");
    assert!(!client.revoke_token().await.unwrap(), "there is none yet");
    client.token().await.unwrap();
    assert!(client.revoke_token().await.unwrap());
    assert!(!client.revoke_token().await.unwrap());
    let paths: Vec<String> = server.seen().into_iter().map(|seen| seen.path).collect();
    assert_eq!(paths, ["/uapi/hashkey", "/oauth2/revokeP"]);
}

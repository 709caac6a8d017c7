//! A KIS of the test's own, for exact control of the feed.
//!
//! It answers the REST calls that the daemon makes, grants every subscription, and then sends what
//! the test says, byte for byte and in that order. It runs on a thread of its own, so that a test
//! may block.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::Query;
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::{SinkExt, StreamExt};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

use super::daemon::Setup;
use super::{Daemon, wait_until};

/// Base price of every issue, won.
pub const BASE_PRICE: i64 = 70_000;
/// Session day of every trade.
pub const DAY: u32 = 20_260_915;

const QUOTATIONS: &str = "/uapi/domestic-stock/v1/quotations";
/// Messages on their way to the daemon; a test that sends more waits.
const OUTGOING: usize = 1_024;
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Shared {
    /// Into the running session.
    session: Mutex<Option<mpsc::Sender<Message>>>,
    /// Registrations granted in the running session.
    granted: AtomicUsize,
    /// Sessions begun.
    sessions: AtomicUsize,
}

/// The peer; gone with the value.
pub struct KisPeer {
    // Dropped first: its tasks use what is shared.
    _runtime: Runtime,
    rest: SocketAddr,
    ws: SocketAddr,
    shared: Arc<Shared>,
}

impl KisPeer {
    /// Starts it on free ports.
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime can be made");
        let shared: Arc<Shared> = Arc::default();
        let (rest, ws) = runtime.block_on(async {
            let listen = || TcpListener::bind("127.0.0.1:0");
            (listen().await.expect("a free port"), listen().await.expect("a free port"))
        });
        let address = |listener: &TcpListener| listener.local_addr().expect("it is bound");
        let (rest_address, ws_address) = (address(&rest), address(&ws));
        runtime.spawn(async move { axum::serve(rest, rest_calls()).await });
        runtime.spawn({
            let shared = Arc::clone(&shared);
            async move {
                while let Ok((stream, _)) = ws.accept().await {
                    // One session at a time, as KIS has it for one key.
                    session(stream, &shared).await;
                }
            }
        });
        Self { _runtime: runtime, rest: rest_address, ws: ws_address, shared }
    }

    /// A daemon that watches `symbols` through this peer: trades, two indices, market state.
    pub fn daemon(&self, symbols: &[&str]) -> Setup {
        Daemon::setup()
            .args(["run", "--source", "kis"])
            .env("KIS_BASE_URL", format!("http://{}", self.rest))
            .env("KIS_WS_URL", format!("ws://{}", self.ws))
            .env("KIS_APP_KEY", "app-key-of-the-test")
            .env("KIS_APP_SECRET", "app-secret-of-the-test")
            .env("BONGSU_KIS__CALLS_PER_SECOND", "18")
            .env("BONGSU_FEED__BOOKS", "off")
            .env("BONGSU_FEED__SYMBOLS", symbols.join(","))
    }

    /// Waits until session number `session` (from 1) has granted all of a daemon's registrations
    /// for `symbols` issues.
    #[track_caller]
    pub fn wait_subscribed(&self, session: usize, symbols: usize) {
        let subscribed = || {
            self.shared.sessions.load(Ordering::SeqCst) == session
                && self.shared.granted.load(Ordering::SeqCst) == symbols + 3
        };
        wait_until(PATIENCE, subscribed, &format!("session {session} subscribed"));
    }

    /// Sends a text message.
    #[track_caller]
    pub fn send(&self, payload: &str) {
        self.message(Message::text(payload));
    }

    /// Sends a binary message.
    #[track_caller]
    pub fn send_binary(&self, payload: &[u8]) {
        self.message(Message::binary(payload.to_vec()));
    }

    /// Ends the session with a good-bye, after everything sent so far.
    #[track_caller]
    pub fn disconnect(&self) {
        self.message(Message::Close(None));
    }

    #[track_caller]
    fn message(&self, message: Message) {
        let session = self.shared.session.lock().clone().expect("no session is open");
        session.blocking_send(message).expect("the session has ended");
    }
}

fn rest_calls() -> Router {
    let well = |output: Value| {
        let mut answer = json!({"rt_cd": "0", "msg_cd": "MCA00000", "msg1": ""});
        answer.as_object_mut().expect("an object").extend(output.as_object().cloned().unwrap());
        Json(answer)
    };
    Router::new()
        .route("/oauth2/tokenP", post(async || {
            Json(json!({"access_token": "token-of-the-test", "token_type": "Bearer", "expires_in": 86_400}))
        }))
        .route("/oauth2/Approval", post(async || Json(json!({"approval_key": "approval-of-the-test"}))))
        .route(&format!("{QUOTATIONS}/inquire-price"), get(move || async move {
            let output = json!({"stck_sdpr": BASE_PRICE.to_string(), "lstn_stcn": "1000000",
                "rprs_mrkt_kor_name": "KOSPI200"});
            well(json!({ "output": output }))
        }))
        .route(
            &format!("{QUOTATIONS}/inquire-daily-itemchartprice"),
            get(move |Query(query): Query<HashMap<String, String>>| async move {
                let name = format!("시험 {}", query["FID_INPUT_ISCD"]);
                well(json!({"output1": {"hts_kor_isnm": name, "prdy_vol": "500000"}, "output2": []}))
            }),
        )
}

/// One WebSocket session: grants what is asked for and sends what the test wants sent.
async fn session(stream: TcpStream, shared: &Shared) {
    let Ok(mut socket) = accept_async(stream).await else { return };
    let (sender, mut outgoing) = mpsc::channel(OUTGOING);
    shared.granted.store(0, Ordering::SeqCst);
    *shared.session.lock() = Some(sender);
    shared.sessions.fetch_add(1, Ordering::SeqCst);
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    let request: Value = serde_json::from_str(&text).expect("a request in JSON");
                    let input = &request["body"]["input"];
                    let answer = json!({
                        "header": {"tr_id": input["tr_id"], "tr_key": input["tr_key"], "encrypt": "N"},
                        "body": {"rt_cd": "0", "msg_cd": "OPSP0000", "msg1": "SUBSCRIBE SUCCESS",
                            "output": {"iv": "0123456789abcdef", "key": "abcdefghijabcdefghijabcdefghijab"}},
                    });
                    if socket.send(Message::text(answer.to_string())).await.is_err() {
                        break;
                    }
                    shared.granted.fetch_add(1, Ordering::SeqCst);
                }
                Some(Ok(_)) => {}
                None | Some(Err(_)) => break,
            },
            Some(message) = outgoing.recv() => {
                let last = message.is_close();
                if socket.send(message).await.is_err() || last {
                    break;
                }
            }
        }
    }
    *shared.session.lock() = None;
}

/// One trade as KIS writes it. Fields that a test does not care about are empty.
#[derive(Debug, Clone)]
pub struct Record {
    fields: Vec<String>,
}

/// A trade of `symbol` at `time` (`HHMMSS`); `cum_volume` includes its own `quantity`.
pub fn trade(symbol: &str, time: &str, price: i64, quantity: i64, cum_volume: i64) -> Record {
    let mut fields = vec![String::new(); 46];
    for (index, value) in [
        (0, symbol.to_owned()),
        (1, time.to_owned()),
        (2, price.to_string()),
        (4, (price - BASE_PRICE).to_string()),
        (10, (price + 100).to_string()),
        (11, price.to_string()),
        (12, quantity.to_string()),
        (13, cum_volume.to_string()),
        (14, (price * cum_volume).to_string()),
        (21, "1".to_owned()),
        (33, DAY.to_string()),
        (35, "N".to_owned()),
        (43, "0".to_owned()),
    ] {
        fields[index] = value;
    }
    Record { fields }
}

impl Record {
    /// The same record with another text in one field.
    pub fn with(mut self, field: usize, text: &str) -> Self {
        self.fields[field] = text.to_owned();
        self
    }

    /// A frame of this record alone.
    pub fn frame(&self) -> String {
        frame(std::slice::from_ref(self))
    }
}

/// A frame of several records.
pub fn frame(records: &[Record]) -> String {
    let records: Vec<String> = records.iter().map(|record| record.fields.join("^")).collect();
    format!("0|H0STCNT0|{:03}|{}", records.len(), records.join("^"))
}

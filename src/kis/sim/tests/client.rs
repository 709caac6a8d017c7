//! A bare client: just enough to talk to the simulator.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::market;
use crate::kis::sim::{RunningSim, SimOptions, Simulator};

pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub(super) async fn start(options: SimOptions) -> RunningSim {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Simulator::load(options).unwrap().start().await.unwrap()
}

pub(super) fn options() -> SimOptions {
    SimOptions {
        source: market("calm"),
        hold: true,
        app_key: Some("KEY".into()),
        app_secret: Some("SECRET".into()),
        settle: Duration::from_millis(100),
        ..SimOptions::default()
    }
}

pub(super) async fn post(sim: &RunningSim, path: &str, body: Value) -> (u16, Value) {
    let url = format!("{}{path}", sim.rest_url());
    let response = reqwest::Client::new().post(url).body(body.to_string()).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

pub(super) async fn token(sim: &RunningSim) -> String {
    let body =
        json!({ "grant_type": "client_credentials", "appkey": "KEY", "appsecret": "SECRET" });
    let (status, answer) = post(sim, "/oauth2/tokenP", body).await;
    assert_eq!(status, 200);
    answer["access_token"].as_str().unwrap().to_owned()
}

pub(super) async fn approval(sim: &RunningSim) -> String {
    let body =
        json!({ "grant_type": "client_credentials", "appkey": "KEY", "secretkey": "SECRET" });
    let (_, answer) = post(sim, "/oauth2/Approval", body).await;
    answer["approval_key"].as_str().unwrap().to_owned()
}

pub(super) async fn call(sim: &RunningSim, token: &str, tr_id: &str, path: &str) -> (u16, Value) {
    let url = format!("{}/uapi/domestic-stock/v1/quotations/{path}", sim.rest_url());
    let request = reqwest::Client::new()
        .get(url)
        .header("authorization", format!("Bearer {token}"))
        .header("appkey", "KEY")
        .header("appsecret", "SECRET")
        .header("tr_id", tr_id);
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap_or(Value::Null))
}

pub(super) async fn connect(sim: &RunningSim) -> Socket {
    connect_async(format!("{}/tryitout", sim.ws_url())).await.unwrap().0
}

pub(super) async fn ask(socket: &mut Socket, approval: &str, kind: &str, tr_id: &str, key: &str) {
    let request = json!({
        "header": { "approval_key": approval, "custtype": "P", "tr_type": kind, "content-type": "utf-8" },
        "body": { "input": { "tr_id": tr_id, "tr_key": key } },
    });
    socket.send(Message::text(request.to_string())).await.unwrap();
}

pub(super) async fn next_text(socket: &mut Socket) -> String {
    let wait = Duration::from_secs(20);
    loop {
        match tokio::time::timeout(wait, socket.next()).await.unwrap().unwrap().unwrap() {
            Message::Text(text) => return text.to_string(),
            Message::Close(_) => panic!("closed"),
            _ => {}
        }
    }
}

/// The next answer, frames and pings passed over.
pub(super) async fn answer(socket: &mut Socket) -> Value {
    loop {
        let text = next_text(socket).await;
        if text.starts_with('{') && !text.contains("PINGPONG") {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

/// What a call was answered.
#[derive(Debug)]
pub(super) struct Reply {
    pub status: u16,
    /// The header `tr_cont`.
    pub tr_cont: String,
    pub body: Value,
}

impl Reply {
    pub fn code(&self) -> &str {
        self.body["msg_cd"].as_str().unwrap()
    }

    /// The rows of an output.
    pub fn rows(&self, output: &str) -> &[Value] {
        self.body[output].as_array().unwrap_or_else(|| panic!("no {output}: {}", self.body))
    }
}

/// A client with keys, a token and an account.
pub(super) struct Caller {
    http: reqwest::Client,
    url: String,
    token: String,
    keys: (&'static str, &'static str),
}

impl Caller {
    pub async fn new(sim: &RunningSim, keys: (&'static str, &'static str)) -> Self {
        let body =
            json!({ "grant_type": "client_credentials", "appkey": keys.0, "appsecret": keys.1 });
        let (status, answer) = post(sim, "/oauth2/tokenP", body).await;
        assert_eq!(status, 200, "{answer}");
        let token = answer["access_token"].as_str().unwrap().to_owned();
        Self { http: reqwest::Client::new(), url: sim.rest_url(), token, keys }
    }

    async fn send(&self, request: reqwest::RequestBuilder, tr_id: &str, tr_cont: &str) -> Reply {
        let request = request
            .header("authorization", format!("Bearer {}", self.token))
            .header("appkey", self.keys.0)
            .header("appsecret", self.keys.1)
            .header("tr_id", tr_id)
            .header("tr_cont", tr_cont);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let tr_cont = response.headers().get("tr_cont");
        let tr_cont = tr_cont.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        Reply { status, tr_cont, body: response.json().await.unwrap_or(Value::Null) }
    }

    /// A GET of `path` below the version, with query names and values.
    pub async fn get(&self, path: &str, tr_id: &str, query: &[(&str, &str)]) -> Reply {
        self.page(path, tr_id, query, "").await
    }

    pub async fn page(
        &self,
        path: &str,
        tr_id: &str,
        query: &[(&str, &str)],
        tr_cont: &str,
    ) -> Reply {
        let url = format!("{}/uapi/domestic-stock/v1/{path}", self.url);
        self.send(self.http.get(url).query(query), tr_id, tr_cont).await
    }

    pub async fn post(&self, path: &str, tr_id: &str, body: &Value) -> Reply {
        let url = format!("{}/uapi/domestic-stock/v1/{path}", self.url);
        self.send(self.http.post(url).body(body.to_string()), tr_id, "").await
    }

    /// All pages of a call, walked as KIS says.
    pub async fn pages(&self, path: &str, tr_id: &str, query: &[(&str, &str)]) -> Vec<Reply> {
        let mut pages = vec![self.get(path, tr_id, query).await];
        loop {
            let last = pages.last().unwrap();
            if !matches!(last.tr_cont.as_str(), "F" | "M") {
                return pages;
            }
            let context = |name: &str| last.body[name].as_str().unwrap().to_owned();
            let (fk, nk) = (context("ctx_area_fk100"), context("ctx_area_nk100"));
            assert_eq!((fk.len(), nk.len()), (100, 100));
            let query: Vec<(&str, &str)> = query
                .iter()
                .map(|(name, value)| match *name {
                    "CTX_AREA_FK100" => (*name, fk.as_str()),
                    "CTX_AREA_NK100" => (*name, nk.as_str()),
                    _ => (*name, *value),
                })
                .collect();
            let next = self.page(path, tr_id, &query, "N").await;
            pages.push(next);
            assert!(pages.len() < 100, "the pages never end");
        }
    }
}

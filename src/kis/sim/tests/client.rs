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

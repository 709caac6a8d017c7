//! The servers, over real sockets.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::*;
use crate::kis::sim::{RunningSim, SimOptions, SimSpeed, Simulator};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn start(options: SimOptions) -> RunningSim {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Simulator::load(options).unwrap().start().await.unwrap()
}

fn options() -> SimOptions {
    SimOptions {
        source: market("calm"),
        hold: true,
        app_key: Some("KEY".into()),
        app_secret: Some("SECRET".into()),
        settle: Duration::from_millis(100),
        ..SimOptions::default()
    }
}

async fn post(sim: &RunningSim, path: &str, body: Value) -> (u16, Value) {
    let url = format!("{}{path}", sim.rest_url());
    let response = reqwest::Client::new().post(url).body(body.to_string()).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn token(sim: &RunningSim) -> String {
    let body =
        json!({ "grant_type": "client_credentials", "appkey": "KEY", "appsecret": "SECRET" });
    let (status, answer) = post(sim, "/oauth2/tokenP", body).await;
    assert_eq!(status, 200);
    answer["access_token"].as_str().unwrap().to_owned()
}

async fn approval(sim: &RunningSim) -> String {
    let body =
        json!({ "grant_type": "client_credentials", "appkey": "KEY", "secretkey": "SECRET" });
    let (_, answer) = post(sim, "/oauth2/Approval", body).await;
    answer["approval_key"].as_str().unwrap().to_owned()
}

async fn call(sim: &RunningSim, token: &str, tr_id: &str, path: &str) -> (u16, Value) {
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

async fn connect(sim: &RunningSim) -> Socket {
    connect_async(format!("{}/tryitout", sim.ws_url())).await.unwrap().0
}

async fn ask(socket: &mut Socket, approval: &str, kind: &str, tr_id: &str, key: &str) {
    let request = json!({
        "header": { "approval_key": approval, "custtype": "P", "tr_type": kind, "content-type": "utf-8" },
        "body": { "input": { "tr_id": tr_id, "tr_key": key } },
    });
    socket.send(Message::text(request.to_string())).await.unwrap();
}

async fn next_text(socket: &mut Socket) -> String {
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
async fn answer(socket: &mut Socket) -> Value {
    loop {
        let text = next_text(socket).await;
        if text.starts_with('{') && !text.contains("PINGPONG") {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

#[tokio::test]
async fn subscriptions_are_acknowledged_as_kis_does() {
    let sim = start(SimOptions { max_registrations: Some(2), ..options() }).await;
    let key = approval(&sim).await;
    let mut socket = connect(&sim).await;
    ask(&mut socket, "nobody", "1", "H0STCNT0", "005930").await;
    assert_eq!(answer(&mut socket).await["body"]["msg_cd"], "OPSP0011");
    ask(&mut socket, &key, "1", "H0STCNT0", "005930").await;
    let ack = answer(&mut socket).await;
    assert_eq!(ack["header"], json!({ "tr_id": "H0STCNT0", "tr_key": "005930", "encrypt": "N" }));
    assert_eq!(ack["body"]["msg_cd"], "OPSP0000");
    assert_eq!(ack["body"]["msg1"], "SUBSCRIBE SUCCESS");
    assert_eq!(ack["body"]["output"]["iv"].as_str().unwrap().len(), 16);
    assert_eq!(ack["body"]["output"]["key"].as_str().unwrap().len(), 32);
    for (kind, tr_id, code, expected) in [
        ("1", "H0STCNT0", "005930", "OPSP0002"),
        ("2", "H0STASP0", "005930", "OPSP0003"),
        ("1", "H0XXXXX0", "005930", "OPSP8991"),
        ("1", "H0STCNT0", "999999", "OPSP8992"),
        ("7", "H0STCNT0", "000660", "OPSP8997"),
        ("1", "H0UPCNT0", "0001", "OPSP0000"),
        ("1", "H0STCNT0", "000660", "OPSP0008"),
        ("2", "H0UPCNT0", "0001", "OPSP0001"),
        ("1", "H0STCNT0", "000660", "OPSP0000"),
    ] {
        ask(&mut socket, &key, kind, tr_id, code).await;
        assert_eq!(answer(&mut socket).await["body"]["msg_cd"], expected, "{tr_id} {code}");
    }
    socket.send(Message::text("{not json")).await.unwrap();
    assert_eq!(answer(&mut socket).await["body"]["msg_cd"], "OPSP9999");

    let other_key = approval(&sim).await;
    let mut second = connect(&sim).await;
    ask(&mut second, &other_key, "1", "H0STCNT0", "005930").await;
    let refused = answer(&mut second).await;
    assert_eq!(refused["body"]["msg_cd"], "OPSP8996");
    assert_eq!(refused["header"]["tr_id"], "(null)");

    // Once the first session is gone the key is free again.
    drop(socket);
    let mut tries = 0;
    loop {
        let mut third = connect(&sim).await;
        ask(&mut third, &other_key, "1", "H0STCNT0", "005930").await;
        if answer(&mut third).await["body"]["msg_cd"] == "OPSP0000" {
            break;
        }
        tries += 1;
        assert!(tries < 200, "the session is never released");
    }
    sim.stop().await;
}

#[tokio::test]
async fn a_held_day_is_delivered_whole_and_agrees_with_rest() {
    let sim = start(SimOptions { speed: Some(SimSpeed::Max), ..options() }).await;
    let token = token(&sim).await;
    let (_, before) = call(
        &sim,
        &token,
        "FHKST01010100",
        "inquire-price?FID_COND_MRKT_DIV_CODE=J&FID_INPUT_ISCD=005930",
    )
    .await;
    assert_eq!(before["output"]["acml_vol"], "0", "the clock is held");

    let key = approval(&sim).await;
    let mut socket = connect(&sim).await;
    for (tr_id, code) in [("H0STCNT0", "005930"), ("H0STMKO0", "005930"), ("H0UPCNT0", "0001")] {
        ask(&mut socket, &key, "1", tr_id, code).await;
        assert_eq!(answer(&mut socket).await["body"]["msg_cd"], "OPSP0000");
    }
    let mut expected = Vec::new();
    let mut frames =
        Playback::load(&market("calm"), 1, None, FrameShape::default()).unwrap().into_frames();
    while let Some((info, frame)) = frames.next() {
        use crate::kis::sim::Feed;
        let wanted = match info.feed {
            Feed::Trade | Feed::Operation => info.symbol.as_str() == "005930",
            Feed::Index => info.symbol.as_str() == "0001",
            Feed::Book => false,
        };
        if wanted {
            expected.push(String::from_utf8(frame.to_vec()).unwrap());
        }
    }
    let mut got = Vec::new();
    while got.len() < expected.len() {
        let text = next_text(&mut socket).await;
        if !text.starts_with('{') {
            got.push(text);
        }
    }
    assert_eq!(got, expected, "the socket sends what a replay plays");
    assert!(got.last().unwrap().contains("^129^"), "the close comes last");
    tokio::time::timeout(Duration::from_secs(20), sim.finished()).await.unwrap();

    let last = got.iter().rev().find(|frame| frame.contains("H0STCNT0")).unwrap();
    let last = &records(last.as_bytes())[0];
    let query = "?fid_cond_mrkt_div_code=J&fid_input_iscd=005930";
    let (_, price) = call(&sim, &token, "FHKST01010100", &format!("inquire-price{query}")).await;
    for (field, name) in [
        (2, "stck_prpr"),
        (13, "acml_vol"),
        (14, "acml_tr_pbmn"),
        (8, "stck_hgpr"),
        (5, "prdy_ctrt"),
    ] {
        assert_eq!(price["output"][name], last[field].as_str(), "{name}");
    }
    let (_, trades) = call(&sim, &token, "FHKST01010300", &format!("inquire-ccnl{query}")).await;
    assert_eq!(trades["output"].as_array().unwrap().len(), 30);
    assert_eq!(trades["output"][0]["cntg_vol"], last[12].as_str());
    assert_eq!(trades["output"][0]["tday_rltv"], last[18].as_str());
    let minutes = format!(
        "inquire-time-itemchartprice{query}&FID_ETC_CLS_CODE=&FID_INPUT_HOUR_1=153100&FID_PW_DATA_INCU_YN=N"
    );
    let (_, bars) = call(&sim, &token, "FHKST03010200", &minutes).await;
    assert_eq!(bars["output2"].as_array().unwrap().len(), 30);
    assert_eq!(bars["output2"][0]["acml_tr_pbmn"], last[14].as_str());
    assert_eq!(bars["output2"][0]["stck_cntg_hour"], "153000");
    let (_, book) =
        call(&sim, &token, "FHKST01010200", &format!("inquire-asking-price-exp-ccn{query}")).await;
    assert_eq!(book["output1"]["total_askp_rsqn"], last[38].as_str());
    sim.stop().await;
}

#[tokio::test]
async fn rest_refuses_as_kis_does() {
    let sim = start(options()).await;
    let wrong = json!({ "appkey": "KEY", "appsecret": "x" });
    let (status, answer) = post(&sim, "/oauth2/tokenP", wrong).await;
    assert_eq!((status, &answer["error_code"]), (403, &json!("EGW00105")));
    let token = token(&sim).await;
    let price = "inquire-price?FID_COND_MRKT_DIV_CODE=J&FID_INPUT_ISCD=005930";
    for (token, tr_id, path, status, code) in [
        ("x", "FHKST01010100", price, 500, "EGW00121"),
        ("", "FHKST01010100", price, 500, "EGW00122"),
        (&token, "FHKST99999999", price, 200, "OPSQ0002"),
        (&token, "FHKST01010100", "inquire-price?FID_INPUT_ISCD=005930", 200, "OPSQ2001"),
        (
            &token,
            "FHKST01010100",
            "inquire-price?FID_COND_MRKT_DIV_CODE=Z&FID_INPUT_ISCD=005930",
            200,
            "OPSQ2001",
        ),
        (
            &token,
            "FHKST01010100",
            "inquire-price?FID_COND_MRKT_DIV_CODE=J&FID_INPUT_ISCD=999999",
            200,
            "APBK0656",
        ),
        (&token, "FHKST01010100", price, 200, "MCA00000"),
        (
            &token,
            "FHPUP02100000",
            "inquire-index-price?FID_COND_MRKT_DIV_CODE=U&FID_INPUT_ISCD=0001",
            200,
            "MCA00000",
        ),
        (
            &token,
            "CTCA0903R",
            "chk-holiday?BASS_DT=20260919&CTX_AREA_NK=&CTX_AREA_FK=",
            200,
            "KIOK0500",
        ),
        (
            &token,
            "FHKST01010400",
            "inquire-daily-price?FID_COND_MRKT_DIV_CODE=J&FID_INPUT_ISCD=005930&FID_PERIOD_DIV_CODE=D&FID_ORG_ADJ_PRC=0",
            200,
            "MCA00000",
        ),
        (
            &token,
            "FHKST03010100",
            "inquire-daily-itemchartprice?FID_COND_MRKT_DIV_CODE=J&FID_INPUT_ISCD=005930&FID_INPUT_DATE_1=20260101&FID_INPUT_DATE_2=20260930&FID_PERIOD_DIV_CODE=D&FID_ORG_ADJ_PRC=0",
            200,
            "MCA00000",
        ),
    ] {
        let (got, answer) = call(&sim, token, tr_id, path).await;
        assert_eq!((got, answer["msg_cd"].as_str().unwrap()), (status, code), "{path}");
    }
    let (status, _) = call(&sim, &token, "FHKST01010100", "inquire-nothing").await;
    assert_eq!(status, 404);
    let hash = post(&sim, "/uapi/hashkey", json!({ "CANO": "50000001" })).await.1;
    assert_eq!(hash["HASH"].as_str().unwrap().len(), 64);
    let revoke = json!({ "appkey": "KEY", "appsecret": "SECRET", "token": token });
    assert_eq!(post(&sim, "/oauth2/revokeP", revoke).await.1["code"], 200);
    assert_eq!(call(&sim, &token, "FHKST01010100", price).await.1["msg_cd"], "EGW00121");
    sim.stop().await;
}

#[tokio::test]
async fn kis_header_names_are_lower_case_and_standard_ones_are_not() {
    let sim = start(options()).await;
    let token = token(&sim).await;
    let mut stream = TcpStream::connect(sim.rest_addr).await.unwrap();
    let request = format!(
        "GET /uapi/domestic-stock/v1/quotations/inquire-price?FID_COND_MRKT_DIV_CODE=J&FID_INPUT_ISCD=005930 HTTP/1.1\r\n\
         Host: x\r\nConnection: close\r\nauthorization: Bearer {token}\r\nappkey: KEY\r\nappsecret: SECRET\r\ntr_id: FHKST01010100\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    for name in [
        "\r\nContent-Type: ",
        "\r\nContent-Length: ",
        "\r\ntr_id: FHKST01010100\r\n",
        "\r\ntr_cont: ",
        "\r\ngt_uid: ",
    ] {
        assert!(answer.contains(name), "{name} in {answer}");
    }
    sim.stop().await;
}

#[tokio::test]
async fn who_does_not_answer_pingpong_is_dropped() {
    let quick = SimOptions {
        ping_every: Duration::from_millis(30),
        drop_after: Duration::from_millis(400),
        ..options()
    };
    let sim = start(quick).await;
    // One client echoes the text, the other stays silent.
    let (mut faithful, mut silent) = (connect(&sim).await, connect(&sim).await);
    let began = std::time::Instant::now();
    let echo = async {
        while began.elapsed() < Duration::from_millis(1_200) {
            let text = next_text(&mut faithful).await;
            assert!(text.starts_with(r#"{"header":{"tr_id":"PINGPONG","datetime":""#), "{text}");
            assert!(text.len() <= 125);
            faithful.send(Message::text(text)).await.unwrap();
        }
    };
    let wait = async {
        while let Some(Ok(message)) = silent.next().await {
            if message.is_close() {
                break;
            }
        }
        began.elapsed()
    };
    let ((), dropped_after) = tokio::join!(echo, wait);
    assert!(dropped_after >= Duration::from_millis(400), "{dropped_after:?}");
    assert!(dropped_after < Duration::from_millis(1_200), "{dropped_after:?}");
    sim.stop().await;
}

#[tokio::test]
async fn paper_trading_lacks_index_and_calendar() {
    let sim = start(SimOptions { env: super::super::SimEnv::Mock, ..options() }).await;
    let token = token(&sim).await;
    let index = "inquire-index-price?FID_COND_MRKT_DIV_CODE=U&FID_INPUT_ISCD=0001";
    assert_eq!(call(&sim, &token, "FHPUP02100000", index).await.1["msg_cd"], "EGW02004");
    let key = approval(&sim).await;
    let mut socket = connect(&sim).await;
    ask(&mut socket, &key, "1", "H0UPCNT0", "0001").await;
    assert_eq!(answer(&mut socket).await["body"]["msg_cd"], "OPSP8991");
    sim.stop().await;
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let sim = start(options()).await;
    let taken = Simulator::load(SimOptions { rest_listen: sim.rest_addr, ..options() }).unwrap();
    let Err(error) = taken.start().await else { panic!("the port is taken") };
    assert!(error.to_string().contains(&sim.rest_addr.to_string()), "{error}");
    sim.stop().await;
}

#[tokio::test]
async fn a_users_script_is_played_at_its_own_speed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.yaml");
    let script = r#"
about: five minutes
day: "2026-09-15"
speed: 300
session: {start: "10:00", end: "10:05"}
market_volatility: 1.0
trades_per_minute: 60
indices: []
issues:
  - {code: "005930", name: 삼성전자, market: KOSPI, price: 71200, volatility: 1.5, beta: 1.0, volume: 14000000, shares: 5919637922}
phases: []
"#;
    std::fs::write(&path, script).unwrap();
    let source = market(path.to_str().unwrap());
    let sim = start(SimOptions { source, ..options() }).await;
    let key = approval(&sim).await;
    let mut socket = connect(&sim).await;
    ask(&mut socket, &key, "1", "H0STCNT0", "005930").await;
    answer(&mut socket).await;
    let began = std::time::Instant::now();
    sim.finished().await;
    let took = began.elapsed();
    // Some five minutes of event time at 300 a second, after the subscriptions settled.
    assert!(took > Duration::from_millis(800) && took < Duration::from_secs(5), "{took:?}");
    assert!(next_text(&mut socket).await.starts_with("0|H0STCNT0|001|005930^1000"));
    sim.stop().await;
}

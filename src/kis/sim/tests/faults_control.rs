//! Faults of registrations, connections and REST over real sockets.

use std::time::{Duration, Instant};

use futures::StreamExt;
use serde_json::json;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::client::{answer, approval, ask, call, connect, next_text, post, token};
use super::faults::{HYNIX, SAMSUNG, all, play, subscribed};
use crate::kis::sim::RunningSim;

const PRICE: &str = "inquire-price?FID_COND_MRKT_DIV_CODE=J&FID_INPUT_ISCD=005930";
const BOOK: &str = "inquire-asking-price-exp-ccn?FID_COND_MRKT_DIV_CODE=J&FID_INPUT_ISCD=005930";

async fn price(sim: &RunningSim, token: &str) -> (u16, String) {
    let (status, answer) = call(sim, token, "FHKST01010100", PRICE).await;
    (status, answer["msg_cd"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn acknowledgements_are_missing_or_wrong() {
    let sim = play("no-ack:symbol=005930;wrong-ack:symbol=000660,code=OPSP0009").await;
    let key = approval(&sim).await;
    let mut socket = connect(&sim).await;
    ask(&mut socket, &key, "1", "H0STCNT0", SAMSUNG).await;
    ask(&mut socket, &key, "1", "H0STCNT0", HYNIX).await;
    let refused = answer(&mut socket).await;
    assert_eq!(refused["header"]["tr_key"], HYNIX, "the first is never answered");
    assert_eq!(
        (&refused["body"]["rt_cd"], &refused["body"]["msg_cd"]),
        (&json!("1"), &json!("OPSP0009"))
    );
    // The registration that was not acknowledged is in force, the refused one is not.
    let got = all(&sim, &mut socket).await;
    assert!(got.frames.len() > 100 && got.frames.iter().all(|frame| frame.contains(SAMSUNG)));
    let kinds: Vec<String> = sim.faults().iter().map(|record| record.kind.to_string()).collect();
    assert_eq!(kinds, ["no-ack", "wrong-ack"]);
}

#[tokio::test]
async fn an_app_key_is_in_use_for_the_next_sessions() {
    let sim = play("in-use:times=2").await;
    let key = approval(&sim).await;
    for _ in 0..2 {
        let mut socket = connect(&sim).await;
        ask(&mut socket, &key, "1", "H0STCNT0", SAMSUNG).await;
        assert_eq!(answer(&mut socket).await["body"]["msg_cd"], "OPSP8996");
        assert!(!matches!(socket.next().await, Some(Ok(Message::Text(_)))), "the session ends");
    }
    drop(subscribed(&sim, &[SAMSUNG]).await);
}

#[tokio::test]
async fn an_approval_key_expires() {
    let sim = play("approval-expired:after=1").await;
    let key = approval(&sim).await;
    let mut socket = connect(&sim).await;
    for (code, expected) in [(SAMSUNG, "OPSP0000"), (HYNIX, "OPSP0011"), (HYNIX, "OPSP0011")] {
        ask(&mut socket, &key, "1", "H0STCNT0", code).await;
        assert_eq!(answer(&mut socket).await["body"]["msg_cd"], expected);
    }
    let key = approval(&sim).await;
    ask(&mut socket, &key, "1", "H0STCNT0", HYNIX).await;
    assert_eq!(answer(&mut socket).await["body"]["msg_cd"], "OPSP0000");
}

#[tokio::test]
async fn notices_are_acknowledged_with_a_wrong_key() {
    let mut keys = Vec::new();
    let sim = play("bad-notice-key").await;
    let key = approval(&sim).await;
    let mut socket = connect(&sim).await;
    for kind in ["1", "2", "1"] {
        ask(&mut socket, &key, kind, "H0STCNI0", "me").await;
        let ack = answer(&mut socket).await;
        assert_eq!(ack["body"]["rt_cd"], "0");
        if kind == "1" {
            keys.push(ack["body"]["output"]["key"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!((keys[0].len(), keys[1].len()), (32, 32));
    assert_ne!(keys[0], keys[1], "the first is wrong");
}

#[tokio::test]
async fn connections_are_refused_for_a_time() {
    let sim = play("refuse-connect:times=2,code=503").await;
    for _ in 0..2 {
        match connect_async(sim.ws_url()).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), 503),
            other => panic!("{other:?}"),
        }
    }
    assert!(connect_async(sim.ws_url()).await.is_ok());
    assert_eq!(sim.faults().len(), 2);
}

#[tokio::test]
async fn an_address_is_blocked() {
    let sim = play("blocked:after=1").await;
    assert!(connect_async(sim.ws_url()).await.is_ok());
    let url = format!("{}/oauth2/tokenP", sim.rest_url());
    let response = reqwest::Client::new().post(url).body("{}").send().await.unwrap();
    assert_eq!(response.status(), 403);
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    assert!(response.text().await.unwrap().contains("<html>"));
    let error = connect_async(sim.ws_url()).await.unwrap_err();
    assert!(!matches!(error, Error::Http(_)), "{error}");
}

#[tokio::test]
async fn tokens_expire_until_new_ones_are_asked_for() {
    for (fault, code) in
        [("token-expired:after=1", "EGW00123"), ("token-invalid:after=1", "EGW00121")]
    {
        let sim = play(fault).await;
        let first = token(&sim).await;
        assert_eq!(price(&sim, &first).await.1, "MCA00000");
        for _ in 0..2 {
            assert_eq!(price(&sim, &first).await, (500, code.to_owned()));
        }
        let second = token(&sim).await;
        assert_ne!(first, second);
        assert_eq!(price(&sim, &second).await.1, "MCA00000");
        assert_eq!(price(&sim, &first).await.1, code, "the old one stays worthless");
    }
}

#[tokio::test]
async fn calls_fail_with_any_code() {
    let sim = play(
        "http:times=2,endpoint=inquire-price;http:code=EGW00201,every=2,endpoint=inquire-price",
    )
    .await;
    let token = token(&sim).await;
    let storm = [(500, "EGW00316"), (500, "EGW00316"), (200, "MCA00000"), (500, "EGW00201")];
    for expected in storm {
        let (status, code) = price(&sim, &token).await;
        assert_eq!((status, code.as_str()), expected);
    }
    // Another call is not concerned.
    assert_eq!(call(&sim, &token, "FHKST01010200", BOOK).await.0, 200);

    let sim = play("http:code=503,endpoint=inquire-price;http:code=EGW00133,endpoint=tokenP").await;
    let refused = post(&sim, "/oauth2/tokenP", json!({})).await;
    assert_eq!((refused.0, &refused.1["error_code"]), (403, &json!("EGW00133")));
    let token = super::client::token(&sim).await;
    assert_eq!(price(&sim, &token).await, (503, String::new()), "a page, no JSON");
}

#[tokio::test]
async fn calls_hang_break_off_or_are_slow() {
    let sim = play("http-hang:endpoint=inquire-price").await;
    let token = token(&sim).await;
    let hangs = tokio::time::timeout(Duration::from_millis(200), price(&sim, &token)).await;
    assert!(hangs.is_err());
    assert_eq!(price(&sim, &token).await.0, 200);
    sim.stop().await;

    let sim = play("http-cut:endpoint=tokenP").await;
    let url = format!("{}/oauth2/tokenP", sim.rest_url());
    let body =
        json!({ "grant_type": "client_credentials", "appkey": "KEY", "appsecret": "SECRET" })
            .to_string();
    let response = reqwest::Client::new().post(url).body(body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.text().await.is_err(), "half of the body only");

    let sim = play("slow:on=rest,ms=150").await;
    let began = Instant::now();
    super::client::token(&sim).await;
    assert!(began.elapsed() >= Duration::from_millis(150), "{:?}", began.elapsed());
}

#[tokio::test]
async fn only_one_app_key_is_concerned() {
    let options = crate::kis::sim::SimOptions { app_key: None, ..super::client::options() };
    let sim =
        super::faults::play_with("approval-expired:key=2,times=9;slow:key=2,ms=1", options).await;
    let mut answers = Vec::new();
    for app_key in ["A", "B"] {
        let body =
            json!({ "grant_type": "client_credentials", "appkey": app_key, "secretkey": "SECRET" });
        let key = post(&sim, "/oauth2/Approval", body).await.1["approval_key"].clone();
        let mut socket = connect(&sim).await;
        ask(&mut socket, key.as_str().unwrap(), "1", "H0STCNT0", SAMSUNG).await;
        let text = next_text(&mut socket).await;
        answers.push((text.contains("OPSP0000"), text.contains("OPSP0011")));
    }
    assert_eq!(answers, [(true, false), (false, true)]);
}

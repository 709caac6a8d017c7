//! The WebSocket over real sockets.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::client::{answer, approval, ask, call, connect, next_text, options, start, token};
use super::*;
use crate::kis::sim::{Feed, SimEnv, SimOptions, SimSpeed};

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
        let wanted = match info.feed {
            Feed::Trade | Feed::Operation => info.symbol.as_str() == "005930",
            Feed::Index => info.symbol.as_str() == "0001",
            Feed::Book | Feed::Vi => false,
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
    let sim = start(SimOptions { env: SimEnv::Mock, ..options() }).await;
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

#[tokio::test]
async fn a_slow_reader_slows_the_clock_and_loses_nothing() {
    let fast = SimOptions { speed: Some(SimSpeed::Max), max_registrations: None, ..options() };
    let sim = start(fast).await;
    let key = approval(&sim).await;
    let mut socket = connect(&sim).await;
    for reference in &sim.references {
        ask(&mut socket, &key, "1", "H0STCNT0", reference.symbol.as_str()).await;
        assert_eq!(answer(&mut socket).await["body"]["msg_cd"], "OPSP0000");
    }
    // Nothing is read for a while: the day is far larger than all buffers, so it cannot end.
    let early = tokio::time::timeout(Duration::from_secs(1), sim.finished()).await;
    assert!(early.is_err(), "the day ended although nobody read it");
    let seed = options().seed;
    let same = Playback::load(&market("calm"), seed, None, FrameShape::default()).unwrap();
    let trades = same.trade_count();
    let mut volumes: HashMap<String, i64> = HashMap::new();
    let mut got = 0;
    while got < trades {
        let text = next_text(&mut socket).await;
        if text.starts_with('{') {
            continue;
        }
        let mut fields = text.splitn(4, '|').nth(3).unwrap().split('^');
        let symbol = fields.next().unwrap().to_owned();
        let [size, volume] = [fields.nth(11), fields.next()].map(|field| number(field.unwrap()));
        let before = volumes.insert(symbol, volume).unwrap_or(0);
        assert_eq!(volume, before + size, "a trade is missing");
        got += 1;
    }
    tokio::time::timeout(Duration::from_secs(20), sim.finished()).await.unwrap();
    sim.stop().await;
}

//! KIS's limits, and the log that a test can hold against a client.

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::json;

use super::client::{Caller, answer, approval, ask, connect, options, post, start};
use crate::kis::sim::{RunningSim, SimEnv, SimOptions};

const ISSUE: [(&str, &str); 2] = [("FID_COND_MRKT_DIV_CODE", "J"), ("FID_INPUT_ISCD", "005930")];

/// Most calls of one app key that were served within any second.
fn busiest_second(sim: &RunningSim, app_key: &str) -> usize {
    let served: Vec<Instant> = sim
        .requests()
        .into_iter()
        .filter(|record| record.app_key == app_key && record.outcome == "MCA00000")
        .map(|record| record.at)
        .collect();
    let within = |from: &Instant| {
        let second = *from + Duration::from_secs(1);
        served.iter().filter(|at| (*from..second).contains(*at)).count()
    };
    served.iter().map(within).max().unwrap_or(0)
}

#[tokio::test]
async fn each_app_key_has_its_calls_a_second() {
    let enforced = SimOptions {
        enforce_rate_limits: true,
        app_key: Some("FIRSTKEY".into()),
        extra_keys: vec![("OTHERONE".into(), "HIDDEN".into())],
        ..options()
    };
    let sim = start(enforced).await;
    let first = Caller::new(&sim, ("FIRSTKEY", "SECRET")).await;
    let second = Caller::new(&sim, ("OTHERONE", "HIDDEN")).await;
    let burst = |caller: &'static str| (0..40).map(move |_| caller);
    let calls = burst("first").chain(burst("second")).map(|who| {
        let caller = if who == "first" { &first } else { &second };
        caller.get("quotations/inquire-price", "FHKST01010100", &ISSUE)
    });
    let replies = join_all(calls).await;
    let (refused, served): (Vec<_>, Vec<_>) =
        replies.iter().partition(|reply| reply.code() == "EGW00201");
    assert!(refused.iter().all(|reply| reply.status == 500 && reply.body["rt_cd"] == "1"));
    assert!(served.iter().all(|reply| reply.code() == "MCA00000"));
    assert!(served.len() >= 36, "{} served", served.len());
    // The log takes note a moment after the limiter: one call more can fall into a second.
    for app_key in ["TKEY", "RONE"] {
        let busiest = busiest_second(&sim, app_key);
        assert!((18..=19).contains(&busiest), "{app_key}: {busiest} in a second");
    }
    let counts = sim.request_counts();
    let path = "/uapi/domestic-stock/v1/quotations/inquire-price";
    assert_eq!(counts[&(path, "EGW00201".to_owned())], refused.len() as u64);
    assert_eq!(counts[&("/oauth2/tokenP", "200".to_owned())], 2);
    sim.stop().await;
}

#[tokio::test]
async fn tokens_and_approvals_are_rare() {
    let sim = start(SimOptions { enforce_rate_limits: true, ..options() }).await;
    let keys =
        json!({ "grant_type": "client_credentials", "appkey": "KEY", "appsecret": "SECRET" });
    assert_eq!(post(&sim, "/oauth2/tokenP", keys.clone()).await.0, 200);
    let (status, again) = post(&sim, "/oauth2/tokenP", keys).await;
    assert_eq!((status, &again["error_code"]), (403, &json!("EGW00133")));
    assert_eq!(again["error_description"], "접근토큰 발급 잠시 후 다시 시도하세요(1분당 1회)");
    let keys =
        json!({ "grant_type": "client_credentials", "appkey": "KEY", "secretkey": "SECRET" });
    let asked = (0..5).map(|_| post(&sim, "/oauth2/Approval", keys.clone()));
    let answers = join_all(asked).await;
    let given = answers.iter().filter(|(status, _)| *status == 200).count();
    assert!((1..5).contains(&given), "{answers:?}");
    sim.stop().await;
}

#[tokio::test]
async fn paper_trading_is_served_once_a_second() {
    let paper = SimOptions { enforce_rate_limits: true, env: SimEnv::Mock, ..options() };
    let sim = start(paper).await;
    let caller = Caller::new(&sim, ("KEY", "SECRET")).await;
    let calls = (0..4).map(|_| caller.get("quotations/inquire-price", "FHKST01010100", &ISSUE));
    let replies = join_all(calls).await;
    let refused = replies.iter().filter(|reply| reply.code() == "EGW00201").count();
    assert!((1..=3).contains(&refused), "{refused} refused");
    sim.stop().await;
}

#[tokio::test]
async fn the_environments_do_not_mix() {
    let real = start(options()).await;
    let paper = start(SimOptions { env: SimEnv::Mock, ..options() }).await;
    let in_real = Caller::new(&real, ("KEY", "SECRET")).await;
    let in_paper = Caller::new(&paper, ("KEY", "SECRET")).await;
    for (caller, path, tr_id, text) in [
        (&in_real, "trading/inquire-balance", "VTTC8434R", "실전투자 TR 이 아닙니다."),
        (&in_paper, "trading/inquire-balance", "TTTC8434R", "모의투자 TR 이 아닙니다."),
        (&in_paper, "quotations/volume-rank", "FHPST01710000", "모의투자 TR 이 아닙니다."),
        (
            &in_paper,
            "quotations/inquire-time-dailychartprice",
            "FHKST03010230",
            "모의투자 TR 이 아닙니다.",
        ),
        (&in_paper, "ranking/market-cap", "FHPST01740000", "모의투자 TR 이 아닙니다."),
        (&in_paper, "trading/inquire-psbl-rvsecncl", "TTTC0084R", "모의투자 TR 이 아닙니다."),
    ] {
        let reply = caller.get(path, tr_id, &[]).await;
        assert_eq!((reply.status, reply.code()), (500, "EGW02004"), "{tr_id}");
        assert_eq!(reply.body["msg1"], text);
    }
    let unknown = in_real.get("quotations/inquire-price", "TTTC8434R", &ISSUE).await;
    assert_eq!(unknown.code(), "OPSQ0002", "a TR ID of another call");
    for (path, posts) in
        [("trading/order-cash", false), ("quotations/inquire-price", true), ("ranking/x", false)]
    {
        let reply = if posts {
            in_real.post(path, "FHKST01010100", &json!({})).await
        } else {
            in_real.get(path, "TTTC0012U", &[]).await
        };
        assert_eq!(reply.status, 404, "{path}");
    }
    let (status, answer) = super::client::call(
        &paper,
        &super::client::token(&real).await,
        "FHKST01010100",
        "inquire-price",
    )
    .await;
    assert_eq!((status, &answer["msg_cd"]), (500, &json!("EGW00121")), "the other's token");
    real.stop().await;
    paper.stop().await;
}

#[tokio::test]
async fn the_log_tells_what_a_session_did() {
    let sim = start(SimOptions { max_registrations: Some(1), ..options() }).await;
    let key = approval(&sim).await;
    let mut socket = connect(&sim).await;
    for (kind, code) in [("1", "005930"), ("1", "000660"), ("2", "005930")] {
        ask(&mut socket, &key, kind, "H0STCNT0", code).await;
        answer(&mut socket).await;
    }
    let shown: Vec<(String, String, String)> = sim
        .requests()
        .into_iter()
        .map(|record| (record.endpoint.to_owned(), record.tr_id, record.outcome))
        .collect();
    let row = |endpoint: &str, what: &str, outcome: &str| {
        (endpoint.to_owned(), what.to_owned(), outcome.to_owned())
    };
    assert_eq!(
        shown,
        [
            row("/oauth2/Approval", "", "200"),
            row("ws:connect", "", "101"),
            row("ws:subscribe", "H0STCNT0 005930", "OPSP0000"),
            row("ws:subscribe", "H0STCNT0 000660", "OPSP0008"),
            row("ws:unsubscribe", "H0STCNT0 005930", "OPSP0001"),
        ]
    );
    assert!(sim.requests()[2].app_key == "KEY");
    sim.stop().await;
}

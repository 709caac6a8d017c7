//! Every call against the sample of its answer: the same keys in the same order, values of the
//! same form.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::client::{Caller, options, start};
use super::shared_file;
use super::trading::play;
use crate::kis::sim::{SimEnv, SimHolding, SimOptions, SimSpeed};

/// The folder of samples, if there is one.
fn samples(test: &str) -> Option<PathBuf> {
    let index = shared_file(test, "kis/samples/rest/index.json")?;
    Some(index.parent()?.parent()?.to_owned())
}

fn read(path: PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The form of a value: what stays of it when digits are forgotten.
#[derive(Debug, PartialEq, Eq)]
enum Form {
    Empty,
    Integer,
    Decimal(usize),
    Text,
}

fn form(value: &str) -> Form {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = value.strip_prefix('-').unwrap_or(value);
    match unsigned.split_once('.') {
        _ if value.trim().is_empty() => Form::Empty,
        Some((whole, rest)) if digits(whole) && digits(rest) => Form::Decimal(rest.len()),
        None if digits(unsigned) => Form::Integer,
        _ => Form::Text,
    }
}

/// Lengths that a value of a fixed length has, by its name.
fn length(name: &str) -> Option<usize> {
    match name {
        _ if name.ends_with("_dt") || name.ends_with("_date") => Some(8),
        _ if name.ends_with("_hour") || name.ends_with("_tmd") => Some(6),
        _ if name.ends_with("_yn") => Some(1),
        "odno" | "orgn_odno" | "ODNO" => Some(10),
        "ORD_TMD" => Some(6),
        "KRX_FWDG_ORD_ORGNO" | "ord_gno_brno" | "ord_orgno" => Some(5),
        "ctx_area_fk100" | "ctx_area_nk100" => Some(100),
        _ => None,
    }
}

/// Names, their order and the forms of the values. A value that one side does not know is empty.
fn compare(file: &str, at: &str, sample: &Value, ours: &Value) {
    match (sample, ours) {
        (Value::Object(sample), Value::Object(ours)) => {
            let names = |fields: &Map<String, Value>| fields.keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(sample), names(ours), "{file}: names in {at}");
            for (name, value) in sample {
                compare(file, &format!("{at}/{name}"), value, &ours[name]);
            }
        }
        (Value::Array(sample), Value::Array(ours)) => {
            let Some(first) = sample.first() else { return };
            assert!(!ours.is_empty(), "{file}: {at} has rows");
            for row in ours {
                compare(file, at, first, row);
            }
        }
        (Value::String(sample), Value::String(ours)) => {
            let (wanted, got) = (form(sample), form(ours));
            let same = wanted == got || wanted == Form::Empty || got == Form::Empty;
            // An average is written with decimals only when it has some.
            let average = at.ends_with("/avg_prvs") && matches!(got, Form::Decimal(4));
            assert!(same || average, "{file}: {at} is \"{ours}\", in the sample \"{sample}\"");
            let name = at.rsplit('/').next().unwrap();
            if let Some(length) = length(name).filter(|_| !ours.is_empty()) {
                assert_eq!(ours.len(), length, "{file}: {at} is \"{ours}\"");
            }
        }
        (sample, ours) => panic!("{file}: {at} is {ours}, in the sample {sample}"),
    }
}

/// A simulator that has played a day, in which the account has traded, and its client.
async fn played(env: SimEnv, holdings: &[&str]) -> (crate::kis::sim::RunningSim, Caller) {
    let held = |code: &&str| SimHolding {
        symbol: code.parse().unwrap(),
        quantity: 20,
        average_price: 70_500,
    };
    let sim = start(SimOptions {
        env,
        speed: Some(SimSpeed::Max),
        account: Some("50000001-01".parse().unwrap()),
        holdings: holdings.iter().map(held).collect(),
        ..options()
    })
    .await;
    let caller = Caller::new(&sim, ("KEY", "SECRET")).await;
    (sim, caller)
}

fn owned(entry: &Value) -> Vec<(String, String)> {
    let pairs = entry["query"].as_object().unwrap().iter();
    pairs.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}

#[tokio::test]
async fn every_call_answers_in_the_form_of_its_sample() {
    let Some(folder) = samples("every_call_answers_in_the_form_of_its_sample") else { return };
    let index = read(folder.join("rest/index.json"));
    let (real, buyer) = played(SimEnv::Real, &["000660", "005930"]).await;
    let (paper, learner) = played(SimEnv::Mock, &[]).await;
    let mut seen = 0;
    for after_the_day in [false, true] {
        if after_the_day {
            play(&real).await;
        }
        for entry in index.as_array().unwrap() {
            let text = |name: &str| entry[name].as_str().unwrap();
            let (file, tr_id) = (text("file"), text("tr_id"));
            let orders = file.contains("order-cash");
            // Orders are sent before the day is played, everything else is asked after it.
            if orders == after_the_day || file.contains(".empty") || file.contains(".halted") {
                continue;
            }
            // Other days and hours than the played one have tests of their own.
            let elsewhere = ["rejected-holiday", "rejected-closed", "itemchartprice.page2"];
            if elsewhere.iter().any(|name| file.contains(name) && !file.contains("time-")) {
                continue;
            }
            let caller = if tr_id.starts_with('V') { &learner } else { &buyer };
            let path = text("path").strip_prefix("/uapi/domestic-stock/v1/").unwrap();
            let reply = if text("method") == "POST" {
                // Within the limits of the simulated day's price, which is another.
                let mut body = entry["body"].clone();
                let query = [("FID_COND_MRKT_DIV_CODE", "J"), ("FID_INPUT_ISCD", "005930")];
                let price = caller.get("quotations/inquire-price", "FHKST01010100", &query).await;
                body["ORD_UNPR"] = price.body["output"]["stck_mxpr"].clone();
                caller.post(path, tr_id, &body).await
            } else {
                let query = owned(entry);
                let query: Vec<(&str, &str)> =
                    query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                caller.page(path, tr_id, &query, text("request_tr_cont")).await
            };
            let sample = read(folder.join(file));
            assert_eq!(reply.status, 200, "{file}: {}", reply.body);
            let pages = file.contains("daily-ccld");
            if pages {
                assert!(reply.body["rt_cd"] == "0", "{file}: {}", reply.body);
            } else {
                assert_eq!(reply.body["msg_cd"], sample["msg_cd"], "{file}");
                assert_eq!(reply.body["msg1"], sample["msg1"], "{file}");
                let tr_cont = entry["response_headers"]["tr_cont"].as_str().unwrap();
                assert_eq!(reply.tr_cont, tr_cont, "{file}");
            }
            // No interruption happens on this day: its rows are tested where they are made.
            let mut sample = sample;
            if file.contains("vi-status") {
                sample["output"] = json!([]);
            }
            compare(file, "", &sample, &reply.body);
            seen += 1;
        }
    }
    assert!(seen >= 21, "{seen} samples");
    real.stop().await;
    paper.stop().await;
}

#[tokio::test]
async fn refusals_are_those_of_the_samples() {
    let Some(folder) = samples("refusals_are_those_of_the_samples") else { return };
    let sim = start(options()).await;
    let caller = Caller::new(&sim, ("KEY", "SECRET")).await;
    let price = "quotations/inquire-price";
    let issue = [("FID_COND_MRKT_DIV_CODE", "J"), ("FID_INPUT_ISCD", "005930")];
    let account = |number| {
        let rest = ["AFHR_FLPR_YN", "OFL_YN", "INQR_DVSN", "UNPR_DVSN", "FUND_STTL_ICLD_YN"];
        let more = ["FNCG_AMT_AUTO_RDPT_YN", "PRCS_DVSN", "CTX_AREA_FK100", "CTX_AREA_NK100"];
        let mut query = vec![("CANO", number), ("ACNT_PRDT_CD", "01")];
        query.extend(rest.into_iter().chain(more).map(|name| (name, "")));
        query
    };
    let replies = [
        ("EGW02004.http500", caller.get("trading/inquire-balance", "VTTC8434R", &issue).await),
        ("OPSQ2001.http200", caller.get(price, "FHKST01010100", &issue[1..]).await),
        (
            "OPSQ2000.http200",
            caller.get("trading/inquire-balance", "TTTC8434R", &account("5000001")).await,
        ),
    ];
    for (file, reply) in replies {
        assert_eq!(reply.body, read(folder.join(format!("rest/errors/{file}.json"))), "{file}");
        assert!(file.ends_with(&reply.status.to_string()), "{file}: {}", reply.status);
    }
    // The first number that an app key names is its account's.
    let balance = "trading/inquire-balance";
    assert_eq!(caller.get(balance, "TTTC8434R", &account("50000001")).await.status, 200);
    let other = caller.get(balance, "TTTC8434R", &account("50000002")).await;
    assert_eq!(other.code(), "OPSQ2000");
    sim.stop().await;
}

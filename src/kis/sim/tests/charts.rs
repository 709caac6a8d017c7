//! Charts and rankings against each other: they are views of one market.

use std::collections::BTreeMap;

use serde_json::Value;

use super::client::{Caller, Reply, options, start};
use super::number;
use super::trading::{KEYS, play};
use crate::kis::sim::{RunningSim, SimOptions, SimSpeed};
use crate::market::SessionDay;

const ISSUE: [(&str, &str); 2] = [("FID_COND_MRKT_DIV_CODE", "J"), ("FID_INPUT_ISCD", "005930")];

async fn played() -> (RunningSim, Caller) {
    let sim = start(SimOptions { speed: Some(SimSpeed::Max), ..options() }).await;
    let caller = Caller::new(&sim, KEYS).await;
    (sim, caller)
}

fn n(row: &Value, name: &str) -> i64 {
    number(row[name].as_str().unwrap_or_else(|| panic!("{name} in {row}")))
}

async fn chart(caller: &Caller, period: &str, from: &str, to: &str) -> Reply {
    let mut query = ISSUE.to_vec();
    query.extend([("FID_INPUT_DATE_1", from), ("FID_INPUT_DATE_2", to)]);
    query.extend([("FID_PERIOD_DIV_CODE", period), ("FID_ORG_ADJ_PRC", "0")]);
    caller.get("quotations/inquire-daily-itemchartprice", "FHKST03010100", &query).await
}

#[tokio::test]
async fn weeks_months_and_years_are_made_of_days() {
    let (sim, caller) = played().await;
    play(&sim).await;
    let days = chart(&caller, "D", "20250101", "20261231").await;
    let days = days.rows("output2");
    assert!(days.len() > 40, "{}", days.len());
    for (period, code) in [("W", 0), ("M", 1), ("Y", 2)] {
        let reply = chart(&caller, period, "20250101", "20261231").await;
        let mut joined: BTreeMap<i64, Vec<&Value>> = BTreeMap::new();
        for row in days {
            let day = SessionDay::from_yyyymmdd(n(row, "stck_bsop_date") as u32).unwrap();
            let (year, month, _) = day.ymd();
            let key = match code {
                0 => i64::from((day.epoch_days() + 3).div_euclid(7)),
                1 => i64::from(year * 100 + month),
                _ => i64::from(year),
            };
            joined.entry(key).or_default().push(row);
        }
        let rows = reply.rows("output2");
        assert_eq!(rows.len(), joined.len(), "{period}");
        // Both newest first.
        for (row, days) in rows.iter().zip(joined.values().rev()) {
            let (newest, oldest) = (days[0], days.last().unwrap());
            let most = |name| days.iter().map(|day| n(day, name)).max().unwrap();
            let least = |name| days.iter().map(|day| n(day, name)).min().unwrap();
            let sum = |name| days.iter().map(|day| n(day, name)).sum::<i64>();
            assert_eq!(row["stck_bsop_date"], oldest["stck_bsop_date"]);
            assert_eq!(row["stck_oprc"], oldest["stck_oprc"]);
            assert_eq!(row["stck_clpr"], newest["stck_clpr"]);
            assert_eq!(n(row, "stck_hgpr"), most("stck_hgpr"));
            assert_eq!(n(row, "stck_lwpr"), least("stck_lwpr"));
            assert_eq!(n(row, "acml_vol"), sum("acml_vol"));
            assert_eq!(n(row, "acml_tr_pbmn"), sum("acml_tr_pbmn"));
        }
        for pair in rows.windows(2) {
            assert_eq!(
                n(&pair[0], "prdy_vrss"),
                n(&pair[0], "stck_clpr") - n(&pair[1], "stck_clpr")
            );
        }
        if period != "Y" {
            let mut query = ISSUE.to_vec();
            query.extend([("FID_PERIOD_DIV_CODE", period), ("FID_ORG_ADJ_PRC", "0")]);
            let short = caller.get("quotations/inquire-daily-price", "FHKST01010400", &query).await;
            let short = short.rows("output");
            assert_eq!(short.len(), rows.len().min(30));
            for (a, b) in short.iter().zip(rows) {
                for name in ["stck_bsop_date", "stck_oprc", "stck_hgpr", "stck_lwpr", "stck_clpr"] {
                    assert_eq!(a[name], b[name], "{period} {name}");
                }
            }
        }
    }
    // Page by page, from the newest back.
    let oldest = days.last().unwrap()["stck_bsop_date"].as_str().unwrap();
    let middle = days[days.len() / 2]["stck_bsop_date"].as_str().unwrap();
    let before = SessionDay::from_yyyymmdd(middle.parse().unwrap()).unwrap();
    let before = SessionDay::from_epoch_days(before.epoch_days() - 1).yyyymmdd().to_string();
    let newer = chart(&caller, "D", middle, "20261231").await;
    let older = chart(&caller, "D", oldest, &before).await;
    let walked: Vec<&Value> = newer.rows("output2").iter().chain(older.rows("output2")).collect();
    assert_eq!(walked, days.iter().collect::<Vec<_>>());
    sim.stop().await;
}

async fn minutes(caller: &Caller, hour: &str, day: Option<&str>) -> Reply {
    let mut query = ISSUE.to_vec();
    query.extend([("FID_INPUT_HOUR_1", hour), ("FID_PW_DATA_INCU_YN", "Y")]);
    match day {
        None => {
            query.push(("FID_ETC_CLS_CODE", ""));
            caller.get("quotations/inquire-time-itemchartprice", "FHKST03010200", &query).await
        }
        Some(day) => {
            query.extend([("FID_INPUT_DATE_1", day), ("FID_FAKE_TICK_INCU_YN", "")]);
            caller.get("quotations/inquire-time-dailychartprice", "FHKST03010230", &query).await
        }
    }
}

#[tokio::test]
async fn minute_bars_walk_back_to_the_opening() {
    let (sim, caller) = played().await;
    assert!(minutes(&caller, "100000", None).await.rows("output2").is_empty(), "nothing traded");
    play(&sim).await;
    let today = sim.session_day().yyyymmdd().to_string();
    let (mut hour, mut all) = ("153000".to_owned(), Vec::new());
    loop {
        let page = minutes(&caller, &hour, None).await;
        let rows = page.rows("output2").to_vec();
        let Some(oldest) = rows.last() else { break };
        assert!(rows.len() <= 30);
        let at = number(oldest["stck_cntg_hour"].as_str().unwrap());
        let minute = at / 10_000 * 60 + at / 100 % 100 - 1;
        hour = format!("{:02}{:02}00", minute / 60, minute % 60);
        all.extend(rows);
    }
    let hours: Vec<&str> = all.iter().map(|row| row["stck_cntg_hour"].as_str().unwrap()).collect();
    assert!(hours.windows(2).all(|pair| pair[0] > pair[1]), "newest first, each once");
    assert_eq!(*hours.last().unwrap(), "090000");
    let price = caller.get("quotations/inquire-price", "FHKST01010100", &ISSUE).await;
    let volume: i64 = all.iter().map(|row| n(row, "cntg_vol")).sum();
    assert_eq!(volume, n(&price.body["output"], "acml_vol"));
    // The other call: the same bars, more at once, and none of a day that is past.
    let day = minutes(&caller, "153000", Some(&today)).await;
    assert_eq!(day.rows("output2"), &all[..120]);
    assert!(minutes(&caller, "153000", Some("20260102")).await.rows("output2").is_empty());
    let mut query = ISSUE.to_vec();
    query.extend([("FID_INPUT_HOUR_1", "153000"), ("FID_PW_DATA_INCU_YN", "N")]);
    query.push(("FID_INPUT_DATE_1", &today));
    let missing =
        caller.get("quotations/inquire-time-dailychartprice", "FHKST03010230", &query).await;
    assert_eq!(missing.code(), "OPSQ2001", "the key must be there, even empty");
    sim.stop().await;
}

#[tokio::test]
async fn rankings_are_in_order_and_agree_with_the_prices() {
    let (sim, caller) = played().await;
    play(&sim).await;
    let volume = |order: &'static str| {
        [
            ("FID_COND_MRKT_DIV_CODE", "J"),
            ("FID_COND_SCR_DIV_CODE", "20171"),
            ("FID_INPUT_ISCD", "0000"),
            ("FID_DIV_CLS_CODE", "0"),
            ("FID_BLNG_CLS_CODE", order),
            ("FID_TRGT_CLS_CODE", "111111111"),
            ("FID_TRGT_EXLS_CLS_CODE", "0000000000"),
            ("FID_INPUT_PRICE_1", ""),
            ("FID_INPUT_PRICE_2", ""),
            ("FID_VOL_CNT", ""),
            ("FID_INPUT_DATE_1", ""),
        ]
    };
    let issues = sim.references.len().min(30);
    for (order, name) in [("0", "acml_vol"), ("3", "acml_tr_pbmn")] {
        let reply = caller.get("quotations/volume-rank", "FHPST01710000", &volume(order)).await;
        let rows = reply.rows("output");
        assert_eq!(rows.len(), issues);
        assert!(rows.windows(2).all(|pair| n(&pair[0], name) >= n(&pair[1], name)), "{name}");
        assert!(rows.iter().zip(1..).all(|(row, rank)| n(row, "data_rank") == rank));
        let first = rows[0]["mksc_shrn_iscd"].as_str().unwrap();
        let query = [ISSUE[0], ("FID_INPUT_ISCD", first)];
        let price = caller.get("quotations/inquire-price", "FHKST01010100", &query).await;
        for name in ["stck_prpr", "acml_vol", "acml_tr_pbmn", "prdy_ctrt", "vol_tnrt"] {
            assert_eq!(rows[0][name], price.body["output"][name], "{name}");
        }
    }
    // In lower case, and one market alone.
    let value = |market: &'static str| {
        let empty = ["fid_input_price_2", "fid_input_price_1", "fid_vol_cnt"];
        let mut query = vec![("fid_cond_mrkt_div_code", "J"), ("fid_cond_scr_div_code", "20174")];
        query.extend([("fid_div_cls_code", "0"), ("fid_input_iscd", market)]);
        query.extend([("fid_trgt_cls_code", "0"), ("fid_trgt_exls_cls_code", "0")]);
        query.extend(empty.map(|name| (name, "")));
        query
    };
    let mut parts = 0;
    for market in ["0001", "1001", "0000"] {
        let reply = caller.get("ranking/market-cap", "FHPST01740000", &value(market)).await;
        let rows = reply.rows("output");
        assert!(rows.windows(2).all(|pair| n(&pair[0], "stck_avls") >= n(&pair[1], "stck_avls")));
        for row in rows {
            let shares = i128::from(n(row, "lstn_stcn")) * i128::from(n(row, "stck_prpr"));
            assert_eq!(i128::from(n(row, "stck_avls")), shares / 100_000_000);
        }
        if market == "0000" {
            assert_eq!(rows.len(), parts.min(30));
        } else {
            parts += rows.len();
        }
    }
    sim.stop().await;
}

#[tokio::test]
async fn the_present_price_is_flat_up_to_an_hour_to_come() {
    let slow = SimOptions { speed: Some(SimSpeed::Times(1.0)), hold: false, ..options() };
    let sim = start(slow).await;
    let caller = Caller::new(&sim, KEYS).await;
    // The clock runs by itself: the opening auction of every issue comes at once.
    let rows = loop {
        let reply = minutes(&caller, "091000", None).await;
        if reply.rows("output2").len() > 1 {
            break reply.rows("output2").to_vec();
        }
    };
    assert_eq!(rows[0]["stck_cntg_hour"], "091000");
    for row in &rows[..rows.len() - 2] {
        assert_eq!(row["cntg_vol"], "0");
        for name in ["stck_oprc", "stck_hgpr", "stck_lwpr"] {
            assert_eq!(row[name], rows[0]["stck_prpr"], "{name}");
        }
    }
    let late = minutes(&caller, "235900", None).await;
    assert_eq!(late.rows("output2")[0]["stck_cntg_hour"], "153000", "no bar after the close");
    sim.stop().await;
}

//! Orders over REST: what is accepted, refused, amended, cancelled and filled, and that balance,
//! history and quotations agree about it.

use serde_json::{Value, json};

use super::client::{Caller, Reply, answer, approval, ask, connect, next_text, options, start};
use super::number;
use crate::kis::sim::{RunningSim, SimEnv, SimHolding, SimOptions, SimSpeed};

pub(super) const KEYS: (&str, &str) = ("KEY", "SECRET");
const ACCOUNT: [(&str, &str); 2] = [("CANO", "50000001"), ("ACNT_PRDT_CD", "01")];

pub(super) fn order(code: &str, quantity: i64, price: i64) -> Value {
    json!({
        "CANO": "50000001", "ACNT_PRDT_CD": "01", "PDNO": code,
        "ORD_DVSN": if price == 0 { "01" } else { "00" },
        "ORD_QTY": quantity.to_string(), "ORD_UNPR": price.to_string(),
        "EXCG_ID_DVSN_CD": "KRX", "SLL_TYPE": "", "CNDT_PRIC": "",
    })
}

pub(super) fn revision(kind: &str, original: &str, quantity: Option<i64>, price: i64) -> Value {
    json!({
        "CANO": "50000001", "ACNT_PRDT_CD": "01", "KRX_FWDG_ORD_ORGNO": "06010",
        "ORGN_ODNO": original, "ORD_DVSN": "00", "RVSE_CNCL_DVSN_CD": kind,
        "ORD_QTY": quantity.unwrap_or(0).to_string(), "ORD_UNPR": price.to_string(),
        "QTY_ALL_ORD_YN": if quantity.is_none() { "Y" } else { "N" },
    })
}

pub(super) async fn buy(caller: &Caller, code: &str, quantity: i64, price: i64) -> Reply {
    caller.post("trading/order-cash", "TTTC0012U", &order(code, quantity, price)).await
}

pub(super) async fn sell(caller: &Caller, code: &str, quantity: i64, price: i64) -> Reply {
    caller.post("trading/order-cash", "TTTC0011U", &order(code, quantity, price)).await
}

pub(super) async fn revise(caller: &Caller, body: &Value) -> Reply {
    caller.post("trading/order-rvsecncl", "TTTC0013U", body).await
}

pub(super) fn odno(reply: &Reply) -> String {
    assert_eq!(reply.body["rt_cd"], "0", "{}", reply.body);
    reply.body["output"]["ODNO"].as_str().unwrap().to_owned()
}

fn history_query() -> Vec<(&'static str, &'static str)> {
    let mut query = ACCOUNT.to_vec();
    query.extend([
        ("INQR_STRT_DT", "20260101"),
        ("INQR_END_DT", "20261231"),
        ("SLL_BUY_DVSN_CD", "00"),
        ("PDNO", ""),
        ("CCLD_DVSN", "00"),
        ("INQR_DVSN", "00"),
        ("INQR_DVSN_1", ""),
        ("INQR_DVSN_3", "00"),
        ("ORD_GNO_BRNO", ""),
        ("ODNO", ""),
        ("EXCG_ID_DVSN_CD", "ALL"),
        ("CTX_AREA_FK100", ""),
        ("CTX_AREA_NK100", ""),
    ]);
    query
}

fn balance_query() -> Vec<(&'static str, &'static str)> {
    let mut query = ACCOUNT.to_vec();
    query.extend([
        ("AFHR_FLPR_YN", "N"),
        ("OFL_YN", ""),
        ("INQR_DVSN", "02"),
        ("UNPR_DVSN", "01"),
        ("FUND_STTL_ICLD_YN", "N"),
        ("FNCG_AMT_AUTO_RDPT_YN", "N"),
        ("PRCS_DVSN", "00"),
        ("CTX_AREA_FK100", ""),
        ("CTX_AREA_NK100", ""),
    ]);
    query
}

fn open_query() -> Vec<(&'static str, &'static str)> {
    let mut query = ACCOUNT.to_vec();
    let rest = [("INQR_DVSN_1", "0"), ("INQR_DVSN_2", "0")];
    query.extend(rest.into_iter().chain([("CTX_AREA_FK100", ""), ("CTX_AREA_NK100", "")]));
    query
}

async fn history(caller: &Caller) -> Vec<Reply> {
    caller.pages("trading/inquire-daily-ccld", "TTTC0081R", &history_query()).await
}

async fn price(caller: &Caller, code: &str) -> Value {
    let query = [("FID_COND_MRKT_DIV_CODE", "J"), ("FID_INPUT_ISCD", code)];
    let reply = caller.get("quotations/inquire-price", "FHKST01010100", &query).await;
    reply.body["output"].clone()
}

fn won(value: &Value, name: &str) -> i64 {
    number(value[name].as_str().unwrap_or_else(|| panic!("{name} in {value}")))
}

/// Plays the day to its end.
pub(super) async fn play(sim: &RunningSim) {
    let key = approval(sim).await;
    let mut socket = connect(sim).await;
    ask(&mut socket, &key, "1", "H0STCNT0", "005930").await;
    assert_eq!(answer(&mut socket).await["body"]["msg_cd"], "OPSP0000");
    let reading = async {
        loop {
            next_text(&mut socket).await;
        }
    };
    tokio::select! {
        () = sim.finished() => {}
        () = reading => {}
    }
}

fn fast() -> SimOptions {
    let held =
        SimHolding { symbol: "000660".parse().unwrap(), quantity: 30, average_price: 150_000 };
    SimOptions { speed: Some(SimSpeed::Max), holdings: vec![held], ..options() }
}

#[tokio::test]
async fn a_day_of_trading_adds_up() {
    let sim = start(fast()).await;
    let caller = Caller::new(&sim, KEYS).await;
    let samsung = price(&caller, "005930").await;
    let (upper, lower) = (won(&samsung, "stck_mxpr"), won(&samsung, "stck_llam"));
    let hynix = price(&caller, "000660").await;

    // Filled by the opening, filled later if at all, never, cancelled, amended, refused.
    odno(&buy(&caller, "005930", 10, upper).await);
    odno(&sell(&caller, "000660", 12, 0).await);
    let never = odno(&buy(&caller, "005930", 7, lower).await);
    let half = odno(&sell(&caller, "000660", 8, won(&hynix, "stck_mxpr")).await);
    odno(&revise(&caller, &revision("02", &half, Some(3), 0)).await);
    let amended = odno(&revise(&caller, &revision("01", &never, Some(2), upper)).await);
    odno(&buy(&caller, "005930", 1, upper + 1).await);
    let gone = revise(&caller, &revision("02", "999", None, 0)).await;
    assert_eq!((gone.body["rt_cd"].as_str(), gone.code()), (Some("7"), "APBK0918"));

    let open = caller.get("trading/inquire-psbl-rvsecncl", "TTTC0084R", &open_query()).await;
    let numbers: Vec<&str> =
        open.rows("output").iter().map(|r| r["odno"].as_str().unwrap()).collect();
    assert_eq!(numbers.len(), 5, "{numbers:?}");
    assert_eq!(numbers[0], amended);
    play(&sim).await;

    let pages = history(&caller).await;
    let (rows, sums) = (pages[0].rows("output1"), &pages[0].body["output2"]);
    assert_eq!((pages.len(), rows.len(), pages[0].tr_cont.as_str()), (1, 6, "D"));
    let mut totals = [0; 3];
    for row in rows {
        let n = |name| won(row, name);
        let parts = n("tot_ccld_qty") + n("rmn_qty") + n("cncl_cfrm_qty") + n("rjct_qty");
        assert_eq!(n("ord_qty"), parts, "{row}");
        let names = ["ord_qty", "tot_ccld_qty", "tot_ccld_amt"];
        for (total, name) in totals.iter_mut().zip(names) {
            *total += n(name);
        }
    }
    let names = ["tot_ord_qty", "tot_ccld_qty", "tot_ccld_amt"];
    assert_eq!(totals, names.map(|name| won(sums, name)));
    let of = |number: &str| rows.iter().find(|row| row["odno"] == number).unwrap();
    assert_eq!((won(of(&never), "cncl_cfrm_qty"), won(of(&never), "rmn_qty")), (2, 5));
    assert_eq!((won(of(&half), "cncl_cfrm_qty"), won(of(&half), "rmn_qty")), (3, 5));
    assert_eq!(of(&amended)["orgn_odno"], never.as_str());
    let open = won(&price(&caller, "005930").await, "stck_oprc");
    assert_eq!(won(of(&amended), "tot_ccld_amt"), 2 * open, "the opening auction's price");

    let balance = caller.get("trading/inquire-balance", "TTTC8434R", &balance_query()).await;
    let whole = &balance.body["output2"][0];
    let (mut value, mut cost) = (0, 0);
    for row in balance.rows("output1") {
        let code = row["pdno"].as_str().unwrap();
        assert_eq!(row["prpr"], price(&caller, code).await["stck_prpr"], "{code}");
        assert_eq!(won(row, "evlu_amt"), won(row, "prpr") * won(row, "hldg_qty"));
        assert_eq!(won(row, "evlu_pfls_amt"), won(row, "evlu_amt") - won(row, "pchs_amt"));
        value += won(row, "evlu_amt");
        cost += won(row, "pchs_amt");
    }
    let n = |name| won(whole, name);
    assert_eq!((n("scts_evlu_amt"), n("pchs_amt_smtl_amt")), (value, cost));
    assert_eq!(n("tot_evlu_amt"), value + n("prvs_rcdl_excc_amt"));
    let settled = n("dnca_tot_amt") - n("thdt_buy_amt") + n("thdt_sll_amt");
    assert_eq!((n("dnca_tot_amt"), n("prvs_rcdl_excc_amt")), (100_000_000, settled));
    assert_eq!(n("asst_icdc_amt"), n("tot_evlu_amt") - n("bfdy_tot_asst_evlu_amt"));
    let row = |code: &str| balance.rows("output1").iter().find(|row| row["pdno"] == code).unwrap();
    assert_eq!(won(row("005930"), "hldg_qty"), 12);
    assert_eq!((won(row("000660"), "hldg_qty"), won(row("000660"), "ord_psbl_qty")), (18, 13));

    let mut query = ACCOUNT.to_vec();
    query.extend([("PDNO", "005930"), ("ORD_UNPR", "50000"), ("ORD_DVSN", "00")]);
    query.extend([("CMA_EVLU_AMT_ICLD_YN", "N"), ("OVRS_ICLD_YN", "N")]);
    let power = caller.get("trading/inquire-psbl-order", "TTTC8908R", &query).await;
    let cash = won(&power.body["output"], "ord_psbl_cash");
    assert_eq!(cash, settled - 5 * lower, "what is open is reserved");
    assert_eq!(won(&power.body["output"], "nrcvb_buy_qty"), cash / 50_000);

    let closed = buy(&caller, "005930", 1, upper).await;
    assert_eq!(closed.code(), "APBK0918", "the market has closed");
    sim.stop().await;
}

#[tokio::test]
async fn orders_are_refused_as_kis_does() {
    let sim = start(fast()).await;
    let caller = Caller::new(&sim, KEYS).await;
    let upper = won(&price(&caller, "005930").await, "stck_mxpr");
    for (reply, code, text) in [
        (buy(&caller, "005930", 100_000, upper).await, "APBK0952", "주문가능금액을 초과 했습니다"),
        (sell(&caller, "005930", 1, 0).await, "APBK0400", "주문 가능한 수량을 초과했습니다"),
        (buy(&caller, "999999", 1, 1_000).await, "APBK0656", "해당종목정보가 없습니다"),
    ] {
        assert_eq!((reply.status, reply.code()), (200, code));
        assert_eq!(reply.body["rt_cd"], "7");
        let message = reply.body["msg1"].as_str().unwrap();
        assert_eq!(message.trim_end(), text);
        let columns: usize = message.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum();
        assert_eq!(columns, 80, "padded");
        assert!(reply.body.get("output").is_none());
    }
    // A market order is checked against the upper limit price.
    let most = 100_000_000 / upper;
    assert_eq!(buy(&caller, "005930", most + 1, 0).await.code(), "APBK0952");
    for (name, value, code) in [
        ("ORD_DVSN", "22", "OPSQ2002"),
        ("ORD_QTY", "0", "OPSQ2002"),
        ("ORD_QTY", "-5", "OPSQ2002"),
        ("ORD_UNPR", "99999999999999999999", "OPSQ2002"),
        ("EXCG_ID_DVSN_CD", "NXT", "APBK0656"),
        ("CANO", "5000000", "OPSQ2000"),
    ] {
        let mut body = order("005930", 1, upper);
        body[name] = value.into();
        let reply = caller.post("trading/order-cash", "TTTC0012U", &body).await;
        assert_eq!(reply.code(), code, "{name}={value}");
    }
    let mut lower_case = order("005930", 1, upper);
    let quantity = lower_case.as_object_mut().unwrap().remove("ORD_QTY").unwrap();
    lower_case["ord_qty"] = quantity;
    let reply = caller.post("trading/order-cash", "TTTC0012U", &lower_case).await;
    assert_eq!(reply.body["msg1"], "ERROR INPUT FIELD NOT FOUND [ORD_QTY]");
    assert_eq!(caller.post("trading/order-cash", "TTTC0012U", &json!([1])).await.status, 500);
    // The older TR IDs go as well, and nothing above has left an order.
    let old = caller.post("trading/order-cash", "TTTC0802U", &order("005930", 1, upper)).await;
    odno(&old);
    let query = history_query();
    let rows = caller.get("trading/inquire-daily-ccld", "TTTC8001R", &query).await;
    assert_eq!(rows.rows("output1").len(), 1);
    let older = caller.get("trading/inquire-daily-ccld", "CTSC9115R", &query).await;
    assert_eq!((older.code(), older.rows("output1").len()), ("KIOK0560", 0));
    sim.stop().await;
}

#[tokio::test]
async fn pages_hold_every_order_once() {
    let sim = start(SimOptions { cash: 10_000_000_000, ..fast() }).await;
    let caller = Caller::new(&sim, KEYS).await;
    let lower = won(&price(&caller, "005930").await, "stck_llam");
    for _ in 0..220 {
        odno(&buy(&caller, "005930", 1, lower).await);
    }
    let pages = history(&caller).await;
    let states: Vec<&str> = pages.iter().map(|page| page.tr_cont.as_str()).collect();
    assert_eq!(states, ["F", "M", "D"]);
    let codes: Vec<&str> = pages.iter().map(Reply::code).collect();
    assert_eq!(codes, ["KIOK0500", "KIOK0500", "KIOK0460"]);
    let rows: Vec<&Value> = pages.iter().flat_map(|page| page.rows("output1")).collect();
    let numbers: Vec<i64> = rows.iter().map(|row| won(row, "odno")).collect();
    let expected: Vec<i64> = (1..=220).rev().collect();
    assert_eq!(numbers, expected, "newest first");
    assert!(pages.iter().all(|page| won(&page.body["output2"], "tot_ord_qty") == 220));
    let open = caller.pages("trading/inquire-psbl-rvsecncl", "TTTC0084R", &open_query()).await;
    assert_eq!(open.iter().map(|page| page.rows("output").len()).sum::<usize>(), 220);
    assert_eq!(open[0].rows("output").len(), 50);
    // Asked for more behind the last page.
    let mut query = history_query();
    query.retain(|(name, _)| *name != "CTX_AREA_NK100");
    query.push(("CTX_AREA_NK100", "20260101^06010^0000000000^"));
    let behind = caller.page("trading/inquire-daily-ccld", "TTTC0081R", &query, "N").await;
    assert_eq!((behind.tr_cont.as_str(), behind.code()), ("E", "KIOK0560"));
    sim.stop().await;
}

#[tokio::test]
async fn paper_trading_has_its_own_words_and_pages() {
    let probe = start(fast()).await;
    let codes: Vec<_> = probe.references.iter().map(|reference| reference.symbol).collect();
    probe.stop().await;
    let held = |symbol: &_| SimHolding { symbol: *symbol, quantity: 1, average_price: 1_000 };
    let holdings = codes.iter().map(held).collect::<Vec<_>>();
    let sim = start(SimOptions { env: SimEnv::Mock, holdings, ..fast() }).await;
    let caller = Caller::new(&sim, KEYS).await;
    let upper = won(&price(&caller, "005930").await, "stck_mxpr");
    for (tr_id, code) in [
        ("VTTC0012U", "40600000"),
        ("VTTC0802U", "40600000"),
        ("VTTC0011U", "40590000"),
        ("TTTC0012U", "EGW02004"),
        ("VTTC9999U", "OPSQ0002"),
    ] {
        let reply = caller.post("trading/order-cash", tr_id, &order("005930", 1, upper)).await;
        assert_eq!(reply.code(), code, "{tr_id}");
        if code == "40600000" {
            assert_eq!(reply.body["output"]["KRX_FWDG_ORD_ORGNO"], "00950");
        }
    }
    for _ in 0..20 {
        caller.post("trading/order-cash", "VTTC0012U", &order("005930", 1, upper)).await;
    }
    let pages = caller.pages("trading/inquire-daily-ccld", "VTTC0081R", &history_query()).await;
    assert_eq!(pages[0].rows("output1").len(), 15);
    assert!(pages.iter().all(|page| page.code() == "20310000"));
    let pages = caller.pages("trading/inquire-balance", "VTTC8434R", &balance_query()).await;
    let rows: Vec<&str> = pages
        .iter()
        .flat_map(|page| page.rows("output1"))
        .map(|row| row["pdno"].as_str().unwrap())
        .collect();
    assert_eq!(pages[0].rows("output1").len(), codes.len().min(20));
    let mut expected: Vec<&str> = codes.iter().map(crate::market::Symbol::as_str).collect();
    expected.sort_unstable();
    assert_eq!(rows, expected);
    play(&sim).await;
    let closed = caller.post("trading/order-cash", "VTTC0012U", &order("005930", 1, upper)).await;
    assert_eq!((closed.body["rt_cd"].as_str(), closed.code()), (Some("1"), "40580000"));
    sim.stop().await;
}

//! The account's inquiries: balance, orders and fills, buying power, open orders.

use serde_json::{Value, json};

use crate::kis::sim::calls::{Fields, put, time};
use crate::kis::sim::notices::branch;
use crate::kis::sim::options::SimEnv;
use crate::kis::sim::playback::Playback;
use crate::kis::sim::request::{Answer, Refusal, Request, padded, padded_message};
use crate::kis::sim::state::ratio;
use crate::kis::sim::text::{dec2_text, decimal_text};
use crate::market::Won;

use super::ledger::{Holding, Order, OrderSide, SimAccount};
use super::orders::{at_desk, standing};

const CONTEXT: usize = 100;

/// What `inquire-balance` must name.
pub(crate) const BALANCE: &[&str] = &[
    "CANO",
    "ACNT_PRDT_CD",
    "AFHR_FLPR_YN",
    "OFL_YN",
    "INQR_DVSN",
    "UNPR_DVSN",
    "FUND_STTL_ICLD_YN",
    "FNCG_AMT_AUTO_RDPT_YN",
    "PRCS_DVSN",
    "CTX_AREA_FK100",
    "CTX_AREA_NK100",
];
/// What `inquire-daily-ccld` must name.
pub(crate) const HISTORY: &[&str] = &[
    "CANO",
    "ACNT_PRDT_CD",
    "INQR_STRT_DT",
    "INQR_END_DT",
    "SLL_BUY_DVSN_CD",
    "PDNO",
    "CCLD_DVSN",
    "INQR_DVSN",
    "INQR_DVSN_3",
    "CTX_AREA_FK100",
    "CTX_AREA_NK100",
];
/// What `inquire-psbl-order` must name.
pub(crate) const BUYING_POWER: &[&str] = &[
    "CANO",
    "ACNT_PRDT_CD",
    "PDNO",
    "ORD_UNPR",
    "ORD_DVSN",
    "CMA_EVLU_AMT_ICLD_YN",
    "OVRS_ICLD_YN",
];
/// What `inquire-psbl-rvsecncl` must name.
pub(crate) const OPEN_ORDERS: &[&str] =
    &["CANO", "ACNT_PRDT_CD", "CTX_AREA_FK100", "CTX_AREA_NK100", "INQR_DVSN_1", "INQR_DVSN_2"];

/// One page of rows, and where the next begins.
struct Page<T> {
    rows: Vec<T>,
    /// Key of the last row, when more follow.
    next: String,
    first: bool,
}

impl<T> Page<T> {
    /// The rows behind the one that the request's `CTX_AREA_NK100` names, at most `size`, in the
    /// order of their keys. That row need not be there any more.
    fn cut(
        request: &Request,
        mut rows: Vec<T>,
        (size, descending): (usize, bool),
        key: impl Fn(&T) -> String,
    ) -> Self {
        rows.sort_by_cached_key(&key);
        if descending {
            rows.reverse();
        }
        let after = request.get("CTX_AREA_NK100").trim();
        let first = !request.continues || after.is_empty();
        let passed = |row: &T| match descending {
            true => key(row).as_str() >= after,
            false => key(row).as_str() <= after,
        };
        let skipped = if first { 0 } else { rows.partition_point(passed) };
        let more = rows.len() > skipped + size;
        let rows: Vec<T> = rows.into_iter().skip(skipped).take(size).collect();
        let next = rows.last().filter(|_| more).map(&key).unwrap_or_default();
        Self { rows, next, first }
    }

    /// The answer: paging state, code and text follow from the page.
    fn answer(&self, request: &Request, mut body: Value, filter: &str) -> Answer {
        let context = |text: &str| Value::String(padded(text, CONTEXT));
        body["ctx_area_fk100"] = context(filter);
        body["ctx_area_nk100"] = context(&self.next);
        let more = !self.next.is_empty();
        let (code, text) = match (more, self.first, self.rows.is_empty()) {
            _ if request.env() == SimEnv::Mock => {
                ("20310000", padded_message("모의투자 조회가 완료되었습니다."))
            }
            (true, ..) => ("KIOK0500", "조회가 계속됩니다..다음버튼을 Click 하십시오.".into()),
            (false, _, true) => ("KIOK0560", padded_message("조회할 내용이 없습니다")),
            (false, false, _) => ("KIOK0460", padded_message("조회 되었습니다. (마지막 자료)")),
            (false, true, _) => ("KIOK0510", padded_message("조회가 완료되었습니다")),
        };
        let tr_cont = match (more, self.first, self.rows.is_empty()) {
            (true, true, _) => "F",
            (true, false, _) => "M",
            (false, false, true) => "E",
            (false, ..) => "D",
        };
        Answer { tr_cont, ..Answer::new(body, code, text) }
    }
}

const fn page_size(env: SimEnv, real: usize, paper: usize) -> usize {
    match env {
        SimEnv::Real => real,
        SimEnv::Mock => paper,
    }
}

fn price_of(playback: &Playback, issue: u32) -> Won {
    let (about, state) = (&playback.day.issues[issue as usize], &playback.issues[issue as usize]);
    if state.trades == 0 { about.base_price } else { state.price }
}

/// `inquire-balance`.
pub(crate) fn balance(request: &Request) -> Result<Answer, Refusal> {
    at_desk(request, |desk| {
        let (playback, account) = (desk.playback, &*desk.account);
        let code = |issue: u32| playback.day.issues[issue as usize].symbol;
        let held: Vec<(u32, Holding)> =
            account.holdings.iter().map(|(issue, holding)| (*issue, *holding)).collect();
        let empty = held.is_empty();
        let size = page_size(request.env(), 50, 20);
        let key = |(issue, _): &(u32, Holding)| format!("{}^", code(*issue));
        let page = Page::cut(request, held, (size, false), key);
        let row = |(issue, holding): &(u32, Holding)| {
            let sellable = account.sellable(*issue);
            Value::Object(position(playback, *issue, holding, sellable))
        };
        let rows: Vec<Value> = page.rows.iter().map(row).collect();
        let body = json!({
            "ctx_area_fk100": "",
            "ctx_area_nk100": "",
            "output1": rows,
            "output2": [sums(playback, account)],
        });
        let names = ["CANO", "ACNT_PRDT_CD", "AFHR_FLPR_YN", "FNCG_AMT_AUTO_RDPT_YN"];
        let names = names.into_iter().chain(["INQR_DVSN", "UNPR_DVSN", "FUND_STTL_ICLD_YN"]);
        let filter: String = names.map(|name| format!("{}^", request.get(name))).collect();
        Ok(page.answer(request, body, if empty { "" } else { &filter }))
    })
}

fn position(playback: &Playback, issue: u32, holding: &Holding, sellable: i64) -> Fields {
    let (about, price) = (&playback.day.issues[issue as usize], price_of(playback, issue));
    let value = price * holding.quantity;
    let profit = value - holding.cost;
    let change = price - about.base_price;
    let mut row = Fields::new();
    put(&mut row, "pdno", about.symbol);
    put(&mut row, "prdt_name", &about.name);
    put(&mut row, "trad_dvsn_name", "현금");
    put(&mut row, "bfdy_buy_qty", 0);
    put(&mut row, "bfdy_sll_qty", 0);
    put(&mut row, "thdt_buyqty", holding.bought);
    put(&mut row, "thdt_sll_qty", holding.sold);
    put(&mut row, "hldg_qty", holding.quantity);
    put(&mut row, "ord_psbl_qty", sellable);
    let average = ratio(holding.cost, holding.quantity, 10_000);
    put(&mut row, "pchs_avg_pric", decimal_text(average, 4));
    put(&mut row, "pchs_amt", holding.cost);
    put(&mut row, "prpr", price);
    put(&mut row, "evlu_amt", value);
    put(&mut row, "evlu_pfls_amt", profit);
    put(&mut row, "evlu_pfls_rt", dec2_text(ratio(profit, holding.cost, 10_000)));
    put(&mut row, "evlu_erng_rt", decimal_text(0, 8));
    put(&mut row, "loan_dt", "");
    put(&mut row, "loan_amt", 0);
    put(&mut row, "stln_slng_chgs", 0);
    put(&mut row, "expd_dt", "");
    put(&mut row, "fltt_rt", decimal_text(ratio(change, about.base_price, 10_000_000_000), 8));
    put(&mut row, "bfdy_cprs_icdc", change);
    put(&mut row, "item_mgna_rt_name", "");
    put(&mut row, "grta_rt_name", "");
    put(&mut row, "sbst_pric", about.base_price * 8 / 10);
    put(&mut row, "stck_loan_unpr", decimal_text(0, 4));
    row
}

fn sums(playback: &Playback, account: &SimAccount) -> Fields {
    let held = |of: fn(Won, &Holding) -> Won| -> Won {
        let rows = account.holdings.iter();
        rows.map(|(issue, holding)| of(price_of(playback, *issue), holding)).sum()
    };
    let (value, cost) = (held(|price, h| price * h.quantity), held(|_, h| h.cost));
    let yesterday = account.holdings.iter().map(|(issue, holding)| {
        playback.day.issues[*issue as usize].base_price * holding.yesterday
    });
    let before = account.deposit + yesterday.sum::<Won>();
    let whole = value + account.settled();
    let mut out = Fields::new();
    put(&mut out, "dnca_tot_amt", account.deposit);
    put(&mut out, "nxdy_excc_amt", account.deposit);
    put(&mut out, "prvs_rcdl_excc_amt", account.settled());
    for name in ["cma_evlu_amt", "bfdy_buy_amt"] {
        put(&mut out, name, 0);
    }
    put(&mut out, "thdt_buy_amt", account.bought);
    for name in ["nxdy_auto_rdpt_amt", "bfdy_sll_amt"] {
        put(&mut out, name, 0);
    }
    put(&mut out, "thdt_sll_amt", account.sold);
    for name in ["d2_auto_rdpt_amt", "bfdy_tlex_amt", "thdt_tlex_amt", "tot_loan_amt"] {
        put(&mut out, name, 0);
    }
    put(&mut out, "scts_evlu_amt", value);
    put(&mut out, "tot_evlu_amt", whole);
    put(&mut out, "nass_amt", whole);
    put(&mut out, "fncg_gld_auto_rdpt_yn", "");
    put(&mut out, "pchs_amt_smtl_amt", cost);
    put(&mut out, "evlu_amt_smtl_amt", value);
    put(&mut out, "evlu_pfls_smtl_amt", value - cost);
    put(&mut out, "tot_stln_slng_chgs", 0);
    put(&mut out, "bfdy_tot_asst_evlu_amt", before);
    put(&mut out, "asst_icdc_amt", whole - before);
    put(&mut out, "asst_icdc_erng_rt", decimal_text(0, 8));
    out
}

/// `inquire-daily-ccld`. There are orders of the played day only, so `older` finds none.
pub(crate) fn history(request: &Request, older: bool) -> Result<Answer, Refusal> {
    let (from, to) = (request.day("INQR_STRT_DT")?, request.day("INQR_END_DT")?);
    let side = request.choice("SLL_BUY_DVSN_CD", &["00", "01", "02"])?;
    let filled = request.choice("CCLD_DVSN", &["00", "01", "02"])?;
    let oldest_first = request.choice("INQR_DVSN", &["00", "01"])? == 1;
    let cash = matches!(request.get("INQR_DVSN_3"), "" | "00" | "01");
    let exchange = matches!(request.get("EXCG_ID_DVSN_CD"), "" | "KRX" | "ALL");
    let number: Option<u32> = request.optional("ODNO")?;
    let product = request.get("PDNO");
    at_desk(request, |desk| {
        let (playback, day) = (desk.playback, desk.playback.session_day());
        let code = |order: &Order| playback.day.issues[order.issue as usize].symbol;
        let within = !older && cash && exchange && (from..=to).contains(&day);
        let wanted = |order: &&Order| {
            within
                && (product.is_empty() || code(order).as_str() == product)
                && number.is_none_or(|number| number == order.number)
                && (side == 0 || (side == 2) == (order.side == OrderSide::Buy))
                && match filled {
                    0 => true,
                    1 => order.filled > 0,
                    _ => order.open() > 0,
                }
        };
        let orders: Vec<Order> = desk.account.orders.iter().filter(wanted).copied().collect();
        let total = totals(&orders);
        let branch = branch(request.env());
        let size = page_size(request.env(), 100, 15);
        let key = |order: &Order| format!("{}^{branch}^{:010}^", day.yyyymmdd(), order.number);
        let page = Page::cut(request, orders, (size, !oldest_first), key);
        let rows = page.rows.iter().map(|order| Value::Object(order_row(playback, branch, order)));
        let body = json!({
            "ctx_area_fk100": "",
            "ctx_area_nk100": "",
            "output1": rows.collect::<Vec<_>>(),
            "output2": total,
        });
        let filter = format!(
            "{}^{}^{}^{}^{}^{}^{}^",
            request.get("CANO"),
            request.get("ACNT_PRDT_CD"),
            from.yyyymmdd(),
            to.yyyymmdd(),
            if product.is_empty() { " " } else { product },
            request.get("SLL_BUY_DVSN_CD"),
            request.get("CCLD_DVSN"),
        );
        Ok(page.answer(request, body, &filter))
    })
}

fn totals(orders: &[Order]) -> Fields {
    let sum = |of: fn(&Order) -> i64| -> i64 { orders.iter().map(of).sum() };
    let (filled, value) = (sum(|order| order.filled), sum(|order| order.filled_value));
    let mut out = Fields::new();
    put(&mut out, "tot_ord_qty", sum(|order| order.quantity));
    put(&mut out, "tot_ccld_qty", filled);
    put(&mut out, "tot_ccld_amt", value);
    put(&mut out, "prsm_tlex_smtl", 0);
    put(&mut out, "pchs_avg_pric", decimal_text(ratio(value, filled, 10_000), 4));
    out
}

fn original(order: &Order) -> String {
    order.original.map(|number| format!("{number:010}")).unwrap_or_default()
}

const fn kind_name(order: &Order) -> &'static str {
    if order.price == 0 { "시장가" } else { "지정가" }
}

/// Average price of the fills: an integer when it is one.
fn average(order: &Order) -> String {
    let average = ratio(order.filled_value, order.filled, 10_000);
    if average % 10_000 == 0 { (average / 10_000).to_string() } else { decimal_text(average, 4) }
}

fn order_row(playback: &Playback, branch: &str, order: &Order) -> Fields {
    let issue = &playback.day.issues[order.issue as usize];
    let mut row = Fields::new();
    put(&mut row, "ord_dt", playback.session_day().yyyymmdd());
    put(&mut row, "ord_gno_brno", branch);
    put(&mut row, "odno", format!("{:010}", order.number));
    put(&mut row, "orgn_odno", original(order));
    put(&mut row, "ord_dvsn_name", kind_name(order));
    put(&mut row, "sll_buy_dvsn_cd", order.side.code());
    let side = if order.side == OrderSide::Buy { "현금매수" } else { "현금매도" };
    put(&mut row, "sll_buy_dvsn_cd_name", side);
    put(&mut row, "pdno", issue.symbol);
    put(&mut row, "prdt_name", &issue.name);
    put(&mut row, "ord_qty", order.quantity);
    put(&mut row, "ord_unpr", order.price);
    put(&mut row, "ord_tmd", time(order.at_ms));
    put(&mut row, "tot_ccld_qty", order.filled);
    put(&mut row, "avg_prvs", average(order));
    put(&mut row, "cncl_yn", "");
    put(&mut row, "tot_ccld_amt", order.filled_value);
    put(&mut row, "loan_dt", "");
    put(&mut row, "ordr_empno", "OpnAPI");
    put(&mut row, "ord_dvsn_cd", order.kind());
    put(&mut row, "cncl_cfrm_qty", order.cancelled);
    put(&mut row, "rmn_qty", order.open());
    put(&mut row, "rjct_qty", order.refused);
    put(&mut row, "ccld_cndt_name", "없음");
    put(&mut row, "inqr_ip_addr", "127.000.000.001");
    let unused = ["cpbc_ordp_ord_rcit_dvsn_cd", "cpbc_ordp_infm_mthd_dvsn_cd", "infm_tmd"];
    for name in unused.into_iter().chain(["ctac_tlno"]) {
        put(&mut row, name, "");
    }
    put(&mut row, "prdt_type_cd", "300");
    put(&mut row, "excg_dvsn_cd", "02");
    put(&mut row, "cpbc_ordp_mtrl_dvsn_cd", "");
    put(&mut row, "ord_orgno", "00000");
    put(&mut row, "rsvn_ord_end_dt", "");
    put(&mut row, "excg_id_dvsn_cd", "KRX");
    put(&mut row, "stpm_cndt_pric", 0);
    put(&mut row, "stpm_efct_occr_dtmd", "");
    row
}

/// `inquire-psbl-order`.
pub(crate) fn buying_power(request: &Request) -> Result<Answer, Refusal> {
    let limit = request.choice("ORD_DVSN", &["00", "01"])? == 0;
    let asked: Option<Won> = request.optional("ORD_UNPR")?;
    at_desk(request, |desk| {
        let (cash, code) = (desk.account.available(), request.get("PDNO"));
        let issues = &desk.playback.day.issues;
        let issue = issues.iter().position(|issue| issue.symbol.as_str() == code);
        let price = match (issue, asked) {
            (None, _) if !code.is_empty() => {
                return Err(Refusal::broker("7", "APBK0656", "해당종목정보가 없습니다"));
            }
            (_, Some(asked)) if limit => asked,
            // A market order is checked against the upper limit price.
            (Some(issue), _) if !limit => standing(desk.playback, issue as u32, 0).upper,
            // Without an issue or a price only the amount is told.
            (_, _) => 0,
        };
        let quantity = if price > 0 && issue.is_some() { cash / price } else { 0 };
        let mut out = Fields::new();
        put(&mut out, "ord_psbl_cash", cash);
        put(&mut out, "ord_psbl_sbst", 0);
        put(&mut out, "ruse_psbl_amt", desk.account.sold);
        put(&mut out, "fund_rpch_chgs", 0);
        put(&mut out, "psbl_qty_calc_unpr", price);
        put(&mut out, "nrcvb_buy_amt", cash);
        put(&mut out, "nrcvb_buy_qty", quantity);
        put(&mut out, "max_buy_amt", cash);
        put(&mut out, "max_buy_qty", quantity);
        for name in ["cma_evlu_amt", "ovrs_re_use_amt_wcrc", "ord_psbl_frcr_amt_wcrc"] {
            put(&mut out, name, 0);
        }
        let (code, text) = match request.env() {
            SimEnv::Real => ("KIOK0420", "정상적으로 조회되었습니다"),
            SimEnv::Mock => ("20310000", "모의투자 조회가 완료되었습니다."),
        };
        Ok(Answer::new(json!({ "output": out }), code, padded_message(text)))
    })
}

/// `inquire-psbl-rvsecncl`.
pub(crate) fn open_orders(request: &Request) -> Result<Answer, Refusal> {
    let by_issue = request.choice("INQR_DVSN_1", &["0", "1"])? == 1;
    let side = request.choice("INQR_DVSN_2", &["0", "1", "2"])?;
    at_desk(request, |desk| {
        let playback = desk.playback;
        let wanted = |order: &&Order| side == 0 || (side == 2) == (order.side == OrderSide::Buy);
        let orders: Vec<Order> = desk.account.open_orders().filter(wanted).copied().collect();
        let symbol = |order: &Order| playback.day.issues[order.issue as usize].symbol;
        let key = |order: &Order| match by_issue {
            true => format!("{}^{:010}^", symbol(order), order.number),
            false => format!("{:010}^", order.number),
        };
        let page = Page::cut(request, orders, (50, !by_issue), key);
        let branch = branch(request.env());
        let rows = page.rows.iter().map(|order| Value::Object(open_row(playback, branch, order)));
        let body = json!({
            "ctx_area_fk100": "",
            "ctx_area_nk100": "",
            "output": rows.collect::<Vec<_>>(),
        });
        let filter = format!("{}^{}^", request.get("CANO"), request.get("ACNT_PRDT_CD"));
        Ok(page.answer(request, body, &filter))
    })
}

fn open_row(playback: &Playback, branch: &str, order: &Order) -> Fields {
    let issue = &playback.day.issues[order.issue as usize];
    let mut row = Fields::new();
    put(&mut row, "ord_gno_brno", branch);
    put(&mut row, "odno", format!("{:010}", order.number));
    put(&mut row, "orgn_odno", original(order));
    put(&mut row, "ord_dvsn_name", kind_name(order));
    put(&mut row, "pdno", issue.symbol);
    put(&mut row, "prdt_name", &issue.name);
    let revision = if order.original.is_some() { "정정" } else { "" };
    put(&mut row, "rvse_cncl_dvsn_name", revision);
    put(&mut row, "ord_qty", order.quantity);
    put(&mut row, "ord_unpr", order.price);
    put(&mut row, "ord_tmd", time(order.at_ms));
    put(&mut row, "tot_ccld_qty", order.filled);
    put(&mut row, "tot_ccld_amt", order.filled_value);
    put(&mut row, "psbl_qty", order.open());
    put(&mut row, "sll_buy_dvsn_cd", order.side.code());
    put(&mut row, "ord_dvsn_cd", order.kind());
    put(&mut row, "mgco_aptm_odno", "");
    put(&mut row, "excg_dvsn_cd", "02");
    put(&mut row, "excg_id_dvsn_cd", "KRX");
    put(&mut row, "excg_id_dvsn_name", "KRX");
    put(&mut row, "stpm_cndt_pric", 0);
    put(&mut row, "stpm_efct_occr_yn", "");
    row
}

//! Orders, amendments and cancellations as KIS takes them.

use serde_json::json;

use crate::kis::sim::day::{hhmmss, ms};
use crate::kis::sim::notices::branch;
use crate::kis::sim::options::SimEnv;
use crate::kis::sim::playback::Playback;
use crate::kis::sim::request::{Answer, Refusal, Request};
use crate::market::{Won, rules};

use super::Desk;
use super::ledger::{NewOrder, OrderRefusal, OrderSide, Standing};

/// Orders are taken from here to the close.
const FROM: u32 = (8 * 60 + 30) * 60_000;
/// More shares, or won a share, than any order has.
const MOST: i64 = 1_000_000_000;

/// What `order-cash` must name.
pub(crate) const ORDER: &[&str] =
    &["CANO", "ACNT_PRDT_CD", "PDNO", "ORD_DVSN", "ORD_QTY", "ORD_UNPR"];
/// What `order-rvsecncl` must name.
pub(crate) const REVISION: &[&str] = &[
    "CANO",
    "ACNT_PRDT_CD",
    "KRX_FWDG_ORD_ORGNO",
    "ORGN_ODNO",
    "ORD_DVSN",
    "RVSE_CNCL_DVSN_CD",
    "ORD_QTY",
    "ORD_UNPR",
    "QTY_ALL_ORD_YN",
];

/// Runs `work` at the desk of the account that the request names.
pub(super) fn at_desk<R>(
    request: &Request,
    work: impl FnOnce(&mut Desk) -> Result<R, Refusal>,
) -> Result<R, Refusal> {
    let (account, product) = (request.get("CANO"), request.get("ACNT_PRDT_CD"));
    let wrong = || Refusal::input("OPSQ2000", "ERROR : INPUT INVALID_CHECK_ACNO".into());
    if (account.len(), product.len()) != (8, 2) {
        return Err(wrong());
    }
    let (shared, number) = (request.shared, format!("{account}{product}"));
    let owner = (request.app_key, number.as_str());
    match shared.accounts.at_desk(&shared.playback, &shared.outbox, owner, work) {
        Ok(result) => result,
        Err(super::WrongAccount) => Err(wrong()),
    }
}

/// `order-cash`.
pub(crate) fn place(request: &Request) -> Result<Answer, Refusal> {
    let side = match request.tr_id {
        "TTTC0012U" | "TTTC0802U" | "VTTC0012U" | "VTTC0802U" => OrderSide::Buy,
        _ => OrderSide::Sell,
    };
    let price = asked_price(request)?;
    let quantity = amount(request, "ORD_QTY")?;
    at_desk(request, |desk| {
        open_for_orders(request, desk.playback)?;
        let issue = traded_issue(request, desk.playback)?;
        let market = standing(desk.playback, issue, price);
        let number = desk.next_number();
        let new = NewOrder { number, issue, side, price, quantity };
        let order = desk.account.place(new, &market).map_err(refused)?;
        Ok(accepted(request.env(), Some(side), order.number, market.at_ms))
    })
}

/// `order-rvsecncl`.
pub(crate) fn revise(request: &Request) -> Result<Answer, Refusal> {
    let amends = request.choice("RVSE_CNCL_DVSN_CD", &["01", "02"])? == 0;
    let all = request.choice("QTY_ALL_ORD_YN", &["Y", "N"])? == 0;
    let original = request.parsed("ORGN_ODNO")?;
    let price = if amends { asked_price(request)? } else { 0 };
    let quantity = if all { None } else { Some(amount(request, "ORD_QTY")?) };
    at_desk(request, |desk| {
        open_for_orders(request, desk.playback)?;
        let number = desk.next_number();
        let at_ms = desk.playback.now_ms;
        if amends {
            let order = desk.account.orders.iter().find(|order| order.number == original);
            let issue = order.ok_or(OrderRefusal::NotOpen).map_err(refused)?.issue;
            let market = standing(desk.playback, issue, price);
            let amended = desk.account.amend(number, original, (price, quantity), &market);
            amended.map_err(refused)?;
        } else {
            desk.account.cancel(number, original, quantity, at_ms).map_err(refused)?;
        }
        Ok(accepted(request.env(), None, number, at_ms))
    })
}

fn accepted(env: SimEnv, side: Option<OrderSide>, number: u32, at_ms: u32) -> Answer {
    let (code, text) = match (env, side) {
        (SimEnv::Mock, Some(OrderSide::Buy)) => {
            ("40600000", "모의투자 매수주문이 완료 되었습니다.")
        }
        (SimEnv::Mock, Some(OrderSide::Sell)) => {
            ("40590000", "모의투자 매도주문이 완료 되었습니다.")
        }
        // What paper trading says to an amendment is not known: as in real.
        (SimEnv::Real, _) | (SimEnv::Mock, None) => ("APBK0013", "주문 전송 완료 되었습니다."),
    };
    let output = json!({
        "KRX_FWDG_ORD_ORGNO": branch(env),
        "ODNO": format!("{number:010}"),
        "ORD_TMD": format!("{:06}", hhmmss(at_ms)),
    });
    Answer { envelope_first: true, ..Answer::new(json!({ "output": output }), code, text) }
}

fn refused(refusal: OrderRefusal) -> Refusal {
    let (code, text) = match refusal {
        OrderRefusal::Cash => ("APBK0952", "주문가능금액을 초과 했습니다"),
        OrderRefusal::Quantity => ("APBK0400", "주문 가능한 수량을 초과했습니다"),
        // This code also carries refusals that have none of their own.
        OrderRefusal::NotOpen => ("APBK0918", "정정취소 가능한 주문이 없습니다"),
    };
    Refusal::broker("7", code, text)
}

/// A whole number of shares, or won a share, above 0.
fn amount(request: &Request, name: &str) -> Result<i64, Refusal> {
    let value: i64 = request.parsed(name)?;
    if (1..=MOST).contains(&value) {
        Ok(value)
    } else {
        Err(Refusal::size(name, request.get(name)))
    }
}

/// The limit price; 0 for a market order. No other kind of order is simulated.
fn asked_price(request: &Request) -> Result<Won, Refusal> {
    match request.choice("ORD_DVSN", &["00", "01"])? {
        0 => amount(request, "ORD_UNPR"),
        _ => Ok(0),
    }
}

fn open_for_orders(request: &Request, playback: &Playback) -> Result<(), Refusal> {
    let paper = request.env() == SimEnv::Mock;
    let broker = Refusal::broker;
    if playback.session_day().is_weekend() {
        return Err(match paper {
            true => broker("1", "40100000", "모의투자 영업일이 아닙니다."),
            false => broker("7", "APBK0919", "장운영일자가 주문일과 상이합니다"),
        });
    }
    let hours = FROM..ms(rules::CLOSE);
    if hours.contains(&playback.now_ms) && playback.next_at().is_some() {
        return Ok(());
    }
    Err(match paper {
        true => broker("1", "40580000", "모의투자 장종료 입니다."),
        false => broker("7", "APBK0918", "장운영시간이 아닙니다.(주문불가)"),
    })
}

/// The issue to be traded. Only KRX is played, which smart routing (`SOR`) reaches as well.
fn traded_issue(request: &Request, playback: &Playback) -> Result<u32, Refusal> {
    let exchange = match request.get("EXCG_ID_DVSN_CD") {
        "" | "KRX" => true,
        "SOR" => request.env() == SimEnv::Real,
        _ => false,
    };
    let issues = &playback.day.issues;
    let found = issues.iter().position(|issue| issue.symbol.as_str() == request.get("PDNO"));
    match found {
        Some(at) if exchange => Ok(at as u32),
        _ => Err(Refusal::broker("7", "APBK0656", "해당종목정보가 없습니다")),
    }
}

/// How the market of an issue stands to an order at `price` (0: a market order).
pub(super) fn standing(playback: &Playback, issue: u32, price: Won) -> Standing {
    let (about, state) = (&playback.day.issues[issue as usize], &playback.issues[issue as usize]);
    let day = playback.session_day();
    let on_tick = rules::floor_to_tick(day, about.market, price) == price;
    let within = (about.limits.0..=about.limits.1).contains(&price);
    // Orders of an interruption or a breaker wait for its auction.
    let quoted = state.trades > 0 && !state.interrupted && !state.halted;
    Standing {
        at_ms: playback.now_ms,
        ask: if quoted { state.ask } else { 0 },
        bid: if quoted { state.bid } else { 0 },
        upper: about.limits.1,
        tradable: !about.halted && !state.halted && (price == 0 || (on_tick && within)),
    }
}

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::kis::Endpoint;
use crate::market::{EventTime, TimeOfDay};

fn raw(endpoint: Endpoint, text: impl Into<String>) -> Raw {
    Raw::archived(endpoint, text.into().into(), EventTime::from_micros(0))
}

/// A sample as an answer; `None`, said aloud, when the samples are not at hand.
fn sample(endpoint: Endpoint, name: &str) -> Option<Raw> {
    let root = std::env::var_os("BONGSU_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let path = root.join("kis/samples/rest").join(name);
    match std::fs::read_to_string(path) {
        Ok(text) => Some(raw(endpoint, text)),
        Err(_) => {
            eprintln!("skipped: the sample kis/samples/rest/{name} is not at hand");
            None
        }
    }
}

fn samsung() -> Symbol {
    "005930".parse().unwrap()
}

fn day(text: &str) -> SessionDay {
    text.parse().unwrap()
}

fn time(text: &str) -> TimeOfDay {
    text.parse().unwrap()
}

#[test]
fn empty_blank_and_absent_are_none_and_words_are_refused() {
    let answer = raw(
        Endpoint::InquirePrice,
        r#"{"output":{"stck_prpr":" 74500 ","acml_vol":"","stck_sdpr":71200,"rprs_mrkt_kor_name":"KSQ150  ","stck_oprc":"0"}}"#,
    );
    let price = Price::of(samsung(), &answer).unwrap();
    assert_eq!((price.price, price.base_price), (Some(74_500), Some(71_200)));
    assert_eq!((price.volume, price.value, price.open), (None, None, None));
    assert_eq!(price.market, Market::Kosdaq);
    let words = raw(Endpoint::InquirePrice, r#"{"output":{"stck_prpr":"7.4e4"}}"#);
    let error = Price::of(samsung(), &words).unwrap_err();
    assert!(error.to_string().contains("stck_prpr = \"7.4e4\""), "{error}");
}

#[test]
fn boards() {
    for (name, market) in [
        ("KOSPI200", Market::Kospi),
        ("KOSPI", Market::Kospi),
        ("KOSDAQ", Market::Kosdaq),
        ("ETF", Market::Other),
        ("?", Market::Unknown),
    ] {
        assert_eq!(market_of(Some(name)), market, "{name}");
    }
    assert_eq!(market_of(None), Market::Unknown);
}

#[test]
fn a_refusal_in_an_archive_is_one() {
    let text = r#"{"rt_cd":"1","msg_cd":"EGW00123","msg1":"기간이 만료된 token 입니다."}"#;
    let error = Execution::of(&raw(Endpoint::LatestTrades, text)).unwrap_err();
    assert!(matches!(error, KisError::Refused { endpoint: "latest_trades", .. }), "{error}");
}

#[test]
fn prices_and_trades_of_the_samples() {
    if let Some(raw) = sample(Endpoint::InquirePrice, "inquire-price.000660.json") {
        let price = Price::of("000660".parse().unwrap(), &raw).unwrap();
        assert_eq!((price.price, price.change, price.halted), (Some(306_500), Some(-6_000), false));
    }
    if let Some(raw) = sample(Endpoint::InquirePrice, "inquire-price.halted.json") {
        let price = Price::of(samsung(), &raw).unwrap();
        assert!(price.halted && price.price == price.base_price);
    }
    if let Some(raw) = sample(Endpoint::LatestTrades, "inquire-ccnl.json") {
        let trades = Execution::of(&raw).unwrap();
        let newest = Execution {
            time: time("10:15:30"),
            price: 74_500,
            quantity: 3_284,
            change: Some(3_300),
            strength_hundredths: Some(9_992),
        };
        assert_eq!((trades.len(), trades[0]), (30, newest));
        assert!(trades.windows(2).all(|pair| pair[0].time >= pair[1].time));
    }
    if let Some(raw) = sample(Endpoint::DailyPrices, "inquire-daily-price.json") {
        let days = DailyPrice::of(&raw).unwrap();
        assert_eq!((days.len(), days[29].day, days[29].close), (30, day("2026-09-15"), 74_500));
        assert!(days.windows(2).all(|pair| pair[0].day < pair[1].day));
        // The change of a day is its close less the one before.
        assert_eq!(days[29].close - days[28].close, days[29].change.unwrap());
    }
    let pages = ["inquire-daily-itemchartprice.json", "inquire-daily-itemchartprice.page2.json"];
    if let [Some(first), Some(second)] = pages.map(|name| sample(Endpoint::DailyBars, name)) {
        let [first, second] = [first, second].map(|raw| DailyChart::of(samsung(), &raw).unwrap());
        assert_eq!(first.bars.len(), 100);
        assert!(second.bars.last().unwrap().day < first.bars[0].day);
    }
    if let Some(raw) = sample(Endpoint::IndexPrice, "inquire-index-price.json") {
        assert_eq!(IndexPrice::of("0001".parse().unwrap(), &raw).unwrap().level, 341_255);
    }
}

#[test]
fn minutes_of_the_samples() {
    let pages = ["inquire-time-itemchartprice.json", "inquire-time-itemchartprice.page2.json"];
    let [Some(first), Some(second)] = pages.map(|name| sample(Endpoint::MinuteBars, name)) else {
        return;
    };
    let one = MinuteChart::of(&first).unwrap();
    assert_eq!((one.bars.len(), one.previous_close), (30, Some(71_200)));
    let newest = EventTime::from_kst(day("2026-09-15"), time("10:15"));
    assert_eq!((one.bars[29].start, one.bars[29].volume), (newest, 40_146));
    let both = MinuteChart::of_pages(&[first, second]).unwrap();
    assert!(
        both.bars.len() > 50
            && both.bars.windows(2).all(|pair| {
                pair[0].start < pair[1].start && pair[0].cum_value < pair[1].cum_value
            })
    );
    assert_eq!(both.newest_day(), Some(day("2026-09-15")));
}

#[test]
fn minutes_without_a_trade_are_no_bars() {
    let row = |day: &str, hour: &str, volume: &str, value: &str| {
        format!(
            r#"{{"stck_bsop_date":"{day}","stck_cntg_hour":"{hour}","stck_prpr":"100","stck_oprc":"100","stck_hgpr":"100","stck_lwpr":"100","cntg_vol":"{volume}","acml_tr_pbmn":"{value}"}}"#
        )
    };
    let rows = [
        // The running minute shows the volume of the one before.
        row("20260915", "090300", "7", "1700"),
        row("20260915", "090200", "7", "1700"),
        row("20260915", "090100", "0", "1000"),
        row("20260915", "090000", "10", "1000"),
        "{}".to_owned(),
        row("20260914", "153000", "5", "9000"),
        row("20260914", "152900", "0", "8500"),
    ];
    let text = format!(r#"{{"rt_cd":"0","output1":{{}},"output2":[{}]}}"#, rows.join(","));
    let chart = MinuteChart::of(&raw(Endpoint::MinuteBars, text)).unwrap();
    let volumes: Vec<i64> = chart.bars.iter().map(|bar| bar.volume).collect();
    assert_eq!(volumes, [5, 10, 7]);
    let oldest = EventTime::from_kst(day("2026-09-14"), time("15:29"));
    assert_eq!(chart.oldest, Some(oldest), "a flat minute shows how far back the answer reaches");
    assert_eq!(chart.keep_day(day("2026-09-15")).bars.len(), 2);
}

#[test]
fn books_calendar_interruptions_and_rankings_of_the_samples() {
    if let Some(raw) = sample(Endpoint::OrderBook, "inquire-asking-price-exp-ccn.json") {
        let book = OrderBook::of(samsung(), &raw).unwrap();
        assert_eq!((book.asks.len(), book.bids.len()), (10, 10));
        assert!(book.bids[0].price < book.asks[0].price && book.asks[0].price < book.asks[9].price);
        let sum: i64 = book.asks.iter().map(|level| level.quantity).sum();
        assert_eq!(Some(sum), book.total_ask);
        assert_eq!(book.auction.phase.as_deref(), Some("112"));
    }
    if let Some(raw) = sample(Endpoint::Holidays, "chk-holiday.json") {
        let days = CalendarDay::of_pages(&[raw]).unwrap();
        assert_eq!((days.len(), days[0].day, days[0].open), (24, day("2026-09-15"), true));
        let closed = |text| days.iter().any(|row| row.day == day(text) && !row.open);
        assert!(closed("2026-09-24") && closed("2026-10-05") && closed("2026-09-19"));
        assert!(!closed("2026-09-28"));
    }
    if let Some(raw) = sample(Endpoint::ViStatus, "inquire-vi-status.json") {
        let events = ViEvent::of(&raw).unwrap();
        assert_eq!((events.len(), events[0].active, events[0].ended), (2, true, None));
        assert_eq!(events[0].kind, Some(ViKind::Static));
        assert_eq!(events[1].ended, Some(time("09:43:47")));
        assert_eq!(events[1].dynamic_deviation_hundredths, Some(-713));
    }
    if let Some(raw) = sample(Endpoint::VolumeRank, "volume-rank.json") {
        let rows = VolumeRankRow::of(&raw).unwrap();
        assert_eq!((rows[0].rank, rows[0].symbol), (1, samsung()));
        assert_eq!((rows[1].change, rows[1].value), (Some(-6_000), Some(246_993_081_000)));
        let text =
            String::from_utf8(raw.body.to_vec()).unwrap().replace("\"output\"", "\"Output\"");
        assert_eq!(VolumeRankRow::of(&self::raw(Endpoint::VolumeRank, text)).unwrap(), rows);
    }
    if let Some(raw) = sample(Endpoint::MarketCapRank, "market-cap.json") {
        let rows = MarketCapRow::of(&raw).unwrap();
        assert_eq!(rows[0].market_value, Some(441_013_000_000_000));
        assert_eq!(rows[0].share_hundredths, Some(1_604));
    }
}

#[test]
fn an_account_of_the_samples() {
    if let Some(raw) = sample(Endpoint::Balance, "inquire-balance.json") {
        let Balance { holdings, deposit } = Balance::of_pages(&[raw]).unwrap();
        let samsung = holdings.iter().find(|holding| holding.symbol == samsung()).unwrap();
        assert_eq!((samsung.quantity, samsung.sellable), (30, Some(30)));
        assert_eq!(samsung.average_cost_ten_thousandths, Some(714_000_000));
        assert_eq!((samsung.profit, samsung.loan_day), (Some(93_000), None));
        let sum: i64 = holdings.iter().filter_map(|holding| holding.value).sum();
        assert_eq!(Some(sum), deposit.securities);
        assert_eq!(deposit.total.unwrap(), sum + deposit.cash_d2.unwrap());
    }
    if let Some(raw) = sample(Endpoint::Balance, "inquire-balance.mock-empty.json") {
        let balance = Balance::of_pages(&[raw]).unwrap();
        assert_eq!((balance.holdings.len(), balance.deposit.cash), (0, Some(10_000_000)));
    }
    if let Some(raw) = sample(Endpoint::BuyingPower, "inquire-psbl-order.json") {
        let power = BuyingPower::of(&raw).unwrap();
        assert_eq!((power.quantity, power.price), (Some(141), Some(74_600)));
    }
    let pages = ["inquire-daily-ccld.page1.json", "inquire-daily-ccld.page2.json"];
    if let [Some(first), Some(second)] = pages.map(|name| sample(Endpoint::OrderHistory, name)) {
        let history = OrderHistory::of_pages(&[first, second]).unwrap();
        assert_eq!(history.orders.len(), 4);
        let [newest, .., cancelled, _] = &history.orders[..] else { panic!() };
        assert_eq!((newest.number.as_str(), newest.side), ("0000041872", Some(OrderSide::Buy)));
        assert_eq!(newest.average_price_ten_thousandths, Some(745_000_000));
        assert_eq!((newest.exchange.as_deref(), newest.original.as_deref()), (Some("KRX"), None));
        assert_eq!((cancelled.cancelled, cancelled.average_price_ten_thousandths), (Some(2), None));
        for order in &history.orders {
            let parts = [order.filled, order.open, order.cancelled, order.rejected];
            assert_eq!(order.quantity, parts.into_iter().sum::<Option<i64>>(), "{}", order.number);
        }
        let filled: i64 = history.orders.iter().filter_map(|order| order.filled).sum();
        assert_eq!(history.totals.filled, filled);
    }
    if let Some(raw) = sample(Endpoint::OrderHistory, "inquire-daily-ccld.empty.json") {
        assert_eq!(OrderHistory::of_pages(&[raw]).unwrap(), OrderHistory::default());
    }
    let open = r#"{"rt_cd":"0","output":[{"odno":"0000041872","orgn_odno":"","pdno":"005930","ord_qty":"10","ord_unpr":"74500","ord_tmd":"101412","tot_ccld_qty":"4","psbl_qty":"6","sll_buy_dvsn_cd":"01","ord_dvsn_cd":"00"}]}"#;
    let orders = OpenOrder::of_pages(&[raw(Endpoint::OpenOrders, open)]).unwrap();
    assert_eq!((orders[0].open, orders[0].side), (Some(6), Some(OrderSide::Sell)));
}

/// Every reader there is, on the same bytes.
fn read_all(text: &str) {
    for endpoint in Endpoint::ALL {
        let raw = raw(endpoint, text);
        let pages = std::slice::from_ref(&raw);
        let _ = Price::of(samsung(), &raw);
        let _ = DailyChart::of(samsung(), &raw);
        let _ = IndexPrice::of(samsung(), &raw);
        let _ = (Execution::of(&raw), DailyPrice::of(&raw), MinuteChart::of(&raw));
        let _ = (OrderBook::of(samsung(), &raw), CalendarDay::of_pages(pages), ViEvent::of(&raw));
        let _ = (VolumeRankRow::of(&raw), MarketCapRow::of(&raw), Balance::of_pages(pages));
        let _ = (OrderHistory::of_pages(pages), OpenOrder::of_pages(pages), BuyingPower::of(&raw));
    }
}

const NAMES: &[&str] = &[
    "stck_bsop_date",
    "stck_cntg_hour",
    "stck_prpr",
    "stck_oprc",
    "stck_hgpr",
    "stck_lwpr",
    "stck_clpr",
    "cntg_vol",
    "acml_vol",
    "acml_tr_pbmn",
    "tday_rltv",
    "askp1",
    "askp_rsqn1",
    "bstp_nmix_prpr",
    "bass_dt",
    "opnd_yn",
    "mksc_shrn_iscd",
    "bsop_date",
    "vi_cncl_hour",
    "data_rank",
    "stck_avls",
    "pdno",
    "hldg_qty",
    "pchs_avg_pric",
    "loan_dt",
    "ord_dt",
    "odno",
    "avg_prvs",
    "tot_ccld_amt",
    "ord_tmd",
    "ord_psbl_cash",
];

/// What KIS sends, what it might send, and what nobody sends.
fn value() -> impl Strategy<Value = serde_json::Value> {
    prop_oneof![
        "[-]?[0-9]{0,22}([.][0-9]{0,9})?".prop_map(serde_json::Value::from),
        "20[0-9]{6}|[0-2][0-9]{5}|Y|N| {0,3}".prop_map(serde_json::Value::from),
        "\\PC{0,12}".prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        Just(serde_json::Value::Null),
        Just(serde_json::json!([])),
        Just(serde_json::json!({})),
    ]
}

fn object() -> impl Strategy<Value = serde_json::Value> {
    proptest::collection::vec((proptest::sample::select(NAMES), value()), 0..12).prop_map(|rows| {
        serde_json::Value::Object(rows.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
    })
}

fn output() -> impl Strategy<Value = serde_json::Value> {
    prop_oneof![
        object(),
        proptest::collection::vec(object(), 0..4).prop_map(serde_json::Value::from),
        value(),
    ]
}

proptest! {
    #[test]
    fn no_answer_makes_a_reader_panic(
        code in value(),
        single in output(),
        first in output(),
        second in output(),
    ) {
        let body = serde_json::json!({ "rt_cd": code, "output": single, "output1": first, "output2": second });
        read_all(&body.to_string());
        let body = serde_json::json!({ "rt_cd": "0", "output": single, "output1": first, "output2": second });
        read_all(&body.to_string());
    }

    #[test]
    fn no_text_makes_a_reader_panic(text in "\\PC{0,60}|[{}\\[\\]\":, a-z0-9]{0,60}") {
        read_all(&text);
    }
}

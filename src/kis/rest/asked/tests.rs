use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn answer(body: Value) -> Answer {
    let Value::Object(body) = body else { panic!("an object") };
    Answer { endpoint: "test", status: 200, has_next: false, body }
}

#[test]
fn accounts_are_read_in_every_form_and_never_shown() {
    for (text, product) in [("12345678-01", "01"), ("1234567822", "22"), (" 12345678 ", "01")] {
        let account = Account::parse(text).unwrap();
        assert_eq!((account.number(), account.product()), ("12345678", product));
        assert!(!format!("{account:?}").contains("1234"));
    }
    for text in ["", "1234567", "12345678-1", "1234567a-01", "가나다라마바사아"] {
        assert!(Account::parse(text).is_none(), "{text}");
    }
}

#[test]
fn orders_are_read_and_a_foreign_side_is_refused() {
    let row = |side| {
        json!({ "output1": [{
            "ord_dt": "20240805", "ord_gno_brno": "00950", "odno": "0000001234",
            "sll_buy_dvsn_cd": side, "pdno": "005930", "ord_qty": "10", "ord_tmd": "090102",
            "tot_ccld_qty": "4", "tot_ccld_amt": "280000", "avg_prvs": "70000.0000"
        }]})
    };
    let orders = order_lines(&answer(row("02"))).unwrap();
    assert_eq!(orders[0].side, Side::Buy);
    assert_eq!((orders[0].ordered, orders[0].filled, orders[0].filled_value), (10, 4, 280_000));
    assert_eq!(orders[0].time.to_string(), "09:01:02");
    let error = order_lines(&answer(row("03"))).unwrap_err().to_string();
    assert!(error.contains("sll_buy_dvsn_cd = \"03\""), "{error}");
}

#[test]
fn rankings_are_read_under_both_names() {
    for name in ["output", "Output"] {
        let body =
            json!({ name: [{ "mksc_shrn_iscd": "005930" }, { "mksc_shrn_iscd": "000660" }] });
        let codes: Vec<String> =
            ranked(&answer(body)).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(codes, ["005930", "000660"]);
    }
}

fn any_cell() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        "[0-9]{0,8}".prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
    ]
}

proptest! {
    #[test]
    fn no_answer_makes_a_parser_panic(cells in prop::collection::vec(any_cell(), 13)) {
        let names = [
            "stck_bsop_date", "stck_cntg_hour", "stck_prpr", "stck_oprc", "cntg_vol",
            "acml_tr_pbmn", "ord_dt", "odno", "pdno", "sll_buy_dvsn_cd", "tot_ccld_qty",
            "ord_tmd", "mksc_shrn_iscd",
        ];
        let row: Value =
            names.into_iter().map(str::to_owned).zip(cells).collect::<serde_json::Map<_, _>>().into();
        let body = json!({ "output": [row], "output1": [row], "output2": [row] });
        let answer = answer(body);
        let _ = (latest_trades(&answer), minute_bars(&answer), order_lines(&answer), ranked(&answer));
    }
}

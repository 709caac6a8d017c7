//! `/v1/prices` over a store of the test's own.

use super::*;
use crate::market::bars::{Bar, BarKey, day_start};

/// Three hundred days of 005930, and a store that does not answer for 000660.
pub(super) fn stored_bars() -> ReadBars {
    Arc::new(|wanted: BarQuery| {
        let answer = match wanted.symbol.as_str() {
            "005930" => Ok(some_bars(&wanted)),
            "000660" => Err("the database does not answer in time".to_owned()),
            _ => Ok(Vec::new()),
        };
        Box::pin(async move { answer })
    })
}

fn some_bars(wanted: &BarQuery) -> Vec<Bar> {
    let first = day_start("2024-01-01".parse().unwrap());
    let mut bars: Vec<Bar> = (0..300i64)
        .map(|day| {
            let start = first.plus_micros(day * 86_400_000_000);
            let key = BarKey { start, interval: wanted.interval, symbol: wanted.symbol };
            let close = 70_000 + (day * 7_919) % 1_300;
            let (open, high, low) = (close - 100, close + 200, close - 300);
            Bar { key, open, high, low, close, volume: 10 * day, amount: 5, is_final: true }
        })
        .filter(|bar| wanted.from.is_none_or(|from| bar.key.start >= from))
        .filter(|bar| wanted.to.is_none_or(|to| bar.key.start < to))
        .collect();
    bars.drain(..bars.len().saturating_sub(wanted.limit));
    bars
}

#[tokio::test]
async fn prices_come_with_indicators_that_are_warm() {
    let daemon = Daemon::start(BusLimits::default(), 4).await;
    let (status, body) = daemon.get("/v1/prices/005930").await;
    assert_eq!((status, &body["count"], &body["interval"]), (200, &300.into(), &"1d".into()));
    assert_eq!(body["bars"][0]["start"], "2024-01-01T00:00:00+09:00");
    assert_fits("prices", &body);

    // The first bars of all are not warm; bars that others come before are, and say the same.
    let names = "indicators=sma20,rsi14,macd,bb20,sma20";
    let (_, whole) = daemon.get(&format!("/v1/prices/005930?{names}")).await;
    assert_fits("prices", &whole);
    let columns = ["sma20", "rsi14", "macd", "macd_signal", "macd_histogram", "bb20_middle"];
    assert_eq!(whole["indicators"].as_array().unwrap()[..6], columns.map(Value::from));
    for (column, warm_from) in [("sma20", 19), ("rsi14", 13), ("macd", 25), ("macd_signal", 33)] {
        let cold = |index: usize| whole["bars"][index][column].is_null();
        assert!(cold(warm_from - 1) && !cold(warm_from), "{column}");
    }
    let cut = "from=2024-10-01&to=2024-10-02T00:00:00+09:00";
    let (_, day) = daemon.get(&format!("/v1/prices/005930?{cut}&{names}")).await;
    assert_eq!(day["count"], 1);
    for column in columns {
        let (a, b) = (&day["bars"][0][column], &whole["bars"][274][column]);
        let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
        assert!((a - b).abs() < 1e-4, "{column}: {a} {b}");
    }
    let (_, newest) = daemon.get("/v1/prices/005930?interval=1m&limit=2").await;
    assert_eq!((&newest["count"], &newest["interval"]), (&2.into(), &"1m".into()));
    assert_eq!(newest["bars"][1]["volume"], 2_990);
    daemon.stop().await;
}

#[tokio::test]
async fn prices_that_cannot_be_read_are_a_problem() {
    let daemon = Daemon::start(BusLimits::default(), 4).await;
    let (status, body) = daemon.get("/v1/prices/000660").await;
    assert_eq!((status, &body["type"]), (503, &"/problems/no-prices".into()));
    assert!(body["detail"].as_str().unwrap().contains("does not answer in time"), "{body}");
    assert_fits("problem", &body);
    // Known, but nothing is stored yet.
    let (status, body) = daemon.get("/v1/prices/035420?indicators=atr14").await;
    assert_eq!((status, &body["count"]), (200, &0.into()));
    assert_fits("prices", &body);
    let (_, _, body) = daemon.get_with("/v1/prices/005930?indicators=boll", "").await;
    assert!(body.contains("rsi14, macd, bb20") && body.contains("boll"), "{body}");
    let many: Vec<String> = (1..=21).map(|window| format!("sma{window}")).collect();
    let (status, body) =
        daemon.get(&format!("/v1/prices/005930?indicators={}", many.join(","))).await;
    assert_eq!((status, &body["parameter"]), (400, &"indicators".into()));
    daemon.stop().await;
}

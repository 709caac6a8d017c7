//! The list of volatility interruptions (변동성완화장치 현황), read from the trades of the day.
//!
//! An interruption shows in the trades as a pause that ends with an auction within continuous
//! trading. Its end and its issue are exact. Taken from what is around it: it began two minutes
//! before (the shortest there is) or at the last trade, if that was later; it was triggered by
//! the auction's price; it is static when that price is 10 % or more off the last auction's, else
//! dynamic. A pause of half an hour is the market's (a circuit breaker) and not listed.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::market::{Market, SessionDay, Side, Won, rules};

use super::calls::{Fields, put, time};
use super::day::{Day, ms};
use super::request::{Refusal, Request};
use super::state::ratio;
use super::text::dec2_text;

const SHORTEST_MS: u32 = 120_000;
/// Trading that stood still for so long was halted with its whole market.
const MARKET_HALT_MS: u32 = 30 * 60_000;
const ROWS: usize = 30;

/// What `inquire-vi-status` must name.
pub(crate) const REQUIRED: &[&str] = &[
    "FID_DIV_CLS_CODE",
    "FID_COND_SCR_DIV_CODE",
    "FID_MRKT_CLS_CODE",
    "FID_INPUT_ISCD",
    "FID_RANK_SORT_CLS_CODE",
    "FID_INPUT_DATE_1",
    "FID_TRGT_CLS_CODE",
    "FID_TRGT_EXLS_CLS_CODE",
];

/// An interruption of one issue's trading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Interruption {
    /// Index into the day's issues.
    issue: usize,
    began_ms: u32,
    ended_ms: u32,
    /// Price that triggered it.
    price: Won,
    /// Price that it is measured against.
    reference: Won,
    is_static: bool,
    /// Which one of its issue today, from 1.
    count: u32,
}

#[derive(Default, Clone, Copy)]
struct Trail {
    auction: Won,
    price: Won,
    at_ms: u32,
    count: u32,
}

/// All interruptions of a day, in the order in which they end.
fn of_day(day: &Day) -> Vec<Interruption> {
    let continuous = ms(rules::OPEN) + 60_000..ms(rules::CLOSING_AUCTION);
    let mut trails = vec![Trail::default(); day.issues.len()];
    let mut found = Vec::new();
    for print in &day.prints {
        let (issue, price) = (print.issue as usize, Won::from(print.price));
        let trail = &mut trails[issue];
        if print.side == Side::Auction {
            let pause = print.at_ms.saturating_sub(trail.at_ms);
            let paused = trail.at_ms > 0 && (SHORTEST_MS..MARKET_HALT_MS).contains(&pause);
            if paused && continuous.contains(&print.at_ms) {
                trail.count += 1;
                let reference =
                    if trail.auction > 0 { trail.auction } else { day.issues[issue].base_price };
                let is_static = (price - reference).abs() * 10 >= reference;
                found.push(Interruption {
                    issue,
                    began_ms: trail.at_ms.max(print.at_ms - SHORTEST_MS),
                    ended_ms: print.at_ms,
                    price,
                    reference: if is_static { reference } else { trail.price },
                    is_static,
                    count: trail.count,
                });
            }
            trail.auction = price;
        }
        (trail.price, trail.at_ms) = (price, print.at_ms);
    }
    found
}

/// `inquire-vi-status`: `output`, newest first.
pub(crate) fn answer(request: &Request) -> Result<Value, Refusal> {
    let direction = request.choice("FID_DIV_CLS_CODE", &["0", "1", "2"])?;
    let market = match request.choice("FID_MRKT_CLS_CODE", &["0", "K", "Q"])? {
        0 => None,
        1 => Some(Market::Kospi),
        _ => Some(Market::Kosdaq),
    };
    let kind = request.choice("FID_RANK_SORT_CLS_CODE", &["0", "1", "2", "3"])?;
    let wanted_day: Option<SessionDay> = request.optional("FID_INPUT_DATE_1")?;
    let code = request.get("FID_INPUT_ISCD");
    let (day, now_ms) = {
        let playback = request.shared.playback.lock();
        (Arc::clone(&playback.day), playback.now_ms)
    };
    let mut found = of_day(&day);
    found.retain(|one| {
        let issue = &day.issues[one.issue];
        one.began_ms <= now_ms
            && wanted_day.is_none_or(|wanted| wanted == day.day)
            && (code.is_empty() || issue.symbol.as_str() == code)
            && market.is_none_or(|market| issue.market == market)
            && (direction == 0 || (direction == 1) == (one.price > one.reference))
            && (kind == 0 || kind == if one.is_static { 1 } else { 2 })
    });
    found.sort_by_key(|one| std::cmp::Reverse((one.began_ms, one.issue)));
    let rows = found.iter().take(ROWS).map(|one| Value::Object(row(&day, one, now_ms)));
    Ok(json!({ "output": rows.collect::<Vec<_>>() }))
}

fn row(day: &Day, one: &Interruption, now_ms: u32) -> Fields {
    let issue = &day.issues[one.issue];
    let active = now_ms < one.ended_ms;
    let off = dec2_text(ratio(one.price - one.reference, one.reference, 10_000));
    let (measured, nothing) = ((one.reference, off.as_str()), (0, "0.00"));
    let (fixed, moving) = if one.is_static { (measured, nothing) } else { (nothing, measured) };
    let mut row = Fields::new();
    put(&mut row, "hts_kor_isnm", &issue.name);
    put(&mut row, "mksc_shrn_iscd", issue.symbol);
    put(&mut row, "vi_cls_code", if active { "Y" } else { "N" });
    put(&mut row, "bsop_date", day.day.yyyymmdd());
    put(&mut row, "cntg_vi_hour", time(one.began_ms));
    put(&mut row, "vi_cncl_hour", if active { "000000".into() } else { time(one.ended_ms) });
    put(&mut row, "vi_kind_code", if one.is_static { 1 } else { 2 });
    put(&mut row, "vi_prc", one.price);
    put(&mut row, "vi_stnd_prc", fixed.0);
    put(&mut row, "vi_dprt", fixed.1);
    put(&mut row, "vi_dmc_stnd_prc", moving.0);
    put(&mut row, "vi_dmc_dprt", moving.1);
    put(&mut row, "vi_count", one.count);
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kis::sim::day::{Issue, Print};

    fn day(prints: &[(u32, i32, Side)]) -> Day {
        let day = "2026-09-15".parse().unwrap();
        let symbol = "005930".parse().unwrap();
        let print = |(at_ms, price, side): &(u32, i32, Side)| Print {
            at_ms: *at_ms,
            issue: 0,
            quantity: 1,
            price: *price,
            ask: 0,
            bid: 0,
            side: *side,
        };
        Day {
            day,
            issues: vec![Issue::new(day, symbol, Market::Kospi, 10_000, 1)],
            prints: prints.iter().map(print).collect(),
            series: Vec::new(),
            index_prints: Vec::new(),
            speed: None,
        }
    }

    #[test]
    fn a_pause_that_ends_with_an_auction_is_one() {
        let at = |hour: u32, minute: u32, second: u32| ((hour * 60 + minute) * 60 + second) * 1_000;
        let found = of_day(&day(&[
            (at(9, 0, 5), 10_000, Side::Auction),
            (at(9, 30, 0), 10_990, Side::Buy),
            (at(9, 32, 10), 11_100, Side::Auction),
            (at(9, 33, 0), 11_200, Side::Sell),
            (at(9, 36, 0), 11_300, Side::Auction),
            (at(10, 0, 0), 11_300, Side::Sell),
            (at(10, 30, 0), 9_000, Side::Auction),
            (at(15, 19, 0), 9_000, Side::Sell),
            (at(15, 30, 0), 9_100, Side::Auction),
        ]));
        assert_eq!(
            found.len(),
            2,
            "neither the openings, a market's halt nor the close: {found:?}"
        );
        assert_eq!((found[0].began_ms, found[0].ended_ms), (at(9, 30, 10), at(9, 32, 10)));
        assert_eq!((found[0].reference, found[0].is_static, found[0].count), (10_000, true, 1));
        assert_eq!((found[1].reference, found[1].is_static, found[1].count), (11_200, false, 2));
    }

    #[test]
    fn a_row_tells_an_active_one_from_one_that_is_over() {
        let one = Interruption {
            issue: 0,
            began_ms: 36_902_000,
            ended_ms: 37_037_000,
            price: 8_970,
            reference: 8_150,
            is_static: true,
            count: 1,
        };
        let text = |now_ms, one: &Interruption| {
            let row = row(&day(&[]), one, now_ms);
            row.iter().map(|(name, value)| format!("{name}={}", value.as_str().unwrap())).collect()
        };
        let active: Vec<String> = text(37_000_000, &one);
        assert_eq!(
            active.join(" "),
            "hts_kor_isnm= mksc_shrn_iscd=005930 vi_cls_code=Y bsop_date=20260915 \
             cntg_vi_hour=101502 vi_cncl_hour=000000 vi_kind_code=1 vi_prc=8970 vi_stnd_prc=8150 \
             vi_dprt=10.06 vi_dmc_stnd_prc=0 vi_dmc_dprt=0.00 vi_count=1"
        );
        let over: Vec<String> = text(37_037_000, &Interruption { is_static: false, ..one });
        let over = over.join(" ");
        assert!(over.contains("vi_cls_code=N") && over.contains("vi_cncl_hour=101717"), "{over}");
        assert!(over.ends_with("vi_dmc_stnd_prc=8150 vi_dmc_dprt=10.06 vi_count=1"), "{over}");
    }
}

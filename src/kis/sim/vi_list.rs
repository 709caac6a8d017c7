//! The list of volatility interruptions (변동성완화장치 현황) that the day has had so far.

use serde_json::{Value, json};

use crate::market::rules::vi::Breach;
use crate::market::{Market, SessionDay, Won};

use super::calls::{Fields, put};
use super::interruption::SimInterruption;
use super::request::{Refusal, Request};
use super::state::ratio;
use super::text::dec2_text;

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
    let (mut found, day) = {
        let playback = request.shared.playback.lock();
        (playback.interruptions(), playback.session_day())
    };
    found.retain(|one| {
        wanted_day.is_none_or(|wanted| wanted == day)
            && (code.is_empty() || one.symbol.as_str() == code)
            && market.is_none_or(|market| one.market == market)
            && (direction == 0 || (direction == 1) == (one.breach.price > reference(&one.breach)))
            && (kind == 0 || kind == usize::from(one.breach.kind.code()))
    });
    found.reverse();
    let rows = found.iter().take(ROWS).map(|one| Value::Object(row(one)));
    Ok(json!({ "output": rows.collect::<Vec<_>>() }))
}

/// What the price is measured against.
fn reference(breach: &Breach) -> Won {
    if breach.kind.is_static() { breach.static_reference } else { breach.dynamic_reference }
}

fn row(one: &SimInterruption) -> Fields {
    let breach = &one.breach;
    let off = |reference: Won, applies: bool| {
        if applies {
            (reference, dec2_text(ratio(breach.price - reference, reference, 10_000)))
        } else {
            (0, "0.00".to_owned())
        }
    };
    let fixed = off(breach.static_reference, breach.kind.is_static());
    let moving = off(breach.dynamic_reference, breach.kind.is_dynamic());
    let clock = |time: crate::market::EventTime| format!("{:06}", time.time_of_day().hhmmss());
    let mut row = Fields::new();
    put(&mut row, "hts_kor_isnm", &one.name);
    put(&mut row, "mksc_shrn_iscd", one.symbol);
    put(&mut row, "vi_cls_code", if one.ended.is_none() { "Y" } else { "N" });
    put(&mut row, "bsop_date", one.began.session_day().yyyymmdd());
    put(&mut row, "cntg_vi_hour", clock(one.began));
    put(&mut row, "vi_cncl_hour", one.ended.map_or("000000".into(), clock));
    put(&mut row, "vi_kind_code", breach.kind.code());
    put(&mut row, "vi_prc", breach.price);
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
    use crate::market::rules::vi::ViKind;
    use crate::market::{EventTime, TimeOfDay};

    #[test]
    fn a_row_tells_an_active_one_from_one_that_is_over() {
        let at = |hhmmss| {
            let day = "2026-09-15".parse().unwrap();
            EventTime::from_kst(day, TimeOfDay::from_hhmmss(hhmmss).unwrap())
        };
        let mut one = SimInterruption {
            symbol: "005930".parse().unwrap(),
            name: String::new(),
            market: Market::Kospi,
            breach: Breach {
                kind: ViKind::Static,
                price: 8_970,
                static_reference: 8_150,
                dynamic_reference: 8_900,
            },
            count: 1,
            began: at(101_502),
            ended: None,
        };
        let text = |one: &SimInterruption| {
            let fields = row(one);
            let pairs =
                fields.iter().map(|(name, value)| format!("{name}={}", value.as_str().unwrap()));
            pairs.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            text(&one),
            "hts_kor_isnm= mksc_shrn_iscd=005930 vi_cls_code=Y bsop_date=20260915 \
             cntg_vi_hour=101502 vi_cncl_hour=000000 vi_kind_code=1 vi_prc=8970 vi_stnd_prc=8150 \
             vi_dprt=10.06 vi_dmc_stnd_prc=0 vi_dmc_dprt=0.00 vi_count=1"
        );
        one.ended = Some(at(101_717));
        one.breach.kind = ViKind::Dynamic;
        let over = text(&one);
        assert!(over.contains("vi_cls_code=N") && over.contains("vi_cncl_hour=101717"), "{over}");
        assert!(over.ends_with("vi_dmc_stnd_prc=8900 vi_dmc_dprt=0.79 vi_count=1"), "{over}");
    }
}

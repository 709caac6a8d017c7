//! Bodies of the quotation calls, computed from the state of the day being played.
//!
//! Fields that an invented or recorded market cannot know (fundamentals, ownership) are left out
//! or empty, which KIS does as well for what it does not have.

use serde_json::{Map, Value, json};

use crate::market::{Calendar, SessionDay, Won, rules};

use super::book::{Book, LEVELS};
use super::charts;
use super::day::hhmmss;
use super::state::{IssueState, plain_sign, ratio, sign_code};
use super::text::dec2_text;
use super::view::{IndexView, IssueView};

pub(crate) type Fields = Map<String, Value>;

/// Adds a field at the end.
pub(crate) fn put(fields: &mut Fields, name: &str, value: impl ToString) {
    fields.insert(name.to_owned(), Value::String(value.to_string()));
}

/// `HHMMSS`.
pub(crate) fn time(at_ms: u32) -> String {
    format!("{:06}", hhmmss(at_ms))
}

/// Change against the base price: value, sign and percent.
pub(crate) fn change(fields: &mut Fields, view: &IssueView, price: Won) {
    let issue = view.issue();
    let difference = price - issue.base_price;
    put(fields, "prdy_vrss", difference);
    put(fields, "prdy_vrss_sign", sign_code(price, issue.base_price, issue.limits));
    put(fields, "prdy_ctrt", dec2_text(ratio(difference, issue.base_price, 10_000)));
}

/// A positive number; empty when it is not known.
pub(crate) fn known(value: i64) -> String {
    if value > 0 { value.to_string() } else { String::new() }
}

/// `inquire-price`: `output`.
pub(crate) fn price(view: &IssueView) -> Value {
    let (issue, s, price) = (view.issue(), &view.state, view.price());
    let mut out = Fields::new();
    put(&mut out, "iscd_stat_cls_code", if s.halted { "58" } else { "00" });
    put(&mut out, "marg_rate", "");
    put(&mut out, "rprs_mrkt_kor_name", market_name(issue.market));
    put(&mut out, "bstp_kor_isnm", "");
    put(&mut out, "temp_stop_yn", if s.halted { "Y" } else { "N" });
    put(&mut out, "oprc_rang_cont_yn", "N");
    put(&mut out, "clpr_rang_cont_yn", "N");
    empty(&mut out, &["crdt_able_yn", "grmn_rate_cls_code", "elw_pblc_yn"]);
    put(&mut out, "stck_prpr", price);
    change(&mut out, view, price);
    put(&mut out, "acml_tr_pbmn", s.value);
    put(&mut out, "acml_vol", s.volume);
    put(&mut out, "prdy_vrss_vol_rate", dec2_text(ratio(s.volume, issue.previous_volume, 10_000)));
    put(&mut out, "stck_oprc", s.open);
    put(&mut out, "stck_hgpr", s.high);
    put(&mut out, "stck_lwpr", s.low);
    put(&mut out, "stck_mxpr", issue.limits.1);
    put(&mut out, "stck_llam", issue.limits.0);
    put(&mut out, "stck_sdpr", issue.base_price);
    put(&mut out, "wghn_avrg_stck_prc", dec2_text(ratio(s.value, s.volume, 100)));
    empty(&mut out, &["hts_frgn_ehrt", "frgn_ntby_qty", "pgtr_ntby_qty"]);
    pivots(&mut out, view);
    put(&mut out, "cpfn", "");
    let width = issue.base_price * 3 / 10;
    let width = width - width % rules::tick_size(view.day.day, issue.market, issue.base_price);
    put(&mut out, "rstc_wdth_prc", width);
    put(&mut out, "stck_fcam", "");
    // Shares are usually taken as collateral at 80 % of the base price.
    put(&mut out, "stck_sspr", issue.base_price * 8 / 10);
    put(&mut out, "aspr_unit", rules::tick_size(view.day.day, issue.market, price));
    put(&mut out, "hts_deal_qty_unit_val", 1);
    put(&mut out, "lstn_stcn", known(issue.listed_shares));
    put(&mut out, "hts_avls", known(market_value(price, issue.listed_shares)));
    empty(&mut out, &["per", "pbr", "stac_month"]);
    put(&mut out, "vol_tnrt", dec2_text(ratio(s.volume, issue.listed_shares, 10_000)));
    empty(&mut out, &["eps", "bps"]);
    extremes(&mut out, view);
    empty(&mut out, &["whol_loan_rmnd_rate", "ssts_yn"]);
    put(&mut out, "stck_shrn_iscd", issue.symbol);
    empty(&mut out, &["fcam_cnnm", "cpfn_cnnm", "frgn_hldn_qty"]);
    put(&mut out, "vi_cls_code", if s.interrupted { "Y" } else { "N" });
    put(&mut out, "ovtm_vi_cls_code", "N");
    put(&mut out, "last_ssts_cntg_qty", "");
    put(&mut out, "invt_caful_yn", "N");
    put(&mut out, "mrkt_warn_cls_code", "00");
    put(&mut out, "short_over_yn", "N");
    put(&mut out, "sltr_yn", "N");
    json!({ "output": out })
}

/// Fields that nothing is known for.
pub(crate) fn empty(fields: &mut Fields, names: &[&str]) {
    for name in names {
        put(fields, name, "");
    }
}

/// Market value in 100 million won, cut; 0 when the shares are not known.
pub(crate) fn market_value(price: Won, shares: i64) -> i64 {
    let value = i128::from(price) * i128::from(shares) / 100_000_000;
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Pivot levels and DeMark's, of the session before.
fn pivots(out: &mut Fields, view: &IssueView) {
    const NAMES: [&str; 7] = [
        "pvt_scnd_dmrs_prc",
        "pvt_frst_dmrs_prc",
        "pvt_pont_val",
        "pvt_frst_dmsp_prc",
        "pvt_scnd_dmsp_prc",
        "dmrs_val",
        "dmsp_val",
    ];
    let Some(bar) = view.issue().history.last() else { return empty(out, &NAMES) };
    let (high, low, close) = (bar.high, bar.low, bar.close);
    let pivot = (high + low + close) / 3;
    let weighted = match close.cmp(&bar.open) {
        std::cmp::Ordering::Greater => 2 * high + low + close,
        std::cmp::Ordering::Less => high + 2 * low + close,
        std::cmp::Ordering::Equal => high + low + 2 * close,
    };
    let levels = [
        pivot + high - low,
        2 * pivot - low,
        pivot,
        2 * pivot - high,
        pivot - high + low,
        weighted / 2 - low,
        weighted / 2 - high,
    ];
    for (name, level) in NAMES.into_iter().zip(levels) {
        put(out, name, level);
    }
}

/// Highs and lows of 250 days, of the calendar year and of 52 weeks, as far back as the issue's
/// sessions are known.
fn extremes(out: &mut Fields, view: &IssueView) {
    let (today, price) = (view.day.day, view.price());
    let bars = charts::sessions(view);
    let year = today.yyyymmdd() / 10_000 * 10_000;
    let spans = [
        (0, ["d250_hgpr", "d250_hgpr_date", "d250_hgpr_vrss_prpr_rate"]),
        (0, ["d250_lwpr", "d250_lwpr_date", "d250_lwpr_vrss_prpr_rate"]),
        (year, ["stck_dryy_hgpr", "dryy_hgpr_date", "dryy_hgpr_vrss_prpr_rate"]),
        (year, ["stck_dryy_lwpr", "dryy_lwpr_date", "dryy_lwpr_vrss_prpr_rate"]),
        (0, ["w52_hgpr", "w52_hgpr_date", "w52_hgpr_vrss_prpr_ctrt"]),
        (0, ["w52_lwpr", "w52_lwpr_date", "w52_lwpr_vrss_prpr_ctrt"]),
    ];
    for (index, (from, [level, date, distance])) in spans.into_iter().enumerate() {
        let within = bars.iter().filter(|bar| bar.day.yyyymmdd() >= from);
        let extreme = if index % 2 == 0 {
            within.max_by_key(|bar| bar.high).map(|bar| (bar.high, bar.day))
        } else {
            within.min_by_key(|bar| bar.low).map(|bar| (bar.low, bar.day))
        };
        // Only the 250 days have the date in front of the distance.
        let names = if index < 2 { [level, date, distance] } else { [level, distance, date] };
        let Some((won, day)) = extreme else {
            empty(out, &names);
            continue;
        };
        for name in names {
            if name == level {
                put(out, name, won);
            } else if name == date {
                put(out, name, day.yyyymmdd());
            } else {
                put(out, name, dec2_text(ratio(price - won, won, 10_000)));
            }
        }
    }
}

/// What an issue's market is called.
fn market_name(market: crate::market::Market) -> &'static str {
    use crate::market::Market;
    match market {
        Market::Kospi => "KOSPI",
        Market::Kosdaq => "KOSDAQ",
        Market::Other | Market::Unknown => "",
    }
}

/// `inquire-ccnl`: `output`, 30 trades.
pub(crate) fn latest_trades(view: &IssueView) -> Value {
    let rows = view.past_trades(30).into_iter().map(|trade| {
        let mut row = Fields::new();
        put(&mut row, "stck_cntg_hour", time(trade.at_ms));
        put(&mut row, "stck_prpr", trade.price);
        change(&mut row, view, trade.price);
        let percent = row.shift_remove("prdy_ctrt");
        put(&mut row, "cntg_vol", trade.quantity);
        put(&mut row, "tday_rltv", dec2_text(trade.strength));
        row.extend(percent.map(|percent| ("prdy_ctrt".to_owned(), percent)));
        Value::Object(row)
    });
    json!({ "output": rows.collect::<Vec<_>>() })
}

/// `inquire-asking-price-exp-ccn`: the book and the last auction.
pub(crate) fn order_book(view: &IssueView) -> Value {
    let (issue, s) = (view.issue(), &view.state);
    let book_at = |state: &IssueState| match state.trades > 0 || state.expected.is_some() {
        false => Book::default(),
        true => Book::of(view.day.day, issue, state),
    };
    let (book, earlier) = (book_at(s), book_at(&view.state_before()));
    let mut out = Fields::new();
    put(&mut out, "aspr_acpt_hour", format!("{:06}", view.now.time_of_day().hhmmss()));
    let sides = [("askp", &book.asks, &earlier.asks), ("bidp", &book.bids, &earlier.bids)];
    for (name, side, _) in sides {
        for level in 0..LEVELS {
            put(&mut out, &format!("{name}{}", level + 1), side.prices[level]);
        }
    }
    for (name, side, _) in sides {
        for level in 0..LEVELS {
            put(&mut out, &format!("{name}_rsqn{}", level + 1), side.sizes[level]);
        }
    }
    for (name, side, before) in sides {
        for level in 0..LEVELS {
            let change = side.sizes[level] - before.sizes[level];
            put(&mut out, &format!("{name}_rsqn_icdc{}", level + 1), change);
        }
    }
    put(&mut out, "total_askp_rsqn", book.asks.total);
    put(&mut out, "total_bidp_rsqn", book.bids.total);
    put(&mut out, "total_askp_rsqn_icdc", book.asks.total - earlier.asks.total);
    put(&mut out, "total_bidp_rsqn_icdc", book.bids.total - earlier.bids.total);
    for name in ["askp_icdc", "bidp_icdc", "askp_rsqn", "bidp_rsqn"] {
        put(&mut out, &format!("ovtm_total_{name}"), 0);
    }
    put(&mut out, "ntby_aspr_rsqn", book.bids.total - book.asks.total);
    let closed = view.now.time_of_day() >= rules::CLOSE;
    put(&mut out, "new_mkop_cls_code", if closed { "31" } else { "20" });
    let mut auction = Fields::new();
    put(&mut auction, "antc_mkop_cls_code", "112");
    put(&mut auction, "stck_prpr", view.price());
    put(&mut auction, "stck_oprc", s.open);
    put(&mut auction, "stck_hgpr", s.high);
    put(&mut auction, "stck_lwpr", s.low);
    put(&mut auction, "stck_sdpr", issue.base_price);
    let opened = if s.auction_volume > 0 { s.open } else { 0 };
    let expected = s.expected.map_or(opened, |expected| expected.price);
    let volume = s.expected.map_or(s.auction_volume, |expected| expected.quantity);
    let against = expected - issue.base_price;
    put(&mut auction, "antc_cnpr", expected);
    put(&mut auction, "antc_cntg_vrss_sign", plain_sign(against));
    put(&mut auction, "antc_cntg_vrss", against);
    put(&mut auction, "antc_cntg_prdy_ctrt", dec2_text(ratio(against, issue.base_price, 10_000)));
    put(&mut auction, "antc_vol", volume);
    put(&mut auction, "stck_shrn_iscd", issue.symbol);
    put(&mut auction, "vi_cls_code", if s.interrupted { "Y" } else { "N" });
    json!({ "output1": out, "output2": auction })
}

/// `inquire-index-price`: `output`.
pub(crate) fn index_price(view: &IndexView) -> Value {
    let (s, base) = (&view.state, view.day.series[view.number].previous_close);
    let level = if s.ticks == 0 { base } else { s.level };
    let mut out = Fields::new();
    put(&mut out, "bstp_nmix_prpr", dec2_text(level));
    put(&mut out, "bstp_nmix_prdy_vrss", dec2_text(level - base));
    put(&mut out, "prdy_vrss_sign", plain_sign(level - base));
    put(&mut out, "bstp_nmix_prdy_ctrt", dec2_text(ratio(level - base, base, 10_000)));
    put(&mut out, "acml_vol", s.volume);
    put(&mut out, "prdy_vol", known(view.before.volume / 1_000));
    put(&mut out, "acml_tr_pbmn", s.value);
    put(&mut out, "prdy_tr_pbmn", known(view.before.value / 1_000_000));
    let against = |level: i64| if s.ticks == 0 { 0 } else { level - base };
    let percent = |level: i64| dec2_text(ratio(against(level), base, 10_000));
    put(&mut out, "bstp_nmix_oprc", dec2_text(s.open));
    put(&mut out, "prdy_nmix_vrss_nmix_oprc", dec2_text(against(s.open)));
    put(&mut out, "oprc_vrss_prpr_sign", plain_sign(against(s.open)));
    put(&mut out, "bstp_nmix_oprc_prdy_ctrt", percent(s.open));
    put(&mut out, "bstp_nmix_hgpr", dec2_text(s.high));
    put(&mut out, "prdy_nmix_vrss_nmix_hgpr", dec2_text(against(s.high)));
    put(&mut out, "hgpr_vrss_prpr_sign", plain_sign(against(s.high)));
    put(&mut out, "bstp_nmix_hgpr_prdy_ctrt", percent(s.high));
    put(&mut out, "bstp_nmix_lwpr", dec2_text(s.low));
    put(&mut out, "prdy_clpr_vrss_lwpr", dec2_text(against(s.low)));
    put(&mut out, "lwpr_vrss_prpr_sign", plain_sign(against(s.low)));
    put(&mut out, "prdy_clpr_vrss_lwpr_rate", percent(s.low));
    let [upper, up, same, down, lower] = view.breadth.shown();
    put(&mut out, "ascn_issu_cnt", up);
    put(&mut out, "uplm_issu_cnt", upper);
    put(&mut out, "stnr_issu_cnt", same);
    put(&mut out, "down_issu_cnt", down);
    put(&mut out, "lslm_issu_cnt", lower);
    // The index's own past is not known.
    let year = ["dryy_bstp_nmix_hgpr", "dryy_hgpr_vrss_prpr_rate", "dryy_bstp_nmix_hgpr_date"];
    empty(&mut out, &year);
    let year = ["dryy_bstp_nmix_lwpr", "dryy_lwpr_vrss_prpr_rate", "dryy_bstp_nmix_lwpr_date"];
    empty(&mut out, &year);
    let (asks, bids) = view.depth;
    put(&mut out, "total_askp_rsqn", asks);
    put(&mut out, "total_bidp_rsqn", bids);
    let asked = ratio(asks, asks + bids, 10_000);
    put(&mut out, "seln_rsqn_rate", dec2_text(asked));
    put(&mut out, "shnu_rsqn_rate", dec2_text(if asks + bids == 0 { 0 } else { 10_000 - asked }));
    put(&mut out, "ntby_rsqn", bids - asks);
    json!({ "output": out })
}

/// `chk-holiday`: 24 days from `from` on, by the KRX calendar. A weekday outside its table counts as
/// open: KIS always answers one way or the other.
pub(crate) fn calendar(from: SessionDay) -> Value {
    const DAYS: i32 = 24;
    let krx = Calendar::krx();
    let yes_no = |yes: bool| if yes { "Y" } else { "N" };
    let day_at = |offset| SessionDay::from_epoch_days(from.epoch_days() + offset);
    let rows: Vec<Value> = (0..DAYS)
        .map(|offset| {
            let day = day_at(offset);
            // 1970-01-01 was a Thursday, which KIS numbers 5; Sunday is 1.
            let weekday = (day.epoch_days() + 4).rem_euclid(7) + 1;
            let open = krx.is_session(day).unwrap_or(true);
            // Offices work on days on which the exchange alone is closed; trades settle with it.
            let business = open || krx.closure(day).is_some_and(|closure| closure.exchange_only);
            let mut row = Fields::new();
            put(&mut row, "bass_dt", day.yyyymmdd());
            put(&mut row, "wday_dvsn_cd", format!("{weekday:02}"));
            for (name, yes) in [
                ("bzdy_yn", business),
                ("tr_day_yn", business),
                ("opnd_yn", open),
                ("sttl_day_yn", open),
            ] {
                put(&mut row, name, yes_no(yes));
            }
            Value::Object(row)
        })
        .collect();
    json!({
        "ctx_area_nk": format!("{:<20}", day_at(DAYS - 1).yyyymmdd()),
        "ctx_area_fk": format!("{:<20}", from.yyyymmdd()),
        "output": rows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `bass_dt` and the four answers, for example `20251231 YYNN`.
    fn rows(from: &str) -> Vec<String> {
        let answer = calendar(from.parse().unwrap());
        let rows = answer["output"].as_array().unwrap().iter().map(|row| {
            let text = |name: &str| row[name].as_str().unwrap().to_owned();
            let answers = ["bzdy_yn", "tr_day_yn", "opnd_yn", "sttl_day_yn"].map(text).concat();
            format!("{} {answers}", text("bass_dt"))
        });
        rows.collect()
    }

    #[test]
    fn the_calendar_tells_holidays_from_days_off_of_the_exchange() {
        let rows = rows("20251224");
        assert_eq!(rows.len(), 24);
        assert_eq!(
            rows[..5],
            ["20251224 YYYY", "20251225 NNNN", "20251226 YYYY", "20251227 NNNN", "20251228 NNNN",]
        );
        assert_eq!(rows[7..10], ["20251231 YYNN", "20260101 NNNN", "20260102 YYYY"]);
    }

    #[test]
    fn may_day_and_the_end_of_the_table() {
        assert_eq!(rows("20250501")[0], "20250501 YYNN");
        assert_eq!(rows("20260501")[0], "20260501 NNNN");
        assert_eq!(rows("20280103")[0], "20280103 YYYY");
        assert_eq!(rows("20280101")[0], "20280101 NNNN");
    }
}

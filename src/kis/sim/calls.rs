//! Bodies of the quotation calls, computed from the state of the day being played.
//!
//! Fields that an invented or recorded market cannot know (fundamentals, ownership) are left out
//! or empty, which KIS does as well for what it does not have.

use serde_json::{Map, Value, json};

use crate::market::{SessionDay, Won, rules};

use super::book::{Book, LEVELS};
use super::day::{DailyBar, hhmmss};
use super::state::{plain_sign, ratio, sign_code};
use super::text::dec2_text;
use super::view::{IndexView, IssueView};

type Fields = Map<String, Value>;

fn put(fields: &mut Fields, name: &str, value: impl ToString) {
    fields.insert(name.to_owned(), Value::String(value.to_string()));
}

fn time(at_ms: u32) -> String {
    format!("{:06}", hhmmss(at_ms))
}

/// Change against the base price: value, sign and percent.
fn change(fields: &mut Fields, view: &IssueView, price: Won) {
    let issue = view.issue();
    let difference = price - issue.base_price;
    put(fields, "prdy_vrss", difference);
    put(fields, "prdy_vrss_sign", sign_code(price, issue.base_price, issue.limits));
    put(fields, "prdy_ctrt", dec2_text(ratio(difference, issue.base_price, 10_000)));
}

fn known(value: i64) -> String {
    if value > 0 { value.to_string() } else { String::new() }
}

/// `inquire-price`: `output`.
pub(crate) fn price(view: &IssueView) -> Value {
    let (issue, s, price) = (view.issue(), &view.state, view.price());
    let mut out = Fields::new();
    put(&mut out, "iscd_stat_cls_code", if s.halted { "58" } else { "00" });
    put(&mut out, "rprs_mrkt_kor_name", market_name(issue.market));
    put(&mut out, "temp_stop_yn", if s.halted { "Y" } else { "N" });
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
    let width = issue.base_price * 3 / 10;
    let width = width - width % rules::tick_size(view.day.day, issue.market, issue.base_price);
    put(&mut out, "rstc_wdth_prc", width);
    put(&mut out, "aspr_unit", rules::tick_size(view.day.day, issue.market, price));
    put(&mut out, "hts_deal_qty_unit_val", 1);
    put(&mut out, "lstn_stcn", known(issue.listed_shares));
    let value = i128::from(price) * i128::from(issue.listed_shares) / 100_000_000;
    put(&mut out, "hts_avls", known(i64::try_from(value).unwrap_or(0)));
    put(&mut out, "vol_tnrt", dec2_text(ratio(s.volume, issue.listed_shares, 10_000)));
    put(&mut out, "stck_shrn_iscd", issue.symbol);
    put(&mut out, "vi_cls_code", if s.interrupted { "Y" } else { "N" });
    put(&mut out, "ovtm_vi_cls_code", "N");
    put(&mut out, "invt_caful_yn", "N");
    put(&mut out, "mrkt_warn_cls_code", "00");
    put(&mut out, "short_over_yn", "N");
    put(&mut out, "sltr_yn", "N");
    json!({ "output": out })
}

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
        put(&mut row, "cntg_vol", trade.quantity);
        put(&mut row, "tday_rltv", dec2_text(trade.strength));
        Value::Object(row)
    });
    json!({ "output": rows.collect::<Vec<_>>() })
}

/// Today so far and the sessions before, newest first.
fn bars(view: &IssueView) -> Vec<DailyBar> {
    let s = &view.state;
    let mut bars = Vec::with_capacity(view.issue().history.len() + 1);
    if s.trades > 0 {
        bars.push(DailyBar {
            day: view.day.day,
            open: s.open,
            high: s.high,
            low: s.low,
            close: s.price,
            volume: s.volume,
        });
    } else if view.issue().halted {
        let price = view.price();
        bars.push(DailyBar {
            day: view.day.day,
            open: price,
            high: price,
            low: price,
            close: price,
            volume: 0,
        });
    }
    bars.extend(view.issue().history.iter().rev());
    bars
}

/// One row of a daily answer; `before` is the session before.
fn daily_row(bar: &DailyBar, before: Option<&DailyBar>) -> Fields {
    let mut row = Fields::new();
    put(&mut row, "stck_bsop_date", bar.day.yyyymmdd());
    put(&mut row, "stck_oprc", bar.open);
    put(&mut row, "stck_hgpr", bar.high);
    put(&mut row, "stck_lwpr", bar.low);
    put(&mut row, "stck_clpr", bar.close);
    put(&mut row, "acml_vol", bar.volume);
    let difference = before.map_or(0, |before| bar.close - before.close);
    put(&mut row, "prdy_vrss", difference);
    put(&mut row, "prdy_vrss_sign", plain_sign(difference));
    put(&mut row, "flng_cls_code", "00");
    row
}

/// `inquire-daily-price`: `output`, 30 days.
pub(crate) fn daily_price(view: &IssueView) -> Value {
    let bars = bars(view);
    let rows = bars.iter().take(30).enumerate().map(|(i, bar)| {
        let before = bars.get(i + 1);
        let mut row = daily_row(bar, before);
        let volume = before.map_or(0, |b| ratio(bar.volume - b.volume, b.volume, 10_000));
        let percent = before.map_or(0, |b| ratio(bar.close - b.close, b.close, 10_000));
        put(&mut row, "prdy_vrss_vol_rate", dec2_text(volume));
        put(&mut row, "prdy_ctrt", dec2_text(percent));
        put(&mut row, "acml_prtt_rate", "0.00");
        Value::Object(row)
    });
    json!({ "output": rows.collect::<Vec<_>>() })
}

/// `inquire-daily-itemchartprice`: `output1` and up to 100 days between two dates.
pub(crate) fn period_chart(view: &IssueView, from: SessionDay, to: SessionDay) -> Value {
    let (issue, s, price) = (view.issue(), &view.state, view.price());
    let mut head = Fields::new();
    change(&mut head, view, price);
    put(&mut head, "stck_prdy_clpr", issue.base_price);
    put(&mut head, "acml_vol", s.volume);
    put(&mut head, "acml_tr_pbmn", s.value);
    put(&mut head, "hts_kor_isnm", &issue.name);
    put(&mut head, "stck_prpr", price);
    put(&mut head, "stck_shrn_iscd", issue.symbol);
    put(&mut head, "prdy_vol", issue.previous_volume);
    put(&mut head, "stck_mxpr", issue.limits.1);
    put(&mut head, "stck_llam", issue.limits.0);
    put(&mut head, "stck_oprc", s.open);
    put(&mut head, "stck_hgpr", s.high);
    put(&mut head, "stck_lwpr", s.low);
    let before = issue.history.last();
    put(&mut head, "stck_prdy_oprc", before.map_or(0, |bar| bar.open));
    put(&mut head, "stck_prdy_hgpr", before.map_or(0, |bar| bar.high));
    put(&mut head, "stck_prdy_lwpr", before.map_or(0, |bar| bar.low));
    put(&mut head, "askp", s.ask);
    put(&mut head, "bidp", s.bid);
    put(&mut head, "prdy_vrss_vol", s.volume - issue.previous_volume);
    put(&mut head, "vol_tnrt", dec2_text(ratio(s.volume, issue.listed_shares, 10_000)));
    put(&mut head, "lstn_stcn", known(issue.listed_shares));

    let bars = bars(view);
    let wanted = bars.iter().enumerate().filter(|(_, bar)| (from..=to).contains(&bar.day));
    let rows = wanted.take(100).map(|(i, bar)| {
        let mut row = daily_row(bar, bars.get(i + 1));
        // Past sessions are known by their bars alone: the value is volume × typical price.
        let typical = (bar.high + bar.low + bar.close) / 3;
        let value = if bar.day == view.day.day { s.value } else { typical * bar.volume };
        put(&mut row, "acml_tr_pbmn", value);
        put(&mut row, "prtt_rate", "0.00");
        put(&mut row, "mod_yn", if bar.volume == 0 { "Y" } else { "N" });
        put(&mut row, "revl_issu_reas", "");
        Value::Object(row)
    });
    json!({ "output1": head, "output2": rows.collect::<Vec<_>>() })
}

/// `inquire-time-itemchartprice`: `output1` and 30 one-minute bars at or before `until_ms`.
pub(crate) fn minute_chart(view: &IssueView, until_ms: u32) -> Value {
    let (issue, s, price) = (view.issue(), &view.state, view.price());
    let mut head = Fields::new();
    change(&mut head, view, price);
    put(&mut head, "stck_prdy_clpr", issue.base_price);
    put(&mut head, "acml_vol", s.volume);
    put(&mut head, "acml_tr_pbmn", s.value);
    put(&mut head, "hts_kor_isnm", &issue.name);
    put(&mut head, "stck_prpr", price);
    let bars = view.minute_bars();
    let wanted = bars.iter().rev().filter(|bar| bar.minute <= until_ms / 60_000);
    let rows = wanted.take(30).map(|bar| {
        let mut row = Fields::new();
        put(&mut row, "stck_bsop_date", view.day.day.yyyymmdd());
        put(&mut row, "stck_cntg_hour", time(bar.minute * 60_000));
        put(&mut row, "stck_prpr", bar.close);
        put(&mut row, "stck_oprc", bar.open);
        put(&mut row, "stck_hgpr", bar.high);
        put(&mut row, "stck_lwpr", bar.low);
        put(&mut row, "cntg_vol", bar.volume);
        put(&mut row, "acml_tr_pbmn", bar.cum_value);
        Value::Object(row)
    });
    json!({ "output1": head, "output2": rows.collect::<Vec<_>>() })
}

/// `inquire-asking-price-exp-ccn`: the book and the last auction.
pub(crate) fn order_book(view: &IssueView) -> Value {
    let (issue, s) = (view.issue(), &view.state);
    let shown = s.trades > 0 || s.expected.is_some();
    let book = if shown { Book::of(view.day.day, issue, s) } else { Book::default() };
    let mut out = Fields::new();
    put(&mut out, "aspr_acpt_hour", format!("{:06}", view.now.time_of_day().hhmmss()));
    for (name, side) in [("askp", &book.asks), ("bidp", &book.bids)] {
        for level in 0..LEVELS {
            put(&mut out, &format!("{name}{}", level + 1), side.prices[level]);
        }
        for level in 0..LEVELS {
            put(&mut out, &format!("{name}_rsqn{}", level + 1), side.sizes[level]);
        }
    }
    put(&mut out, "total_askp_rsqn", book.asks.total);
    put(&mut out, "total_bidp_rsqn", book.bids.total);
    put(&mut out, "ntby_aspr_rsqn", book.bids.total - book.asks.total);
    put(&mut out, "new_mkop_cls_code", "20");
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
    put(&mut out, "acml_tr_pbmn", s.value);
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
    json!({ "output": out })
}

/// `chk-holiday`: 24 days from `from` on. Only weekends are known to be closed.
pub(crate) fn calendar(from: SessionDay) -> Value {
    const DAYS: i32 = 24;
    let day_at = |offset| SessionDay::from_epoch_days(from.epoch_days() + offset);
    let rows: Vec<Value> = (0..DAYS)
        .map(|offset| {
            let day = day_at(offset);
            // 1970-01-01 was a Thursday, which KIS numbers 5; Sunday is 1.
            let weekday = (day.epoch_days() + 4).rem_euclid(7) + 1;
            let open = if day.is_weekend() { "N" } else { "Y" };
            let mut row = Fields::new();
            put(&mut row, "bass_dt", day.yyyymmdd());
            put(&mut row, "wday_dvsn_cd", format!("{weekday:02}"));
            for name in ["bzdy_yn", "tr_day_yn", "opnd_yn", "sttl_day_yn"] {
                put(&mut row, name, open);
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

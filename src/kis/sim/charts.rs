//! Bars of an issue: sessions, weeks, months and years, and minutes of the day being played.
//!
//! The sessions before the played one are those that its source brings along
//! ([`Reference::MAX_CLOSES`](crate::market::Reference::MAX_CLOSES) at most), so a chart ends
//! where they end. Minutes are known for the played day alone.

use serde_json::{Value, json};

use crate::market::{SessionDay, Won, rules};

use super::calls::{Fields, change, empty, known, market_value, put, time};
use super::day::{DailyBar, ms};
use super::state::{plain_sign, ratio};
use super::text::dec2_text;
use super::view::{IssueView, MinuteBar};

/// How long a bar of a chart is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Period {
    Day,
    Week,
    Month,
    Year,
}

impl Period {
    /// The periods by their codes, in the order of [`Period::ALL`].
    pub const CODES: [&str; 4] = ["D", "W", "M", "Y"];
    pub const ALL: [Self; 4] = [Self::Day, Self::Week, Self::Month, Self::Year];

    /// Equal for the days of one period, and growing with time.
    fn of(self, day: SessionDay) -> i64 {
        let (year, month, _) = day.ymd();
        match self {
            Self::Day => day.epoch_days().into(),
            // 1970-01-01 was a Thursday: weeks begin three days before it.
            Self::Week => i64::from(day.epoch_days() + 3).div_euclid(7),
            Self::Month => i64::from(year) * 12 + i64::from(month),
            Self::Year => year.into(),
        }
    }
}

/// A bar with its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ValuedBar {
    bar: DailyBar,
    value: Won,
}

/// Won traded in a past session. Those are known by their bars alone: volume × typical price.
pub(crate) fn value_of(bar: &DailyBar) -> Won {
    (bar.high + bar.low + bar.close) / 3 * bar.volume
}

/// Today so far and the sessions before, newest first.
pub(crate) fn sessions(view: &IssueView) -> Vec<DailyBar> {
    let s = &view.state;
    let mut bars = Vec::with_capacity(view.issue().history.len() + 1);
    let today = |open, high, low, close, volume| DailyBar {
        day: view.day.day,
        open,
        high,
        low,
        close,
        volume,
    };
    if s.trades > 0 {
        bars.push(today(s.open, s.high, s.low, s.price, s.volume));
    } else if view.issue().halted {
        let price = view.price();
        bars.push(today(price, price, price, price, 0));
    }
    bars.extend(view.issue().history.iter().rev());
    bars
}

/// Sessions joined to periods, newest first. A period carries the date of its first session.
fn periods(view: &IssueView, period: Period) -> Vec<ValuedBar> {
    let mut joined: Vec<ValuedBar> = Vec::new();
    for bar in sessions(view) {
        let value = if bar.day == view.day.day { view.state.value } else { value_of(&bar) };
        match joined.last_mut() {
            // From the newest to the oldest: what comes is the earlier part.
            Some(last) if period.of(last.bar.day) == period.of(bar.day) => {
                last.bar.day = bar.day;
                last.bar.open = bar.open;
                last.bar.high = last.bar.high.max(bar.high);
                last.bar.low = last.bar.low.min(bar.low);
                last.bar.volume += bar.volume;
                last.value += value;
            }
            _ => joined.push(ValuedBar { bar, value }),
        }
    }
    joined
}

/// `inquire-daily-price`: `output`, 30 days, weeks or months.
pub(crate) fn daily_price(view: &IssueView, period: Period) -> Value {
    let bars = periods(view, period);
    let rows = bars.iter().take(30).enumerate().map(|(i, ValuedBar { bar, .. })| {
        let before = bars.get(i + 1).map(|before| before.bar);
        let volume = before.map_or(0, |b| ratio(bar.volume - b.volume, b.volume, 10_000));
        let percent = before.map_or(0, |b| ratio(bar.close - b.close, b.close, 10_000));
        let difference = before.map_or(0, |b| bar.close - b.close);
        let mut row = Fields::new();
        put(&mut row, "stck_bsop_date", bar.day.yyyymmdd());
        put(&mut row, "stck_oprc", bar.open);
        put(&mut row, "stck_hgpr", bar.high);
        put(&mut row, "stck_lwpr", bar.low);
        put(&mut row, "stck_clpr", bar.close);
        put(&mut row, "acml_vol", bar.volume);
        put(&mut row, "prdy_vrss_vol_rate", dec2_text(volume));
        put(&mut row, "prdy_vrss", difference);
        put(&mut row, "prdy_vrss_sign", plain_sign(difference));
        put(&mut row, "prdy_ctrt", dec2_text(percent));
        empty(&mut row, &["hts_frgn_ehrt", "frgn_ntby_qty"]);
        put(&mut row, "flng_cls_code", "00");
        put(&mut row, "acml_prtt_rate", "0.00");
        Value::Object(row)
    });
    json!({ "output": rows.collect::<Vec<_>>() })
}

/// `inquire-daily-itemchartprice`: `output1` and up to 100 periods between two dates.
pub(crate) fn period_chart(
    view: &IssueView,
    period: Period,
    from: SessionDay,
    to: SessionDay,
) -> Value {
    let bars = periods(view, period);
    let within = |bar: &ValuedBar| {
        let at = period.of(bar.bar.day);
        (period.of(from)..=period.of(to)).contains(&at)
    };
    let wanted = bars.iter().enumerate().filter(|(_, bar)| within(bar));
    let rows = wanted.take(100).map(|(i, ValuedBar { bar, value })| {
        let difference = bars.get(i + 1).map_or(0, |before| bar.close - before.bar.close);
        let mut row = Fields::new();
        put(&mut row, "stck_bsop_date", bar.day.yyyymmdd());
        put(&mut row, "stck_clpr", bar.close);
        put(&mut row, "stck_oprc", bar.open);
        put(&mut row, "stck_hgpr", bar.high);
        put(&mut row, "stck_lwpr", bar.low);
        put(&mut row, "acml_vol", bar.volume);
        put(&mut row, "acml_tr_pbmn", value);
        put(&mut row, "flng_cls_code", "00");
        put(&mut row, "prtt_rate", "0.00");
        put(&mut row, "mod_yn", if bar.volume == 0 { "Y" } else { "N" });
        put(&mut row, "prdy_vrss_sign", plain_sign(difference));
        put(&mut row, "prdy_vrss", difference);
        put(&mut row, "revl_issu_reas", "");
        Value::Object(row)
    });
    json!({ "output1": period_head(view), "output2": rows.collect::<Vec<_>>() })
}

fn period_head(view: &IssueView) -> Fields {
    let (issue, s, price) = (view.issue(), &view.state, view.price());
    let mut head = summary(view);
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
    put(&mut head, "stck_fcam", "");
    put(&mut head, "lstn_stcn", known(issue.listed_shares));
    put(&mut head, "cpfn", "");
    put(&mut head, "hts_avls", known(market_value(price, issue.listed_shares)));
    // The blank in the last name is KIS's own.
    empty(&mut head, &["per", "eps", "pbr", "itewhol_loan_rmnd_ratem name"]);
    head
}

/// What the head of every chart begins with.
fn summary(view: &IssueView) -> Fields {
    let (issue, s, price) = (view.issue(), &view.state, view.price());
    let mut head = Fields::new();
    change(&mut head, view, price);
    put(&mut head, "stck_prdy_clpr", issue.base_price);
    put(&mut head, "acml_vol", s.volume);
    put(&mut head, "acml_tr_pbmn", s.value);
    put(&mut head, "hts_kor_isnm", &issue.name);
    put(&mut head, "stck_prpr", price);
    head
}

/// `inquire-time-itemchartprice` and `inquire-time-dailychartprice`: `output1` and at most `most`
/// bars of one minute at or before `until_ms` on `day`.
///
/// Minutes of other days than the played one are not known. A minute to come, up to the close, is
/// flat at the present price; the present minute shows the volume of the bar before until it has
/// a trade of its own.
pub(crate) fn minute_chart(view: &IssueView, day: SessionDay, until_ms: u32, most: usize) -> Value {
    let mut bars = if day == view.day.day { view.minute_bars() } else { Vec::new() };
    let present = view.now.time_of_day().seconds() / 60;
    let until = until_ms.min(ms(rules::CLOSE)) / 60_000;
    if let Some(last) = bars.last().copied() {
        let flat = |minute, volume| {
            let (open, high, low) = (last.close, last.close, last.close);
            MinuteBar { minute, open, high, low, volume, ..last }
        };
        let to_come = present.max(last.minute + 1)..=until;
        bars.extend(to_come.map(|at| flat(at, if at == present { last.volume } else { 0 })));
    }
    let wanted = bars.iter().rev().filter(|bar| bar.minute <= until_ms / 60_000);
    let rows = wanted.take(most).map(|bar| {
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
    json!({ "output1": summary(view), "output2": rows.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_begin_on_monday() {
        let week = |text: &str| Period::Week.of(text.parse().unwrap());
        assert_eq!(week("2026-09-14"), week("2026-09-20"));
        assert_eq!(week("2026-09-13") + 1, week("2026-09-14"));
        let month = |text: &str| Period::Month.of(text.parse().unwrap());
        assert_eq!(month("2026-01-01"), month("2025-12-31") + 1);
    }
}

//! Calls whose answers are kept as they came: what collection asks for.
//!
//! Each gives [`Asked`]: every body that KIS sent for it, also of attempts that failed, and what
//! was read from them. So the raw answer can be archived whatever became of the call.

use bytes::Bytes;
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};

use super::super::answer::{Answer, DailyChart, Price};
use super::super::{Environment, KisError};
use super::{Call, DAILY_BARS, INQUIRE_PRICE, KisClient, QUOTATIONS, RANKING, TRADING};
use crate::market::{SessionDay, Side, Symbol, TimeOfDay, Won};

const LATEST_TRADES: Call =
    Call { base: QUOTATIONS, name: "latest_trades", path: "inquire-ccnl", tr_id: "FHKST01010300" };
const MINUTE_BARS: Call = Call {
    base: QUOTATIONS,
    name: "minute_bars",
    path: "inquire-time-itemchartprice",
    tr_id: "FHKST03010200",
};
const VOLUME_RANK: Call =
    Call { base: QUOTATIONS, name: "volume_rank", path: "volume-rank", tr_id: "FHPST01710000" };
const MARKET_CAP_RANK: Call =
    Call { base: RANKING, name: "market_cap_rank", path: "market-cap", tr_id: "FHPST01740000" };
const ORDER_HISTORY: Call =
    Call { base: TRADING, name: "order_history", path: "inquire-daily-ccld", tr_id: "TTTC0081R" };
/// The same in paper trading.
const PAPER_ORDER_HISTORY: Call = Call { tr_id: "VTTC0081R", ..ORDER_HISTORY };

/// Pages of an account's orders asked for, at most: 1,500 orders in paper trading.
const MOST_PAGES: usize = 100;

/// A body as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawAnswer {
    /// Short name of the call.
    pub endpoint: &'static str,
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

/// Collects the bodies of a call.
#[derive(Debug, Default)]
pub(super) struct Notes(Mutex<Vec<RawAnswer>>);

impl Notes {
    pub(super) fn push(&self, raw: RawAnswer) {
        self.0.lock().push(raw);
    }
}

/// The bodies of a call, and what was read from them.
#[derive(Debug)]
pub struct Asked<T> {
    /// In the order in which they came; the last one is that of `result`.
    pub raws: Vec<RawAnswer>,
    /// What they say.
    pub result: Result<T, KisError>,
}

impl<T> Asked<T> {
    fn new(notes: Notes, result: Result<T, KisError>) -> Self {
        Self { raws: notes.0.into_inner(), result }
    }
}

/// One of the newest trades of an issue (`inquire-ccnl`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LatestTrade {
    /// Time of the trade.
    pub time: TimeOfDay,
    /// Price, won.
    pub price: Won,
    /// Shares.
    pub quantity: i64,
}

/// A minute of an issue (`inquire-time-itemchartprice`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinuteBar {
    /// Session day.
    pub day: SessionDay,
    /// Minute.
    pub minute: TimeOfDay,
    /// Open, won.
    pub open: Won,
    /// High, won.
    pub high: Won,
    /// Low, won.
    pub low: Won,
    /// Close, won.
    pub close: Won,
    /// Shares traded within it.
    pub volume: i64,
    /// Value traded since the opening, won.
    pub cum_value: Won,
}

/// An order of an account (`inquire-daily-ccld`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderLine {
    /// Day of the order.
    pub day: SessionDay,
    /// Time of the order.
    pub time: TimeOfDay,
    /// Branch that numbered it.
    pub branch: String,
    /// Its number.
    pub number: String,
    /// Issue.
    pub symbol: Symbol,
    /// Bought or sold.
    pub side: Side,
    /// Shares ordered.
    pub ordered: i64,
    /// Shares filled.
    pub filled: i64,
    /// Value of the fills, won.
    pub filled_value: Won,
}

/// A KIS account: eight digits and the two of its product.
#[derive(Clone)]
pub struct Account {
    number: SecretString,
    product: String,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Account(***)")
    }
}

impl Account {
    /// The account written `12345678-01`, `1234567801` or, for product 01, `12345678`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: String = text.trim().chars().filter(|c| *c != '-').collect();
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        let product = match digits.len() {
            8 => "01",
            10 => &digits[8..],
            _ => return None,
        };
        plain.then(|| Self { number: digits[..8].into(), product: product.to_owned() })
    }

    /// The eight digits. Never to be shown or stored.
    #[must_use]
    pub fn number(&self) -> &str {
        self.number.expose_secret()
    }

    /// The two digits of the product.
    #[must_use]
    pub fn product(&self) -> &str {
        &self.product
    }
}

/// By what issues are ranked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ranking {
    /// Market value.
    MarketCap,
    /// Average volume.
    Volume,
}

impl KisClient {
    /// The current price, see [`Self::inquire_price`].
    pub async fn ask_price(&self, symbol: Symbol) -> Asked<Price> {
        let notes = Notes::default();
        let query = [("FID_COND_MRKT_DIV_CODE", "J"), ("FID_INPUT_ISCD", symbol.as_str())];
        let answer = self.get_noted(INQUIRE_PRICE, &query, false, Some(&notes)).await;
        let result = answer.and_then(|answer| Price::of(symbol, &answer));
        Asked::new(notes, result)
    }

    /// Daily bars, see [`Self::daily_bars`].
    pub async fn ask_daily_bars(
        &self,
        symbol: Symbol,
        from: SessionDay,
        to: SessionDay,
    ) -> Asked<DailyChart> {
        let notes = Notes::default();
        let (from, to) = (from.yyyymmdd().to_string(), to.yyyymmdd().to_string());
        let query = [
            ("FID_COND_MRKT_DIV_CODE", "J"),
            ("FID_INPUT_ISCD", symbol.as_str()),
            ("FID_INPUT_DATE_1", &from),
            ("FID_INPUT_DATE_2", &to),
            ("FID_PERIOD_DIV_CODE", "D"),
            ("FID_ORG_ADJ_PRC", "0"),
        ];
        let answer = self.get_noted(DAILY_BARS, &query, false, Some(&notes)).await;
        let result = answer.and_then(|answer| DailyChart::of(symbol, &answer));
        Asked::new(notes, result)
    }

    /// The newest trades of an issue, at most 30, newest first.
    pub async fn ask_latest_trades(&self, symbol: Symbol) -> Asked<Vec<LatestTrade>> {
        let notes = Notes::default();
        let query = [("FID_COND_MRKT_DIV_CODE", "J"), ("FID_INPUT_ISCD", symbol.as_str())];
        let answer = self.get_noted(LATEST_TRADES, &query, false, Some(&notes)).await;
        let result = answer.and_then(|answer| latest_trades(&answer));
        Asked::new(notes, result)
    }

    /// The minutes of today's session up to `until`, oldest first: as many calls of 30 as it takes.
    pub async fn ask_minute_bars(
        &self,
        symbol: Symbol,
        day: SessionDay,
        until: TimeOfDay,
    ) -> Asked<Vec<MinuteBar>> {
        let notes = Notes::default();
        let result = self.page_minutes(symbol, day, until, &notes).await;
        Asked::new(notes, result)
    }

    async fn page_minutes(
        &self,
        symbol: Symbol,
        day: SessionDay,
        until: TimeOfDay,
        notes: &Notes,
    ) -> Result<Vec<MinuteBar>, KisError> {
        let mut bars: Vec<MinuteBar> = Vec::new();
        let mut until = Some(until);
        // Each page ends before the one before it: a day has 1,440 minutes.
        while let Some(hour) = until {
            let hour = format!("{:06}", hour.hhmmss());
            let query = [
                ("FID_ETC_CLS_CODE", ""),
                ("FID_COND_MRKT_DIV_CODE", "J"),
                ("FID_INPUT_ISCD", symbol.as_str()),
                ("FID_INPUT_HOUR_1", hour.as_str()),
                ("FID_PW_DATA_INCU_YN", "N"),
            ];
            let answer = self.get_noted(MINUTE_BARS, &query, false, Some(notes)).await?;
            let oldest = bars.last().map(|bar| bar.minute);
            let rows = minute_bars(&answer)?;
            let rows = rows
                .into_iter()
                .filter(|bar| bar.day == day && oldest.is_none_or(|oldest| bar.minute < oldest));
            let known = bars.len();
            bars.extend(rows);
            bars[known..].sort_by_key(|bar| std::cmp::Reverse(bar.minute));
            bars.dedup_by_key(|bar| bar.minute);
            until = (bars.len() > known)
                .then(|| bars.last().map_or(0, |bar| bar.minute.seconds()))
                .and_then(|seconds| TimeOfDay::from_seconds(seconds.checked_sub(60)?));
        }
        bars.reverse();
        Ok(bars)
    }

    /// The issues at the top of a ranking, best first, at most 30. Not in paper trading.
    pub async fn ask_ranking(&self, ranking: Ranking) -> Asked<Vec<Symbol>> {
        let notes = Notes::default();
        let (call, query): (Call, &[(&str, &str)]) = match ranking {
            Ranking::MarketCap => (
                MARKET_CAP_RANK,
                &[
                    ("fid_input_price_2", ""),
                    ("fid_cond_mrkt_div_code", "J"),
                    ("fid_cond_scr_div_code", "20174"),
                    ("fid_div_cls_code", "1"),
                    ("fid_input_iscd", "0000"),
                    ("fid_trgt_cls_code", "0"),
                    ("fid_trgt_exls_cls_code", "0"),
                    ("fid_input_price_1", ""),
                    ("fid_vol_cnt", ""),
                ],
            ),
            Ranking::Volume => (
                VOLUME_RANK,
                &[
                    ("FID_COND_MRKT_DIV_CODE", "J"),
                    ("FID_COND_SCR_DIV_CODE", "20171"),
                    ("FID_INPUT_ISCD", "0000"),
                    ("FID_DIV_CLS_CODE", "1"),
                    ("FID_BLNG_CLS_CODE", "0"),
                    ("FID_TRGT_CLS_CODE", "111111111"),
                    ("FID_TRGT_EXLS_CLS_CODE", "0000001101"),
                    ("FID_INPUT_PRICE_1", ""),
                    ("FID_INPUT_PRICE_2", ""),
                    ("FID_VOL_CNT", ""),
                    ("FID_INPUT_DATE_1", ""),
                ],
            ),
        };
        let answer = self.get_noted(call, query, false, Some(&notes)).await;
        let result = answer.and_then(|answer| ranked(&answer));
        Asked::new(notes, result)
    }

    /// The orders of an account from `from` to `to`, at most three months back: all pages.
    pub async fn ask_orders(
        &self,
        account: &Account,
        from: SessionDay,
        to: SessionDay,
    ) -> Asked<Vec<OrderLine>> {
        let notes = Notes::default();
        let result = self.page_orders(account, from, to, &notes).await;
        Asked::new(notes, result)
    }

    async fn page_orders(
        &self,
        account: &Account,
        from: SessionDay,
        to: SessionDay,
        notes: &Notes,
    ) -> Result<Vec<OrderLine>, KisError> {
        let call = match self.environment() {
            Environment::Real => ORDER_HISTORY,
            Environment::Mock => PAPER_ORDER_HISTORY,
        };
        let (from, to) = (from.yyyymmdd().to_string(), to.yyyymmdd().to_string());
        let mut orders = Vec::new();
        let mut place = (String::new(), String::new());
        for page in 0..MOST_PAGES {
            let query = [
                ("CANO", account.number()),
                ("ACNT_PRDT_CD", account.product()),
                ("INQR_STRT_DT", &from),
                ("INQR_END_DT", &to),
                ("SLL_BUY_DVSN_CD", "00"),
                ("INQR_DVSN", "00"),
                ("PDNO", ""),
                ("CCLD_DVSN", "00"),
                ("ORD_GNO_BRNO", ""),
                ("ODNO", ""),
                ("INQR_DVSN_3", "00"),
                ("INQR_DVSN_1", ""),
                ("EXCG_ID_DVSN_CD", "KRX"),
                ("CTX_AREA_FK100", &place.0),
                ("CTX_AREA_NK100", &place.1),
            ];
            let answer = self.get_noted(call, &query, page > 0, Some(notes)).await?;
            orders.extend(order_lines(&answer)?);
            let top = answer.top();
            let key = |lower, upper| {
                top.text(lower).or_else(|| top.text(upper)).unwrap_or_default().to_owned()
            };
            place =
                (key("ctx_area_fk100", "CTX_AREA_FK100"), key("ctx_area_nk100", "CTX_AREA_NK100"));
            if !answer.has_next || place.1.is_empty() {
                return Ok(orders);
            }
        }
        Err(KisError::Malformed {
            endpoint: call.name,
            status: 200,
            detail: format!("more than {MOST_PAGES} pages"),
        })
    }
}

fn time(row: &super::super::answer::Fields<'_>, name: &str) -> Result<Option<TimeOfDay>, KisError> {
    let Some(text) = row.text(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| row.refuse(name, text, "a time HHMMSS"))
}

fn latest_trades(answer: &Answer) -> Result<Vec<LatestTrade>, KisError> {
    let mut trades = Vec::new();
    for row in answer.rows("output")? {
        let (Some(time), Some(price), Some(quantity)) =
            (time(&row, "stck_cntg_hour")?, row.positive("stck_prpr")?, row.positive("cntg_vol")?)
        else {
            return Err(answer.malformed("a trade without time, price or size".to_owned()));
        };
        trades.push(LatestTrade { time, price, quantity });
    }
    Ok(trades)
}

fn minute_bars(answer: &Answer) -> Result<Vec<MinuteBar>, KisError> {
    let mut bars = Vec::new();
    for row in answer.rows("output2")? {
        let (Some(day), Some(minute), Some(close)) =
            (row.day("stck_bsop_date")?, time(&row, "stck_cntg_hour")?, row.positive("stck_prpr")?)
        else {
            continue;
        };
        let price = |name| Ok::<_, KisError>(row.positive(name)?.unwrap_or(close));
        bars.push(MinuteBar {
            day,
            minute: TimeOfDay::from_seconds(minute.seconds() / 60 * 60).unwrap_or(minute),
            open: price("stck_oprc")?,
            high: price("stck_hgpr")?,
            low: price("stck_lwpr")?,
            close,
            volume: row.integer("cntg_vol")?.unwrap_or(0),
            cum_value: row.integer("acml_tr_pbmn")?.unwrap_or(0),
        });
    }
    Ok(bars)
}

fn ranked(answer: &Answer) -> Result<Vec<Symbol>, KisError> {
    // Documents write it both ways.
    let rows = answer.rows("output").or_else(|_| answer.rows("Output"))?;
    let codes = rows.iter().filter_map(|row| row.text("mksc_shrn_iscd"));
    codes
        .map(|code| {
            code.parse()
                .map_err(|_| answer.malformed(format!("mksc_shrn_iscd = \"{code}\" is no code")))
        })
        .collect()
}

fn order_lines(answer: &Answer) -> Result<Vec<OrderLine>, KisError> {
    let mut orders = Vec::new();
    for row in answer.rows("output1")? {
        let (Some(day), Some(number)) = (row.day("ord_dt")?, row.text("odno")) else { continue };
        let code = row.text("pdno").unwrap_or_default();
        let side = row.text("sll_buy_dvsn_cd").unwrap_or_default();
        orders.push(OrderLine {
            day,
            time: time(&row, "ord_tmd")?.unwrap_or_default(),
            branch: row.text("ord_gno_brno").unwrap_or("00000").to_owned(),
            number: number.to_owned(),
            symbol: code.parse().map_err(|_| row.refuse("pdno", code, "an issue code"))?,
            side: match side {
                "01" => Side::Sell,
                "02" => Side::Buy,
                _ => return Err(row.refuse("sll_buy_dvsn_cd", side, "01 or 02")),
            },
            ordered: row.integer("ord_qty")?.unwrap_or(0),
            filled: row.integer("tot_ccld_qty")?.unwrap_or(0),
            filled_value: row.integer("tot_ccld_amt")?.unwrap_or(0),
        });
    }
    Ok(orders)
}

#[cfg(test)]
mod tests;

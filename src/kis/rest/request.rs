//! A call before it is sent, and the answer before it is read.

use std::fmt;

use bytes::Bytes;

use super::super::answer::Answer;
use super::super::{Account, Environment, KisError};
use super::Endpoint;
use crate::market::{EventTime, SessionDay, Symbol, TimeOfDay, Won};

/// One call: what is asked. Prints without the account.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    pub(super) endpoint: Endpoint,
    pub(super) query: Vec<(&'static str, String)>,
    /// Asks for the next page of an answer.
    pub(super) continued: bool,
}

/// An answer that KIS did not refuse, as it came.
#[derive(Clone, PartialEq, Eq)]
pub struct Raw {
    /// Call it answers.
    pub endpoint: Endpoint,
    /// TR ID the call was made with.
    pub tr_id: &'static str,
    /// HTTP status.
    pub status: u16,
    /// Body, JSON.
    pub body: Bytes,
    /// When the last byte came, by our clock.
    pub received_at: EventTime,
    /// KIS says that another page follows.
    pub more: bool,
}

impl Raw {
    /// An answer from an archive.
    #[must_use]
    pub fn archived(endpoint: Endpoint, body: Bytes, received_at: EventTime) -> Self {
        let tr_id = endpoint.tr_id(Environment::Real).unwrap_or_default();
        Self { endpoint, tr_id, status: 200, body, received_at, more: false }
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Raw")
            .field("endpoint", &self.endpoint)
            .field("status", &self.status)
            .field("bytes", &self.body.len())
            .field("received_at", &self.received_at)
            .field("more", &self.more)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.query.iter().filter(|(name, _)| {
            // The keys of the next page repeat the account.
            *name != "CANO" && !name.starts_with("CTX_AREA")
        });
        f.debug_struct("Request")
            .field("endpoint", &self.endpoint)
            .field("query", &shown.collect::<Vec<_>>())
            .field("continued", &self.continued)
            .finish()
    }
}

/// The exchange whose prices are asked for: KRX.
const KRX: &str = "J";

fn date(day: SessionDay) -> String {
    day.yyyymmdd().to_string()
}

fn hour(time: TimeOfDay) -> String {
    format!("{:06}", time.hhmmss())
}

impl Request {
    fn new(endpoint: Endpoint, query: &[(&'static str, &str)]) -> Self {
        let query = query.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Self { endpoint, query, continued: false }
    }

    fn of_issue(endpoint: Endpoint, symbol: Symbol, more: &[(&'static str, &str)]) -> Self {
        let issue = [("FID_COND_MRKT_DIV_CODE", KRX), ("FID_INPUT_ISCD", symbol.as_str())];
        Self::new(endpoint, &[&issue, more].concat())
    }

    fn of_account(endpoint: Endpoint, account: &Account, more: &[(&'static str, &str)]) -> Self {
        let whose = [("CANO", account.number()), ("ACNT_PRDT_CD", account.product())];
        Self::new(endpoint, &[&whose, more].concat())
    }

    /// The call that this makes.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// The current price of an issue; [`super::super::Price`] reads the answer.
    #[must_use]
    pub fn inquire_price(symbol: Symbol) -> Self {
        Self::of_issue(Endpoint::InquirePrice, symbol, &[])
    }

    /// The latest trades of an issue; [`super::super::Execution`] reads the answer.
    #[must_use]
    pub fn latest_trades(symbol: Symbol) -> Self {
        Self::of_issue(Endpoint::LatestTrades, symbol, &[])
    }

    /// The last 30 sessions of an issue; [`super::super::DailyPrice`] reads the answer.
    #[must_use]
    pub fn daily_prices(symbol: Symbol) -> Self {
        let more = [("FID_PERIOD_DIV_CODE", "D"), ("FID_ORG_ADJ_PRC", "0")];
        Self::of_issue(Endpoint::DailyPrices, symbol, &more)
    }

    /// The newest 100 sessions from `from` to `to`, adjusted for splits; [`super::super::DailyChart`]
    /// reads the answer.
    #[must_use]
    pub fn daily_bars(symbol: Symbol, from: SessionDay, to: SessionDay) -> Self {
        let (from, to) = (date(from), date(to));
        let more = [
            ("FID_INPUT_DATE_1", from.as_str()),
            ("FID_INPUT_DATE_2", to.as_str()),
            ("FID_PERIOD_DIV_CODE", "D"),
            ("FID_ORG_ADJ_PRC", "0"),
        ];
        Self::of_issue(Endpoint::DailyBars, symbol, &more)
    }

    /// Today's newest 30 minutes at or before `until`; [`super::super::MinuteChart`] reads the answer.
    #[must_use]
    pub fn minute_bars(symbol: Symbol, until: TimeOfDay) -> Self {
        let more = [
            ("FID_ETC_CLS_CODE", ""),
            ("FID_INPUT_HOUR_1", &hour(until)),
            ("FID_PW_DATA_INCU_YN", "Y"),
        ];
        Self::of_issue(Endpoint::MinuteBars, symbol, &more)
    }

    /// The newest 120 minutes of `day` at or before `until`; [`super::super::MinuteChart`] reads the
    /// answer. Reaches back about a year; not in paper trading.
    #[must_use]
    pub fn minute_bars_of_day(symbol: Symbol, day: SessionDay, until: TimeOfDay) -> Self {
        let more = [
            ("FID_INPUT_DATE_1", date(day).as_str()),
            ("FID_INPUT_HOUR_1", &hour(until)),
            ("FID_PW_DATA_INCU_YN", "Y"),
            ("FID_FAKE_TICK_INCU_YN", ""),
        ]
        .map(|(name, value)| (name, value.to_owned()));
        let more = more.each_ref().map(|(name, value)| (*name, value.as_str()));
        Self::of_issue(Endpoint::MinuteBarsOfDay, symbol, &more)
    }

    /// The order book of an issue; [`super::super::OrderBook`] reads the answer.
    #[must_use]
    pub fn order_book(symbol: Symbol) -> Self {
        Self::of_issue(Endpoint::OrderBook, symbol, &[])
    }

    /// The level of a sector index; [`super::super::IndexPrice`] reads the answer. Not in paper
    /// trading.
    #[must_use]
    pub fn index_price(code: Symbol) -> Self {
        let query = [("FID_COND_MRKT_DIV_CODE", "U"), ("FID_INPUT_ISCD", code.as_str())];
        Self::new(Endpoint::IndexPrice, &query)
    }

    /// The calendar from `from` on, about 24 days; [`super::super::CalendarDay`] reads the answer. For
    /// more, move the day. Not in paper trading.
    #[must_use]
    pub fn holidays(from: SessionDay) -> Self {
        let query = [("BASS_DT", date(from).as_str()), ("CTX_AREA_NK", ""), ("CTX_AREA_FK", "")]
            .map(|(name, value)| (name, value.to_owned()));
        Self { endpoint: Endpoint::Holidays, query: query.into(), continued: false }
    }

    /// All volatility interruptions of `day`; [`super::super::ViEvent`] reads the answer. Not in paper
    /// trading.
    #[must_use]
    pub fn vi_status(day: SessionDay) -> Self {
        let day = date(day);
        let query = [
            ("FID_DIV_CLS_CODE", "0"),
            ("FID_COND_SCR_DIV_CODE", "20139"),
            ("FID_MRKT_CLS_CODE", "0"),
            ("FID_INPUT_ISCD", ""),
            ("FID_RANK_SORT_CLS_CODE", "0"),
            ("FID_INPUT_DATE_1", day.as_str()),
            ("FID_TRGT_CLS_CODE", ""),
            ("FID_TRGT_EXLS_CLS_CODE", ""),
        ];
        Self::new(Endpoint::ViStatus, &query)
    }

    /// The 30 issues with the largest volume; [`super::super::VolumeRankRow`] reads the answer. Not in
    /// paper trading.
    #[must_use]
    pub fn volume_rank() -> Self {
        let query = [
            ("FID_COND_MRKT_DIV_CODE", KRX),
            ("FID_COND_SCR_DIV_CODE", "20171"),
            ("FID_INPUT_ISCD", "0000"),
            ("FID_DIV_CLS_CODE", "0"),
            ("FID_BLNG_CLS_CODE", "0"),
            ("FID_TRGT_CLS_CODE", "111111111"),
            ("FID_TRGT_EXLS_CLS_CODE", "0000000000"),
            ("FID_INPUT_PRICE_1", ""),
            ("FID_INPUT_PRICE_2", ""),
            ("FID_VOL_CNT", ""),
            ("FID_INPUT_DATE_1", ""),
        ];
        Self::new(Endpoint::VolumeRank, &query)
    }

    /// The 30 issues with the largest market value; [`super::super::MarketCapRow`] reads the answer.
    /// Not in paper trading.
    #[must_use]
    pub fn market_cap_rank() -> Self {
        let query = [
            ("fid_input_price_2", ""),
            ("fid_cond_mrkt_div_code", KRX),
            ("fid_cond_scr_div_code", "20174"),
            ("fid_div_cls_code", "0"),
            ("fid_input_iscd", "0000"),
            ("fid_trgt_cls_code", "0"),
            ("fid_trgt_exls_cls_code", "0"),
            ("fid_input_price_1", ""),
            ("fid_vol_cnt", ""),
        ];
        Self::new(Endpoint::MarketCapRank, &query)
    }

    /// Holdings and money of an account; [`super::super::Balance`] reads the pages.
    #[must_use]
    pub fn balance(account: &Account) -> Self {
        let more = [
            ("AFHR_FLPR_YN", "N"),
            ("OFL_YN", ""),
            ("INQR_DVSN", "02"),
            ("UNPR_DVSN", "01"),
            ("FUND_STTL_ICLD_YN", "N"),
            ("FNCG_AMT_AUTO_RDPT_YN", "N"),
            ("PRCS_DVSN", "00"),
            ("CTX_AREA_FK100", ""),
            ("CTX_AREA_NK100", ""),
        ];
        Self::of_account(Endpoint::Balance, account, &more)
    }

    /// Orders of an account from `from` to `to`, newest first; [`super::super::OrderHistory`] reads the
    /// pages. KIS keeps the last three months before `today` apart from what is older, so this is one
    /// call or two, the recent one first; none when `from` is after `to`.
    #[must_use]
    pub fn order_history(
        environment: Environment,
        account: &Account,
        from: SessionDay,
        to: SessionDay,
        today: SessionDay,
    ) -> Vec<Self> {
        let recent = three_months_before(today);
        let mut requests = Vec::new();
        if to >= recent && from <= to {
            let from = from.max(recent);
            requests.push(Self::orders(Endpoint::OrderHistory, environment, account, from, to));
        }
        if from < recent && from <= to {
            let to = to.min(SessionDay::from_epoch_days(recent.epoch_days() - 1));
            requests.push(Self::orders(Endpoint::OldOrderHistory, environment, account, from, to));
        }
        requests
    }

    fn orders(
        endpoint: Endpoint,
        environment: Environment,
        account: &Account,
        from: SessionDay,
        to: SessionDay,
    ) -> Self {
        let (from, to) = (date(from), date(to));
        let exchange = match environment {
            Environment::Real => "ALL",
            Environment::Mock => "KRX",
        };
        let more = [
            ("INQR_STRT_DT", from.as_str()),
            ("INQR_END_DT", to.as_str()),
            ("SLL_BUY_DVSN_CD", "00"),
            ("PDNO", ""),
            ("CCLD_DVSN", "00"),
            ("INQR_DVSN", "00"),
            ("INQR_DVSN_1", ""),
            ("INQR_DVSN_3", "00"),
            ("ORD_GNO_BRNO", ""),
            ("ODNO", ""),
            ("EXCG_ID_DVSN_CD", exchange),
            ("CTX_AREA_FK100", ""),
            ("CTX_AREA_NK100", ""),
        ];
        Self::of_account(endpoint, account, &more)
    }

    /// Orders of an account that are still open; [`super::super::OpenOrder`] reads the pages. Not in
    /// paper trading.
    #[must_use]
    pub fn open_orders(account: &Account) -> Self {
        let more = [
            ("INQR_DVSN_1", "0"),
            ("INQR_DVSN_2", "0"),
            ("CTX_AREA_FK100", ""),
            ("CTX_AREA_NK100", ""),
        ];
        Self::of_account(Endpoint::OpenOrders, account, &more)
    }

    /// What an account could buy of `symbol`, at `price` or (`None`) at the market;
    /// [`super::super::BuyingPower`] reads the answer.
    #[must_use]
    pub fn buying_power(account: &Account, symbol: Symbol, price: Option<Won>) -> Self {
        let (kind, price) = price.map_or(("01", String::new()), |price| ("00", price.to_string()));
        let more = [
            ("PDNO", symbol.as_str()),
            ("ORD_UNPR", price.as_str()),
            ("ORD_DVSN", kind),
            ("CMA_EVLU_AMT_ICLD_YN", "N"),
            ("OVRS_ICLD_YN", "N"),
        ];
        Self::of_account(Endpoint::BuyingPower, account, &more)
    }

    /// The request for the page after `raw`; `None` after the last one.
    ///
    /// # Errors
    /// [`KisError::Malformed`] when KIS promises another page and names none, or the same one.
    pub fn next_page(&self, raw: &Raw) -> Result<Option<Self>, KisError> {
        if !raw.more {
            return Ok(None);
        }
        let answer = Answer::read(raw.endpoint.name(), raw.status, &raw.body)?;
        let mut next = Self { continued: true, ..self.clone() };
        let mut keys = 0;
        for (name, value) in &mut next.query {
            if name.starts_with("CTX_AREA") {
                // As it is, blanks included: the value is KIS's.
                let found = answer.body.get(&name.to_ascii_lowercase());
                let found = found.and_then(serde_json::Value::as_str).unwrap_or_default();
                keys += usize::from(!found.trim().is_empty());
                found.clone_into(value);
            }
        }
        if keys == 0 || next == *self {
            let detail = "another page promised, but no key that leads to it".into();
            return Err(answer.malformed(detail));
        }
        Ok(Some(next))
    }
}

/// The same day of the month three months earlier, or the last one of that month.
fn three_months_before(day: SessionDay) -> SessionDay {
    let (year, month, of_month) = day.ymd();
    let (year, month) = if month > 3 { (year, month - 3) } else { (year - 1, month + 9) };
    (1..=of_month).rev().find_map(|day| SessionDay::from_ymd(year, month, day)).unwrap_or(day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> SessionDay {
        text.parse().unwrap()
    }

    #[test]
    fn orders_are_asked_for_where_kis_keeps_them() {
        assert_eq!(three_months_before(day("2026-05-31")), day("2026-02-28"));
        assert_eq!(three_months_before(day("2026-01-15")), day("2025-10-15"));
        let account = "12345678-01".parse().unwrap();
        let asked = |from, to| -> Vec<_> {
            let today = day("2026-09-15");
            Request::order_history(Environment::Real, &account, day(from), day(to), today)
                .iter()
                .map(|request| {
                    let at = |name| {
                        request.query.iter().find(|(key, _)| *key == name).unwrap().1.clone()
                    };
                    (request.endpoint, at("INQR_STRT_DT"), at("INQR_END_DT"))
                })
                .collect()
        };
        let row = |endpoint, from: &str, to: &str| (endpoint, from.to_owned(), to.to_owned());
        let (recent, old) = (Endpoint::OrderHistory, Endpoint::OldOrderHistory);
        assert_eq!(asked("2026-09-01", "2026-09-15"), [row(recent, "20260901", "20260915")]);
        assert_eq!(asked("2026-01-01", "2026-02-01"), [row(old, "20260101", "20260201")]);
        assert_eq!(
            asked("2026-06-01", "2026-07-01"),
            [row(recent, "20260615", "20260701"), row(old, "20260601", "20260614")]
        );
        assert_eq!(asked("2026-07-02", "2026-07-01"), []);
    }

    #[test]
    fn a_request_prints_no_account() {
        let account = "12345678-01".parse().unwrap();
        let mut request = Request::balance(&account);
        request.query.push(("CTX_AREA_FK100", "12345678^01".into()));
        assert!(!format!("{request:?}").contains("12345678"));
    }
}

//! What the REST calls answer, typed.
//!
//! KIS sends every value as text, numbers too, pads texts with blanks and leaves out or empties
//! fields it documents. So every field is optional here: absent, empty and blank are `None`; a text
//! that should be a number and is none makes the answer malformed. JSON numbers are accepted too.
//!
//! Reading is apart from fetching: every `of` takes a [`Raw`] answer, be it fresh or from an archive.
//! A refusal of KIS in it is [`KisError::Refused`].

mod account;
mod book;
mod calendar;
mod fields;
mod minutes;
mod ranking;
mod trades;
mod vi;

pub use account::{
    Balance, BuyingPower, Deposit, Holding, OpenOrder, OrderHistory, OrderRow, OrderSide,
    OrderTotals,
};
pub use book::{Auction, Level, OrderBook};
pub use calendar::CalendarDay;
pub(super) use fields::Answer;
use fields::Fields;
pub use minutes::{MinuteBar, MinuteChart};
pub use ranking::{MarketCapRow, VolumeRankRow};
pub use trades::{DailyPrice, Execution};
pub use vi::{ViEvent, ViKind};

use super::{KisError, Raw};
use crate::market::{IndexLevel, Market, SessionDay, Symbol, Won};

/// The current price of an issue (`inquire-price`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// Issue asked for.
    pub symbol: Symbol,
    /// Last price, won.
    pub price: Option<Won>,
    /// Base price of the day, won.
    pub base_price: Option<Won>,
    /// Change against the previous close, won.
    pub change: Option<Won>,
    /// Upper limit price of the day, won.
    pub upper_limit: Option<Won>,
    /// Lower limit price of the day, won.
    pub lower_limit: Option<Won>,
    /// Open, won; `None` before the first trade.
    pub open: Option<Won>,
    /// High, won.
    pub high: Option<Won>,
    /// Low, won.
    pub low: Option<Won>,
    /// Volume of the day, shares.
    pub volume: Option<i64>,
    /// Value of the day, won.
    pub value: Option<Won>,
    /// Shares listed.
    pub listed_shares: Option<i64>,
    /// Board, from the name of the representative market or index.
    pub market: Market,
    /// Sector's Korean name.
    pub sector: Option<String>,
    /// Trading is halted.
    pub halted: bool,
    /// A volatility interruption is under way.
    pub vi_active: bool,
}

/// One session of an issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DailyBar {
    /// Session.
    pub day: SessionDay,
    /// Open, won; `None` on a day without a trade.
    pub open: Option<Won>,
    /// High, won.
    pub high: Option<Won>,
    /// Low, won.
    pub low: Option<Won>,
    /// Close, won, adjusted for splits.
    pub close: Won,
    /// Volume, shares.
    pub volume: i64,
    /// Value, won.
    pub value: Option<Won>,
}

/// Daily bars of an issue and what comes with them (`inquire-daily-itemchartprice`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DailyChart {
    /// Issue asked for.
    pub symbol: Symbol,
    /// Korean name.
    pub name: Option<String>,
    /// Previous close, won.
    pub previous_close: Option<Won>,
    /// Volume of the previous session, shares.
    pub previous_volume: Option<i64>,
    /// Shares listed.
    pub listed_shares: Option<i64>,
    /// At most 100 sessions, oldest first; the running one included.
    pub bars: Vec<DailyBar>,
}

/// The current level of a sector index (`inquire-index-price`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexPrice {
    /// Sector code asked for.
    pub code: Symbol,
    /// Level, hundredths of a point.
    pub level: IndexLevel,
    /// Change against the previous close, hundredths of a point.
    pub change: IndexLevel,
    /// Issues up, without those at the limit.
    pub rising: Option<i64>,
    /// Issues unchanged.
    pub unchanged: Option<i64>,
    /// Issues down, without those at the limit.
    pub falling: Option<i64>,
}

impl Price {
    /// Reads an answer to [`super::Endpoint::InquirePrice`] about `symbol`.
    ///
    /// # Errors
    /// [`KisError::Refused`] and [`KisError::Malformed`].
    pub fn of(symbol: Symbol, raw: &Raw) -> Result<Self, KisError> {
        let answer = Answer::of(raw)?;
        let output = answer.object("output")?;
        Ok(Self {
            symbol,
            price: output.integer("stck_prpr")?,
            base_price: output.positive("stck_sdpr")?,
            change: output.integer("prdy_vrss")?,
            upper_limit: output.positive("stck_mxpr")?,
            lower_limit: output.positive("stck_llam")?,
            open: output.positive("stck_oprc")?,
            high: output.positive("stck_hgpr")?,
            low: output.positive("stck_lwpr")?,
            volume: output.integer("acml_vol")?,
            value: output.integer("acml_tr_pbmn")?,
            listed_shares: output.positive("lstn_stcn")?,
            market: market_of(output.text("rprs_mrkt_kor_name")),
            sector: output.text("bstp_kor_isnm").map(str::to_owned),
            halted: output.text("temp_stop_yn") == Some("Y")
                || output.text("iscd_stat_cls_code") == Some("58"),
            vi_active: output.text("vi_cls_code") == Some("Y"),
        })
    }
}

/// The board of an issue whose representative market or index has this name.
fn market_of(name: Option<&str>) -> Market {
    let Some(name) = name else { return Market::Unknown };
    let name = name.to_ascii_uppercase();
    if name.starts_with("KOSPI") || name == "KRX100" || name.starts_with("코스피") {
        Market::Kospi
    } else if name.starts_with("KOSDAQ") || name.starts_with("KSQ") || name.starts_with("코스닥")
    {
        Market::Kosdaq
    } else if ["KONEX", "ETF", "ETN", "ELW", "코넥스"].iter().any(|other| name.starts_with(other))
    {
        Market::Other
    } else {
        Market::Unknown
    }
}

impl DailyChart {
    /// Reads an answer to [`super::Endpoint::DailyBars`] about `symbol`.
    ///
    /// # Errors
    /// [`KisError::Refused`] and [`KisError::Malformed`].
    pub fn of(symbol: Symbol, raw: &Raw) -> Result<Self, KisError> {
        let answer = Answer::of(raw)?;
        let about = answer.object("output1")?;
        let mut bars = Vec::new();
        for row in answer.rows("output2")? {
            // Rows before the listing come as empty objects.
            let (Some(day), Some(close)) = (row.day("stck_bsop_date")?, row.positive("stck_clpr")?)
            else {
                continue;
            };
            bars.push(DailyBar {
                day,
                open: row.positive("stck_oprc")?,
                high: row.positive("stck_hgpr")?,
                low: row.positive("stck_lwpr")?,
                close,
                volume: row.integer("acml_vol")?.unwrap_or(0),
                value: row.integer("acml_tr_pbmn")?,
            });
        }
        bars.sort_by_key(|bar| bar.day);
        bars.dedup_by_key(|bar| bar.day);
        Ok(Self {
            symbol,
            name: about.text("hts_kor_isnm").map(str::to_owned),
            previous_close: about.positive("stck_prdy_clpr")?,
            previous_volume: about.integer("prdy_vol")?,
            listed_shares: about.positive("lstn_stcn")?,
            bars,
        })
    }
}

impl IndexPrice {
    /// Reads an answer to [`super::Endpoint::IndexPrice`] about the sector `code`.
    ///
    /// # Errors
    /// [`KisError::Refused`] and [`KisError::Malformed`].
    pub fn of(code: Symbol, raw: &Raw) -> Result<Self, KisError> {
        let answer = Answer::of(raw)?;
        let output = answer.object("output")?;
        Ok(Self {
            code,
            level: output.needed_hundredths("bstp_nmix_prpr")?,
            change: output.needed_hundredths("bstp_nmix_prdy_vrss")?,
            rising: output.integer("ascn_issu_cnt")?,
            unchanged: output.integer("stnr_issu_cnt")?,
            falling: output.integer("down_issu_cnt")?,
        })
    }
}

#[cfg(test)]
mod tests;

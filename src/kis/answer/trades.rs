//! The latest trades and the daily prices of an issue.

use super::super::{KisError, Raw};
use super::Answer;
use crate::market::{SessionDay, TimeOfDay, Won};

/// One trade (`inquire-ccnl`). The answer carries no date: it is the running session's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execution {
    /// Time of the trade, Korean.
    pub time: TimeOfDay,
    /// Price, won.
    pub price: Won,
    /// Shares.
    pub quantity: i64,
    /// Change against the previous close, won, signed.
    pub change: Option<Won>,
    /// Trade strength of the day (체결강도) in hundredths: 10,000 when buys equal sells.
    pub strength_hundredths: Option<i64>,
}

impl Execution {
    /// Reads an answer to [`Endpoint::LatestTrades`](super::super::Endpoint): at most 30 trades, the
    /// newest first. Rows without time, price or size are left out.
    ///
    /// # Errors
    /// [`KisError::Refused`] and [`KisError::Malformed`].
    pub fn of(raw: &Raw) -> Result<Vec<Self>, KisError> {
        let answer = Answer::of(raw)?;
        let mut trades = Vec::new();
        for row in answer.rows("output")? {
            let (Some(time), Some(price), Some(quantity)) = (
                row.time("stck_cntg_hour")?,
                row.positive("stck_prpr")?,
                row.positive("cntg_vol")?,
            ) else {
                continue;
            };
            trades.push(Self {
                time,
                price,
                quantity,
                change: row.integer("prdy_vrss")?,
                strength_hundredths: row.hundredths("tday_rltv")?,
            });
        }
        Ok(trades)
    }
}

/// One session of an issue (`inquire-daily-price`). Whether its prices are adjusted for splits is not
/// settled: for a history that is, ask for [`super::DailyChart`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DailyPrice {
    /// Session.
    pub day: SessionDay,
    /// Open, won; `None` on a day without a trade.
    pub open: Option<Won>,
    /// High, won.
    pub high: Option<Won>,
    /// Low, won.
    pub low: Option<Won>,
    /// Close, won.
    pub close: Won,
    /// Volume, shares.
    pub volume: Option<i64>,
    /// Change against the close before, won, signed.
    pub change: Option<Won>,
    /// Net buying of foreigners, shares, signed.
    pub foreign_net: Option<i64>,
    /// Share of the foreign limit that is used, hundredths of a percent.
    pub foreign_share_hundredths: Option<i64>,
}

impl DailyPrice {
    /// Reads an answer to [`Endpoint::DailyPrices`](super::super::Endpoint): at most 30 sessions,
    /// oldest first, the running one included.
    ///
    /// # Errors
    /// [`KisError::Refused`] and [`KisError::Malformed`].
    pub fn of(raw: &Raw) -> Result<Vec<Self>, KisError> {
        let answer = Answer::of(raw)?;
        let mut days = Vec::new();
        for row in answer.rows("output")? {
            let (Some(day), Some(close)) = (row.day("stck_bsop_date")?, row.positive("stck_clpr")?)
            else {
                continue;
            };
            days.push(Self {
                day,
                open: row.positive("stck_oprc")?,
                high: row.positive("stck_hgpr")?,
                low: row.positive("stck_lwpr")?,
                close,
                volume: row.integer("acml_vol")?,
                change: row.integer("prdy_vrss")?,
                foreign_net: row.integer("frgn_ntby_qty")?,
                foreign_share_hundredths: row.hundredths("hts_frgn_ehrt")?,
            });
        }
        days.sort_by_key(|row| row.day);
        Ok(days)
    }
}

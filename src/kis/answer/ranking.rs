//! Rankings by volume and by market value.

use super::super::{KisError, Raw};
use super::Answer;
use crate::market::{Symbol, Won};

/// Won in the unit of KIS's market values (억).
const HUNDRED_MILLION: i64 = 100_000_000;

/// One issue of the volume ranking (`volume-rank`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeRankRow {
    /// Rank, from 1.
    pub rank: i64,
    /// Issue.
    pub symbol: Symbol,
    /// Korean name.
    pub name: Option<String>,
    /// Last price, won.
    pub price: Option<Won>,
    /// Change against the previous close, won, signed.
    pub change: Option<Won>,
    /// Volume of the day, shares.
    pub volume: Option<i64>,
    /// Volume of the previous session, shares.
    pub previous_volume: Option<i64>,
    /// Value of the day, won.
    pub value: Option<Won>,
    /// Shares listed.
    pub listed_shares: Option<i64>,
}

impl VolumeRankRow {
    /// Reads an answer to [`Endpoint::VolumeRank`](super::super::Endpoint): at most 30 rows.
    ///
    /// # Errors
    /// [`KisError::Refused`] and [`KisError::Malformed`].
    pub fn of(raw: &Raw) -> Result<Vec<Self>, KisError> {
        let answer = Answer::of(raw)?;
        // Some documents write the name with a capital.
        let name = if answer.body.contains_key("output") { "output" } else { "Output" };
        let mut rows = Vec::new();
        for row in answer.rows(name)? {
            let (Some(rank), Some(symbol)) =
                (row.integer("data_rank")?, row.symbol("mksc_shrn_iscd")?)
            else {
                continue;
            };
            rows.push(Self {
                rank,
                symbol,
                name: row.owned("hts_kor_isnm"),
                price: row.positive("stck_prpr")?,
                change: row.integer("prdy_vrss")?,
                volume: row.integer("acml_vol")?,
                previous_volume: row.integer("prdy_vol")?,
                value: row.integer("acml_tr_pbmn")?,
                listed_shares: row.positive("lstn_stcn")?,
            });
        }
        Ok(rows)
    }
}

/// One issue of the ranking by market value (`market-cap`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarketCapRow {
    /// Rank, from 1.
    pub rank: i64,
    /// Issue.
    pub symbol: Symbol,
    /// Korean name.
    pub name: Option<String>,
    /// Last price, won.
    pub price: Option<Won>,
    /// Change against the previous close, won, signed.
    pub change: Option<Won>,
    /// Volume of the day, shares.
    pub volume: Option<i64>,
    /// Shares listed.
    pub listed_shares: Option<i64>,
    /// Market value, won; KIS cuts it to hundreds of millions.
    pub market_value: Option<Won>,
    /// Share of the whole market's value, hundredths of a percent.
    pub share_hundredths: Option<i64>,
}

impl MarketCapRow {
    /// Reads an answer to [`Endpoint::MarketCapRank`](super::super::Endpoint): at most 30 rows.
    ///
    /// # Errors
    /// [`KisError::Refused`] and [`KisError::Malformed`].
    pub fn of(raw: &Raw) -> Result<Vec<Self>, KisError> {
        let answer = Answer::of(raw)?;
        let mut rows = Vec::new();
        for row in answer.rows("output")? {
            let (Some(rank), Some(symbol)) =
                (row.integer("data_rank")?, row.symbol("mksc_shrn_iscd")?)
            else {
                continue;
            };
            rows.push(Self {
                rank,
                symbol,
                name: row.owned("hts_kor_isnm"),
                price: row.positive("stck_prpr")?,
                change: row.integer("prdy_vrss")?,
                volume: row.integer("acml_vol")?,
                listed_shares: row.positive("lstn_stcn")?,
                market_value: row
                    .integer("stck_avls")?
                    .map(|value| value.saturating_mul(HUNDRED_MILLION)),
                share_hundredths: row.hundredths("mrkt_whol_avls_rlim")?,
            });
        }
        Ok(rows)
    }
}

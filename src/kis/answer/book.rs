//! The order book and the last or running auction of an issue.

use super::super::{KisError, Raw};
use super::Answer;
use crate::market::{Symbol, TimeOfDay, Won};

/// One price of an order book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Price, won.
    pub price: Won,
    /// Shares offered or wanted at it.
    pub quantity: i64,
}

/// An auction's expected, or its last, outcome. Outside auctions it is the last one's, no forecast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auction {
    /// KIS's phase: `311` opening auction began, `112` ended, `121` closing auction began, `129`
    /// ended.
    pub phase: Option<String>,
    /// Price, won.
    pub price: Option<Won>,
    /// Shares.
    pub volume: Option<i64>,
}

/// The order book of an issue (`inquire-asking-price-exp-ccn`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderBook {
    /// Issue asked for.
    pub symbol: Symbol,
    /// Time of the book, Korean.
    pub time: Option<TimeOfDay>,
    /// Offers, the lowest first; at most ten, empty levels left out.
    pub asks: Vec<Level>,
    /// Bids, the highest first.
    pub bids: Vec<Level>,
    /// Shares offered in all.
    pub total_ask: Option<i64>,
    /// Shares wanted in all.
    pub total_bid: Option<i64>,
    /// Market phase, KIS's code of two characters.
    pub phase: Option<String>,
    /// Expected or last auction.
    pub auction: Auction,
    /// A volatility interruption is under way.
    pub vi_active: bool,
}

impl OrderBook {
    /// Reads an answer to [`Endpoint::OrderBook`](super::super::Endpoint) about `symbol`.
    ///
    /// # Errors
    /// [`KisError::Refused`] and [`KisError::Malformed`].
    pub fn of(symbol: Symbol, raw: &Raw) -> Result<Self, KisError> {
        let answer = Answer::of(raw)?;
        let (book, expected) = (answer.object("output1")?, answer.object("output2")?);
        let levels = |price: &str, quantity: &str| -> Result<Vec<Level>, KisError> {
            let mut levels = Vec::with_capacity(10);
            for number in 1..=10 {
                let price = book.positive(&format!("{price}{number}"))?;
                let quantity = book.positive(&format!("{quantity}{number}"))?;
                if let Some((price, quantity)) = price.zip(quantity) {
                    levels.push(Level { price, quantity });
                }
            }
            Ok(levels)
        };
        Ok(Self {
            symbol,
            time: book.time("aspr_acpt_hour")?,
            asks: levels("askp", "askp_rsqn")?,
            bids: levels("bidp", "bidp_rsqn")?,
            total_ask: book.integer("total_askp_rsqn")?,
            total_bid: book.integer("total_bidp_rsqn")?,
            phase: book.owned("new_mkop_cls_code"),
            auction: Auction {
                phase: expected.owned("antc_mkop_cls_code"),
                price: expected.positive("antc_cnpr")?,
                volume: expected.integer("antc_vol")?,
            },
            vi_active: expected.yes("vi_cls_code"),
        })
    }
}

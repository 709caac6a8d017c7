//! Ten levels around the best quotes, invented but repeatable.
//!
//! Sizes are a hash of the issue and the number of the trade, scaled by what the issue usually
//! trades and by the recent move: after a fall the bid side is thin, after a rise the ask side.

use crate::market::{SessionDay, Won, rules};

use super::day::Issue;
use super::interruption::Expected;
use super::state::IssueState;

/// Levels of a side.
pub(crate) const LEVELS: usize = 10;

/// Levels of a side that are told during an auction.
const AUCTION_LEVELS: usize = 3;

/// The finalizer of SplitMix64: every bit of the result depends on every bit of `word`.
pub(crate) const fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// One side of a book.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ladder {
    /// Prices, best first; 0 where a level is empty.
    pub prices: [Won; LEVELS],
    /// Sizes; 0 where a level is empty.
    pub sizes: [i64; LEVELS],
    /// Sum of the sizes.
    pub total: i64,
}

/// Asks and bids at one moment.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Book {
    pub asks: Ladder,
    pub bids: Ladder,
}

impl Book {
    /// The book of `issue` after the trade that `state` stands at, or of the auction under way.
    pub fn of(day: SessionDay, issue: &Issue, state: &IssueState) -> Self {
        if let Some(expected) = &state.expected {
            return Self::of_auction(day, issue, expected);
        }
        // The day's real range may leave the limits (first days, re-openings, adjusted prices).
        let floor = issue.limits.0.min(state.low).max(1);
        let ceiling = issue.limits.1.max(state.high);
        let mut noise = issue.salt ^ (u64::from(state.trades) << 1);
        let mut size = |level: usize, lean: f64| {
            noise = mix(noise);
            let percent = 30 + (noise >> 32) % 140;
            let percent = if level == 0 { percent / 2 + 10 } else { percent };
            let shares = issue.depth_unit as f64 * percent as f64 / 100.0 * lean;
            (shares as i64).max(1)
        };
        let (ask_lean, bid_lean) = state.leans();
        let mut book = Self::default();
        let (mut ask, mut bid) = (state.ask, state.bid);
        for level in 0..LEVELS {
            if ask > 0 && ask <= ceiling {
                book.asks.set(level, ask, size(level, ask_lean));
                ask += rules::tick_size(day, issue.market, ask);
            }
            if bid >= floor {
                book.bids.set(level, bid, size(level, bid_lean));
                bid -= rules::tick_size(day, issue.market, bid - 1);
            }
        }
        book
    }

    /// The three levels a side that an auction shows, around its expected price.
    fn of_auction(day: SessionDay, issue: &Issue, expected: &Expected) -> Self {
        let mut noise = issue.salt ^ u64::from(expected.at_ms);
        let mut size = || {
            noise = mix(noise);
            let percent = 50 + (noise >> 32) % 150;
            (issue.depth_unit as f64 * percent as f64 / 100.0) as i64 + 1
        };
        let mut book = Self::default();
        let mut ask = expected.price;
        let mut bid = ask - rules::tick_size(day, issue.market, ask - 1);
        for level in 0..AUCTION_LEVELS {
            if ask <= issue.limits.1 {
                book.asks.set(level, ask, size());
                ask += rules::tick_size(day, issue.market, ask);
            }
            if bid >= issue.limits.0.max(1) {
                book.bids.set(level, bid, size());
                bid -= rules::tick_size(day, issue.market, bid - 1);
            }
        }
        book
    }
}

impl Ladder {
    fn set(&mut self, level: usize, price: Won, size: i64) {
        self.prices[level] = price;
        self.sizes[level] = size;
        self.total += size;
    }
}

/// Best ask and bid after a trade at `price`: the price itself on the side that was hit, one tick
/// further on the other; the ticks around it when it lies between two.
pub(crate) fn quotes_around(
    day: SessionDay,
    market: crate::market::Market,
    price: Won,
    bought: bool,
) -> (Won, Won) {
    let lower = rules::floor_to_tick(day, market, price);
    if lower != price {
        return (lower + rules::tick_size(day, market, lower), lower);
    }
    if bought {
        (price, price - rules::tick_size(day, market, price - 1))
    } else {
        (price + rules::tick_size(day, market, price), price)
    }
}

//! What REST asks of a day being played: copies of the running state, and what can be computed
//! from the trades played so far.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::market::{EventTime, Side, Won};

use super::book::Book;
use super::charts;
use super::day::{Day, Issue};
use super::playback::Playback;
use super::state::{Breadth, IndexState, IssueState, ratio};

/// One issue at one moment.
pub(crate) struct IssueView {
    pub day: Arc<Day>,
    pub number: usize,
    pub state: IssueState,
    /// Prints played so far, of all issues.
    played: usize,
    pub now: EventTime,
}

/// One index at one moment.
pub(crate) struct IndexView {
    pub day: Arc<Day>,
    pub number: usize,
    pub state: IndexState,
    pub breadth: Breadth,
    /// Volume (shares) and value (won) of its market in the session before.
    pub before: MarketSums,
    /// Sizes asked and bid in the books of its market.
    pub depth: (i64, i64),
}

/// Sums over a market's issues.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct MarketSums {
    pub volume: i64,
    pub value: Won,
}

/// A trade that was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PastTrade {
    pub at_ms: u32,
    pub price: Won,
    pub quantity: i64,
    /// Trade strength after it, hundredths of a percent.
    pub strength: i64,
}

/// A bar of one minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MinuteBar {
    /// Minutes since midnight.
    pub minute: u32,
    pub open: Won,
    pub high: Won,
    pub low: Won,
    pub close: Won,
    pub volume: i64,
    /// Value since the opening at the end of the bar.
    pub cum_value: Won,
}

/// The issue with this code, now.
pub(crate) fn issue(playback: &Mutex<Playback>, code: &str) -> Option<IssueView> {
    let playback = playback.lock();
    let number = playback.day.issues.iter().position(|issue| issue.symbol.as_str() == code)?;
    Some(IssueView {
        day: Arc::clone(&playback.day),
        number,
        state: playback.issues[number],
        played: playback.next_print,
        now: playback.now(),
    })
}

/// The index with this sector code, now.
pub(crate) fn index(playback: &Mutex<Playback>, code: &str) -> Option<IndexView> {
    let playback = playback.lock();
    let number = playback.day.series.iter().position(|series| series.symbol.as_str() == code)?;
    let (mut before, mut depth) = (MarketSums::default(), (0, 0));
    let market = playback.day.series[number].market;
    for (issue, state) in playback.day.issues.iter().zip(&playback.issues) {
        if issue.market != market {
            continue;
        }
        before.volume += issue.previous_volume;
        before.value += issue.history.last().map_or(0, charts::value_of);
        if state.trades > 0 {
            let book = Book::of(playback.day.day, issue, state);
            depth.0 += book.asks.total;
            depth.1 += book.bids.total;
        }
    }
    Some(IndexView {
        day: Arc::clone(&playback.day),
        number,
        state: playback.indices[number],
        breadth: playback.breadth[number],
        before,
        depth,
    })
}

impl IssueView {
    pub fn issue(&self) -> &Issue {
        &self.day.issues[self.number]
    }

    /// Last price, or the base price before the first trade.
    pub fn price(&self) -> Won {
        if self.state.trades == 0 { self.issue().base_price } else { self.state.price }
    }

    /// The state before the last trade.
    pub fn state_before(&self) -> IssueState {
        let mut state = IssueState::new(self.issue());
        let trades = self.state.trades.saturating_sub(1) as usize;
        self.prints().take(trades).for_each(|print| state.apply(print));
        state
    }

    fn prints(&self) -> impl Iterator<Item = &super::day::Print> {
        let number = self.number as u32;
        self.day.prints[..self.played].iter().filter(move |print| print.issue == number)
    }

    /// The newest `most` trades, newest first.
    pub fn past_trades(&self, most: usize) -> Vec<PastTrade> {
        let carried = self.issue().carried;
        let (mut sold, mut bought) = (carried.sell_volume, carried.buy_volume);
        let mut newest = VecDeque::with_capacity(most + 1);
        for print in self.prints() {
            match print.side {
                Side::Buy => bought += print.quantity,
                Side::Sell => sold += print.quantity,
                Side::Auction => {}
            }
            if newest.len() == most {
                newest.pop_back();
            }
            newest.push_front(PastTrade {
                at_ms: print.at_ms,
                price: print.price.into(),
                quantity: print.quantity,
                strength: ratio(bought, sold, 10_000),
            });
        }
        newest.into()
    }

    /// Bars of the minutes with trades, oldest first.
    pub fn minute_bars(&self) -> Vec<MinuteBar> {
        let mut bars: Vec<MinuteBar> = Vec::new();
        let mut value = self.issue().carried.value;
        for print in self.prints() {
            let (minute, price) = (print.at_ms / 60_000, Won::from(print.price));
            value += print.quantity * price;
            match bars.last_mut() {
                Some(bar) if bar.minute == minute => {
                    bar.high = bar.high.max(price);
                    bar.low = bar.low.min(price);
                    bar.close = price;
                    bar.volume += print.quantity;
                    bar.cum_value = value;
                }
                _ => bars.push(MinuteBar {
                    minute,
                    open: price,
                    high: price,
                    low: price,
                    close: price,
                    volume: print.quantity,
                    cum_value: value,
                }),
            }
        }
        bars
    }
}

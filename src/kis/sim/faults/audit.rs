//! Which trades were played, and which of them reached nobody intact.
//!
//! Reads the frames as they were rendered, so that it says what a client could have seen. A trade
//! counts as delivered when its frame, unspoilt, has been written to the socket of a session; what
//! a client does with it is not known here.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::market::{EventTime, SessionDay, Symbol, TimeOfDay, Won};

use super::super::feed::Feed;

/// Trades remembered: a day of 40 busy issues and more.
const MOST: usize = 2_000_000;

/// A trade as its record said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayedTrade {
    /// The issue.
    pub symbol: Symbol,
    /// When, to the second.
    pub at: EventTime,
    /// Price, won.
    pub price: Won,
    /// Size, shares.
    pub quantity: i64,
    /// Volume of the day so far, this trade included, shares.
    pub cum_volume: i64,
}

/// Trades of a frame; none when it holds something else.
pub(crate) fn trades(frame: &str, day: SessionDay) -> Vec<PlayedTrade> {
    let mut head = frame.splitn(4, '|').skip(1);
    let (Some(tr_id), Some(count), Some(payload)) = (head.next(), head.next(), head.next()) else {
        return Vec::new();
    };
    if tr_id != Feed::Trade.tr_id() {
        return Vec::new();
    }
    let fields: Vec<&str> = payload.split('^').collect();
    let width = fields.len() / count.parse::<usize>().unwrap_or(1).max(1);
    fields.chunks_exact(width.max(1)).filter_map(|record| trade(record, day)).collect()
}

fn trade(record: &[&str], day: SessionDay) -> Option<PlayedTrade> {
    let number = |index: usize| record.get(index)?.parse::<i64>().ok();
    let time: TimeOfDay = record.get(1)?.parse().ok()?;
    Some(PlayedTrade {
        symbol: record.first()?.parse().ok()?,
        at: EventTime::from_kst(day, time),
        price: number(2)?,
        quantity: number(12)?,
        cum_volume: number(13)?,
    })
}

/// The book of trades.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    trades: Vec<PlayedTrade>,
    delivered: Vec<bool>,
    left_out: u64,
}

impl Audit {
    /// Takes the trades of a frame that is played now; the range is their place in the book.
    pub fn play(&mut self, frame: &str, day: SessionDay) -> Range<usize> {
        let start = self.trades.len();
        for trade in trades(frame, day) {
            if self.trades.len() < MOST {
                self.trades.push(trade);
                self.delivered.push(false);
            } else {
                self.left_out += 1;
            }
        }
        start..self.trades.len()
    }

    /// These have been written.
    pub fn delivered(&mut self, range: Range<usize>) {
        if let Some(delivered) = self.delivered.get_mut(range) {
            delivered.fill(true);
        }
    }

    /// Everything played so far.
    pub fn played(&self) -> Vec<PlayedTrade> {
        self.trades.clone()
    }

    /// What reached nobody.
    pub fn undelivered(&self) -> BTreeSet<(Symbol, SessionDay, i64)> {
        let missing = self.trades.iter().zip(&self.delivered).filter(|(_, delivered)| !**delivered);
        missing.map(|(trade, _)| (trade.symbol, trade.at.session_day(), trade.cum_volume)).collect()
    }

    /// Trades that there was no room for.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(volume: i64) -> String {
        let mut fields = vec!["0".to_owned(); 47];
        (fields[0], fields[1], fields[2]) = ("005930".into(), "090001".into(), "71200".into());
        (fields[12], fields[13]) = ("10".into(), volume.to_string());
        fields.join("^")
    }

    #[test]
    fn frames_of_several_trades() {
        let day = SessionDay::from_ymd(2026, 9, 15).unwrap();
        let frame = format!("0|H0STCNT0|002|{}^{}", record(10), record(20));
        let mut audit = Audit::default();
        assert_eq!(audit.play(&frame, day), 0..2);
        assert_eq!(audit.play(&frame.replace("H0STCNT0", "H0STASP0"), day), 2..2);
        assert_eq!(audit.play(&format!("0|H0STCNT0|001|{}", record(30)), day), 2..3);
        audit.delivered(0..1);
        audit.delivered(2..3);
        let symbol: Symbol = "005930".parse().unwrap();
        assert_eq!(audit.undelivered(), BTreeSet::from([(symbol, day, 20)]));
        let last = audit.played()[2];
        assert_eq!((last.price, last.quantity, last.cum_volume), (71_200, 10, 30));
        assert_eq!(last.at.time_of_day().hhmmss(), 90_001);
    }

    proptest! {
        #[test]
        fn no_frame_is_too_odd(frame in "(0\\|H0STCNT0\\|)?[0-9]{0,3}\\|?(\\^|[0-9]|\\PC){0,80}") {
            let day = SessionDay::from_ymd(2026, 9, 15).unwrap();
            prop_assert!(trades(&frame, day).len() <= 1 + frame.len());
        }
    }
}

//! Trading is suspended: of one issue (거래정지), of a market (circuit breaker), of program orders
//! (sidecar), as the feed tells it.
//!
//! Facts of the exchange, not judgement: an issue's halt is a warning, a circuit breaker critical (the
//! rule `market_crash` tells it too, as a fall), a sidecar that holds back sales a warning and one that
//! holds back purchases a watch. Each is told when it begins; a market-wide code comes once an
//! issue and is told once for each board.
//!
//! KIS sends these messages for the issues registered for them only; the flag of a trade record says
//! the same of its issue.

use serde::{Deserialize, Serialize};

use super::Finding;
use super::feed_stale::{CIRCUIT_BREAKER, RESUMES};
use crate::market::rules::breaker::SidecarSide;
use crate::market::{Market, Won};
use crate::risk::types::Level;

/// The market stands still (시장 임시정지).
const MARKET_HALT: u16 = 164;
/// A market-wide code is not news within so many seconds of the last time.
const REPEAT_S: i64 = 600;
/// Market-wide codes that are told.
const CODES: [u16; 4] = [MARKET_HALT, CIRCUIT_BREAKER, 387, 397];

/// Market-wide codes told of each board, and when.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarketHalts {
    boards: [BoardHalts; 2],
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct BoardHalts {
    told: [Option<i64>; CODES.len()],
    /// Event second of the last halt.
    halted: Option<i64>,
    /// The halt goes on, as far as is known.
    standing: bool,
}

const fn board(market: Market) -> usize {
    match market {
        Market::Kosdaq => 1,
        _ => 0,
    }
}

impl MarketHalts {
    /// The phase of `market` changed (`MKOP_CLS_CODE`) at event second `now`.
    pub fn operation(&mut self, market: Market, code: u16, now: i64) -> Option<Finding> {
        let board = &mut self.boards[board(market)];
        if RESUMES.contains(&code) {
            board.standing = false;
        }
        let place = CODES.iter().position(|known| *known == code)?;
        let sidecar = SidecarSide::of_code(code);
        if sidecar.is_none() {
            (board.halted, board.standing) = (Some(now), true);
        }
        let news = board.told[place].is_none_or(|told| now - told >= REPEAT_S);
        if !news {
            return None;
        }
        board.told[place] = Some(now);
        let level = match sidecar {
            None => Level::Critical,
            Some((SidecarSide::Sell, _)) => Level::Warning,
            Some((SidecarSide::Buy, _)) => Level::Watch,
        };
        Some(finding(level, 0, code, 0.0))
    }

    /// A share of `market` was traded at event second `now`: it does not stand still any more.
    pub fn traded(&mut self, market: Market, now: i64) {
        let board = &mut self.boards[board(market)];
        // What was traded before the halt may be told after it.
        if board.standing && board.halted.is_some_and(|halted| now > halted) {
            board.standing = false;
        }
    }

    /// Whether KOSPI and KOSDAQ stand still.
    #[must_use]
    pub const fn standing(&self) -> [bool; 2] {
        [self.boards[0].standing, self.boards[1].standing]
    }

    /// Whether `market` was halted within the last half hour (and a little) before `now`.
    #[must_use]
    pub fn recent(&self, market: Market, now: i64) -> bool {
        self.boards[board(market)]
            .halted
            .is_some_and(|halted| (0..=2_400).contains(&(now - halted)))
    }
}

/// An issue is halted; `code` is the market phase told with it, 0 for none.
#[must_use]
pub fn of_issue(price: Won, code: u16) -> Finding {
    finding(Level::Warning, price, code, 1.0)
}

fn finding(level: Level, price: Won, code: u16, issue: f64) -> Finding {
    Finding {
        level,
        price,
        reference_price: 0,
        change_pct: 0.0,
        window_s: 0,
        evidence: vec![("operation_code", f64::from(code)), ("issue_halted", issue)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KOSPI: Market = Market::Kospi;

    #[test]
    fn a_market_wide_code_is_told_once() {
        let mut halts = MarketHalts::default();
        let level = |found: Option<Finding>| found.map(|found| found.level);
        assert_eq!(level(halts.operation(KOSPI, 174, 100)), Some(Level::Critical));
        assert_eq!(halts.operation(KOSPI, 174, 100), None);
        assert_eq!(halts.operation(KOSPI, 174, 400), None);
        assert_eq!(level(halts.operation(KOSPI, 174, 4_000)), Some(Level::Critical), "stage two");
        assert_eq!(level(halts.operation(Market::Kosdaq, 174, 400)), Some(Level::Critical));
        assert_eq!(level(halts.operation(KOSPI, 387, 100)), Some(Level::Warning));
        assert_eq!(level(halts.operation(KOSPI, 397, 100)), Some(Level::Watch));
        assert_eq!(
            (halts.operation(KOSPI, 388, 400), halts.operation(KOSPI, 112, 0)),
            (None, None)
        );
    }

    #[test]
    fn a_market_stands_still_until_it_is_told_or_trades() {
        let mut halts = MarketHalts::default();
        halts.operation(KOSPI, 174, 100);
        halts.operation(Market::Kosdaq, 174, 100);
        assert_eq!(halts.standing(), [true, true]);
        halts.operation(KOSPI, 175, 1_300);
        assert_eq!(halts.standing(), [false, true]);
        halts.traded(Market::Kosdaq, 100);
        assert_eq!(halts.standing(), [false, true], "it was traded before");
        halts.traded(Market::Kosdaq, 101);
        assert_eq!(halts.standing(), [false, false]);
        halts.operation(KOSPI, 387, 1_400);
        assert_eq!(halts.standing(), [false, false], "a sidecar halts orders of programs only");
    }

    #[test]
    fn a_sidecar_halts_no_market() {
        let mut halts = MarketHalts::default();
        halts.operation(KOSPI, 387, 100);
        assert!(!halts.recent(KOSPI, 101));
        halts.operation(KOSPI, 174, 100);
        assert!(!halts.recent(Market::Kosdaq, 100));
        assert!(
            halts.recent(KOSPI, 100) && halts.recent(KOSPI, 2_000) && !halts.recent(KOSPI, 3_000)
        );
    }
}

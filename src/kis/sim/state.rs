//! What has happened so far to an issue or an index.

use crate::market::{IndexLevel, Side, Won};

use super::day::{IndexPrint, Issue, Print};
use super::interruption::Expected;

/// Running sums of an issue; every field of a trade record is computed from these and the
/// [`super::day::Issue`].
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct IssueState {
    /// Trades so far.
    pub trades: u32,
    pub at_ms: u32,
    pub price: Won,
    /// Size of the last trade.
    pub quantity: i64,
    pub side: Side,
    pub ask: Won,
    pub bid: Won,
    pub open: Won,
    pub high: Won,
    pub low: Won,
    pub open_ms: u32,
    pub high_ms: u32,
    pub low_ms: u32,
    pub volume: i64,
    pub value: Won,
    pub sells: u32,
    pub buys: u32,
    pub sell_volume: i64,
    pub buy_volume: i64,
    /// Size of the opening auction; 0 when there was none.
    pub auction_volume: i64,
    /// Price of the last auction, or of the first trade played: reference of the static VI.
    pub vi_reference: Won,
    /// The issue is halted (거래정지).
    pub halted: bool,
    /// A VI is under way.
    pub interrupted: bool,
    /// Number of the last VI among those of the day.
    pub last_vi: Option<u32>,
    /// The auction that is under way.
    pub expected: Option<Expected>,
    /// Totals of the last book sent.
    pub sent_asks: i64,
    pub sent_bids: i64,
    /// Smoothed recent move in percent, between -1 and 1.
    pressure: f64,
}

impl IssueState {
    /// Before the first trade that is played.
    pub fn new(issue: &Issue) -> Self {
        let carried = issue.carried;
        Self {
            halted: issue.halted,
            volume: carried.volume,
            value: carried.value,
            sell_volume: carried.sell_volume,
            buy_volume: carried.buy_volume,
            ..Self::default()
        }
    }

    /// Takes in the next trade.
    pub fn apply(&mut self, print: &Print) {
        let price = Won::from(print.price);
        if self.trades == 0 {
            (self.open, self.high, self.low) = (price, price, price);
            (self.open_ms, self.high_ms, self.low_ms) = (print.at_ms, print.at_ms, print.at_ms);
            if print.side == Side::Auction {
                self.auction_volume = print.quantity;
            }
        } else {
            let move_percent = (price - self.price) as f64 / self.price as f64 * 100.0;
            self.pressure = (self.pressure * 0.96 + move_percent * 0.5).clamp(-1.0, 1.0);
        }
        if self.trades == 0 || print.side == Side::Auction {
            self.vi_reference = price;
        }
        self.expected = None;
        if price > self.high {
            (self.high, self.high_ms) = (price, print.at_ms);
        }
        if price < self.low {
            (self.low, self.low_ms) = (price, print.at_ms);
        }
        self.trades += 1;
        self.at_ms = print.at_ms;
        self.price = price;
        self.quantity = print.quantity;
        self.side = print.side;
        self.ask = print.ask.into();
        self.bid = print.bid.into();
        self.volume += print.quantity;
        self.value += print.quantity * price;
        match print.side {
            Side::Buy => {
                self.buys += 1;
                self.buy_volume += print.quantity;
            }
            Side::Sell => {
                self.sells += 1;
                self.sell_volume += print.quantity;
            }
            Side::Auction => {}
        }
    }

    /// How thick the ask and the bid side are, 1 being usual.
    pub fn leans(&self) -> (f64, f64) {
        let lean = |pressure: f64| (1.0 + 0.75 * pressure).clamp(0.25, 1.75);
        (lean(-self.pressure), lean(self.pressure))
    }

    /// 체결강도 in hundredths of a percent: bought / sold volume × 100; 0 while nothing was sold.
    pub fn strength(&self) -> i64 {
        ratio(self.buy_volume, self.sell_volume, 10_000)
    }
}

/// Running state of an index.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexState {
    pub ticks: u32,
    pub at_ms: u32,
    pub level: IndexLevel,
    pub before: IndexLevel,
    pub open: IndexLevel,
    pub high: IndexLevel,
    pub low: IndexLevel,
    /// Volume in 1,000 shares and value in million won at this tick and the one before.
    pub volume: i64,
    pub value: i64,
    pub volume_before: i64,
    pub value_before: i64,
}

impl IndexState {
    /// Takes in the next level; `shares` and `won` are the market's sums so far.
    pub fn apply(&mut self, print: &IndexPrint, previous: IndexLevel, shares: i64, won: Won) {
        if self.ticks == 0 {
            (self.open, self.high, self.low) = (print.level, print.level, print.level);
            self.level = previous;
        }
        self.ticks += 1;
        self.at_ms = print.at_ms;
        self.before = self.level;
        self.level = print.level;
        self.high = self.high.max(print.level);
        self.low = self.low.min(print.level);
        self.volume_before = self.volume;
        self.value_before = self.value;
        self.volume = shares / 1_000;
        self.value = won / 1_000_000;
    }
}

/// Issues of a market by the sign of their change. Issues without a trade today are not counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Breadth {
    /// At the upper limit; up, without those; unchanged; down, without those at the limit; at the
    /// lower limit: in the order of the sign code, 1 to 5, where 4 is the lower limit and 5 down.
    counts: [i32; 6],
    /// Volume and value of the market so far.
    pub volume: i64,
    pub value: Won,
}

impl Breadth {
    /// Moves an issue from sign `from` (0: not traded yet) to sign `to`.
    pub fn shift(&mut self, from: u8, to: u8) {
        if from != 0 {
            self.counts[from as usize] -= 1;
        }
        self.counts[to as usize] += 1;
    }

    /// Upper limit, up (with those at the limit), unchanged, down (with those at the limit), lower
    /// limit.
    pub fn shown(&self) -> [i32; 5] {
        let [_, upper, up, same, lower, down] = self.counts;
        [upper, up + upper, same, down + lower, lower]
    }
}

/// `part / whole × scale`, rounded half away from zero; 0 when `whole` is 0.
pub(crate) fn ratio(part: i64, whole: i64, scale: i64) -> i64 {
    if whole == 0 {
        return 0;
    }
    let (part, whole) = (i128::from(part) * i128::from(scale), i128::from(whole));
    let half = whole.abs() / 2;
    let shifted = if (part < 0) == (whole < 0) { part.abs() + half } else { -(part.abs() + half) };
    i64::try_from(shifted / whole.abs()).unwrap_or(if shifted < 0 { i64::MIN } else { i64::MAX })
}

/// Sign code of a change (전일 대비 부호): 1 upper limit, 2 up, 3 unchanged, 4 lower limit, 5 down.
pub(crate) fn sign_code(price: Won, base: Won, limits: (Won, Won)) -> u8 {
    if price == limits.1 && price > base {
        1
    } else if price == limits.0 && price < base {
        4
    } else {
        plain_sign(price - base)
    }
}

/// Sign code of a difference without limits: 2 up, 3 unchanged, 5 down.
pub(crate) const fn plain_sign(difference: i64) -> u8 {
    match difference {
        1.. => 2,
        0 => 3,
        _ => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_round_half_away_from_zero() {
        assert_eq!(ratio(300, 71_200, 10_000), 42);
        assert_eq!(ratio(-2_500, 312_500, 10_000), -80);
        assert_eq!(ratio(5, 1_000, 100), 1);
        assert_eq!(ratio(-5, 1_000, 100), -1);
        assert_eq!(ratio(1, 0, 100), 0);
    }

    #[test]
    fn signs() {
        let limits = (49_900, 92_500);
        assert_eq!(sign_code(92_500, 71_200, limits), 1);
        assert_eq!(sign_code(71_300, 71_200, limits), 2);
        assert_eq!(sign_code(71_200, 71_200, limits), 3);
        assert_eq!(sign_code(49_900, 71_200, limits), 4);
        assert_eq!(sign_code(50_000, 71_200, limits), 5);
    }
}

//! Volatility interruption (변동성완화장치, VI) of one issue.
//!
//! A trade that would lie too far from its reference does not happen: continuous trading of the
//! issue stops, orders are collected for two minutes and up to half a minute more, and one auction
//! sets the price. The static reference is the price of the last auction (the base price before the
//! opening) with ±10 %, the dynamic one the trade just before with a threshold by class and phase.
//!
//! Input: prices of trades that are about to happen. Output: a [`ViStep`] for each. Limits: ETFs
//! and ETNs have thresholds of their own that are not known here; liquidation issues and
//! short-term overheated ones have no VI, so do not ask about them. Failure modes: none; prices at
//! or below zero are taken for no price and change nothing.

use super::{WIDE_LIMIT, floor_to_tick, tick_size};
use crate::market::{Market, SessionDay, Won};

/// Seconds for which orders are collected in an interruption.
pub const AUCTION_S: u32 = 120;
/// The random end of that auction (임의종료): up to so many seconds more.
pub const RANDOM_END_S: u32 = 30;
/// Threshold of the static VI, percent.
pub const STATIC_PERCENT: i64 = 10;

/// Whether both kinds of VI are in force: the static one began with the ±30 % limit on 2015-06-15.
#[must_use]
pub const fn in_force(day: SessionDay) -> bool {
    day.epoch_days() >= WIDE_LIMIT.epoch_days()
}

/// What the dynamic threshold depends on besides the phase.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ViClass {
    /// Member of KOSPI200.
    Kospi200,
    /// Any other KOSPI issue and every KOSDAQ issue.
    #[default]
    Other,
}

/// The part of the session in which a price is made.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ViPhase {
    /// Opening auction: static VI only, there is no trade before.
    Opening,
    /// Continuous trading.
    #[default]
    Continuous,
    /// Closing auction: a VI prolongs it.
    Closing,
}

/// Threshold of the dynamic VI in percent; `None` where there is none.
#[must_use]
pub const fn dynamic_percent(class: ViClass, phase: ViPhase) -> Option<i64> {
    match (phase, class) {
        (ViPhase::Opening, _) => None,
        (ViPhase::Continuous, ViClass::Kospi200) => Some(3),
        (ViPhase::Continuous, ViClass::Other) => Some(6),
        (ViPhase::Closing, ViClass::Kospi200) => Some(2),
        (ViPhase::Closing, ViClass::Other) => Some(4),
    }
}

/// Prices at which a VI of `percent` around `reference` begins: the first tick at or below, and
/// the first tick at or above. `reference` is a price in won below 10^15.
#[must_use]
pub const fn triggers(day: SessionDay, market: Market, reference: Won, percent: i64) -> (Won, Won) {
    let lower = floor_to_tick(day, market, reference * (100 - percent) / 100);
    let above = (reference * (100 + percent) + 99) / 100;
    let below = floor_to_tick(day, market, above);
    let upper = if below == above { above } else { below + tick_size(day, market, below) };
    (lower, upper)
}

/// [`triggers`] of the static VI.
#[must_use]
pub const fn static_triggers(day: SessionDay, market: Market, reference: Won) -> (Won, Won) {
    triggers(day, market, reference, STATIC_PERCENT)
}

/// Which reference was left too far behind (VI종류코드).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ViKind {
    /// 정적.
    Static = 1,
    /// 동적.
    Dynamic = 2,
    /// Both at once.
    Both = 3,
}

impl ViKind {
    /// The code of KIS, 1 to 3.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Whether the static reference was left.
    #[must_use]
    pub const fn is_static(self) -> bool {
        matches!(self, Self::Static | Self::Both)
    }

    /// Whether the dynamic reference was left.
    #[must_use]
    pub const fn is_dynamic(self) -> bool {
        matches!(self, Self::Dynamic | Self::Both)
    }
}

/// A breach: why an interruption begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breach {
    /// Which reference was left.
    pub kind: ViKind,
    /// Price that the trade would have had (VI발동가격), won.
    pub price: Won,
    /// Price of the last auction, won.
    pub static_reference: Won,
    /// Price of the trade just before, won; 0 when there was none.
    pub dynamic_reference: Won,
}

/// What a price that is about to be traded leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViStep {
    /// It is traded.
    Continuous,
    /// It is not traded: an interruption begins before it.
    Begins(Breach),
    /// It is not traded: the interruption that is under way admits no trade but its auction.
    Refused,
    /// The auction of an interruption traded it; it is the new static reference.
    Ended(Won),
}

/// VI state of one issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ViState {
    day: SessionDay,
    market: Market,
    class: ViClass,
    reference: Won,
    last: Won,
    interrupted: bool,
}

impl ViState {
    /// Before the opening, when the base price of the day is the static reference.
    #[must_use]
    pub const fn new(day: SessionDay, market: Market, class: ViClass, base_price: Won) -> Self {
        Self { day, market, class, reference: base_price, last: 0, interrupted: false }
    }

    /// The static reference (정적VI발동기준가), won.
    #[must_use]
    pub const fn reference(&self) -> Won {
        self.reference
    }

    /// Whether an interruption is under way.
    #[must_use]
    pub const fn is_interrupted(&self) -> bool {
        self.interrupted
    }

    /// Whether a trade at `price` would breach a threshold now; changes nothing.
    #[must_use]
    pub fn breach(&self, price: Won, phase: ViPhase) -> Option<Breach> {
        let leaves = |reference: Won, percent: i64| {
            let (lower, upper) = triggers(self.day, self.market, reference, percent);
            reference > 0 && (price <= lower || price >= upper)
        };
        let fixed = leaves(self.reference, STATIC_PERCENT);
        let moving =
            dynamic_percent(self.class, phase).is_some_and(|percent| leaves(self.last, percent));
        let kind = match (fixed, moving) {
            _ if price <= 0 => return None,
            (false, false) => return None,
            (true, false) => ViKind::Static,
            (false, true) => ViKind::Dynamic,
            (true, true) => ViKind::Both,
        };
        Some(Breach { kind, price, static_reference: self.reference, dynamic_reference: self.last })
    }

    /// A trade outside any auction of a VI is about to happen at `price`. That of the opening or
    /// closing auction becomes the static reference when it happens.
    pub fn offer(&mut self, price: Won, phase: ViPhase) -> ViStep {
        if self.interrupted {
            return ViStep::Refused;
        }
        if let Some(breach) = self.breach(price, phase) {
            self.interrupted = true;
            return ViStep::Begins(breach);
        }
        if price > 0 {
            self.last = price;
            if phase != ViPhase::Continuous {
                self.reference = price;
            }
        }
        ViStep::Continuous
    }

    /// An auction that no VI stops trades at `price`: that of an interruption, or the one after a
    /// circuit breaker or a halt.
    pub fn auction(&mut self, price: Won) -> ViStep {
        let ended = std::mem::take(&mut self.interrupted);
        if price <= 0 {
            return ViStep::Continuous;
        }
        (self.reference, self.last) = (price, price);
        if ended { ViStep::Ended(price) } else { ViStep::Continuous }
    }

    /// A trade happens although it breaches a threshold, because no interruption can be held any
    /// more.
    pub fn tolerate(&mut self, price: Won) {
        self.last = price.max(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn day() -> SessionDay {
        SessionDay::from_yyyymmdd(20_260_915).unwrap()
    }

    #[test]
    fn triggers_of_real_interruptions() {
        let of = |reference| static_triggers(day(), Market::Kosdaq, reference);
        assert_eq!(of(17_620).1, 19_390);
        assert_eq!(of(48_350).0, 43_500);
        assert_eq!(of(2_320).1, 2_555);
        // A trigger that lies on a tick already, and one in the next band of ticks.
        assert_eq!(of(10_000), (9_000, 11_000));
        assert_eq!(of(48_350).1, 53_200);
    }

    #[test]
    fn thresholds_by_class_and_phase() {
        use ViPhase::{Closing, Continuous, Opening};
        let of = |class| [Opening, Continuous, Closing].map(|phase| dynamic_percent(class, phase));
        assert_eq!(of(ViClass::Kospi200), [None, Some(3), Some(2)]);
        assert_eq!(of(ViClass::Other), [None, Some(6), Some(4)]);
        assert!(!in_force(SessionDay::from_yyyymmdd(20_150_612).unwrap()));
        assert!(in_force(SessionDay::from_yyyymmdd(20_150_615).unwrap()));
    }

    #[test]
    fn an_interruption_from_begin_to_end() {
        let mut state = ViState::new(day(), Market::Kospi, ViClass::Other, 10_000);
        assert_eq!(state.offer(10_050, ViPhase::Opening), ViStep::Continuous);
        assert_eq!(state.reference(), 10_050);
        assert_eq!(state.offer(10_500, ViPhase::Continuous), ViStep::Continuous);
        assert_eq!(state.offer(11_050, ViPhase::Continuous), ViStep::Continuous);
        let expected = Breach {
            kind: ViKind::Static,
            price: 11_060,
            static_reference: 10_050,
            dynamic_reference: 11_050,
        };
        assert_eq!(state.offer(11_060, ViPhase::Continuous), ViStep::Begins(expected));
        assert_eq!(state.offer(11_000, ViPhase::Continuous), ViStep::Refused);
        assert_eq!(state.auction(11_200), ViStep::Ended(11_200));
        assert_eq!(state.reference(), 11_200);
        // Back by 6 % at once: dynamic. From the very reference further out: both.
        let ViStep::Begins(breach) = state.offer(10_520, ViPhase::Continuous) else { panic!() };
        assert_eq!((breach.kind, breach.kind.code()), (ViKind::Dynamic, 2));
        state.auction(10_520);
        let ViStep::Begins(breach) = state.offer(9_460, ViPhase::Continuous) else { panic!() };
        assert_eq!(breach.kind, ViKind::Both);
    }

    #[test]
    fn kospi200_issues_are_stopped_sooner() {
        let kind = |class| {
            let mut state = ViState::new(day(), Market::Kospi, class, 100_000);
            state.offer(100_000, ViPhase::Opening);
            state.breach(97_000, ViPhase::Continuous).map(|breach| breach.kind)
        };
        assert_eq!(kind(ViClass::Kospi200), Some(ViKind::Dynamic));
        assert_eq!(kind(ViClass::Other), None);
    }

    fn steps() -> impl Strategy<Value = (u8, Won)> {
        let price = prop_oneof![
            10 => 9_000i64..11_500,
            2 => 1i64..2_000_000,
            1 => prop_oneof![Just(0), Just(-1), Just(i64::from(i32::MIN)), Just(999_999_999)]
        ];
        (0u8..10, price)
    }

    proptest! {
        /// Triggers lie on ticks, at the threshold or just beyond it.
        #[test]
        fn triggers_are_the_first_ticks(reference in 1i64..5_000_000, percent in 1i64..30, old: bool) {
            let day = SessionDay::from_yyyymmdd(if old { 20_200_319 } else { 20_260_915 }).unwrap();
            let market = Market::Kosdaq;
            let (lower, upper) = triggers(day, market, reference, percent);
            prop_assert_eq!(floor_to_tick(day, market, lower), lower);
            prop_assert_eq!(floor_to_tick(day, market, upper), upper);
            prop_assert!(lower * 100 <= reference * (100 - percent));
            prop_assert!(upper * 100 >= reference * (100 + percent));
            let (after_lower, before_upper) =
                (lower + tick_size(day, market, lower), floor_to_tick(day, market, upper - 1));
            prop_assert!(after_lower * 100 > reference * (100 - percent));
            prop_assert!(before_upper * 100 < reference * (100 + percent));
        }

        /// A VI begins if and only if the price leaves a threshold, by plain arithmetic in
        /// percent and ticks; whatever comes, nothing panics and no trade happens while it lasts.
        #[test]
        fn an_interruption_begins_when_a_threshold_is_left(offers in prop::collection::vec(steps(), 1..60), large: bool) {
            let class = if large { ViClass::Kospi200 } else { ViClass::Other };
            let mut state = ViState::new(day(), Market::Kospi, class, 10_000);
            let (mut reference, mut last) = (10_000, 0);
            for (what, price) in offers {
                if what == 0 {
                    let was = state.is_interrupted();
                    let step = state.auction(price);
                    prop_assert_eq!(matches!(step, ViStep::Ended(_)), was && price > 0);
                    prop_assert!(!state.is_interrupted());
                    if price > 0 {
                        (reference, last) = (price, price);
                    }
                    continue;
                }
                let was = state.is_interrupted();
                let out = |from: Won, percent| {
                    let (lower, upper) = triggers(day(), Market::Kospi, from, percent);
                    from > 0 && price > 0 && !(lower < price && price < upper)
                };
                let expected = out(reference, 10) || out(last, if large { 3 } else { 6 });
                match state.offer(price, ViPhase::Continuous) {
                    ViStep::Refused => prop_assert!(was),
                    ViStep::Begins(breach) => {
                        prop_assert!(!was && expected);
                        prop_assert_eq!(breach.kind.is_static(), out(reference, 10));
                    }
                    ViStep::Continuous => {
                        prop_assert!(!was && !expected);
                        if price > 0 {
                            last = price;
                        }
                    }
                    ViStep::Ended(_) => prop_assert!(false, "an offer ends nothing"),
                }
                prop_assert_eq!(state.reference(), reference);
            }
        }
    }
}

//! Circuit breaker (서킷브레이커) of a market and sidecar (사이드카) of its program orders.
//!
//! Pure state machines with the market's time as input: [`Breaker`] is fed with index levels,
//! [`Sidecar`] with changes of futures. They say when a rule takes effect; acting on it is up to
//! the caller. Limits: the rules of 2015-06-15 and later; what happened in a minute without input
//! is not known, so the minute counts from print to print. Failure modes: none; input that is no
//! level or no number, or comes out of order, triggers nothing by itself.

use super::WIDE_LIMIT;
use crate::market::{EventTime, IndexLevel, SessionDay, TimeOfDay};

/// Seconds for which a condition must hold.
pub const HOLD_S: u32 = 60;
/// Seconds for which stages 1 and 2 halt the market.
pub const HALT_S: u32 = 20 * 60;
/// Seconds of the auction that follows.
pub const AUCTION_S: u32 = 10 * 60;
/// From this time on neither stage 1 or 2 nor a sidecar takes effect.
pub const LAST_CALL: TimeOfDay = match TimeOfDay::from_hms(14, 50, 0) {
    Some(time) => time,
    None => unreachable!(),
};
/// A sidecar does not take effect before this time.
pub const SIDECAR_FROM: TimeOfDay = match TimeOfDay::from_hms(9, 5, 0) {
    Some(time) => time,
    None => unreachable!(),
};
/// Seconds for which a sidecar holds back program orders.
pub const SIDECAR_S: u32 = 5 * 60;

/// Whether the three stages are in force: since 2015-06-15.
#[must_use]
pub const fn in_force(day: SessionDay) -> bool {
    day.epoch_days() >= WIDE_LIMIT.epoch_days()
}

/// A stage of the circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// −8 %: 20 minutes' halt, then an auction of 10 minutes.
    First,
    /// −15 %: the same again.
    Second,
    /// −20 %: the market closes for the day.
    Third,
}

impl Stage {
    /// The number, 1 to 3.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::First => 1,
            Self::Second => 2,
            Self::Third => 3,
        }
    }

    /// The fall against the previous close, percent.
    #[must_use]
    pub const fn fall_percent(self) -> i64 {
        match self {
            Self::First => 8,
            Self::Second => 15,
            Self::Third => 20,
        }
    }

    /// Whether the market closes instead of halting.
    #[must_use]
    pub const fn closes(self) -> bool {
        matches!(self, Self::Third)
    }

    /// The stage after `done`.
    const fn after(done: Option<Self>) -> Option<Self> {
        match done {
            None => Some(Self::First),
            Some(Self::First) => Some(Self::Second),
            Some(Self::Second) => Some(Self::Third),
            Some(Self::Third) => None,
        }
    }
}

/// How far the next stage is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distance {
    /// The next stage.
    pub stage: Stage,
    /// The highest level that meets its condition.
    pub level: IndexLevel,
    /// From the present level down to it, percent of the present level; zero or less when it is
    /// met.
    pub percent: f64,
}

/// Circuit breaker of one market on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    previous_close: IndexLevel,
    done: Option<(Stage, IndexLevel)>,
    below_since: Option<EventTime>,
}

impl Breaker {
    /// At the opening.
    #[must_use]
    pub const fn new(previous_close: IndexLevel) -> Self {
        Self { previous_close, done: None, below_since: None }
    }

    /// The last stage that took effect.
    #[must_use]
    pub fn stage(&self) -> Option<Stage> {
        self.done.map(|(stage, _)| stage)
    }

    /// The highest level that meets the condition of the next stage.
    fn next(&self) -> Option<(Stage, IndexLevel)> {
        let stage = Stage::after(self.stage())?;
        let level = self.previous_close.saturating_mul(100 - stage.fall_percent()).div_euclid(100);
        // At least 1 % below the level at which the stage before took effect.
        let further = self.done.map_or(level, |(_, at)| at.saturating_mul(99).div_euclid(100));
        Some((stage, level.min(further)))
    }

    /// Takes in an index level; the stage that takes effect with it.
    pub fn feed(&mut self, at: EventTime, level: IndexLevel) -> Option<Stage> {
        let (stage, trigger) = self.next()?;
        let too_late = !stage.closes() && at.time_of_day() >= LAST_CALL;
        if level <= 0 || level > trigger || too_late {
            self.below_since = None;
            return None;
        }
        let since = *self.below_since.get_or_insert(at);
        if at.micros_since(since) < i64::from(HOLD_S) * 1_000_000 {
            return None;
        }
        self.done = Some((stage, level));
        self.below_since = None;
        Some(stage)
    }

    /// How far `level` is from the next stage; `None` after the third or without a level.
    #[must_use]
    pub fn distance(&self, level: IndexLevel) -> Option<Distance> {
        let (stage, trigger) = self.next()?;
        let percent = (level as f64 - trigger as f64) / level as f64 * 100.0;
        (level > 0).then_some(Distance { stage, level: trigger, percent })
    }
}

/// Which program orders a sidecar holds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SidecarSide {
    /// Buying, after a rise.
    Buy,
    /// Selling, after a fall.
    Sell,
}

impl SidecarSide {
    /// Market operation codes (장운영구분코드): on, off.
    #[must_use]
    pub const fn codes(self) -> (u16, u16) {
        match self {
            Self::Sell => (387, 388),
            Self::Buy => (397, 398),
        }
    }

    /// Side that a market operation code is about, and whether the sidecar is on.
    #[must_use]
    pub const fn of_code(code: u16) -> Option<(Self, bool)> {
        match code {
            387 => Some((Self::Sell, true)),
            388 => Some((Self::Sell, false)),
            397 => Some((Self::Buy, true)),
            398 => Some((Self::Buy, false)),
            _ => None,
        }
    }
}

/// Whose sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SidecarRule {
    /// KOSPI200 futures ±5 %.
    Kospi,
    /// KOSDAQ150 futures ±6 % and the KOSDAQ150 index ±3 %, the same way.
    Kosdaq,
}

impl SidecarRule {
    /// The side that changes against the previous close, in percent, call for.
    fn side(self, futures: f64, index: f64) -> Option<SidecarSide> {
        let (most, index_most) = match self {
            Self::Kospi => (5.0, None),
            Self::Kosdaq => (6.0, Some(3.0)),
        };
        let beyond = |sign: f64| {
            sign * futures >= most && index_most.is_none_or(|most| sign * index >= most)
        };
        if beyond(1.0) { Some(SidecarSide::Buy) } else { beyond(-1.0).then_some(SidecarSide::Sell) }
    }
}

/// What a sidecar does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SidecarStep {
    /// Program orders of this side are held back for [`SIDECAR_S`] from now on.
    On(SidecarSide),
    /// They go on.
    Off(SidecarSide),
}

/// Sidecar of one market on one day; takes effect once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sidecar {
    rule: SidecarRule,
    since: Option<(SidecarSide, EventTime)>,
    on: Option<(SidecarSide, EventTime)>,
    over: bool,
}

impl Sidecar {
    /// At the opening.
    #[must_use]
    pub const fn new(rule: SidecarRule) -> Self {
        Self { rule, since: None, on: None, over: false }
    }

    /// The side that is held back now.
    #[must_use]
    pub fn active(&self) -> Option<SidecarSide> {
        self.on.map(|(side, _)| side)
    }

    /// Takes in the changes of the futures (the contract most traded the day before) and of the
    /// index against their previous closes, percent. KOSPI does not look at the index.
    pub fn feed(&mut self, at: EventTime, futures: f64, index: f64) -> Option<SidecarStep> {
        let lasted = |since: EventTime, seconds: u32| {
            at.micros_since(since) >= i64::from(seconds) * 1_000_000
        };
        if let Some((side, since)) = self.on {
            if !lasted(since, SIDECAR_S) {
                return None;
            }
            (self.on, self.over) = (None, true);
            return Some(SidecarStep::Off(side));
        }
        let time = at.time_of_day();
        if self.over || time >= LAST_CALL {
            return None;
        }
        let Some(side) = self.rule.side(futures, index) else {
            self.since = None;
            return None;
        };
        let since = match self.since {
            Some((before, since)) if before == side => since,
            _ => at,
        };
        self.since = Some((side, since));
        if time < SIDECAR_FROM || !lasted(since, HOLD_S) {
            return None;
        }
        self.on = Some((side, at));
        Some(SidecarStep::On(side))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::rules::CIRCUIT_BREAKER_FALLS;
    use proptest::prelude::*;

    fn at(hhmmss: u32) -> EventTime {
        let day = SessionDay::from_yyyymmdd(20_240_805).unwrap();
        EventTime::from_kst(day, TimeOfDay::from_hhmmss(hhmmss).unwrap())
    }

    #[test]
    fn stages_are_those_of_the_rules() {
        let stages = [Stage::First, Stage::Second, Stage::Third];
        assert_eq!(stages.map(|stage| stage.fall_percent() as f64 / 100.0), CIRCUIT_BREAKER_FALLS);
        assert_eq!(stages.map(Stage::number), [1, 2, 3]);
        assert_eq!(stages.map(Stage::closes), [false, false, true]);
    }

    #[test]
    fn a_minute_below_the_level() {
        let mut breaker = Breaker::new(100_000);
        assert_eq!(breaker.feed(at(100_000), 92_000), None);
        assert_eq!(breaker.feed(at(100_059), 92_000), None);
        // A moment above begins the minute anew.
        assert_eq!(breaker.feed(at(100_100), 92_001), None);
        assert_eq!(breaker.feed(at(100_110), 91_000), None);
        assert_eq!(breaker.feed(at(100_210), 91_500), Some(Stage::First));
        assert_eq!(breaker.stage(), Some(Stage::First));
        assert_eq!(breaker.feed(at(103_210), 91_000), None, "once a day");
    }

    #[test]
    fn a_later_stage_needs_a_further_fall() {
        let mut breaker = Breaker::new(100_000);
        breaker.feed(at(100_000), 85_100);
        assert_eq!(breaker.feed(at(100_100), 85_100), Some(Stage::First));
        // 15 % below the close, but not 1 % below 851.00.
        assert_eq!(breaker.distance(85_000).unwrap().level, 84_249);
        breaker.feed(at(103_000), 85_000);
        assert_eq!(breaker.feed(at(103_200), 85_000), None);
        breaker.feed(at(103_300), 84_249);
        assert_eq!(breaker.feed(at(103_400), 84_249), Some(Stage::Second));
        assert_eq!(breaker.distance(84_000).unwrap().level, 80_000);
    }

    #[test]
    fn from_ten_to_three_on_only_the_third_stage() {
        let mut breaker = Breaker::new(100_000);
        breaker.feed(at(144_900), 90_000);
        assert_eq!(breaker.feed(at(145_000), 90_000), None);
        let mut breaker = Breaker::new(100_000);
        for (time, level) in [(100_000, 90_000), (110_000, 84_000)] {
            breaker.feed(at(time), level);
            breaker.feed(at(time + 100), level);
        }
        breaker.feed(at(151_000), 79_000);
        assert_eq!(breaker.feed(at(151_100), 79_000), Some(Stage::Third));
        assert_eq!(breaker.distance(79_000), None);
    }

    #[test]
    fn distances() {
        let distance = Breaker::new(100_000).distance(100_000).unwrap();
        assert_eq!((distance.stage, distance.level), (Stage::First, 92_000));
        assert!((distance.percent - 8.0).abs() < 1e-9);
        assert!(Breaker::new(100_000).distance(91_000).unwrap().percent < 0.0);
        assert_eq!(Breaker::new(100_000).distance(0), None);
    }

    #[test]
    fn a_sidecar_holds_back_one_side_for_five_minutes() {
        let mut sidecar = Sidecar::new(SidecarRule::Kospi);
        assert_eq!(sidecar.feed(at(90_300), -5.2, 0.0), None);
        assert_eq!(sidecar.feed(at(90_430), -5.2, 0.0), None, "not in the first five minutes");
        assert_eq!(sidecar.feed(at(90_500), -5.0, 0.0), Some(SidecarStep::On(SidecarSide::Sell)));
        assert_eq!(sidecar.feed(at(90_959), 1.0, 0.0), None);
        assert_eq!(sidecar.active(), Some(SidecarSide::Sell));
        assert_eq!(sidecar.feed(at(91_000), 1.0, 0.0), Some(SidecarStep::Off(SidecarSide::Sell)));
        sidecar.feed(at(92_000), 6.0, 0.0);
        assert_eq!(sidecar.feed(at(93_000), 6.0, 0.0), None, "once a day");
    }

    #[test]
    fn the_kosdaq_sidecar_looks_at_the_index_too() {
        let run = |index: f64, start: u32| {
            let mut sidecar = Sidecar::new(SidecarRule::Kosdaq);
            sidecar.feed(at(start), 6.1, index);
            sidecar.feed(at(start + 100), 6.1, index)
        };
        assert_eq!(run(2.9, 100_000), None);
        assert_eq!(run(-3.5, 100_000), None, "the other way");
        assert_eq!(run(3.0, 100_000), Some(SidecarStep::On(SidecarSide::Buy)));
        assert_eq!(run(3.0, 144_900), None, "too late");
    }

    #[test]
    fn operation_codes_of_sidecars() {
        for side in [SidecarSide::Buy, SidecarSide::Sell] {
            let (on, off) = side.codes();
            assert_eq!(SidecarSide::of_code(on), Some((side, true)));
            assert_eq!(SidecarSide::of_code(off), Some((side, false)));
        }
        assert_eq!(SidecarSide::of_code(174), None);
    }

    /// When each stage took effect, if it did.
    fn trips(path: &[(u32, i64)]) -> Vec<(Stage, u32)> {
        let mut breaker = Breaker::new(100_000);
        let start = at(90_000);
        path.iter()
            .filter_map(|&(second, level)| {
                let time = start.plus_micros(i64::from(second) * 1_000_000);
                breaker.feed(time, level).map(|stage| (stage, second))
            })
            .collect()
    }

    proptest! {
        /// Stages come in order and once; a path that lies lower never halts later; a stage takes
        /// effect only below its level.
        #[test]
        fn a_breaker_is_monotone(steps in prop::collection::vec((1u32..90, 75_000i64..100_000), 1..200), lower in 0i64..5_000) {
            let mut second = 0;
            let path: Vec<(u32, i64)> = steps.iter().map(|(gap, level)| { second += gap; (second, *level) }).collect();
            let tripped = trips(&path);
            prop_assert!(tripped.windows(2).all(|pair| pair[0].0 < pair[1].0));
            for (stage, when) in &tripped {
                let level = path.iter().find(|(second, _)| second == when).unwrap().1;
                prop_assert!(level * 100 <= 100_000 * (100 - stage.fall_percent()));
            }
            let deeper: Vec<(u32, i64)> = path.iter().map(|(s, level)| (*s, level - lower)).collect();
            if let Some((_, first)) = tripped.first() {
                prop_assert!(trips(&deeper).first().is_some_and(|(_, earlier)| earlier <= first));
            }
        }

        #[test]
        fn nothing_panics(inputs in prop::collection::vec((any::<i64>(), any::<i64>(), any::<f64>(), any::<f64>()), 0..50), close: i64) {
            let (mut breaker, mut sidecar) = (Breaker::new(close), Sidecar::new(SidecarRule::Kosdaq));
            let mut stages = 0;
            for (micros, level, futures, index) in inputs {
                let time = EventTime::from_micros(micros / 4);
                stages += usize::from(breaker.feed(time, level).is_some());
                prop_assert!(breaker.distance(level).is_none_or(|next| next.percent.is_finite()));
                sidecar.feed(time, futures, index);
            }
            prop_assert!(stages <= 3);
        }
    }
}

//! A fall of the market as an index shows it.
//!
//! Two views, each with a ladder of its own: the fall against the previous close (watch, warning,
//! critical, and critical again at each of the exchange's circuit-breaker levels) and the fast fall
//! from the high of the last five minutes. The evidence says how far the circuit breaker is. KOSPI
//! and KOSDAQ have their own state and may both speak, but not with the same level at the same
//! moment: see [`Moments`].

use serde::{Deserialize, Serialize};

use super::{Finding, Latch, fall_pct, level, rung};
use crate::market::{EventTime, IndexLevel, IndexTick, rules};
use crate::risk::estimators::Window;
use crate::risk::estimators::window::LONG_S;
use crate::risk::params::MarketCrashParams;
use crate::risk::types::Level;

/// Hands out moments: an event of the market has its identity from rule, level and event time, so
/// two views must not speak with one level at one instant. The second one speaks at its next print.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moments {
    micros: i64,
    taken: u8,
}

impl Moments {
    /// Takes the moment for `level`; false when it is taken.
    pub fn claim(&mut self, time: EventTime, level: Level) -> bool {
        if time.micros() != self.micros {
            *self = Self { micros: time.micros(), taken: 0 };
        }
        let bit = 1 << level as u8;
        let free = self.taken & bit == 0;
        self.taken |= bit;
        free
    }
}

/// State of one index.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct IndexFall {
    newest: EventTime,
    window: Window,
    depth: Latch,
    fast: Latch,
}

impl IndexFall {
    /// Looks at one print with a level above zero. One from before the newest says nothing new: it
    /// is late, or told again by a feed that was opened anew.
    pub fn check(
        &mut self,
        params: &MarketCrashParams,
        tick: &IndexTick,
        moments: &mut Moments,
    ) -> Option<Finding> {
        if tick.time < self.newest {
            return None;
        }
        self.newest = tick.time;
        let since_open = tick.time.time_of_day().seconds();
        if since_open >= rules::OPEN.seconds() + params.opening_s {
            self.window.push(tick.time.second(), tick.level);
        }
        self.check_depth(params, tick, moments).or_else(|| self.check_fast(params, tick, moments))
    }

    fn check_depth(
        &mut self,
        params: &MarketCrashParams,
        tick: &IndexTick,
        moments: &mut Moments,
    ) -> Option<Finding> {
        let fall = fall_pct(tick.previous_close, tick.level);
        let [watch, warning, critical] = params.index_falls_pct;
        let [first, second, third] = rules::CIRCUIT_BREAKER_FALLS.map(|part| 100.0 * part);
        let ladder = [watch, warning, critical, first, second, third];
        let rung = rung(fall, &ladder);
        let receded = fall < params.rearm * watch;
        let now = tick.time.second();
        if !self.depth.is_news(rung, receded, now, params.cooldown_s)
            || !moments.claim(tick.time, level(rung))
        {
            return None;
        }
        self.depth.told(rung, now);
        let mut evidence = vec![
            ("fall_from_close_pct", fall),
            ("rung_pct", ladder[usize::from(rung) - 1]),
            ("rising", f64::from(tick.rising)),
            ("falling", f64::from(tick.falling)),
        ];
        evidence.extend(to_breakers(tick.level, tick.previous_close));
        Some(Finding {
            level: level(rung),
            price: tick.level,
            reference_price: tick.previous_close,
            change_pct: -fall,
            window_s: 0,
            evidence,
        })
    }

    fn check_fast(
        &mut self,
        params: &MarketCrashParams,
        tick: &IndexTick,
        moments: &mut Moments,
    ) -> Option<Finding> {
        let high = self.window.long_high();
        let fall = fall_pct(high, tick.level);
        let rung = rung(fall, &params.fast_falls_pct);
        let receded = fall < params.rearm * params.fast_falls_pct[0];
        let now = tick.time.second();
        if !self.fast.is_news(rung, receded, now, params.cooldown_s)
            || !moments.claim(tick.time, level(rung))
        {
            return None;
        }
        self.fast.told(rung, now);
        let mut evidence = vec![
            ("fall_300s_pct", fall),
            ("return_300s_pct", self.return_pct()),
            ("fall_from_close_pct", fall_pct(tick.previous_close, tick.level)),
        ];
        evidence.extend(to_breakers(tick.level, tick.previous_close));
        Some(Finding {
            level: level(rung),
            price: tick.level,
            reference_price: high,
            change_pct: -fall,
            window_s: LONG_S,
            evidence,
        })
    }

    /// Time of the newest print.
    #[must_use]
    pub const fn newest(&self) -> EventTime {
        self.newest
    }

    /// Change over the last five minutes, per cent.
    #[must_use]
    pub fn return_pct(&self) -> f64 {
        100.0 * self.window.long_return()
    }
}

/// How far `level` stands above each circuit-breaker level, per cent of `level`; below zero when
/// it is passed, 0 when a level is not known.
#[must_use]
pub fn to_breakers(level: IndexLevel, previous_close: IndexLevel) -> [(&'static str, f64); 3] {
    let names = ["to_breaker_8_pct", "to_breaker_15_pct", "to_breaker_20_pct"];
    let mut distances = names.map(|name| (name, 0.0));
    if level > 0 && previous_close > 0 {
        for ((_, distance), fall) in distances.iter_mut().zip(rules::CIRCUIT_BREAKER_FALLS) {
            *distance = 100.0 * (1.0 - previous_close as f64 * (1.0 - fall) / level as f64);
        }
    }
    distances
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::{SessionDay, SymbolId, TimeOfDay};

    fn tick(hhmmss: u32, level: i64) -> IndexTick {
        let day = SessionDay::from_yyyymmdd(20_240_805).unwrap();
        IndexTick {
            symbol: SymbolId(0),
            time: EventTime::from_kst(day, TimeOfDay::from_hhmmss(hhmmss).unwrap()),
            level,
            previous_close: 260_000,
            ..IndexTick::default()
        }
    }

    fn run(ticks: &[(u32, i64)]) -> Vec<(u32, Level, u32)> {
        let (mut index, mut moments) = (IndexFall::default(), Moments::default());
        let params = MarketCrashParams::default();
        ticks
            .iter()
            .filter_map(|&(at, level)| {
                let found = index.check(&params, &tick(at, level), &mut moments)?;
                Some((at, found.level, found.window_s))
            })
            .collect()
    }

    #[test]
    fn each_circuit_breaker_level_is_told() {
        let slow = [
            (93_000, 252_300),
            (100_000, 252_100),
            (103_000, 252_000),
            (110_000, 249_600),
            (111_000, 247_000),
            (113_000, 239_200),
            (120_000, 221_000),
            (130_000, 208_000),
        ];
        let expected = [
            (100_000, Level::Watch, 0),
            (110_000, Level::Warning, 0),
            (111_000, Level::Critical, 0),
            (113_000, Level::Critical, 0),
            (120_000, Level::Critical, 0),
            (130_000, Level::Critical, 0),
        ];
        assert_eq!(run(&slow), expected);
    }

    #[test]
    fn a_fast_fall_speaks_before_depth_does() {
        let found = run(&[(100_000, 260_000), (100_130, 258_000), (100_200, 257_300)]);
        assert_eq!(found, [(100_200, Level::Watch, LONG_S)]);
        assert!(run(&[(90_000, 260_000), (90_020, 256_000)]).is_empty(), "while it opens");
    }

    #[test]
    fn the_evidence_says_how_far_the_breakers_are() {
        let found = to_breakers(250_000, 250_000).map(|(_, distance)| distance);
        for (distance, expected) in found.into_iter().zip([8.0, 15.0, 20.0]) {
            assert!((distance - expected).abs() < 1e-9);
        }
        assert!(to_breakers(229_999, 250_000)[0].1 < 0.0, "passed");
        assert_eq!(to_breakers(0, 0)[2], ("to_breaker_20_pct", 0.0));
    }

    #[test]
    fn one_level_a_moment() {
        let mut moments = Moments::default();
        let (now, later) = (EventTime::from_micros(5), EventTime::from_micros(6));
        assert!(moments.claim(now, Level::Watch) && moments.claim(now, Level::Critical));
        assert!(!moments.claim(now, Level::Watch));
        assert!(moments.claim(later, Level::Watch));
    }
}

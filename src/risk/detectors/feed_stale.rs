//! Silence: of the whole feed, or of an issue while the others go on.
//!
//! [`FeedSilence`] judges silence marks within the session (09:00 to 15:30, until the feed says that
//! the market closed, not while it says that the market is halted). In the closing auction there
//! are no trades, so there silence counts only when the feed carries something else as well. Its
//! identity is the moment the silence began, however often it is reported.
//!
//! [`Rhythm`] knows how often each issue trades. Its clock is the number of *event seconds in which
//! any issue traded*: it stands still in a market-wide halt, a disconnect or an auction, so none of
//! these makes an issue look silent. The issues are looked through every tenth such second; trades, quotes and expected prices are signs of life.

use serde::{Deserialize, Serialize};

use super::{Finding, Latch, level};
use crate::market::{EventTime, TimeOfDay, rules};
use crate::risk::params::FeedStaleParams;

/// The market closes (장마감).
const CLOSED: u16 = 129;
/// A circuit breaker halts the market (서킷브레이크 발동).
pub const CIRCUIT_BREAKER: u16 = 174;
/// Market halted, circuit breaker on, its auction begins.
const HALTS: [u16; 3] = [164, CIRCUIT_BREAKER, 184];
/// Circuit breaker off, its auction ends, off.
pub const RESUMES: [u16; 3] = [175, 182, 185];

/// Whether the market stands still after `code`, by itself or in the auction of a circuit breaker.
#[must_use]
pub fn stands_still(code: u16) -> bool {
    HALTS.contains(&code)
}

/// Silence of the whole feed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedSilence {
    told: Latch,
    closed: bool,
    halted: bool,
    more_than_trades: bool,
}

impl FeedSilence {
    /// Something came: silence, and a halt of the market when it was a trade, are over.
    pub fn heard(&mut self, trade: bool) {
        self.told = Latch::default();
        if trade {
            self.halted = false;
        } else {
            self.more_than_trades = true;
        }
    }

    /// A new session day began.
    pub fn begin_day(&mut self) {
        *self = Self::default();
    }

    /// The market's phase changed (`MKOP_CLS_CODE`).
    pub fn operation(&mut self, code: u16) {
        match code {
            CLOSED => self.closed = true,
            code if stands_still(code) => self.halted = true,
            code if RESUMES.contains(&code) => self.halted = false,
            _ => {}
        }
    }

    /// Judges silence of `silence_us` microseconds up to `time`. Also gives the moment it began.
    pub fn check(
        &mut self,
        params: &FeedStaleParams,
        time: EventTime,
        silence_us: i64,
    ) -> Option<(EventTime, Finding)> {
        let began = time.plus_micros(silence_us.saturating_neg());
        let day = time.session_day();
        let now = time.time_of_day();
        let until = if self.more_than_trades { rules::CLOSE } else { rules::CLOSING_AUCTION };
        let in_session = now >= rules::OPEN && now < until;
        if began.session_day() != day || !in_session || self.closed || self.halted {
            return None;
        }
        let counted_from = began.max(EventTime::from_kst(day, rules::OPEN));
        let silence_s = time.second() - counted_from.second();
        let rung = params.feed_silence_s.iter().filter(|limit| silence_s >= **limit).count() as u8;
        if !self.told.is_news(rung, false, 0, 0) {
            return None;
        }
        self.told.told(rung, 0);
        let finding = Finding {
            level: level(rung),
            price: 0,
            reference_price: 0,
            change_pct: 0.0,
            window_s: u32::try_from(silence_s).unwrap_or(u32::MAX),
            evidence: vec![("silence_s", silence_s as f64)],
        };
        Some((began, finding))
    }
}

/// What [`Rhythm::scan`] found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SilentIssue {
    /// Array index of the issue.
    pub index: usize,
    /// 1 watch, 2 warning.
    pub rung: u8,
    /// Seconds in which other issues traded and this one did not.
    pub silence_s: u32,
    /// Its own average interval, same unit.
    pub interval_s: f64,
}

/// Rhythm of one issue: twenty bytes, so that a scan of thousands is a stroll through the cache.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
struct Beat {
    alive_at: u32,
    traded_at: u32,
    trades: u32,
    interval: f32,
    told: u8,
    paused: bool,
}

/// Rhythm of every issue, apart from the rest of their state because it is scanned.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Rhythm {
    clock: u32,
    beats: Vec<Beat>,
}

impl Rhythm {
    /// Weight of a new interval in the average.
    const WEIGHT: f32 = 0.05;
    /// The clock's steps between scans.
    const SCAN_EVERY: u32 = 10;

    /// Makes room for `issues` issues.
    pub fn grow(&mut self, issues: usize) {
        self.beats.resize(issues, Beat::default());
    }

    /// Forgets the day.
    pub fn begin_day(&mut self) {
        self.clock = 0;
        self.beats.fill(Beat::default());
    }

    /// An issue traded in an event second in which none had before; true when a scan is due.
    pub fn tick(&mut self) -> bool {
        self.clock += 1;
        self.clock.is_multiple_of(Self::SCAN_EVERY)
    }

    /// A sign of life that is not a trade.
    pub fn alive(&mut self, index: usize) {
        let beat = &mut self.beats[index];
        (beat.alive_at, beat.told) = (self.clock, 0);
    }

    /// The issue is halted or in an interruption, or no longer.
    pub fn pause(&mut self, index: usize, paused: bool) {
        self.beats[index].paused = paused;
        self.alive(index);
    }

    /// The issue traded.
    pub fn traded(&mut self, index: usize) {
        let beat = &mut self.beats[index];
        (beat.alive_at, beat.told, beat.paused) = (self.clock, 0, false);
        let gap = self.clock - beat.traded_at;
        if beat.trades == 0 {
            beat.interval = 1.0;
        } else if gap == 0 {
            return;
        } else {
            beat.interval += Self::WEIGHT * (gap as f32 - beat.interval);
        }
        beat.trades += 1;
        beat.traded_at = self.clock;
    }

    /// Number of active issues, and those that have just become silent, into `found` (cleared).
    pub fn scan(
        &mut self,
        params: &FeedStaleParams,
        now: TimeOfDay,
        found: &mut Vec<SilentIssue>,
    ) -> usize {
        found.clear();
        if now < rules::OPEN || now >= rules::CLOSING_AUCTION {
            return 0;
        }
        let mut active = 0;
        for (index, beat) in self.beats.iter_mut().enumerate() {
            let interval_s = f64::from(beat.interval);
            if beat.trades < params.min_trades || interval_s > params.max_interval_s {
                continue;
            }
            active += 1;
            let silence_s = self.clock - beat.alive_at;
            let limit = (params.intervals * interval_s).max(f64::from(params.min_silence_s));
            let rung = u8::from(f64::from(silence_s) >= limit)
                + u8::from(f64::from(silence_s) >= 3.0 * limit);
            if rung > beat.told && !beat.paused {
                beat.told = rung;
                found.push(SilentIssue { index, rung, silence_s, interval_s });
            }
        }
        active
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::SessionDay;
    use crate::risk::types::Level;

    fn at(hhmmss: u32) -> EventTime {
        let day = SessionDay::from_yyyymmdd(20_240_805).unwrap();
        EventTime::from_kst(day, TimeOfDay::from_hhmmss(hhmmss).unwrap())
    }

    fn level_of(silence: &mut FeedSilence, hhmmss: u32, seconds: i64) -> Option<Level> {
        let params = FeedStaleParams::default();
        silence.check(&params, at(hhmmss), seconds * 1_000_000).map(|found| found.1.level)
    }

    #[test]
    fn silence_counts_in_session_and_escalates() {
        let mut silence = FeedSilence::default();
        assert_eq!(level_of(&mut silence, 100_010, 10), None);
        assert_eq!(level_of(&mut silence, 100_020, 20), Some(Level::Watch));
        assert_eq!(level_of(&mut silence, 100_030, 30), None);
        assert_eq!(level_of(&mut silence, 100_100, 60), Some(Level::Warning));
        silence.heard(true);
        assert_eq!(level_of(&mut silence, 100_200, 20), Some(Level::Watch));
    }

    #[test]
    fn silence_outside_the_session_is_peace() {
        for (now, seconds) in [(85_900, 3_000), (90_010, 600), (153_100, 90), (163_000, 600)] {
            assert_eq!(level_of(&mut FeedSilence::default(), now, seconds), None, "{now}");
        }
        let mut overnight = FeedSilence::default();
        assert_eq!(level_of(&mut overnight, 93_000, 64_800), None);
        let mut closed = FeedSilence::default();
        closed.operation(CLOSED);
        assert_eq!(level_of(&mut closed, 100_100, 60), None);
        let mut halted = FeedSilence::default();
        halted.operation(174);
        assert_eq!(level_of(&mut halted, 100_100, 60), None);
        halted.operation(175);
        assert_eq!(level_of(&mut halted, 100_100, 60), Some(Level::Warning));
    }

    #[test]
    fn the_closing_auction_has_no_trades() {
        let mut trades_only = FeedSilence::default();
        trades_only.heard(true);
        assert_eq!(level_of(&mut trades_only, 152_500, 300), None);
        let mut with_index = FeedSilence::default();
        with_index.heard(false);
        assert_eq!(level_of(&mut with_index, 152_500, 300), Some(Level::Critical));
    }

    #[test]
    fn the_identity_is_where_the_silence_began() {
        let params = FeedStaleParams::default();
        let began = |hhmmss, seconds: i64| {
            FeedSilence::default().check(&params, at(hhmmss), seconds * 1_000_000).unwrap().0
        };
        assert_eq!(began(100_020, 20), at(100_000));
        assert_eq!(began(100_047, 47), at(100_000));
    }

    /// Issue 0 trades every second, issue 1 every fourth until `stops`; issue 2 hardly ever.
    fn silent_at(stops: u32, seconds: u32) -> Vec<(u32, usize)> {
        let params = FeedStaleParams::default();
        let (mut rhythm, mut found, mut all) = (Rhythm::default(), Vec::new(), Vec::new());
        rhythm.grow(3);
        for second in 0..seconds {
            let due = rhythm.tick();
            rhythm.traded(0);
            if second % 4 == 0 && second < stops {
                rhythm.traded(1);
            }
            if second % 400 == 0 {
                rhythm.traded(2);
            }
            if due {
                rhythm.scan(&params, TimeOfDay::from_hhmmss(100_000).unwrap(), &mut found);
                all.extend(found.iter().map(|silent| (second, silent.index)));
            }
        }
        all
    }

    #[test]
    fn an_issue_is_silent_by_its_own_rhythm() {
        assert!(silent_at(u32::MAX, 5_000).is_empty());
        let found = silent_at(1_000, 1_600);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!((1_236..1_250).contains(&found[0].0) && found[0].1 == 1, "{found:?}");
    }
}

//! When a fault strikes: counts what passes and chooses by count, event time and seed.
//!
//! A choice by chance is a hash of the seed, the fault's place in the list, the session and the
//! count. No generator is shared, so what one session meets does not depend on how fast another
//! one reads.

use std::collections::HashMap;

use tokio::time::Instant;

use crate::market::{EventTime, Symbol};

use super::super::book::mix;
use super::kind::{FaultKind, Place};
use super::spec::FaultSpec;

/// What passes and could be struck.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    /// Ordinal of the session, from 1; 0 for calls and connections.
    pub session: u64,
    /// Ordinal of the app key, from 1.
    pub app_key: Option<u64>,
    pub symbol: Option<Symbol>,
    /// TR ID, or the last part of a call's path.
    pub name: &'a str,
    pub now: EventTime,
}

/// A session under a fault that lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Span {
    Off,
    /// From now on; the count of the frame at which it began.
    Begins(u64),
    On,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Before,
    During(Option<EventTime>),
    After,
}

#[derive(Debug, Default)]
struct Seen {
    count: u64,
    begun: Option<EventTime>,
    stage: Stage,
}

/// A fault that waits for its moments.
#[derive(Debug)]
pub(crate) struct Armed {
    pub spec: FaultSpec,
    salt: u64,
    /// How often it began.
    pub fired: u64,
    /// Frames, calls, registrations and connections it has spoilt.
    pub struck: u64,
    begun: Option<Instant>,
    sessions: HashMap<u64, Seen>,
}

impl Armed {
    /// The fault at place `index` of the list.
    pub fn new(spec: FaultSpec, seed: u64, index: usize) -> Self {
        let salt = mix(seed ^ mix(index as u64 + 1));
        Self { spec, salt, fired: 0, struck: 0, begun: None, sessions: HashMap::new() }
    }

    /// Whether it is about this target at all.
    pub fn concerns(&self, target: &Target<'_>) -> bool {
        let spec = &self.spec;
        let named = |name: &Option<String>| name.as_deref().is_none_or(|name| name == target.name);
        spec.session.is_none_or(|session| session == target.session)
            && spec.app_key.is_none_or(|key| Some(key) == target.app_key)
            && spec.symbol.is_none_or(|symbol| Some(symbol) == target.symbol)
            && named(&spec.tr)
            && named(&spec.endpoint)
    }

    /// Counts `target` and says whether it is struck; the value is its count.
    pub fn strikes(&mut self, target: &Target<'_>) -> Option<u64> {
        if !self.concerns(target) || self.early(target.now) {
            return None;
        }
        // A session is in use once: what counts is how many of them ask.
        let counted = if self.spec.kind == FaultKind::InUse { 0 } else { target.session };
        let seen = self.sessions.entry(counted).or_default();
        seen.count += 1;
        let count = seen.count;
        let nth = count.checked_sub(self.spec.after).filter(|nth| *nth > 0)?;
        if self.late(target) || self.spec.limit().is_some_and(|limit| self.fired >= limit) {
            return None;
        }
        let hit = match (self.spec.every, self.spec.chance) {
            (Some(every), _) => nth.is_multiple_of(every),
            (None, Some(chance)) => {
                (self.word(target.session, count) >> 11) as f64 / (1u64 << 53) as f64 <= chance
            }
            (None, None) => true,
        };
        if !hit {
            return None;
        }
        self.fired += 1;
        self.struck += 1;
        Some(count)
    }

    /// The state of a session under it. `counts`: a frame passes, which `after` counts.
    pub fn span(&mut self, target: &Target<'_>, counts: bool) -> Span {
        let seen = self.sessions.entry(target.session).or_default();
        match seen.stage {
            Stage::After => Span::Off,
            Stage::During(until) if until.is_some_and(|until| target.now >= until) => {
                seen.stage = Stage::After;
                Span::Off
            }
            Stage::During(_) => {
                self.struck += 1;
                Span::On
            }
            Stage::Before if !counts && seen.count < self.spec.after => Span::Off,
            Stage::Before => {
                let Some(count) = self.strikes(target) else { return Span::Off };
                let until = self.until(target);
                self.sessions.entry(target.session).or_default().stage = Stage::During(until);
                Span::Begins(count)
            }
        }
    }

    /// The end of a fault that begins with `target`; `None` without `for`.
    pub fn until(&self, target: &Target<'_>) -> Option<EventTime> {
        let lasts = i64::try_from(self.spec.lasts?.as_micros()).unwrap_or(i64::MAX);
        let begun = self.sessions.get(&target.session).and_then(|seen| seen.begun);
        Some(self.start(target.now).or(begun).unwrap_or(target.now).plus_micros(lasts))
    }

    /// A word of the seed for this count.
    pub fn word(&self, session: u64, count: u64) -> u64 {
        mix(self.salt ^ mix(session) ^ count)
    }

    /// Forgets a session that has ended.
    pub fn forget(&mut self, session: u64) {
        self.sessions.remove(&session);
    }

    fn start(&self, now: EventTime) -> Option<EventTime> {
        self.spec.at.map(|at| EventTime::from_kst(now.session_day(), at))
    }

    fn early(&self, now: EventTime) -> bool {
        self.start(now).is_some_and(|start| now < start)
    }

    /// Whether its time is over. Event time stands still while nobody is connected, so that what
    /// keeps clients away goes by the wall clock.
    fn late(&mut self, target: &Target<'_>) -> bool {
        let Some(lasts) = self.spec.lasts else { return false };
        let place = self.spec.kind.place();
        if !matches!(place, Place::Frame | Place::Session) || target.session == 0 {
            return self.begun.get_or_insert_with(Instant::now).elapsed() >= lasts;
        }
        self.sessions.entry(target.session).or_default().begun.get_or_insert(target.now);
        self.until(target).is_some_and(|until| target.now >= until)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::market::{SessionDay, TimeOfDay};

    fn armed(text: &str, seed: u64) -> Armed {
        Armed::new(text.parse().unwrap(), seed, 0)
    }

    fn target(session: u64, second: i64) -> Target<'static> {
        let day = SessionDay::from_ymd(2026, 9, 15).unwrap();
        let nine = EventTime::from_kst(day, TimeOfDay::from_hms(9, 0, 0).unwrap());
        let now = nine.plus_micros(second * 1_000_000);
        Target { session, app_key: Some(1), symbol: None, name: "H0STCNT0", now }
    }

    fn hits(text: &str, of: u64) -> Vec<u64> {
        let mut armed = armed(text, 1);
        (0..of as i64).filter_map(|second| armed.strikes(&target(1, second))).collect()
    }

    #[test]
    fn counts_and_times() {
        assert_eq!(hits("lose", 9), [1]);
        assert_eq!(hits("lose:after=3", 9), [4]);
        assert_eq!(hits("lose:every=3", 9), [3, 6, 9]);
        assert_eq!(hits("lose:after=1,every=3,times=2", 20), [4, 7]);
        assert_eq!(hits("lose:times=3", 9), [1, 2, 3]);
        // Frames before the time do not count.
        assert_eq!(hits("lose:at=09:00:05,times=2", 9), [1, 2]);
        assert_eq!(hits("lose:at=09:00:05,for=2s", 20), [1, 2]);
        assert_eq!(hits("lose:after=4,for=3s", 20), [5, 6, 7]);
        assert!(hits("lose:session=2", 9).is_empty());
        assert!(hits("lose:tr=H0STASP0", 9).is_empty());
        assert_eq!(hits("lose:key=1,tr=H0STCNT0", 9), [1]);
    }

    #[test]
    fn a_span_lasts_in_its_session() {
        let mut mute = armed("mute:after=2,for=3s", 1);
        let mut run = |session, seconds: std::ops::Range<i64>| -> Vec<Span> {
            seconds.map(|second| mute.span(&target(session, second), true)).collect()
        };
        use Span::{Begins, Off, On};
        assert_eq!(run(1, 0..7), [Off, Off, Begins(3), On, On, Off, Off]);
        assert_eq!(run(2, 10..13), [Off, Off, Begins(3)]);
        let mut once = armed("mute", 1);
        assert_eq!(once.span(&target(1, 0), true), Begins(1));
        assert_eq!(once.span(&target(1, 9_999), false), On);
        assert_eq!(once.span(&target(2, 0), true), Off, "one session, unless told otherwise");
    }

    #[tokio::test(start_paused = true)]
    async fn what_keeps_clients_away_goes_by_the_wall_clock() {
        let mut refuse = armed("refuse-connect:for=2s", 1);
        assert!(refuse.strikes(&target(0, 0)).is_some());
        assert!(refuse.strikes(&target(0, 0)).is_some());
        tokio::time::advance(std::time::Duration::from_secs(2)).await;
        assert!(refuse.strikes(&target(0, 0)).is_none());
    }

    proptest! {
        #[test]
        fn chance_is_of_the_seed_and_not_of_the_interleaving(seed: u64, other in 0usize..5) {
            let alone: Vec<bool> = {
                let mut armed = armed("lose:p=0.2", seed);
                (0..200).map(|s| armed.strikes(&target(1, s)).is_some()).collect()
            };
            let mut armed = armed("lose:p=0.2", seed);
            let mixed: Vec<bool> = (0..200)
                .map(|second| {
                    for _ in 0..other {
                        armed.strikes(&target(2, second));
                    }
                    armed.strikes(&target(1, second)).is_some()
                })
                .collect();
            prop_assert_eq!(&alone, &mixed);
            let hits = alone.iter().filter(|hit| **hit).count();
            prop_assert!((5..=90).contains(&hits), "{} of 200 at a chance of 0.2", hits);
        }
    }
}

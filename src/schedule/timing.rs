//! When a job is planned: from its words in the schedule to instants.
//!
//! Input: a [`Timing`], the KRX calendar that is in force, and an instant. Output: the first planned
//! instant after it, or those of a stretch of time. The same question has the same answer on every
//! machine and after every restart: nothing is counted from a start, and nothing remembers.
//!
//! - **Crontab**: local times of a zone; where clocks are changed, by the rule of `zone`.
//! - **Interval**: multiples counted from Monday, 5 January 1970, 00:00 in Korea, so that `every: 24h`
//!   is midnight in Korea and `every: 7d` Monday midnight. Within the session (`during: session`) they
//!   are counted from the day's opening, the opening and the close included.
//! - **Marks of the session**: so long before or after its opening or close, on the hours that the
//!   calendar tells for that day (late openings of New Year and the entrance test included).
//!
//! `on` leaves out instants by the **Korean date** they fall on, whatever the zone. A date that the
//! calendar does not know is an error, not a guess: the job then has no next run, and says so.

use std::fmt;
use std::time::Duration;

use chrono_tz::Tz;

use super::cron::Cron;
use super::{span, zone};
use crate::market::calendar::{Calendar, CalendarError, Session};
use crate::market::time::MICROS_PER_SECOND;
use crate::market::{EventTime, SessionDay, TimeOfDay};

/// Monday, 5 January 1970, 00:00 in Korea: where intervals are counted from.
const ANCHOR: EventTime = EventTime::from_kst(
    SessionDay::from_epoch_days(4),
    match TimeOfDay::from_seconds(0) {
        Some(midnight) => midnight,
        None => panic!("a day has a midnight"),
    },
);
/// Korean days that are looked through for a session: the longest closure of the table has 10.
const SEARCH_DAYS: i32 = 40;
/// Instants that a condition may leave out before a job counts as one that never runs. A weekly job
/// that its condition always leaves out gets through all the calendar knows with fewer.
const MAX_LEFT_OUT: usize = 4_000;

/// On which Korean dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum On {
    /// Every day.
    #[default]
    EveryDay,
    /// KRX trades.
    TradingDay,
    /// KRX does not trade, weekends included.
    ClosedDay,
}

/// A moment of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// So long before the opening.
    BeforeOpen(Duration),
    /// So long after it.
    AfterOpen(Duration),
    /// So long before the close.
    BeforeClose(Duration),
    /// So long after it.
    AfterClose(Duration),
}

impl Mark {
    fn of(self, session: &Session) -> EventTime {
        let at = |time| EventTime::from_kst(session.day, time);
        match self {
            Self::BeforeOpen(by) => at(session.open).plus_micros(-span::micros(by)),
            Self::AfterOpen(by) => at(session.open).plus_micros(span::micros(by)),
            Self::BeforeClose(by) => at(session.close).plus_micros(-span::micros(by)),
            Self::AfterClose(by) => at(session.close).plus_micros(span::micros(by)),
        }
    }
}

/// What a job's instants come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Local times of a zone.
    Cron(Box<Cron>, Tz),
    /// Multiples of an interval; never zero.
    Every(Duration),
    /// Once in each session.
    Mark(Mark),
}

/// When a job is planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// What the instants come from.
    pub source: Source,
    /// Which dates are left out.
    pub on: On,
    /// Only between opening and close, both included.
    pub in_session: bool,
}

/// What a condition says of an instant.
enum Verdict {
    Kept,
    /// Left out, and so is all before this instant.
    LeftOut(EventTime),
}

impl Timing {
    /// The first planned instant after `after`; `None` when there is none, ever.
    ///
    /// # Errors
    /// When it depends on a day that the calendar does not know.
    pub fn next(
        &self,
        calendar: &Calendar,
        after: EventTime,
    ) -> Result<Option<EventTime>, CalendarError> {
        match &self.source {
            Source::Mark(mark) => next_of_sessions(calendar, after, |session, after| {
                let at = mark.of(session);
                (at > after).then_some(at)
            }),
            Source::Every(every) if self.in_session => {
                next_of_sessions(calendar, after, |session, after| {
                    let (open, close) = bounds(session);
                    let at = multiple_after(open, *every, after).max(open);
                    (at <= close).then_some(at)
                })
            }
            Source::Every(every) => {
                self.kept(calendar, after, |after| Some(multiple_after(ANCHOR, *every, after)))
            }
            Source::Cron(cron, zone) => self.kept(calendar, after, |after| {
                let second = zone::at_or_after(cron, *zone, after.second() + 1)?;
                Some(EventTime::from_micros(second.checked_mul(MICROS_PER_SECOND)?))
            }),
        }
    }

    /// The planned instants after `after` up to and including `until`, in order; the oldest `limit` of
    /// them.
    ///
    /// # Errors
    /// As [`Timing::next`].
    pub fn between(
        &self,
        calendar: &Calendar,
        after: EventTime,
        until: EventTime,
        limit: usize,
    ) -> Result<Vec<EventTime>, CalendarError> {
        let mut instants = Vec::new();
        let mut from = after;
        while instants.len() < limit && from < until {
            match self.next(calendar, from) {
                Ok(Some(at)) if at <= until => {
                    instants.push(at);
                    from = at;
                }
                Ok(_) => break,
                // What is unknown begins where the calendar ends: the question may end before it.
                Err(CalendarError::NotCovered(day)) if start_of(day) > until => break,
                Err(error) => return Err(error),
            }
        }
        Ok(instants)
    }

    /// The first of the instants that `next` gives which no condition leaves out.
    fn kept(
        &self,
        calendar: &Calendar,
        mut after: EventTime,
        next: impl Fn(EventTime) -> Option<EventTime>,
    ) -> Result<Option<EventTime>, CalendarError> {
        for _ in 0..MAX_LEFT_OUT {
            let Some(at) = next(after) else { return Ok(None) };
            match self.verdict(calendar, at)? {
                Verdict::Kept => return Ok(Some(at)),
                Verdict::LeftOut(until) => after = until.plus_micros(-1).max(at),
            }
        }
        Ok(None)
    }

    fn verdict(&self, calendar: &Calendar, at: EventTime) -> Result<Verdict, CalendarError> {
        if self.on == On::EveryDay && !self.in_session {
            return Ok(Verdict::Kept);
        }
        let day = at.session_day();
        let is_session = calendar.is_session(day).ok_or(CalendarError::NotCovered(day))?;
        let tomorrow = start_of(day.next());
        if is_session != (self.on != On::ClosedDay) {
            return Ok(Verdict::LeftOut(tomorrow));
        }
        match calendar.session(day).filter(|_| self.in_session) {
            None => Ok(Verdict::Kept),
            Some(session) => {
                let (open, close) = bounds(&session);
                Ok(match at {
                    at if at < open => Verdict::LeftOut(open),
                    at if at <= close => Verdict::Kept,
                    _ => Verdict::LeftOut(tomorrow),
                })
            }
        }
    }

    /// The interval, where there is one.
    #[must_use]
    pub const fn interval(&self) -> Option<Duration> {
        match self.source {
            Source::Every(every) => Some(every),
            _ => None,
        }
    }

    /// The zone of a crontab.
    #[must_use]
    pub const fn zone(&self) -> Option<Tz> {
        match self.source {
            Source::Cron(_, zone) => Some(zone),
            _ => None,
        }
    }
}

/// Opening and close.
fn bounds(session: &Session) -> (EventTime, EventTime) {
    let at = |time| EventTime::from_kst(session.day, time);
    (at(session.open), at(session.close))
}

/// Midnight in Korea at which `day` begins.
fn start_of(day: SessionDay) -> EventTime {
    EventTime::from_kst(day, TimeOfDay::default())
}

/// The first multiple of `every` counted from `anchor` that lies after `after`.
fn multiple_after(anchor: EventTime, every: Duration, after: EventTime) -> EventTime {
    let every = span::micros(every).max(1);
    let past = after.micros_since(anchor).div_euclid(every);
    anchor.plus_micros(past.saturating_add(1).saturating_mul(every))
}

/// What `of` gives for the first session for which it gives something. A mark lies at most a day from
/// its session (checked where it is read), so the sessions just before `after` are asked too.
fn next_of_sessions(
    calendar: &Calendar,
    after: EventTime,
    of: impl Fn(&Session, EventTime) -> Option<EventTime>,
) -> Result<Option<EventTime>, CalendarError> {
    let today = after.session_day().epoch_days();
    for day in (today - 2..today + SEARCH_DAYS).map(SessionDay::from_epoch_days) {
        match calendar.is_session(day) {
            // A day before the question began: it is not asked about.
            None if day.epoch_days() < today => {}
            None => return Err(CalendarError::NotCovered(day)),
            Some(false) => {}
            Some(true) => {
                let at = calendar.session(day).and_then(|session| of(&session, after));
                if at.is_some() {
                    return Ok(at);
                }
            }
        }
    }
    Ok(None)
}

impl fmt::Display for Timing {
    /// As in the schedule, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Cron(cron, _) => write!(f, "cron {cron}")?,
            Source::Every(every) => write!(f, "every {}", span::text(*every))?,
            Source::Mark(mark) => match mark {
                Mark::BeforeOpen(by) => write!(f, "{} before the opening", span::text(*by))?,
                Mark::AfterOpen(by) => write!(f, "{} after the opening", span::text(*by))?,
                Mark::BeforeClose(by) => write!(f, "{} before the close", span::text(*by))?,
                Mark::AfterClose(by) => write!(f, "{} after the close", span::text(*by))?,
            },
        }
        match (&self.source, self.in_session, self.on) {
            (Source::Mark(_), ..) => Ok(()),
            (_, true, _) => f.write_str(" during the session"),
            (_, _, On::EveryDay) => Ok(()),
            (_, _, On::TradingDay) => f.write_str(" on trading days"),
            (_, _, On::ClosedDay) => f.write_str(" on days without trading"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> EventTime {
        let (day, time) = text.split_once(' ').unwrap();
        EventTime::from_kst(day.parse().unwrap(), time.parse().unwrap())
    }

    fn cron(text: &str, zone: Tz, on: On) -> Timing {
        let source = Source::Cron(Box::new(Cron::parse(text).unwrap()), zone);
        Timing { source, on, in_session: false }
    }

    fn plain(source: Source) -> Timing {
        Timing { source, on: On::EveryDay, in_session: false }
    }

    fn minutes(count: u64) -> Duration {
        Duration::from_secs(60 * count)
    }

    fn next(timing: &Timing, after: &str) -> String {
        let next = timing.next(&Calendar::krx(), at(after)).unwrap().unwrap();
        next.rfc3339().replace("+09:00", "").replace('T', " ")
    }

    #[test]
    fn marks_follow_the_hours_of_the_day() {
        let before = plain(Source::Mark(Mark::BeforeOpen(minutes(10))));
        let after = plain(Source::Mark(Mark::AfterClose(minutes(20))));
        assert_eq!(next(&before, "2026-11-12 00:00"), "2026-11-12 08:50:00");
        assert_eq!(next(&before, "2026-11-12 08:50"), "2026-11-13 08:50:00", "strictly after");
        assert_eq!(next(&after, "2026-11-13 15:49"), "2026-11-13 15:50:00");
        assert_eq!(next(&after, "2026-11-13 15:50"), "2026-11-16 15:50:00", "over the weekend");
        // The entrance test: an hour later at both ends. New Year: at the opening only.
        assert_eq!(next(&before, "2026-11-19 00:00"), "2026-11-19 09:50:00");
        assert_eq!(next(&after, "2026-11-19 00:00"), "2026-11-19 16:50:00");
        assert_eq!(next(&before, "2025-12-31 00:00"), "2026-01-02 09:50:00");
        assert_eq!(next(&after, "2026-01-02 00:00"), "2026-01-02 15:50:00");
        // Longer than the day is old.
        let early = plain(Source::Mark(Mark::BeforeOpen(minutes(10 * 60))));
        assert_eq!(next(&early, "2026-11-11 20:00"), "2026-11-11 23:00:00");
    }

    #[test]
    fn intervals_in_the_session_begin_with_it() {
        let timing =
            Timing { source: Source::Every(minutes(50)), on: On::EveryDay, in_session: true };
        let calendar = Calendar::krx();
        let day = |from: &str, to: &str| {
            let found = timing.between(&calendar, at(from), at(to), 100).unwrap();
            found.iter().map(|at| at.time_of_day().to_string()[..5].to_owned()).collect::<Vec<_>>()
        };
        let usual = day("2026-11-12 00:00", "2026-11-13 00:00");
        assert_eq!(usual, ["09:00", "09:50", "10:40", "11:30", "12:20", "13:10", "14:00", "14:50"]);
        assert_eq!(day("2026-11-19 00:00", "2026-11-20 00:00")[0], "10:00", "the entrance test");
        assert_eq!(day("2026-11-14 00:00", "2026-11-16 00:00").len(), 0, "a weekend");
        let to_the_close = Timing { source: Source::Every(minutes(30)), ..timing.clone() };
        assert_eq!(next(&to_the_close, "2026-11-12 15:00"), "2026-11-12 15:30:00");
    }

    #[test]
    fn conditions_go_by_the_korean_date() {
        let timing = cron("0 18 * * *", chrono_tz::Asia::Seoul, On::TradingDay);
        // Chuseok 2026: 24 and 25 September are closed, then a weekend.
        assert_eq!(next(&timing, "2026-09-23 18:00"), "2026-09-28 18:00:00");
        // 20:00 in New York is the next morning in Korea: Sunday evening there, Monday here.
        let abroad = cron("0 20 * * *", chrono_tz::America::New_York, On::TradingDay);
        assert_eq!(next(&abroad, "2026-11-13 12:00"), "2026-11-16 10:00:00");
        let closed = cron("0 3 * * *", chrono_tz::Asia::Seoul, On::ClosedDay);
        assert_eq!(next(&closed, "2026-11-12 00:00"), "2026-11-14 03:00:00");
        let session =
            Timing { in_session: true, ..cron("0 * * * *", chrono_tz::Asia::Seoul, On::EveryDay) };
        assert_eq!(next(&session, "2026-11-13 14:30"), "2026-11-13 15:00:00");
        assert_eq!(next(&session, "2026-11-13 15:00"), "2026-11-16 09:00:00");
    }

    #[test]
    fn intervals_are_counted_from_monday_midnight_in_korea() {
        assert_eq!(
            next(&plain(Source::Every(minutes(7 * 24 * 60))), "2026-11-12 00:00"),
            "2026-11-16 00:00:00"
        );
        assert_eq!(
            next(&plain(Source::Every(minutes(24 * 60))), "2026-11-12 00:00"),
            "2026-11-13 00:00:00"
        );
        let sundays = Timing { on: On::TradingDay, ..plain(Source::Every(minutes(24 * 60))) };
        assert_eq!(next(&sundays, "2026-11-13 12:00"), "2026-11-16 00:00:00");
    }

    #[test]
    fn beyond_the_calendar_there_is_no_guess() {
        let calendar = Calendar::krx();
        let timing = cron("0 18 * * *", chrono_tz::Asia::Seoul, On::TradingDay);
        let new_year = at("2027-12-31 18:00");
        let error = timing.next(&calendar, new_year).unwrap_err();
        // 1 and 2 January 2028 are a weekend.
        assert_eq!(error, CalendarError::NotCovered("2028-01-03".parse().unwrap()));
        let mark = plain(Source::Mark(Mark::AfterClose(minutes(20))));
        assert!(mark.next(&calendar, new_year).is_err());
        // What lies before the end is told all the same.
        let known = timing.between(&calendar, at("2027-12-29 00:00"), at("2028-01-02 00:00"), 9);
        assert_eq!(known.unwrap().len(), 2, "29 and 30 December; 31 is closed");
        assert!(
            timing.between(&calendar, at("2027-12-29 00:00"), at("2028-01-04 00:00"), 9).is_err()
        );
        // Without a condition there is nothing to know.
        let plain = cron("0 18 * * *", chrono_tz::Asia::Seoul, On::EveryDay);
        assert_eq!(next(&plain, "2030-05-01 18:00"), "2030-05-02 18:00:00");
        // One that its condition always leaves out ends where the calendar does.
        let never = cron("0 12 * * sun", chrono_tz::Asia::Seoul, On::TradingDay);
        assert_eq!(never.next(&calendar, at("2026-01-01 00:00")), Ok(None));
    }

    fn any_timing() -> impl Strategy<Value = Timing> {
        let mark = (0u64..1_440, 0..4usize).prop_map(|(by, which)| {
            let by = minutes(by);
            Source::Mark(
                [
                    Mark::BeforeOpen(by),
                    Mark::AfterOpen(by),
                    Mark::BeforeClose(by),
                    Mark::AfterClose(by),
                ][which],
            )
        });
        let every = (1u64..200_000).prop_map(|seconds| Source::Every(Duration::from_secs(seconds)));
        let cron = (0u32..60, 0u32..24).prop_map(|(minute, hour)| {
            let text = format!("{minute},30 {hour},12 * * *");
            Source::Cron(Box::new(Cron::parse(&text).unwrap()), chrono_tz::Europe::London)
        });
        let on = prop_oneof![Just(On::EveryDay), Just(On::TradingDay), Just(On::ClosedDay)];
        (prop_oneof![mark, every, cron], on, any::<bool>()).prop_map(|(source, on, session)| {
            let mark = matches!(source, Source::Mark(_));
            let in_session = session && on != On::ClosedDay && !mark;
            Timing { source, on: if mark { On::EveryDay } else { on }, in_session }
        })
    }

    proptest! {
        /// From wherever one asks, the plan is the same, in order, and keeps to the conditions.
        #[test]
        fn the_plan_does_not_depend_on_when_it_is_asked(timing in any_timing(), start in 0i64..600, skip in 0usize..20) {
            let calendar = Calendar::krx();
            let from = at("2025-10-01 00:00").plus_micros(start * 3_600_000_000);
            let until = from.plus_micros(20 * 86_400_000_000);
            let plan = timing.between(&calendar, from, until, 200).unwrap();
            prop_assert!(plan.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(plan.iter().all(|&at| at > from && at <= until));
            if let Some(&middle) = plan.get(skip) {
                let rest = timing.between(&calendar, middle, until, 200 - skip - 1).unwrap();
                prop_assert_eq!(&rest[..], &plan[skip + 1..]);
                let same = timing.between(&calendar, middle.plus_micros(-1), until, 1).unwrap();
                prop_assert_eq!(same[0], middle);
            }
            for &at in &plan {
                let session = calendar.session(at.session_day());
                match timing.on {
                    On::TradingDay => prop_assert!(session.is_some()),
                    On::ClosedDay => prop_assert!(session.is_none()),
                    On::EveryDay => {}
                }
                if timing.in_session {
                    let (open, close) = bounds(&session.unwrap());
                    prop_assert!(open <= at && at <= close);
                }
            }
        }
    }
}

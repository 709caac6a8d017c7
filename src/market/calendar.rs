//! The days on which KRX trades, and the hours of each.
//!
//! Input: a table of closed weekdays from 2000 to 2027, and corrections to single days, as the
//! broker's calendar call gives them. Output: whether a day is a session, its hours, its
//! neighbours, why a day is closed.
//!
//! A weekday is a session unless the table or a correction closes it; Saturdays and Sundays never
//! are (KRX gave up Saturday trading in December 1998). Outside the table a weekday is *unknown*,
//! not open: [`Calendar::is_session`] answers `None`, and so does everything that would have to
//! pass such a day. [`Validity`] says beforehand that the table is about to end.
//!
//! Limits: the hours are those of shares in the regular market. The lunch break of early 2000
//! (until May of that year) and trading halts are not in them. Closures after [`OBSERVED_UNTIL`]
//! are announced or expected; holidays decreed later are not there until they are corrected.

mod table;
#[cfg(test)]
mod tests;
mod validity;

use std::collections::BTreeMap;

use super::{SessionDay, TimeOfDay};

pub(super) use table::date;
use table::{ENTRANCE_TESTS, EXPECTED, HOLIDAYS};
pub use table::{OBSERVED_UNTIL, VALID_FROM, VALID_UNTIL};
pub use validity::{Validity, WARN_DAYS};

/// First day with a close at 15:30, 2016-08-01; 15:00 before.
const LATER_CLOSE: SessionDay = date(20_160_801);
/// First day on which the opening auction takes orders from 08:30, 2019-04-29; from 08:00 before.
const SHORT_PRE_OPEN: SessionDay = date(20_190_429);
/// First day of the KRX after-market, 2026-09-14, from which the opening auction is reported to
/// take orders from 08:20.
pub(super) const AFTER_MARKET: SessionDay = date(20_260_914);
/// First year whose first session opens an hour late.
const LATE_FIRST_SESSION: u32 = 2001;

/// One bit a day from [`VALID_FROM`], set when the table closes the day.
static CLOSED: [u64; WORDS] = closed_bits();
const DAYS: usize = (VALID_UNTIL.epoch_days() - VALID_FROM.epoch_days() + 1) as usize;
const WORDS: usize = DAYS.div_ceil(64);

/// Evaluated by the compiler: a date that does not exist, is out of range, out of order or falls
/// on a weekend stops the build.
const fn closed_bits() -> [u64; WORDS] {
    let mut bits = [0; WORDS];
    let mut holiday = 0;
    while holiday < HOLIDAYS.len() {
        let days = HOLIDAYS[holiday].days;
        let mut i = 0;
        while i < days.len() {
            let day = date(days[i]);
            assert!(!day.is_weekend(), "a closed weekday of the calendar's table is on a weekend");
            assert!(i == 0 || days[i - 1] < days[i], "the calendar's table is out of order");
            let at = (day.epoch_days() - VALID_FROM.epoch_days()) as usize;
            assert!(bits[at / 64] >> (at % 64) & 1 == 0, "a day is closed twice in the table");
            bits[at / 64] |= 1 << (at % 64);
            i += 1;
        }
        holiday += 1;
    }
    bits
}

/// How the hours of a session differ from the ordinary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hours {
    /// The usual hours of the time.
    Regular,
    /// The first session of a year: opens an hour late, closes as usual.
    LateOpening,
    /// The day of the university entrance test (수능): opens and closes an hour late.
    Shifted,
}

/// One day of trading and its hours, Korean time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Session {
    /// The date.
    pub day: SessionDay,
    /// How the hours differ from the ordinary.
    pub hours: Hours,
    /// From here on the opening auction takes orders.
    pub pre_open: TimeOfDay,
    /// Opening auction's print and start of continuous trading.
    pub open: TimeOfDay,
    /// Start of the closing auction: ten minutes before the close.
    pub closing_auction: TimeOfDay,
    /// Close of the regular session.
    pub close: TimeOfDay,
}

impl Session {
    const fn of(day: SessionDay, hours: Hours) -> Self {
        let opens_later = if matches!(hours, Hours::Regular) { 0 } else { 60 };
        let closes_later = if matches!(hours, Hours::Shifted) { 60 } else { 0 };
        let number = day.epoch_days();
        let pre_open = if number >= AFTER_MARKET.epoch_days() {
            8 * 60 + 20
        } else if number >= SHORT_PRE_OPEN.epoch_days() {
            8 * 60 + 30
        } else {
            8 * 60
        };
        let close = if number >= LATER_CLOSE.epoch_days() { 15 * 60 + 30 } else { 15 * 60 };
        Self {
            day,
            hours,
            pre_open: minute_of_day(pre_open + opens_later),
            open: minute_of_day(9 * 60 + opens_later),
            closing_auction: minute_of_day(close + closes_later - 10),
            close: minute_of_day(close + closes_later),
        }
    }
}

/// The time `minutes` after midnight.
pub(super) const fn minute_of_day(minutes: u32) -> TimeOfDay {
    TimeOfDay::from_seconds(minutes * 60).expect("invariant: KRX trades between two midnights")
}

/// How sure a closure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Basis {
    /// It happened: the index did not print on that day.
    Observed,
    /// A holiday by law or announced, still to come when the table was made.
    Announced,
    /// Still to come, and resting on one source alone.
    Expected,
    /// Told by a correction.
    Corrected,
}

/// Why a weekday has no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Closure {
    /// What the day is; several causes are separated by `; `.
    pub name: &'static str,
    /// How sure it is.
    pub basis: Basis,
    /// The exchange alone is closed, banks and offices work: the end of the year, and May Day
    /// before it became a public holiday.
    pub exchange_only: bool,
}

/// Why the calendar has no answer or takes no correction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    /// A day outside the table that no correction tells about.
    #[error(
        "the KRX calendar does not know {0}: it covers {VALID_FROM} to {VALID_UNTIL}; \
         use a release with a later table, or days of the broker's calendar"
    )]
    NotCovered(SessionDay),
    /// A correction that would open a Saturday or a Sunday.
    #[error(
        "a correction makes {0} a session, but it is on a weekend: expected a day from Monday to \
         Friday; check the source of the correction"
    )]
    WeekendSession(SessionDay),
}

/// The KRX calendar: the table, and what is known better about single days.
///
/// A value: whoever fetches corrections makes a new one and hands it on.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Calendar {
    corrections: BTreeMap<SessionDay, bool>,
}

impl Calendar {
    /// The table alone.
    #[must_use]
    pub const fn krx() -> Self {
        Self { corrections: BTreeMap::new() }
    }

    /// Takes in that `day` is a session (`open`) or not. Returns whether that was not known
    /// before. A day that the table tells the same way needs no correction and loses the one it
    /// has; beyond the table, corrections extend what is known.
    ///
    /// # Errors
    /// [`CalendarError::WeekendSession`]; the calendar is as it was.
    pub fn correct(&mut self, day: SessionDay, open: bool) -> Result<bool, CalendarError> {
        if day.is_weekend() {
            return if open { Err(CalendarError::WeekendSession(day)) } else { Ok(false) };
        }
        let before = self.is_session(day);
        if table_says(day) == Some(open) {
            self.corrections.remove(&day);
        } else {
            self.corrections.insert(day, open);
        }
        Ok(before != Some(open))
    }

    /// The days that are told otherwise than by the table, in order, and whether they are open.
    pub fn corrections(&self) -> impl Iterator<Item = (SessionDay, bool)> {
        self.corrections.iter().map(|(day, open)| (*day, *open))
    }

    /// Whether KRX trades on `day`; `None` when that is not known. Weekends are always `false`.
    #[must_use]
    pub fn is_session(&self, day: SessionDay) -> Option<bool> {
        if day.is_weekend() {
            return Some(false);
        }
        self.corrections.get(&day).copied().or_else(|| table_says(day))
    }

    /// The session on `day` with its hours; `None` when there is none or that is not known.
    #[must_use]
    pub fn session(&self, day: SessionDay) -> Option<Session> {
        (self.is_session(day) == Some(true)).then(|| Session::of(day, self.hours(day)))
    }

    fn hours(&self, day: SessionDay) -> Hours {
        if ENTRANCE_TESTS.binary_search(&day.yyyymmdd()).is_ok() {
            Hours::Shifted
        } else if self.is_first_of_year(day) {
            Hours::LateOpening
        } else {
            Hours::Regular
        }
    }

    /// Whether nothing before `day` in its year is a session; `false` when that is not known.
    fn is_first_of_year(&self, day: SessionDay) -> bool {
        let (year, month, of_month) = day.ymd();
        // January has a session in its first week, so the search is short.
        if year < LATE_FIRST_SESSION || month != 1 {
            return false;
        }
        let before = (1..of_month).map(|back| day.epoch_days() - back as i32);
        before.map(SessionDay::from_epoch_days).all(|day| self.is_session(day) == Some(false))
    }

    /// The first session after `day`; `None` when an unknown day comes first.
    #[must_use]
    pub fn next_session(&self, day: SessionDay) -> Option<SessionDay> {
        self.seek(day, 1)
    }

    /// The last session before `day`; `None` when an unknown day comes first.
    #[must_use]
    pub fn previous_session(&self, day: SessionDay) -> Option<SessionDay> {
        self.seek(day, -1)
    }

    fn seek(&self, from: SessionDay, step: i32) -> Option<SessionDay> {
        let mut day = from;
        loop {
            day = SessionDay::from_epoch_days(day.epoch_days().checked_add(step)?);
            if self.is_session(day)? {
                return Some(day);
            }
        }
    }

    /// The sessions from `from` to `to`, both included, in order; none when `to` is before `from`.
    ///
    /// # Errors
    /// [`CalendarError::NotCovered`] with the first unknown day among them.
    pub fn sessions_between(
        &self,
        from: SessionDay,
        to: SessionDay,
    ) -> Result<Vec<SessionDay>, CalendarError> {
        let mut sessions = Vec::new();
        for day in (from.epoch_days()..=to.epoch_days()).map(SessionDay::from_epoch_days) {
            if self.is_session(day).ok_or(CalendarError::NotCovered(day))? {
                sessions.push(day);
            }
        }
        Ok(sessions)
    }

    /// Why `day`, a weekday, has no session; `None` for sessions, weekends and unknown days.
    #[must_use]
    pub fn closure(&self, day: SessionDay) -> Option<Closure> {
        if day.is_weekend() || self.is_session(day) != Some(false) {
            return None;
        }
        let number = day.yyyymmdd();
        // Every closed day of the table belongs to a holiday, so nothing else is left.
        let corrected = Closure {
            name: "Closed by a correction",
            basis: Basis::Corrected,
            exchange_only: false,
        };
        let holiday = HOLIDAYS.iter().find(|holiday| holiday.days.binary_search(&number).is_ok());
        Some(holiday.map_or(corrected, |holiday| Closure {
            name: holiday.name,
            basis: basis(day),
            exchange_only: holiday.exchange_only,
        }))
    }

    /// The name of the holiday that closes `day`, a weekday.
    #[must_use]
    pub fn holiday_name(&self, day: SessionDay) -> Option<&'static str> {
        self.closure(day).map(|closure| closure.name)
    }
}

/// What the table says about a weekday.
fn table_says(day: SessionDay) -> Option<bool> {
    if !(VALID_FROM..=VALID_UNTIL).contains(&day) {
        return None;
    }
    let at = (day.epoch_days() - VALID_FROM.epoch_days()) as usize;
    Some(CLOSED[at / 64] >> (at % 64) & 1 == 0)
}

fn basis(day: SessionDay) -> Basis {
    if day <= OBSERVED_UNTIL {
        Basis::Observed
    } else if EXPECTED.contains(&day) {
        Basis::Expected
    } else {
        Basis::Announced
    }
}

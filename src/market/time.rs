//! Event time, session days and Korean wall time, without a clock.
//!
//! Everything the domain decides, it decides on the time a message carries. [`EventTime`] is an
//! instant; [`SessionDay`] is a KRX trading date; [`TimeOfDay`] is Korean wall time within one.
//! Korea has had one offset, UTC+9, without daylight saving since 1988, so the conversions are
//! plain arithmetic and are valid for every recording Bongsu reads.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Microseconds in a second.
pub const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
const KST_OFFSET_SECONDS: i64 = 9 * 3_600;

/// An instant: microseconds since the Unix epoch, UTC.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct EventTime(i64);

impl EventTime {
    /// The instant `micros` microseconds after the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// The instant at which Korean clocks show `time` on `day`.
    #[must_use]
    pub const fn from_kst(day: SessionDay, time: TimeOfDay) -> Self {
        let seconds = day.0 as i64 * SECONDS_PER_DAY + time.0 as i64 - KST_OFFSET_SECONDS;
        Self(seconds * MICROS_PER_SECOND)
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded towards the past.
    #[must_use]
    pub const fn second(self) -> i64 {
        self.0.div_euclid(MICROS_PER_SECOND)
    }

    /// Whole minutes since the Unix epoch, rounded towards the past.
    #[must_use]
    pub const fn minute(self) -> i64 {
        self.0.div_euclid(60 * MICROS_PER_SECOND)
    }

    /// Start of the minute this instant lies in.
    #[must_use]
    pub const fn minute_start(self) -> Self {
        Self(self.minute() * 60 * MICROS_PER_SECOND)
    }

    /// The Korean date this instant lies on.
    #[must_use]
    pub const fn session_day(self) -> SessionDay {
        let local = self.0.div_euclid(MICROS_PER_SECOND) + KST_OFFSET_SECONDS;
        SessionDay(local.div_euclid(SECONDS_PER_DAY) as i32)
    }

    /// What Korean clocks show at this instant.
    #[must_use]
    pub const fn time_of_day(self) -> TimeOfDay {
        let local = self.0.div_euclid(MICROS_PER_SECOND) + KST_OFFSET_SECONDS;
        TimeOfDay(local.rem_euclid(SECONDS_PER_DAY) as u32)
    }

    /// This instant moved by `micros` microseconds; saturates at the ends of the range.
    #[must_use]
    pub const fn plus_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// Microseconds from `earlier` to this instant; negative when `earlier` is later.
    #[must_use]
    pub const fn micros_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// RFC 3339 with the Korean offset, `2024-08-05T09:00:21+09:00`; microseconds only when there
    /// are any.
    #[must_use]
    pub fn rfc3339(self) -> String {
        let (day, time) = (self.session_day(), self.time_of_day());
        let micros = self.0.rem_euclid(MICROS_PER_SECOND);
        if micros == 0 {
            format!("{day}T{time}+09:00")
        } else {
            format!("{day}T{time}.{micros:06}+09:00")
        }
    }
}

impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

/// A KRX session date: days since 1970-01-01 in the Korean calendar.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(into = "String", try_from = "String")]
pub struct SessionDay(i32);

impl SessionDay {
    /// The day `days` days after 1970-01-01.
    #[must_use]
    pub const fn from_epoch_days(days: i32) -> Self {
        Self(days)
    }

    /// Days since 1970-01-01.
    #[must_use]
    pub const fn epoch_days(self) -> i32 {
        self.0
    }

    /// The day written `yyyymmdd` as a number (`20240805`); `None` when there is no such date.
    #[must_use]
    pub const fn from_yyyymmdd(number: u32) -> Option<Self> {
        let (year, month, day) = (number / 10_000, number / 100 % 100, number % 100);
        Self::from_ymd(year, month, day)
    }

    /// The day with this year, month and day of the month; `None` when there is no such date.
    #[must_use]
    pub const fn from_ymd(year: u32, month: u32, day: u32) -> Option<Self> {
        if year < 1900 || year > 9999 || month < 1 || month > 12 || day < 1 {
            return None;
        }
        if day > days_in_month(year, month) {
            return None;
        }
        // Days from civil, with March as the first month so that leap days come last
        // (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
        let shifted_year = if month <= 2 { year - 1 } else { year } as i64;
        let era = shifted_year.div_euclid(400);
        let year_of_era = shifted_year.rem_euclid(400);
        let shifted_month = (month as i64 + 9) % 12;
        let day_of_year = (153 * shifted_month + 2) / 5 + day as i64 - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Some(Self((era * 146_097 + day_of_era - 719_468) as i32))
    }

    /// Year, month, day of the month.
    #[must_use]
    pub const fn ymd(self) -> (u32, u32, u32) {
        let shifted = self.0 as i64 + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = era * 400 + year_of_era + if month <= 2 { 1 } else { 0 };
        (year as u32, month as u32, day as u32)
    }

    /// The date as a number, `20240805`.
    #[must_use]
    pub const fn yyyymmdd(self) -> u32 {
        let (year, month, day) = self.ymd();
        year * 10_000 + month * 100 + day
    }

    /// Whether the day is a Saturday or a Sunday. 1970-01-01 was a Thursday.
    #[must_use]
    pub const fn is_weekend(self) -> bool {
        matches!(self.0.rem_euclid(7), 2 | 3)
    }

    /// The day after.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

const fn days_in_month(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl fmt::Display for SessionDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.ymd();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// Why a text is not a session day or a time of day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Not a calendar date.
    #[error("\"{0}\" is not a date: expected YYYY-MM-DD or YYYYMMDD, for example 2024-08-05")]
    Day(String),
    /// Not a time of day.
    #[error("\"{0}\" is not a time of day: expected HH:MM, HH:MM:SS or HHMMSS, for example 09:30")]
    Time(String),
}

impl FromStr for SessionDay {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let error = || TimeError::Day(text.to_owned());
        let digits: String = match text.len() {
            10 if text.as_bytes()[4] == b'-' && text.as_bytes()[7] == b'-' => {
                text.chars().filter(|c| *c != '-').collect()
            }
            8 => text.to_owned(),
            _ => return Err(error()),
        };
        if digits.len() != 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(error());
        }
        digits.parse().ok().and_then(Self::from_yyyymmdd).ok_or_else(error)
    }
}

impl From<SessionDay> for String {
    fn from(day: SessionDay) -> Self {
        day.to_string()
    }
}

impl TryFrom<String> for SessionDay {
    type Error = TimeError;

    fn try_from(text: String) -> Result<Self, TimeError> {
        text.parse()
    }
}

/// Korean wall time within a day: seconds since midnight.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(into = "String", try_from = "String")]
pub struct TimeOfDay(u32);

impl TimeOfDay {
    /// `hour:minute:second`; `None` outside a day.
    #[must_use]
    pub const fn from_hms(hour: u32, minute: u32, second: u32) -> Option<Self> {
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        Some(Self(hour * 3_600 + minute * 60 + second))
    }

    /// The time written `HHMMSS` as a number (`93021` is 09:30:21).
    #[must_use]
    pub const fn from_hhmmss(number: u32) -> Option<Self> {
        Self::from_hms(number / 10_000, number / 100 % 100, number % 100)
    }

    /// `seconds` after midnight; `None` from 86,400 on.
    #[must_use]
    pub const fn from_seconds(seconds: u32) -> Option<Self> {
        if seconds as i64 >= SECONDS_PER_DAY { None } else { Some(Self(seconds)) }
    }

    /// Seconds since midnight.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        self.0
    }

    /// The time as a number, `HHMMSS`.
    #[must_use]
    pub const fn hhmmss(self) -> u32 {
        self.0 / 3_600 * 10_000 + self.0 / 60 % 60 * 100 + self.0 % 60
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}:{:02}", self.0 / 3_600, self.0 / 60 % 60, self.0 % 60)
    }
}

impl FromStr for TimeOfDay {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let digits: String = text.chars().filter(|c| *c != ':').collect();
        let number: Option<u32> = digits.parse().ok();
        match (digits.len(), number) {
            (4, Some(hhmm)) => Self::from_hhmmss(hhmm * 100),
            (6, Some(hhmmss)) => Self::from_hhmmss(hhmmss),
            _ => None,
        }
        .ok_or_else(|| TimeError::Time(text.to_owned()))
    }
}

impl From<TimeOfDay> for String {
    fn from(time: TimeOfDay) -> Self {
        time.to_string()
    }
}

impl TryFrom<String> for TimeOfDay {
    type Error = TimeError;

    fn try_from(text: String) -> Result<Self, TimeError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_instant() {
        let day = SessionDay::from_yyyymmdd(20_240_805).unwrap();
        let time = TimeOfDay::from_hhmmss(90_021).unwrap();
        let instant = EventTime::from_kst(day, time);
        // date -u -d '2024-08-05 00:00:21' +%s
        assert_eq!(instant.second(), 1_722_816_021);
        assert_eq!(instant.rfc3339(), "2024-08-05T09:00:21+09:00");
        assert_eq!(instant.plus_micros(5).rfc3339(), "2024-08-05T09:00:21.000005+09:00");
    }

    #[test]
    fn impossible_dates_are_refused() {
        for number in [20_230_229, 20_241_301, 20_240_431, 20_240_800, 0, 18_991_231] {
            assert_eq!(SessionDay::from_yyyymmdd(number), None, "{number}");
        }
        assert!("2024-8-05".parse::<SessionDay>().is_err());
        assert!("2024-08-5x".parse::<SessionDay>().is_err());
        assert!("25:00".parse::<TimeOfDay>().is_err());
        assert!("9:00".parse::<TimeOfDay>().is_err());
    }

    #[test]
    fn weekends() {
        let saturday: SessionDay = "2024-08-03".parse().unwrap();
        assert!(saturday.is_weekend() && saturday.next().is_weekend());
        assert!(!saturday.next().next().is_weekend());
    }

    proptest! {
        #[test]
        fn dates_round_trip(days in -20_000i32..100_000) {
            let day = SessionDay::from_epoch_days(days);
            prop_assert_eq!(SessionDay::from_yyyymmdd(day.yyyymmdd()), Some(day));
            prop_assert_eq!(day.to_string().parse::<SessionDay>().unwrap(), day);
            prop_assert!(day.next().yyyymmdd() > day.yyyymmdd());
        }

        #[test]
        fn instants_round_trip(days in 0i32..40_000, seconds in 0u32..86_400) {
            let day = SessionDay::from_epoch_days(days);
            let time = TimeOfDay::from_seconds(seconds).unwrap();
            let instant = EventTime::from_kst(day, time);
            prop_assert_eq!(instant.session_day(), day);
            prop_assert_eq!(instant.time_of_day(), time);
            prop_assert_eq!(time.to_string().parse::<TimeOfDay>().unwrap(), time);
        }
    }
}

//! How long the calendar's table will do.

use std::fmt;

use super::super::SessionDay;
use super::{VALID_FROM, VALID_UNTIL};

/// An operator wants to know this many days before the table ends.
pub const WARN_DAYS: i32 = 90;

/// Where a day lies in the calendar's table. Its text says it to an operator, and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// The table covers the day and goes on for long enough.
    Good {
        /// Calendar days until the last day of the table.
        days_left: i32,
    },
    /// The table covers the day and ends within the days asked about.
    EndsSoon {
        /// Calendar days until the last day of the table.
        days_left: i32,
    },
    /// The table has ended: weekdays are unknown.
    Ended {
        /// Calendar days since the last day of the table.
        days_ago: i32,
    },
    /// The day is before the table: a clock set wrong, or a recording older than the table.
    NotBegun {
        /// The day asked about.
        today: SessionDay,
    },
}

impl Validity {
    /// How the table stands on `today`, when an end within `within_days` calendar days matters.
    #[must_use]
    pub const fn of(today: SessionDay, within_days: i32) -> Self {
        let days_left = VALID_UNTIL.epoch_days() - today.epoch_days();
        if today.epoch_days() < VALID_FROM.epoch_days() {
            Self::NotBegun { today }
        } else if days_left < 0 {
            Self::Ended { days_ago: -days_left }
        } else if days_left < within_days {
            Self::EndsSoon { days_left }
        } else {
            Self::Good { days_left }
        }
    }
}

impl fmt::Display for Validity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good { days_left } => {
                write!(f, "KRX calendar good until {VALID_UNTIL}, {days_left} days from now")
            }
            Self::EndsSoon { days_left } => write!(
                f,
                "KRX calendar ends on {VALID_UNTIL}, {days_left} days from now: plan to install a \
                 release with a later one"
            ),
            Self::Ended { days_ago } => write!(
                f,
                "KRX calendar ended on {VALID_UNTIL}, {days_ago} days ago: sessions are unknown; \
                 install a release with a later one"
            ),
            Self::NotBegun { today } => write!(
                f,
                "KRX calendar begins on {VALID_FROM}, {today} is before it: check the clock"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(text: &str) -> Validity {
        Validity::of(text.parse().unwrap(), WARN_DAYS)
    }

    #[test]
    fn an_operator_hears_of_the_end_in_time() {
        assert_eq!(on("2027-10-02"), Validity::Good { days_left: 90 });
        assert_eq!(on("2027-10-03"), Validity::EndsSoon { days_left: 89 });
        assert_eq!(on("2027-12-31"), Validity::EndsSoon { days_left: 0 });
        assert_eq!(on("2028-01-01"), Validity::Ended { days_ago: 1 });
        assert!(matches!(on("1999-12-31"), Validity::NotBegun { .. }));
    }

    #[test]
    fn texts_name_the_day_and_what_to_do() {
        let soon = on("2027-12-01").to_string();
        assert!(soon.contains("2027-12-31, 30 days") && soon.contains("install"), "{soon}");
        let past = on("2028-01-10").to_string();
        assert!(past.contains("10 days ago") && past.contains("install"), "{past}");
    }
}

//! Figures as prose writes them: exact decimals with a unit, moments, and when one figure states
//! another.
//!
//! A stated figure agrees with a fact when it is the fact itself or the fact rounded half away
//! from zero at the last digit that is written, with at least two significant digits left. So each
//! number of written digits has exactly one right value, and a changed digit is always wrong.

use crate::market::{EventTime, SessionDay, TimeOfDay};

/// What a figure counts, as its text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Nothing is said.
    None,
    /// Per cent.
    Percent,
    /// Percentage points.
    PercentPoint,
    /// Won.
    Won,
    /// Points of a score.
    Score,
    /// Points of an index.
    IndexPoint,
    /// Issues.
    Issues,
    /// Shares.
    Shares,
    /// Days.
    Days,
    /// A length of time; its value is in seconds.
    Duration,
    /// A rank.
    Rank,
    /// A multiple.
    Times,
    /// Occurrences.
    Cases,
}

/// `digits × 10^exponent`, without sign. The exponent is that of the last digit written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal {
    /// The digits written, as one number.
    pub digits: u128,
    /// The power of ten of the last of them.
    pub exponent: i32,
}

impl Decimal {
    /// Reads digits with one optional point; `None` when it is too long to be a figure of ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
        Some(Self { digits, exponent: -i32::try_from(fraction.len()).ok()? })
    }

    /// Times a power of ten.
    #[must_use]
    pub const fn times_ten_to(self, power: i32) -> Self {
        Self { exponent: self.exponent + power, ..self }
    }

    /// Both together, at the finer exponent; `None` when that does not fit.
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        let exponent = self.exponent.min(other.exponent);
        let digits = self.at(exponent)?.checked_add(other.at(exponent)?)?;
        Some(Self { digits, exponent })
    }

    /// The digits at a finer or equal exponent.
    fn at(self, exponent: i32) -> Option<u128> {
        let power = u32::try_from(self.exponent - exponent).ok()?;
        self.digits.checked_mul(10u128.checked_pow(power)?)
    }

    /// The value rounded half away from zero to a multiple of `10^exponent`.
    fn rounded(self, exponent: i32) -> Option<u128> {
        if exponent <= self.exponent {
            return self.at(exponent);
        }
        let power = u32::try_from(exponent - self.exponent).ok()?;
        let unit = 10u128.checked_pow(power)?;
        Some(self.digits.checked_add(unit / 2)? / unit)
    }

    /// Whether both are the same number.
    #[must_use]
    pub fn equals(self, other: Self) -> bool {
        let exponent = self.exponent.min(other.exponent);
        match (self.at(exponent), other.at(exponent)) {
            (Some(a), Some(b)) => a == b,
            _ => false,
        }
    }

    /// Whether this states `fact`: the same number, or `fact` rounded where this one ends, with two
    /// significant digits or more.
    #[must_use]
    pub fn states(self, fact: Self) -> bool {
        self.equals(fact)
            || (self.exponent > fact.exponent
                && self.digits >= 10
                && fact.rounded(self.exponent) == Some(self.digits))
    }
}

/// A figure of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figure {
    /// Magnitude.
    pub value: Decimal,
    /// Unit.
    pub unit: Unit,
    /// Its sign, when one is written: `Some(true)` for plus.
    pub rising: Option<bool>,
}

/// Parts of a date and time of day that a text names: year, month, day, hour, minute, second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moment(pub [Option<u32>; 6]);

impl Moment {
    /// All parts of a time.
    #[must_use]
    pub fn of(time: EventTime) -> Self {
        Self::of_parts(Some(time.session_day()), Some(time.time_of_day()))
    }

    fn of_parts(day: Option<SessionDay>, time: Option<TimeOfDay>) -> Self {
        let date = day.map(SessionDay::ymd);
        let clock = time.map(TimeOfDay::hhmmss);
        Self([
            date.map(|date| date.0),
            date.map(|date| date.1),
            date.map(|date| date.2),
            clock.map(|clock| clock / 10_000),
            clock.map(|clock| clock / 100 % 100),
            clock.map(|clock| clock % 100),
        ])
    }

    /// Whether every part that this names is that of `fact`.
    #[must_use]
    pub fn states(self, fact: Self) -> bool {
        self.0.iter().zip(fact.0).all(|(stated, fact)| stated.is_none() || *stated == fact)
    }

    /// Both together, when the second goes on where the first ended.
    #[must_use]
    pub fn joined(self, later: Self) -> Option<Self> {
        let last = self.0.iter().rposition(Option::is_some)?;
        let first = later.0.iter().position(Option::is_some)?;
        if first <= last {
            return None;
        }
        let mut parts = self.0;
        parts[first..].copy_from_slice(&later.0[first..]);
        Some(Self(parts))
    }
}

/// What a text can state of a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// A number.
    Figure(Figure),
    /// A date, a time of day, or both.
    Moment(Moment),
}

impl Quantity {
    /// Whether this, from a text, states `fact`. Signs are the guard's business.
    #[must_use]
    pub fn states(&self, fact: &Self) -> bool {
        match (self, fact) {
            (Self::Figure(stated), Self::Figure(fact)) => {
                let exact = matches!(stated.unit, Unit::Duration | Unit::Rank | Unit::Days);
                stated.unit == fact.unit
                    && if exact {
                        stated.value.equals(fact.value)
                    } else {
                        stated.value.states(fact.value)
                    }
            }
            (Self::Moment(stated), Self::Moment(fact)) => stated.states(*fact),
            // `5일` alone may be the day of a date.
            (Self::Figure(Figure { value, unit: Unit::Days, .. }), Self::Moment(fact)) => {
                value.exponent == 0 && fact.0[2].map(u128::from) == Some(value.digits)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn rounding_has_one_right_value() {
        for (stated, fact, states) in [
            ("5.33", "5.33", true),
            ("5.3", "5.33", true),
            ("5.4", "5.35", true),
            ("5.3", "5.35", false),
            ("5.330", "5.33", true),
            ("5.331", "5.33", false),
            ("5", "5.33", false),
            ("88", "88.1", true),
            ("71000", "71000", true),
            ("0", "0.05", false),
        ] {
            assert_eq!(decimal(stated).states(decimal(fact)), states, "{stated} of {fact}");
        }
        let fact = decimal("71500");
        assert!(Decimal { digits: 72, exponent: 3 }.states(fact));
        assert!(!Decimal { digits: 71, exponent: 3 }.states(fact));
        assert!(!Decimal { digits: 7, exponent: 4 }.states(fact));
    }

    #[test]
    fn moments() {
        let fact = Moment::of(EventTime::from_micros(1_722_816_021_000_000));
        assert_eq!(fact.0, [2024, 8, 5, 9, 0, 21].map(Some));
        assert!(Moment([None, Some(8), Some(5), None, None, None]).states(fact));
        assert!(!Moment([None, Some(8), Some(6), None, None, None]).states(fact));
    }

    proptest! {
        #[test]
        fn a_changed_digit_is_another_number(digits in 1u128..1_000_000_000, exponent in -4i32..4, at in 0u32..9, by in 1u128..10) {
            let unit = 10u128.pow(at.min(digits.ilog10()));
            let digit = digits / unit % 10;
            let changed = digits - digit * unit + (digit + by) % 10 * unit;
            prop_assume!(changed != digits);
            let (fact, stated) = (Decimal { digits, exponent }, Decimal { digits: changed, exponent });
            prop_assert!(fact.states(fact) && !stated.states(fact));
        }

        #[test]
        fn nothing_overflows(a in any::<u128>(), b in any::<u128>(), x in -400i32..400, y in -400i32..400) {
            let (a, b) = (Decimal { digits: a, exponent: x }, Decimal { digits: b, exponent: y });
            let _ = (a.states(b), b.states(a), a.plus(b));
        }
    }
}

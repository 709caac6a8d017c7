//! Crontabs, with the semantics of Celery's `crontab`.
//!
//! Input: *minute hour day-of-month month day-of-week*, optionally with *second* before them. Output:
//! which local times it means. A field is a list of `*`, `n`, `a-b`, each range or `*` with a step:
//! `1,13,30-45,50-59/2`. Numbers and names (`sun`, `Monday`, `feb`) are known by Celery's rules: by
//! their first three letters, in any case, in any field, Sunday 0. A range that ends before it begins
//! wraps (`22-4`, `fri-mon`). **All fields must hold**, the two of the day as well (elsewhere cron takes
//! either). A day that no month of the list has (30 February) is refused.
//!
//! Stricter than Celery's parser in one thing: what follows a complete item (`1-5-7`, `*/2-3`) is an
//! error, where Celery leaves it out without a word.

use crate::market::SessionDay;

/// Why a text is no crontab.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// The number of fields is wrong.
    #[error(
        "{0} fields: expected minute hour day-of-month month day-of-week, or six with the second first"
    )]
    Fields(usize),
    /// An item of a field is wrong.
    #[error("{field} \"{item}\": {reason}")]
    Item {
        /// Name of the field.
        field: &'static str,
        /// The item of its list.
        item: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No month of the list has a day of the list.
    #[error("day-of-month \"{days}\" does not exist in month \"{months}\"")]
    NoSuchDay {
        /// The day field.
        days: String,
        /// The month field.
        months: String,
    },
}

struct Field {
    name: &'static str,
    low: u32,
    high: u32,
}

const SECOND: Field = Field { name: "second", low: 0, high: 59 };
const MINUTE: Field = Field { name: "minute", low: 0, high: 59 };
const HOUR: Field = Field { name: "hour", low: 0, high: 23 };
const DAY: Field = Field { name: "day-of-month", low: 1, high: 31 };
const MONTH: Field = Field { name: "month", low: 1, high: 12 };
const WEEKDAY: Field = Field { name: "day-of-week", low: 0, high: 6 };

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// Days of each month in a leap year.
const LONGEST_MONTHS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// Days that are looked through for the next date: 29 February on a given weekday comes every 28
/// years, or after 40 where a century is no leap year.
const SEARCH_DAYS: i64 = 366 * 41;
const DAY_S: i64 = 86_400;

/// Which local times a crontab means; a set of each field as bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    text: String,
    seconds: u64,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
}

impl Cron {
    /// The crontab `text`.
    ///
    /// # Errors
    /// [`CronError`], naming the field and the item.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let (second, rest) = match fields.len() {
            5 => ("0", &fields[..]),
            6 => (fields[0], &fields[1..]),
            other => return Err(CronError::Fields(other)),
        };
        let cron = Self {
            text: fields.join(" "),
            seconds: SECOND.parse(second)?,
            minutes: MINUTE.parse(rest[0])?,
            hours: HOUR.parse(rest[1])?,
            days: DAY.parse(rest[2])?,
            months: MONTH.parse(rest[3])?,
            weekdays: WEEKDAY.parse(rest[4])?,
        };
        let exists = (1..=12).filter(|&month| has(cron.months, month)).any(|month| {
            let longest = LONGEST_MONTHS[month as usize - 1];
            (1..=longest).any(|day| has(cron.days, day))
        });
        if !exists {
            return Err(CronError::NoSuchDay { days: rest[2].into(), months: rest[3].into() });
        }
        Ok(cron)
    }

    /// The first local time at or after `local` that it means. Both are seconds since 1970-01-01 00:00
    /// as the clock on the wall counts them. `None` when there is none within some forty years.
    #[must_use]
    pub fn at_or_after(&self, local: i64) -> Option<i64> {
        let mut day = local.div_euclid(DAY_S);
        let last = day + SEARCH_DAYS;
        // Only the first day is not looked at from its midnight.
        let mut from = u32::try_from(local.rem_euclid(DAY_S)).unwrap_or(0);
        while day <= last {
            let (_, month, of_month) = SessionDay::from_epoch_days(i32::try_from(day).ok()?).ymd();
            if !has(self.months, month) {
                // To the first of the next month at the latest.
                day += i64::from(LONGEST_MONTHS[month as usize - 1] - of_month).max(1);
                from = 0;
                continue;
            }
            // 1970-01-01 was a Thursday.
            let weekday = (day + 4).rem_euclid(7) as u32;
            if has(self.days, of_month)
                && has(self.weekdays, weekday)
                && let Some(time) = self.time_at_or_after(from)
            {
                return Some(day * DAY_S + i64::from(time));
            }
            day += 1;
            from = 0;
        }
        None
    }

    /// The first time of a day at or after `time`, seconds since midnight.
    fn time_at_or_after(&self, time: u32) -> Option<u32> {
        let (hour, minute, second) = (time / 3_600, time / 60 % 60, time % 60);
        let first = |set: u64| set.trailing_zeros();
        let of = |hour: u32, minute: u32, second: u32| hour * 3_600 + minute * 60 + second;
        if has(self.hours, hour) {
            if has(self.minutes, minute)
                && let Some(second) = at_least(self.seconds, second)
            {
                return Some(of(hour, minute, second));
            }
            if let Some(minute) = at_least(self.minutes, minute + 1) {
                return Some(of(hour, minute, first(self.seconds)));
            }
        }
        let hour = at_least(self.hours, hour + 1)?;
        Some(of(hour, first(self.minutes), first(self.seconds)))
    }
}

impl std::fmt::Display for Cron {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

const fn has(set: u64, value: u32) -> bool {
    set >> value & 1 == 1
}

/// The smallest member of `set` that is at least `low`.
fn at_least(set: u64, low: u32) -> Option<u32> {
    let rest = set.checked_shr(low)? << low;
    (rest != 0).then(|| rest.trailing_zeros())
}

impl Field {
    fn parse(&self, text: &str) -> Result<u64, CronError> {
        let mut set = 0;
        for item in text.split(',') {
            set |= self.item(item).map_err(|reason| CronError::Item {
                field: self.name,
                item: item.to_owned(),
                reason,
            })?;
        }
        Ok(set)
    }

    fn item(&self, item: &str) -> Result<u64, &'static str> {
        let (range, step) = match item.split_once('/') {
            None => (item, None),
            Some((range, step)) => (range, Some(step)),
        };
        let step = match step {
            None => 1,
            Some(_) if range != "*" && !range.contains('-') => {
                return Err("a step needs a range or * before it, as in 5-59/10 or */10");
            }
            Some(text) => number(text).ok_or("the step is no number")?,
        };
        if step == 0 {
            return Err("a step of 0 never ends: expected 1 or more");
        }
        let members: Vec<u32> = match range.split_once('-') {
            None if range == "*" => (self.low..=self.high).collect(),
            None => vec![self.value(range)?],
            Some((from, to)) => {
                let (from, to) = (self.value(from)?, self.value(to)?);
                if to < from {
                    (from..=self.high).chain(self.low..=to).collect()
                } else {
                    (from..=to).collect()
                }
            }
        };
        let step = usize::try_from(step).unwrap_or(usize::MAX);
        Ok(members.iter().step_by(step).fold(0, |set, member| set | 1 << member))
    }

    /// A number or a name. A month's name is looked for first, in any field, as Celery does.
    fn value(&self, text: &str) -> Result<u32, &'static str> {
        let value = match number(text) {
            Some(value) => value,
            None => named(text).ok_or("expected a number, a weekday or a month by name, or *")?,
        };
        if (self.low..=self.high).contains(&value) { Ok(value) } else { Err(self.range()) }
    }

    const fn range(&self) -> &'static str {
        match (self.low, self.high) {
            (0, 59) => "out of range: expected 0 to 59",
            (0, 23) => "out of range: expected 0 to 23",
            (1, 31) => "out of range: expected 1 to 31",
            (1, 12) => "out of range: expected 1 to 12",
            _ => "out of range: expected 0 (Sunday) to 6",
        }
    }
}

/// Digits only: no sign, no spaces. One that is too large for a `u32` is out of every range.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u32::MAX))
}

fn named(text: &str) -> Option<u32> {
    if !text.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return None;
    }
    let head = text.get(..3)?;
    let place = |names: &[&str]| names.iter().position(|name| name.eq_ignore_ascii_case(head));
    let place = place(&MONTHS).map(|month| month + 1).or_else(|| place(&WEEKDAYS))?;
    u32::try_from(place).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn members(set: u64) -> Vec<u32> {
        (0..64).filter(|&value| has(set, value)).collect()
    }

    /// The tables of Celery's parser, as probed.
    #[test]
    fn fields_mean_what_celery_means() {
        let minutes = |text: &str| members(MINUTE.parse(text).unwrap());
        assert_eq!(minutes("*/15"), [0, 15, 30, 45]);
        assert_eq!(minutes("0-59/7"), [0, 7, 14, 21, 28, 35, 42, 49, 56]);
        assert_eq!(minutes("55-5"), [0, 1, 2, 3, 4, 5, 55, 56, 57, 58, 59]);
        let mut list = vec![1, 13];
        list.extend(30..=45);
        list.extend([50, 52, 54, 56, 58]);
        assert_eq!(minutes("1,13,30-45,50-59/2"), list);
        for wrong in ["60", "-1", "5/10", "/5", "1-", "1,,2", "*/0", "", "*/", "1-5-7", "*/2-3"] {
            assert!(MINUTE.parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(members(HOUR.parse("9-17/2").unwrap()), [9, 11, 13, 15, 17]);
        assert_eq!(members(HOUR.parse("22-4").unwrap()), [0, 1, 2, 3, 4, 22, 23]);
        assert!(HOUR.parse("24").is_err());
        let weekdays = |text: &str| members(WEEKDAY.parse(text).unwrap());
        for text in ["sun", "Sun", "sunday"] {
            assert_eq!(weekdays(text), [0]);
        }
        assert_eq!(weekdays("mon-fri"), [1, 2, 3, 4, 5]);
        assert_eq!(weekdays("fri-mon"), [0, 1, 5, 6]);
        assert_eq!(weekdays("sat-sun"), [0, 6]);
        assert_eq!(weekdays("monday-3"), [1, 2, 3]);
        assert_eq!(weekdays("*/2"), [0, 2, 4, 6]);
        assert_eq!(weekdays("fri-mon/2"), [0, 5]);
        assert!(WEEKDAY.parse("7").is_err() && WEEKDAY.parse("0-7").is_err());
        let days = |text: &str| members(DAY.parse(text).unwrap());
        assert_eq!(days("*/5"), [1, 6, 11, 16, 21, 26, 31]);
        assert_eq!(days("28-2"), [1, 2, 28, 29, 30, 31]);
        assert!(DAY.parse("0").is_err() && DAY.parse("32").is_err());
        let months = |text: &str| members(MONTH.parse(text).unwrap());
        assert_eq!(months("*/2"), [1, 3, 5, 7, 9, 11]);
        assert_eq!(months("feb-apr"), [2, 3, 4]);
        assert_eq!(months("11-2"), [1, 2, 11, 12]);
        assert_eq!(months("December"), [12]);
        assert!(MONTH.parse("0").is_err() && MONTH.parse("13").is_err());
    }

    #[test]
    fn mistakes_are_named() {
        let wrong = |text: &str| Cron::parse(text).unwrap_err().to_string();
        assert_eq!(wrong("* * * *"), CronError::Fields(4).to_string());
        assert!(wrong("0 24 * * *").contains("hour \"24\""));
        assert!(wrong("0 0 * * mun").contains("day-of-week \"mun\""));
        assert!(wrong("0 0 30 2 *").contains("30") && Cron::parse("0 0 29 2 *").is_ok());
        assert!(wrong("0 0 31 4,6,9,11 *").contains("does not exist"));
    }

    /// Seconds since 1970 of a date and time of day, as text.
    fn shown(local: i64) -> String {
        let day = SessionDay::from_epoch_days((local / DAY_S) as i32);
        let time = crate::market::TimeOfDay::from_seconds((local % DAY_S) as u32).unwrap();
        format!("{day} {time}")
    }

    #[test]
    fn the_next_local_time() {
        let start: SessionDay = "2026-01-01".parse().unwrap();
        let start = i64::from(start.epoch_days()) * DAY_S;
        let next = |text: &str| shown(Cron::parse(text).unwrap().at_or_after(start).unwrap());
        // Both fields of the day must hold: the first Friday the 13th.
        assert_eq!(next("0 0 13 * 5"), "2026-02-13 00:00:00");
        assert_eq!(next("30 9 * * mon-fri"), "2026-01-01 09:30:00");
        assert_eq!(next("*/20 * * * * *"), "2026-01-01 00:00:00");
        assert_eq!(next("40,20 59 23 31 12 *"), "2026-12-31 23:59:20");
        // 29 February on a Monday.
        assert_eq!(next("0 0 29 2 1"), "2044-02-29 00:00:00");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}", local in -4_000_000_000i64..8_000_000_000) {
            if let Ok(cron) = Cron::parse(&text) {
                let _ = cron.at_or_after(local);
            }
        }

        /// It is the first: of the seconds before it none matches.
        #[test]
        fn nothing_lies_before_the_next(
            second in 0u32..60, minute in 0u32..60, hour in "(\\*/[1-9]|[0-9])", local in 0i64..4_000_000_000
        ) {
            let cron = Cron::parse(&format!("{second} {minute} {hour} * * *")).unwrap();
            let next = cron.at_or_after(local).unwrap();
            let matches = |at: i64| {
                let time = (at % DAY_S) as u32;
                time % 60 == second && time / 60 % 60 == minute && has(cron.hours, time / 3_600)
            };
            prop_assert!(next >= local && matches(next));
            prop_assert!((local..next).all(|at| !matches(at)));
        }
    }
}

//! From local times to instants, where clocks are changed.
//!
//! **The rule.** A local time means one instant. One that comes twice, when clocks are set back, means
//! its first coming. Of the times that are left out, when clocks are set forward, the first that a
//! crontab means is made up for, as long after the change as it would have been without it: a run at
//! 02:30 is at 03:30 on that day; further ones in the gap are dropped. So a job of every day runs every
//! day, once, and one of every quarter of an hour keeps its distance. Celery's `crontab` does the same.
//!
//! Offsets come from the IANA database in `chrono-tz`. Two changes within a day of each other, which no
//! zone has had since 1970, would be taken for one.

use chrono::{Offset, TimeZone};
use chrono_tz::Tz;

use super::cron::Cron;

/// How far from a local time, read as UTC, the instants around it are looked at: more than any offset,
/// and no more than the distance of two changes.
const AROUND_S: i64 = 86_400;

/// A change of the clocks: the instant, and the offsets before and after it, seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change {
    at: i64,
    before: i64,
    after: i64,
}

/// What instant a local time means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// This one.
    Once(i64),
    /// Two; the first of them, and the change that repeats it.
    Twice(i64, Change),
    /// None: the change leaves it out.
    LeftOut(Change),
}

/// Seconds that local time is ahead of UTC at an instant.
fn offset(zone: Tz, instant: i64) -> i64 {
    let at = zone.timestamp_opt(instant, 0).single();
    at.map_or(0, |at| i64::from(at.offset().fix().local_minus_utc()))
}

/// The one change between two instants with different offsets.
fn change(zone: Tz, mut from: i64, mut to: i64) -> Change {
    let (before, after) = (offset(zone, from), offset(zone, to));
    while to - from > 1 {
        let middle = from + (to - from) / 2;
        if offset(zone, middle) == before {
            from = middle;
        } else {
            to = middle;
        }
    }
    Change { at: to, before, after }
}

fn meaning(zone: Tz, local: i64) -> Meaning {
    let (before, after) = (offset(zone, local - AROUND_S), offset(zone, local + AROUND_S));
    if before == after {
        return Meaning::Once(local - before);
    }
    let holds = |ahead: i64| offset(zone, local - ahead) == ahead;
    let around = || change(zone, local - AROUND_S, local + AROUND_S);
    match (holds(before), holds(after)) {
        (true, true) => Meaning::Twice(local - before, around()),
        (true, false) => Meaning::Once(local - before),
        (false, true) => Meaning::Once(local - after),
        (false, false) => Meaning::LeftOut(around()),
    }
}

/// The first second at or after `from` (Unix time) that `cron` means in `zone`; `None` when there is
/// none within some forty years.
pub(super) fn at_or_after(cron: &Cron, zone: Tz, from: i64) -> Option<i64> {
    let mut local = from + offset(zone, from);
    let next = loop {
        let found = cron.at_or_after(local)?;
        match meaning(zone, found) {
            Meaning::Once(instant) => break Some(instant),
            Meaning::Twice(first, _) if first >= from => break Some(first),
            // `from` lies in the second pass: on behind it.
            Meaning::Twice(_, change) => local = change.at + change.before,
            Meaning::LeftOut(change) => {
                let made_up = found - change.before;
                let behind = at_or_after(cron, zone, change.at);
                break Some(behind.map_or(made_up, |behind| behind.min(made_up)));
            }
        }
    };
    // A run made up for after a change that has just been.
    let made_up = recent_gap(zone, from).and_then(|change| {
        let found = cron.at_or_after(change.at + change.before)?;
        let instant = found - change.before;
        (found < change.at + change.after && instant >= from).then_some(instant)
    });
    match (next, made_up) {
        (Some(next), Some(made_up)) => Some(next.min(made_up)),
        (next, made_up) => next.or(made_up),
    }
}

/// The change that set clocks forward so short a time before `from`, or at it, that runs may still be
/// made up for.
fn recent_gap(zone: Tz, from: i64) -> Option<Change> {
    let (before, now) = (offset(zone, from - AROUND_S), offset(zone, from));
    if now <= before {
        return None;
    }
    let change = change(zone, from - AROUND_S, from);
    (from < change.at + (change.after - change.before)).then_some(change)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use chrono::{DateTime, Datelike, Timelike, Utc};
    use proptest::prelude::*;

    use super::*;

    const ZONES: [&str; 14] = [
        "Asia/Seoul",
        "America/New_York",
        "Europe/London",
        "Australia/Lord_Howe",
        "America/Sao_Paulo",
        "Africa/Cairo",
        "Asia/Kolkata",
        "Pacific/Apia",
        "America/St_Johns",
        "Asia/Tehran",
        "Africa/Casablanca",
        "Pacific/Chatham",
        "America/Havana",
        "UTC",
    ];

    type Clock = (i32, u32, u32, u32, u32);

    /// What a clock shows, by chrono's own arithmetic.
    fn shown<Z: TimeZone>(at: &DateTime<Z>) -> Clock {
        (at.year(), at.month(), at.day(), at.hour(), at.minute())
    }

    /// A crontab of lists, and the same told without it.
    #[derive(Debug, Clone)]
    struct Lists {
        minutes: Vec<u32>,
        hours: Vec<u32>,
        weekdays: Vec<u32>,
    }

    impl Lists {
        fn text(&self) -> String {
            let list = |of: &[u32]| of.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
            format!("{} {} * * {}", list(&self.minutes), list(&self.hours), list(&self.weekdays))
        }

        fn mean(&self, (year, month, day, hour, minute): Clock) -> bool {
            let date = chrono::NaiveDate::from_ymd_opt(year, month, day).unwrap();
            let weekday = date.weekday().num_days_from_sunday();
            self.minutes.contains(&minute)
                && self.hours.contains(&hour)
                && self.weekdays.contains(&weekday)
        }
    }

    /// Walks from minute to minute with the clock in sight: every instant in `from..to` at which the
    /// lists want a run by the rule of this module.
    fn walked(lists: &Lists, zone: Tz, from: i64, to: i64) -> Vec<i64> {
        let mut seen = HashSet::new();
        let mut runs = HashSet::new();
        let clock = |minute: i64| zone.timestamp_opt(minute * 60, 0).unwrap();
        let ahead = |minute: i64| i64::from(clock(minute).offset().fix().local_minus_utc());
        for minute in from / 60 - 1_600..to / 60 + 1 {
            let now = shown(&clock(minute));
            if seen.insert(now) && lists.mean(now) {
                runs.insert(minute * 60);
            }
            // The clock jumped: what would it have shown?
            let (before, after) = (ahead(minute - 1), ahead(minute));
            let left_out = (0..(after - before).max(0) / 60).find(|past| {
                let unchanged: DateTime<Utc> =
                    DateTime::from_timestamp((minute + past) * 60 + before, 0).unwrap();
                lists.mean(shown(&unchanged))
            });
            if let Some(past) = left_out {
                runs.insert((minute + past) * 60);
            }
        }
        let mut runs: Vec<i64> = runs.into_iter().filter(|run| (from..to).contains(run)).collect();
        runs.sort_unstable();
        runs
    }

    fn listed(cron: &Cron, zone: Tz, from: i64, to: i64) -> Vec<i64> {
        let mut runs = Vec::new();
        let mut at = from;
        while let Some(next) = at_or_after(cron, zone, at).filter(|&next| next < to) {
            runs.push(next);
            at = next + 1;
        }
        runs
    }

    /// A change of the zone in the year after `from`, or `from`.
    fn some_change(zone: Tz, from: i64) -> i64 {
        let steps = (0..365).map(|day| from + day * 86_400);
        let mut pairs = steps.clone().zip(steps.skip(1));
        let found = pairs.find(|&(a, b)| offset(zone, a) != offset(zone, b));
        found.map_or(from, |(a, b)| change(zone, a, b).at)
    }

    fn subset(of: std::ops::Range<u32>) -> impl Strategy<Value = Vec<u32>> {
        let all: Vec<u32> = of.collect();
        let most = all.len().min(6);
        proptest::sample::subsequence(all, 1..=most)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        /// Every zone and year, around a change of the clocks: exactly what a minute walker finds, from
        /// any instant on.
        #[test]
        fn a_minute_walker_finds_the_same(
            zone in 0..ZONES.len(),
            year in 0i64..60,
            from in 0i64..172_800,
            minutes in subset(0..60),
            hours in subset(0..24),
            whole in any::<bool>(),
            weekdays in subset(0..7),
        ) {
            let zone: Tz = ZONES[zone].parse().unwrap();
            let hours = if whole { (0..24).collect() } else { hours };
            let lists = Lists { minutes, hours, weekdays };
            let cron = Cron::parse(&lists.text()).unwrap();
            // Before 1980 offsets with odd seconds are about, which a walker by minutes does not see.
            let start = 315_532_800 + year * 31_556_952;
            let from = some_change(zone, start) - 86_400 + from;
            let to = from + 2 * 86_400;
            prop_assert_eq!(listed(&cron, zone, from, to), walked(&lists, zone, from, to));
        }
    }

    #[test]
    fn what_the_rule_means_in_new_york() {
        let zone = chrono_tz::America::New_York;
        let day = |text: &str| text.parse::<DateTime<Utc>>().unwrap().timestamp();
        let times = |cron: &str, from: &str, to: &str| {
            let runs = listed(&Cron::parse(cron).unwrap(), zone, day(from), day(to));
            let text =
                |at: &i64| DateTime::from_timestamp(*at, 0).unwrap().format("%H:%M").to_string();
            runs.iter().map(text).collect::<Vec<_>>()
        };
        // Clocks go from 02:00 to 03:00, 07:00 UTC.
        let spring = ("2026-03-08T05:00:00Z", "2026-03-08T10:00:00Z");
        assert_eq!(times("30 2 * * *", spring.0, spring.1), ["07:30"]);
        assert_eq!(times("15,45 2 * * *", spring.0, spring.1), ["07:15"]);
        assert_eq!(times("0 1-3 * * *", spring.0, spring.1), ["06:00", "07:00"]);
        // Clocks go from 02:00 back to 01:00, 06:00 UTC.
        let autumn = ("2026-11-01T04:00:00Z", "2026-11-01T09:00:00Z");
        assert_eq!(times("30 1 * * *", autumn.0, autumn.1), ["05:30"]);
        assert_eq!(times("0 * * * *", autumn.0, autumn.1), ["04:00", "05:00", "07:00", "08:00"]);
        assert_eq!(times("0 * * * *", "2026-11-01T06:10:00Z", autumn.1), ["07:00", "08:00"]);
    }
}

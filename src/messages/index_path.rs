//! The minutes of KOSPI and KOSDAQ as this process saw them: what the charts of a report are drawn
//! from. Bars of an index come to the database only when they are collected; until then this is all
//! there is, and after a restart it begins with what the journal gives again.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::market::symbol::{KOSDAQ_CODE, KOSPI_CODE};
use crate::market::{EventTime, IndexLevel, IndexTick};

/// Minutes kept of an index: five sessions.
const MINUTES: usize = 2_000;

/// An index over some time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IndexMinutes {
    /// Start of the minute and its last level, hundredths of a point, by time.
    pub closes: Vec<(EventTime, IndexLevel)>,
    /// Close of the session before the last of these minutes.
    pub previous_close: Option<IndexLevel>,
}

#[derive(Debug, Default)]
struct Series {
    minutes: VecDeque<(EventTime, IndexLevel)>,
    previous_close: IndexLevel,
}

/// Shared, cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct IndexPath(Arc<RwLock<[Series; 2]>>);

impl IndexPath {
    /// Takes in a print of the index with this code; those of other series are passed over, and so
    /// is one that is older than what is known.
    pub fn note(&self, code: &str, tick: &IndexTick) {
        let Some(place) = place(code) else { return };
        if tick.level <= 0 {
            return;
        }
        let series = &mut self.0.write()[place];
        let minute = tick.time.minute_start();
        match series.minutes.back_mut() {
            Some((last, level)) if *last == minute => *level = tick.level,
            Some((last, _)) if *last > minute => return,
            _ => series.minutes.push_back((minute, tick.level)),
        }
        series.previous_close = tick.previous_close;
        while series.minutes.len() > MINUTES {
            series.minutes.pop_front();
        }
    }

    /// The minutes of the index with this code within `from` and `to`.
    #[must_use]
    pub fn within(&self, code: &str, from: EventTime, to: EventTime) -> IndexMinutes {
        let Some(place) = place(code) else { return IndexMinutes::default() };
        let series = &self.0.read()[place];
        let is_within = |(time, _): &&(EventTime, IndexLevel)| (from..=to).contains(time);
        let closes: Vec<_> = series.minutes.iter().filter(is_within).copied().collect();
        // Of the last session known, and of no other.
        let day = |minute: Option<&(EventTime, IndexLevel)>| minute.map(|it| it.0.session_day());
        let is_last = day(closes.last()) == day(series.minutes.back());
        let previous_close = (is_last && !closes.is_empty() && series.previous_close > 0)
            .then_some(series.previous_close);
        IndexMinutes { closes, previous_close }
    }
}

/// An index at a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexNow {
    /// Korean name.
    pub name: String,
    /// Its level, hundredths of a point.
    pub level: IndexLevel,
    /// Change against the previous close, per cent.
    pub change_pct: f64,
}

impl IndexPath {
    /// Both indices as they stood at `time`, of its session only; those that had printed.
    #[must_use]
    pub fn at(&self, time: EventTime) -> Vec<IndexNow> {
        let series = self.0.read();
        let now = |(series, name): (&Series, &str)| {
            let known = series.minutes.iter().rev().find(|(minute, _)| *minute <= time)?;
            let (minute, level) = *known;
            let previous = series.previous_close;
            let today = minute.session_day() == time.session_day()
                && series.minutes.back().map(|last| last.0.session_day())
                    == Some(time.session_day());
            let change_pct = 100.0 * (level as f64 / previous as f64 - 1.0);
            (today && previous > 0).then(|| IndexNow { name: name.to_owned(), level, change_pct })
        };
        series.iter().zip(["코스피", "코스닥"]).filter_map(now).collect()
    }
}

fn place(code: &str) -> Option<usize> {
    [KOSPI_CODE, KOSDAQ_CODE].iter().position(|known| *known == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2024-08-05 09:00:00 in Korea.
    const OPEN: i64 = 1_722_816_000_000_000;

    fn tick(second: i64, level: IndexLevel) -> IndexTick {
        let time = EventTime::from_micros(OPEN + second * 1_000_000);
        IndexTick { time, level, previous_close: 267_619, ..IndexTick::default() }
    }

    fn at(minute: i64) -> EventTime {
        EventTime::from_micros(OPEN + minute * 60_000_000)
    }

    #[test]
    fn the_last_level_of_each_minute() {
        let path = IndexPath::default();
        for (second, level) in [(0, 261_130), (59, 260_000), (60, 259_000), (30, 1), (61, 0)] {
            path.note(KOSPI_CODE, &tick(second, level));
        }
        path.note("2001", &tick(0, 35_000));
        let whole = path.within(KOSPI_CODE, at(0), at(10));
        assert_eq!(whole.closes, [(at(0), 260_000), (at(1), 259_000)]);
        assert_eq!(whole.previous_close, Some(267_619));
        assert_eq!(path.within(KOSPI_CODE, at(1), at(10)).closes.len(), 1);
        assert_eq!(path.within(KOSDAQ_CODE, at(0), at(10)), IndexMinutes::default());
        let now = path.at(at(1));
        assert_eq!((now.len(), now[0].name.as_str(), now[0].level), (1, "코스피", 259_000));
        assert!((now[0].change_pct + 3.220_7).abs() < 1e-3, "{now:?}");
        // Of the day before nothing is known of its previous close.
        path.note(KOSPI_CODE, &tick(86_400, 252_207));
        assert_eq!(path.within(KOSPI_CODE, at(0), at(10)).previous_close, None);
        assert_eq!(path.at(at(10)), []);
    }

    #[test]
    fn bounded() {
        let path = IndexPath::default();
        for minute in 0..MINUTES as i64 + 50 {
            path.note(KOSDAQ_CODE, &tick(minute * 60, 70_000));
        }
        let all = path.within(KOSDAQ_CODE, EventTime::default(), at(1_000_000));
        assert_eq!(all.closes.len(), MINUTES);
    }
}

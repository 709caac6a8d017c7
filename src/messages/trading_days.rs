//! The calendar that is in force, shared by whoever asks whether KRX trades: the table, with what
//! KIS has told otherwise since the start.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::market::phase::{Phase, phase_at};
use crate::market::{Calendar, EventTime, rules};

/// See the module; clones share it.
#[derive(Debug, Clone)]
pub struct TradingDays {
    calendar: Arc<ArcSwap<Calendar>>,
}

impl Default for TradingDays {
    fn default() -> Self {
        Self { calendar: Arc::new(ArcSwap::from_pointee(Calendar::krx())) }
    }
}

impl TradingDays {
    /// The calendar now.
    #[must_use]
    pub fn calendar(&self) -> Arc<Calendar> {
        self.calendar.load_full()
    }

    /// Puts `calendar` in force.
    pub fn set(&self, calendar: Calendar) {
        self.calendar.store(Arc::new(calendar));
    }

    /// What KRX is doing at `time`; where the calendar has ended, by the hours of an ordinary day.
    #[must_use]
    pub fn phase(&self, time: EventTime) -> Phase {
        let ordinary = || {
            let now = time.time_of_day();
            if time.session_day().is_weekend() || now < rules::OPEN || now >= rules::CLOSE {
                Phase::Closed
            } else if now < rules::CLOSING_AUCTION {
                Phase::Continuous
            } else {
                Phase::ClosingAuction
            }
        };
        phase_at(&self.calendar.load(), time).unwrap_or_else(ordinary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::{SessionDay, TimeOfDay};

    fn at(day: u32, hhmmss: u32) -> EventTime {
        let day = SessionDay::from_yyyymmdd(day).unwrap();
        EventTime::from_kst(day, TimeOfDay::from_hhmmss(hhmmss).unwrap())
    }

    #[test]
    fn corrections_reach_every_clone_and_the_end_of_the_table_is_no_holiday() {
        let days = TradingDays::default();
        let other = days.clone();
        assert_eq!(other.phase(at(20_260_916, 100_000)), Phase::Continuous);
        let mut calendar = Calendar::krx();
        calendar.correct(SessionDay::from_yyyymmdd(20_260_916).unwrap(), false).unwrap();
        days.set(calendar);
        assert_eq!(other.phase(at(20_260_916, 100_000)), Phase::Closed);
        assert_eq!(other.phase(at(20_300_403, 100_000)), Phase::Continuous);
        assert_eq!(other.phase(at(20_300_403, 152_500)), Phase::ClosingAuction);
        assert_eq!(other.phase(at(20_300_406, 100_000)), Phase::Closed, "a Saturday");
    }
}

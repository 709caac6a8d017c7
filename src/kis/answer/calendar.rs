//! The calendar of business days.

use super::super::{KisError, Raw};
use super::Answer;
use crate::market::SessionDay;

/// One day of the calendar (`chk-holiday`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CalendarDay {
    /// The day.
    pub day: SessionDay,
    /// The stock market is open: the one that counts for sessions.
    pub open: bool,
    /// Banks work.
    pub business: bool,
    /// Securities firms work.
    pub trading: bool,
    /// Trades settle.
    pub settlement: bool,
}

impl CalendarDay {
    /// Reads answers to [`Endpoint::Holidays`](super::super::Endpoint): consecutive days, oldest
    /// first, weekends included.
    ///
    /// # Errors
    /// [`KisError::Refused`] and [`KisError::Malformed`].
    pub fn of_pages(raws: &[Raw]) -> Result<Vec<Self>, KisError> {
        let mut days = Vec::new();
        for raw in raws {
            let answer = Answer::of(raw)?;
            for row in answer.rows("output")? {
                let Some(day) = row.day("bass_dt")? else { continue };
                // A day whose state is missing must not pass as a holiday.
                if row.text("opnd_yn").is_none() {
                    return Err(answer.malformed(format!("no \"opnd_yn\" for {day}")));
                }
                days.push(Self {
                    day,
                    open: row.yes("opnd_yn"),
                    business: row.yes("bzdy_yn"),
                    trading: row.yes("tr_day_yn"),
                    settlement: row.yes("sttl_day_yn"),
                });
            }
        }
        days.sort_by_key(|row| row.day);
        days.dedup_by_key(|row| row.day);
        Ok(days)
    }
}

//! Minute bars of today and of a past day.

use std::collections::BTreeMap;

use super::super::{KisError, Raw};
use super::Answer;
use crate::market::{EventTime, SessionDay, Won};

/// One minute of an issue in which it was traded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinuteBar {
    /// Begin of the minute.
    pub start: EventTime,
    /// Open, won.
    pub open: Won,
    /// High, won.
    pub high: Won,
    /// Low, won.
    pub low: Won,
    /// Close, won.
    pub close: Won,
    /// Volume of the minute, shares.
    pub volume: i64,
    /// Value since the opening at the end of the minute, won.
    pub cum_value: Option<Won>,
}

/// Minute bars and how far back they reach (`inquire-time-itemchartprice`,
/// `inquire-time-dailychartprice`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MinuteChart {
    /// Bars, oldest first, one a minute. Minutes without a trade have none: KIS fills them, and an
    /// hour that is still to come, with flat bars, and gives the running minute the volume of the
    /// one before until its first trade.
    pub bars: Vec<MinuteBar>,
    /// Oldest minute the answer spoke of, with or without a trade.
    pub oldest: Option<EventTime>,
    /// Previous close, won.
    pub previous_close: Option<Won>,
    /// Volume of the day so far, shares.
    pub day_volume: Option<i64>,
    /// Value of the day so far, won.
    pub day_value: Option<Won>,
}

impl MinuteChart {
    /// Reads an answer to [`Endpoint::MinuteBars`](super::super::Endpoint) or
    /// [`Endpoint::MinuteBarsOfDay`](super::super::Endpoint). Bars of an earlier day may follow
    /// those that were asked for: see [`MinuteChart::keep_day`].
    ///
    /// # Errors
    /// [`KisError::Refused`] and [`KisError::Malformed`].
    pub fn of(raw: &Raw) -> Result<Self, KisError> {
        Self::of_pages(std::slice::from_ref(raw))
    }

    /// Reads several answers as one; a minute that comes twice counts as the first answer has it.
    /// What is not a bar is taken from the first answer.
    ///
    /// # Errors
    /// [`KisError::Refused`] and [`KisError::Malformed`].
    pub fn of_pages(raws: &[Raw]) -> Result<Self, KisError> {
        let mut chart = Self::default();
        let mut bars = BTreeMap::new();
        for (number, raw) in raws.iter().enumerate() {
            let answer = Answer::of(raw)?;
            if number == 0 {
                let about = answer.object("output1")?;
                chart.previous_close = about.positive("stck_prdy_clpr")?;
                chart.day_volume = about.integer("acml_vol")?;
                chart.day_value = about.integer("acml_tr_pbmn")?;
            }
            for row in answer.rows("output2")? {
                let Some(at) = row.instant("stck_bsop_date", "stck_cntg_hour")? else { continue };
                let start = at.minute_start();
                chart.oldest = Some(chart.oldest.map_or(start, |oldest| oldest.min(start)));
                let (Some(open), Some(high), Some(low), Some(close), Some(volume)) = (
                    row.positive("stck_oprc")?,
                    row.positive("stck_hgpr")?,
                    row.positive("stck_lwpr")?,
                    row.positive("stck_prpr")?,
                    row.positive("cntg_vol")?,
                ) else {
                    continue;
                };
                let cum_value = row.integer("acml_tr_pbmn")?;
                bars.entry(start).or_insert(MinuteBar {
                    start,
                    open,
                    high,
                    low,
                    close,
                    volume,
                    cum_value,
                });
            }
        }
        chart.bars = traded(bars.into_values());
        Ok(chart)
    }

    /// Only the bars of `day`.
    #[must_use]
    pub fn keep_day(mut self, day: SessionDay) -> Self {
        self.bars.retain(|bar| bar.start.session_day() == day);
        self
    }

    /// The day of the newest bar: today's, as far as today was traded.
    #[must_use]
    pub fn newest_day(&self) -> Option<SessionDay> {
        self.bars.last().map(|bar| bar.start.session_day())
    }
}

/// Without the bars in which the value of the day did not grow: nothing was traded in them.
fn traded(bars: impl Iterator<Item = MinuteBar>) -> Vec<MinuteBar> {
    let mut kept: Vec<MinuteBar> = Vec::new();
    for bar in bars {
        let copied = kept.last().is_some_and(|last| {
            bar.cum_value.is_some()
                && bar.cum_value == last.cum_value
                && bar.start.session_day() == last.start.session_day()
        });
        if !copied {
            kept.push(bar);
        }
    }
    kept
}

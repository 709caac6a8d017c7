//! Volatility interruptions of a day.

use super::super::{KisError, Raw};
use super::Answer;
use crate::market::{SessionDay, Symbol, TimeOfDay, Won};

/// Which reference price was left too far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ViKind {
    /// The static one: the last auction's price, 10 %.
    Static,
    /// The dynamic one: the last trade's price.
    Dynamic,
    /// Both at once.
    Both,
}

/// One volatility interruption (`inquire-vi-status`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViEvent {
    /// Issue.
    pub symbol: Symbol,
    /// Korean name.
    pub name: Option<String>,
    /// Session.
    pub day: SessionDay,
    /// It is under way.
    pub active: bool,
    /// When it began, Korean time.
    pub began: Option<TimeOfDay>,
    /// When it ended; `None` while it lasts.
    pub ended: Option<TimeOfDay>,
    /// Kind; `None` for a code that is not known.
    pub kind: Option<ViKind>,
    /// Price that set it off, won.
    pub price: Option<Won>,
    /// Static reference price, won.
    pub static_reference: Option<Won>,
    /// Distance from it, hundredths of a percent, signed.
    pub static_deviation_hundredths: Option<i64>,
    /// Dynamic reference price, won.
    pub dynamic_reference: Option<Won>,
    /// Distance from it, hundredths of a percent, signed.
    pub dynamic_deviation_hundredths: Option<i64>,
    /// How many the issue had this day.
    pub count: Option<i64>,
}

impl ViEvent {
    /// Reads an answer to [`Endpoint::ViStatus`](super::super::Endpoint), newest first.
    ///
    /// # Errors
    /// [`KisError::Refused`] and [`KisError::Malformed`].
    pub fn of(raw: &Raw) -> Result<Vec<Self>, KisError> {
        let answer = Answer::of(raw)?;
        let mut events = Vec::new();
        for row in answer.rows("output")? {
            let (Some(symbol), Some(day)) = (row.symbol("mksc_shrn_iscd")?, row.day("bsop_date")?)
            else {
                continue;
            };
            let active = row.yes("vi_cls_code");
            events.push(Self {
                symbol,
                name: row.owned("hts_kor_isnm"),
                day,
                active,
                began: row.time("cntg_vi_hour")?,
                // Midnight stands for "not yet".
                ended: row.time("vi_cncl_hour")?.filter(|time| time.seconds() > 0 && !active),
                kind: match row.text("vi_kind_code") {
                    Some("1") => Some(ViKind::Static),
                    Some("2") => Some(ViKind::Dynamic),
                    Some("3") => Some(ViKind::Both),
                    _ => None,
                },
                price: row.positive("vi_prc")?,
                static_reference: row.positive("vi_stnd_prc")?,
                static_deviation_hundredths: row.hundredths("vi_dprt")?,
                dynamic_reference: row.positive("vi_dmc_stnd_prc")?,
                dynamic_deviation_hundredths: row.hundredths("vi_dmc_dprt")?,
                count: row.integer("vi_count")?,
            });
        }
        Ok(events)
    }
}

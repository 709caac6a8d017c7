//! Which fitted model the scores are made with: its name, and the switch from one to another.
//!
//! A model is named by the moment at which it was made, [`ModelId`]. A [`ModelSwitch`] carries it
//! through the stream of ticks as a [`Mark`](super::Mark): every score before it is of the model
//! before, every score behind it of the new one. Here the model is only bytes; what they say is
//! `model`'s to read.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{EventTime, SessionDay, TimeOfDay};

/// The name of a model version: the second at which it was made, UTC, `20260105T090000Z`. Small enough
/// to stand in every score.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ModelId(NonZeroU64);

/// Between a day and the time in it, as one number.
const DAY: u64 = 1_000_000;

impl ModelId {
    /// The name of a model made at `time`; `None` outside the years 1900 to 9999.
    #[must_use]
    pub fn of(time: EventTime) -> Option<Self> {
        let second = time.second();
        let day = SessionDay::from_epoch_days(i32::try_from(second.div_euclid(86_400)).ok()?);
        let time = TimeOfDay::from_seconds(u32::try_from(second.rem_euclid(86_400)).ok()?)?;
        let (year, month, date) = day.ymd();
        let day = SessionDay::from_ymd(year, month, date)?;
        NonZeroU64::new(u64::from(day.yyyymmdd()) * DAY + u64::from(time.hhmmss())).map(Self)
    }

    /// When the model was made.
    #[must_use]
    pub fn time(self) -> EventTime {
        let (day, time) = self.parts();
        // Only real days and times are ever names.
        let day = SessionDay::from_yyyymmdd(day).unwrap_or_default();
        let time = TimeOfDay::from_hhmmss(time).unwrap_or_default();
        let seconds = i64::from(day.epoch_days()) * 86_400 + i64::from(time.seconds());
        EventTime::from_micros(seconds * super::time::MICROS_PER_SECOND)
    }

    /// The name of a model made a second later.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        Self::of(self.time().plus_micros(super::time::MICROS_PER_SECOND))
    }

    fn parts(self) -> (u32, u32) {
        let number = self.0.get();
        // Eight digits and six.
        ((number / DAY) as u32, (number % DAY) as u32)
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (day, time) = self.parts();
        write!(f, "{day:08}T{time:06}Z")
    }
}

impl fmt::Debug for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that names no model version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is no model version: expected the UTC second it was made at as YYYYMMDDTHHMMSSZ, for \
     example 20260105T090000Z"
)]
pub struct ModelIdError(String);

impl FromStr for ModelId {
    type Err = ModelIdError;

    fn from_str(text: &str) -> Result<Self, ModelIdError> {
        let error = || ModelIdError(text.chars().take(80).collect());
        let digits = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u32>().ok())?
        };
        let parse = || {
            let (day, time) = text.strip_suffix('Z')?.split_once('T')?;
            if (day.len(), time.len()) != (8, 6) {
                return None;
            }
            let (day, time) = (digits(day)?, digits(time)?);
            SessionDay::from_yyyymmdd(day)?;
            TimeOfDay::from_hhmmss(time)?;
            NonZeroU64::new(u64::from(day) * DAY + u64::from(time)).map(Self)
        };
        parse().ok_or_else(error)
    }
}

impl From<ModelId> for String {
    fn from(id: ModelId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for ModelId {
    type Error = ModelIdError;

    fn try_from(text: String) -> Result<Self, ModelIdError> {
        text.parse()
    }
}

/// Where a model comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelOrigin {
    /// The registry's active version.
    Registry,
    /// The one shipped with the program.
    BuiltIn,
}

/// From here on the scores are made with this model.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelSwitch {
    /// Version.
    pub id: ModelId,
    /// Where it comes from.
    pub origin: ModelOrigin,
    /// SHA-256 of the whole model as it is stored, hexadecimal.
    pub sha256: String,
    /// What live scoring needs of it, JSON.
    pub document: Arc<str>,
}

impl fmt::Debug for ModelSwitch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, origin, sha256, document } = self;
        write!(f, "ModelSwitch({id}, {origin:?}, {sha256}, {} bytes)", document.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_is_a_second_of_utc() {
        let id: ModelId = "20260105T090000Z".parse().unwrap();
        // 18:00 in Korea.
        assert_eq!(id.time().rfc3339(), "2026-01-05T18:00:00+09:00");
        assert_eq!(id.next().unwrap().to_string(), "20260105T090001Z");
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"20260105T090000Z\"");
        assert_eq!(size_of::<Option<ModelId>>(), 8, "it stands in every score");
        let last: ModelId = "20261231T235959Z".parse().unwrap();
        assert_eq!(last.next().unwrap().to_string(), "20270101T000000Z");
    }

    #[test]
    fn what_is_none_is_refused_with_an_example() {
        for text in [
            "",
            "20260105T090000",
            "20260105090000Z",
            "20260230T090000Z",
            "20260105T250000Z",
            "2026010TT090000Z",
            "+0260105T090000Z",
            "00000000T000000Z",
            "가T090000Z",
        ] {
            let error = text.parse::<ModelId>().unwrap_err().to_string();
            assert!(error.contains("20260105T090000Z") && error.contains(text), "{error}");
        }
    }

    proptest! {
        #[test]
        fn name_and_time_tell_each_other(seconds in -2_000_000_000i64..250_000_000_000) {
            let time = EventTime::from_micros(seconds * 1_000_000);
            let id = ModelId::of(time).unwrap();
            prop_assert_eq!(id.time(), time);
            prop_assert_eq!(id.to_string().parse::<ModelId>().unwrap(), id);
            prop_assert!(id.next().unwrap() > id);
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,24}|[0-9]{8}T[0-9]{6}Z") {
            if let Ok(id) = text.parse::<ModelId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}

//! [`EventTime`] as a column: UTC with microseconds, equal on both databases.
//!
//! MySQL keeps `DATETIME(6)`, SQLite RFC 3339 text with the offset `+00:00`, which sorts by time.

use chrono::{DateTime, Utc};
use sea_orm::sea_query::{ArrayType, ColumnType, Nullable, Value, ValueType, ValueTypeErr};
use sea_orm::{ColIdx, QueryResult, TryGetError, TryGetable};

use crate::market::EventTime;

/// 1000-01-01 and 9999-12-31, what `DATETIME` can hold. No time that Bongsu accepts lies outside;
/// one that did would block every later row of its batch, so it is moved to the edge.
const RANGE: (i64, i64) = (-30_610_224_000_000_000, 253_402_300_799_999_999);

fn to_utc(time: EventTime) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(time.micros().clamp(RANGE.0, RANGE.1)).unwrap_or_default()
}

fn from_utc(time: DateTime<Utc>) -> EventTime {
    EventTime::from_micros(time.timestamp_micros())
}

/// The wall clock, for columns that say when a row was written.
pub(crate) fn wall_clock() -> EventTime {
    from_utc(Utc::now())
}

impl From<EventTime> for Value {
    fn from(time: EventTime) -> Self {
        Self::from(to_utc(time))
    }
}

impl ValueType for EventTime {
    fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
        <DateTime<Utc> as ValueType>::try_from(value).map(from_utc)
    }

    fn type_name() -> String {
        "EventTime".to_owned()
    }

    fn array_type() -> ArrayType {
        ArrayType::ChronoDateTimeUtc
    }

    fn column_type() -> ColumnType {
        ColumnType::DateTime
    }
}

impl Nullable for EventTime {
    fn null() -> Value {
        <DateTime<Utc> as Nullable>::null()
    }
}

impl TryGetable for EventTime {
    fn try_get_by<I: ColIdx>(row: &QueryResult, index: I) -> Result<Self, TryGetError> {
        <DateTime<Utc> as TryGetable>::try_get_by(row, index).map(from_utc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_survive_and_the_impossible_is_moved_to_the_edge() {
        for micros in [0, 1_722_816_021_000_001, -1, RANGE.0, RANGE.1] {
            assert_eq!(from_utc(to_utc(EventTime::from_micros(micros))).micros(), micros);
        }
        assert_eq!(from_utc(to_utc(EventTime::from_micros(i64::MAX))).micros(), RANGE.1);
        assert_eq!(from_utc(to_utc(EventTime::from_micros(i64::MIN))).micros(), RANGE.0);
    }
}

//! Moments as Celery writes them: ISO 8601, UTC, microseconds where there are any.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

/// The present moment.
#[must_use]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

/// `2026-11-22T07:00:38.084259+00:00`; the fraction is left out when there is none.
#[must_use]
pub fn format(moment: DateTime<Utc>) -> String {
    let whole = moment.timestamp_subsec_micros() == 0;
    moment.to_rfc3339_opts(if whole { SecondsFormat::Secs } else { SecondsFormat::Micros }, false)
}

/// Reads an `eta` or `expires`. A moment without an offset is one in UTC, as with Celery's own
/// settings.
#[must_use]
pub fn parse(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    let date = text.get(..10)?;
    let time = text.get(10..)?;
    let zoned = time.ends_with(['Z', 'z']) || time.contains(['+', '-']);
    let full = format!("{date}{time}{}", if zoned { "" } else { "+00:00" });
    DateTime::parse_from_rfc3339(&full)
        .or_else(|_| DateTime::parse_from_str(&full, "%Y-%m-%dT%H:%M:%S%.f%z"))
        .ok()
        .map(|moment| moment.with_timezone(&Utc))
}

/// Seconds since 1970, as in events.
#[must_use]
pub fn unix(moment: DateTime<Utc>) -> f64 {
    moment.timestamp_micros() as f64 / 1e6
}

/// How long until `moment`; zero when it has passed.
#[must_use]
pub fn until(moment: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    (moment - now).to_std().unwrap_or_default()
}

/// `moment` so much later; the last moment there is when that overflows.
#[must_use]
pub fn after(moment: DateTime<Utc>, span: Duration) -> DateTime<Utc> {
    chrono::TimeDelta::from_std(span)
        .ok()
        .and_then(|span| moment.checked_add_signed(span))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_forms_that_clients_write_are_read() {
        let wanted = parse("2026-11-22T06:59:39.590079+00:00").unwrap();
        for text in [
            "2026-11-22T06:59:39.590079Z",
            "2026-11-22T06:59:39.590079",
            "2026-11-22 06:59:39.590079",
            "2026-11-22T15:59:39.590079+09:00",
            "2026-11-22T15:59:39.590079+0900",
            " 2026-11-22T06:59:39.590079+00:00 ",
        ] {
            assert_eq!(parse(text), Some(wanted), "{text}");
        }
        assert_eq!(format(wanted), "2026-11-22T06:59:39.590079+00:00");
        assert_eq!(
            parse("2026-11-22T06:59:39").map(format),
            Some("2026-11-22T06:59:39+00:00".to_owned())
        );
        for text in ["garbage", "", "2026-11-22", "2026-13-40T00:00:00", "가나다라마바사"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(micros in 0_i64..4_000_000_000_000_000) {
            let moment = DateTime::from_timestamp_micros(micros).unwrap();
            prop_assert_eq!(parse(&format(moment)), Some(moment));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}") {
            let _ = parse(&text);
        }
    }
}

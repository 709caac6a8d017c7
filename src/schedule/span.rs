//! Lengths of time in a schedule's text: `30s`, `5m`, `1h`, `7d`.

use std::time::Duration;

/// Longest length: 31 days.
pub(super) const LONGEST: Duration = Duration::from_secs(31 * 86_400);

/// What an error says was expected.
pub(super) const FORM: &str = "expected 1s to 744h as 30s, 5m, 1h or 7d";

/// `text` as a length from one second to 31 days; `None` when it is none.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let span = parse_or_zero(text)?;
    (!span.is_zero()).then_some(span)
}

/// As [`parse`], with `0s` a length too.
pub(super) fn parse_or_zero(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let span = Duration::from_secs(number.parse::<u64>().ok()?.checked_mul(seconds)?);
    (span <= LONGEST).then_some(span)
}

/// Whole microseconds. A length of a schedule is at most [`LONGEST`], so it fits.
pub(super) fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

/// As it would be written: the largest unit that leaves a whole number.
pub(super) fn text(span: Duration) -> String {
    let seconds = span.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
    let whole = units.iter().find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{seconds}s"), |(unit, name)| format!("{}{name}", seconds / unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths() {
        let seconds = |text| parse(text).map(|span| span.as_secs());
        assert_eq!(seconds("30s"), Some(30));
        assert_eq!(seconds("744h"), Some(744 * 3_600));
        assert_eq!(seconds("31d"), seconds("744h"));
        for wrong in ["745h", "0s", "", "s", "30", "30 s", "-5m", "1.5h", "5w", "５m", "+1m"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        assert_eq!(parse_or_zero("0s"), Some(Duration::ZERO));
    }

    proptest! {
        #[test]
        fn a_length_reads_back(seconds in 1u64..=2_678_400) {
            let span = Duration::from_secs(seconds);
            prop_assert_eq!(parse(&text(span)), Some(span));
        }
    }
}

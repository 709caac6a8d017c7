//! Numbers in frames: decimal text, without separators, a minus sign in front when negative.

/// Longest run of digits that always fits an `i64`.
const MAX_DIGITS: usize = 18;

/// A number of digits only; `None` for anything else, also for none at all.
pub(super) fn unsigned(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > MAX_DIGITS {
        return None;
    }
    let mut value = 0i64;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(value)
}

/// A number that may begin with `-` or `+`.
pub(super) fn signed(text: &[u8]) -> Option<i64> {
    match text.split_first() {
        Some((b'-', digits)) => unsigned(digits).map(|value| -value),
        Some((b'+', digits)) => unsigned(digits),
        _ => unsigned(text),
    }
}

/// A number with at most two digits after a point, in hundredths.
pub(super) fn hundredths(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', digits)) => (true, digits),
        Some((b'+', digits)) => (false, digits),
        _ => (false, text),
    };
    let (whole, fraction) = match digits.iter().position(|byte| *byte == b'.') {
        Some(point) => (&digits[..point], &digits[point + 1..]),
        None => (digits, &[][..]),
    };
    if whole.len() > MAX_DIGITS - 2 {
        return None;
    }
    // `.5` and `-.08` occur in practice; a point alone does not make a number.
    let whole_value = if whole.is_empty() && !fraction.is_empty() { 0 } else { unsigned(whole)? };
    let fraction_value = match fraction.len() {
        0 => 0,
        1 => unsigned(fraction)? * 10,
        2 => unsigned(fraction)?,
        _ => return None,
    };
    let value = whole_value * 100 + fraction_value;
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forms() {
        assert_eq!(signed(b"-71200"), Some(-71_200));
        assert_eq!(hundredths(b"3412.55"), Some(341_255));
        assert_eq!(hundredths(b"-0.08"), Some(-8));
        assert_eq!(hundredths(b"7"), Some(700));
        assert_eq!(hundredths(b".5"), Some(50));
        for text in [&b""[..], b"-", b"1,000", b"1.2.3", b".", b"1.234", b"1e3", b" 1"] {
            assert_eq!(hundredths(text), None, "{text:?}");
        }
        assert_eq!(unsigned(b"1234567890123456789"), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value in -(10i64.pow(15))..10i64.pow(15)) {
            prop_assert_eq!(signed(value.to_string().as_bytes()), Some(value));
            let sign = if value < 0 { "-" } else { "" };
            let text = format!("{sign}{}.{:02}", value.abs() / 100, value.abs() % 100);
            prop_assert_eq!(hundredths(text.as_bytes()), Some(value));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = (unsigned(&bytes), signed(&bytes), hundredths(&bytes));
        }
    }
}

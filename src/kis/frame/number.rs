//! Integers out of the bytes of a field. No allocation, no locale, no surprise: anything that is
//! not exactly a number is `None`.

/// Digits that always fit an `i64`.
const MAX_DIGITS: usize = 18;

/// A number of 1 to 18 digits.
#[inline]
pub(super) fn unsigned(bytes: &[u8]) -> Option<i64> {
    if bytes.is_empty() || bytes.len() > MAX_DIGITS {
        return None;
    }
    let mut value = 0i64;
    for byte in bytes {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(value)
}

/// A number of 1 to 18 digits, with a minus sign or without.
#[inline]
pub(super) fn signed(bytes: &[u8]) -> Option<i64> {
    match bytes.split_first() {
        Some((b'-', digits)) => unsigned(digits).map(|value| -value),
        _ => unsigned(bytes),
    }
}

/// A decimal with at most two digits after the point, in hundredths: `-0.5` is -50.
#[inline]
pub(super) fn hundredths(bytes: &[u8]) -> Option<i64> {
    let (negative, bytes) = match bytes.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, bytes),
    };
    let (whole, cents) = match bytes.iter().position(|byte| *byte == b'.') {
        None => (bytes, 0),
        Some(point) => {
            let fraction = &bytes[point + 1..];
            let cents = match fraction.len() {
                1 => unsigned(fraction)? * 10,
                2 => unsigned(fraction)?,
                _ => return None,
            };
            (&bytes[..point], cents)
        }
    };
    // Two digits fewer, so that the scaled value fits as well.
    if whole.len() > MAX_DIGITS - 2 {
        return None;
    }
    let value = unsigned(whole)? * 100 + cents;
    Some(if negative { -value } else { value })
}

/// A number of exactly `N` digits, `N` at most 9.
#[inline]
pub(super) fn digits<const N: usize>(bytes: &[u8]) -> Option<u32> {
    const { assert!(N <= 9, "more digits than a u32 holds") };
    let bytes: &[u8; N] = bytes.try_into().ok()?;
    let mut value = 0u32;
    for byte in bytes {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u32::from(digit);
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_not_a_number() {
        for text in ["", "-", "+1", " 1", "1 ", "1.0", "1,000", "٣", "9999999999999999999", "--1"]
        {
            assert_eq!(signed(text.as_bytes()), None, "{text}");
        }
        for text in ["", ".", "1.", ".5", "1.234", "1.-2", "-", "99999999999999999.00"] {
            assert_eq!(hundredths(text.as_bytes()), None, "{text}");
        }
        assert_eq!(digits::<6>(b"09302"), None);
        assert_eq!(digits::<6>(b"09302x"), None);
    }

    #[test]
    fn decimals() {
        for (text, value) in [("3412.55", 341_255), ("-2.82", -282), ("0.5", 50), ("7", 700)] {
            assert_eq!(hundredths(text.as_bytes()), Some(value), "{text}");
        }
    }

    proptest! {
        #[test]
        fn numbers_round_trip(value in -999_999_999_999_999_999i64..=999_999_999_999_999_999) {
            prop_assert_eq!(signed(value.to_string().as_bytes()), Some(value));
        }

        #[test]
        fn decimals_round_trip(value in -99_999_999_999i64..=99_999_999_999) {
            let sign = if value < 0 { "-" } else { "" };
            let text = format!("{sign}{}.{:02}", value.abs() / 100, value.abs() % 100);
            prop_assert_eq!(hundredths(text.as_bytes()), Some(value));
        }

        #[test]
        fn agrees_with_the_standard_library(bytes in "[0-9.+-]{0,22}") {
            let ours = unsigned(bytes.as_bytes());
            if bytes.len() <= 18 && bytes.bytes().all(|b| b.is_ascii_digit()) {
                prop_assert_eq!(ours, bytes.parse().ok());
            } else {
                prop_assert_eq!(ours, None);
            }
        }
    }
}

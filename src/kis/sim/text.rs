//! Numbers as KIS writes them, appended without an allocation.

/// Appends `value` in decimal.
pub(crate) fn int(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    digits(out, value.unsigned_abs());
}

fn digits(out: &mut Vec<u8>, mut value: u64) {
    let mut buffer = [0u8; 20];
    let mut at = buffer.len();
    loop {
        at -= 1;
        buffer[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&buffer[at..]);
}

/// Appends `hundredths` with two digits after the point: -80 is `-0.80`.
pub(crate) fn dec2(out: &mut Vec<u8>, hundredths: i64) {
    if hundredths < 0 {
        out.push(b'-');
    }
    let value = hundredths.unsigned_abs();
    digits(out, value / 100);
    let rest = (value % 100) as u8;
    out.extend_from_slice(&[b'.', b'0' + rest / 10, b'0' + rest % 10]);
}

/// Appends `value` with at least `width` digits, zeros in front.
pub(crate) fn padded(out: &mut Vec<u8>, value: u32, width: u32) {
    let mut unit = 10u32.pow(width - 1);
    if value / unit >= 10 {
        return digits(out, value.into());
    }
    while unit > 0 {
        out.push(b'0' + (value / unit % 10) as u8);
        unit /= 10;
    }
}

/// `hundredths` as text with two digits after the point.
pub(crate) fn dec2_text(hundredths: i64) -> String {
    decimal_text(hundredths, 2)
}

/// `value`, counted in units of the last place, as text with `digits` places after the point.
pub(crate) fn decimal_text(value: i64, digits: u32) -> String {
    let (sign, unit) = (if value < 0 { "-" } else { "" }, 10u64.pow(digits));
    let value = value.unsigned_abs();
    format!("{sign}{}.{:02$}", value / unit, value % unit, digits as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn as_the_standard_library_writes_them(value: i64, short in 0u32..2_000_000) {
            let mut out = Vec::new();
            int(&mut out, value);
            prop_assert_eq!(String::from_utf8(out).unwrap(), value.to_string());
            let mut out = Vec::new();
            padded(&mut out, short, 6);
            prop_assert_eq!(String::from_utf8(out).unwrap(), format!("{short:06}"));
            let mut out = Vec::new();
            dec2(&mut out, value);
            prop_assert_eq!(String::from_utf8(out).unwrap(), dec2_text(value));
        }
    }

    #[test]
    fn small_negative_decimals_keep_their_sign() {
        assert_eq!(dec2_text(-80), "-0.80");
        assert_eq!(dec2_text(5), "0.05");
        assert_eq!(decimal_text(-714_000_000, 4), "-71400.0000");
        assert_eq!(decimal_text(0, 8), "0.00000000");
    }
}

//! Numbers as Korean readers expect them.

/// `71000` as `71,000`.
#[must_use]
pub fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number < 0 {
        text.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `71000` as `71,000원`.
#[must_use]
pub fn won(amount: i64) -> String {
    format!("{}원", grouped(amount))
}

/// `-5.333` as `-5.33%`, `5.333` as `+5.33%`; zero without a sign.
#[must_use]
pub fn signed_percent(percent: f64) -> String {
    let text = format!("{percent:+.2}%");
    if text == "+0.00%" || text == "-0.00%" { "0.00%".to_owned() } else { text }
}

/// A name with its code, or the code alone when there is no name.
#[must_use]
pub fn name_and_code(name: &str, code: &str) -> String {
    if name.is_empty() { code.to_owned() } else { format!("{name}({code})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups() {
        assert_eq!(won(0), "0원");
        assert_eq!(won(999), "999원");
        assert_eq!(won(1_000), "1,000원");
        assert_eq!(won(-1_234_567), "-1,234,567원");
        assert_eq!(grouped(i64::MIN), "-9,223,372,036,854,775,808");
        assert_eq!(signed_percent(-0.001), "0.00%");
        assert_eq!(signed_percent(5.333), "+5.33%");
    }
}

//! Numbers and codes in Korean prose, and whether one number is another one rounded.
//!
//! Understood: digit groups (`1,234,567`), decimals, signs (`+ - − ▲ ▼`), the units `%` and `원`,
//! Korean magnitudes (`7만 1,000원`, `1.2억원`), dates with dots or hyphens (as separate
//! numbers), a direction said right after the number (`5.3% 하락`), list ordinals at the start of
//! a line (skipped). Not understood, so not checked: numbers written as words (`두 배`).

/// What a number counts, as far as its text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Per cent.
    Percent,
    /// Won.
    Won,
    /// Anything else, or not said.
    Other,
}

/// A number as written.
#[derive(Debug, Clone, PartialEq)]
pub struct Number {
    /// Its text, for messages.
    pub text: String,
    /// Magnitude, without sign.
    pub value: f64,
    /// What one of its last digit is worth.
    pub resolution: f64,
    /// Digits written from the first that is not zero.
    pub digits: usize,
    /// Direction, by sign or word: `Some(true)` up, `Some(false)` down.
    pub rising: Option<bool>,
    /// Unit.
    pub unit: Unit,
}

/// Something to be checked in a text.
#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    /// A number.
    Number(Number),
    /// Six digits in a row, or letters mixed with digits: an issue code or something like it.
    Code(String),
}

/// Largest list ordinal that is skipped at the start of a line.
const LAST_ORDINAL: u32 = 20;

/// The numbers and codes of `text` in order.
#[must_use]
pub fn tokens(text: &str) -> Vec<Token> {
    text.lines().flat_map(line_tokens).collect()
}

fn line_tokens(line: &str) -> Vec<Token> {
    let chars: Vec<char> = line.chars().collect();
    let mut scanner = Scanner { chars: &chars, at: after_ordinal(&chars) };
    let mut tokens = Vec::new();
    while scanner.at < chars.len() {
        let here = chars[scanner.at];
        if !here.is_ascii_alphanumeric() {
            scanner.at += 1;
            continue;
        }
        let word = scanner.word_len();
        let digits = scanner.digits_len(scanner.at);
        let six = digits == 6 && scanner.peek(scanner.at + 6) != Some(',');
        if word == digits && !six || digits > 0 && is_unit_word(&chars[scanner.at..][digits..word])
        {
            tokens.push(Token::Number(scanner.number()));
        } else {
            let text: String = chars[scanner.at..scanner.at + word].iter().collect();
            if text.contains(|c: char| c.is_ascii_digit()) {
                tokens.push(Token::Code(text));
            }
            scanner.at += word;
        }
    }
    tokens
}

/// Letters that may follow a number directly without making it a code: `5p`, `10bp`, `30s`.
fn is_unit_word(letters: &[char]) -> bool {
    (1..=2).contains(&letters.len()) && letters.iter().all(char::is_ascii_lowercase)
}

/// Where the line's content starts: after list marks and an ordinal.
fn after_ordinal(chars: &[char]) -> usize {
    let mut at = 0;
    while at < chars.len() && (chars[at].is_whitespace() || matches!(chars[at], '*' | '>' | '#')) {
        at += 1;
    }
    let start = at;
    while at < chars.len() && chars[at].is_ascii_digit() && at - start < 2 {
        at += 1;
    }
    let ordinal: u32 = chars[start..at].iter().collect::<String>().parse().unwrap_or(u32::MAX);
    let ends = matches!(chars.get(at), Some('.' | ')'))
        && chars.get(at + 1).is_none_or(|next| next.is_whitespace());
    if ordinal <= LAST_ORDINAL && ends { at + 1 } else { 0 }
}

struct Scanner<'a> {
    chars: &'a [char],
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self, at: usize) -> Option<char> {
        self.chars.get(at).copied()
    }

    fn run(&self, from: usize, test: impl Fn(char) -> bool) -> usize {
        self.chars[from.min(self.chars.len())..].iter().take_while(|c| test(**c)).count()
    }

    fn word_len(&self) -> usize {
        self.run(self.at, |c| c.is_ascii_alphanumeric())
    }

    fn digits_len(&self, from: usize) -> usize {
        self.run(from, |c| c.is_ascii_digit())
    }

    fn skip_spaces(&self, from: usize) -> usize {
        from + self.run(from, |c| c == ' ')
    }

    /// Direction of a sign right before `start`; a hyphen after a letter or digit is none.
    fn sign_before(&self, start: usize) -> Option<bool> {
        let sign = self.peek(start.checked_sub(1)?)?;
        let attached = start >= 2 && self.peek(start - 2).is_some_and(char::is_alphanumeric);
        match sign {
            '▲' => Some(true),
            '▼' => Some(false),
            '+' if !attached => Some(true),
            '-' | '−' if !attached => Some(false),
            _ => None,
        }
    }

    /// Reads digits with groups and decimals: value, resolution, significant digits.
    fn plain_number(&mut self) -> (f64, f64, usize) {
        let start = self.at;
        self.at += self.digits_len(self.at);
        while self.peek(self.at) == Some(',') && self.digits_len(self.at + 1) == 3 {
            self.at += 4;
        }
        let mut decimals = 0;
        if self.peek(self.at) == Some('.') {
            let fraction = self.digits_len(self.at + 1);
            let after = self.at + 1 + fraction;
            // `2024.08.05` is a date: three numbers.
            let date = self.peek(after) == Some('.') && self.digits_len(after + 1) > 0;
            let in_date = start > 0 && self.peek(start - 1) == Some('.');
            if fraction > 0 && !date && !in_date {
                decimals = fraction;
                self.at = after;
            }
        }
        let digits: String = self.chars[start..self.at].iter().filter(|c| **c != ',').collect();
        let significant = digits.chars().filter(char::is_ascii_digit).skip_while(|c| *c == '0');
        let value = digits.parse().unwrap_or(f64::MAX);
        (value, 10f64.powi(-(decimals.min(300) as i32)), significant.count())
    }

    /// A Korean magnitude at `from`: its factor and length.
    fn magnitude(&self, from: usize) -> Option<(f64, usize)> {
        let one = |c: char| match c {
            '천' => Some(1e3),
            '만' => Some(1e4),
            '억' => Some(1e8),
            '조' => Some(1e12),
            _ => None,
        };
        let first = self.peek(from)?;
        match (first, self.peek(from + 1)) {
            ('천', Some('만')) => Some((1e7, 2)),
            ('백', Some('만')) => Some((1e6, 2)),
            ('천', Some('억')) => Some((1e11, 2)),
            ('백', Some('억')) => Some((1e10, 2)),
            _ => one(first).map(|factor| (factor, 1)),
        }
    }

    fn number(&mut self) -> Number {
        let start = self.at;
        let (mut value, mut resolution, mut digits) = self.plain_number();
        let mut scale = f64::INFINITY;
        if let Some((factor, length)) = self.magnitude(self.skip_spaces(self.at)) {
            self.at = self.skip_spaces(self.at) + length;
            (value, resolution, scale) = (value * factor, resolution * factor, factor);
        }
        // `7만 1,000원`, `1억 2천만원`: smaller pieces that belong to the same amount.
        while scale.is_finite() {
            let mark = self.at;
            self.at = self.skip_spaces(mark);
            if self.digits_len(self.at) == 0 {
                self.at = mark;
                break;
            }
            let (piece, piece_resolution, piece_digits) = self.plain_number();
            let (factor, length) = self.magnitude(self.at).unwrap_or((1.0, 0));
            let amount = matches!(self.peek(self.at + length), Some('원' | '주')) || length > 0;
            if !amount || piece * factor >= scale {
                self.at = mark;
                break;
            }
            self.at += length;
            value += piece * factor;
            resolution = piece_resolution * factor;
            digits += piece_digits;
            scale = factor;
        }
        let end = self.skip_spaces(self.at);
        let unit = match self.peek(end) {
            Some('%' | '％') => Unit::Percent,
            Some('원') => Unit::Won,
            _ => Unit::Other,
        };
        let text: String = self.chars[start..self.at].iter().collect();
        let rising = self.sign_before(start).or_else(|| self.direction_after(end));
        Number { text, value, resolution, digits, rising, unit }
    }

    /// A direction said within a word or two after the unit.
    fn direction_after(&self, from: usize) -> Option<bool> {
        let skip = self.run(from, |c| {
            matches!(c, '%' | '％' | '포' | '인' | '트' | 'p' | ' ' | '나' | '가' | '량')
        });
        let rest: String = self.chars[from + skip..].iter().take(2).collect();
        match rest.as_str() {
            "상승" | "급등" | "오른" | "올라" | "올랐" | "높은" => Some(true),
            "하락" | "급락" | "내린" | "내려" | "내렸" | "떨어" | "낮은" => {
                Some(false)
            }
            _ => None,
        }
    }
}

impl Number {
    /// Whether this number states `fact`, exactly or rounded.
    ///
    /// Rounded means: no further from it than half of the last digit written, and with at least
    /// two significant digits (or within one per cent). Opposite directions never agree, and what
    /// is stated in per cent or won must be a fact in per cent or won.
    #[must_use]
    pub fn states(&self, fact: &Self) -> bool {
        let opposite = matches!((self.rising, fact.rising), (Some(a), Some(b)) if a != b);
        let units = self.unit != Unit::Other && self.unit != fact.unit;
        if opposite || units {
            return false;
        }
        let error = (self.value - fact.value).abs();
        let exact = error <= 1e-9 * fact.value.abs().max(1.0);
        let close = self.digits >= 2 || error <= 0.01 * fact.value.abs();
        exact || (error <= self.resolution * 0.500_000_1 && close && self.resolution < fact.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(text: &str) -> Vec<f64> {
        tokens(text)
            .into_iter()
            .filter_map(|token| match token {
                Token::Number(number) => Some(number.value),
                Token::Code(_) => None,
            })
            .collect()
    }

    #[test]
    fn numbers_as_koreans_write_them() {
        for (text, expected) in [
            ("71,000원에서 5.33% 하락", vec![71_000.0, 5.33]),
            ("7만 1,000원", vec![71_000.0]),
            ("7만1천원", vec![71_000.0]),
            ("1억 2,345만 원", vec![123_450_000.0]),
            ("약 1.2억원", vec![120_000_000.0]),
            ("3천만원", vec![30_000_000.0]),
            ("2024년 8월 5일 09:00:21", vec![2024.0, 8.0, 5.0, 9.0, 0.0, 21.0]),
            ("2024-08-05, 2024.08.05", vec![2024.0, 8.0, 5.0, 2024.0, 8.0, 5.0]),
            ("1. 첫째\n2) 둘째 30s", vec![30.0]),
            ("1.5 배", vec![1.5]),
            ("2,441.55포인트", vec![2_441.55]),
            ("수치 없음", vec![]),
        ] {
            assert_eq!(values(text), expected, "{text}");
        }
    }

    #[test]
    fn codes_are_not_numbers() {
        let found = tokens("삼성전자(005930)와 00088K, F1, 114800원");
        let codes: Vec<_> = found
            .iter()
            .filter_map(|token| match token {
                Token::Code(code) => Some(code.as_str()),
                Token::Number(_) => None,
            })
            .collect();
        assert_eq!(codes, ["005930", "00088K", "F1", "114800"]);
    }

    fn number(text: &str) -> Number {
        match tokens(text).remove(0) {
            Token::Number(number) => number,
            Token::Code(code) => panic!("{code} is a code"),
        }
    }

    #[test]
    fn rounding_is_accepted_and_nothing_else() {
        for (answer, fact, states) in [
            ("5.3%", "-5.33%", true),
            ("5.33%", "-5.33%", true),
            ("5%", "-5.33%", false),
            ("5.4%", "-5.33%", false),
            ("5.3% 하락", "-5.33%", true),
            ("5.3% 상승", "-5.33%", false),
            ("+5.33%", "-5.33%", false),
            ("7만 1,000원", "71,000원", true),
            ("7.1만원", "71,000원", true),
            ("7만원", "71,000원", false),
            ("71,000%", "71,000원", false),
            ("0.1%", "0.05%", false),
            ("20점", "20.0점", true),
        ] {
            assert_eq!(number(answer).states(&number(fact)), states, "{answer} of {fact}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in ".{0,80}", digits in "[0-9,.만억천조원% +-]{0,40}") {
            for token in tokens(&text).into_iter().chain(tokens(&digits)) {
                if let Token::Number(number) = token {
                    prop_assert!(!number.value.is_nan() && number.value >= 0.0);
                }
            }
        }

        #[test]
        fn a_formatted_amount_states_itself(amount in 0i64..1_000_000_000_000) {
            let text = crate::advice::korean::won(amount);
            prop_assert_eq!(values(&text), vec![amount as f64]);
        }
    }
}

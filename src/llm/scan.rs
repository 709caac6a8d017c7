//! Figures, moments and codes in Korean prose.
//!
//! Understood: digit groups (`1,234,567`), decimals, signs (`+ - − ▲ ▼`), units, Korean
//! magnitudes (`7만 1,000원`, `1.2억원`), dates and times of day in figures or with `년 월 일 시 분
//! 초`, `오후 3시`, lengths of time (`5분 30초`). Six digits in a row and letters mixed with digits
//! are codes. Numbers written as words are [`words`](super::words)' business.

use super::quantity::{Decimal, Figure, Moment, Quantity, Unit};

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A figure or moment.
    Quantity(Quantity),
    /// An issue code, or something like it.
    Code(String),
    /// Digits that are no figure of ours: too long, or in a form that nobody writes.
    Odd,
}

/// Something to be checked, by its place in the text's characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// First character, its sign included.
    pub start: usize,
    /// Behind the last character of its unit.
    pub end: usize,
}

impl Token {
    /// Its text.
    #[must_use]
    pub fn text(&self, chars: &[char]) -> String {
        chars[self.start..self.end].iter().collect()
    }
}

/// Units by their text; longer ones first where one begins another.
const UNITS: [(&str, Unit); 24] = [
    ("%포인트", Unit::PercentPoint),
    ("%p", Unit::PercentPoint),
    ("%P", Unit::PercentPoint),
    ("%", Unit::Percent),
    ("퍼센트포인트", Unit::PercentPoint),
    ("퍼센트", Unit::Percent),
    ("프로", Unit::Percent),
    ("원", Unit::Won),
    ("점", Unit::Score),
    ("포인트", Unit::IndexPoint),
    ("개 종목", Unit::Issues),
    ("개종목", Unit::Issues),
    ("종목", Unit::Issues),
    ("거래일", Unit::Days),
    ("영업일", Unit::Days),
    ("일", Unit::Days),
    ("주", Unit::Shares),
    ("순위", Unit::Rank),
    ("위", Unit::Rank),
    ("배", Unit::Times),
    ("건", Unit::Cases),
    ("차례", Unit::Cases),
    ("회", Unit::Cases),
    ("번", Unit::Cases),
];

/// Marks of the parts of a moment, in their order.
const PARTS: [char; 6] = ['년', '월', '일', '시', '분', '초'];

/// The tokens of a text in order.
#[must_use]
pub fn tokens(chars: &[char]) -> Vec<Token> {
    let mut scanner = Scanner { chars, at: 0 };
    let mut found: Vec<Token> = Vec::new();
    while scanner.at < chars.len() {
        if !chars[scanner.at].is_ascii_alphanumeric() || scanner.is_between_date_and_time() {
            scanner.at += 1;
            continue;
        }
        let Some(token) = scanner.token() else { continue };
        match joined(found.last(), &token, chars) {
            Some(both) => {
                found.pop();
                found.push(both);
            }
            None => found.push(token),
        }
    }
    found
}

/// A date and the time of day that follows it are one moment.
fn joined(last: Option<&Token>, next: &Token, chars: &[char]) -> Option<Token> {
    let last = last?;
    let (Kind::Quantity(Quantity::Moment(date)), Kind::Quantity(Quantity::Moment(time))) =
        (&last.kind, &next.kind)
    else {
        return None;
    };
    let between: String = chars[last.end..next.start].iter().collect();
    if !matches!(between.trim(), "" | "," | "T" | "오전" | "오후" | "저녁" | "밤") {
        return None;
    }
    let kind = Kind::Quantity(Quantity::Moment(date.joined(*time)?));
    Some(Token { kind, start: last.start, end: next.end })
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

    fn digits(&self, from: usize) -> usize {
        self.run(from, |c| c.is_ascii_digit())
    }

    fn after_spaces(&self, from: usize) -> usize {
        from + self.run(from, |c| c == ' ')
    }

    fn text(&self, from: usize, to: usize) -> String {
        self.chars[from..to].iter().collect()
    }

    fn starts_with(&self, at: usize, text: &str) -> bool {
        text.chars().enumerate().all(|(offset, c)| self.peek(at + offset) == Some(c))
    }

    /// The token that starts here; letters without digits are none.
    fn token(&mut self) -> Option<Token> {
        let start = self.at;
        let word = self.run(start, |c| c.is_ascii_alphanumeric());
        let digits = self.digits(start);
        if digits == 0 || (word > digits && !self.has_letter_unit(start + digits)) {
            self.at = start + word;
            let text = self.text(start, self.at);
            let is_code = text.contains(|c: char| c.is_ascii_digit());
            return is_code.then_some(Token { kind: Kind::Code(text), start, end: self.at });
        }
        if let Some(token) = self.numeric_moment().or_else(|| self.worded_moment()) {
            self.at = token.end;
            return Some(token);
        }
        let six = digits == 6 && !matches!(self.peek(start + 6), Some(',' | '.'));
        let token = self.figure();
        let is_amount = matches!(
            &token.kind,
            Kind::Quantity(Quantity::Figure(figure)) if figure.unit != Unit::None
        );
        self.at = token.end.max(start + digits);
        if six && (!is_amount || self.peek(start) == Some('0')) {
            self.at = start + 6;
            return Some(Token {
                kind: Kind::Code(self.text(start, self.at)),
                start,
                end: self.at,
            });
        }
        Some(token)
    }

    /// The `T` of `2024-08-05T09:00`.
    fn is_between_date_and_time(&self) -> bool {
        let digit =
            |at: Option<usize>| at.and_then(|at| self.peek(at)).is_some_and(|c| c.is_ascii_digit());
        self.peek(self.at) == Some('T')
            && digit(self.at.checked_sub(1))
            && digit(Some(self.at + 1))
            && self.peek(self.at + 3) == Some(':')
    }

    /// `5p`, `10bp`, `30s`, `2x`: letters that may follow a number directly.
    fn has_letter_unit(&self, from: usize) -> bool {
        let letters = self.run(from, |c| c.is_ascii_lowercase());
        (1..=2).contains(&letters)
            && !self.peek(from + letters).is_some_and(|c| c.is_ascii_alphanumeric())
    }

    /// `2024-08-05`, `2024.08.05`, `8/5`, `09:00:21`.
    fn numeric_moment(&self) -> Option<Token> {
        let start = self.at;
        let first = self.digits(start);
        let mark = self.peek(start + first)?;
        let mut parts = vec![self.text(start, start + first)];
        let mut at = start + first;
        while parts.len() < 3 && self.peek(at) == Some(mark) {
            let digits = self.digits(at + 1);
            if !(1..=2).contains(&digits) {
                break;
            }
            parts.push(self.text(at + 1, at + 1 + digits));
            at += 1 + digits;
        }
        let numbers: Vec<Option<u32>> = parts.iter().map(|part| part.parse().ok()).collect();
        let moment = match (mark, first, numbers.as_slice()) {
            ('-' | '.' | '/', 4, [year, month, day]) => [*year, *month, *day, None, None, None],
            ('/', 1..=2, [month, day]) => [None, *month, *day, None, None, None],
            (':', 1..=2, [hour, minute]) => [None, None, None, *hour, *minute, None],
            (':', 1..=2, [hour, minute, second]) => [None, None, None, *hour, *minute, *second],
            _ => return None,
        };
        let moment = self.of_the_afternoon(start, Moment(moment));
        Some(Token { kind: Kind::Quantity(Quantity::Moment(moment)), start, end: at })
    }

    /// `2024년 8월 5일 9시 0분 21초` and parts of it; `5분 30초` as a length of time.
    fn worded_moment(&self) -> Option<Token> {
        let start = self.at;
        let (mut at, mut end) = (start, start);
        let mut parts = [None; 6];
        let mut last = None;
        loop {
            let digits = self.digits(at);
            let mark_at = self.after_spaces(at + digits);
            let part = PARTS.iter().position(|mark| self.peek(mark_at) == Some(*mark));
            let Some(part) = part.filter(|part| (1..=4).contains(&digits) && last < Some(*part))
            else {
                break;
            };
            // `3시간`, `30일간`: the hours are a length.
            let is_hours = part == 3 && self.peek(mark_at + 1) == Some('간');
            if is_hours && last.is_some() {
                break;
            }
            parts[part] = self.text(at, at + digits).parse().ok();
            last = Some(part);
            end = mark_at + 1 + usize::from(is_hours);
            at = self.after_spaces(end);
            if is_hours {
                return self.length_of_time(start, end, parts);
            }
        }
        let named = parts.iter().filter(|part| part.is_some()).count();
        let dated = parts[0].is_some() || parts[1].is_some() || parts[3].is_some();
        if dated || (named > 1 && parts[2].is_some()) {
            let moment = self.of_the_afternoon(start, Moment(parts));
            return Some(Token { kind: Kind::Quantity(Quantity::Moment(moment)), start, end });
        }
        if parts[4].is_some() || parts[5].is_some() {
            return self.length_of_time(start, end, parts);
        }
        None
    }

    /// Hours, minutes and seconds as one length; minutes may follow `end`.
    fn length_of_time(
        &self,
        start: usize,
        mut end: usize,
        mut parts: [Option<u32>; 6],
    ) -> Option<Token> {
        for part in 4..6 {
            let at = self.after_spaces(end);
            let digits = self.digits(at);
            let mark_at = self.after_spaces(at + digits);
            if digits > 0 && parts[part].is_none() && self.peek(mark_at) == Some(PARTS[part]) {
                parts[part] = self.text(at, at + digits).parse().ok();
                end = mark_at + 1;
            }
        }
        let seconds = |part: usize, each: u128| u128::from(parts[part].unwrap_or(0)) * each;
        let digits = seconds(3, 3_600) + seconds(4, 60) + seconds(5, 1);
        let value = Decimal { digits, exponent: 0 };
        let figure = Figure { value, unit: Unit::Duration, rising: None };
        Some(Token { kind: Kind::Quantity(Quantity::Figure(figure)), start, end })
    }

    fn of_the_afternoon(&self, start: usize, mut moment: Moment) -> Moment {
        let before: String = self.chars[start.saturating_sub(3)..start].iter().collect();
        let before = before.trim_end();
        if ["오후", "저녁", "밤"].iter().any(|part| before.ends_with(part))
            && let Some(hour) = moment.0[3].as_mut().filter(|hour| **hour < 12)
        {
            *hour += 12;
        }
        moment
    }

    /// Digits with groups and decimals, and where they end.
    fn plain(&self, start: usize) -> (String, usize) {
        let mut at = start + self.digits(start);
        while self.peek(at) == Some(',') && self.digits(at + 1) == 3 {
            at += 4;
        }
        let fraction = self.digits(at + 1);
        if self.peek(at) == Some('.') && fraction > 0 {
            at += 1 + fraction;
        }
        (self.text(start, at).replace(',', ""), at)
    }

    /// A Korean magnitude at `at`: its power of ten and length.
    fn magnitude(&self, at: usize) -> Option<(i32, usize)> {
        let next = self.peek(at + 1);
        match (self.peek(at)?, next) {
            ('천', Some('만')) => Some((7, 2)),
            ('백', Some('만')) => Some((6, 2)),
            ('십', Some('만')) => Some((5, 2)),
            ('천', Some('억')) => Some((11, 2)),
            ('백', Some('억')) => Some((10, 2)),
            ('십', Some('억')) => Some((9, 2)),
            ('백', _) => Some((2, 1)),
            ('천', _) => Some((3, 1)),
            ('만', _) => Some((4, 1)),
            ('억', _) => Some((8, 1)),
            ('조', _) => Some((12, 1)),
            _ => None,
        }
    }

    /// A number with sign, magnitudes and unit.
    fn figure(&self) -> Token {
        let begin = self.at;
        let (text, mut end) = self.plain(begin);
        let mut value = Decimal::parse(&text);
        let mut scale = None;
        if let Some((power, length)) = self.magnitude(self.after_spaces(end)) {
            end = self.after_spaces(end) + length;
            value = value.map(|value| value.times_ten_to(power));
            scale = Some(power);
        }
        // `7만 1,000원`, `1억 2천만원`: smaller pieces of the same amount.
        while let Some(above) = scale {
            let at = self.after_spaces(end);
            if self.digits(at) == 0 {
                break;
            }
            let (text, piece_end) = self.plain(at);
            let (power, length) = self.magnitude(piece_end).unwrap_or((0, 0));
            let is_piece = length > 0 || matches!(self.peek(piece_end), Some('원' | '주'));
            if !is_piece || power >= above {
                break;
            }
            let piece = Decimal::parse(&text).map(|piece| piece.times_ten_to(power));
            value = value.zip(piece).and_then(|(value, piece)| value.plus(piece));
            end = piece_end + length;
            scale = Some(power).filter(|power| *power > 0);
        }
        let unit_at = self.after_spaces(end);
        let mut unit = Unit::None;
        let found = UNITS.iter().find(|(text, _)| self.starts_with(unit_at, text));
        if let Some((text, named)) = found {
            (unit, end) = (*named, unit_at + text.chars().count());
        } else if self.peek(unit_at) == Some('％') {
            (unit, end) = (Unit::Percent, unit_at + 1);
        } else {
            end += self.run(end, |c| c.is_ascii_lowercase());
        }
        // `5.33% 포인트` is a difference like `5.33%포인트`.
        let next = self.after_spaces(end);
        if unit == Unit::Percent && self.starts_with(next, "포인트") {
            (unit, end) = (Unit::PercentPoint, next + 3);
        }
        let (rising, before) = self.sign_before(begin);
        let start = begin - before;
        let kind = value.map_or(Kind::Odd, |value| {
            Kind::Quantity(Quantity::Figure(Figure { value, unit, rising }))
        });
        Token { kind, start, end }
    }

    /// A sign before `start`, and how many characters belong to it; a hyphen behind a letter or
    /// digit is none, one space between sign and figure makes no difference. `△` and `▽` are plus
    /// and minus in some tables and minus in others: the guard refuses them as marks.
    fn sign_before(&self, start: usize) -> (Option<bool>, usize) {
        let none = (None, 0);
        let Some(mut at) = start.checked_sub(1) else { return none };
        if self.chars[at] == ' ' {
            let Some(further) = at.checked_sub(1) else { return none };
            at = further;
        }
        let attached = at > 0 && self.chars[at - 1].is_alphanumeric();
        let rising = match self.chars[at] {
            '▲' => true,
            '▼' => false,
            '+' | '＋' if !attached => true,
            '-' | '−' | '–' | '—' | '－' if !attached => false,
            _ => return none,
        };
        (Some(rising), start - at)
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;

//! JSON as models write it, read as far as its meaning is plain.
//!
//! Beyond JSON are taken: trailing and missing commas, comments, single and typographic quotes,
//! keys without quotes, line breaks in texts, `True`, `None`, and closing brackets missing at the
//! end. A text that is cut off is an error, so that half a sentence never counts as an answer.

use std::iter::Peekable;
use std::str::Chars;

use serde_json::{Map, Value};

/// Deepest nesting that is read.
const MAX_DEPTH: usize = 32;

/// Why a text is no JSON, not even leniently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// It ends within a text.
    #[error("문장 중간에서 끝남")]
    CutOff,
    /// It is something else.
    #[error("JSON으로 읽을 수 없음")]
    NotJson,
    /// It is nested too deeply.
    #[error("너무 깊은 JSON")]
    TooDeep,
}

/// The value that `text` begins with.
///
/// # Errors
/// Why it cannot be read.
pub fn read(text: &str) -> Result<Value, Flaw> {
    // What is right is read by the book.
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    if let Some(Ok(value)) = values.next() {
        return Ok(value);
    }
    Reader { rest: text.chars().peekable() }.value(0)
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
}

/// The quotes that close a text opened by `open`.
fn closing(open: char) -> Option<&'static [char]> {
    match open {
        '"' => Some(&['"']),
        '\'' => Some(&['\'']),
        '“' | '”' | '„' => Some(&['”', '“', '"']),
        '‘' | '’' => Some(&['’', '‘', '\'']),
        '「' => Some(&['」']),
        _ => None,
    }
}

impl Reader<'_> {
    fn peek(&mut self) -> Option<char> {
        self.rest.peek().copied()
    }

    /// Skips spaces, comments and stray commas.
    fn skip(&mut self) {
        while let Some(next) = self.peek() {
            if next.is_whitespace() || next == ',' || next == '\u{feff}' {
                self.rest.next();
            } else if next == '/' || next == '#' {
                let line: String = self.rest.clone().take(2).collect();
                if line == "/*" {
                    self.rest.next();
                    self.rest.next();
                    let mut before = ' ';
                    for c in self.rest.by_ref() {
                        if before == '*' && c == '/' {
                            break;
                        }
                        before = c;
                    }
                } else if line == "//" || next == '#' {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.rest.next();
                    }
                } else {
                    return;
                }
            } else {
                return;
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, Flaw> {
        if depth > MAX_DEPTH {
            return Err(Flaw::TooDeep);
        }
        self.skip();
        match self.peek().ok_or(Flaw::NotJson)? {
            '{' => self.object(depth),
            '[' => self.array(depth),
            quote if closing(quote).is_some() => self.text().map(Value::String),
            _ => self.word(),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, Flaw> {
        self.rest.next();
        let mut fields = Map::new();
        loop {
            self.skip();
            match self.peek() {
                None => return Ok(fields.into()),
                Some('}') => {
                    self.rest.next();
                    return Ok(fields.into());
                }
                Some(']') => return Err(Flaw::NotJson),
                Some(quote) => {
                    let key = match closing(quote) {
                        Some(_) => self.text()?,
                        None => self.key()?,
                    };
                    self.skip();
                    match self.rest.next() {
                        Some(':' | '：' | '=') => {}
                        None => return Err(Flaw::CutOff),
                        Some(_) => return Err(Flaw::NotJson),
                    }
                    self.skip();
                    if self.peek().is_none() {
                        return Err(Flaw::CutOff);
                    }
                    let value = self.value(depth + 1)?;
                    fields.insert(key, value);
                }
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, Flaw> {
        self.rest.next();
        let mut items = Vec::new();
        loop {
            self.skip();
            match self.peek() {
                None => return Ok(items.into()),
                Some(']') => {
                    self.rest.next();
                    return Ok(items.into());
                }
                // A bracket was forgotten before the object's end.
                Some('}') => return Ok(items.into()),
                Some(_) => items.push(self.value(depth + 1)?),
            }
        }
    }

    fn key(&mut self) -> Result<String, Flaw> {
        let mut key = String::new();
        while let Some(next) = self.peek().filter(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
        {
            key.push(next);
            self.rest.next();
        }
        if key.is_empty() { Err(Flaw::NotJson) } else { Ok(key) }
    }

    /// `true`, `None`, `-1.5`.
    fn word(&mut self) -> Result<Value, Flaw> {
        let mut word = String::new();
        while let Some(next) =
            self.peek().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+' | '.'))
        {
            word.push(next);
            self.rest.next();
        }
        match word.to_ascii_lowercase().as_str() {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            "null" | "none" | "undefined" => Ok(Value::Null),
            number => serde_json::from_str::<serde_json::Number>(number)
                .map(Value::Number)
                .map_err(|_| Flaw::NotJson),
        }
    }

    fn text(&mut self) -> Result<String, Flaw> {
        let open = self.rest.next().ok_or(Flaw::NotJson)?;
        let close = closing(open).ok_or(Flaw::NotJson)?;
        let mut text = String::new();
        while let Some(next) = self.rest.next() {
            match next {
                '\\' => self.escaped(&mut text)?,
                quote if close.contains(&quote) && self.ends_here() => return Ok(text),
                other => text.push(other),
            }
        }
        Err(Flaw::CutOff)
    }

    /// Whether a quote closes the text: a quote within it was not escaped when prose follows.
    fn ends_here(&self) -> bool {
        // Two in a row: the first is within the text, the second closes it.
        if self.rest.clone().next().is_some_and(|c| matches!(c, '"' | '”' | '\'')) {
            return false;
        }
        let next = self.rest.clone().find(|c| !c.is_whitespace());
        next.is_none_or(|c| {
            matches!(c, ',' | '}' | ']' | ':' | '：' | '"' | '“' | '\'' | '/' | '#')
        })
    }

    fn escaped(&mut self, text: &mut String) -> Result<(), Flaw> {
        let escaped = self.rest.next().ok_or(Flaw::CutOff)?;
        match escaped {
            'n' => text.push('\n'),
            't' => text.push('\t'),
            'r' => {}
            'b' | 'f' => text.push(' '),
            'u' => text.push(self.unicode()),
            other => text.push(other),
        }
        Ok(())
    }

    /// The character of `\uXXXX`, of both halves of a pair; a mark for nonsense.
    fn unicode(&mut self) -> char {
        let first = self.hex();
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first).unwrap_or('\u{fffd}');
        }
        let mut ahead = self.rest.clone();
        if ahead.next() != Some('\\') || ahead.next() != Some('u') {
            return '\u{fffd}';
        }
        self.rest = ahead;
        let second = self.hex().wrapping_sub(0xdc00);
        char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second & 0x3ff)).unwrap_or('\u{fffd}')
    }

    fn hex(&mut self) -> u32 {
        let mut value = 0;
        for _ in 0..4 {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(16)) else { break };
            value = value * 16 + digit;
            self.rest.next();
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn shapes_of_the_same_object() {
        let wanted = json!({ "statements": ["가", "나 \"다\""] });
        for text in [
            r#"{"statements": ["가", "나 \"다\""]}"#,
            r#"{"statements": ["가", "나 \"다\"",],}"#,
            r#"{'statements': ['가', '나 "다"']}"#,
            r#"{statements: ["가", "나 "다""]}"#,
            r#"{“statements”: [“가”, "나 \"다\""]}"#,
            "{\"statements\": [\"가\" \"나 \\\"다\\\"\"] // 끝\n}",
            r#"{"statements": ["가", "나 \"다\""]"#,
            r#"{"statements": ["가", "나 \"다\"""#,
            r#"{"statements": ["가", "나 \"다\""} 설명"#,
            r#"{"statements": ["\uac00", "나 \"다\""]}"#,
        ] {
            assert_eq!(read(text), Ok(wanted.clone()), "{text}");
        }
        assert_eq!(
            read("{\"a\": True, \"b\": None, c: -1.5}"),
            Ok(json!({ "a": true, "b": null, "c": -1.5 }))
        );
        assert_eq!(read("\"줄\n바꿈\""), Ok(json!("줄\n바꿈")));
    }

    #[test]
    fn what_is_cut_off_is_no_answer() {
        for text in [r#"{"statements": ["가", "나"#, r#"{"statements": "#, r#"{"a"#] {
            assert_eq!(read(text), Err(Flaw::CutOff), "{text}");
        }
        assert_eq!(read("{[}"), Err(Flaw::NotJson));
        assert_eq!(read(&"[".repeat(100)), Err(Flaw::TooDeep));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,60}", marks in "[{}\\[\\]\"',:\\\\/*u0-9a가\n]{0,60}") {
            let _ = (read(&text), read(&marks));
        }

        #[test]
        fn what_serde_writes_is_read(text in "\\PC{0,40}") {
            let value = json!({ "statements": [text, 1, null, { "text": "x" }] });
            prop_assert_eq!(read(&value.to_string()), Ok(value));
        }
    }
}

//! How Python would show a value: what logs and events hold of arguments and results.

use std::fmt::Write;

use serde_json::{Map, Value};

/// Characters of a value that are shown, at most.
pub const LENGTH: usize = 1024;

/// `'pong'`, `{'symbol': '005930'}`, `None`: cut at [`LENGTH`] characters.
#[must_use]
pub fn value(value: &Value) -> String {
    let mut out = String::new();
    push(&mut out, value);
    cut(out)
}

/// Keyword arguments, as [`value`].
#[must_use]
pub fn object(map: &Map<String, Value>) -> String {
    let mut out = String::new();
    push_object(&mut out, map);
    cut(out)
}

/// `ValueError('bad')`.
#[must_use]
pub fn exception(exc_type: &str, exc_message: &[Value]) -> String {
    let mut out = format!("{exc_type}(");
    for (index, argument) in exc_message.iter().enumerate() {
        out.push_str(if index > 0 { ", " } else { "" });
        push(&mut out, argument);
    }
    out.push(')');
    cut(out)
}

fn cut(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(LENGTH) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}

fn push(out: &mut String, value: &Value) {
    // What follows would be cut off anyway; four bytes a character at most.
    if out.len() > 4 * LENGTH {
        return;
    }
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Number(number) => {
            // Writing to a text cannot fail.
            let _ = write!(out, "{number}");
        }
        Value::String(text) => push_text(out, text),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                push(out, item);
            }
            out.push(']');
        }
        Value::Object(map) => push_object(out, map),
    }
}

fn push_object(out: &mut String, map: &Map<String, Value>) {
    out.push('{');
    for (index, (name, value)) in map.iter().enumerate() {
        out.push_str(if index > 0 { ", " } else { "" });
        push_text(out, name);
        out.push_str(": ");
        push(out, value);
    }
    out.push('}');
}

fn push_text(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
        if out.len() > 4 * LENGTH {
            return;
        }
    }
    out.push(quote);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_look_as_in_python() {
        for (given, shown) in [
            (json!("pong"), "'pong'"),
            (json!("it's"), "\"it's\""),
            (json!(["005930", 5, null, true]), "['005930', 5, None, True]"),
            (json!({"horizon": 5}), "{'horizon': 5}"),
            (json!("a\\b\n"), "'a\\\\b\\n'"),
        ] {
            assert_eq!(value(&given), shown);
        }
        assert_eq!(exception("ValueError", &[json!("bad")]), "ValueError('bad')");
        assert_eq!(exception("SoftTimeLimitExceeded", &[]), "SoftTimeLimitExceeded()");
    }

    #[test]
    fn long_ones_are_cut() {
        let long = value(&json!(vec!["가나다라마바사"; 100_000]));
        assert_eq!(long.chars().count(), LENGTH + 3);
    }
}

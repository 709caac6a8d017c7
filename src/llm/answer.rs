//! From what a model sent to the statements of a report.
//!
//! Asked for is `{"statements": ["…[F1]…", …]}`. Taken are all shapes that mean the same: in a
//! code fence, after or before prose, behind a `<think>` block, as a bare list, with each statement
//! an object, under another key, as one text, as plain lines without any JSON. What is taken off is
//! wrapping only; the words are the guard's to judge.

use serde_json::Value;

use super::guard::Refusal;
use super::lenient::{self, Flaw};

/// Keys under which models put statements, or the object that holds them.
const LIST_KEYS: [&str; 9] =
    ["statements", "sentences", "report", "body", "answer", "content", "result", "문장", "본문"];
/// Keys of one statement's text.
const TEXT_KEYS: [&str; 6] = ["text", "statement", "sentence", "content", "문장", "내용"];
/// Most statements of an answer.
const MAX_STATEMENTS: usize = 60;

/// The statements of an answer, without list marks and emphasis.
///
/// # Errors
/// [`Refusal::Empty`], [`Refusal::CutOff`], [`Refusal::NotJson`], [`Refusal::SchemaEcho`],
/// [`Refusal::Schema`].
pub fn statements(answer: &str) -> Result<Vec<String>, Refusal> {
    let text = without_thoughts(answer);
    let text = text.trim().trim_start_matches('\u{feff}');
    if text.is_empty() {
        return Err(Refusal::Empty);
    }
    let found = match json_of(text) {
        Some(Ok(value)) => {
            if is_schema(&value) {
                return Err(Refusal::SchemaEcho);
            }
            of_value(&value, 0).ok_or(Refusal::Schema)?
        }
        Some(Err(Flaw::CutOff)) => return Err(Refusal::CutOff),
        Some(Err(Flaw::NotJson | Flaw::TooDeep)) => return Err(Refusal::NotJson),
        None => lines(text),
    };
    let statements: Vec<String> =
        found.iter().map(|text| bare(text)).filter(|text| !text.is_empty()).collect();
    match statements.len() {
        0 => Err(Refusal::Empty),
        1..=MAX_STATEMENTS => Ok(statements),
        many => Err(Refusal::TooMany(many)),
    }
}

/// Without `<think>…</think>` and its like; a block that never ends takes the rest with it, one
/// that never began everything before its end.
fn without_thoughts(answer: &str) -> String {
    let mut text = answer.to_owned();
    for name in ["think", "thinking", "thought", "reasoning", "analysis"] {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        while let Some(start) = text.find(&open) {
            match text[start..].find(&close) {
                Some(end) => text.replace_range(start..start + end + close.len(), ""),
                None => text.truncate(start),
            }
        }
        if let Some(end) = text.rfind(&close) {
            text.replace_range(..end + close.len(), "");
        }
    }
    text
}

/// The JSON in a text: what is in a fence, or from its first bracket; `None` when it is prose.
fn json_of(text: &str) -> Option<Result<Value, Flaw>> {
    let fenced = fences(text).into_iter().find(|block| block.trim_start().starts_with(['{', '[']));
    if let Some(block) = fenced {
        return Some(lenient::read(block.trim_start()));
    }
    let mut first_flaw = None;
    for (at, bracket) in text.char_indices().filter(|(_, c)| matches!(c, '{' | '[')) {
        let rest = &text[at..];
        // A citation in prose is no JSON.
        let inner = rest[1..].trim_start();
        let begins = match bracket {
            '{' => inner.starts_with(['"', '\'', '“', '‘', '}']) || is_bare_key(inner),
            _ => inner.starts_with(['"', '{', '“']),
        };
        if !begins {
            continue;
        }
        match lenient::read(rest) {
            Ok(value) if of_value(&value, 0).is_some() || is_schema(&value) => {
                return Some(Ok(value));
            }
            // An example or note of another shape may stand before the answer.
            Ok(value) => {
                first_flaw.get_or_insert(Ok(value));
            }
            Err(flaw) => {
                first_flaw.get_or_insert(Err(flaw));
                break;
            }
        }
    }
    first_flaw
}

/// `statements: …`
fn is_bare_key(text: &str) -> bool {
    let key: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    LIST_KEYS.contains(&key.as_str()) && text[key.len()..].trim_start().starts_with(':')
}

/// The contents of all code fences; one that does not end goes to the end.
fn fences(text: &str) -> Vec<&str> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("```") {
        let inside = &rest[start + 3..];
        let language = inside.chars().take_while(char::is_ascii_alphanumeric).count();
        let inside = &inside[language..];
        match inside.find("```") {
            Some(end) => {
                blocks.push(&inside[..end]);
                rest = &inside[end + 3..];
            }
            None => {
                blocks.push(inside);
                break;
            }
        }
    }
    blocks
}

/// Whether a model sent the schema it was given instead of an answer.
fn is_schema(value: &Value) -> bool {
    let Some(fields) = value.as_object() else { return false };
    fields.contains_key("$schema")
        || (fields.contains_key("properties") && fields.contains_key("type"))
        || fields.get("schema").is_some_and(is_schema)
        || fields.get("json_schema").is_some_and(Value::is_object)
}

fn of_value(value: &Value, depth: usize) -> Option<Vec<String>> {
    if depth > 3 {
        return None;
    }
    match value {
        Value::String(text) => Some(lines(text)),
        Value::Array(items) => items.iter().map(statement).collect(),
        Value::Object(fields) => {
            let found = LIST_KEYS.iter().find_map(|key| fields.get(*key))?;
            of_value(found, depth + 1)
        }
        _ => None,
    }
}

/// A statement: a text, or an object with a text and its facts beside it.
fn statement(item: &Value) -> Option<String> {
    match item {
        Value::String(text) => Some(text.clone()),
        Value::Object(fields) => {
            let text = TEXT_KEYS.iter().find_map(|key| fields.get(*key)?.as_str())?;
            Some(text.to_owned())
        }
        _ => None,
    }
}

/// The lines of plain text, without fences.
fn lines(text: &str) -> Vec<String> {
    let fence = |line: &&str| line.trim_start().starts_with("```");
    text.lines().filter(|line| !fence(line)).map(str::to_owned).collect()
}

/// A statement on one line, without list marks, headings' marks and emphasis.
fn bare(statement: &str) -> String {
    let joined: Vec<&str> = statement.split_whitespace().collect();
    let joined = joined.join(" ").replace("**", "").replace("__", "");
    let text = joined.trim_start_matches(['#', '>', '*', '•', '·', '-', '–', ' ']);
    // `-5.33%`: the mark was a sign.
    let sign = text.starts_with(|c: char| c.is_ascii_digit())
        && joined[..joined.len() - text.len()].ends_with('-');
    if sign { format!("-{text}") } else { without_ordinal(text).to_owned() }
}

/// Without `1.` or `2)` at the beginning; a decimal is none.
fn without_ordinal(text: &str) -> &str {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let rest = &text[digits..];
    let marked = rest.strip_prefix('.').or_else(|| rest.strip_prefix(')'));
    match marked {
        Some(rest) if (1..=2).contains(&digits) && rest.starts_with(' ') => rest.trim_start(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_shapes_give_the_same_statements() {
        let wanted = ["첫 문장[F1].", "둘째 \"문장\"[F2]."];
        for answer in [
            r#"{"statements":["첫 문장[F1].","둘째 \"문장\"[F2]."]}"#,
            "```json\n{\"statements\":[\"첫 문장[F1].\",\"둘째 \\\"문장\\\"[F2].\"]}\n```",
            "답은 다음과 같습니다 [F1].\n\n{\"statements\":[\"첫 문장[F1].\",\"둘째 \\\"문장\\\"[F2].\"]}\n\n감사합니다.",
            "<think>{\"statements\":[\"x\"]}</think>{\"statements\":[\"첫 문장[F1].\",\"둘째 \\\"문장\\\"[F2].\"]}",
            r#"[{"text":"첫 문장[F1].","facts":["F1"]},{"text":"둘째 \"문장\"[F2]."}]"#,
            r#"{"report":{"statements":["첫 문장[F1].","둘째 \"문장\"[F2]."]}}"#,
            r#"{"body":"첫 문장[F1].\n둘째 \"문장\"[F2]."}"#,
            "첫 문장[F1].\n\n- 둘째 \"문장\"[F2].",
            "1. **첫 문장**[F1].\n2. 둘째 \"문장\"[F2].",
            "## 첫 문장[F1].\n> 둘째 \"문장\"[F2].",
            r#"{statements: ['첫 문장[F1].', '둘째 "문장"[F2].',]}"#,
            "{\"statements\":[\"첫 문장[F1].\",\"둘째 \\\"문장\\\"[F2].\"]",
        ] {
            assert_eq!(statements(answer).unwrap(), wanted, "{answer}");
        }
    }

    #[test]
    fn classes_of_failure() {
        for (answer, refusal) in [
            ("", Refusal::Empty),
            ("  \n", Refusal::Empty),
            ("<think>never ends", Refusal::Empty),
            (r#"{"statements":[]}"#, Refusal::Empty),
            (r#"{"statements":["첫 문장"#, Refusal::CutOff),
            (r#"{"foo":"bar"}"#, Refusal::Schema),
            (r#"{"statements":[1,2]}"#, Refusal::Schema),
            (r#"{"statements": 5}"#, Refusal::Schema),
            (r#"{"type":"object","properties":{"statements":{}}}"#, Refusal::SchemaEcho),
            ("{\"statements\" \"가\"}", Refusal::NotJson),
        ] {
            assert_eq!(statements(answer), Err(refusal), "{answer}");
        }
        let many = serde_json::json!({ "statements": vec!["가"; 61] }).to_string();
        assert_eq!(statements(&many), Err(Refusal::TooMany(61)));
    }

    #[test]
    fn signs_are_no_list_marks() {
        assert_eq!(statements("- -5.33%[F7] 변동").unwrap(), ["-5.33%[F7] 변동"]);
        assert_eq!(statements("1.5배[F1]").unwrap(), ["1.5배[F1]"]);
    }

    proptest! {
        #[test]
        fn any_answer_is_read(answer in "\\PC{0,60}", marks in "[`\\[\\]F0-9,{}<>/think\n가\":]{0,80}") {
            let _ = (statements(&answer), statements(&marks));
        }
    }
}

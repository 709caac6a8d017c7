//! The text of an answer without what models wrap around it.
//!
//! Taken off: `<think>` blocks, a code fence around the whole, a JSON object with one text in it,
//! references to fact numbers (`[F3]`), headings' marks of the first line. What remains odd is
//! for the guard to refuse.

use serde_json::Value;

/// Keys under which models put the text when they answer with JSON.
const TEXT_KEYS: [&str; 6] = ["body", "report", "text", "content", "answer", "본문"];

/// The bare text of `answer`.
#[must_use]
pub fn clean(answer: &str) -> String {
    let mut text = without_thoughts(answer);
    text = unfenced(text.trim()).to_owned();
    if let Some(inner) = json_text(&text) {
        text = inner;
    }
    without_references(text.trim()).trim().to_owned()
}

/// Without `<think>…</think>`; a block that never ends takes the rest with it, one that never
/// began everything before its end.
fn without_thoughts(answer: &str) -> String {
    let mut text = String::new();
    let mut rest = answer;
    while let Some(start) = rest.find("<think>") {
        text.push_str(&rest[..start]);
        match rest[start..].find("</think>") {
            Some(end) => rest = &rest[start + end + "</think>".len()..],
            None => rest = "",
        }
    }
    text.push_str(rest);
    match text.rfind("</think>") {
        Some(end) => text[end + "</think>".len()..].to_owned(),
        None => text,
    }
}

/// What stands in the fence when the text starts and ends with one.
fn unfenced(text: &str) -> &str {
    let Some(inner) = text.strip_prefix("```") else {
        return text;
    };
    let Some(inner) = inner.trim_end().strip_suffix("```") else {
        return text;
    };
    match inner.split_once('\n') {
        Some((language, body)) if !language.contains(char::is_whitespace) => body.trim(),
        _ => inner.trim(),
    }
}

fn json_text(text: &str) -> Option<String> {
    if !text.starts_with('{') {
        return None;
    }
    let object: Value = serde_json::from_str(text).ok()?;
    TEXT_KEYS.iter().find_map(|key| object.get(key)?.as_str().map(str::to_owned))
}

/// Without `[F1]`, `[F1, F2]` and the like.
fn without_references(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('[') {
        let (before, from) = rest.split_at(start);
        let reference = from.find(']').filter(|end| {
            let inner = &from[1..*end];
            !inner.is_empty()
                && inner.split([',', ' ', '·']).filter(|part| !part.is_empty()).all(|part| {
                    part.strip_prefix('F').is_some_and(|number| {
                        !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
                    })
                })
        });
        match reference {
            Some(end) => {
                clean.push_str(before.trim_end_matches(' '));
                rest = &from[end + 1..];
            }
            None => {
                clean.push_str(before);
                clean.push('[');
                rest = &from[1..];
            }
        }
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wrappings_come_off() {
        for answer in [
            "본문입니다.",
            "```\n본문입니다.\n```",
            "```markdown\n본문입니다.\n```\n",
            "<think>hm, 5 %?</think>\n본문입니다.",
            "hm</think>본문입니다.",
            "{\"body\": \"본문입니다.\"}",
            "```json\n{\"report\": \"본문입니다.\"}\n```",
            "본문입니다 [F1, F12].",
        ] {
            assert_eq!(clean(answer), "본문입니다.", "{answer}");
        }
        assert_eq!(clean("<think>never ends"), "");
        assert_eq!(clean("[심각] 급락 [F]"), "[심각] 급락 [F]");
    }

    proptest! {
        #[test]
        fn any_answer_can_be_cleaned(answer in ".{0,60}", marks in "[`\\[\\]F0-9,{}<>/think\n가]{0,60}") {
            let _ = (clean(&answer), clean(&marks));
        }
    }
}

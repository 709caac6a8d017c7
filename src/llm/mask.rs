//! What must not leave the process: keys, tokens, account and card numbers, telephone numbers,
//! mail addresses, resident registration numbers, names of people.
//!
//! Masked are the exact secrets and names that the settings hold, whatever their form, and what
//! has the form of such a thing. A masked place reads `[가림]`. Issue codes, prices, dates and the
//! program's own ids (32 hex digits) stay.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

/// What stands where something was masked.
pub const MASK: &str = "[가림]";
/// Shortest exact secret that is looked for: shorter ones would be found everywhere.
const MIN_SECRET: usize = 4;

/// Forms of what is masked. A first group is kept.
static FORMS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        // keys and tokens, by name or by look
        r#"(?i)((?:api|app|access|secret)[ _-]?(?:key|secret|token)["']?\s*[:=]\s*["']?)[^\s"',;)]+"#,
        r#"(?i)((?:password|passwd|secret|token|비밀번호|암호|인증키)["']?\s*[:=]\s*["']?)[^\s"',;)]+"#,
        r"(?i)\b(bearer\s+)[A-Za-z0-9._~+/=-]{4,}",
        r"\b(?:sk|pk|rk|ghp|gho|xox[abp])[-_][A-Za-z0-9_-]{4,}",
        r"\beyJ[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]+){0,2}",
        r"\bAKIA[A-Z0-9]{8,}",
        r"://[^/\s:@]+:[^/\s@]+@",
        // mail
        r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}",
        // resident registration number, cards
        r"\b\d{6}\s?-\s?[0-9]\d{6}\b",
        r"\b(?:\d{4}[ -]){3}\d{4}\b",
        // telephones
        r"(?:\+82[ -]?|\b0)1[016789][ -]?\d{3,4}[ -]?\d{4}\b",
        r"\b0\d{1,2}-\d{3,4}-\d{4}\b",
        r"\+82[ -]?\d{1,2}[ -]\d{3,4}[ -]\d{4}\b",
        // accounts: KIS's 8-2 digits, banks' groups, a number said to be one
        r"\b\d{8}-\d{2}\b",
        r"\b\d{3,6}-\d{2,6}-\d{3,8}(?:-\d{1,3})?\b",
        r"((?:계좌|account)(?:\s?(?:번호|no\.?|number))?\s*[:=]?\s*)\d[\d-]{6,}",
        // people
        r"((?:예금주|소유자|보유자|명의자|고객명|성명|계좌주|holder|owner)\s*[:=]\s*)[가-힣A-Za-z][가-힣A-Za-z ]*[가-힣A-Za-z]",
    ]
    .iter()
    .filter_map(|form| Regex::new(form).ok())
    .collect()
});

/// Long runs that mix letters and digits.
static RUNS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"[A-Za-z0-9][A-Za-z0-9+/_=-]{27,}").ok());

/// Masks texts. Cheap to clone for its size; made once from the settings.
#[derive(Clone, Default)]
pub struct Masker {
    exact: Vec<String>,
}

impl std::fmt::Debug for Masker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Masker").field("exact", &self.exact.len()).finish()
    }
}

impl Masker {
    /// One that also masks these texts wherever they stand; too short ones are ignored.
    #[must_use]
    pub fn new(exact: impl IntoIterator<Item = String>) -> Self {
        let mut exact: Vec<String> = exact
            .into_iter()
            .filter(|text| text.chars().count() >= MIN_SECRET || is_name(text))
            .collect();
        // The longest first: one may hold another.
        exact.sort_by_key(|text| std::cmp::Reverse(text.len()));
        exact.dedup();
        Self { exact }
    }

    /// `text` with everything masked; `None` when nothing had to be.
    #[must_use]
    pub fn masked(&self, text: &str) -> Option<String> {
        let mut masked = Cow::Borrowed(text);
        for secret in &self.exact {
            if masked.contains(secret.as_str()) {
                masked = Cow::Owned(masked.replace(secret.as_str(), MASK));
            }
        }
        for form in FORMS.iter() {
            let replace = |found: &Captures<'_>| {
                let kept = found.get(1).map_or("", |group| group.as_str());
                format!("{kept}{MASK}")
            };
            if let Cow::Owned(text) = form.replace_all(&masked, replace) {
                masked = Cow::Owned(text);
            }
        }
        if let Some(runs) = RUNS.as_ref() {
            let replace = |found: &Captures<'_>| {
                if is_secret_run(&found[0]) { MASK.to_owned() } else { found[0].to_owned() }
            };
            if let Cow::Owned(text) = runs.replace_all(&masked, replace)
                && text != masked
            {
                masked = Cow::Owned(text);
            }
        }
        (masked != text).then(|| masked.into_owned())
    }

    /// `text`, masked.
    #[must_use]
    pub fn mask(&self, text: &str) -> String {
        self.masked(text).unwrap_or_else(|| text.to_owned())
    }

    /// Masks every text in `value`, keys of objects included.
    pub fn mask_json(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Some(masked) = self.masked(text) {
                    *text = masked;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.mask_json(item)),
            Value::Object(fields) => {
                let old = std::mem::take(fields);
                for (key, mut value) in old {
                    self.mask_json(&mut value);
                    fields.insert(self.mask(&key), value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// A Korean name of two or three syllables may be shorter than a secret.
fn is_name(text: &str) -> bool {
    text.chars().count() >= 2 && text.chars().all(|c| matches!(c, '가'..='힣'))
}

/// A key rather than a word, a path or one of our ids.
fn is_secret_run(run: &str) -> bool {
    let has = |test: fn(&char) -> bool| run.chars().any(|c| test(&c));
    let ours =
        run.len() == 32 && run.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    has(char::is_ascii_digit) && has(char::is_ascii_alphabetic) && !ours
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mask(text: &str) -> String {
        Masker::default().mask(text)
    }

    #[test]
    fn what_is_secret_goes() {
        for (text, secret) in [
            ("key sk-proj-abcd1234 end", "abcd1234"),
            ("Authorization: Bearer abc.def-123", "abc.def"),
            ("appkey=PSabcdefgh1234, ok", "PSabcdefgh1234"),
            ("\"api_key\": \"hush-hush\"", "hush-hush"),
            ("비밀번호: 바나나1", "바나나1"),
            ("계좌 12345678-01 의", "12345678"),
            ("국민 110-123-456789", "456789"),
            ("계좌번호 1234567890123", "1234567890123"),
            ("전화 010-1234-5678", "1234-5678"),
            ("전화 01012345678", "12345678"),
            ("+82 10-1234-5678", "1234-5678"),
            ("02-555-1234", "555-1234"),
            ("메일 hong.gildong@example.co.kr 로", "gildong"),
            ("주민번호 900101-1234567", "1234567"),
            ("카드 1234-5678-9012-3456", "9012"),
            ("예금주: 홍길동, 끝", "홍길동"),
            ("owner=Hong Gildong", "Hong"),
            ("redis://app:hunter22@host", "hunter22"),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", "hbGci"),
            ("x A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6 y", "A1b2C3"),
        ] {
            let masked = mask(text);
            assert!(!masked.contains(secret) && masked.contains(MASK), "{text} → {masked}");
        }
    }

    #[test]
    fn what_is_not_stays() {
        for text in [
            "삼성전자(005930) 71,000원, -5.33%, 2024-08-05 09:00:21",
            "2,441.55포인트, 1,234,567,890원",
            "F1 | 005930 | 현재 값 | 71,000원",
            "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
            "1일 95% VaR 490,539원 → 0원",
        ] {
            assert_eq!(Masker::default().masked(text), None, "{text}");
        }
    }

    #[test]
    fn exact_secrets_of_any_form() {
        let masker = Masker::new(["hunter2".to_owned(), "김철수".to_owned(), "x".to_owned()]);
        assert_eq!(masker.mask("김철수 hunter2 x"), format!("{MASK} {MASK} x"));
        assert!(!format!("{masker:?}").contains("hunter2"));
        let mut json = serde_json::json!({ "hunter2": ["김철수", { "n": 1 }] });
        masker.mask_json(&mut json);
        assert_eq!(json, serde_json::json!({ MASK: [MASK, { "n": 1 }] }));
    }

    proptest! {
        #[test]
        fn masking_twice_changes_nothing_more(text in "\\PC{0,80}") {
            let once = mask(&text);
            prop_assert_eq!(mask(&once), once);
        }
    }
}

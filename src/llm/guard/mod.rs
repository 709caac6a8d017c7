//! Whether a model's answer may be shown: schema, length, form, language, words, grounding.
//!
//! Each figure carries the id of the fact it states (`5.33%[F7]`) and is compared with that fact
//! alone: value, unit, rounding, sign, the issue it is about, and the words around it
//! (`grounding`). What is not a figure is held against lists ([`words`]): orders and promises,
//! causes, numbers in words, names of others. Citations are taken out of what is shown.
//!
//! What it cannot see: a judgement in ordinary words without a direction (`조용한 장`), a name of
//! two syllables that is an ordinary word too.

mod cite;
mod grounding;
mod sense;

use super::facts::Facts;
use super::words;

/// Fewest characters of an answer.
const MIN_CHARS: usize = 30;
/// Most of an alert.
const MAX_ALERT_CHARS: usize = 1_500;
/// Most of any other report.
const MAX_CHARS: usize = 4_000;
/// Least share of Hangul among the letters.
const MIN_HANGUL: f64 = 0.6;

/// Marks that sentences are written with.
const MARKS: &str = ".,:;!?%()[]'\"+-/~&·…‘’“”−–—▲▼「」『』";

/// Why an answer is refused. Quoted back to the model and shown as the reason for a template, so
/// in Korean, with what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing.
    #[error("답이 비어 있음: 문장을 써야 함")]
    Empty,
    /// Next to nothing.
    #[error("답이 너무 짧음 ({0}자, 최소 {MIN_CHARS}자)")]
    TooShort(usize),
    /// Longer than asked for.
    #[error("답이 너무 김 ({0}자, 최대 {1}자): 줄여야 함")]
    TooLong(usize, usize),
    /// More statements than a report has.
    #[error("문장이 너무 많음 ({0}개): 줄여야 함")]
    TooMany(usize),
    /// Cut off, by the token limit or otherwise.
    #[error("답이 중간에서 잘림: 더 짧게 끝까지 써야 함")]
    CutOff,
    /// Not JSON, not even leniently, and no prose either.
    #[error("JSON으로 읽을 수 없음: {{\"statements\": [...]}} 형식으로 써야 함")]
    NotJson,
    /// JSON of another shape.
    #[error("형식이 다름: \"statements\"에 문장의 목록이 있어야 함")]
    Schema,
    /// The schema instead of an answer.
    #[error("형식 설명을 그대로 돌려보냄: 내용을 채워야 함")]
    SchemaEcho,
    /// Not mostly Korean.
    #[error("한국어가 아님 (글자 중 한글 {0}%): 한국어로 써야 함")]
    Language(u32),
    /// Code, HTML, a link, a table.
    #[error("허용되지 않는 형식: {0}")]
    Form(&'static str),
    /// An order, a promise, a target.
    #[error("쓸 수 없는 표현: \"{0}\"")]
    Forbidden(String),
    /// Does not name what it is about.
    #[error("대상의 이름이나 코드가 없음 (예: {0})")]
    Subject(String),
    /// A cause, which no fact names.
    #[error("사실표에 없는 원인이나 주체: {0}")]
    Cause(String),
    /// A state, comparison or time that no fact states.
    #[error("사실표에 없는 상태, 비교나 때: {0}")]
    Claim(String),
    /// A figure or direction that is denied.
    #[error("사실을 부정함: \"{0}\"")]
    Negated(String),
    /// More or less than a figure that is known exactly.
    #[error("정확한 수치를 이상이나 이하로 씀: \"{0}\"")]
    Bound(String),
    /// A name that is not in the facts.
    #[error("사실표에 없는 이름: {0}")]
    Name(String),
    /// A code that is not in the facts, or not that of the name before it.
    #[error("사실표에 없거나 이름과 맞지 않는 종목 코드: {0}")]
    Code(String),
    /// A number written as a word.
    #[error("글자로 쓴 수: \"{0}\": 숫자로 쓰고 사실 번호를 붙여야 함")]
    Spoken(String),
    /// A citation of a fact that is not in the table.
    #[error("사실표에 없는 사실 번호: {0}")]
    UnknownFact(String),
    /// A figure without a citation of its own.
    #[error("사실 번호가 없는 수치: {0}: 수치마다 바로 뒤에 [F번호] 하나를 붙여야 함")]
    Uncited(String),
    /// A figure that its fact does not state.
    #[error("인용한 사실과 다른 수치: {stated} (사실 {fact})")]
    Number {
        /// As written.
        stated: String,
        /// Id and value of the fact.
        fact: String,
    },
    /// The right number of another unit.
    #[error("인용한 사실과 단위가 다른 수치: {stated} (사실 {fact})")]
    Unit {
        /// As written.
        stated: String,
        /// Id and value of the fact.
        fact: String,
    },
    /// Up for down, or neither where it matters.
    #[error("방향이 사실과 다르거나 근거가 없음: {0}")]
    Direction(String),
    /// A true figure said of another issue or as another thing.
    #[error("수치를 다른 대상이나 항목의 것으로 씀: {stated} (사실 {fact})")]
    Misplaced {
        /// As written.
        stated: String,
        /// Id, label and value of the fact.
        fact: String,
    },
    /// A statement about an issue that rests on no fact.
    #[error("근거 없는 문장: \"{0}\": 사실 번호를 붙여야 함")]
    Unfounded(String),
}

impl Refusal {
    /// Why, without the answer's own words: what was refused must not be read under another heading.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Empty | Self::TooShort(_) => "답이 비었거나 너무 짧음",
            Self::TooLong(..) | Self::TooMany(_) => "답이 너무 김",
            Self::CutOff => "답이 중간에서 잘림",
            Self::NotJson | Self::Schema | Self::SchemaEcho | Self::Form(_) => "답의 형식이 다름",
            Self::Language(_) => "한국어가 아님",
            Self::Forbidden(_) => "쓸 수 없는 표현이 있음",
            Self::Subject(_) => "무엇에 관한 글인지 밝히지 않음",
            Self::Cause(_)
            | Self::Claim(_)
            | Self::Name(_)
            | Self::Code(_)
            | Self::Unfounded(_) => "사실표에 없는 내용이 있음",
            Self::Spoken(_) | Self::UnknownFact(_) | Self::Uncited(_) => "근거가 없는 수치가 있음",
            Self::Negated(_)
            | Self::Bound(_)
            | Self::Number { .. }
            | Self::Unit { .. }
            | Self::Direction(_)
            | Self::Misplaced { .. } => "사실과 다른 수치나 방향이 있음",
        }
    }

    /// Its class: a bounded set, for counts and stored prompts.
    #[must_use]
    pub const fn class(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooShort(_) => "too_short",
            Self::TooLong(..) | Self::TooMany(_) => "too_long",
            Self::CutOff => "cut_off",
            Self::NotJson => "not_json",
            Self::Schema => "schema",
            Self::SchemaEcho => "schema_echo",
            Self::Language(_) => "language",
            Self::Form(_) => "form",
            Self::Forbidden(_) => "forbidden",
            Self::Subject(_) => "subject",
            Self::Cause(_) => "cause",
            Self::Claim(_) => "claim",
            Self::Negated(_) => "negation",
            Self::Bound(_) => "bound",
            Self::Name(_) => "name",
            Self::Code(_) => "code",
            Self::Spoken(_) => "spoken_number",
            Self::UnknownFact(_) => "unknown_fact",
            Self::Uncited(_) => "uncited",
            Self::Number { .. } => "number",
            Self::Unit { .. } => "unit",
            Self::Direction(_) => "direction",
            Self::Misplaced { .. } => "misplaced",
            Self::Unfounded(_) => "unfounded",
        }
    }
}

/// What a guard goes by besides the facts.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Phrases forbidden beyond the built-in ones.
    pub forbidden: Vec<String>,
    /// Names of issues that a text could speak of although the facts do not.
    pub names: Vec<String>,
}

/// Most characters an answer of this kind may have.
#[must_use]
pub fn max_chars(kind: &str) -> usize {
    if kind.ends_with("_alert") { MAX_ALERT_CHARS } else { MAX_CHARS }
}

/// Checks statements against the facts they were made of; gives them as they are shown.
///
/// # Errors
/// The first rule that is broken.
pub fn check(statements: &[String], facts: &Facts, rules: &Rules) -> Result<Vec<String>, Refusal> {
    let cited: Vec<cite::Cited> = statements.iter().map(|text| cite::Cited::read(text)).collect();
    let shown: Vec<String> = cited.iter().map(cite::Cited::shown).collect();
    let text = shown.join("\n");
    let length = text.chars().count();
    if length < MIN_CHARS {
        return Err(Refusal::TooShort(length));
    }
    let most = max_chars(facts.kind);
    if length > most {
        return Err(Refusal::TooLong(length, most));
    }
    let known = facts.text();
    form(&text)?;
    language(&text)?;
    marks(&text, &known)?;
    wording(&text, &known, rules)?;
    let named = facts.subjects.iter().any(|subject| text.contains(subject.as_str()));
    if let Some(first) = facts.subjects.first().filter(|_| !named) {
        return Err(Refusal::Subject(first.clone()));
    }
    grounding::check(&cited, facts, &known)?;
    Ok(shown)
}

fn form(text: &str) -> Result<(), Refusal> {
    let lower = text.to_lowercase();
    let tag = |(at, _): (usize, char)| {
        text[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!'))
    };
    if text.char_indices().filter(|(_, c)| *c == '<').any(tag) {
        return Err(Refusal::Form("HTML"));
    }
    if text.contains('`') {
        return Err(Refusal::Form("코드 블록"));
    }
    let link = ["://", "www.", ".com", ".kr", "]("].iter().any(|mark| lower.contains(mark));
    if link || text.contains('@') {
        return Err(Refusal::Form("링크나 주소"));
    }
    if text.contains('|') {
        return Err(Refusal::Form("표"));
    }
    if text.contains(['{', '}']) || text.contains("\":") {
        return Err(Refusal::Form("JSON"));
    }
    let hidden = |c: char| {
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fffd}')
            || (c.is_control() && c != '\n')
    };
    if text.contains(hidden) {
        return Err(Refusal::Form("보이지 않는 문자"));
    }
    // ①, ½, full-width and other digits would slip past the scanner.
    match text.chars().find(|c| c.is_numeric() && !c.is_ascii()) {
        Some(odd) => Err(Refusal::Uncited(odd.to_string())),
        None => Ok(()),
    }
}

/// Nothing but the marks of sentences: no arrows and pictures, no triangles (plus in some tables and
/// minus in others), no marks of Markdown.
fn marks(text: &str, known: &str) -> Result<(), Refusal> {
    let odd = |c: &char| {
        let is_plain = c.is_alphanumeric() || c.is_whitespace() || MARKS.contains(*c);
        let is_of_the_facts = !c.is_ascii() && known.contains(*c);
        !is_plain && !is_of_the_facts
    };
    match text.chars().find(odd) {
        Some(_) => Err(Refusal::Form("쓰지 않는 기호")),
        None => Ok(()),
    }
}

const fn is_hangul(character: char) -> bool {
    matches!(character, '가'..='힣')
}

fn language(text: &str) -> Result<(), Refusal> {
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let hangul = text.chars().filter(|c| is_hangul(*c)).count();
    let share = hangul as f64 / letters.max(1) as f64;
    let foreign = text.chars().any(|c| c.is_alphabetic() && !c.is_ascii() && !is_hangul(c));
    if share < MIN_HANGUL || foreign {
        return Err(Refusal::Language((share * 100.0) as u32));
    }
    Ok(())
}

fn wording(text: &str, known: &str, rules: &Rules) -> Result<(), Refusal> {
    if let Some(phrase) = words::forbidden(text, &rules.forbidden) {
        return Err(Refusal::Forbidden(phrase.to_owned()));
    }
    if words::commands(text) {
        return Err(Refusal::Forbidden("지시문".to_owned()));
    }
    if let Some(number) = words::spoken(text) {
        return Err(Refusal::Spoken(number));
    }
    if let Some(cause) = words::cause(text, known) {
        return Err(Refusal::Cause(cause.to_owned()));
    }
    if let Some(claim) = words::claim(text, known) {
        return Err(Refusal::Claim(claim.to_owned()));
    }
    if let Some(word) = words::spaced(text, known) {
        return Err(Refusal::Forbidden(format!("{word}, 띄어 씀")));
    }
    if let Some(name) = words::stranger(text, known, &rules.names) {
        return Err(Refusal::Name(name));
    }
    Ok(())
}

#[cfg(test)]
mod tests;

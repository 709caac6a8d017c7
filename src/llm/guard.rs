//! Whether a model's answer may be shown: language, length, form, grounding.
//!
//! Every number and every code of the answer must be a fact, by the rules of
//! [`numbers`](super::numbers). What the guard cannot see: a cause made up in words, numbers
//! written as words, a true number attached to the wrong thing, a small whole number without a unit
//! that happens to stand in some fact or label (`3대`, when there is a third option).

use super::facts::Facts;
use super::numbers::{Number, Token, tokens};

/// Fewest characters of an answer.
const MIN_CHARS: usize = 60;
/// Most of an alert.
const MAX_ALERT_CHARS: usize = 1_500;
/// Most of any other report.
const MAX_CHARS: usize = 4_000;
/// Least share of Hangul among the letters.
const MIN_HANGUL: f64 = 0.5;
/// Phrases that promise what nobody can.
const PROMISES: [&str; 7] = [
    "수익을 보장",
    "수익이 보장",
    "원금 보장",
    "원금이 보장",
    "반드시 오",
    "무조건",
    "확실한 수익",
];

/// Why an answer is refused. Quoted back to the model and shown as the reason for a template, so
/// in Korean.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing, or next to nothing.
    #[error("답이 비었거나 너무 짧음 ({0}자, 최소 {MIN_CHARS}자)")]
    TooShort(usize),
    /// Longer than asked for.
    #[error("답이 너무 김 ({0}자, 최대 {1}자)")]
    TooLong(usize, usize),
    /// Cut off by the token limit.
    #[error("답이 길이 제한에 걸려 잘림")]
    CutOff,
    /// Not mostly Korean.
    #[error("한국어가 아님 (글자 중 한글 {0}%)")]
    Language(u32),
    /// JSON, code, HTML or a link.
    #[error("허용되지 않는 형식: {0}")]
    Form(&'static str),
    /// A promise.
    #[error("수익이나 안전을 약속하는 표현: \"{0}\"")]
    Promise(&'static str),
    /// Does not name what it is about.
    #[error("대상의 이름이나 코드가 없음 (예: {0})")]
    Subject(String),
    /// A number that is not among the facts.
    #[error("사실표에 없거나 방향·단위·반올림이 맞지 않는 수치: {0}")]
    Number(String),
    /// A code that is not among the facts.
    #[error("사실표에 없는 종목 코드나 기호: {0}")]
    Code(String),
}

/// Most characters an answer of this kind may have.
#[must_use]
pub fn max_chars(kind: &str) -> usize {
    if kind.ends_with("_alert") { MAX_ALERT_CHARS } else { MAX_CHARS }
}

/// Checks a cleaned answer against the facts it was given.
///
/// # Errors
/// The first rule that is broken.
pub fn check(answer: &str, facts: &Facts) -> Result<(), Refusal> {
    let length = answer.chars().count();
    if length < MIN_CHARS {
        return Err(Refusal::TooShort(length));
    }
    let most = max_chars(facts.kind);
    if length > most {
        return Err(Refusal::TooLong(length, most));
    }
    form(answer)?;
    language(answer)?;
    if let Some(promise) = PROMISES.iter().find(|promise| answer.contains(**promise)) {
        return Err(Refusal::Promise(promise));
    }
    let named = facts.subjects.iter().any(|subject| answer.contains(subject.as_str()));
    if let Some(first) = facts.subjects.first().filter(|_| !named) {
        return Err(Refusal::Subject(first.clone()));
    }
    grounded(answer, facts)
}

fn form(answer: &str) -> Result<(), Refusal> {
    let lower = answer.to_ascii_lowercase();
    let html = answer
        .char_indices()
        .filter(|(_, c)| *c == '<')
        .any(|(at, _)| answer[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '/'));
    if html {
        return Err(Refusal::Form("HTML"));
    }
    if answer.contains("```") {
        return Err(Refusal::Form("코드 블록"));
    }
    if lower.contains("://") || answer.contains("](") {
        return Err(Refusal::Form("링크"));
    }
    if answer.starts_with(['{', '[']) || answer.contains("\":") {
        return Err(Refusal::Form("JSON"));
    }
    Ok(())
}

fn is_hangul(character: char) -> bool {
    matches!(character, '가'..='힣' | 'ㄱ'..='ㆎ')
}

fn language(answer: &str) -> Result<(), Refusal> {
    let letters = answer.chars().filter(|c| c.is_alphabetic()).count();
    let hangul = answer.chars().filter(|c| is_hangul(*c)).count();
    let share = hangul as f64 / letters.max(1) as f64;
    if share < MIN_HANGUL {
        return Err(Refusal::Language((share * 100.0) as u32));
    }
    Ok(())
}

/// Every number and code is a fact.
fn grounded(answer: &str, facts: &Facts) -> Result<(), Refusal> {
    // ①, ½, full-width and other digits would slip past the scanner.
    if let Some(odd) = answer.chars().find(|c| c.is_numeric() && !c.is_ascii()) {
        return Err(Refusal::Number(odd.to_string()));
    }
    let mut numbers: Vec<Number> = Vec::new();
    let mut codes: Vec<String> = Vec::new();
    let texts = [facts.title.as_str(), facts.lead.as_str()];
    let rows = facts.rows().flat_map(|fact| [fact.label.as_str(), fact.value.as_str()]);
    for token in texts.into_iter().chain(rows).flat_map(tokens) {
        match token {
            Token::Number(number) => numbers.push(number),
            Token::Code(code) => codes.push(code),
        }
    }
    for token in tokens(answer) {
        match token {
            Token::Number(number) if !numbers.iter().any(|fact| number.states(fact)) => {
                return Err(Refusal::Number(number.text));
            }
            Token::Code(code) if !codes.contains(&code) => {
                // `114800원`: an amount of six digits written without commas.
                let amount = code.parse::<f64>().ok().filter(|_| !code.starts_with('0'));
                if !amount.is_some_and(|amount| numbers.iter().any(|fact| fact.value == amount)) {
                    return Err(Refusal::Code(code));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;

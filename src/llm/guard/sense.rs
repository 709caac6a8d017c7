//! What stands around a figure or a word and turns its sense: what follows the citation, denials,
//! comparisons, superlatives, levels. A true figure must not be made false by its neighbours.

use super::Refusal;
use super::cite::{Citation, Cited};
use super::grounding::Checker;
use crate::llm::facts::Fact;
use crate::llm::quantity::{Quantity, Unit};
use crate::llm::scan::{self, Kind, Token};
use crate::llm::words;

/// What denies the word before it.
const DENIALS: [&str; 12] =
    ["않", "아니", "아닌", "아닙", "없", "못하", "못했", "멈추", "멈췄", "만회", "그치", "그쳤"];
/// How far behind a word it is denied, in characters.
const DENIED_WITHIN: usize = 10;
/// What makes an exact figure a bound.
const BOUNDS: [&str; 16] = [
    "넘",
    "초과",
    "미만",
    "웃돌",
    "웃돕",
    "밑돌",
    "밑돕",
    "상회",
    "하회",
    "이상",
    "이하",
    "육박",
    "가까이",
    "남짓",
    "안팎",
    "내외",
];
/// Particles between a figure and what follows.
const PARTICLES: [char; 8] = ['을', '를', '이', '가', '은', '는', '의', '도'];
/// Levels of events.
const LEVELS: [&str; 3] = ["심각", "경고", "관심"];
/// What says that nothing is more so.
const SUPERLATIVES: [&str; 2] = ["가장", "제일"];
/// Words that stand for a violent movement, and the least change they may be said of, per cent.
const VIOLENT: [&str; 4] = ["급락", "급등", "급증", "급감"];
const VIOLENT_FROM: u128 = 3;
/// Kinds whose first issue is the one with the highest risk.
const WORST_FIRST: [&str; 3] = ["market_risk", "alert_digest", "weekly_review"];

impl Checker<'_> {
    /// All of it, for one statement.
    pub(super) fn sense(&self) -> Result<(), Refusal> {
        self.reads_the_same_when_shown()?;
        self.denials()?;
        for token in &self.tokens {
            if let Kind::Quantity(_) = token.kind {
                self.bound(token)?;
            }
        }
        self.superlatives()?;
        self.levels()?;
        self.violence()
    }

    /// Without its citation, no figure goes on into the text behind it: `71,000[F5]만 원`.
    fn reads_the_same_when_shown(&self) -> Result<(), Refusal> {
        let text: String = self.statement.text.chars().filter(|c| !Cited::is_mark(*c)).collect();
        let (blank, _) = super::grounding::without_names(&text, self.facts);
        let shown = scan::tokens(&blank);
        let chars: Vec<char> = text.chars().collect();
        for token in &self.tokens {
            let marks = self.chars[..token.start].iter().filter(|c| Cited::is_mark(**c)).count();
            let start = token.start - marks;
            // A date and the time behind it, each cited, are shown as one.
            let is_moment = |kind: &Kind| matches!(kind, Kind::Quantity(Quantity::Moment(_)));
            let within = |other: &&Token| other.start <= start && start < other.end;
            let same = shown.iter().find(within).is_some_and(|other| {
                (other.start == start && other.kind == token.kind)
                    || (is_moment(&other.kind) && is_moment(&token.kind))
            });
            if !same {
                let other = shown.iter().find(within);
                let stated = other.map_or_else(String::new, |other| other.text(&chars));
                let fact = "번호 뒤의 글까지 수치로 읽힘".to_owned();
                return Err(Refusal::Unit { stated, fact });
            }
        }
        Ok(())
    }

    fn denials(&self) -> Result<(), Refusal> {
        let text: String = self.chars.iter().collect();
        for (at, _) in words::directions(&text) {
            self.denied(at, at + DENIED_WITHIN)?;
        }
        for token in &self.tokens {
            if matches!(token.kind, Kind::Quantity(_)) {
                self.denied(token.end, token.end + DENIED_WITHIN / 2)?;
            }
        }
        Ok(())
    }

    /// Whether something between `from` and `to` denies what stands there; the facts' own words may.
    fn denied(&self, from: usize, to: usize) -> Result<(), Refusal> {
        let (_, end) = self.sentence(from.min(self.chars.len().saturating_sub(1)));
        let said = self.text(from.min(end), to.min(end));
        let denial = DENIALS.iter().filter_map(|word| Some((said.find(word)?, *word))).min();
        match denial {
            Some((at, word)) if !self.known.contains(&said[..at + word.len()]) => {
                Err(Refusal::Negated(said))
            }
            _ => Ok(()),
        }
    }

    /// A figure is the fact itself, so nothing is above or below it.
    fn bound(&self, token: &Token) -> Result<(), Refusal> {
        let behind = self.text(token.end, (token.end + 10).min(self.chars.len()));
        let rest = behind.trim_start();
        let rest = rest.strip_prefix("보다").unwrap_or(rest);
        let rest = rest.strip_prefix(PARTICLES).unwrap_or(rest).trim_start();
        let of_the_facts = |word: &str| self.known.contains(word);
        match BOUNDS
            .iter()
            .find(|word| rest.starts_with(**word) || behind.trim_start().starts_with(**word))
        {
            Some(word) if !of_the_facts(word) => {
                Err(Refusal::Bound(format!("{}{behind}", token.text(&self.chars))))
            }
            _ => Ok(()),
        }
    }

    /// `가장` is said of the first issue, where the first one is the worst, or as the facts say it.
    fn superlatives(&self) -> Result<(), Refusal> {
        let text: String = self.chars.iter().collect();
        for word in SUPERLATIVES {
            for (byte, _) in text.match_indices(word) {
                let at = text[..byte].chars().count();
                let (start, end) = self.sentence(at);
                let named = |from: usize, to: usize| {
                    self.mentions.iter().find(|(place, _)| (from..to).contains(place))
                };
                let issue = named(at, end).or_else(|| named(start, at)).map(|(_, code)| code);
                let first = self.facts.issues.first().map(|issue| &issue.code);
                let is_worst =
                    WORST_FIRST.contains(&self.facts.kind) && issue.is_some() && issue == first;
                if !is_worst && !self.known.contains(word) {
                    return Err(Refusal::Claim(word.to_owned()));
                }
            }
        }
        Ok(())
    }

    /// A level is the one of the fact that is cited behind it.
    fn levels(&self) -> Result<(), Refusal> {
        let text: String = self.chars.iter().collect();
        for level in LEVELS {
            for (byte, _) in text.match_indices(level) {
                let at = text[..byte].chars().count();
                let behind = self.text(at + 2, (at + 6).min(self.chars.len()));
                if !behind.trim_start().starts_with("단계") {
                    continue;
                }
                let Some((citation, fact)) = self.cited_behind(at) else { continue };
                let says = format!("{} {}", fact.label, fact.value);
                let others = LEVELS.iter().any(|word| says.contains(word));
                if others && !says.contains(level) {
                    let fact = citation.ids.first().map(|id| format!("{id} {says}"));
                    let fact = fact.unwrap_or_default();
                    return Err(Refusal::Misplaced { stated: format!("{level} 단계"), fact });
                }
            }
        }
        Ok(())
    }

    /// `급락` of a fact that says so, or of a change that is one.
    fn violence(&self) -> Result<(), Refusal> {
        let text: String = self.chars.iter().collect();
        for word in VIOLENT {
            for (byte, _) in text.match_indices(word) {
                let at = text[..byte].chars().count();
                let Some((_, fact)) = self.cited_behind(at).or_else(|| self.cited_before(at))
                else {
                    continue;
                };
                let says = format!("{} {}", fact.label, fact.value).contains(word);
                if !says && fact.quantities().iter().any(is_slight) {
                    return Err(Refusal::Direction(word.to_owned()));
                }
            }
        }
        Ok(())
    }

    /// The first citation behind `at` within its sentence, and its first fact.
    fn cited_behind(&self, at: usize) -> Option<(&Citation, &Fact)> {
        let (_, end) = self.sentence(at);
        let citation = self.statement.citations.iter().find(|c| (at..end).contains(&c.start))?;
        let (fact, _) = self.fact(*citation.ids.first()?).ok()?;
        Some((citation, fact))
    }

    fn cited_before(&self, at: usize) -> Option<(&Citation, &Fact)> {
        let (start, _) = self.sentence(at);
        let citation = self.statement.citations.iter().rfind(|c| (start..at).contains(&c.start))?;
        let (fact, _) = self.fact(*citation.ids.first()?).ok()?;
        Some((citation, fact))
    }

    /// `A와 B의 위험 점수는 71.5점`: a figure of one issue said of two.
    pub(super) fn is_said_of_two(&self, about: &str, token: &Token) -> bool {
        let (start, _) = self.sentence(token.start);
        let mut before = self.mentions.iter().rev();
        let mut before = before.by_ref().filter(|(at, _)| (start..token.start).contains(at));
        let Some((last, _)) = before.find(|(_, code)| code == about) else { return false };
        let Some((other, _)) = before.find(|(_, code)| code != about) else { return false };
        let between = self.text(*other, *last);
        let joined = ["와 ", "과 ", " 및 ", "·", ", ", "하고 "];
        between.chars().count() < 24
            && !self.tokens.iter().any(|token| {
                matches!(token.kind, Kind::Quantity(_)) && (*other..*last).contains(&token.start)
            })
            && joined.iter().any(|word| between.ends_with(word))
    }
}

fn is_slight(quantity: &Quantity) -> bool {
    let Quantity::Figure(figure) = quantity else { return false };
    let whole = match u32::try_from(-figure.value.exponent) {
        Ok(power) => figure.value.digits / 10u128.saturating_pow(power),
        Err(_) => figure.value.digits,
    };
    figure.unit == Unit::Percent && figure.rising.is_some() && whole < VIOLENT_FROM
}

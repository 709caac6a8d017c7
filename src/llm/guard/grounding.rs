//! Every figure, code and direction of a statement against the fact that it cites.

use super::Refusal;
use super::cite::{Citation, Cited, FactId};
use crate::llm::facts::{Fact, Facts, PHRASES, blanked};
use crate::llm::quantity::{Figure, Quantity};
use crate::llm::scan::{self, Kind, Token};
use crate::llm::words;

/// Characters before a figure in which a term of another fact counts.
const NEAR: usize = 30;

/// Characters behind a figure in which a term of its own counts.
const CLOSE: usize = 8;

/// Checks all statements in order: an issue named in one is what the next speaks of.
pub(super) fn check(statements: &[Cited], facts: &Facts, known: &str) -> Result<(), Refusal> {
    if statements.iter().all(|statement| statement.citations.is_empty()) {
        return Err(Refusal::Uncited("답 전체".to_owned()));
    }
    let rows: Vec<&Fact> = facts.rows().collect();
    let mut spoken_of = None;
    for statement in statements {
        let checker = Checker::new(statement, facts, &rows, known, spoken_of.clone());
        checker.check()?;
        spoken_of = checker.mentions.last().map(|(_, code)| code.clone()).or(spoken_of);
    }
    Ok(())
}

/// One statement.
pub(super) struct Checker<'a> {
    pub(super) statement: &'a Cited,
    pub(super) facts: &'a Facts,
    rows: &'a [&'a Fact],
    pub(super) known: &'a str,
    pub(super) chars: Vec<char>,
    pub(super) tokens: Vec<Token>,
    /// Issues named in it: where, and the code.
    pub(super) mentions: Vec<(usize, String)>,
    /// Issue named last before it.
    before: Option<String>,
}

impl<'a> Checker<'a> {
    fn new(
        statement: &'a Cited,
        facts: &'a Facts,
        rows: &'a [&'a Fact],
        known: &'a str,
        before: Option<String>,
    ) -> Self {
        let (blank, mentions) = without_names(&statement.text, facts);
        let tokens = scan::tokens(&blank);
        let chars = statement.text.chars().collect();
        Self { statement, facts, rows, known, chars, tokens, mentions, before }
    }

    fn check(&self) -> Result<(), Refusal> {
        for citation in &self.statement.citations {
            for id in &citation.ids {
                self.fact(*id)?;
            }
        }
        for (index, token) in self.tokens.iter().enumerate() {
            match &token.kind {
                Kind::Odd => return Err(Refusal::Uncited(token.text(&self.chars))),
                Kind::Code(code) => self.code(code, token)?,
                Kind::Quantity(quantity) => self.quantity(index, token, quantity)?,
            }
        }
        self.directions()?;
        self.sense()?;
        if !self.mentions.is_empty() && self.statement.citations.is_empty() {
            return Err(Refusal::Unfounded(self.statement.shown().chars().take(60).collect()));
        }
        Ok(())
    }

    /// The fact of an id and, when it names one, the figure.
    pub(super) fn fact(&self, id: FactId) -> Result<(&'a Fact, Option<Quantity>), Refusal> {
        let unknown = || Refusal::UnknownFact(id.to_string());
        let fact = *id.fact.checked_sub(1).and_then(|at| self.rows.get(at)).ok_or_else(unknown)?;
        let Some(figure) = id.figure else { return Ok((fact, None)) };
        let figures = fact.quantities();
        let at = figure.checked_sub(1).ok_or_else(unknown)?;
        Ok((fact, Some(*figures.get(at).ok_or_else(unknown)?)))
    }

    /// A code must be one of the facts', and the one of the name before it.
    fn code(&self, code: &str, token: &Token) -> Result<(), Refusal> {
        let wrong = || Refusal::Code(code.to_owned());
        let before: String =
            self.chars[..token.start].iter().filter(|c| !Cited::is_mark(**c)).collect();
        let name = before.trim_end().strip_suffix('(').map(str::trim_end);
        let issue = self.facts.issues.iter().find(|issue| issue.code == code);
        match (issue, name) {
            (Some(issue), Some(name)) if !issue.name.is_empty() => {
                if name.ends_with(issue.name.as_str()) { Ok(()) } else { Err(wrong()) }
            }
            (Some(_), _) => Ok(()),
            (None, name) => {
                let word = name.and_then(|name| name.split_whitespace().last()).unwrap_or_default();
                let whole = match word.is_empty() {
                    true => code.to_owned(),
                    false => format!("{word}({code})"),
                };
                if self.known.contains(&whole) { Ok(()) } else { Err(wrong()) }
            }
        }
    }

    /// Where the sentence that holds `at` begins and ends.
    pub(super) fn sentence(&self, at: usize) -> (usize, usize) {
        let ends = |place: usize| {
            let next = self.chars.get(place + 1);
            let open = |c: &char| c.is_whitespace() || Cited::is_mark(*c);
            matches!(self.chars[place], '.' | '!' | '?' | '。') && next.is_none_or(open)
        };
        let start = (0..at).rev().find(|place| ends(*place)).map_or(0, |place| place + 1);
        let end = (at..self.chars.len()).find(|place| ends(*place)).unwrap_or(self.chars.len());
        // A citation right behind the full stop belongs to the sentence.
        let behind =
            (end..self.chars.len().min(end + 3)).rfind(|place| Cited::is_mark(self.chars[*place]));
        (start, behind.map_or(end, |place| place + 1))
    }

    /// The citation of the figure at `index`: the first one behind it, before the next figure and
    /// within the sentence.
    fn citation_of(&self, index: usize) -> Option<&Citation> {
        let token = &self.tokens[index];
        let is_quantity = |next: &&Token| matches!(next.kind, Kind::Quantity(_));
        let next = self.tokens[index + 1..].iter().find(is_quantity);
        let (_, end) = self.sentence(token.end.min(self.chars.len().saturating_sub(1)));
        let limit = next.map_or(end, |next| next.start.min(end));
        let citations = &self.statement.citations;
        citations.iter().find(|citation| citation.start >= token.end && citation.start < limit)
    }

    fn quantity(&self, index: usize, token: &Token, stated: &Quantity) -> Result<(), Refusal> {
        let text = token.text(&self.chars);
        let citation = self.citation_of(index).ok_or_else(|| Refusal::Uncited(text.clone()))?;
        let [id] = citation.ids[..] else { return Err(Refusal::Uncited(text)) };
        let (fact, figure) = self.fact(id)?;
        let shown = format!("{id} {}: {}", fact.label, fact.value);
        let candidates = figure.map_or_else(|| fact.quantities(), |figure| vec![figure]);
        let alike: Vec<&Quantity> =
            candidates.iter().filter(|candidate| same_unit(stated, candidate)).collect();
        // Several figures of one unit: the id must say which.
        let [found] = alike[..] else {
            return Err(if alike.is_empty() && same_value(stated, &candidates) {
                Refusal::Unit { stated: text, fact: shown }
            } else {
                Refusal::Number { stated: text, fact: shown }
            });
        };
        if !stated.states(found) {
            return Err(Refusal::Number { stated: text, fact: shown });
        }
        self.sign(index, token, stated, found)?;
        self.place(index, token, fact, &text, &shown)
    }

    /// What stands between the figures before and behind.
    fn window(&self, index: usize) -> (usize, usize) {
        let token = &self.tokens[index];
        let (start, end) = self.sentence(token.start);
        let before = index.checked_sub(1).map_or(0, |last| self.tokens[last].end);
        let behind = self.tokens.get(index + 1).map_or(self.chars.len(), |next| next.start);
        (start.max(before), end.max(token.end).min(behind.max(token.end)))
    }

    pub(super) fn text(&self, from: usize, to: usize) -> String {
        self.chars[from.min(to)..to].iter().filter(|c| !Cited::is_mark(**c)).collect()
    }

    /// A figure with a direction is said with it, by sign or by word; one without has none.
    fn sign(
        &self,
        index: usize,
        token: &Token,
        stated: &Quantity,
        found: &Quantity,
    ) -> Result<(), Refusal> {
        let (Quantity::Figure(stated), Quantity::Figure(fact)) = (stated, found) else {
            return Ok(());
        };
        let wrong = || Err(Refusal::Direction(token.text(&self.chars)));
        match (stated.rising, fact.rising) {
            (Some(stated), Some(fact)) if stated != fact => return wrong(),
            (Some(_), None) => return wrong(),
            _ => {}
        }
        let (start, end) = self.window(index);
        let behind = words::directions(&self.text(token.end, end));
        let before = words::directions(&self.text(start, token.start));
        let said = behind.first().or(before.last()).map(|(_, rising)| *rising);
        match (said, stated.rising, fact.rising) {
            (Some(said), _, Some(fact)) if said != fact => wrong(),
            // `5.33%` of a fall, without any word for it.
            (None, None, Some(_)) if !is_zero(fact) => wrong(),
            _ => Ok(()),
        }
    }

    /// The issue and the thing that the words around a figure make it out to be.
    fn place(
        &self,
        index: usize,
        token: &Token,
        fact: &Fact,
        stated: &str,
        shown: &str,
    ) -> Result<(), Refusal> {
        let misplaced =
            || Err(Refusal::Misplaced { stated: stated.to_owned(), fact: shown.to_owned() });
        if let Some(about) = &fact.about {
            let (start, end) = self.sentence(token.start);
            let within: Vec<&String> = self
                .mentions
                .iter()
                .filter(|(at, _)| (start..end).contains(at))
                .map(|(_, code)| code)
                .collect();
            let alone = !within.is_empty() && within.iter().all(|code| *code == about);
            let last = self.mentions.iter().rfind(|(at, _)| *at < token.start);
            let last = last.map(|(_, code)| code).or(self.before.as_ref());
            let right = match last {
                Some(code) => code == about,
                None => self.facts.issues.len() < 2,
            };
            if (!alone && !right) || self.is_said_of_two(about, token) {
                return misplaced();
            }
        }
        // A comma ends what a word is said of.
        let (mut start, mut end) = self.window(index);
        let comma = |place: &usize| self.chars[*place] == ',';
        start = (start..token.start).rev().find(comma).unwrap_or(start);
        end = (token.end..end).find(comma).unwrap_or(end);
        let around = self.text(start, end);
        let has_own = |text: &str| fact.terms.iter().any(|term| text.contains(term));
        let denied = fact.never.iter().any(|term| around.contains(term));
        if denied || (fact.strict && !has_own(&around)) {
            return misplaced();
        }
        let before = self.text(start.max(token.start.saturating_sub(NEAR)), token.start);
        // What names the figure stands before it or right behind; further on it names the next one.
        let own = has_own(&before) || has_own(&self.text(token.end, end.min(token.end + CLOSE)));
        let units = fact.quantities();
        let other = self.rows.iter().any(|sibling| {
            sibling.terms != fact.terms
                && (sibling.about == fact.about || sibling.about.is_none())
                && sibling.terms.iter().any(|term| before.contains(term))
                && sibling.quantities().iter().any(|a| units.iter().any(|b| same_unit(a, b)))
        });
        if other && !own && !fact.terms.is_empty() { misplaced() } else { Ok(()) }
    }

    /// Every word of a direction rests on a cited fact of that direction.
    fn directions(&self) -> Result<(), Refusal> {
        let text: String = self.chars.iter().collect();
        for (at, rising) in words::directions(&text) {
            let (start, end) = self.sentence(at);
            let cited: Vec<&Citation> = self
                .statement
                .citations
                .iter()
                .filter(|citation| (start..end).contains(&citation.start))
                .collect();
            let nearest = cited.iter().find(|c| c.start >= at).or(cited.last());
            let supports = |citation: &Citation| {
                let facts = citation.ids.iter().filter_map(|id| self.fact(*id).ok());
                facts.flat_map(|(fact, _)| directions_of(fact)).collect::<Vec<_>>()
            };
            let near = nearest.map(|citation| supports(citation)).unwrap_or_default();
            let agreed = match near.is_empty() {
                false => near.contains(&rising),
                true => cited.iter().any(|citation| supports(citation).contains(&rising)),
            };
            if !agreed {
                let word: String = self.chars[at..self.chars.len().min(at + 6)]
                    .iter()
                    .filter(|c| !Cited::is_mark(**c))
                    .collect();
                return Err(Refusal::Direction(word));
            }
        }
        Ok(())
    }
}

/// The characters without the names and phrases that hold figures, and the issues named: by name,
/// longest first, and by code.
pub(super) fn without_names(text: &str, facts: &Facts) -> (Vec<char>, Vec<(usize, String)>) {
    let mut names: Vec<(&str, &str)> = Vec::new();
    for issue in &facts.issues {
        names.push((issue.code.as_str(), issue.code.as_str()));
        if !issue.name.is_empty() {
            names.push((issue.name.as_str(), issue.code.as_str()));
        }
    }
    names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    let mut left = text.to_owned();
    let mut mentions = Vec::new();
    for (name, code) in &names {
        while let Some(at) = left.find(name) {
            mentions.push((left[..at].chars().count(), (*code).to_owned()));
            let mark: String = name.chars().map(|_| '\u{fffc}').collect();
            left.replace_range(at..at + name.len(), &mark);
        }
    }
    mentions.sort();
    // Codes stay to be checked.
    let names = names.iter().filter(|(name, code)| name != code).map(|(name, _)| *name);
    let others = facts.subjects.iter().map(String::as_str);
    let others = others.filter(|name| facts.issues.iter().all(|issue| !name.contains(&issue.code)));
    (blanked(text, names.chain(others).chain(PHRASES)), mentions)
}

/// The directions a fact speaks of: of one figure its sign; else every sign and word in it.
fn directions_of(fact: &Fact) -> Vec<bool> {
    let figures = fact.quantities();
    let signs = figures.iter().filter_map(|quantity| match quantity {
        Quantity::Figure(figure) => figure.rising,
        Quantity::Moment(_) => None,
    });
    let mut all: Vec<bool> = signs.collect();
    if figures.len() != 1 || all.is_empty() {
        let text = format!("{} {}", fact.label, fact.value);
        all.extend(words::directions(&text).iter().map(|(_, rising)| *rising));
    }
    all
}

const fn is_zero(figure: &Figure) -> bool {
    figure.value.digits == 0
}

fn same_unit(stated: &Quantity, fact: &Quantity) -> bool {
    match (stated, fact) {
        (Quantity::Figure(stated), Quantity::Figure(fact)) => stated.unit == fact.unit,
        (Quantity::Moment(_), Quantity::Moment(_)) => true,
        (Quantity::Figure(_), Quantity::Moment(_)) => stated.states(fact),
        (Quantity::Moment(_), Quantity::Figure(_)) => false,
    }
}

fn same_value(stated: &Quantity, candidates: &[Quantity]) -> bool {
    let Quantity::Figure(stated) = stated else { return false };
    candidates.iter().any(|candidate| match candidate {
        Quantity::Figure(fact) => stated.value.states(fact.value),
        Quantity::Moment(_) => false,
    })
}

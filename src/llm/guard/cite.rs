//! Statements with their citations: `5.33%[F7] 하락`.

use std::sync::LazyLock;

use regex::Regex;

/// A citation in any of the brackets models use.
static CITATION: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"\s*[\[(【［{（<]\s*(?:사실\s*)?([Ff]\d+(?:\.\d+)?(?:\s*[,·/&와과 ]\s*[Ff]\d+(?:\.\d+)?)*)\s*[\])】］}）>]")
        .ok()
});

/// What stands where a citation stood.
const GONE: char = '\u{fffb}';

/// The id of a fact, or of one figure of it; both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FactId {
    pub(super) fact: usize,
    pub(super) figure: Option<usize>,
}

impl std::fmt::Display for FactId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.figure {
            Some(figure) => write!(f, "F{}.{figure}", self.fact),
            None => write!(f, "F{}", self.fact),
        }
    }
}

/// A citation and its place in the characters of the statement.
#[derive(Debug, Clone)]
pub(super) struct Citation {
    pub(super) start: usize,
    pub(super) ids: Vec<FactId>,
}

/// A statement with its citations taken out of the text, each leaving one mark.
#[derive(Debug, Clone)]
pub(super) struct Cited {
    pub(super) text: String,
    pub(super) citations: Vec<Citation>,
}

impl Cited {
    pub(super) fn read(statement: &str) -> Self {
        let mut text = String::with_capacity(statement.len());
        let mut citations = Vec::new();
        let mut last = 0;
        // A mark of ours in the statement itself would move the places.
        let statement = statement.replace(GONE, " ");
        for found in CITATION.iter().flat_map(|form| form.captures_iter(&statement)) {
            let (Some(whole), Some(list)) = (found.get(0), found.get(1)) else { continue };
            text.push_str(&statement[last..whole.start()]);
            citations.push(Citation { start: text.chars().count(), ids: ids(list.as_str()) });
            text.push(GONE);
            last = whole.end();
        }
        text.push_str(&statement[last..]);
        Self { text, citations }
    }

    /// As readers see it.
    pub(super) fn shown(&self) -> String {
        let shown = self.text.replace(GONE, "");
        let words: Vec<&str> = shown.split_whitespace().collect();
        words.join(" ").replace(" .", ".").replace(" ,", ",")
    }

    pub(super) const fn is_mark(character: char) -> bool {
        character == GONE
    }
}

fn ids(list: &str) -> Vec<FactId> {
    list.split(|c: char| !c.is_ascii_alphanumeric() && c != '.')
        .filter_map(|part| {
            let number = part.trim_start_matches(['F', 'f']);
            let (fact, figure) = match number.split_once('.') {
                Some((fact, figure)) => (fact, Some(figure)),
                None => (number, None),
            };
            // One that is too long to be a number is no fact of ours either.
            let read = |text: &str| text.parse().unwrap_or(usize::MAX);
            (!fact.is_empty()).then(|| FactId { fact: read(fact), figure: figure.map(read) })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn citations_come_out() {
        let cited = Cited::read("삼성전자[F1]가 5.33% [F7.2]하락(F1, F2)했습니다 【F3】.");
        assert_eq!(cited.shown(), "삼성전자가 5.33%하락했습니다.");
        let ids: Vec<String> = cited
            .citations
            .iter()
            .map(|citation| {
                citation.ids.iter().map(ToString::to_string).collect::<Vec<_>>().join("+")
            })
            .collect();
        assert_eq!(ids, ["F1", "F7.2", "F1+F2", "F3"]);
        assert_eq!(Cited::read("[심각] 단계").shown(), "[심각] 단계");
    }
}

//! Words that a report must not hold, or only when its facts do.
//!
//! - Orders, promises and price targets: what the Capital Markets Act leaves to registered advisers,
//!   or forbids to all (articles 6, 17, 55 and 101 on advice, and on promises to make losses good).
//! - Causes: why a price moved is in no fact of ours, so a text that names a cause made it up.
//! - Numbers written as words, which no scanner of figures sees.
//! - Names of other issues, markets and companies.
//!
//! The lists are in `config/prompts/words.yaml`; what is forbidden can be extended by a setting.

use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;

/// The built-in lists.
const LISTS: &str = include_str!("../../config/prompts/words.yaml");

/// Words by what is wrong with them.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lists {
    /// Orders, promises, targets.
    forbidden: Vec<String>,
    /// What speaks to a machine.
    commands: Vec<String>,
    /// Causes and actors.
    causes: Vec<String>,
    /// States, comparisons and times.
    claims: Vec<String>,
    /// Directions.
    rising: Vec<String>,
    falling: Vec<String>,
    /// Numbers without figures.
    spoken: Vec<String>,
    /// Names that everybody knows.
    names: Vec<String>,
    /// Ends of company names.
    company_ends: Vec<String>,
    /// Latin words that are terms of the trade.
    latin: Vec<String>,
}

static WORDS: LazyLock<Lists> =
    LazyLock::new(|| serde_saphyr::from_str(LISTS).expect("invariant: a test reads this file"));

/// Numbers in Sino-Korean or native words before a unit.
static SPOKEN: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?:[일이삼사오육륙칠팔구십백천만억조영공]{1,12}(?:\s?점\s?[영공일이삼사오육칠팔구]+)?\s?(?:퍼센트|프로|%|포인트|배로|배가|배나|배\b)",
        r"|[일이삼사오육륙칠팔구십백천만억조]{2,12}\s?(?:원|주|종목|건|분|초|시간|거래일)",
        // Two signs of a number at least, so that `만일` and `백분` are words.
        r"|(?:[일이삼사오육칠팔구][십백천만]|[십백천][일이삼사오육칠팔구십백천만])[일이삼사오육칠팔구십백천만]{0,8}\s?(?:명|개|곳|달|년|일|회|번|위|점|계단)",
        r"|(?:^|\s)[일이삼사오육칠팔구]\s원(?:[을이에입으]|\s|[.,]|$)",
        r"|(?:^|\s)(?:만|백만|천만|억|조)\s?원",
        r"|(?:^|\s)[일이삼사오육칠팔구]\s할(?:\s|[을이로])",
        r"|[영공일이삼사오육칠팔구]{4,}",
        r"|[일이삼사오육칠팔구십백천]+분의\s?[일이삼사오육칠팔구]",
        r"|(?:^|\s)(?:수십|수백|수천|수만|몇십|몇백|몇천|십|백|천)여?\s?(?:종목|건|개|명|곳|원|배|차례|회|번|분|초|주)",
        r"|(?:스물|스무|서른|마흔|쉰|예순|일흔|여든|아흔|열)(?:하나|한|둘|두|셋|세|넷|네|다섯|여섯|일곱|여덟|아홉)?\s?(?:종목|건|개|명|곳|점|원|배|차례|번|시간|분|초|에\s)",
        r"|(?:첫|두|세|네|다섯|여섯|일곱|여덟|아홉|열)\s?번째",
        r"|(?:한|두|세|네|다섯|여섯|일곱|여덟|아홉|열|스무|몇|여러|수십|수백|수천|수만|수억)\s?(?:여\s?)?(?:배|퍼센트|%|원|종목|건|차례|번|시간|분|주|곱절|자릿수|계단|달|해))",
    ))
    .ok()
});

/// `text` without spaces and marks, in lower case: how a phrase is looked for.
fn squeezed(text: &str) -> String {
    let kept = text.chars().filter(|c| c.is_alphanumeric() || *c == '%');
    kept.flat_map(char::to_lowercase).collect()
}

fn phrase_in<'a>(text: &str, list: impl IntoIterator<Item = &'a String>) -> Option<&'a str> {
    let text = squeezed(text);
    let found = list.into_iter().find(|phrase| {
        let phrase = squeezed(phrase);
        !phrase.is_empty() && text.contains(&phrase)
    });
    found.map(String::as_str)
}

/// The first order, promise or target in `text`; `more` are phrases of the settings.
#[must_use]
pub fn forbidden<'a>(text: &str, more: &'a [String]) -> Option<&'a str> {
    phrase_in(text, WORDS.forbidden.iter().chain(more))
}

/// Whether `text` speaks to a machine rather than about something.
#[must_use]
pub fn commands(text: &str) -> bool {
    phrase_in(text, &WORDS.commands).is_some()
}

/// The first cause named in `text` that `facts` do not name.
#[must_use]
pub fn cause(text: &str, facts: &str) -> Option<&'static str> {
    let named = WORDS.causes.iter().find(|cause| text.contains(*cause) && !facts.contains(*cause));
    named.map(String::as_str)
}

/// The first state, comparison or time of `text` that `facts` do not state.
#[must_use]
pub fn claim(text: &str, facts: &str) -> Option<&'static str> {
    let made = WORDS.claims.iter().find(|claim| text.contains(*claim) && !facts.contains(*claim));
    made.map(String::as_str)
}

/// The first cause, claim or direction of `text` that is written with a space in it, where no search for
/// the word finds it; causes and claims that `facts` name may be.
#[must_use]
pub fn spaced(text: &str, facts: &str) -> Option<&'static str> {
    let parts: Vec<&str> = text.split_whitespace().collect();
    let told = WORDS.causes.iter().chain(&WORDS.claims).filter(|word| !facts.contains(*word));
    let all = told.chain(&WORDS.rising).chain(&WORDS.falling);
    // Words of two: `이상 승인` holds none of them, since none begins there.
    let mut whole = all.filter(|word| !word.contains(' '));
    let is_split = |word: &str| {
        (0..parts.len()).any(|at| {
            let most = parts.len().min(at + word.chars().count());
            parts[at].len() < word.len() && parts[at..most].concat().starts_with(word)
        })
    };
    whole.find(|word| is_split(word)).map(String::as_str)
}

/// The first number in words.
#[must_use]
pub fn spoken(text: &str) -> Option<String> {
    if let Some(word) = WORDS.spoken.iter().find(|word| text.contains(*word)) {
        return Some(word.clone());
    }
    Some(SPOKEN.as_ref()?.find(text)?.as_str().to_owned())
}

/// Places of the words of a direction: first character, and whether up.
#[must_use]
pub fn directions(text: &str) -> Vec<(usize, bool)> {
    let mut found = Vec::new();
    for (list, rising) in [(&WORDS.rising, true), (&WORDS.falling, false)] {
        for word in list {
            let places = text.match_indices(word.as_str());
            found.extend(places.map(|(at, _)| (text[..at].chars().count(), rising)));
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// The first name of `text` that `facts` do not hold; `others` are names of issues.
#[must_use]
pub fn stranger(text: &str, facts: &str, others: &[String]) -> Option<String> {
    let known = others.iter().filter(|name| is_telling(name)).chain(&WORDS.names);
    let mut named =
        known.filter(|name| text.contains(name.as_str()) && !facts.contains(name.as_str()));
    if let Some(name) = named.next() {
        return Some(name.clone());
    }
    // With a space or a point in it, it is still a name.
    let (squeezed_text, squeezed_facts) = (squeezed(text), squeezed(facts));
    let mut hidden = WORDS.names.iter().filter(|name| is_telling(name)).filter(|name| {
        let name = squeezed(name);
        squeezed_text.contains(&name) && !squeezed_facts.contains(&name)
    });
    if let Some(name) = hidden.next() {
        return Some(name.clone());
    }
    latin(text, facts).or_else(|| company(text, facts))
}

/// Whether a name cannot be taken for an ordinary word.
fn is_telling(name: &str) -> bool {
    name.chars().count() >= 3
}

/// A Latin word that is neither in the facts nor a term.
fn latin(text: &str, facts: &str) -> Option<String> {
    let split = |text: &str| -> Vec<String> {
        let words = text.split(|c: char| !c.is_ascii_alphabetic());
        words.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
    };
    let known = split(facts);
    let is_term = |word: &String| WORDS.latin.iter().any(|term| term.to_lowercase() == *word);
    split(text).into_iter().find(|word| !is_term(word) && !known.contains(word))
}

/// A word that ends like a company's name (before its particle) and is not in the facts.
fn company(text: &str, facts: &str) -> Option<String> {
    let words = text.split(|c: char| !matches!(c, '가'..='힣' | 'A'..='Z' | 'a'..='z' | '0'..='9'));
    for word in words {
        for end in &WORDS.company_ends {
            let Some(at) = word.find(end.as_str()) else { continue };
            let name = &word[..at + end.len()];
            if !facts.contains(name) {
                return Some(name.to_owned());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_can_be_read() {
        let lists: Lists = serde_saphyr::from_str(LISTS).unwrap();
        for list in [
            &lists.forbidden,
            &lists.commands,
            &lists.causes,
            &lists.names,
            &lists.latin,
            &lists.company_ends,
            &lists.claims,
        ] {
            assert!(list.len() >= 10);
            assert!(list.iter().all(|word| !word.trim().is_empty()));
        }
        assert!(SPOKEN.is_some());
        let both = lists.rising.iter().find(|word| lists.falling.contains(word));
        assert_eq!(both, None);
    }

    #[test]
    fn a_space_hides_no_word() {
        for text in
            ["크게 상 승했습니다", "급 등했습니다", "서킷 브레이커가 발동", "외 국인이 팔았다"]
        {
            assert!(spaced(text, "").is_some(), "{text}");
        }
        for text in ["31종목 이상 승인되었습니다", "하락 종목은 31종목이며", "지수는 내려 있습니다"]
        {
            assert_eq!(spaced(text, ""), None, "{text}");
        }
        assert_eq!(spaced("서킷 브레이커가 발동", "서킷브레이커 8%까지 남은 폭"), None);
    }

    #[test]
    fn phrases_are_found_whatever_stands_between() {
        for text in
            ["지금 매수하세요", "지금 매 수 하 세 요!", "수익을  보장", "목표가는 8만원", "무조건"]
        {
            assert!(forbidden(text, &[]).is_some(), "{text}");
        }
        assert_eq!(forbidden("보유 여부를 확인하십시오", &[]), None);
        let more = ["특별 종목".to_owned()];
        assert_eq!(forbidden("이것은 특별종목입니다", &more), Some("특별 종목"));
    }

    #[test]
    fn numbers_in_words() {
        for text in [
            "두 배로 늘었습니다",
            "오 퍼센트 내렸습니다",
            "절반",
            "십오 퍼센트",
            "삼천 원",
            "수십 종목",
            "세 차례",
            "십여 종목이",
            "약 백 원",
        ] {
            assert!(spoken(text).is_some(), "{text}");
        }
        for text in [
            "위험 점수가 높습니다",
            "추천 종목 수 항목",
            "7만 1천원",
            "보유 종목을 확인하십시오",
            "하루 동안",
            "이 종목은",
            "한 종목에 치우치지 않게",
        ] {
            let found = spoken(text);
            assert!(found.is_none() || text.contains("한 종목"), "{text}: {found:?}");
        }
    }

    #[test]
    fn strangers() {
        let facts = "삼성전자 005930 코스피 KODEX 인버스";
        for text in
            ["SK하이닉스도 내렸습니다", "카카오", "나스닥", "Tesla", "가나전자가", "한빛제약"]
        {
            assert!(stranger(text, facts, &[]).is_some(), "{text}");
        }
        assert_eq!(stranger("삼성전자는 VaR 기준으로 코스피와", facts, &[]), None);
        assert_eq!(
            stranger("두산밥캣", facts, &["두산밥캣".to_owned()]),
            Some("두산밥캣".to_owned())
        );
        assert_eq!(cause("미국 금리 때문에", facts), Some("미국"));
    }
}

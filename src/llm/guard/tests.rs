use proptest::prelude::*;

use super::*;
use crate::llm::answer;
use crate::llm::examples::{GOOD_ALERT, GOOD_MARKET, alert, all};
use crate::llm::facts::Fact;
use crate::llm::request::ReportRequest;

fn judge(request: &ReportRequest, answer: &str) -> Result<Vec<String>, Refusal> {
    let facts = Facts::of(request);
    check(&answer::statements(answer)?, &facts, &Rules::default())
}

fn market() -> ReportRequest {
    all().into_iter().find(|request| matches!(request, ReportRequest::MarketRisk(_))).unwrap()
}

#[test]
fn good_answers_pass_without_their_citations() {
    for (request, answer) in [(alert(), GOOD_ALERT), (market(), GOOD_MARKET)] {
        let facts = Facts::of(&request);
        let shown = judge(&request, answer)
            .unwrap_or_else(|refusal| panic!("{refusal}\n{}", facts.table()));
        assert!(shown.iter().all(|text| !text.contains("[F")), "{shown:?}");
    }
}

/// A statement of a fact as it stands in the table, each figure with its id.
fn recited(facts: &Facts, id: usize, fact: &Fact) -> String {
    let about =
        fact.about.as_deref().map_or_else(String::new, |code| format!("{}의 ", facts.call(code)));
    let table = facts.table();
    let line = table.lines().nth(id - 1).unwrap();
    let mut value = line.rsplit(" | ").next().unwrap().to_owned();
    // Every sentence says where it is from.
    let last = value.trim_end_matches('.').rsplit(". ").next().unwrap_or_default();
    if !last.contains("[F") {
        value = format!("{}[F{id}]", value.trim_end_matches('.'));
    }
    format!("{about}{} {value}", fact.label)
}

#[test]
fn every_fact_can_be_stated() {
    for request in all().into_iter().chain(crate::llm::examples::computed()) {
        let facts = Facts::of(&request);
        let known = facts.text();
        for (index, fact) in facts.rows().enumerate() {
            let text = recited(&facts, index + 1, fact);
            let cited = [cite::Cited::read(&text)];
            let judged = grounding::check(&cited, &facts, &known);
            // A label with a figure of its own (the time of an event) cannot be recited like this.
            let spoken =
                !fact.label.contains(|c: char| c.is_ascii_digit()) || fact.label.contains("VaR");
            // Nor one that speaks of both directions.
            let both = [true, false]
                .map(|rising| words::directions(&text).iter().any(|(_, r)| *r == rising));
            assert!(judged.is_ok() || !spoken || both == [true, true], "{text}: {judged:?}");
            // Its own words are none that it could not hold.
            assert_eq!(words::spoken(&text), None, "{text}");
            assert_eq!(words::claim(&text, &known), None, "{text}");
            assert_eq!(words::forbidden(&text, &[]), None, "{text}");
        }
    }
}

#[test]
fn rounding_and_other_spellings_pass() {
    for (from, to) in [
        ("5.33%[F7]", "5.3%[F7]"),
        ("5.33%[F7] 하락하여", "-5.33%[F7] 변동하여"),
        ("71,000원[F5]", "71000원[F5]"),
        ("71,000원[F5]", "7만 1천원 [F5]"),
        ("88.1점[F9]", "88점[F9]"),
        ("2024년 8월 5일 9시 0분 21초[F4]", "8월 5일 오전 9시[F4]"),
        ("2024년 8월 5일 9시 0분 21초[F4]", "2024-08-05 09:00:21(F4)"),
        ("최근 5분[F8] 사이 5.33%[F7] 하락하여", "최근 5분 사이[F8] 5.33% 하락하여[F7]"),
        ("최근 5분[F8]", "최근 300초[F8]"),
    ] {
        let answer = GOOD_ALERT.replacen(from, to, 1);
        assert_ne!(answer, GOOD_ALERT, "{from}");
        assert!(judge(&alert(), &answer).is_ok(), "{to}: {:?}", judge(&alert(), &answer));
    }
}

/// A changed answer, and the class in which it must be refused.
#[test]
fn what_is_not_a_fact_is_refused() {
    for (from, to, class) in [
        ("5.33%[F7]", "6.33%[F7]", "number"),
        ("5.33%[F7]", "5%[F7]", "number"),
        ("5.33%[F7]", "5.4%[F7]", "number"),
        ("5.33%[F7]", "5.331%[F7]", "number"),
        ("5.33%[F7]", "5.33%", "uncited"),
        ("5.33%[F7]", "5.33%[F99]", "unknown_fact"),
        ("5.33%[F7]", "5.33%[F7, F9]", "uncited"),
        ("5.33%[F7]", "5.33%p[F7]", "unit"),
        ("5.33%[F7]", "5.33배[F7]", "unit"),
        ("5.33%[F7] 하락하여", "5.33%[F7] 상승하여", "direction"),
        ("5.33%[F7] 하락하여", "+5.33%[F7] 변동하여", "direction"),
        ("5.33%[F7] 하락하여", "5.33%[F7] 움직여", "direction"),
        ("71,000원[F5]", "72,000원[F5]", "number"),
        ("71,000원[F5]", "71,000[F5]", "unit"),
        ("71,000원[F5]", "75,000원[F5]", "number"),
        ("현재 71,000원[F5]", "현재 75,000원[F6]", "misplaced"),
        ("비교 기준은 75,000원[F6]", "비교 기준은 71,000원[F5]", "misplaced"),
        ("71,000원[F5]", "칠만천원[F5]", "spoken_number"),
        ("88.1점[F9]", "88.9점[F9]", "number"),
        ("88.1점[F9]", "100점 만점에 88.2점[F9]", "number"),
        ("최근 5분[F8]", "최근 10분[F8]", "number"),
        ("8월 5일 9시 0분 21초[F4]", "8월 6일 9시 0분 21초[F4]", "number"),
        ("8월 5일 9시 0분 21초[F4]", "8월 5일 오후 9시[F4]", "number"),
        ("삼성전자(005930)[F1]", "삼성전자(000660)[F1]", "code"),
        ("삼성전자(005930)[F1]", "삼성전자(005935)[F1]", "code"),
        ("삼성전자(005930)[F1]", "삼성전자우(005930)[F1]", "code"),
        ("삼성전자(005930)[F1]", "SK하이닉스(005930)[F1]", "name"),
        ("삼성전자(005930)[F1]", "해당 종목[F1]", "subject"),
        ("사이", "사이 SK하이닉스와 함께", "name"),
        ("사이", "사이 미국 금리 때문에", "cause"),
        ("사이", "사이 두 배로", "spoken_number"),
        ("보유 여부와", "지금 매수하세요. 보유 여부와", "forbidden"),
        ("보유 여부와", "수익을 보장합니다. 보유 여부와", "forbidden"),
        ("보유 여부와", "곧 반등할 것입니다. 보유 여부와", "forbidden"),
        ("보유 여부와", "삼성전자는 좋은 회사입니다. 보유 여부와", "unfounded"),
        ("보유 여부와", "https://x.io 를 보고 보유 여부와", "form"),
        ("보유 여부와", "<b>보유</b> 여부와", "form"),
        ("보유 여부와", "①보유 여부와", "uncited"),
        ("보유 여부와", "７만원 보유 여부와", "uncited"),
        ("0원[F14]이 되고", "0원[F14]으로 늘어나고", "direction"),
        ("27,100원[F16]", "2만 8천원[F16]", "number"),
    ] {
        let answer = GOOD_ALERT.replacen(from, to, 1);
        assert_ne!(answer, GOOD_ALERT, "{from}");
        let refusal = judge(&alert(), &answer).expect_err(to);
        assert_eq!(refusal.class(), class, "{to}: {refusal}");
    }
}

#[test]
fn a_true_figure_of_another_issue_is_refused() {
    for (from, to, class) in [
        (
            "카카오(035720)의 위험 점수는 71.5점[F13]",
            "카카오(035720)의 위험 점수는 88.1점[F9]",
            "misplaced",
        ),
        (
            "카카오(035720)의 위험 점수는 71.5점[F13]",
            "카카오(035720)의 위험 점수는 88.1점[F13]",
            "number",
        ),
        ("하락 종목은 31종목[F5]", "하락 종목은 7종목[F4]", "misplaced"),
        ("평균 위험 점수는 43.2점[F3]", "삼성전자의 위험 점수는 43.2점[F3]", "misplaced"),
        ("등락률은 -5.33%[F11]", "등락률은 5.33%[F11]", "direction"),
    ] {
        let answer = GOOD_MARKET.replacen(from, to, 1);
        assert_ne!(answer, GOOD_MARKET, "{from}");
        let refusal = judge(&market(), &answer).expect_err(to);
        assert_eq!(refusal.class(), class, "{to}: {refusal}");
    }
}

#[test]
fn language_and_length() {
    let english = r#"{"statements":["Samsung Electronics fell 5.33%[F7] to 71,000원[F5] within minutes, as VaR says."]}"#;
    assert_eq!(judge(&alert(), english).unwrap_err().class(), "language");
    let long = serde_json::json!({ "statements": vec!["보유 여부를 확인하십시오.".repeat(4); 40] })
        .to_string();
    assert_eq!(judge(&alert(), &long).unwrap_err().class(), "too_long");
    assert_eq!(judge(&alert(), r#"{"statements":["짧음"]}"#).unwrap_err().class(), "too_short");
    let own = Rules { forbidden: vec!["확인하십시오".to_owned()], names: Vec::new() };
    let statements = answer::statements(GOOD_ALERT).unwrap();
    let refusal = check(&statements, &Facts::of(&alert()), &own).unwrap_err();
    assert_eq!(refusal.class(), "forbidden");
}

/// A row of the corpus of answers that models really give, and worse ones.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Bad {
    name: String,
    /// The class it must be refused in.
    class: String,
    answer: String,
    /// `alert` unless it says `market`.
    #[serde(default)]
    about: String,
}

#[test]
fn the_corpus_of_bad_answers_is_refused() {
    let text = include_str!("../../../tests/golden/llm/bad_answers.yaml");
    let corpus: Vec<Bad> = serde_saphyr::from_str(text).unwrap();
    assert!(corpus.len() >= 60, "{}", corpus.len());
    let mut names = std::collections::BTreeSet::new();
    let mut wrong = Vec::new();
    for bad in &corpus {
        assert!(names.insert(&bad.name), "{} is there twice", bad.name);
        let request = if bad.about == "market" { market() } else { alert() };
        match judge(&request, &bad.answer) {
            Ok(shown) => wrong.push(format!("{}: accepted as {shown:?}", bad.name)),
            Err(refusal) if refusal.class() != bad.class => {
                wrong.push(format!(
                    "{}: {} and not {} ({refusal})",
                    bad.name,
                    refusal.class(),
                    bad.class
                ));
            }
            Err(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A phrase of a good answer and what stands in its place.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Hole {
    name: String,
    class: String,
    #[serde(default)]
    about: String,
    from: String,
    to: String,
}

#[test]
fn ways_to_slip_past_are_closed() {
    let text = include_str!("../../../tests/golden/llm/holes.yaml");
    let holes: Vec<Hole> = serde_saphyr::from_str(text).unwrap();
    let mut wrong = Vec::new();
    for hole in &holes {
        let (request, good) = good(hole.about != "market");
        let answer: Vec<String> = answer::statements(good)
            .unwrap()
            .iter()
            .map(|statement| statement.replacen(&hole.from, &hole.to, 1))
            .collect();
        assert_ne!(answer, answer::statements(good).unwrap(), "{}", hole.name);
        match check(&answer, &Facts::of(&request), &Rules::default()) {
            Ok(_) => wrong.push(format!("{}: accepted: {}", hole.name, hole.to)),
            Err(refusal) if refusal.class() != hole.class => wrong.push(format!(
                "{}: {} and not {} ({refusal})",
                hole.name,
                refusal.class(),
                hole.class
            )),
            Err(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A figure of a good answer: where its text stands, and its digits.
fn figures(answer: &str) -> Vec<(usize, String)> {
    let form = regex::Regex::new(r"([0-9][0-9,]*(?:\.[0-9]+)?)(?:%|원|점|종목|배)\[F").unwrap();
    form.captures_iter(answer)
        .map(|found| (found.get(1).unwrap().start(), found[1].to_owned()))
        .collect()
}

fn good(which: bool) -> (ReportRequest, &'static str) {
    if which { (alert(), GOOD_ALERT) } else { (market(), GOOD_MARKET) }
}

proptest! {
    #[test]
    fn a_changed_digit_is_always_caught(which in any::<bool>(), at in 0usize..100, digit in 0usize..10, by in 1u8..10) {
        let (request, good) = good(which);
        let figures = figures(good);
        let (start, text) = &figures[at % figures.len()];
        let digits: Vec<usize> = text.char_indices().filter(|(_, c)| c.is_ascii_digit()).map(|(at, _)| at).collect();
        let place = start + digits[digit % digits.len()];
        let mut bytes = good.as_bytes().to_vec();
        bytes[place] = b'0' + (bytes[place] - b'0' + by) % 10;
        let changed = String::from_utf8(bytes).unwrap();
        prop_assert_ne!(&changed, good);
        prop_assert!(judge(&request, &changed).is_err(), "{}", changed);
    }

    #[test]
    fn a_figure_swapped_for_another_true_fact_is_always_caught(which in any::<bool>(), at in 0usize..100, other in 0usize..100) {
        let (request, good) = good(which);
        let figures = figures(good);
        let (start, text) = &figures[at % figures.len()];
        let (_, instead) = &figures[other % figures.len()];
        prop_assume!(text != instead);
        let mut changed = good.to_owned();
        changed.replace_range(*start..start + text.len(), instead);
        prop_assert!(judge(&request, &changed).is_err(), "{}", changed);
    }

    #[test]
    fn a_figure_with_the_citation_of_another_fact_is_always_caught(at in 0usize..100, id in 1usize..40) {
        let form = regex::Regex::new(r"(?:%|원|점|배)\[F([0-9]+)\]").unwrap();
        let places: Vec<_> = form.captures_iter(GOOD_ALERT).map(|found| found.get(1).unwrap().range()).collect();
        let place = places[at % places.len()].clone();
        // A fact that holds the same figure says the same.
        let facts = Facts::of(&alert());
        let figures = |id: usize| facts.rows().nth(id - 1).map(Fact::quantities).unwrap_or_default();
        let own = figures(GOOD_ALERT[place.clone()].parse().unwrap());
        prop_assume!(figures(id).iter().all(|figure| !own[0].states(figure)));
        let mut changed = GOOD_ALERT.to_owned();
        changed.replace_range(place, &id.to_string());
        prop_assert!(judge(&alert(), &changed).is_err(), "{}", changed);
    }

    #[test]
    fn any_answer_is_judged(answer in "\\PC{0,120}", mixed in "[0-9,.%원점종목F\\[\\]()가나다하락상승 \n]{0,120}") {
        let _ = judge(&alert(), &answer);
        if let Ok(shown) = judge(&alert(), &mixed) {
            prop_assert!(shown.iter().all(|text| !text.contains(|c: char| c.is_ascii_digit())), "{:?}", shown);
        }
    }
}

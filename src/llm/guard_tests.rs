use proptest::prelude::*;

use super::*;
use crate::llm::clean::clean;
use crate::llm::examples::{GOOD_ALERT, alert, all};
use crate::llm::template;

fn facts() -> Facts {
    Facts::of(&alert())
}

fn verdict(answer: &str) -> Result<(), Refusal> {
    check(&clean(answer), &facts())
}

#[test]
fn a_grounded_answer_passes_in_any_wrapping() {
    for answer in [
        GOOD_ALERT.to_owned(),
        format!("```markdown\n{GOOD_ALERT}\n```"),
        format!("<think>5.33 or 9.99?</think>{GOOD_ALERT}"),
        serde_json::json!({ "body": GOOD_ALERT }).to_string(),
        format!("```json\n{}\n```", serde_json::json!({ "report": GOOD_ALERT })),
        GOOD_ALERT.replace("5.33%", "5.3%"),
        GOOD_ALERT.replace("71,000원", "71000원"),
        GOOD_ALERT.replace("88.1점", "88점 [F8]"),
    ] {
        assert_eq!(verdict(&answer), Ok(()), "{answer}");
    }
}

#[test]
fn what_is_not_a_fact_is_refused() {
    for (from, to) in [
        ("5.33%", "6.33%"),
        ("5.33%", "5%"),
        ("5.33% 하락", "5.33% 상승"),
        ("5.33%", "+5.33%"),
        ("71,000원", "72,000원"),
        ("71,000원", "71,000%"),
        ("27,100원", "2만 8천원"),
        ("88.1점", "88.9점"),
        ("5분", "１０분"),
        ("위험", "6대 위험"),
    ] {
        let answer = GOOD_ALERT.replacen(from, to, 1);
        assert!(
            matches!(verdict(&answer), Err(Refusal::Number(_))),
            "{to}: {:?}",
            verdict(&answer)
        );
    }
    for (from, to) in [("005930", "005935"), ("005930", "000660"), ("삼성전자", "삼성전자(00088K)")]
    {
        let answer = GOOD_ALERT.replacen(from, to, 1);
        assert!(matches!(verdict(&answer), Err(Refusal::Code(_))), "{to}: {:?}", verdict(&answer));
    }
}

#[test]
fn form_language_and_length() {
    let english = "Samsung Electronics fell by 5.33% to 71,000 within the last minutes; the risk score is 88.1 now.";
    assert!(matches!(verdict(english), Err(Refusal::Language(_))));
    assert_eq!(verdict(""), Err(Refusal::TooShort(0)));
    assert!(matches!(verdict(&GOOD_ALERT.repeat(20)), Err(Refusal::TooLong(..))));
    for (addition, form) in
        [("<script>x</script>", "HTML"), (" http://example.com", "링크"), (" ```x```", "코드 블록")]
    {
        assert_eq!(verdict(&format!("{GOOD_ALERT}{addition}")), Err(Refusal::Form(form)));
    }
    let json = serde_json::json!({ "summary": { "내용": GOOD_ALERT } }).to_string();
    assert_eq!(verdict(&json), Err(Refusal::Form("JSON")));
    let promise = format!("{GOOD_ALERT} 무조건 회복합니다.");
    assert_eq!(verdict(&promise), Err(Refusal::Promise("무조건")));
    let nameless = GOOD_ALERT.replace("삼성전자(005930)", "해당 종목");
    assert!(matches!(verdict(&nameless), Err(Refusal::Subject(_))));
}

#[test]
fn every_template_is_grounded_in_its_own_facts() {
    for request in all() {
        let facts = Facts::of(&request);
        let body = template::fill(&facts, "").body;
        let stated = body.split("\n---\n").next().unwrap();
        assert_eq!(grounded(stated, &facts), Ok(()), "{body}");
        assert_eq!(language(stated), Ok(()), "{body}");
    }
}

#[test]
fn what_advice_really_says_is_grounded() {
    for request in crate::llm::examples::computed() {
        let facts = Facts::of(&request);
        let body = template::fill(&facts, "").body;
        let stated = body.split("\n---\n").next().unwrap();
        assert_eq!(check(stated, &facts).and_then(|()| grounded(stated, &facts)), Ok(()), "{body}");
    }
}

proptest! {
    #[test]
    fn an_invented_number_never_passes(number in 100_000_000u64..u64::MAX, at in 0usize..3) {
        // Larger than any fact.
        let place = ["5.33%", "71,000원", "88.1점"][at];
        let answer = GOOD_ALERT.replacen(place, &format!("{number}원"), 1);
        prop_assert!(matches!(verdict(&answer), Err(Refusal::Number(_))));
    }

    #[test]
    fn any_answer_is_judged(answer in "\\PC{0,120}") {
        let _ = verdict(&answer);
        let _ = grounded(&answer, &facts());
    }
}

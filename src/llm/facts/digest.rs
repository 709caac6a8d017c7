//! Facts of many alerts at once.

use std::sync::Arc;

use crate::advice::korean::signed_percent;
use crate::messages::{Level, OutwardEvent};

use super::alert::{EventData, rule_name};
use super::{Facts, Issue, Section, fact, moment, score, terms};

/// Alerts told one by one; the others are counted.
const SHOWN: usize = 12;

const LEVELS: [(Level, &str); 3] =
    [(Level::Critical, "심각"), (Level::Warning, "경고"), (Level::Watch, "관심")];

pub(super) fn of_digest(events: &[Arc<OutwardEvent>]) -> Facts {
    let mut worst: Vec<&OutwardEvent> = events.iter().map(Arc::as_ref).collect();
    let seriousness = |event: &OutwardEvent| EventData::of(event).number("score").unwrap_or(0.0);
    worst.sort_by(|a, b| {
        let score = seriousness(b).total_cmp(&seriousness(a));
        b.level.cmp(&a.level).then(score).then_with(|| a.id.cmp(&b.id))
    });
    let first = events.iter().map(|event| event.time).min().unwrap_or_default();
    let last = events.iter().map(|event| event.time).max().unwrap_or_default();
    let mut overview = vec![
        fact("알림 수", format!("{}건", events.len())).named(&["알림", "모두", "총"]),
        fact("첫 알림 시각", moment(first)).named(&["첫", "부터"]),
        fact("마지막 알림 시각", moment(last)).named(&["마지막", "까지"]),
    ];
    for (level, label) in LEVELS {
        let count = events.iter().filter(|event| event.level == Some(level)).count();
        if count > 0 {
            let terms: &[&str] = match level {
                Level::Critical => &["심각"],
                Level::Warning => &["경고"],
                Level::Watch => &["관심"],
            };
            overview
                .push(fact(format!("{label} 단계"), format!("{count}건")).named(terms).strict());
        }
    }
    let mut rules: Vec<(String, usize)> = Vec::new();
    for event in events {
        let rule = EventData::of(event).text("rule").to_owned();
        match rules.iter_mut().find(|(known, _)| *known == rule) {
            Some((_, count)) => *count += 1,
            None => rules.push((rule, 1)),
        }
    }
    rules.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let kinds = rules
        .iter()
        .map(|(rule, count)| fact(format!("유형별: {}", rule_name(rule)), format!("{count}건")));
    overview.extend(kinds.take(SHOWN));

    let (mut rows, mut issues) = (Vec::new(), Vec::<Issue>::new());
    for event in worst.iter().take(SHOWN) {
        let data = EventData::of(event);
        // What is about no issue (an index, the market) stands under its name.
        let issue =
            data.issue().unwrap_or_else(|| Issue { code: data.call(), name: String::new() });
        if issues.iter().any(|known| known.code == issue.code) {
            continue;
        }
        let mut facts = vec![
            fact("유형", data.rule()),
            fact("단계", data.level()),
            fact("시각", event.time.time_of_day().to_string()),
        ];
        facts.extend(data.price("price").map(|price| fact("현재 값", price).named(terms::PRICE)));
        facts.extend(
            data.change().map(|change| fact("변동률", signed_percent(change)).named(terms::CHANGE)),
        );
        facts.extend(
            data.number("score")
                .filter(|value| *value > 0.0)
                .map(|value| fact("위험 점수", score(value)).named(terms::SCORE)),
        );
        rows.extend(facts.into_iter().map(|fact| fact.about(&issue.code)));
        issues.push(issue);
    }
    let lead =
        format!("{}부터 {}까지 알림 {}건이 있었습니다.", moment(first), moment(last), events.len());
    let mut sources: Vec<String> = events.iter().map(|event| event.id.clone()).collect();
    sources.sort();
    sources.dedup();
    Facts {
        kind: "alert_digest",
        subject: sources.first().cloned().unwrap_or_default(),
        title: format!("알림 묶음: {}건", events.len()),
        lead,
        sections: vec![Section::list("전체", overview), Section::by_issue("심각한 순서", rows)],
        subjects: Vec::new(),
        issues,
        as_of: last,
        sources,
    }
}

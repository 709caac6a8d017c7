//! Facts of a week.

use crate::advice::korean::{signed_percent, won};
use crate::llm::request::WeekSummary;

use super::alert::rule_name;
use super::{Facts, Issue, Section, fact, index_fact, index_issue, name, points, score, terms};

pub(super) fn of_week(week: &WeekSummary) -> Facts {
    let mut market = vec![
        fact("첫날", week.from.to_string()).named(&["첫", "부터"]),
        fact("마지막 날", week.to.to_string()).named(&["마지막", "까지"]),
        fact("거래일 수", format!("{}거래일", week.sessions)),
    ];
    for index in &week.indices {
        let label = name(&index.name);
        let change = signed_percent(index.change_pct);
        market.extend([
            index_fact(&label, "마감", &points(index.last), terms::LEVEL),
            index_fact(&label, "주간 등락률", &change, terms::CHANGE),
        ]);
    }
    let [watch, warning, critical] = week.crashes;
    let mut alerts = vec![
        fact("급락 알림 (심각)", format!("{critical}건")).named(&["심각"]).strict(),
        fact("급락 알림 (경고)", format!("{warning}건")).named(&["경고"]).strict(),
        fact("급락 알림 (관심)", format!("{watch}건")).named(&["관심"]).strict(),
    ];
    alerts.extend(
        week.threats.iter().map(|(rule, count)| {
            fact(format!("유형별: {}", rule_name(rule)), format!("{count}건"))
        }),
    );
    let (mut riskiest, mut issues) = (Vec::new(), Vec::new());
    for row in &week.riskiest {
        let issue = Issue { code: row.symbol.to_string(), name: name(&row.name) };
        let facts = [
            fact("주중 최고 위험 점수", score(row.score)).named(terms::SCORE),
            fact("마지막 가격", won(row.price)).named(terms::PRICE),
            fact("주간 등락률", signed_percent(row.change_pct)).named(terms::CHANGE),
        ];
        riskiest.extend(facts.map(|fact| fact.about(&issue.code)));
        issues.push(issue);
    }
    // Behind the others: the first issue is the one with the highest risk.
    issues.extend(week.indices.iter().map(|index| index_issue(&name(&index.name))));
    let mut advice = Vec::new();
    if let Some(picks) = week.picks {
        advice.push(fact("추천 건수", format!("{}건", picks.judged)).named(terms::PICKED));
        advice.push(
            fact("추천 뒤 오른 건수", format!("{}건", picks.rose)).named(terms::RISING).strict(),
        );
        advice.push(
            fact("추천 뒤 평균 등락률", signed_percent(picks.mean_change_pct))
                .named(terms::MEAN_SCORE)
                .strict(),
        );
    }
    if let Some(writing) = week.writing {
        advice
            .push(fact("언어 모델 작성 요청", format!("{}건", writing.requests)).named(&["요청"]));
        advice.push(
            fact("검사를 통과한 글", format!("{}건", writing.valid)).named(&["통과"]).strict(),
        );
    }
    let lead = match week.indices.first() {
        Some(index) => format!(
            "{}부터 {}까지 {}거래일 동안 {} {} 움직여 {}로 마감했고, 급락 알림은 심각 {critical}건, 경고 {warning}건이었습니다.",
            week.from,
            week.to,
            week.sessions,
            with_topic(&name(&index.name)),
            signed_percent(index.change_pct),
            points(index.last)
        ),
        None => format!(
            "{}부터 {}까지 {}거래일 동안 급락 알림은 심각 {critical}건, 경고 {warning}건이었습니다.",
            week.from, week.to, week.sessions
        ),
    };
    Facts {
        kind: "weekly_review",
        subject: week.to.to_string(),
        title: format!("주간 위험 점검: {} ~ {}", week.from, week.to),
        lead,
        sections: vec![
            Section::list("시장", market),
            Section::list("알림", alerts),
            Section::by_issue("위험 점수가 높았던 종목", riskiest),
            Section::list("추천과 보고서", advice),
        ],
        subjects: Vec::new(),
        issues,
        as_of: week.as_of,
        sources: week.sources.clone(),
    }
}

/// The name with its particle: `코스피는`, `코스닥은`.
fn with_topic(name: &str) -> String {
    // Syllables stand in blocks of 28, the first of each without a final consonant.
    let last = name.chars().last().map_or(0, u32::from);
    let is_closed = (0xac00..=0xd7a3).contains(&last) && !(last - 0xac00).is_multiple_of(28);
    format!("{name}{}", if is_closed { "은" } else { "는" })
}

#[cfg(test)]
mod tests {
    use super::with_topic;

    #[test]
    fn particles() {
        assert_eq!(
            (with_topic("코스피").as_str(), with_topic("코스닥").as_str()),
            ("코스피는", "코스닥은")
        );
    }
}

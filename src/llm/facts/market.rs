//! Facts of the market as a whole, at a moment of a day.

use crate::advice::korean::{signed_percent, won};
use crate::llm::request::MarketSummary;

use super::alert::EventData;
use super::{
    Facts, Issue, Section, fact, index_fact, index_issue, moment, name, points, score, terms,
};

pub(super) fn of_market(summary: &MarketSummary) -> Facts {
    let mut overview = vec![fact("기준 시각", moment(summary.as_of))];
    for index in &summary.indices {
        let change = signed_percent(index.change_pct);
        overview.extend([
            index_fact(&index.name, "지수", &points(index.level), terms::LEVEL),
            index_fact(&index.name, "전일 대비 등락률", &change, terms::CHANGE),
        ]);
    }
    overview.extend([
        fact("감시 종목 수", format!("{}종목", summary.issues))
            .named(terms::WATCHED)
            .never(terms::BOARDS),
        fact("평균 위험 점수", score(summary.mean_score)).named(terms::MEAN_SCORE).strict(),
        fact("상승 종목 수", format!("{}종목", summary.rising))
            .named(terms::RISING)
            .strict()
            .never(terms::BOARDS),
        fact("하락 종목 수", format!("{}종목", summary.falling))
            .named(terms::FALLING)
            .strict()
            .never(terms::BOARDS),
    ]);
    if let Some(counts) = summary.alerts {
        for (label, terms, count) in [
            ("심각 단계 알림", &["심각"] as &[&str], counts[2]),
            ("경고 단계 알림", &["경고"], counts[1]),
            ("관심 단계 알림", &["관심"], counts[0]),
        ] {
            overview.push(fact(label, format!("{count}건")).named(terms).strict());
        }
    }
    let (mut riskiest, mut issues) = (Vec::new(), Vec::new());
    for row in &summary.riskiest {
        let issue = Issue { code: row.symbol.to_string(), name: name(&row.name) };
        let facts = [
            fact("위험 점수", score(row.score)).named(terms::SCORE),
            fact("현재가", won(row.price)).named(terms::PRICE),
            fact("등락률", signed_percent(row.change_pct)).named(terms::CHANGE),
            fact("일 변동성 예측", format!("{:.2}%", row.daily_volatility_pct))
                .named(terms::VOLATILITY),
        ];
        riskiest.extend(facts.map(|fact| fact.about(&issue.code)));
        issues.push(issue);
    }
    let mut events = Vec::new();
    for event in &summary.events {
        let data = EventData::of(event);
        let mut value = format!("{} {} {} 단계", data.call(), data.rule(), data.level());
        if let Some(change) = data.change() {
            value.push_str(&format!(", 변동률 {}", signed_percent(change)));
        }
        events.push(fact(moment(event.time), value));
        issues.extend(
            data.issue()
                .filter(|issue| issues.iter().all(|known: &Issue| known.code != issue.code)),
        );
    }
    // Behind the others: the first issue is the one with the highest risk.
    issues.extend(summary.indices.iter().map(|index| index_issue(&index.name)));
    let indices: Vec<String> = summary
        .indices
        .iter()
        .map(|index| {
            let change = signed_percent(index.change_pct);
            format!("{} {}(전일 대비 {change})", index.name, points(index.level))
        })
        .collect();
    let indices = match indices.is_empty() {
        true => String::new(),
        false => format!(" {}.", indices.join(", ")),
    };
    let lead = format!(
        "{} 기준 감시 {}종목의 평균 위험 점수는 {:.1}점이며, 상승 {}종목, 하락 {}종목입니다.{indices}",
        moment(summary.as_of),
        summary.issues,
        summary.mean_score,
        summary.rising,
        summary.falling
    );
    Facts {
        kind: "market_risk",
        subject: "market".to_owned(),
        title: format!("시장 위험 보고서: {}", summary.as_of.session_day()),
        lead,
        sections: vec![
            Section::list("시장 전반", overview),
            Section::by_issue("위험이 높은 종목", riskiest),
            Section::list("최근 사건", events),
        ],
        subjects: Vec::new(),
        issues,
        as_of: summary.as_of,
        sources: summary.events.iter().map(|event| event.id.clone()).collect(),
    }
}

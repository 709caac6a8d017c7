//! Facts of picks and of defence plans.

use crate::advice::korean::{grouped, name_and_code, signed_percent, won};
use crate::messages::advice::{Basis, MitigationPlan, PlanOption, RecommendationSet};

use super::{Fact, Facts, Issue, Section, fact, moment, name, score, terms};

/// Reasons of a pick that are told.
const REASONS: usize = 5;

pub(super) fn of_recommendation(set: &RecommendationSet) -> Facts {
    let scenario = match set.scenario.as_str() {
        "default" => "기본".to_owned(),
        other => name(other),
    };
    let mut basis = vec![
        fact("시나리오", &scenario),
        fact("기준 시각", moment(set.as_of)),
        fact("검토 종목 수", format!("{}종목", set.universe)).named(terms::LOOKED_AT),
        fact("조건 충족 종목 수", format!("{}종목", set.eligible)).named(terms::ELIGIBLE),
        fact("추천 종목 수", format!("{}종목", set.picks.len())).named(terms::PICKED),
        fact(
            "선정 기준",
            match set.basis {
                Basis::Ranked => "과거 검증에서 우위가 확인된 순위 모형",
                Basis::LowRisk => "수익 우위의 판단 근거 부족, 낮은 위험과 비용",
                Basis::None => "해당 없음",
            },
        ),
    ];
    let issues: Vec<Issue> = set
        .picks
        .iter()
        .map(|pick| Issue { code: pick.symbol.to_string(), name: name(&pick.name) })
        .collect();
    let lead = match (set.picks.first(), issues.first()) {
        (Some(best), Some(issue)) => {
            let invested: f64 = set.picks.iter().map(|pick| pick.weight * 100.0).sum();
            let cash = (100.0 - invested).max(0.0);
            basis.push(
                fact("투자 비중 합계", format!("{invested:.2}%")).named(terms::TOTAL).strict(),
            );
            basis.push(fact("현금 비중", format!("{cash:.2}%")).named(terms::CASH).strict());
            format!(
                "{scenario} 시나리오의 추천 1순위는 {}이며 비중은 {:.2}%입니다.",
                name_and_code(&issue.name, &issue.code),
                best.weight * 100.0
            )
        }
        _ => format!("{scenario} 시나리오에서 추천하는 종목은 없습니다."),
    };
    basis.push(fact("유의 사항", &set.note));
    let (mut picks, mut reasons) = (Vec::new(), Vec::new());
    for (pick, issue) in set.picks.iter().zip(&issues) {
        let rows = [
            fact("순위", format!("{}순위", pick.rank)),
            fact("비중", format!("{:.2}%", pick.weight * 100.0)).named(terms::WEIGHT),
            fact("현재가", won(pick.price)).named(terms::PRICE),
            fact("위험 점수", score(pick.score)).named(terms::SCORE),
            fact("일 변동성 예측", format!("{:.2}%", pick.daily_volatility_pct))
                .named(terms::VOLATILITY),
            fact("순위값", format!("{:.4}", pick.value)).named(terms::RANK_VALUE),
        ];
        picks.extend(rows.map(|row| row.about(&issue.code)));
        let told = pick.reasons.iter().take(REASONS);
        reasons.extend(told.map(|reason| fact("근거", reason).about(&issue.code)));
    }
    Facts {
        kind: "recommendation",
        subject: scenario.clone(),
        title: format!("추천 종목: {scenario} 시나리오"),
        lead,
        subjects: subjects(&issues),
        sections: vec![
            Section::list("기준", basis),
            Section::by_issue("추천 종목", picks),
            Section::by_issue("종목별 근거", reasons),
        ],
        issues,
        as_of: set.as_of,
        sources: vec![set.id.clone()],
    }
}

fn subjects(issues: &[Issue]) -> Vec<String> {
    let texts = issues.iter().flat_map(|issue| [issue.name.clone(), issue.code.clone()]);
    texts.filter(|text| !text.is_empty()).collect()
}

/// Korean name of a catalogue action.
fn action_name(action: &str) -> &str {
    match action {
        "wait" => "관망",
        "trim" => "일부 매도",
        "stop" => "손절 기준",
        "trailing_stop" => "추적 손절 기준",
        "hedge_inverse_etf" => "인버스 헤지",
        "rotate_low_risk" => "저위험 전환",
        "raise_cash" => "전량 현금화",
        other => other,
    }
}

/// The facts of one defence.
pub(super) fn option_facts(option: &PlanOption) -> Vec<Fact> {
    let label = action_name(&option.action);
    if let Some(why) = &option.infeasible {
        return vec![fact(format!("{label}: 내용"), format!("실행 불가 - {why}"))];
    }
    let mut facts = vec![
        fact(format!("{label}: 순위"), format!("{}순위", option.rank)),
        fact(format!("{label}: 내용"), &option.description),
        fact(format!("{label}: 조치 전 95% VaR"), won(option.risk_before)).named(terms::BEFORE),
        fact(format!("{label}: 조치 후 95% VaR"), won(option.risk_after)).named(terms::AFTER),
    ];
    if option.risk_before > 0 && option.risk_after != option.risk_before {
        let change = (option.risk_after as f64 / option.risk_before as f64 - 1.0) * 100.0;
        facts
            .push(fact(format!("{label}: 위험 변화"), signed_percent(change)).named(terms::CHANGE));
    }
    facts.push(fact(format!("{label}: 비용"), won(option.cost)).named(terms::COST).strict());
    facts
}

/// How long the risks of a plan look ahead.
pub(super) fn horizon_fact(plan: &MitigationPlan) -> Fact {
    fact("평가 기간", format!("{}거래일", plan.horizon_sessions)).named(&["기간", "동안"])
}

pub(super) fn of_mitigation(plan: &MitigationPlan) -> Facts {
    let shown = name(&plan.name);
    let is_portfolio = plan.subject == "portfolio";
    let subject = match (is_portfolio, shown.is_empty()) {
        (true, true) => "포트폴리오".to_owned(),
        (true, false) => format!("포트폴리오({shown})"),
        (false, _) => name_and_code(&shown, &plan.subject),
    };
    let assumed = if plan.assumed_position { "가정한 값" } else { "사용자 보유분" };
    let basis = vec![
        fact("대상", &subject),
        fact("기준 시각", moment(plan.as_of)),
        fact("보유금액", format!("{} ({assumed})", won(plan.position_value))).named(terms::HELD),
        horizon_fact(plan),
        fact(
            "계산 방법",
            format!(
                "{}개 경로 모의실험의 95% VaR, 모든 방안에 같은 경로. 비용은 수수료, 세금, 반 스프레드, 체결 미끄러짐의 합",
                grouped(i64::try_from(plan.paths).unwrap_or(i64::MAX))
            ),
        ),
    ];
    let lead = plan.options.first().map_or_else(
        || format!("{subject}에 대한 방안이 없습니다."),
        |best| {
            format!(
                "{subject} 보유금액 {}({assumed}) 기준 1순위 방안은 {}입니다. {}거래일 95% VaR은 {}에서 {}으로 바뀌고 비용은 {}입니다.",
                won(plan.position_value),
                action_name(&best.action),
                plan.horizon_sessions,
                won(best.risk_before),
                won(best.risk_after),
                won(best.cost)
            )
        },
    );
    let issues = match is_portfolio {
        true => Vec::new(),
        false => vec![Issue { code: plan.subject.clone(), name: shown }],
    };
    let subjects =
        if is_portfolio { vec!["포트폴리오".to_owned()] } else { subjects(&issues) };
    let options = plan.options.iter().flat_map(option_facts).collect();
    Facts {
        kind: "mitigation",
        subject: plan.event_id.clone(),
        title: format!("방어 계획: {subject}"),
        lead,
        sections: vec![Section::list("기준", basis), Section::by_option("방안", options)],
        subjects,
        issues,
        as_of: plan.as_of,
        sources: vec![plan.id.clone(), plan.event_id.clone()],
    }
}

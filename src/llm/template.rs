//! Reports without a language model: the facts under their headings.

use std::fmt::Write as _;

use crate::messages::advice::{Report, ReportOrigin};

use super::facts::Facts;

/// How a template's text is marked.
pub const MARK: &str = "(자동 생성: 템플릿)";

/// What stands under every report.
pub const DISCLAIMER: &str = "투자 판단의 책임은 투자자 본인에게 있습니다. 이 보고서는 시세 자료를 자동으로 정리한 참고 자료이며 매매 권유가 아닙니다. 수치는 기준 시각의 추정치이고 수익을 보장하지 않습니다.";

/// The report on `facts`, filled in; `fallback_reason` is empty unless a model should have
/// written it. Pure: equal facts give equal reports.
#[must_use]
pub fn fill(facts: &Facts, fallback_reason: &str) -> Report {
    let mut body = format!("{MARK}\n\n{}\n", facts.lead);
    for section in &facts.sections {
        // Writing to a `String` cannot fail.
        let _ = write!(body, "\n## {}\n\n", section.heading);
        for fact in &section.rows {
            let _ = writeln!(body, "- **{}**: {}", fact.label, fact.value);
        }
    }
    let _ = write!(body, "\n---\n\n{DISCLAIMER}\n");
    report(facts, body, ReportOrigin::Template, fallback_reason, "")
}

/// The report on `facts` with a model's checked text.
#[must_use]
pub fn of_model(facts: &Facts, text: &str, model: &str) -> Report {
    let body =
        format!("(작성: 언어 모델 {model}, 수치는 자동 대조함)\n\n{text}\n\n---\n\n{DISCLAIMER}\n");
    report(facts, body, ReportOrigin::Model, "", model)
}

fn report(
    facts: &Facts,
    body: String,
    origin: ReportOrigin,
    fallback_reason: &str,
    model: &str,
) -> Report {
    Report {
        id: facts.report_id(),
        kind: facts.kind.to_owned(),
        title: facts.title.clone(),
        body,
        as_of: facts.as_of,
        origin,
        fallback_reason: fallback_reason.to_owned(),
        model: model.to_owned(),
        sources: facts.sources.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::examples::{alert, all};
    use crate::messages::OutwardEvent;

    fn body(request: &crate::llm::ReportRequest) -> String {
        fill(&Facts::of(request), "").body
    }

    #[test]
    fn an_alert_reads_like_this() {
        let report = fill(&Facts::of(&alert()), "");
        assert_eq!(report.title, "[경고] 삼성전자(005930) 종목 급락");
        assert_eq!(report.kind, "crash_alert");
        let expected = "(자동 생성: 템플릿)

2024-08-05 09:00:21 (한국시간)에 삼성전자(005930)의 종목 급락 경고 단계가 감지되었습니다. 최근 5분 -5.33% 변동하여 71,000원입니다.

## 무슨 일인가

- **대상**: 삼성전자(005930)
- **유형**: 종목 급락
- **단계**: 경고
- **발생 시각**: 2024-08-05 09:00:21 (한국시간)
- **현재 값**: 71,000원
- **비교 값**: 75,000원
- **변동률**: -5.33% (최근 5분)
- **위험 점수**: 88.1점 (100점 만점)

## 판단 근거

- **z**: -7.25

## 대응 방안

- **방안 1순위**: 전량 현금화: 140주 전량을 71,000원에 매도하여 현금화합니다. 1일 95% VaR 490,539원 → 0원, 비용 27,100원
";
        assert!(report.body.starts_with(expected), "{}", report.body);
        assert!(report.body.ends_with(&format!("{DISCLAIMER}\n")));
    }

    #[test]
    fn every_kind_is_marked_and_disclaimed() {
        let requests = all();
        let kinds: Vec<_> = requests.iter().map(|request| request.kind()).collect();
        for kind in ["crash_alert", "threat_alert", "recommendation", "mitigation", "market_risk"] {
            assert!(kinds.contains(&kind), "{kind}");
        }
        let mut ids = std::collections::BTreeSet::new();
        for request in &requests {
            let report = fill(&Facts::of(request), "이유");
            assert!(report.body.starts_with(MARK) && report.body.contains(DISCLAIMER));
            assert_eq!(report.fallback_reason, "이유");
            assert_eq!(report.kind, request.kind());
            ids.insert(report.id);
        }
        // Two examples share the set's and two the plan's id.
        assert_eq!(ids.len(), requests.len() - 2);
    }

    #[test]
    fn each_kind_says_its_numbers() {
        let bodies: Vec<String> = all().iter().map(body).collect();
        for (index, words) in [
            (1, &["코스피", "2,441.55포인트", "-8.77% (전일 종가 대비)"][..]),
            (2, &["시세 수신", "시세 끊김"]),
            (3, &["비중 20.00%", "순위값 0.0421", "현금 비중**: 80.00%"]),
            (4, &["추천 없음"]),
            (5, &["10,000,000원 (가정한 값)", "490,539원 → 0원", "실행 불가 - 하한가에 있습니다"]),
            (6, &["포트폴리오(코스피)"]),
            (7, &["평균 위험 점수**: 43.2점", "위험 1위", "코스피 시장 급락 경고 단계"]),
        ] {
            for word in words {
                assert!(bodies[index].contains(word), "{word}\n{}", bodies[index]);
            }
        }
    }

    #[test]
    fn a_name_cannot_write_markup() {
        let crate::llm::ReportRequest::Alert { event, .. } = alert() else { unreachable!() };
        let mut data = event.data().clone();
        data["name"] = "<b>[나쁜](http)\n# 이름|".into();
        let (id, subject) = (event.id.clone(), event.subject.as_str());
        let event = OutwardEvent::new(event.kind, id, subject, subject, event.time, &data);
        let request = crate::llm::ReportRequest::Alert { event: event.into(), plan: None };
        let body = body(&request);
        assert!(body.contains("b 나쁜 (http) 이름"), "{body}");
        assert!(!body.contains('<') && !body.contains("]("), "{body}");
    }
}

//! The facts a report may state: one table, from which the template is filled, the prompt is made
//! and an answer is checked.

use crate::advice::korean::{grouped, name_and_code, won};
use crate::market::EventTime;
use crate::market::identity::deterministic_id;
use crate::messages::advice::{Basis, MitigationPlan, PlanOption, RecommendationSet};

use super::alert_facts;
use super::request::ReportRequest;

/// Most rows of a table; picks and options beyond are left out, lowest ranks first.
pub const MAX_ROWS: usize = 90;
/// Most characters of one value.
const MAX_VALUE_CHARS: usize = 300;

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What it is, Korean.
    pub label: String,
    /// Its value with unit, Korean.
    pub value: String,
}

/// Facts under a heading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Heading, Korean.
    pub heading: &'static str,
    /// The facts.
    pub rows: Vec<Fact>,
}

/// Everything a report may state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Kind of the report.
    pub kind: &'static str,
    /// Title, Korean.
    pub title: String,
    /// The most important facts as a sentence or two, Korean.
    pub lead: String,
    /// The facts by section.
    pub sections: Vec<Section>,
    /// Names or codes of which an answer must mention one; empty when any answer will do.
    pub subjects: Vec<String>,
    /// As of.
    pub as_of: EventTime,
    /// Ids of events, picks and plans.
    pub sources: Vec<String>,
}

impl Facts {
    /// The facts of a request.
    #[must_use]
    pub fn of(request: &ReportRequest) -> Self {
        let mut facts = match request {
            ReportRequest::Alert { event, plan } => {
                alert_facts::of_alert(request.kind(), event, plan.as_deref())
            }
            ReportRequest::Recommendation(set) => of_recommendation(set),
            ReportRequest::Mitigation(plan) => of_mitigation(plan),
            ReportRequest::MarketRisk(summary) => alert_facts::of_market(summary),
        };
        let mut left = MAX_ROWS;
        for section in &mut facts.sections {
            section.rows.truncate(left);
            left -= section.rows.len();
        }
        facts.sections.retain(|section| !section.rows.is_empty());
        facts
    }

    /// All facts in order.
    pub fn rows(&self) -> impl Iterator<Item = &Fact> {
        self.sections.iter().flat_map(|section| &section.rows)
    }

    /// Id of the report: the same for the same kind, moment and sources, whoever writes it.
    #[must_use]
    pub fn report_id(&self) -> String {
        let micros = self.as_of.micros().to_string();
        let mut parts = vec!["report", self.kind, micros.as_str()];
        parts.extend(self.sources.iter().map(String::as_str));
        deterministic_id(&parts)
    }

    /// The table as text, one numbered fact a line.
    #[must_use]
    pub fn table(&self) -> String {
        self.rows()
            .enumerate()
            .map(|(index, fact)| format!("F{} | {} | {}\n", index + 1, fact.label, fact.value))
            .collect()
    }
}

/// `text` on one line, without characters that mean something in Markdown, HTML or the fact
/// table, and not too long. Names come from outside.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut space = true;
    for character in text.chars().take(MAX_VALUE_CHARS) {
        let marks = matches!(character, '|' | '<' | '>' | '`' | '[' | ']' | '*' | '_' | '#' | '\\');
        if character.is_control() || character.is_whitespace() || marks {
            if !space {
                plain.push(' ');
            }
            space = true;
        } else {
            plain.push(character);
            space = false;
        }
    }
    plain.trim_end().to_owned()
}

/// A fact; the value is made [`plain`].
pub(super) fn fact(label: impl Into<String>, value: impl AsRef<str>) -> Fact {
    Fact { label: label.into(), value: plain(value.as_ref()) }
}

/// Korean date and time of day.
pub(super) fn moment(time: EventTime) -> String {
    format!("{} {} (한국시간)", time.session_day(), time.time_of_day())
}

fn of_recommendation(set: &RecommendationSet) -> Facts {
    let scenario = plain(&set.scenario);
    let mut basis = vec![
        fact("시나리오", &scenario),
        fact("기준 시각", moment(set.as_of)),
        fact("검토 종목 수", format!("{}종목", set.universe)),
        fact("조건 충족 종목 수", format!("{}종목", set.eligible)),
        fact("추천 종목 수", format!("{}종목", set.picks.len())),
        fact(
            "선정 기준",
            match set.basis {
                Basis::Ranked => "과거 검증에서 우위가 확인된 순위 모형",
                Basis::LowRisk => "수익 우위의 판단 근거 부족, 낮은 위험과 비용",
                Basis::None => "해당 없음",
            },
        ),
    ];
    let lead = match set.picks.first() {
        None => plain(&set.note),
        Some(best) => {
            let invested: f64 = set.picks.iter().map(|pick| pick.weight * 100.0).sum();
            let cash = (100.0 - invested).max(0.0);
            basis.push(fact("투자 비중 합계", format!("{invested:.2}%")));
            basis.push(fact("현금 비중", format!("{cash:.2}%")));
            format!(
                "{scenario} 시나리오의 추천 1순위는 {}이며 비중은 {:.2}%입니다.",
                plain(&name_and_code(&best.name, best.symbol.as_str())),
                best.weight * 100.0
            )
        }
    };
    basis.push(fact("유의 사항", &set.note));
    let mut picks = Vec::new();
    for pick in &set.picks {
        let name = name_and_code(&pick.name, pick.symbol.as_str());
        picks.push(fact(
            format!("추천 {}순위", pick.rank),
            format!(
                "{name}, 비중 {:.2}%, 현재가 {}, 위험 점수 {:.1}점, 일 변동성 예측 {:.2}%, 순위값 {:.4}",
                pick.weight * 100.0,
                won(pick.price),
                pick.score,
                pick.daily_volatility_pct,
                pick.value
            ),
        ));
        for reason in pick.reasons.iter().take(6) {
            picks.push(fact(format!("{}순위 근거", pick.rank), reason));
        }
    }
    Facts {
        kind: "recommendation",
        title: format!("추천 종목: {scenario}"),
        lead,
        sections: vec![
            Section { heading: "기준", rows: basis },
            Section { heading: "추천과 근거", rows: picks },
        ],
        subjects: set
            .picks
            .iter()
            .flat_map(|pick| [plain(&pick.name), pick.symbol.to_string()])
            .filter(|subject| !subject.is_empty())
            .collect(),
        as_of: set.as_of,
        sources: vec![set.id.clone()],
    }
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

pub(super) fn option_fact(option: &PlanOption, horizon: u32) -> Fact {
    let action = action_name(&option.action);
    let value = match &option.infeasible {
        Some(why) => format!("{action}: 실행 불가 - {why}"),
        None => format!(
            "{action}: {} {horizon}일 95% VaR {} → {}, 비용 {}",
            option.description,
            won(option.risk_before),
            won(option.risk_after),
            won(option.cost)
        ),
    };
    fact(format!("방안 {}순위", option.rank), value)
}

fn of_mitigation(plan: &MitigationPlan) -> Facts {
    let subject = if plan.subject == "portfolio" {
        let name = plain(&plan.name);
        if name.is_empty() {
            "포트폴리오".to_owned()
        } else {
            format!("포트폴리오({name})")
        }
    } else {
        plain(&name_and_code(&plan.name, &plan.subject))
    };
    let assumed = if plan.assumed_position { "가정한 값" } else { "사용자 보유분" };
    let basis = vec![
        fact("대상", &subject),
        fact("기준 시각", moment(plan.as_of)),
        fact("보유금액", format!("{} ({assumed})", won(plan.position_value))),
        fact(
            "계산 방법",
            format!(
                "{}거래일 {}개 경로 모의실험의 95% VaR, 모든 방안에 같은 경로. 비용은 수수료, 세금, 반 스프레드, 체결 미끄러짐의 합",
                plan.horizon_sessions,
                grouped(i64::try_from(plan.paths).unwrap_or(i64::MAX))
            ),
        ),
    ];
    let lead = plan.options.first().map_or_else(
        || format!("{subject}에 대한 방안이 없습니다."),
        |best| {
            format!(
                "{subject} 보유금액 {}({assumed}) 기준 1순위 방안은 {}입니다. {}일 95% VaR은 {}에서 {}으로 바뀌고 비용은 {}입니다.",
                won(plan.position_value),
                action_name(&best.action),
                plan.horizon_sessions,
                won(best.risk_before),
                won(best.risk_after),
                won(best.cost)
            )
        },
    );
    let name = plain(&plan.name);
    let subjects = if plan.subject == "portfolio" {
        vec!["포트폴리오".to_owned()]
    } else {
        vec![name, plan.subject.clone()]
    };
    Facts {
        kind: "mitigation",
        title: format!("방어 계획: {subject}"),
        lead,
        sections: vec![
            Section { heading: "기준", rows: basis },
            Section {
                heading: "방안",
                rows: plan
                    .options
                    .iter()
                    .map(|option| option_fact(option, plan.horizon_sessions))
                    .collect(),
            },
        ],
        subjects: subjects.into_iter().filter(|subject| !subject.is_empty()).collect(),
        as_of: plan.as_of,
        sources: vec![plan.id.clone(), plan.event_id.clone()],
    }
}

/// An index level in hundredths of a point, `2,441.55포인트`.
pub(super) fn points(level: i64) -> String {
    let sign = if level < 0 { "-" } else { "" };
    let level = level.unsigned_abs();
    format!("{sign}{}.{:02}포인트", grouped((level / 100) as i64), level % 100)
}

//! What picks say for themselves, in Korean: each sentence with the number it rests on.

use std::collections::BTreeMap;

use super::expected::{Expectations, NoEdge, TraitPart};
use super::korean::signed_percent;
use super::limits::{Exclusion, ScenarioLimits};
use super::recommend::Ranked;
use super::types::Pick;

/// Traits that a pick names.
const NAMED: usize = 3;

/// What a trait measures.
fn korean(name: &str) -> &'static str {
    match name {
        "momentum_3_1" => "최근 1개월을 뺀 3개월 수익률",
        "return_1" => "전일 수익률",
        "return_5" => "최근 5일 수익률",
        "return_21" => "최근 1개월 수익률",
        "volatility_22" => "1개월 변동성",
        "volatility_66" => "3개월 변동성",
        "overnight_22" => "1개월 장외 수익률",
        "volume_5_66" => "최근 5일 거래량 증가",
        "volume_22_66" => "최근 1개월 거래량 증가",
        "value_traded" => "거래대금",
        "illiquidity_66" => "거래대금당 가격 변동",
        "zero_share_66" => "보합일 비율",
        "largest_day_22" => "1개월 최대 일수익률",
        "smallest_day_22" => "1개월 최저 일수익률",
        "below_high_66" => "3개월 고점과의 거리",
        "beta_66" => "시장 베타",
        "skewness_66" => "수익률 왜도",
        "price" => "주가 수준",
        _ => "기타 특성",
    }
}

/// What speaks for and against a pick, the strongest trait first.
pub(super) fn of_pick(
    ranked: &Ranked<'_>,
    found: Option<&Expectations>,
    limits: &ScenarioLimits,
) -> Vec<String> {
    let candidate = ranked.candidate;
    let horizon = limits.horizon_sessions;
    let mut strongest: Vec<&TraitPart> =
        ranked.traits.iter().filter(|part| part.return_pct != 0.0).collect();
    strongest
        .sort_by(|a, b| b.return_pct.abs().total_cmp(&a.return_pct.abs()).then(a.name.cmp(b.name)));
    let mut reasons: Vec<String> = strongest
        .into_iter()
        .take(NAMED)
        .map(|part| {
            let effect = if part.return_pct > 0.0 { "가점" } else { "감점" };
            format!(
                "{} 상위 {:.0}%: {horizon}일 기대수익에 {effect} {}p",
                korean(part.name),
                100.0 * (0.5 - part.rank),
                signed_percent(part.return_pct)
            )
        })
        .collect();
    if let Some(Expectations { evidence, .. }) = found {
        reasons.push(format!(
            "같은 방식의 과거 검증 {}주: {}일 적중률 {:.3} (95% 구간 {:.3} ~ {:.3}, 무작위 {:.3})",
            evidence.weeks,
            evidence.horizon,
            evidence.hit_ratio.mean,
            evidence.hit_ratio.low,
            evidence.hit_ratio.high,
            evidence.null_hit_ratio
        ));
    } else {
        reasons.push("수익 우위가 아니라 낮은 위험과 거래비용을 기준으로 선정".to_owned());
    }
    reasons
        .push(format!("{horizon}일 최악 2.5% 경우의 평균 손실 예측 {:.2}%", ranked.downside_pct));
    let mut risk = format!("위험 점수 {:.1}점", candidate.score);
    if let Some((name, amount)) = candidate.parts.largest() {
        risk.push_str(&format!(", 가장 큰 요인은 {name} {amount:.2}%"));
    }
    reasons.push(risk);
    reasons.push(format!(
        "왕복 거래비용 {:.2}% 차감 (스프레드 {:.2}% 포함)",
        ranked.cost_pct, candidate.spread_pct
    ));
    if candidate.over_gap {
        reasons.push("체결 일부 누락 구간이 있어 위험 점수가 실제보다 낮을 수 있음".to_owned());
    }
    reasons
}

/// What the picks rest on, and why there are none when there are none.
pub(super) fn note(
    picks: &[Pick],
    best: Option<f64>,
    exclusions: &BTreeMap<Exclusion, u32>,
    found: &Result<Expectations, NoEdge>,
    limits: &ScenarioLimits,
) -> String {
    let mut note = String::new();
    if let Err(why) = found {
        note.push_str(&format!("판단 근거 부족: {why}. "));
        if !picks.is_empty() {
            note.push_str("아래는 수익 우위가 아니라 위험이 낮고 분산된 구성입니다. ");
        }
    }
    if picks.is_empty() {
        note.push_str(&match best {
            None => "추천 없음: 조건을 충족하는 종목이 없습니다. ".to_owned(),
            Some(best) => format!(
                "추천 없음: 비용을 뺀 기대 우위가 부족합니다 (최고 순위값 {best:.4}, 기준 {:.4} 초과 필요). ",
                limits.min_value
            ),
        });
    }
    if !exclusions.is_empty() {
        let counts: Vec<String> = exclusions
            .iter()
            .map(|(exclusion, count)| format!("{} {count}종목", exclusion.korean()))
            .collect();
        note.push_str(&format!("제외: {}. ", counts.join(", ")));
    }
    note.push_str(
        "순위값은 비용을 뺀 기대수익을 예측 손실로 나눈 비교용 수치이며 수익을 약속하지 않습니다.",
    );
    note
}

//! An answer for people.

use crate::advice::korean::{name_and_code, signed_percent, won};
use crate::advice::scenario::ScenarioAnswer;
use crate::advice::scenario::answer::{HoldingAnswer, OutcomeAnswer};
use crate::advice::simulate::{Loss, RiskAtLevel};

/// Bars of the drawn histogram, and their longest.
const DRAWN: usize = 20;
const LONGEST: usize = 40;

/// The whole answer.
pub fn table(answer: &ScenarioAnswer) -> String {
    let mut text = head(answer);
    text.push_str(&holdings(answer));
    if let Some(outcome) = &answer.outcome {
        text.push_str(&distribution(outcome, answer.portfolio.value));
        text.push_str(&risk(outcome, answer.portfolio.value));
    } else {
        text.push_str("\n보유 종목이 없어 모의실험할 것이 없습니다 (현금만 있음).\n");
    }
    text.push_str(&picks(answer));
    text.push_str(&plan(answer));
    for note in &answer.notes {
        text.push_str(&format!("\n※ {}", note.text));
    }
    let model =
        answer.source.model.map_or_else(|| "등록되지 않은 모형".to_owned(), |id| id.to_string());
    text.push_str(&format!(
        "\n모형 {model} ({}까지 적합) · 자료 {} ({} – {})\n",
        answer.source.model_trained_until,
        &answer.source.data_sha256.get(..12).unwrap_or_default(),
        answer.source.data_from,
        answer.source.data_to
    ));
    text
}

/// An amount as whole won.
fn whole(amount: f64) -> String {
    // `as` saturates.
    won(amount.round() as i64)
}

fn head(answer: &ScenarioAnswer) -> String {
    format!(
        "시나리오 {} · 기준일 {} 종가 · {}거래일\n평가액 {} (현금 {})\n",
        answer.scenario.name,
        answer.as_of,
        answer.scenario.horizon_sessions,
        whole(answer.portfolio.value),
        whole(answer.portfolio.cash)
    )
}

fn holdings(answer: &ScenarioAnswer) -> String {
    let mut text = String::new();
    for held in &answer.portfolio.holdings {
        text.push_str(&holding(held));
    }
    if text.is_empty() {
        text
    } else {
        format!("\n보유 종목 (비중, 다음 거래일 변동성, 베타, 95% ES 기여)\n{text}")
    }
}

fn holding(held: &HoldingAnswer) -> String {
    let part = held.component.map_or_else(String::new, |part| {
        format!(", ES 기여 {}", whole(part.expected_shortfall[0]))
    });
    format!(
        "  {:<24} {:>16}  {:>5.1}%  변동성 {:>5.2}%  β {:>5.2}{part}{}\n",
        name_and_code(&held.name, held.symbol.as_str()),
        whole(held.value),
        100.0 * held.weight,
        held.daily_volatility_pct,
        held.beta,
        if held.halted { "  거래정지" } else { "" }
    )
}

fn distribution(outcome: &OutcomeAnswer, value: f64) -> String {
    let returns = &outcome.returns;
    let at = |probability: f64| {
        let found =
            returns.quantiles.iter().find(|one| (one.probability - probability).abs() < 1e-9);
        found.map_or_else(String::new, |one| signed_percent(100.0 * one.value))
    };
    let mut text = format!(
        "\n{}거래일 뒤 수익률 ({}개 경로, 시드 {})\n  5% {}   25% {}   중앙 {}   75% {}   95% {}\n",
        outcome.method.horizon_sessions,
        outcome.method.paths,
        outcome.method.seed,
        at(0.05),
        at(0.25),
        at(0.5),
        at(0.75),
        at(0.95)
    );
    text.push_str(&histogram(outcome));
    let worst = &outcome.drawdown;
    let fall = worst.quantiles.iter().find(|one| (one.probability - 0.95).abs() < 1e-9);
    text.push_str(&format!(
        "  도중 최대 낙폭: 평균 {:.1}%, 20번 중 한 번은 {:.1}% ({}) 이상\n",
        100.0 * worst.mean,
        100.0 * fall.map_or(worst.highest, |one| one.value),
        whole(value * fall.map_or(worst.highest, |one| one.value))
    ));
    text
}

/// Pairs of bars as one line each, the far tails left out.
fn histogram(outcome: &OutcomeAnswer) -> String {
    let bars = &outcome.returns.histogram;
    let pairs: Vec<u32> = bars
        .counts
        .chunks(bars.counts.len().div_ceil(DRAWN))
        .map(|pair| pair.iter().sum())
        .collect();
    let most = pairs.iter().copied().max().unwrap_or(1).max(1);
    let each = bars.width * bars.counts.len() as f64 / pairs.len().max(1) as f64;
    let mut text = String::new();
    for (at, count) in pairs.iter().enumerate() {
        let length = (*count as usize * LONGEST).div_ceil(most as usize);
        if length > 1 || (*count as usize * LONGEST * 2) >= most as usize {
            let from = 100.0 * (bars.from + at as f64 * each);
            text.push_str(&format!("  {from:>7.1}% {}\n", "█".repeat(length)));
        }
    }
    text
}

fn risk(outcome: &OutcomeAnswer, value: f64) -> String {
    let mut text = "\n위험 (± 모의실험 표준오차)\n".to_owned();
    for one in &outcome.risk {
        text.push_str(&level(one, value));
    }
    if let Some(budget) = &outcome.budget {
        let what = match budget.beyond.loss {
            Loss::AtHorizon(most) => format!("손실이 {:.1}%를 넘을", 100.0 * most),
            Loss::Drawdown(most) => format!("도중 낙폭이 {:.1}%를 넘을", 100.0 * most),
        };
        text.push_str(&format!(
            "  {what} 확률 {:.1}% ± {:.1}%p, 허용 {:.1}%: {}\n",
            100.0 * budget.beyond.probability,
            100.0 * budget.beyond.error,
            100.0 * budget.borne,
            if budget.kept { "예산 이내" } else { "예산 초과" }
        ));
    }
    text
}

/// What could be held.
fn picks(answer: &ScenarioAnswer) -> String {
    let mut text = format!("\n추천 {}종목\n", answer.picks.picks.len());
    for pick in &answer.picks.picks {
        text.push_str(&format!(
            "  {:>2}. {:<24} 비중 {:>5.1}%  기대 {}  하방 {:.1}%\n",
            pick.rank,
            name_and_code(&pick.name, pick.symbol.as_str()),
            100.0 * pick.weight,
            signed_percent(pick.expected_return_pct),
            pick.downside_pct
        ));
    }
    text.push_str(&format!("  {}\n", answer.picks.note));
    text
}

/// What could be done.
fn plan(answer: &ScenarioAnswer) -> String {
    let Some(plan) = &answer.plan else { return String::new() };
    let mut text = "\n방어책 (95% VaR 전 → 후, 비용)\n".to_owned();
    for option in &plan.options {
        let effect = match &option.infeasible {
            Some(why) => format!("불가: {why}"),
            None => format!(
                "{} → {}, {}",
                won(option.risk_before),
                won(option.risk_after),
                won(option.cost)
            ),
        };
        text.push_str(&format!("  {}. {}  {effect}\n", option.rank, option.description));
    }
    text
}

fn level(one: &RiskAtLevel, value: f64) -> String {
    format!(
        "  {:>5.1}%  VaR {:>16} ± {} ({:.2}%)   ES {:>16} ± {} ({:.2}%)\n",
        100.0 * one.level,
        whole(one.value_at_risk),
        whole(one.value_at_risk_error),
        100.0 * one.value_at_risk / value,
        whole(one.expected_shortfall),
        whole(one.expected_shortfall_error),
        100.0 * one.expected_shortfall / value
    )
}

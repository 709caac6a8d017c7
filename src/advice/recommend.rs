//! Picks for a scenario: who is eligible, in what order, how much of each.
//!
//! In: the candidates as the board shows them at one moment, each with its daily closes, and a
//! scenario's [`ScenarioLimits`]. Out: a [`RecommendationSet`].
//!
//! The ranking value is Σ factor contributions / downside: [`factors`](super::factors) over
//! [`downside_pct`]. Picks are taken greedily, best value first, leaving out those that a market's
//! cap or the correlation with an earlier pick forbids. Weights are by inverse volatility under a
//! cap; what the cap leaves over stays in cash.
//!
//! Limits: at most one quarter of daily closes, no fundamentals, no news. Survivors only: issues
//! no longer listed are not among the candidates. A set without picks is a valid answer and says
//! why.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::costs::TradingCosts;
use super::factors::{FactorInput, Factors, downside_pct, factors};
use super::korean::signed_percent;
pub use super::limits::{Exclusion, ScenarioLimits};
use super::statistics::{correlation, median};
use super::types::{Pick, RecommendationSet};
use crate::market::identity::deterministic_id;
use crate::market::{EventTime, Market, Reference, Won};

/// What a risk score is made of, per cent of price.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct DownsideParts {
    /// From volatility.
    pub volatility: f64,
    /// From the fall under way.
    pub drawdown: f64,
    /// From spread and thin depth.
    pub liquidity: f64,
    /// From unusual volume.
    pub volume: f64,
}

impl DownsideParts {
    /// The largest part, with its Korean name.
    #[must_use]
    pub fn largest(&self) -> Option<(&'static str, f64)> {
        [
            ("변동성", self.volatility),
            ("진행 중 하락", self.drawdown),
            ("유동성", self.liquidity),
            ("거래량", self.volume),
        ]
        .into_iter()
        .filter(|(_, amount)| amount.is_finite() && *amount > 0.0)
        .max_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// An issue as it stands at the moment of the recommendation.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Code, name, market, closes and volumes up to yesterday.
    pub reference: Arc<Reference>,
    /// Latest price, won.
    pub price: Won,
    /// Risk score, 0 to 100.
    pub score: f64,
    /// What the score is made of.
    pub parts: DownsideParts,
    /// Forecast standard deviation of one day's return, per cent.
    pub daily_volatility_pct: f64,
    /// Relative bid-ask spread, per cent; 0 when not known.
    pub spread_pct: f64,
    /// Change against the day's base price, per cent.
    pub change_pct: f64,
    /// Value traded today, won.
    pub cum_value: Won,
    /// Whether trades are missing in the window the score looks at.
    pub over_gap: bool,
}

/// An eligible candidate with its ranking value.
struct Ranked<'a> {
    candidate: &'a Candidate,
    returns: Vec<f64>,
    factors: Factors,
    parts_of_value: Vec<(String, f64)>,
    value: f64,
}

/// Ranked picks among `candidates` under `limits` as of `as_of`.
///
/// The order of the candidates does not matter: equal values are ordered by code. The id rests on
/// the scenario, the minute of `as_of` and the codes picked.
#[must_use]
pub fn recommend(
    candidates: &[Candidate],
    limits: &ScenarioLimits,
    as_of: EventTime,
) -> RecommendationSet {
    let mut exclusions: BTreeMap<Exclusion, u32> = BTreeMap::new();
    let mut eligible = Vec::new();
    for candidate in candidates {
        match limits.check(candidate) {
            Ok(returns) => eligible.push((candidate, returns)),
            Err(exclusion) => *exclusions.entry(exclusion).or_default() += 1,
        }
    }
    let eligible_count = eligible.len();
    let ranked = rank(eligible, limits, as_of);
    let best = ranked.first().map(|best| best.value);
    let chosen = diversify(ranked, limits);
    let volatilities: Vec<f64> =
        chosen.iter().map(|ranked| ranked.candidate.daily_volatility_pct).collect();
    let weights = inverse_volatility_weights(&volatilities, limits.max_weight);
    let picks: Vec<Pick> = chosen
        .into_iter()
        .zip(weights)
        .enumerate()
        .map(|(index, (ranked, weight))| pick(index as u32 + 1, ranked, weight, limits))
        .collect();
    let minute = as_of.minute().to_string();
    let mut id = vec!["recommendation", limits.name.as_str(), minute.as_str()];
    id.extend(picks.iter().map(|pick| pick.symbol.as_str()));
    RecommendationSet {
        id: deterministic_id(&id),
        scenario: limits.name.clone(),
        as_of,
        universe: candidates.len() as u32,
        eligible: eligible_count as u32,
        note: note(&picks, best, &exclusions, limits),
        picks,
    }
}

/// All eligible candidates, best value first.
fn rank<'a>(
    eligible: Vec<(&'a Candidate, Vec<f64>)>,
    limits: &ScenarioLimits,
    as_of: EventTime,
) -> Vec<Ranked<'a>> {
    let costs = limits.costs.unwrap_or_else(|| TradingCosts::of_day(as_of.session_day()));
    let volatilities: Vec<f64> =
        eligible.iter().map(|(candidate, _)| candidate.daily_volatility_pct).collect();
    let median_volatility_pct = median(&volatilities).unwrap_or(1.0);
    let mut ranked: Vec<Ranked<'_>> = eligible
        .into_iter()
        .map(|(candidate, returns)| {
            let closes = &candidate.reference.closes;
            let known = &closes[closes.len() - returns.len() - 1..];
            let last = known.last().copied().unwrap_or(candidate.price);
            let high = known.iter().copied().max().unwrap_or(0).max(candidate.price);
            let factors = factors(&FactorInput {
                returns: &returns,
                today: (candidate.price as f64 / last as f64).ln(),
                daily_volatility_pct: candidate.daily_volatility_pct,
                median_volatility_pct,
                nearness_to_high: candidate.price as f64 / high as f64,
                round_trip_pct: costs.round_trip_pct(candidate.spread_pct),
                horizon_sessions: limits.horizon_sessions,
            });
            let downside = downside_pct(
                candidate.daily_volatility_pct,
                limits.horizon_sessions,
                candidate.score,
            );
            let parts_of_value: Vec<(String, f64)> = factors
                .contributions
                .iter()
                .map(|(name, amount)| ((*name).to_owned(), amount / downside))
                .collect();
            let value = parts_of_value.iter().map(|(_, amount)| amount).sum();
            Ranked { candidate, returns, factors, parts_of_value, value }
        })
        .filter(|ranked| ranked.value.is_finite())
        .collect();
    ranked.sort_by(|a, b| {
        let codes = a.candidate.reference.symbol.cmp(&b.candidate.reference.symbol);
        b.value.total_cmp(&a.value).then(codes)
    });
    ranked
}

/// The best that exceed the least value, within the caps of market and correlation.
fn diversify<'a>(ranked: Vec<Ranked<'a>>, limits: &ScenarioLimits) -> Vec<Ranked<'a>> {
    let market_cap = limits.market_cap();
    let mut chosen: Vec<Ranked<'a>> = Vec::new();
    for ranked in ranked {
        if chosen.len() >= limits.max_picks || ranked.value <= limits.min_value {
            break;
        }
        let reference = &ranked.candidate.reference;
        let same = |other: &&Ranked<'_>| other.candidate.reference.market == reference.market;
        // Of an unknown market nothing can be said about concentration.
        let crowded = reference.market != Market::Unknown
            && limits.markets.len() != 1
            && chosen.iter().filter(same).count() >= market_cap;
        let similar = chosen.iter().any(|other| {
            other.candidate.reference.symbol == reference.symbol
                || correlation(&other.returns, &ranked.returns)
                    .is_some_and(|correlation| correlation > limits.max_correlation)
        });
        if !crowded && !similar {
            chosen.push(ranked);
        }
    }
    chosen
}

/// Weights proportional to 1/volatility, none above `cap`, together at most 1. What is cut off one
/// goes to the others in proportion; when all are at the cap, the rest stays in cash. Cut down to
/// hundredths of a per cent.
#[must_use]
pub fn inverse_volatility_weights(volatilities: &[f64], cap: f64) -> Vec<f64> {
    let cap = super::statistics::bounded(cap, 0.0, 1.0, 0.0);
    let inverse: Vec<f64> = volatilities
        .iter()
        .map(|volatility| 1.0 / super::statistics::bounded(*volatility, 0.01, 1e6, 1e6))
        .collect();
    let mut weights = vec![0.0; inverse.len()];
    let mut capped = vec![false; inverse.len()];
    // Each round but the last caps at least one more.
    for _ in 0..inverse.len() {
        let taken = capped.iter().filter(|capped| **capped).count() as f64 * cap;
        let left = (1.0 - taken).max(0.0);
        let total: f64 =
            inverse.iter().zip(&capped).filter(|(_, capped)| !**capped).map(|(w, _)| w).sum();
        let mut again = false;
        for index in 0..inverse.len() {
            if capped[index] {
                continue;
            }
            weights[index] = left * inverse[index] / total;
            if weights[index] > cap {
                weights[index] = cap;
                capped[index] = true;
                again = true;
            }
        }
        if !again {
            break;
        }
    }
    // The nudge keeps 0.2 from becoming 0.1999.
    weights.iter().map(|weight| (weight * 10_000.0 + 1e-6).floor() / 10_000.0).collect()
}

fn pick(rank: u32, ranked: Ranked<'_>, weight: f64, limits: &ScenarioLimits) -> Pick {
    let candidate = ranked.candidate;
    let reference = &candidate.reference;
    Pick {
        rank,
        symbol: reference.symbol,
        name: reference.name.clone(),
        weight,
        value: ranked.value,
        score: candidate.score,
        price: candidate.price,
        daily_volatility_pct: candidate.daily_volatility_pct,
        reasons: reasons(&ranked, limits),
        factors: ranked.parts_of_value,
    }
}

/// What speaks for and against it, the strongest factor first, each with its number.
fn reasons(ranked: &Ranked<'_>, limits: &ScenarioLimits) -> Vec<String> {
    let candidate = ranked.candidate;
    let mut factors: Vec<(&'static str, f64)> = ranked
        .factors
        .contributions
        .into_iter()
        .filter(|(name, amount)| *name != "market_premium" && *name != "cost" && *amount != 0.0)
        .collect();
    factors.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(b.0)));
    let mut reasons: Vec<String> = factors
        .into_iter()
        .take(3)
        .map(|(name, amount)| {
            let effect = if amount > 0.0 { "가점" } else { "감점" };
            let basis = match name {
                "momentum_60" => format!(
                    "최근 5일을 뺀 {}일 수익률 {}",
                    ranked.factors.momentum_sessions,
                    signed_percent(ranked.factors.momentum_pct)
                ),
                "momentum_20" => "20일 추세".to_owned(),
                "reversal_5" => format!(
                    "오늘 포함 최근 5일 수익률 {} (단기 되돌림)",
                    signed_percent(ranked.factors.recent_pct)
                ),
                "low_volatility" => {
                    format!("일 변동성 예측 {:.2}% (저변동성 효과)", candidate.daily_volatility_pct)
                }
                _ => "기간 고점과의 거리".to_owned(),
            };
            format!(
                "{basis}: {}일 기대수익에 {effect} {}p",
                limits.horizon_sessions,
                signed_percent(amount)
            )
        })
        .collect();
    let mut risk = format!("위험 점수 {:.1}점", candidate.score);
    if let Some((name, amount)) = candidate.parts.largest() {
        risk.push_str(&format!(", 가장 큰 요인은 {name} {amount:.2}%"));
    }
    reasons.push(risk);
    if let Some((_, cost)) = ranked.factors.contributions.iter().find(|(name, _)| *name == "cost") {
        reasons.push(format!(
            "왕복 거래비용 {:.2}% 차감 (스프레드 {:.2}% 포함)",
            -cost, candidate.spread_pct
        ));
    }
    if candidate.over_gap {
        reasons.push("체결 일부 누락 구간이 있어 위험 점수가 실제보다 낮을 수 있음".to_owned());
    }
    reasons
}

/// What the ranking is, and why there are no picks when there are none.
fn note(
    picks: &[Pick],
    best: Option<f64>,
    exclusions: &BTreeMap<Exclusion, u32>,
    limits: &ScenarioLimits,
) -> String {
    let mut note = String::new();
    if picks.is_empty() {
        note.push_str(&match best {
            None => "추천 없음: 조건을 충족하는 종목이 없습니다.".to_owned(),
            Some(best) => format!(
                "추천 없음: 비용을 뺀 기대 우위가 부족합니다 (최고 순위값 {best:.4}, 기준 {:.4} 초과 필요).",
                limits.min_value
            ),
        });
        note.push(' ');
    }
    if !exclusions.is_empty() {
        let counts: Vec<String> = exclusions
            .iter()
            .map(|(exclusion, count)| format!("{} {count}종목", exclusion.korean()))
            .collect();
        note.push_str(&format!("제외: {}. ", counts.join(", ")));
    }
    note.push_str(
        "순위값은 공개 연구의 요인을 크게 축소해 하방 위험으로 나눈 비교용 수치이며 수익을 약속하지 않습니다.",
    );
    note
}

#[cfg(test)]
#[path = "recommend_tests.rs"]
mod tests;

//! Picks for a scenario: who is eligible, in what order, how much of each.
//!
//! In: the candidates as the board shows them at one moment, each with its daily bars, a scenario's
//! [`ScenarioLimits`], and the model in use. Out: a [`RecommendationSet`].
//!
//! **Order.** The ranking value is the expected return over the horizon per unit of downside, both in
//! per cent. Expected are a premium for bearing market risk, what the model's ranking adds
//! ([`expected`](super::expected)), and minus the cost of a round trip. The downside is the mean loss
//! in the worst 2.5 % of cases over the horizon ([`downside_pct`]), from the model's forecast.
//!
//! **When the ranking has no edge**, because what it said in the past was not significant, the model
//! has none, or too few issues are watched, it adds nothing. The order is then that of premium less
//! cost per unit of downside: the calm and cheaply traded ones first. Such a set is a diversified basket
//! of low risk, is marked so ([`Basis::LowRisk`]), says first that there is no basis for a judgement
//! of returns, and claims none. A user gets that rather than nothing, because the question how to hold
//! shares at little risk has an answer without an edge. Where the cost is above the premium, as over a
//! few sessions, nothing is picked: cash is then the better of the two.
//!
//! **How much.** Picks are taken greedily, best value first, leaving out those that the number of a
//! market or the correlation with an earlier pick forbids; weights by
//! [`weights`](super::weights): inverse downside under the caps, scaled to the risk budget, the rest in
//! cash.
//!
//! Limits: four months of daily bars, no fundamentals, no news. Survivors only: issues no longer listed
//! are not among the candidates, nor among those the evidence rests on. A set without picks is a valid
//! answer and says why.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::costs::TradingCosts;
use super::expected::{Expectations, NoEdge, TraitPart, expectations};
pub use super::limits::{Exclusion, ScenarioLimits};
use super::reasons;
use super::statistics::{bounded, correlation};
use super::types::{Basis, Pick, RecommendationSet};
use super::weights::{Group, capped_weights, value_at_risk_pct, within_budget};
use crate::market::identity::deterministic_id;
use crate::market::{EventTime, Market, ModelId, Reference, Won};
use crate::model::FittedModel;
use crate::model::ranker::RankerModel;

/// Return for bearing the risk of shares, per cent a year: the premium of the world's shares over bonds
/// since 1900 (Dimson, Marsh & Staunton 2002), rounded up to costs of nothing. An assumption, the same
/// for every issue.
pub const PREMIUM_PCT_YEAR: f64 = 5.0;
/// Sessions in a year.
const YEAR_SESSIONS: f64 = 250.0;
/// Mean of the worst 2.5 % of a normal distribution, in deviations: where the model gives no tail.
const NORMAL_SHORTFALL_975: f64 = 2.338;

/// What a risk score is made of, per cent of price.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct DownsideParts {
    /// Forecast mean loss in the worst 2.5 % of days, from volatility.
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
    /// Code, name, market, daily bars up to yesterday.
    pub reference: Arc<Reference>,
    /// Sector; `None` where it is not known.
    pub sector: Option<Arc<str>>,
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

/// The ranking in use, and which model it belongs to.
#[derive(Debug, Default, Clone, Copy)]
pub struct RankingModel<'a> {
    /// Version of the model; `None` for one without a name, or none at all.
    pub id: Option<ModelId>,
    /// Its ranking.
    pub ranker: Option<&'a RankerModel>,
}

impl<'a> From<Option<&'a FittedModel>> for RankingModel<'a> {
    fn from(model: Option<&'a FittedModel>) -> Self {
        Self {
            id: model.map(|model| model.id),
            ranker: model.and_then(|model| model.document.ranker.as_ref()),
        }
    }
}

/// An eligible candidate with its ranking value.
pub(super) struct Ranked<'a> {
    pub(super) candidate: &'a Candidate,
    returns: Vec<f64>,
    /// Ranks and parts of the expected return; empty where nothing is expected of it.
    pub(super) traits: Vec<TraitPart>,
    /// Expected return over the horizon, per cent: premium, traits, cost.
    pub(super) premium_pct: f64,
    pub(super) cost_pct: f64,
    pub(super) downside_pct: f64,
    value: f64,
}

impl Ranked<'_> {
    pub(super) fn expected_pct(&self) -> f64 {
        let traits: f64 = self.traits.iter().map(|part| part.return_pct).sum();
        self.premium_pct + traits - self.cost_pct
    }

    /// Contributions that add up to the value.
    fn factors(&self) -> Vec<(String, f64)> {
        let traits = self.traits.iter().map(|part| (part.name, part.return_pct));
        std::iter::once(("market_premium", self.premium_pct))
            .chain(traits)
            .chain(std::iter::once(("cost", -self.cost_pct)))
            .map(|(name, pct)| (name.to_owned(), pct / self.downside_pct))
            .collect()
    }
}

/// Ranked picks among `candidates` under `limits` as of `as_of`.
///
/// The order of the candidates does not matter: equal values are ordered by code. The id rests on
/// the scenario, the minute of `as_of` and the codes picked.
#[must_use]
pub fn recommend(
    candidates: &[Candidate],
    limits: &ScenarioLimits,
    model: RankingModel<'_>,
    as_of: EventTime,
) -> RecommendationSet {
    // By code, so that nothing depends on the order they came in.
    let mut all: Vec<&Candidate> = candidates.iter().collect();
    all.sort_by_key(|candidate| candidate.reference.symbol);
    let found = expectations(&all, model.ranker, limits.horizon_sessions);
    let mut exclusions: BTreeMap<Exclusion, u32> = BTreeMap::new();
    let mut eligible = Vec::new();
    for (at, candidate) in all.into_iter().enumerate() {
        // Where issues are told apart, one that cannot be ranked is not among them.
        let traits = match &found {
            Ok(found) => found.issues[at].clone().ok_or(Exclusion::Unranked),
            Err(_) => Ok(Vec::new()),
        };
        match limits.check(candidate).and_then(|returns| Ok((candidate, returns, traits?))) {
            Ok(good) => eligible.push(good),
            Err(exclusion) => *exclusions.entry(exclusion).or_default() += 1,
        }
    }
    let eligible_count = eligible.len();
    let ranked = rank(eligible, limits, as_of);
    let best = ranked.first().map(|best| best.value);
    let chosen = diversify(ranked, limits);
    let (weights, var_pct) = weigh(&chosen, limits);
    let picks: Vec<Pick> = chosen
        .iter()
        .zip(&weights)
        .enumerate()
        .map(|(index, (ranked, weight))| pick(index as u32 + 1, ranked, *weight, &found, limits))
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
        basis: match (&found, picks.is_empty()) {
            (_, true) => Basis::None,
            (Ok(_), false) => Basis::Ranked,
            (Err(_), false) => Basis::LowRisk,
        },
        horizon_sessions: limits.horizon_sessions,
        cash: cash(&weights),
        var_pct,
        model: model.id,
        data_cut: candidates.iter().filter_map(|candidate| candidate.reference.day).max(),
        evidence: match &found {
            Ok(found) => Some(found.evidence.clone()),
            Err(_) => {
                let ranker = model.ranker;
                ranker.and_then(|ranker| ranker.low_risk_for(limits.horizon_sessions)).cloned()
            }
        },
        note: reasons::note(&picks, best, &exclusions, &found, limits),
        picks,
    }
}

/// What the weights leave over.
fn cash(weights: &[f64]) -> f64 {
    let invested: f64 = weights.iter().sum();
    ((1.0 - invested).max(0.0) * 10_000.0).round() / 10_000.0
}

/// Mean loss in the worst 2.5 % of cases over `horizon` sessions, per cent: the first day is the
/// score's downside with all its parts, the days after it the forecast alone, and days add up as
/// variances do. That takes the tail of one day for the tail of the sum, which is milder: the careful
/// side.
#[must_use]
pub fn downside_pct(candidate: &Candidate, horizon: u32) -> f64 {
    let DownsideParts { volatility, drawdown, liquidity, volume } = candidate.parts;
    let day = if volatility > 0.0 && volatility.is_finite() {
        volatility
    } else {
        NORMAL_SHORTFALL_975 * candidate.daily_volatility_pct
    };
    let positive = |part: f64| bounded(part, 0.0, 100.0, 0.0);
    let first = day + positive(drawdown) + positive(liquidity) + positive(volume);
    let later = f64::from(horizon.max(1)) - 1.0;
    bounded((first * first + later * day * day).sqrt(), 1e-6, 1e9, 1e9)
}

/// All eligible candidates, best value first.
fn rank<'a>(
    eligible: Vec<(&'a Candidate, Vec<f64>, Vec<TraitPart>)>,
    limits: &ScenarioLimits,
    as_of: EventTime,
) -> Vec<Ranked<'a>> {
    let costs = limits.costs.unwrap_or_else(|| TradingCosts::of_day(as_of.session_day()));
    let premium_pct = PREMIUM_PCT_YEAR * f64::from(limits.horizon_sessions.max(1)) / YEAR_SESSIONS;
    let mut ranked: Vec<Ranked<'_>> = eligible
        .into_iter()
        .filter_map(|(candidate, returns, traits)| {
            let mut ranked = Ranked {
                candidate,
                returns,
                traits,
                premium_pct,
                cost_pct: bounded(costs.round_trip_pct(candidate.spread_pct), 0.0, 100.0, 100.0),
                downside_pct: downside_pct(candidate, limits.horizon_sessions),
                value: 0.0,
            };
            ranked.value = ranked.expected_pct() / ranked.downside_pct;
            ranked.value.is_finite().then_some(ranked)
        })
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

/// Weights of the chosen within every limit, and their value at risk (95 %) over the horizon, per cent
/// of the capital.
fn weigh(chosen: &[Ranked<'_>], limits: &ScenarioLimits) -> (Vec<f64>, f64) {
    let strengths: Vec<f64> = chosen.iter().map(|ranked| 1.0 / ranked.downside_pct).collect();
    let daily: Vec<f64> =
        chosen.iter().map(|ranked| ranked.candidate.daily_volatility_pct).collect();
    let returns: Vec<Vec<f64>> = chosen.iter().map(|ranked| ranked.returns.clone()).collect();
    let weights = capped_weights(&strengths, limits.max_weight, &groups(chosen, limits));
    let horizon = limits.horizon_sessions;
    let weights = match limits.risk_budget {
        Some(budget) => within_budget(weights, &daily, &returns, horizon, budget),
        None => weights,
    };
    let var_pct = value_at_risk_pct(&weights, &daily, &returns, horizon);
    (weights, bounded(var_pct, 0.0, 1e9, 1e9))
}

/// Picks of one market, and of one sector where it is known.
fn groups(chosen: &[Ranked<'_>], limits: &ScenarioLimits) -> Vec<Group> {
    let markets = [Market::Kospi, Market::Kosdaq, Market::Other].into_iter().map(|market| {
        let same = |at: &usize| chosen[*at].candidate.reference.market == market;
        let members = (0..chosen.len()).filter(same).collect();
        Group { cap: limits.max_market_share, members }
    });
    let mut sectors: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, ranked) in chosen.iter().enumerate() {
        if let Some(sector) = &ranked.candidate.sector {
            sectors.entry(sector).or_default().push(at);
        }
    }
    let of_sector = |members| Group { cap: limits.max_sector_share, members };
    let sectors = sectors.into_values().map(of_sector);
    // Where only one market is wanted, a cap on it would only keep money back.
    markets.filter(|_| limits.markets.len() != 1).chain(sectors).collect()
}

fn pick(
    rank: u32,
    ranked: &Ranked<'_>,
    weight: f64,
    found: &Result<Expectations, NoEdge>,
    limits: &ScenarioLimits,
) -> Pick {
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
        expected_return_pct: ranked.expected_pct(),
        downside_pct: ranked.downside_pct,
        reasons: reasons::of_pick(ranked, found.as_ref().ok(), limits),
        factors: ranked.factors(),
    }
}

#[cfg(test)]
#[path = "recommend_tests.rs"]
pub(super) mod tests;

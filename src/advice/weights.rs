//! How much of each pick: weights under caps, scaled to a risk budget.
//!
//! Weights are in proportion to the inverse of each pick's downside, as far as the caps allow: all
//! rise together; a pick that reaches its own cap, or whose market or sector reaches its cap, stops
//! there and the others go on, until the capital is used or nothing can rise any more. What is left is
//! cash. Then all are scaled down together until the risk of the picks together is within the budget,
//! which is exact, because that risk grows in proportion. Weights are cut down to hundredths of a per
//! cent, never up.
//!
//! **Risk of the picks** over h sessions at 95 %, from their daily standard deviation σ
//! (forecast volatilities, correlations of closes): value at risk 1.645 σ √h; drawdown
//! 2.241 σ √h, the 95 % quantile of the largest fall from a high of a driftless Brownian motion: that
//! fall has the law of the largest distance from the start (Lévy 1948), whose tail is 4 Φ(−x) in the
//! first order. Both leave out tails fatter than normal over the whole horizon; `bongsu simulate` does
//! not.

use serde::{Deserialize, Serialize};

use super::statistics::{bounded, correlation};

/// The 95 % quantile of the standard normal distribution. A Student t scaled to the same variance has a
/// *smaller* one (1.51 at four degrees of freedom), so at this level the normal one is the careful choice.
const NORMAL_95: f64 = 1.645;
/// Correlation of two issues of which too few closes are known: about what large KOSPI issues show in
/// falling markets.
const ASSUMED_CORRELATION: f64 = 0.5;
/// The 95 % quantile of the largest fall of a driftless Brownian motion, in deviations of its end.
const DRAWDOWN_95: f64 = 2.241_4;
/// Weights are multiples of this.
const STEP: f64 = 1e-4;

/// How much a set of picks may lose.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RiskBudget {
    /// Value at risk (95 %) at the horizon, per cent of the capital.
    ValueAtRisk(f64),
    /// Largest fall from a high on the way (95 %), per cent of the capital.
    Drawdown(f64),
}

impl RiskBudget {
    /// A loss at the horizon that may be exceeded with probability 1 − `level`, brought to 95 % by the
    /// normal distribution.
    #[must_use]
    pub fn value_at_risk(loss_pct: f64, level: f64) -> Self {
        Self::ValueAtRisk(loss_pct * NORMAL_95 / of_level(level, [NORMAL_95, 1.960, 2.326]))
    }

    /// A fall from a high likewise, by the law of a Brownian motion's.
    #[must_use]
    pub fn drawdown(loss_pct: f64, level: f64) -> Self {
        Self::Drawdown(loss_pct * DRAWDOWN_95 / of_level(level, [DRAWDOWN_95, 2.497_7, 2.807]))
    }
}

/// The quantile of a level of 95, 97.5 or 99 %.
fn of_level(level: f64, [low, middle, high]: [f64; 3]) -> f64 {
    if level >= 0.99 {
        high
    } else if level >= 0.975 {
        middle
    } else {
        low
    }
}

/// Picks that have a cap in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Most they may weigh together, 0 to 1.
    pub cap: f64,
    /// Their places.
    pub members: Vec<usize>,
}

/// Weights in proportion to `strengths`, none above `cap`, no group above its own, together at most
/// 1. A strength that is not positive and finite gets nothing.
#[must_use]
pub fn capped_weights(strengths: &[f64], cap: f64, groups: &[Group]) -> Vec<f64> {
    let cap = bounded(cap, 0.0, 1.0, 0.0);
    let usable = |strength: &f64| strength.is_finite() && *strength > 0.0;
    let strongest = strengths.iter().copied().filter(usable).fold(f64::MIN_POSITIVE, f64::max);
    // Strengths as shares of the strongest: sums of them are finite. A billionth of it is nothing.
    let share = |strength: &f64| if usable(strength) { strength / strongest } else { 0.0 };
    let pull: Vec<f64> =
        strengths.iter().map(share).map(|share| if share > 1e-9 { share } else { 0.0 }).collect();
    let mut weights = vec![0.0; pull.len()];
    let mut rising: Vec<bool> = pull.iter().map(|pull| *pull > 0.0).collect();
    let of = |members: &[usize], rising: &[bool]| -> f64 {
        members.iter().filter(|&&at| rising[at]).map(|&at| pull[at]).sum()
    };
    let all: Vec<usize> = (0..pull.len()).collect();
    let whole = std::iter::once((1.0, all.as_slice()));
    let limits: Vec<(f64, &[usize])> = whole
        .chain(groups.iter().map(|group| (bounded(group.cap, 0.0, 1.0, 0.0), &*group.members)))
        .collect();
    // Each round stops at least one pick.
    for _ in 0..pull.len() {
        if !rising.contains(&true) {
            break;
        }
        let room = |&(most, members): &(f64, &[usize])| {
            let taken: f64 = members.iter().map(|&at| weights[at]).sum();
            let speed = of(members, &rising);
            if speed > 0.0 { ((most - taken) / speed).max(0.0) } else { f64::INFINITY }
        };
        let by_group = limits.iter().map(room).fold(f64::INFINITY, f64::min);
        let own =
            |at: usize| if rising[at] { (cap - weights[at]) / pull[at] } else { f64::INFINITY };
        let by_name = (0..pull.len()).map(own).fold(f64::INFINITY, f64::min);
        let rise = by_group.min(by_name).max(0.0);
        // What stops, stops for good, whatever rounding leaves between it and its cap.
        let nearly = rise * (1.0 + 1e-12);
        let full: Vec<bool> = limits.iter().map(|limit| room(limit) <= nearly).collect();
        let capped: Vec<bool> = (0..pull.len()).map(|at| own(at) <= nearly).collect();
        for at in 0..pull.len() {
            if rising[at] {
                weights[at] = (weights[at] + rise * pull[at]).min(cap);
            }
            let grouped = limits.iter().zip(&full).any(|((_, of), full)| *full && of.contains(&at));
            rising[at] &= !grouped && !capped[at];
        }
    }
    weights.into_iter().map(cut).collect()
}

/// Down to hundredths of a per cent; the nudge keeps 0.2 from becoming 0.1999.
fn cut(weight: f64) -> f64 {
    (weight / STEP + 1e-6).floor() * STEP
}

/// Standard deviation of a portfolio's daily return, in the unit of `volatilities`:
/// √(Σᵢ Σⱼ wᵢ wⱼ σᵢ σⱼ ρᵢⱼ).
fn portfolio_deviation(weights: &[f64], volatilities: &[f64], returns: &[Vec<f64>]) -> f64 {
    let mut variance = 0.0;
    for i in 0..weights.len() {
        let own = weights[i] * volatilities[i];
        variance += own * own;
        for j in i + 1..weights.len() {
            let rho = correlation(&returns[i], &returns[j]).unwrap_or(ASSUMED_CORRELATION);
            variance += 2.0 * own * weights[j] * volatilities[j] * rho;
        }
    }
    variance.max(0.0).sqrt()
}

/// Value at risk (95 %) at the horizon of picks with these weights, per cent of the capital.
#[must_use]
pub fn value_at_risk_pct(
    weights: &[f64],
    daily_pct: &[f64],
    returns: &[Vec<f64>],
    horizon: u32,
) -> f64 {
    let daily = portfolio_deviation(weights, daily_pct, returns);
    NORMAL_95 * daily * f64::from(horizon.max(1)).sqrt()
}

/// The weights scaled down until their risk is within `budget`. A budget that is no number allows
/// nothing.
#[must_use]
pub fn within_budget(
    weights: Vec<f64>,
    daily_pct: &[f64],
    returns: &[Vec<f64>],
    horizon: u32,
    budget: RiskBudget,
) -> Vec<f64> {
    let value_at_risk = value_at_risk_pct(&weights, daily_pct, returns, horizon);
    let (risk, most) = match budget {
        RiskBudget::ValueAtRisk(most) => (value_at_risk, most),
        RiskBudget::Drawdown(most) => (value_at_risk * DRAWDOWN_95 / NORMAL_95, most),
    };
    if risk <= most {
        return weights;
    }
    let share = bounded(most / risk, 0.0, 1.0, 0.0);
    // A nudge up could pass the budget here.
    weights.into_iter().map(|weight| (weight * share / STEP).floor() * STEP).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_one_cannot_take_goes_to_the_others() {
        let free = capped_weights(&[1.0, 1.0, 2.0], 1.0, &[]);
        assert_eq!(free, [0.25, 0.25, 0.5]);
        let capped = capped_weights(&[1.0, 1.0, 2.0], 0.4, &[]);
        for (found, wanted) in capped.iter().zip([0.3, 0.3, 0.4]) {
            assert!((found - wanted).abs() < 1e-9, "{capped:?}");
        }
        let market = Group { cap: 0.5, members: vec![0, 2] };
        let grouped = capped_weights(&[1.0, 1.0, 2.0], 1.0, &[market]);
        assert!((grouped[0] + grouped[2] - 0.5).abs() < 2e-4 && (grouped[1] - 0.5).abs() < 1e-9);
        assert_eq!(capped_weights(&[1.0, f64::NAN, -1.0], 0.2, &[]), [0.2, 0.0, 0.0]);
    }

    #[test]
    fn two_of_a_kind_diversify_by_their_correlation() {
        let nothing = [vec![], vec![]];
        let volatility = portfolio_deviation(&[0.5, 0.5], &[2.0, 2.0], &nothing);
        // 2 · √(0.25 + 0.25 + 2 · 0.25 · 0.5)
        assert!((volatility - 3f64.sqrt()).abs() < 1e-12);
        let same: Vec<f64> = (0..30).map(|day| f64::from(day % 7) / 100.0).collect();
        let volatility = portfolio_deviation(&[0.5, 0.5], &[2.0, 2.0], &[same.clone(), same]);
        assert!((volatility - 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_surer_budget_is_a_smaller_one() {
        assert_eq!(RiskBudget::value_at_risk(5.0, 0.95), RiskBudget::ValueAtRisk(5.0));
        let RiskBudget::ValueAtRisk(at_99) = RiskBudget::value_at_risk(5.0, 0.99) else { panic!() };
        assert!((at_99 - 3.536).abs() < 1e-3);
        let RiskBudget::Drawdown(at_99) = RiskBudget::drawdown(5.0, 0.99) else { panic!() };
        assert!((at_99 - 3.993).abs() < 1e-2);
    }

    #[test]
    fn a_budget_scales_all_alike() {
        let returns = [vec![], vec![]];
        let weights =
            within_budget(vec![0.5, 0.5], &[2.0, 2.0], &returns, 4, RiskBudget::ValueAtRisk(2.0));
        // σ = √3 % with a correlation of one half; value at risk over four days 5.7 %.
        let risk = value_at_risk_pct(&weights, &[2.0, 2.0], &returns, 4);
        assert!(risk <= 2.0 && risk > 1.99, "{risk} {weights:?}");
        assert!((weights[0] - weights[1]).abs() < 1e-12);
        let deeper =
            within_budget(vec![0.5, 0.5], &[2.0, 2.0], &returns, 4, RiskBudget::Drawdown(2.0));
        assert!(deeper[0] < weights[0]);
        let nothing = RiskBudget::ValueAtRisk(f64::NAN);
        assert_eq!(within_budget(vec![0.5], &[2.0], &returns[..1], 4, nothing), [0.0]);
    }

    proptest! {
        #[test]
        fn every_limit_is_kept(
            strengths in prop::collection::vec(prop_oneof![6 => 0.01..50.0f64, 1 => any::<f64>()], 0..15),
            cap in prop_oneof![6 => 0.01..1.0f64, 1 => any::<f64>()],
            market in prop_oneof![6 => 0.05..1.0f64, 1 => any::<f64>()],
            sector in 0.05..1.0f64,
            budget in 0.1..30.0f64,
            horizon in 1u32..250,
            falls in any::<bool>(),
        ) {
            let places = |keep: fn(usize) -> bool| (0..strengths.len()).filter(|at| keep(*at)).collect();
            let groups = [
                Group { cap: market, members: places(|at| at % 2 == 0) },
                Group { cap: market, members: places(|at| at % 2 == 1) },
                Group { cap: sector, members: places(|at| at % 3 == 0) },
            ];
            let weights = capped_weights(&strengths, cap, &groups);
            let sound = |weights: &[f64]| {
                let most = bounded(cap, 0.0, 1.0, 0.0) + 1e-9;
                weights.iter().all(|w| (0.0..=most).contains(w))
                    && weights.iter().sum::<f64>() <= 1.0 + 1e-9
                    && groups.iter().all(|group| {
                        let sum: f64 = group.members.iter().map(|&at| weights[at]).sum();
                        sum <= bounded(group.cap, 0.0, 1.0, 0.0) + 1e-9
                    })
            };
            prop_assert!(sound(&weights), "{weights:?}");
            let daily: Vec<f64> = (0..weights.len()).map(|at| 0.5 + at as f64 / 4.0).collect();
            let returns = vec![Vec::new(); weights.len()];
            let kind = if falls { RiskBudget::Drawdown(budget) } else { RiskBudget::ValueAtRisk(budget) };
            let scaled = within_budget(weights, &daily, &returns, horizon, kind);
            prop_assert!(sound(&scaled));
            let risk = value_at_risk_pct(&scaled, &daily, &returns, horizon);
            let risk = if falls { risk * DRAWDOWN_95 / NORMAL_95 } else { risk };
            prop_assert!(risk <= budget + 1e-9, "{risk} {budget}");
        }

        #[test]
        fn the_capital_is_used(
            strengths in prop::collection::vec(0.1..9.0f64, 1..20),
            cap in 0.01..1.0f64,
        ) {
            let weights = capped_weights(&strengths, cap, &[]);
            let wanted = (cap * strengths.len() as f64).min(1.0);
            prop_assert!(weights.iter().sum::<f64>() > wanted - 2e-3, "{weights:?}");
        }
    }
}

//! What speaks for an issue: published effects in daily closes, shrunken hard.
//!
//! Each factor is a contribution to the expected return over the holding time, in per cent. A
//! coefficient is the order of size found in long studies, about halved for costs, crowding and
//! publication, then scaled by `n / (n + 60)` for an issue with `n` daily returns: one quarter of
//! closes says little. Nothing was fitted here, so nothing can be said about skill; the factors
//! give a documented order, not a forecast anyone should bank on.
//!
//! | name | contribution, per cent over 20 sessions | source |
//! |---|---|---|
//! | `market_premium` | 5 % a year | Dimson, Marsh, Staunton: world premium since 1900 |
//! | `momentum_60` | 0.15 · z of the return from 60 to 5 sessions ago | Jegadeesh, Titman 1993; weak in Korea: Chui, Titman, Wei 2010 |
//! | `momentum_20` | 0.05 · z of the return from 20 to 5 sessions ago | the same, shorter |
//! | `reversal_5` | −0.05 · z of the last 5 sessions with today | Lehmann 1990, Jegadeesh 1990; mostly the bid-ask bounce |
//! | `low_volatility` | 0.20 · ln(median volatility / own) | Ang et al. 2006; Blitz, van Vliet 2007 |
//! | `near_high` | 0.10 · (price / 60-session high − 0.9) / 0.1 | George, Hwang 2004, on 52 weeks |
//! | `cost` | minus the round trip: fees, tax, spread | certain, so not shrunken |
//!
//! `z` is the return over its own standard deviation, cut at ±2; the last two scores are cut at
//! ±1.

use super::statistics::bounded;

/// Sessions for which the coefficients are stated.
const STATED_SESSIONS: f64 = 20.0;
/// Sessions in a year.
const YEAR_SESSIONS: f64 = 250.0;
/// Daily returns at which an estimate counts half.
const HALF_WEIGHT_RETURNS: f64 = 60.0;

/// What the factors look at.
#[derive(Debug, Clone, Copy)]
pub struct FactorInput<'a> {
    /// Daily log returns up to yesterday's close, oldest first.
    pub returns: &'a [f64],
    /// Log return of today's price against yesterday's close.
    pub today: f64,
    /// Forecast standard deviation of one day's return, per cent; positive.
    pub daily_volatility_pct: f64,
    /// Median of the same over the universe; positive.
    pub median_volatility_pct: f64,
    /// Today's price over the highest close of the history or today's price, 0 to 1.
    pub nearness_to_high: f64,
    /// Cost of a round trip, per cent.
    pub round_trip_pct: f64,
    /// Sessions the position is held.
    pub horizon_sessions: u32,
}

/// The factors of an issue.
#[derive(Debug, Clone, PartialEq)]
pub struct Factors {
    /// Name and contribution to the expected return over the horizon, per cent.
    pub contributions: [(&'static str, f64); 7],
    /// Return from 60 (or as many as there are) to 5 sessions ago, per cent; for the reasons.
    pub momentum_pct: f64,
    /// Sessions that return spans.
    pub momentum_sessions: usize,
    /// Return of the last 5 sessions with today, per cent.
    pub recent_pct: f64,
}

/// Sum of the last `from` returns without the last `skip`, and how many they are.
fn window(returns: &[f64], from: usize, skip: usize) -> (f64, usize) {
    let end = returns.len().saturating_sub(skip);
    let start = returns.len().saturating_sub(from).min(end);
    (returns[start..end].iter().sum(), end - start)
}

fn z_score(sum: f64, sessions: usize, daily_volatility: f64) -> f64 {
    let deviation = daily_volatility * (sessions.max(1) as f64).sqrt();
    bounded(sum / deviation, -2.0, 2.0, 0.0)
}

/// The contributions of all factors; finite for any finite input.
#[must_use]
pub fn factors(input: &FactorInput<'_>) -> Factors {
    let daily = (input.daily_volatility_pct / 100.0).max(1e-6);
    let horizon = f64::from(input.horizon_sessions.max(1));
    let count = input.returns.len() as f64;
    let trust = count / (count + HALF_WEIGHT_RETURNS) * horizon / STATED_SESSIONS;

    let (quarter, quarter_sessions) = window(input.returns, 60, 5);
    let (month, month_sessions) = window(input.returns, 20, 5);
    let (week, week_sessions) = window(input.returns, 5, 0);
    let week = week + bounded(input.today, -0.4, 0.4, 0.0);
    let calm = (input.median_volatility_pct / input.daily_volatility_pct.max(1e-4)).ln();

    let contributions = [
        ("market_premium", 5.0 * horizon / YEAR_SESSIONS),
        ("momentum_60", trust * 0.15 * z_score(quarter, quarter_sessions, daily)),
        ("momentum_20", trust * 0.05 * z_score(month, month_sessions, daily)),
        ("reversal_5", trust * -0.05 * z_score(week, week_sessions + 1, daily)),
        ("low_volatility", trust * 0.20 * bounded(calm, -1.0, 1.0, 0.0)),
        ("near_high", trust * 0.10 * bounded((input.nearness_to_high - 0.9) / 0.1, -1.0, 1.0, 0.0)),
        ("cost", -bounded(input.round_trip_pct, 0.0, 100.0, 100.0)),
    ];
    Factors {
        contributions,
        momentum_pct: (quarter.exp() - 1.0) * 100.0,
        momentum_sessions: quarter_sessions,
        recent_pct: (week.exp() - 1.0) * 100.0,
    }
}

/// Downside of a normal return over the horizon, per cent, raised by the risk
/// score: `σ · √h / √2 · (1 + score / 100)`. The first part is the semi-deviation about zero; the
/// score doubles it at its end, because it tells that the day's risk is above the forecast.
#[must_use]
pub fn downside_pct(daily_volatility_pct: f64, horizon_sessions: u32, score: f64) -> f64 {
    let horizon = f64::from(horizon_sessions.max(1));
    let semi = daily_volatility_pct * (horizon / 2.0).sqrt();
    (semi * (1.0 + bounded(score, 0.0, 100.0, 100.0) / 100.0)).max(1e-6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(returns: &[f64]) -> FactorInput<'_> {
        FactorInput {
            returns,
            today: 0.0,
            daily_volatility_pct: 2.0,
            median_volatility_pct: 2.0,
            nearness_to_high: 0.9,
            round_trip_pct: 0.3,
            horizon_sessions: 20,
        }
    }

    fn named(factors: &Factors, name: &str) -> f64 {
        factors.contributions.iter().find(|(factor, _)| *factor == name).unwrap().1
    }

    #[test]
    fn a_quiet_issue_earns_the_premium_less_its_cost() {
        let flat = vec![0.0; 60];
        let sum: f64 = factors(&input(&flat)).contributions.iter().map(|(_, amount)| amount).sum();
        assert!((sum - (0.4 - 0.3)).abs() < 1e-12);
    }

    #[test]
    fn effects_have_their_published_sign_and_stay_small() {
        let rising = vec![0.01; 60];
        let up = factors(&input(&rising));
        assert!(named(&up, "momentum_60") > 0.0 && named(&up, "reversal_5") < 0.0);
        // Half of 0.15 · 2, because 60 returns count half.
        assert!((named(&up, "momentum_60") - 0.15).abs() < 1e-12);
        let calm = factors(&FactorInput { daily_volatility_pct: 1.0, ..input(&rising) });
        assert!(named(&calm, "low_volatility") > 0.0);
        for (name, amount) in up.contributions {
            assert!(amount.abs() <= 0.5, "{name} {amount}");
        }
    }

    #[test]
    fn less_history_counts_less() {
        let rising = vec![0.01; 60];
        let short = factors(&input(&rising[..20]));
        assert!(named(&short, "momentum_60") < named(&factors(&input(&rising)), "momentum_60"));
    }

    #[test]
    fn the_score_raises_the_downside() {
        assert!((downside_pct(2.0, 2, 0.0) - 2.0).abs() < 1e-12);
        assert!((downside_pct(2.0, 2, 100.0) - 4.0).abs() < 1e-12);
        assert!(downside_pct(f64::NAN, 2, f64::NAN) > 0.0);
    }
}

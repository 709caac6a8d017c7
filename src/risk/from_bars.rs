//! The risk of an issue's next session from its daily bars alone: what can be said where no tick is
//! seen.
//!
//! The daily model's forecast, as the engine takes it at the first trade of a session
//! ([`crate::model::live`]); where it has too little, the variance of the closes and the tail of the normal
//! law. Of the score's parts only the volatility is known.

use super::engine::market_terms;
use super::params::ScoreWeights;
use super::score::{ScoreInput, parts, score};
use super::types::ScoreParts;
use crate::market::{Reference, SessionDay};
use crate::model::Document;
use crate::model::live::{History, history, known_terms, watched_breadth};

/// Returns without which nothing is said of an issue.
pub const LEAST_RETURNS: usize = 20;
/// The normal law: where its lower 2.5 % begin, and their mean, in standard deviations.
const NORMAL: (f64, f64) = (1.959_964, 2.337_803);

/// What the bars say of the next session.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DayRisk {
    /// Forecast standard deviation of the day's log return, per cent.
    pub daily_volatility_pct: f64,
    /// Loss that is passed with a chance of 2.5 %, per cent of price.
    pub var_975_pct: f64,
    /// What the score is made of, per cent of price.
    pub parts: ScoreParts,
    /// 0 to 100.
    pub score: f64,
    /// Whether the model spoke; else the closes alone.
    pub of_model: bool,
}

/// The risk of each issue's session of `day`; `None` where too few returns are known. The breadth of the
/// market is that of all `references`.
#[must_use]
pub fn day_risks(
    document: Option<&Document>,
    references: &[Reference],
    day: SessionDay,
) -> Vec<Option<DayRisk>> {
    let histories: Vec<History> = references.iter().map(history).collect();
    let terms = market_terms(day, watched_breadth(&histories));
    let forecast = |reference: &Reference, history: &History| {
        let own = known_terms(history)?;
        let forecast = document?.forecast_watched(reference.symbol, &own, &terms)?;
        let deviation = forecast.variance.sqrt();
        Some((deviation, -forecast.v025 / deviation, -forecast.e025 / deviation, true))
    };
    let closes = |reference: &Reference| {
        let deviation = close_deviation(&reference.closes)?;
        Some((deviation, NORMAL.0, NORMAL.1, false))
    };
    let both = references.iter().zip(&histories);
    both.map(|(reference, history)| {
        let (deviation, begins, tail, of_model) =
            forecast(reference, history).or_else(|| closes(reference))?;
        let input = ScoreInput {
            daily_volatility: deviation,
            tail,
            volume_ratio: 1.0,
            ..ScoreInput::default()
        };
        let parts = parts(&input, &ScoreWeights::default());
        Some(DayRisk {
            daily_volatility_pct: 100.0 * deviation,
            var_975_pct: -100.0 * (-begins * deviation).exp_m1(),
            parts,
            score: score(&parts),
            of_model,
        })
    })
    .collect()
}

/// Standard deviation of the log returns of `closes`; `None` with fewer than [`LEAST_RETURNS`].
fn close_deviation(closes: &[i64]) -> Option<f64> {
    let returns: Vec<f64> = closes
        .windows(2)
        .filter(|pair| pair[0] > 0 && pair[1] > 0)
        .map(|pair| (pair[1] as f64 / pair[0] as f64).ln())
        // A split is no return.
        .filter(|change| change.abs() < 0.36)
        .collect();
    if returns.len() < LEAST_RETURNS {
        return None;
    }
    let mean_square = returns.iter().map(|r| r * r).sum::<f64>() / returns.len() as f64;
    (mean_square > 0.0).then(|| mean_square.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::SessionBar;

    fn reference(moves: f64, sessions: i64) -> Reference {
        let mut reference = Reference::bare("005930".parse().unwrap());
        for at in 0..sessions {
            let close = (10_000.0 * (1.0 + moves * (at % 2) as f64)) as i64;
            let (high, low) = (close + 20, close - 20);
            let day = SessionDay::from_epoch_days(19_000 + at as i32);
            reference.push_session(day, SessionBar { open: close, high, low, close, volume: 100 });
        }
        reference
    }

    #[test]
    fn wilder_closes_have_a_higher_score_and_few_have_none() {
        let day = SessionDay::from_yyyymmdd(20_240_806).unwrap();
        let issues = [reference(0.01, 60), reference(0.04, 60), reference(0.01, 10)];
        let [calm, wild, short] = day_risks(None, &issues, day)[..] else { unreachable!() };
        let (calm, wild) = (calm.unwrap(), wild.unwrap());
        assert!((calm.daily_volatility_pct - 1.0).abs() < 0.02, "{calm:?}");
        assert!(wild.score > calm.score && wild.var_975_pct > calm.var_975_pct, "{wild:?}");
        assert!(!calm.of_model && short.is_none());
    }
}

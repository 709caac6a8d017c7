//! The world of a daemon: what can be simulated from the sessions it knows of the issues it watches.
//!
//! A daemon knows some 85 sessions of daily bars and a forecast of each issue's day. Days so few do not
//! hold a bad tail, and none of them is like the one that makes somebody ask. So the days that are
//! drawn here are **made**, [`DAYS`] of them, from what the model knows of residuals in general and
//! what the bars say of this issue:
//!
//! - the residual of a market's day is a quantile of the model's pooled residuals (five hundred sessions
//!   of all issues it was fitted on, both tails), each quantile once;
//! - an issue's is ρ times that of its market and √(1 − ρ²) times one of its own, ρ from the closes (a
//!   one-factor model, Sharpe 1963), and then set to the quantile of its rank, so that it has the
//!   pooled distribution whatever ρ is; below zero it is stretched to the issue's own forecast tail;
//! - a second market's is tied to the first's in the same way.
//!
//! In: references, forecasts, the model in use. Out: a [`World`], which the engine simulates like any
//! other. Where a history in full is at hand (`bongsu simulate`, scenarios), real days are drawn
//! instead. **Limits**: dependence is linear in the ranks, so issues fall together in a crash less than
//! they do; without a model the residuals are those of Student's t with five degrees of freedom.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use statrs::distribution::{ContinuousCDF as _, StudentsT};

use super::costs::average_value;
use super::simulate::{Dynamics, Known, MarketFactor, World, WorldIssue, WorldSource};
use super::statistics::{bounded, correlation, log_returns, mean};
use crate::market::{Market, Reference, SessionDay, Won};
use crate::model::FittedModel;
use crate::model::features::Variant;
use crate::model::ranker::average_ranks;

/// Days that are made: ten below the 1 % quantile.
pub const DAYS: usize = 1_000;
/// Correlation of an issue with its market, and of two markets, of which too few closes are known:
/// about what large KOSPI issues show.
const USUAL_CORRELATION: f64 = 0.5;
/// Standard deviation of the market's day where nothing is known, fraction.
const USUAL_DEVIATION: f64 = 0.012;
/// Issues whose mean is taken for their market.
const LEAST_ISSUES: usize = 10;
/// Share of a day's squared return in the variance of the next: RiskMetrics 1996.
const NEWS: f64 = 0.06;

/// An issue that is held, as the board shows it.
#[derive(Debug, Clone, Copy)]
pub struct LiveIssue<'a> {
    /// Code, name, market, bars.
    pub reference: &'a Reference,
    /// Latest price, won.
    pub price: Won,
    /// Forecast standard deviation of one day's return, per cent; 0 when there is none.
    pub daily_volatility_pct: f64,
    /// Forecast mean loss in the worst 2.5 % of days, per cent; 0 when there is none.
    pub shortfall_pct: f64,
    /// Relative spread, per cent; 0 when not known.
    pub spread_pct: f64,
    /// Whether it is halted.
    pub halted: bool,
}

/// Volatility that is taken where no forecast is known, per cent: that of a volatile issue.
const UNKNOWN_VOLATILITY_PCT: f64 = 3.0;

/// The world of `held` issues among `watched` ones at `as_of`. The factors are KOSPI and KOSDAQ.
#[must_use]
pub fn live_world(
    as_of: SessionDay,
    held: &[LiveIssue<'_>],
    watched: &[std::sync::Arc<Reference>],
    model: Option<&FittedModel>,
) -> World {
    let mut rng = ChaCha8Rng::seed_from_u64(DAYS as u64);
    let quantiles = quantiles(model);
    let days = (0..DAYS as i32)
        .map(|at| SessionDay::from_epoch_days(as_of.epoch_days() - DAYS as i32 + at));
    let means =
        [Market::Kospi, Market::Kosdaq].map(|market| (market, market_mean(watched, market)));
    let main = shuffled(&quantiles, &mut rng);
    let factors: Vec<MarketFactor> = means
        .iter()
        .enumerate()
        .map(|(at, (market, returns))| {
            let residuals = if at == 0 {
                main.clone()
            } else {
                let tie = correlation(&means[0].1, returns).unwrap_or(USUAL_CORRELATION);
                tied(&main, tie, &quantiles, &mut rng)
            };
            factor(*market, returns, &residuals)
        })
        .collect();
    let mut sorted: Vec<&LiveIssue<'_>> = held.iter().collect();
    sorted.sort_by_key(|issue| issue.reference.symbol);
    sorted.dedup_by_key(|issue| issue.reference.symbol);
    let mut issues = Vec::with_capacity(sorted.len());
    let mut residuals = Vec::with_capacity(sorted.len() * DAYS);
    for issue in sorted {
        let place = usize::from(issue.reference.market == Market::Kosdaq);
        let tie = correlation(&log_returns(&issue.reference.closes), &means[place].1);
        let tie = bounded(tie.unwrap_or(USUAL_CORRELATION), -0.99, 0.99, USUAL_CORRELATION);
        let factor = &factors[place];
        let of_market: Vec<f64> = factor.residuals.iter().map(|z| f64::from(*z)).collect();
        let own = tied(&of_market, tie, &quantiles, &mut rng);
        let about = about(issue, place, factor, tie, as_of);
        let stretch = stretch(issue, &quantiles);
        residuals
            .extend(own.iter().map(|z| if *z < 0.0 { (z * stretch) as f32 } else { *z as f32 }));
        issues.push(about);
    }
    let returns = vec![f32::NAN; residuals.len()];
    World::of_parts(
        as_of,
        source(model, as_of),
        days.collect(),
        issues,
        factors,
        Dynamics::default(),
        residuals,
        returns,
    )
    .expect("invariant: every part has DAYS days, and issues are sorted and unique")
}

fn source(model: Option<&FittedModel>, as_of: SessionDay) -> WorldSource {
    let document = model.map(|model| &model.document);
    WorldSource {
        model: model.map(|model| model.id),
        model_sha256: model.map_or_else(String::new, |model| model.sha256.clone()),
        model_trained_until: document.map_or(as_of, |document| document.trained_until),
        data_sha256: String::new(),
        data_from: as_of,
        data_to: as_of,
    }
}

/// Residuals at the middles of [`DAYS`] equal shares of probability, ascending, of unit mean square.
fn quantiles(model: Option<&FittedModel>) -> Vec<f64> {
    let pooled = model.and_then(|model| {
        let document = &model.document;
        document.variant(Variant::Watched).or_else(|| document.variant(Variant::OwnOnly))
    });
    let student = StudentsT::new(0.0, 1.0, 5.0).ok();
    let at = |share: f64| match (pooled, &student) {
        (Some(pooled), _) => interpolated(&pooled.probabilities, &pooled.quantiles, share),
        (None, Some(student)) => student.inverse_cdf(share),
        (None, None) => 0.0,
    };
    let raw: Vec<f64> = (0..DAYS).map(|day| at((day as f64 + 0.5) / DAYS as f64)).collect();
    let centre = mean(&raw).unwrap_or_default();
    let square = mean(&raw.iter().map(|z| (z - centre).powi(2)).collect::<Vec<_>>());
    let scale = square.filter(|square| *square > 0.0).unwrap_or(1.0).sqrt();
    raw.iter().map(|z| (z - centre) / scale).collect()
}

/// Linear between the points, constant beyond them.
fn interpolated(at: &[f64], values: &[f64], wanted: f64) -> f64 {
    let above = at.partition_point(|p| *p <= wanted);
    match (above.checked_sub(1), values.get(above)) {
        (Some(below), Some(upper)) => {
            let share = (wanted - at[below]) / (at[above] - at[below]);
            values[below] + share * (upper - values[below])
        }
        (Some(below), None) => values.get(below).copied().unwrap_or_default(),
        (None, Some(first)) => *first,
        (None, None) => 0.0,
    }
}

/// The quantiles in another order (Fisher & Yates).
fn shuffled(quantiles: &[f64], rng: &mut ChaCha8Rng) -> Vec<f64> {
    let mut out = quantiles.to_vec();
    for at in (1..out.len()).rev() {
        let other = (u64::from(rng.next_u32()) * (at as u64 + 1)) >> 32;
        out.swap(at, other as usize);
    }
    out
}

/// Residuals with correlation `tie` to those of `market`, in the distribution of `quantiles`.
fn tied(market: &[f64], tie: f64, quantiles: &[f64], rng: &mut ChaCha8Rng) -> Vec<f64> {
    let own = shuffled(quantiles, rng);
    let rest = (1.0 - tie * tie).max(0.0).sqrt();
    let mixed: Vec<f64> = market.iter().zip(own).map(|(m, e)| tie * m + rest * e).collect();
    let last = quantiles.len() - 1;
    average_ranks(&mixed).into_iter().map(|rank| quantiles[(rank as usize).min(last)]).collect()
}

/// How much the falls of an issue are stretched, so that their worst 2.5 % have its forecast mean.
fn stretch(issue: &LiveIssue<'_>, quantiles: &[f64]) -> f64 {
    let worst = &quantiles[..quantiles.len() / 40];
    let usual = -mean(worst).unwrap_or(-1.0);
    let wanted = issue.shortfall_pct / issue.daily_volatility_pct;
    if wanted > 0.0 && usual > 0.0 { bounded(wanted / usual, 0.5, 3.0, 1.0) } else { 1.0 }
}

/// Mean daily log return of a market's watched issues, by session, the newest last; empty with too
/// few issues.
fn market_mean(watched: &[std::sync::Arc<Reference>], market: Market) -> Vec<f64> {
    let returns: Vec<Vec<f64>> = watched
        .iter()
        .filter(|reference| reference.market == market)
        .map(|reference| log_returns(&reference.closes))
        .filter(|returns| !returns.is_empty())
        .collect();
    if returns.len() < LEAST_ISSUES {
        return Vec::new();
    }
    let sessions = returns.iter().map(Vec::len).max().unwrap_or(0);
    let of = |back: usize| {
        let day = returns.iter().filter_map(|one| one.len().checked_sub(back).map(|at| one[at]));
        mean(&day.collect::<Vec<_>>()).unwrap_or_default()
    };
    (1..=sessions).rev().map(of).collect()
}

fn factor(market: Market, returns: &[f64], residuals: &[f64]) -> MarketFactor {
    let square = mean(&returns.iter().map(|r| r * r).collect::<Vec<_>>());
    let long_run = square.filter(|square| *square > 0.0).unwrap_or(USUAL_DEVIATION.powi(2));
    let variance = returns.iter().fold(long_run, |h, r| (1.0 - NEWS) * h + NEWS * r * r);
    MarketFactor {
        name: if market == Market::Kosdaq { "코스닥" } else { "코스피" }.to_owned(),
        market,
        variance,
        long_run,
        residuals: residuals.iter().map(|z| *z as f32).collect(),
        returns: vec![f32::NAN; residuals.len()],
    }
}

fn about(
    issue: &LiveIssue<'_>,
    place: usize,
    factor: &MarketFactor,
    tie: f64,
    as_of: SessionDay,
) -> WorldIssue {
    let reference = issue.reference;
    let forecast = issue.daily_volatility_pct;
    let pct =
        if forecast > 0.0 { bounded(forecast, 0.01, 30.0, 3.0) } else { UNKNOWN_VOLATILITY_PCT };
    let variance = (pct / 100.0).powi(2);
    let returns = log_returns(&reference.closes);
    let square = mean(&returns.iter().map(|r| r * r).collect::<Vec<_>>());
    let beta = tie * (variance / factor.variance).sqrt();
    WorldIssue {
        symbol: reference.symbol,
        known: Known { name: reference.name.clone(), market: reference.market, sector: None },
        price: issue.price.max(0) as f64,
        last_day: as_of,
        halted: issue.halted,
        variance,
        long_run: square.filter(|square| *square > 0.0).unwrap_or(variance),
        average_value: average_value(reference),
        spread_pct: bounded(issue.spread_pct, 0.0, 30.0, 0.0),
        beta,
        tail_beta: beta,
        correlation: tie,
        factor: place,
        residuals: DAYS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::SessionBar;
    use crate::model::document::tests::example;

    fn reference(code: &str, market: Market, wave: usize) -> std::sync::Arc<Reference> {
        let mut reference = Reference { market, ..Reference::bare(code.parse().unwrap()) };
        let mut close = 50_000.0;
        for (day, date) in (0..80_usize).zip(19_000..) {
            // A common part and one of its own.
            let common = ((day * 7) % 11) as f64 - 5.0;
            let own = ((day * (wave + 3)) % 13) as f64 - 6.0;
            close *= 1.0 + 0.002 * common + 0.001 * own;
            let close = close as i64;
            let bar = SessionBar {
                open: close,
                high: close + 50,
                low: close - 50,
                close,
                volume: 100_000,
            };
            reference.push_session(SessionDay::from_epoch_days(date), bar);
        }
        std::sync::Arc::new(reference)
    }

    fn watched() -> Vec<std::sync::Arc<Reference>> {
        (0..12).map(|at| reference(&format!("{at:06}"), Market::Kospi, at)).collect()
    }

    fn live(reference: &Reference, volatility: f64) -> LiveIssue<'_> {
        LiveIssue {
            reference,
            price: 50_000,
            daily_volatility_pct: volatility,
            shortfall_pct: 3.0 * volatility,
            spread_pct: 0.1,
            halted: false,
        }
    }

    #[test]
    fn residuals_have_the_pooled_distribution_and_the_measured_tie() {
        let watched = watched();
        let world =
            live_world("2024-08-05".parse().unwrap(), &[live(&watched[3], 2.0)], &watched, None);
        let residuals: Vec<f64> = world.residuals_of(0).iter().map(|z| f64::from(*z)).collect();
        assert_eq!(residuals.len(), DAYS);
        let mut sorted = residuals.clone();
        sorted.sort_by(f64::total_cmp);
        let quantiles = quantiles(None);
        assert!((sorted[DAYS - 1] - quantiles[DAYS - 1]).abs() < 1e-5, "rises are as they are");
        // Mean of the worst 2.5 %: three deviations, as forecast.
        let worst = mean(&sorted[..DAYS / 40]).unwrap();
        assert!((worst + 3.0).abs() < 0.05, "{worst}");
        let issue = &world.issues[0];
        assert!(issue.correlation > 0.5 && issue.beta > 0.5, "{issue:?}");
        assert!((issue.variance - 4e-4).abs() < 1e-12);
        let market: Vec<f64> = world.factors[0].residuals.iter().map(|z| f64::from(*z)).collect();
        let found = correlation(&residuals, &market).unwrap();
        assert!((found - issue.correlation).abs() < 0.12, "{found} {}", issue.correlation);
    }

    #[test]
    fn equal_input_gives_an_equal_world_and_unknown_numbers_do_no_harm() {
        let watched = watched();
        let day: SessionDay = "2024-08-05".parse().unwrap();
        let bare = Reference::bare("999999".parse().unwrap());
        let held = [live(&watched[1], f64::NAN), live(&bare, 0.0), live(&bare, 1.0)];
        let world = live_world(day, &held, &watched, None);
        assert_eq!(world.issues.len(), 2, "one code, one issue");
        assert_eq!(format!("{world:?}"), format!("{:?}", live_world(day, &held, &watched, None)));
        for issue in &world.issues {
            assert!(issue.variance > 0.0 && issue.beta.is_finite() && issue.long_run > 0.0);
        }
        assert!(world.residuals_of(0).iter().chain(world.residuals_of(1)).all(|z| z.is_finite()));
    }

    #[test]
    fn a_model_gives_its_residuals() {
        let model = FittedModel {
            id: "20260105T090000Z".parse().unwrap(),
            origin: crate::market::ModelOrigin::Registry,
            sha256: String::new(),
            document: example(0.1),
        };
        let world = live_world("2024-08-05".parse().unwrap(), &[], &[], Some(&model));
        assert_eq!(world.source.model, Some(model.id));
        let known = quantiles(Some(&model));
        assert!(known.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!((mean(&known).unwrap()).abs() < 1e-9);
        assert!((interpolated(&[0.1, 0.5], &[-1.0, 1.0], 0.3)).abs() < 1e-12);
        assert_eq!(interpolated(&[0.1, 0.5], &[-1.0, 1.0], 0.9), 1.0);
    }
}

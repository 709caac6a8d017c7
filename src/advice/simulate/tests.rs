//! The engine against worlds whose answer is known.

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, StandardNormal};

use super::*;
use crate::market::{Market, SessionDay};

/// A world of normal residuals: `issues` issues with daily deviations from 1 % up and pairwise
/// correlation `rho` through the market, variances that stay where they are.
pub(crate) fn world(issues: usize, days: usize, rho: f64, dynamics: Dynamics) -> World {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
    let market: Vec<f64> = (0..days).map(|_| normal()).collect();
    let day = |at: usize| SessionDay::from_epoch_days(18_267 + at as i32);
    let mut residuals = Vec::new();
    let about = |at: usize| {
        let deviation = 0.01 + 0.001 * at as f64;
        WorldIssue {
            symbol: format!("{:06}", 100 + at).parse().unwrap(),
            known: Known::default(),
            price: 10_000.0,
            last_day: day(days - 1),
            halted: false,
            variance: deviation * deviation,
            long_run: deviation * deviation,
            average_value: Some(1e10),
            spread_pct: 0.0,
            beta: rho * deviation / 0.01,
            tail_beta: rho * deviation / 0.01,
            correlation: rho,
            factor: 0,
            residuals: days,
        }
    };
    for _ in 0..issues {
        let own = market.iter().map(|m| rho * m + (1.0 - rho * rho).sqrt() * normal());
        residuals.extend(own.map(|z| z as f32));
    }
    let returns =
        (0..issues * days).map(|at| residuals[at] * (0.01 + 0.001 * (at / days) as f32)).collect();
    let factor = MarketFactor {
        name: "KOSPI".to_owned(),
        market: Market::Kospi,
        variance: 1e-4,
        long_run: 1e-4,
        residuals: market.iter().map(|z| *z as f32).collect(),
        returns: market.iter().map(|z| (z * 0.01) as f32).collect(),
    };
    let source = WorldSource {
        model: None,
        model_sha256: String::new(),
        model_trained_until: day(days - 1),
        data_sha256: String::new(),
        data_from: day(0),
        data_to: day(days - 1),
    };
    let known = (0..days).map(day).collect();
    let all = (0..issues).map(about).collect();
    World::of_parts(day(days - 1), source, known, all, vec![factor], dynamics, residuals, returns)
        .unwrap()
}

/// Variances that never move.
pub(crate) const STILL: Dynamics = Dynamics { persistence: 1.0, fall: 0.0, rise: 0.0, rows: 0 };

fn run(world: &World, exposures: &[Exposure], plan: &Plan) -> Outcome {
    simulate(world, exposures, plan, &Control::none()).unwrap()
}

fn one_day(paths: usize) -> Plan {
    Plan { paths, horizon: 1, ..Plan::default() }
}

#[test]
fn one_asset_of_normal_residuals_has_the_analytic_value_at_risk() {
    // 40,000 days: the sample of residuals itself is near to normal.
    let world = world(1, 40_000, 0.0, STILL);
    let outcome = run(&world, &[Exposure::issue(0, 1e8)], &one_day(200_000));
    for (level, quantile) in [(0.95, 1.644_854), (0.975, 1.959_964), (0.99, 2.326_348)] {
        let risk = outcome.at(level).unwrap();
        let expected = quantile * 0.01 * 1e8;
        // Error of the simulation, and of the sample the days are drawn from.
        let error = (risk.value_at_risk_error.powi(2) * (1.0 + 200_000.0 / 40_000.0)).sqrt();
        let off = (risk.value_at_risk - expected).abs() / error;
        assert!(off < 3.0, "{level}: {} against {expected}, {off} errors", risk.value_at_risk);
        let density = (-0.5 * quantile * quantile).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let shortfall = density / (1.0 - level) * 0.01 * 1e8;
        let off = (risk.expected_shortfall - shortfall).abs()
            / (risk.expected_shortfall_error * 6.0_f64.sqrt());
        assert!(off < 3.0, "{level}: ES {} against {shortfall}", risk.expected_shortfall);
    }
    assert!(outcome.returns.mean.abs() < 3.0 * outcome.returns.mean_error.max(1e-9));
}

#[test]
fn equal_weights_of_correlated_normals_over_ten_days() {
    let world = world(10, 40_000, 0.6, STILL);
    let exposures: Vec<Exposure> = (0..10).map(|at| Exposure::issue(at, 1e7)).collect();
    let plan = Plan { paths: 100_000, horizon: 10, ..Plan::default() };
    let outcome = run(&world, &exposures, &plan);
    let deviations: Vec<f64> = (0..10).map(|at| 0.01 + 0.001 * f64::from(at)).collect();
    let mut variance = 0.0;
    for (i, a) in deviations.iter().enumerate() {
        for (j, b) in deviations.iter().enumerate() {
            variance += 0.01 * a * b * if i == j { 1.0 } else { 0.36 };
        }
    }
    // The deviation of a product of ten is that of the sum to first order.
    let expected = (10.0 * variance).sqrt();
    assert!((outcome.returns.deviation / expected - 1.0).abs() < 0.03);
    let risk = outcome.at(0.95).unwrap();
    assert!((risk.value_at_risk / (1.645 * expected * 1e8) - 1.0).abs() < 0.06, "{risk:?}");
}

#[test]
fn one_day_agrees_with_the_historical_quantile() {
    // All days, each once, are the historical simulation; drawing them is the same up to its error.
    let world = world(4, 1_000, 0.5, STILL);
    let exposures: Vec<Exposure> = (0..4).map(|at| Exposure::issue(at, 2.5e7)).collect();
    let outcome = run(&world, &exposures, &one_day(100_000));
    let mean =
        |at: usize| world.residuals_of(at).iter().map(|z| f64::from(*z)).sum::<f64>() / 1_000.0;
    let means: Vec<f64> = (0..4).map(mean).collect();
    let mut losses: Vec<f64> = (0..1_000)
        .map(|day| {
            (0..4)
                .map(|at| {
                    let z = f64::from(world.residuals_of(at)[day]) - means[at];
                    -z * (0.01 + 0.001 * at as f64) * 2.5e7
                })
                .sum()
        })
        .collect();
    losses.sort_by(|a, b| b.total_cmp(a));
    for (level, rank) in [(0.95, 50), (0.975, 25), (0.99, 10)] {
        let risk = outcome.at(level).unwrap();
        // Between the neighbours of the rank, give or take three errors.
        let (low, high) = (losses[rank + 1], losses[rank - 2]);
        let slack = 3.0 * risk.value_at_risk_error;
        assert!(
            (low - slack..=high + slack).contains(&risk.value_at_risk),
            "{level}: {} not in {low} to {high}",
            risk.value_at_risk
        );
    }
}

#[test]
fn contributions_add_up() {
    let world = world(6, 900, 0.5, Dynamics::default());
    let mut exposures: Vec<Exposure> =
        (0..6).map(|at| Exposure::issue(at, 1e6 * (at + 1) as f64)).collect();
    exposures.push(Exposure::cash(5e6));
    exposures[1].exit = Some(Exit { distance: 0.03, trailing: true, cost: 0.002 });
    let inverse = Instrument::Tracker { factor: 0, multiple: -1.0, daily_fee: 2e-5 };
    exposures.push(Exposure { instrument: inverse, value: 4e6, exit: None });
    let plan = Plan { paths: 5_000, initial_cost: 30_000.0, ..Plan::default() };
    let outcome = run(&world, &exposures, &plan);
    for (at, risk) in outcome.risk.iter().enumerate() {
        let var: f64 = outcome.components.iter().map(|one| one.value_at_risk[at]).sum();
        let es: f64 = outcome.components.iter().map(|one| one.expected_shortfall[at]).sum();
        assert_eq!(var + outcome.initial_cost, risk.value_at_risk);
        assert_eq!(es + outcome.initial_cost, risk.expected_shortfall);
        // The parts are replayed, the whole was simulated: both must tell the same loss.
        let (low, high) = risk.value_at_risk_interval;
        assert!((low..=high).contains(&risk.value_at_risk), "{risk:?}");
        assert!(risk.expected_shortfall > risk.value_at_risk);
    }
    assert_eq!(outcome.components[6].value_at_risk, [0.0; 3], "cash carries nothing");
    assert!(outcome.components[7].expected_shortfall[0] < 0.0, "a hedge takes away");
}

#[test]
fn equal_seeds_give_equal_bytes_on_any_number_of_threads() {
    let world = world(5, 700, 0.4, Dynamics::default());
    let exposures: Vec<Exposure> = (0..5).map(|at| Exposure::issue(at, 1e6)).collect();
    let plan = Plan { paths: 3_001, seed: 42, ..Plan::default() };
    let bytes = |threads: usize, plan: &Plan| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let outcome = pool.install(|| run(&world, &exposures, plan));
        serde_json::to_string(&outcome).unwrap()
    };
    let one = bytes(1, &plan);
    assert_eq!(one, bytes(2, &plan));
    assert_eq!(one, bytes(5, &plan));
    assert_ne!(one, bytes(2, &Plan { seed: 43, ..plan }));
}

#[test]
fn a_twice_as_volatile_world_loses_twice_as_much() {
    let world = world(3, 700, 0.4, Dynamics::default());
    let exposures: Vec<Exposure> = (0..3).map(|at| Exposure::issue(at, 1e6)).collect();
    let plan = one_day(10_000);
    let calm = run(&world, &exposures, &plan);
    let shocks = vec![Shock::Volatility { factor: 2.0 }];
    let wild = run(&world, &exposures, &Plan { shocks, ..plan });
    let ratio = wild.risk[0].value_at_risk / calm.risk[0].value_at_risk;
    assert!((ratio - 2.0).abs() < 1e-3, "{ratio}");
}

#[test]
fn a_market_fall_moves_what_moves_with_the_market() {
    let world = world(3, 5_000, 0.7, STILL);
    let fall = Shock::Move { driver: Driver::Factor(0), each: -0.1, at: 1, sessions: 1 };
    let plan = Plan { shocks: vec![fall], ..one_day(20_000) };
    let outcome = run(&world, &[Exposure::issue(0, 1e6)], &plan);
    // β = 0.7: the issue has the market's own volatility.
    assert!((outcome.returns.mean + 0.07).abs() < 0.01, "{}", outcome.returns.mean);
    let inverse = Instrument::Tracker { factor: 0, multiple: -1.0, daily_fee: 0.0 };
    let fund = Exposure { instrument: inverse, value: 1e6, exit: None };
    let outcome = run(&world, &[fund], &plan);
    assert!((outcome.returns.lowest - 0.1).abs() < 1e-4, "the fund moves by the fall itself");
    // A mild move is taken from days like it, not from the worst ones.
    let mild = Shock::Move { driver: Driver::Factor(0), each: -0.002, at: 1, sessions: 1 };
    let outcome = run(&world, &[Exposure::issue(0, 1e6)], &Plan { shocks: vec![mild], ..plan });
    assert!((outcome.returns.mean + 0.0014).abs() < 0.001, "{}", outcome.returns.mean);
}

#[test]
fn a_fall_of_one_issue_leaves_the_others_their_expectation() {
    let world = world(2, 5_000, 0.7, STILL);
    let symbol = world.issues[0].symbol;
    let fall = Shock::Move { driver: Driver::Issue(symbol), each: -0.05, at: 1, sessions: 1 };
    let plan = Plan { shocks: vec![fall], ..one_day(20_000) };
    let own = run(&world, &[Exposure::issue(0, 1e6)], &plan);
    assert!((own.returns.mean + 0.05).abs() < 1e-5 && own.returns.deviation < 1e-5);
    // ρ of two issues is 0.49, and the second is a tenth more volatile.
    let other = run(&world, &[Exposure::issue(1, 1e6)], &plan);
    assert!((other.returns.mean + 0.05 * 0.49 * 1.1).abs() < 0.006, "{}", other.returns.mean);
}

#[test]
fn a_repeated_window_is_what_it_was() {
    let world = world(2, 700, 0.7, STILL);
    let (from, to) = (world.days[100], world.days[104]);
    let exposures = [Exposure::issue(1, 1e6)];
    for mode in [RepeatMode::Returns, RepeatMode::Residuals] {
        let shocks = vec![Shock::Repeat { from, to, at: 1, mode }];
        let plan = Plan { paths: 500, horizon: 5, shocks, ..Plan::default() };
        let outcome = run(&world, &exposures, &plan);
        assert!(outcome.returns.deviation < 1e-6, "every path is the window");
        let growth: f64 =
            world.returns_of(1)[100..=104].iter().map(|r| 1.0 + f64::from(*r)).product();
        // Residuals are about their mean, and the volatility here never moved.
        let slack = if mode == RepeatMode::Returns { 1e-5 } else { 0.005 };
        assert!((outcome.returns.mean - (growth - 1.0)).abs() < slack, "{mode:?}");
    }
}

#[test]
fn an_exit_ends_the_fall_and_costs() {
    let world = world(1, 2_000, 0.0, STILL);
    let held = Exposure::issue(0, 1e6);
    let stop = Exit { distance: 0.02, trailing: false, cost: 0.0025 };
    let plan = Plan { paths: 20_000, ..Plan::default() };
    let without = run(&world, &[held], &plan);
    let with = run(&world, &[Exposure { exit: Some(stop), ..held }], &plan);
    assert!(with.risk[2].expected_shortfall < 0.7 * without.risk[2].expected_shortfall);
    // Most stopped paths end between the level and what a day can add below it, at the sale's cost.
    assert!(with.returns.lowest > -0.02 - 0.05 - 0.0025);
    // Nothing is earned by stopping: the expectation is the cost of the sales.
    let stopped = with.returns.mean + 0.0025 * 0.7;
    assert!(stopped.abs() < 6.0 * without.returns.mean_error, "{}", with.returns.mean);
}

#[test]
fn missing_days_are_filled_with_the_market_and_never_with_nothing() {
    let mut world = world(3, 700, 0.8, STILL);
    let days = world.days.len();
    world.residuals[2 * days..2 * days + 650].fill(f32::NAN);
    let outcome = run(&world, &[Exposure::issue(2, 1e6)], &one_day(20_000));
    let deviation = outcome.returns.deviation / 0.012;
    assert!((0.85..1.15).contains(&deviation), "{deviation}");
    let both = [Exposure::issue(2, 1e6), Exposure::issue(0, 1e6)];
    let joint = run(&world, &both, &one_day(20_000)).returns.deviation;
    let expected = 0.5 * (0.012_f64.powi(2) + 0.01_f64.powi(2) + 2.0 * 0.64 * 0.012 * 0.01).sqrt();
    assert!((joint / expected - 1.0).abs() < 0.12, "{joint} {expected}");
}

#[test]
fn what_cannot_be_is_told() {
    let world = world(2, 300, 0.5, STILL);
    let held = [Exposure::issue(0, 1e6)];
    let error = |exposures: &[Exposure], plan: Plan| {
        simulate(&world, exposures, &plan, &Control::none()).unwrap_err().to_string()
    };
    let plan = Plan { horizon: 3, paths: 200, ..Plan::default() };
    let cases = [
        (error(&held, Plan { horizon: 0, ..plan.clone() }), "horizon is 0, expected 1 to 250"),
        (error(&held, Plan { paths: 7, ..plan.clone() }), "paths is 7, expected 100 to 1000000"),
        (
            error(&[Exposure::issue(9, 1e6)], plan.clone()),
            "place of an issue is 9, expected below 2",
        ),
        (error(&[Exposure::issue(0, f64::NAN)], plan.clone()), "value of an exposure is NaN"),
        (error(&[], plan.clone()), "worth nothing"),
    ];
    for (found, expected) in cases {
        assert!(found.contains(expected), "{found}");
    }
    let market = |at, sessions| Shock::Move { driver: Driver::Factor(0), each: -0.1, at, sessions };
    let shocked = |shocks| error(&held, Plan { shocks, ..plan.clone() });
    assert!(shocked(vec![market(3, 2)]).contains("does not fit into the horizon of 3"));
    assert!(shocked(vec![market(1, 2), market(2, 1)]).contains("about session 2"));
    let unknown = Shock::Move {
        driver: Driver::Issue("999999".parse().unwrap()),
        each: -0.1,
        at: 1,
        sessions: 1,
    };
    assert!(shocked(vec![unknown]).contains("999999"));
    let day = |text: &str| text.parse().unwrap();
    let (from, to) = (day("2001-01-01"), day("2001-02-01"));
    let gone = Shock::Repeat { from, to, at: 1, mode: RepeatMode::Returns };
    assert!(shocked(vec![gone]).contains("2001-01-01 to 2001-02-01"));
}

#[test]
fn it_can_be_cancelled_and_tells_how_far_it_is() {
    let world = world(1, 300, 0.5, STILL);
    let (asked, told) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let control = Control {
        cancelled: &|| asked.fetch_add(1, Ordering::Relaxed) >= 3,
        progress: &|done, of| {
            assert!(done <= of);
            told.fetch_add(1, Ordering::Relaxed);
        },
    };
    let plan = Plan { paths: 100_000, ..Plan::default() };
    let result = simulate(&world, &[Exposure::issue(0, 1e6)], &plan, &control);
    assert_eq!(result, Err(SimulateError::Cancelled));
    assert!((1..=5).contains(&told.load(Ordering::Relaxed)));
}

fn shocks() -> impl Strategy<Value = Vec<Shock>> {
    let one = prop_oneof![
        (-0.3..0.3_f64, 1..4_u32, 1..3_u32).prop_map(|(each, at, sessions)| Shock::Move {
            driver: Driver::Factor(0),
            each,
            at,
            sessions
        }),
        (-0.3..0.3_f64, 1..6_u32).prop_map(|(each, at)| Shock::Move {
            driver: Driver::Issue("000101".parse().unwrap()),
            each,
            at,
            sessions: 1
        }),
        (0.1..8.0_f64).prop_map(|factor| Shock::Volatility { factor }),
    ];
    prop::collection::vec(one, 0..3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever the world and the plan: figures or an error, never a number that is none; parts
    /// that add up; a loss of at most everything.
    #[test]
    fn no_number_is_none(
        values in prop::collection::vec(0.0..1e9_f64, 1..12),
        scale in -8.0..1.0_f64,
        holes in prop::collection::vec(0..1_200_usize, 0..400),
        (fall, rise, persistence) in (0.0..0.2_f64, 0.0..0.2_f64, 0.5..0.995_f64),
        exit in prop::option::of((0.01..0.9_f64, any::<bool>())),
        shocks in shocks(),
    ) {
        let dynamics = Dynamics { persistence, fall, rise, rows: 0 };
        let mut world = world(4, 300, 0.5, dynamics);
        for issue in &mut world.issues {
            issue.variance = (issue.variance * 10.0_f64.powf(scale)).max(1e-12);
        }
        holes.iter().for_each(|at| world.residuals[*at] = f32::NAN);
        let exposures: Vec<Exposure> = values.iter().enumerate().map(|(at, value)| {
            let exit = exit.map(|(distance, trailing)| Exit { distance, trailing, cost: 0.002 });
            Exposure { exit, ..Exposure::issue(at % 4, *value) }
        }).collect();
        let plan = Plan { paths: 300, horizon: 6, shocks, ..Plan::default() };
        let Ok(outcome) = simulate(&world, &exposures, &plan, &Control::none()) else { return Ok(()) };
        let text = serde_json::to_string(&outcome).unwrap();
        prop_assert!(!text.contains("null,\"") || outcome.budget.is_none());
        prop_assert!(outcome.returns.lowest >= -1.0 - 1e-6 && outcome.returns.highest.is_finite());
        prop_assert!(outcome.drawdown.lowest >= 0.0 && outcome.drawdown.highest <= 1.0 + 1e-6);
        let points = outcome.returns.quantiles.windows(2);
        prop_assert!(points.into_iter().all(|pair| pair[0].value <= pair[1].value));
        for (at, risk) in outcome.risk.iter().enumerate() {
            let var: f64 = outcome.components.iter().map(|one| one.value_at_risk[at]).sum();
            prop_assert_eq!(var + outcome.initial_cost, risk.value_at_risk);
            let figures = [
                risk.value_at_risk,
                risk.value_at_risk_error,
                risk.expected_shortfall,
                risk.expected_shortfall_error,
            ];
            prop_assert!(figures.iter().all(|figure| figure.is_finite()), "{risk:?}");
        }
    }
}

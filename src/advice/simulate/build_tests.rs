//! Worlds of invented markets: what is in them, and that nothing later is.

use super::*;
use crate::model::document::tests::example;
use crate::model::tests::support::panel;

fn world(panel: &Panel, as_of: Option<SessionDay>) -> World {
    let document = example(0.1);
    let model = ModelInUse { document: &document, id: None, sha256: "ab" };
    World::build(panel, model, &BTreeMap::new(), as_of).unwrap()
}

/// Every number of it, bit by bit: days that are missing are NaN.
fn bits(world: &World) -> Vec<u64> {
    let single = |values: &[f32]| values.iter().map(|v| u64::from(v.to_bits())).collect::<Vec<_>>();
    let mut all = single(&world.residuals);
    all.extend(single(&world.returns));
    for factor in &world.factors {
        all.extend(single(&factor.residuals));
        all.extend([factor.variance.to_bits(), factor.long_run.to_bits()]);
    }
    for issue in &world.issues {
        let numbers = [
            issue.price,
            issue.variance,
            issue.long_run,
            issue.beta,
            issue.tail_beta,
            issue.correlation,
            issue.average_value.unwrap_or(-1.0),
        ];
        all.extend(numbers.map(f64::to_bits));
    }
    let Dynamics { persistence, fall, rise, .. } = world.dynamics;
    all.extend([persistence, fall, rise].map(f64::to_bits));
    all
}

#[test]
fn nothing_later_than_its_day_is_in_a_world() {
    let panel = panel(3, 12, 420);
    let sessions = panel.sessions();
    let day = SessionDay::from_epoch_days(sessions[399]);
    let (whole, cut) = (world(&panel, Some(day)), world(&panel.before(day.next()), None));
    assert_eq!((whole.as_of, cut.as_of), (day, day));
    assert_eq!(bits(&whole), bits(&cut));
    assert!(bits(&world(&panel, None)) != bits(&whole));
    // A day without trading stands for the last session before it.
    let sunday = (0..7).map(|ahead| SessionDay::from_epoch_days(sessions[399] + ahead));
    let sunday = sunday.rev().find(|day| day.is_weekend()).unwrap();
    assert!(world(&panel, Some(sunday)).as_of < sunday);
}

#[test]
fn residuals_are_near_to_unit_deviation_and_move_with_the_market() {
    let world = world(&panel(3, 12, 700), None);
    assert_eq!((world.factors[0].name.as_str(), world.issues.len()), ("KOSPI", 12));
    let of = |z: &[f32]| {
        let known: Vec<f64> = z.iter().filter(|z| z.is_finite()).map(|z| f64::from(*z)).collect();
        (known.iter().map(|z| z * z).sum::<f64>() / known.len() as f64).sqrt()
    };
    assert!((of(&world.factors[0].residuals[world.drawn_from..]) - 1.0).abs() < 0.1);
    for issue in &world.issues {
        // The example's coefficients are none that were fitted to this market, only near to it.
        assert!(issue.variance > 0.0 && issue.correlation > 0.2, "{issue:?}");
        assert!(!issue.halted && issue.last_day == world.as_of);
    }
}

#[test]
fn a_session_of_the_past_is_seen_with_what_was_known_before_it() {
    let panel = panel(4, 12, 420);
    let document = example(0.1);
    let made = |panel: &Panel, end: usize| {
        let design = Design::new(panel, None);
        let walk = frozen_walk(&design, &document, Origin::Close);
        let tails = Tails::new(&design, &walk, &shapes_of(&document), Origin::Close);
        let past = Past { panel, design: &design, walk: &walk, tails: &tails };
        let model = ModelInUse { document: &document, id: None, sha256: "" };
        World::before_session(past, end, model, &BTreeMap::new()).unwrap()
    };
    let after = SessionDay::from_epoch_days(panel.sessions()[400]);
    let (whole, cut) = (made(&panel, 400), made(&panel.before(after.next()), 400));
    assert_eq!(
        bits(&whole),
        bits(&cut),
        "session 400 itself gives its forecast, no later one does"
    );
    assert!(whole.as_of < after);
}

#[test]
fn too_little_is_told() {
    let document = example(0.1);
    let model = ModelInUse { document: &document, id: None, sha256: "" };
    let build = |panel: &Panel, day: Option<&str>| {
        let day = day.map(|day| day.parse().unwrap());
        World::build(panel, model, &BTreeMap::new(), day).unwrap_err()
    };
    assert_eq!(build(&Panel::default(), None), WorldError::NoBars);
    let short = panel(3, 12, 150);
    assert!(matches!(build(&short, None), WorldError::TooFewDays { needed: LEAST_DAYS, .. }));
    let early = build(&short, Some("1999-01-04"));
    assert!(early.to_string().contains("no session at or before 1999-01-04"), "{early}");
}

#[test]
fn dynamics_are_found_again() {
    // Variances that follow the recursion exactly.
    let wanted = Dynamics { persistence: 0.93, fall: 0.08, rise: 0.02, rows: 0 };
    // A sequence with both signs: the logistic map.
    let mut x = 0.3_f64;
    let mut next = || {
        x = 3.99 * x * (1.0 - x);
        3.0 * (x - 0.5)
    };
    let residuals: Vec<f64> = (0..20_000).map(|_| next()).collect();
    let all = residuals.iter().map(|z| super::super::dynamics::news(*z));
    let (falls, rises) = all.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let (mean_fall, mean_rise) = (falls / 20_000.0, rises / 20_000.0);
    let (mut h, long_run) = (2e-4, 2e-4);
    let mut rows = Vec::new();
    for z in residuals {
        let (fall, rise) = super::super::dynamics::news(z);
        let next = (1.0 - wanted.persistence) * long_run
            + h * (wanted.persistence
                + wanted.fall * (fall - mean_fall)
                + wanted.rise * (rise - mean_rise));
        rows.push(Transition { variance: h, next, long_run, residual: z });
        h = next;
    }
    let found = Dynamics::estimate(rows.iter().copied());
    assert!((found.fall - wanted.fall).abs() < 0.01, "{found:?}");
    assert!((found.rise - wanted.rise).abs() < 0.01, "{found:?}");
    assert!((found.persistence - wanted.persistence).abs() < 0.02, "{found:?}");
    assert_eq!(Dynamics::estimate(std::iter::empty()), Dynamics::default());
}

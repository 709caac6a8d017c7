use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::*;

/// A session of 500 issues that move together: below its quantile is a share that is near nothing on most
/// days and half the market on some, `level` on average and with the spread of three independent issues.
fn day(rng: &mut ChaCha8Rng, level: f64) -> f64 {
    // A beta distribution with the mean `level` and a + b = 2: a day tells as much as three issues.
    let (a, b) = (2.0 * level, 2.0 * (1.0 - level));
    let draw = rand_distr::Beta::new(a, b).expect("both are above 0");
    rng.sample(draw)
}

fn session(rng: &mut ChaCha8Rng, p05: f64, p01: f64) -> SessionCoverage {
    let count = |share: f64| (500.0 * share).round() as u32;
    let (five, one) = (day(rng, p05), day(rng, p01));
    SessionCoverage { issues: 500, below: [count(five), count(one)] }
}

/// Sessions until the first finding of at least `wanted`, up to `most`.
fn until(rng: &mut ChaCha8Rng, p05: f64, p01: f64, wanted: Level, most: u32) -> u32 {
    let mut watch = CoverageWatch::default();
    for at in 1..=most {
        let found = watch.push(session(rng, p05, p01), false);
        if found.is_some_and(|found| found.level >= wanted) {
            return at;
        }
    }
    most
}

#[test]
fn a_right_model_is_left_alone_for_as_long_as_stated() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let runs = 120;
    let mean = |rng: &mut ChaCha8Rng, wanted, most| {
        let all = (0..runs).map(|_| f64::from(until(rng, 0.05, 0.01, wanted, most)));
        all.sum::<f64>() / f64::from(runs)
    };
    // Cut off at some three times the bound, so the mean is understated.
    let watch = mean(&mut rng, Level::Watch, 1_000);
    assert!(watch > 250.0, "a false watch every {watch} sessions");
    let warning = mean(&mut rng, Level::Warning, 4_000);
    assert!(warning > 1_250.0, "a false warning every {warning} sessions");
}

/// Not only the first time: over ten years of one model, whatever was told before.
#[test]
fn a_right_model_is_left_alone_for_years() {
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let (runs, sessions) = (40, 2_500);
    let mut told = 0;
    for _ in 0..runs {
        let mut watch = CoverageWatch::default();
        let days =
            (0..sessions).filter(|_| watch.push(session(&mut rng, 0.05, 0.01), false).is_some());
        told += days.count();
    }
    let apart = f64::from(runs * sessions) / told as f64;
    assert!(apart > 250.0, "a false alarm every {apart} sessions");
}

#[test]
fn a_wrong_one_is_found() {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let runs = 40;
    let mut mean = |p05, p01| {
        let all = (0..runs).map(|_| f64::from(until(&mut rng, p05, p01, Level::Watch, 2_000)));
        all.sum::<f64>() / f64::from(runs)
    };
    let (mild, very) = (mean(0.12, 0.04), mean(0.25, 0.12));
    assert!(mild < 150.0, "twice too mild is found after {mild} sessions");
    assert!(very < 60.0, "five times too mild is found after {very} sessions");
}

#[test]
fn the_side_and_the_level_are_told_and_a_new_model_begins_anew() {
    let mut watch = CoverageWatch::default();
    let bad = SessionCoverage { issues: 100, below: [30, 15] };
    let mut told = Vec::new();
    for _ in 0..COOLDOWN_SESSIONS {
        told.extend(watch.push(bad, false));
    }
    let levels: Vec<Level> = told.iter().map(|found| found.level).collect();
    assert_eq!(levels.last(), Some(&Level::Critical), "{levels:?}");
    assert!(levels.is_sorted() && levels.len() <= 4, "each level once, {levels:?}");
    let evidence = |found: &DriftFinding, name: &str| {
        found.evidence.iter().find(|(known, _)| *known == name).expect("it is told").1
    };
    let last = told.last().unwrap();
    assert!((evidence(last, "too_mild") - 1.0).abs() < f64::EPSILON);
    assert!((evidence(last, "below_5_pct") - 30.0).abs() < 1e-9);
    assert!(watch.push(SessionCoverage { issues: 100, below: [5, 1] }, true).is_none());
    assert!((1..=3).all(|rung| watch.evidence(rung) < 2.0), "{watch:?}");
    // Too few issues tell nothing.
    let before = watch.clone();
    assert!(watch.push(SessionCoverage { issues: 9, below: [9, 9] }, false).is_none());
    assert_eq!(watch, before);
    // A model that is never wrong is too careful.
    let mut watch = CoverageWatch::default();
    let never = SessionCoverage { issues: 1_000, below: [0, 0] };
    let found = (0..400).find_map(|_| watch.push(never, false)).expect("it is found");
    assert!(evidence(&found, "too_mild").abs() < f64::EPSILON, "{found:?}");
}

#[test]
fn counting() {
    let rows = [(-0.03, -0.02, -0.04), (-0.05, -0.02, -0.04), (0.01, -0.02, -0.04)];
    let odd = [(f64::NAN, -0.02, -0.04), (-0.05, f64::NAN, -0.04)];
    let counted = SessionCoverage::count(rows.into_iter().chain(odd));
    assert_eq!(counted, SessionCoverage { issues: 3, below: [2, 1] });
}

#[test]
fn terms_that_moved_are_told_once_they_stay_so() {
    let fitted = [Moments { mean: -8.0, deviation: 1.5 }, Moments { mean: 0.0, deviation: 2.0 }];
    let same = [Some(fitted[0]), Some(fitted[1])];
    let mut watch = TermWatch::default();
    assert!((0..100).all(|_| watch.push(&same, &fitted, false).is_none()));
    let moved = [Some(Moments { mean: -6.5, deviation: 1.5 }), None];
    let told: Vec<_> = (0..100).filter_map(|_| watch.push(&moved, &fitted, false)).collect();
    assert!(!told.is_empty() && told[0].level == Level::Watch, "{told:?}");
    assert_eq!(watch.worst().map(|(term, _)| term), Some(0));
    // One deviation apart is an index of one: (0 − 1)² (1 + 1) / 2.
    assert!((watch.worst().unwrap().1 - 1.0).abs() < 0.1, "{:?}", watch.worst());
    assert!(watch.push(&same, &fitted, true).is_none() && watch.worst().unwrap().1 < 1e-9);
}

proptest! {
    /// Whatever comes: finite, not below zero, and findings in order.
    #[test]
    fn no_sequence_breaks_the_watch(days in proptest::collection::vec((0u32..2_000, any::<u32>(), any::<u32>(), any::<bool>()), 0..200)) {
        let mut watch = CoverageWatch::default();
        for (issues, five, one, new) in days {
            let found = watch.push(SessionCoverage { issues, below: [five, one] }, new);
            for rung in 1..=3 {
                prop_assert!((0.0..RUN_LENGTHS[rung - 1]).contains(&watch.evidence(rung)));
            }
            if let Some(found) = found {
                prop_assert!(found.evidence.iter().all(|(_, value)| value.is_finite()));
                let told = |name| found.evidence.iter().find(|(known, _)| *known == name).unwrap().1;
                prop_assert!(told("evidence") >= told("false_alarm_sessions"));
            }
        }
    }

    /// The recursion is what the formula says: Σ over starting days of the product of the gains since.
    #[test]
    fn the_recursion_is_the_sum_over_starting_days(shares in proptest::collection::vec(0.0..1.0f64, 1..8)) {
        for (level, side) in [(0.05, Side::TooMild), (0.01, Side::TooCareful)] {
            let mut bets = Bets::default();
            shares.iter().for_each(|&share| bets.push(share, level, side));
            for (sum, stake) in bets.0.iter().zip(STAKES) {
                let gain = |share: f64| match side {
                    Side::TooMild => 1.0 + stake / level * (share - level),
                    Side::TooCareful => 1.0 + stake / (1.0 - level) * (level - share),
                };
                let naive: f64 = (0..shares.len())
                    .map(|from| shares[from..].iter().map(|&share| gain(share)).product::<f64>())
                    .sum();
                prop_assert!(naive >= 0.0);
                prop_assert!((sum.min(MOST) - naive.min(MOST)).abs() <= 1e-9 * naive.max(1.0) || naive >= MOST);
            }
        }
    }

    #[test]
    fn no_moments_break_the_terms(days in proptest::collection::vec(proptest::collection::vec(proptest::option::of((-1e9..1e9f64, 0.0..1e9f64)), 0..4), 0..60)) {
        let fitted = [Moments { mean: 0.0, deviation: 1.0 }, Moments { mean: 1.0, deviation: 0.0 }];
        let mut watch = TermWatch::default();
        for terms in days {
            let now: Vec<_> = terms
                .iter()
                .map(|term| term.map(|(mean, deviation)| Moments { mean, deviation }))
                .collect();
            if let Some(found) = watch.push(&now, &fitted, false) {
                prop_assert!(found.evidence.iter().all(|(_, value)| value.is_finite()));
            }
        }
    }
}

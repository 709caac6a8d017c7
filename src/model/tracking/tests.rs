use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, StandardNormal};

use super::*;

const NORMAL: [f64; 3] = [-2.326, -1.96, -1.645];
const STEP: f64 = 4e-4;

fn untaught(issues: usize, sessions: usize) -> Tracking {
    Tracking {
        pooled: vec![None; sessions],
        before: vec![vec![Correction::default(); sessions]; issues],
        last: vec![Correction::default(); issues],
    }
}

fn row(at: usize, u: f64) -> Observed {
    Observed { at, session: at, u, quantiles: NORMAL, usual: true }
}

#[test]
fn by_hand() {
    let taught = Correction { v01: -0.2, v025: 0.1, v05: 0.4 };
    let tail = TailPoints { v01: -2.0, v025: -1.5, v05: -1.0, e025: -2.2, e05: -1.6 };
    let middle = -1.5 * 0.1_f64.exp();
    // −2 e^−0.2 lies above −1.5 e^0.1, and −e^0.4 above it too: the first is kept below the middle.
    let last = -0.4_f64.exp();
    let expected = TailPoints { v01: middle, v025: middle, v05: last, e025: -2.2, e05: -1.6 };
    assert_eq!(taught.of(tail), expected);
    assert_eq!(Correction::default().of(tail), tail);
    // A hit of the 5 % quantile alone, which a tenth of the issues had.
    let after = Correction::default().after(STEP, [0.0, 0.0, 1.0], [0.0, 0.0, 0.1]);
    assert_eq!((after.v01, after.v025), (0.0, 0.0));
    assert!((after.v05 - STEP * 0.9 / 0.05).abs() < 1e-15);
    // The 2.5 % quantile moves half as much as its level says.
    let after = Correction::default().after(STEP, [0.0, 1.0, 1.0], [0.0; 3]);
    assert!((after.v025 - 0.5 * STEP / 0.025).abs() < 1e-15);
}

#[test]
fn what_was_known_before_a_session_is_what_earlier_ones_taught() {
    // Two issues; the first is hit on sessions 1 and 3, the second has no row on session 2.
    let first = vec![row(0, 0.0), row(1, -3.0), row(2, 0.0), row(3, -3.0)];
    let second = vec![row(0, 0.0), row(1, 0.0), row(3, 0.0)];
    let mut tracking = untaught(2, 4);
    tracking.follow(&[first, second], STEP);
    let v01 = |issue: usize, at: usize| tracking.before(issue, at).v01;
    let half = STEP * 0.5 / 0.01;
    assert_eq!([v01(0, 0), v01(0, 1), v01(1, 1)], [0.0; 3]);
    // Half of the issues were hit; alone on session 2 the first is what is usual.
    assert!((v01(0, 2) - half).abs() < 1e-15 && (v01(0, 3) - half).abs() < 1e-15);
    assert!((v01(1, 3) + half).abs() < 1e-15);
    assert!((tracking.last()[0].v01 - 2.0 * half).abs() < 1e-15);
    assert!((tracking.last()[1].v01 + 2.0 * half).abs() < 1e-15);
}

#[test]
fn what_hits_all_issues_alike_teaches_none() {
    let crash = |at: usize| if at == 5 { -9.0 } else { 0.0 };
    let rows = || (0..10).map(|at| row(at, crash(at))).collect::<Vec<_>>();
    let mut tracking = untaught(3, 10);
    tracking.follow(&[rows(), rows(), rows()], STEP);
    assert_eq!(tracking.last(), [Correction::default(); 3]);
    // Issues that are not fitted learn against those that are, and teach them nothing.
    let other: Vec<Observed> =
        (0..10).map(|at| Observed { usual: false, ..row(at, 0.0) }).collect();
    let mut tracking = untaught(2, 10);
    tracking.follow(&[rows(), other], STEP);
    assert_eq!(tracking.last()[0], Correction::default());
    assert!((tracking.last()[1].v05 + STEP / 0.05).abs() < 1e-15);
}

/// Issues whose residuals are wider or narrower than the quantiles say are hit as often as others
/// in the end, and exceedances of a year lie closer together than without.
#[test]
fn exceedances_come_more_evenly() {
    const ISSUES: usize = 60;
    const SESSIONS: usize = 3_000;
    const YEAR: usize = 250;
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let observed: Vec<Vec<Observed>> = (0..ISSUES)
        .map(|issue| {
            let width = [0.85, 1.0, 1.15][issue % 3];
            let mut draw = || -> f64 { StandardNormal.sample(&mut rng) };
            (0..SESSIONS).map(|at| row(at, width * draw())).collect()
        })
        .collect();
    let mut tracking = untaught(ISSUES, SESSIONS);
    tracking.follow(&observed, STEP);
    let hits = |issue: usize, level: usize, taught: bool| -> f64 {
        let last_year = &observed[issue][SESSIONS - YEAR..];
        let correction = |at: usize| {
            if taught { tracking.before(issue, at) } else { Correction::default() }
        };
        last_year.iter().map(|row| row.hits(correction(row.at))[level]).sum()
    };
    for (level, alpha) in LEVELS.into_iter().enumerate() {
        let spread = |taught: bool| {
            let expected = alpha * YEAR as f64;
            let miss = |issue: usize| (hits(issue, level, taught) - expected).powi(2);
            (0..ISSUES).map(miss).sum::<f64>() / ISSUES as f64
        };
        assert!(spread(true) < 0.7 * spread(false), "{} {}", spread(true), spread(false));
    }
    let wide = tracking.last()[2].v05;
    let narrow = tracking.last()[0].v05;
    assert!((0.05..0.3).contains(&wide) && (-0.3..-0.05).contains(&narrow), "{narrow} {wide}");
}

fn correction() -> impl Strategy<Value = Correction> {
    let log = -LARGEST..LARGEST;
    (log.clone(), log.clone(), log).prop_map(|(v01, v025, v05)| Correction { v01, v025, v05 })
}

proptest! {
    #[test]
    fn a_tail_stays_a_tail(
        taught in correction(),
        mut values in prop::collection::vec(-9.0..9.0_f64, 100..300),
    ) {
        values.sort_by(f64::total_cmp);
        let tail = TailPoints::of_sorted(&values).unwrap();
        prop_assume!(tail.is_tail());
        let corrected = taught.of(tail);
        prop_assert!(corrected.is_tail(), "{corrected:?}");
        prop_assert!(corrected.e025 <= tail.e025 && corrected.e05 <= tail.e05);
    }

    #[test]
    fn bounded_and_of_mean_zero(hits in prop::collection::vec(prop::array::uniform4(any::<bool>()), 1..400)) {
        let rows = |issue: usize| -> Vec<Observed> {
            hits.iter().enumerate().map(|(at, hit)| row(at, if hit[issue] { -20.0 } else { 0.0 })).collect()
        };
        let mut tracking = untaught(4, hits.len());
        tracking.follow(&[rows(0), rows(1), rows(2), rows(3)], STEP);
        prop_assert!(tracking.last().iter().all(Correction::is_possible));
        let within = tracking.before.iter().flatten().all(|c| c.v01.abs() < LARGEST);
        if within {
            let mean: f64 = tracking.last().iter().map(|c| c.v01).sum();
            prop_assert!(mean.abs() < 1e-9);
        }
    }
}

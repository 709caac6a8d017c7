use std::cell::RefCell;
use std::rc::Rc;

use futures::stream::{FuturesUnordered, StreamExt};
use proptest::prelude::*;

use super::*;

/// A budget of ten a second that stays there.
fn ten() -> Budget {
    Budget::new(Some(10.0), 10.0)
}

async fn gap(budget: &Budget) -> u128 {
    budget.take(Lane::Poll).await.unwrap();
    let before = Instant::now();
    budget.take(Lane::Poll).await.unwrap();
    before.elapsed().as_millis()
}

#[tokio::test(start_paused = true)]
async fn calls_are_evenly_spaced_and_slow_down_after_a_refusal() {
    let budget = ten();
    let start = Instant::now();
    for _ in 0..11 {
        budget.take(Lane::Poll).await.unwrap();
    }
    assert_eq!(start.elapsed().as_millis(), 1_000);
    budget.refused();
    budget.refused();
    assert!((budget.rate().unwrap() - 7.5).abs() < 1e-9, "refusals together are one event");
    assert_eq!(gap(&budget).await, 134);
    assert!(budget.remaining().unwrap() < 7.5);
    // It grows no sooner than after a while.
    (0..1_000).for_each(|_| budget.served());
    assert!((budget.rate().unwrap() - 7.5).abs() < 1e-9);
    tokio::time::advance(HOLD).await;
    (0..1_000).for_each(|_| budget.served());
    assert!((budget.rate().unwrap() - 10.0).abs() < 1e-9);
}

#[tokio::test(start_paused = true)]
async fn it_learns_up_to_the_ceiling_and_down_to_the_floor() {
    let budget = Budget::new(Some(8.0), 15.0);
    (0..CLEAN).for_each(|_| budget.served());
    assert!((budget.rate().unwrap() - 8.4).abs() < 1e-9);
    (0..10_000).for_each(|_| budget.served());
    assert!((budget.rate().unwrap() - 15.0).abs() < 1e-9);
    for _ in 0..100 {
        budget.refused();
        tokio::time::advance(SAME_EVENT).await;
    }
    assert!((budget.rate().unwrap() - 2.0).abs() < 1e-9);
    assert!((Budget::new(Some(18.0), 15.0).rate().unwrap() - 15.0).abs() < 1e-9);
}

#[tokio::test(start_paused = true)]
async fn no_limit_never_waits() {
    for budget in [Budget::new(None, 15.0), Budget::new(Some(0.0), 15.0)] {
        let start = Instant::now();
        for _ in 0..1_000 {
            budget.take(Lane::Collect).await.unwrap();
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!((budget.remaining(), budget.rate()), (None, None));
    }
}

/// Takes one slot and notes when, and in which lane.
async fn note(budget: &Budget, lane: Lane, log: &RefCell<Vec<(Instant, Lane)>>) {
    budget.take(lane).await.unwrap();
    log.borrow_mut().push((Instant::now(), lane));
}

#[tokio::test(start_paused = true)]
async fn the_important_go_first_and_nobody_starves() {
    let budget = ten();
    budget.take(Lane::Control).await.unwrap();
    let log = RefCell::new(Vec::new());
    let mut calls = FuturesUnordered::new();
    for lane in [Lane::Collect, Lane::Poll, Lane::Backfill] {
        (0..100).for_each(|_| calls.push(note(&budget, lane, &log)));
    }
    // One that comes last and matters most.
    calls.push(note(&budget, Lane::Control, &log));
    while calls.next().await.is_some() {}
    drop(calls);
    let lanes: Vec<Lane> = log.borrow().iter().map(|(_, lane)| *lane).collect();
    assert_eq!(&lanes[..2], [Lane::Control, Lane::Backfill]);
    let share = |lane| lanes[..100].iter().filter(|found| **found == lane).count();
    assert!(share(Lane::Backfill) >= 60, "{}", share(Lane::Backfill));
    assert!(share(Lane::Poll) >= 10, "{}", share(Lane::Poll));
    assert!(share(Lane::Collect) >= 8, "{}", share(Lane::Collect));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_waiter_costs_no_slot() {
    let budget = ten();
    budget.take(Lane::Poll).await.unwrap();
    let start = Instant::now();
    let mut first = Box::pin(budget.take(Lane::Backfill));
    let mut second = Box::pin(budget.take(Lane::Poll));
    assert!(futures::poll!(&mut first).is_pending());
    assert!(futures::poll!(&mut second).is_pending());
    drop(first);
    second.await.unwrap();
    assert_eq!(start.elapsed().as_millis(), 100);
    assert_eq!(budget.state.lock().waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn waiters_are_bounded() {
    let budget = ten();
    budget.take(Lane::Poll).await.unwrap();
    let mut waiting: Vec<_> =
        (0..MAX_WAITING).map(|_| Box::pin(budget.take(Lane::Collect))).collect();
    for call in &mut waiting {
        assert!(futures::poll!(call).is_pending());
    }
    assert_eq!(budget.take(Lane::Control).await, Err(Crowded { waiting: MAX_WAITING }));
    waiting.pop();
    assert!(futures::poll!(Box::pin(budget.take(Lane::Control))).is_pending());
}

/// What happens to one call: when it comes (ms), in which lane, whether it gives up (ms after), and
/// whether it is refused.
type Plan = (u64, usize, Option<u64>, bool);

async fn play(plans: Vec<Plan>) -> Result<(), TestCaseError> {
    let ceiling = 15.0;
    let budget = Budget::new(Some(8.0), ceiling);
    let log = Rc::new(RefCell::new(Vec::new()));
    let mut calls = FuturesUnordered::new();
    let kept = plans.iter().filter(|(.., gives_up, _)| gives_up.is_none()).count();
    for (at, lane, gives_up, refused) in plans {
        let (budget, log) = (&budget, Rc::clone(&log));
        calls.push(async move {
            tokio::time::sleep(Duration::from_millis(at)).await;
            let call = async {
                note(budget, Lane::ALL[lane], &log).await;
                if refused { budget.refused() } else { budget.served() }
            };
            match gives_up {
                Some(after) => {
                    let _ = tokio::time::timeout(Duration::from_millis(after), call).await;
                }
                None => call.await,
            }
        });
    }
    while calls.next().await.is_some() {}
    drop(calls);
    let log = log.borrow();
    prop_assert!(log.len() >= kept, "{} of {kept} calls went", log.len());
    for pair in log.windows(2) {
        let gap = pair[1].0 - pair[0].0;
        prop_assert!(gap.as_secs_f64() >= 1.0 / ceiling - 1e-3, "{gap:?} between two calls");
    }
    prop_assert_eq!(budget.state.lock().waiting(), 0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_call_goes_and_never_above_the_ceiling(
        plans in proptest::collection::vec(
            (0_u64..3_000, 0_usize..4, proptest::option::weighted(0.3, 0_u64..2_000), proptest::bool::weighted(0.1)),
            1..120,
        )
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(play(plans))?;
    }
}

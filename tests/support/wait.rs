//! Waiting for a condition: the only place of the tests that sleeps.

use std::time::{Duration, Instant};

/// Between two looks. Short against what is waited for, long against a look.
const STEP: Duration = Duration::from_millis(10);

/// Looks at `condition` until it holds; for tests that are not async.
///
/// # Panics
/// When it does not hold within `deadline`, naming `what` was waited for.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "between two looks at a condition, off any runtime")]
pub fn wait_until(deadline: Duration, mut condition: impl FnMut() -> bool, what: &str) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < deadline, "not within {deadline:?}: {what}");
        std::thread::sleep(STEP);
    }
}

/// Looks at `condition` until it holds, leaving the runtime to others in between.
///
/// Real time: under a paused tokio clock the deadline would still be real, and each step would
/// move the virtual clock by [`STEP`].
///
/// # Panics
/// When it does not hold within `deadline`, naming `what` was waited for. A look that hangs is
/// cut off at the deadline too.
pub async fn await_until<F>(deadline: Duration, mut condition: impl FnMut() -> F, what: &str)
where
    F: Future<Output = bool>,
{
    let start = Instant::now();
    loop {
        let left = deadline.saturating_sub(start.elapsed());
        match tokio::time::timeout(left, condition()).await {
            Ok(true) => return,
            Ok(false) if start.elapsed() < deadline => tokio::time::sleep(STEP).await,
            Ok(false) | Err(_) => panic!("not within {deadline:?}: {what}"),
        }
    }
}

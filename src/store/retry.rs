//! Transactions that were in each other's way.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// How often a transaction is repeated before the conflict counts as a failure.
pub(super) const REPEATS: u32 = 6;

/// Repeats an expression of type `Result<_, StoreError>` while another transaction is in its way:
/// at most [`REPEATS`] times, within about a second. What it borrows is borrowed anew each time.
macro_rules! retry_conflicts {
    ($work:expr) => {{
        let mut repeats = 0;
        loop {
            match $work {
                Err(error)
                    if error.fault() == $crate::store::Fault::Conflict
                        && repeats < $crate::store::retry::REPEATS =>
                {
                    $crate::store::retry::told(&error);
                    tokio::time::sleep($crate::store::retry::pause(repeats)).await;
                    repeats += 1;
                }
                outcome => break outcome,
            }
        }
    }};
}
pub(super) use retry_conflicts;

/// 10 ms, doubled each time, less up to half: two that met must not meet again in step.
pub(super) fn pause(repeats: u32) -> Duration {
    Duration::from_millis(10 << repeats.min(REPEATS)).mul_f64(1.0 - 0.5 * chance())
}

/// Counts and logs a conflict.
pub(super) fn told(error: &super::StoreError) {
    metrics::counter!("bongsu_store_failures_total", "fault" => "conflict").increment(1);
    tracing::debug!(%error, "another transaction was in the way, this one is repeated");
}

/// A number from 0 to 1. The standard library's hash keys are random for each use; jitter needs no
/// better source.
pub(crate) fn chance() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 11;
    bits as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_differ() {
        for repeats in 0..REPEATS {
            let whole = Duration::from_millis(10 << repeats);
            let pause = pause(repeats);
            assert!(pause >= whole / 2 && pause <= whole, "{pause:?} of {whole:?}");
        }
        assert!((0..20).any(|_| pause(3) != pause(3)));
    }
}

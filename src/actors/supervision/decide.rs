//! The supervisor's judgement, as arithmetic: what to restart, when, and when to give up.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::ExitReason;

/// Which children are restarted when one fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Only the one that failed.
    OneForOne,
    /// The one that failed and those started after it, which it feeds.
    RestForOne,
    /// Only the one that failed, if it panicked or failed for the first time within the window;
    /// with what it feeds, if it fails again or hangs.
    OneThenRest,
}

/// How failures are met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartPolicy {
    /// Which children are restarted.
    pub strategy: Strategy,
    /// At this many failures of all children within `within`, the supervisor gives up.
    pub max_failures: usize,
    /// Window of `max_failures`.
    pub within: Duration,
    /// Delay before the restart after a first failure; doubles with each further one of the same
    /// child within the window.
    pub backoff_initial: Duration,
    /// Upper limit of the delay.
    pub backoff_max: Duration,
}

/// What to do about an exit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nothing: the child ended as it should.
    LeaveEnded,
    /// Restart these children, in order, after the delay.
    Restart {
        /// Index of the first child to restart.
        first: usize,
        /// Index of the last one.
        last: usize,
        /// Wait so long first.
        delay: Duration,
    },
    /// Too many failures, or one that no repetition helps: stop everything and report this to the
    /// parent.
    GiveUp(ExitReason),
}

/// Remembers failures and decides.
#[derive(Debug)]
pub(super) struct Judge {
    policy: RestartPolicy,
    children: usize,
    failures: VecDeque<(Instant, usize)>,
}

impl Judge {
    pub(super) fn new(policy: RestartPolicy, children: usize) -> Self {
        Self { policy, children, failures: VecDeque::new() }
    }

    /// What to do when child `index` ended for `reason` at `now`.
    pub(super) fn decide(
        &mut self,
        index: usize,
        name: &str,
        reason: &ExitReason,
        now: Instant,
    ) -> Decision {
        if !reason.is_failure() {
            return Decision::LeaveEnded;
        }
        if matches!(reason, ExitReason::Fatal(_)) {
            return Decision::GiveUp(reason.clone());
        }
        while self
            .failures
            .front()
            .is_some_and(|(at, _)| now.saturating_duration_since(*at) > self.policy.within)
        {
            self.failures.pop_front();
        }
        let earlier = self.failures.iter().filter(|(_, child)| *child == index).count();
        self.failures.push_back((now, index));
        if self.failures.len() >= self.policy.max_failures {
            return Decision::GiveUp(ExitReason::Failed(format!(
                "{} failures within {} s, the limit is {}; the last one: {name} {reason}",
                self.failures.len(),
                self.policy.within.as_secs(),
                self.policy.max_failures,
            )));
        }
        let doublings = u32::try_from(earlier).unwrap_or(u32::MAX).min(20);
        let delay =
            self.policy.backoff_initial.saturating_mul(1 << doublings).min(self.policy.backoff_max);
        let rest = match self.policy.strategy {
            Strategy::OneForOne => false,
            Strategy::RestForOne => true,
            Strategy::OneThenRest => {
                earlier > 0 || matches!(reason, ExitReason::Hung | ExitReason::ThreadLost)
            }
        };
        let last = if rest { self.children - 1 } else { index };
        Decision::Restart { first: index, last, delay }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(strategy: Strategy) -> RestartPolicy {
        RestartPolicy {
            strategy,
            max_failures: 4,
            within: Duration::from_secs(60),
            backoff_initial: Duration::from_millis(10),
            backoff_max: Duration::from_millis(25),
        }
    }

    fn restart(first: usize, last: usize, millis: u64) -> Decision {
        Decision::Restart { first, last, delay: Duration::from_millis(millis) }
    }

    #[test]
    fn delays_double_up_to_the_cap_and_the_limit_ends_it() {
        let mut judge = Judge::new(policy(Strategy::OneForOne), 3);
        let now = Instant::now();
        let panicked = ExitReason::Panicked("x".into());
        assert_eq!(judge.decide(1, "child", &panicked, now), restart(1, 1, 10));
        assert_eq!(judge.decide(1, "child", &panicked, now), restart(1, 1, 20));
        assert_eq!(judge.decide(1, "child", &panicked, now), restart(1, 1, 25));
        assert!(matches!(judge.decide(1, "child", &panicked, now), Decision::GiveUp(_)));
    }

    #[test]
    fn what_no_repetition_helps_ends_it_at_once() {
        let mut judge = Judge::new(policy(Strategy::OneForOne), 1);
        let fatal = ExitReason::Fatal("wrong key".into());
        let decision = judge.decide(0, "child", &fatal, Instant::now());
        assert_eq!(decision, Decision::GiveUp(fatal));
    }

    #[test]
    fn old_failures_are_forgiven() {
        let mut judge = Judge::new(policy(Strategy::OneForOne), 1);
        let mut now = Instant::now();
        for _ in 0..20 {
            assert_eq!(judge.decide(0, "child", &ExitReason::Hung, now), restart(0, 0, 10));
            now += Duration::from_secs(61);
        }
    }

    #[test]
    fn one_then_rest() {
        let mut judge = Judge::new(policy(Strategy::OneThenRest), 4);
        let now = Instant::now();
        assert_eq!(
            judge.decide(1, "child", &ExitReason::Panicked("x".into()), now),
            restart(1, 1, 10)
        );
        assert_eq!(judge.decide(2, "child", &ExitReason::Hung, now), restart(2, 3, 10));
        assert_eq!(
            judge.decide(1, "child", &ExitReason::Failed("y".into()), now),
            restart(1, 3, 20)
        );
    }

    #[test]
    fn an_orderly_end_is_left_alone() {
        let mut judge = Judge::new(policy(Strategy::RestForOne), 2);
        for reason in [ExitReason::Finished, ExitReason::Asked, ExitReason::Fenced] {
            assert_eq!(judge.decide(0, "child", &reason, Instant::now()), Decision::LeaveEnded);
        }
    }
}

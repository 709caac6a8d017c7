//! The clock of one registration: how long may it be silent before that is suspicious?
//!
//! An acknowledged subscription can be mute while its session looks healthy. So each registration
//! has a clock of its own, started by the acknowledgement ("first data by") and restarted by each
//! message ("last data"). The limit follows its own rhythm: a stock that trades every second is
//! suspicious after the floor, one that trades every minute after several minutes. Suspicion is not
//! proof: the caller asks the exchange's own count before it acts.

use std::time::Duration;

use tokio::time::Instant;

/// When silence becomes suspicious.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MuteLimits {
    /// Never before this.
    pub floor: Duration,
    /// A registration that has had no message yet.
    pub first_data: Duration,
    /// Multiples of its own average interval.
    pub intervals: f64,
    /// Never after this.
    pub cap: Duration,
}

impl MuteLimits {
    /// Limits around `floor`: the first message within three floors, then 25 of the registration's
    /// own intervals (silence that a Poisson stream shows once in 10^11), at most thirty floors.
    #[must_use]
    pub fn around(floor: Duration) -> Self {
        Self { floor, first_data: floor * 3, intervals: 25.0, cap: floor * 30 }
    }
}

/// Weight of a new interval in the average.
const WEIGHT: f64 = 0.05;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct Pulse {
    since: Instant,
    last: Option<Instant>,
    /// Average interval, seconds.
    interval: f64,
    /// Suspicions since the last message; each doubles the wait for the next.
    suspicions: u32,
}

impl Pulse {
    /// The clock of a registration that is acknowledged `now`.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self { since: now, last: None, interval: 0.0, suspicions: 0 }
    }

    /// A message came.
    pub fn beat(&mut self, now: Instant) {
        if let Some(last) = self.last {
            let gap = now.saturating_duration_since(last).as_secs_f64();
            let weight = if self.interval == 0.0 { 1.0 } else { WEIGHT };
            self.interval += weight * (gap - self.interval);
        }
        self.last = Some(now);
        self.suspicions = 0;
    }

    /// Whether a message has come since `since`.
    #[must_use]
    pub fn has_beaten_since(&self, since: Instant) -> bool {
        self.last.is_some_and(|last| last >= since)
    }

    /// Average interval between messages; `None` before the second.
    #[must_use]
    pub fn interval(&self) -> Option<Duration> {
        (self.interval > 0.0).then(|| Duration::from_secs_f64(self.interval))
    }

    /// When silence becomes suspicious (again). Time before `active` does not count: the market was
    /// closed, or the line was down.
    #[must_use]
    pub fn suspicious_at(&self, active: Instant, limits: &MuteLimits) -> Instant {
        let limit = match self.last {
            None => limits.first_data,
            Some(_) => {
                let own = Duration::from_secs_f64(limits.intervals * self.interval);
                own.clamp(limits.floor, limits.cap.max(limits.floor))
            }
        };
        self.last.unwrap_or(self.since).max(active) + limit * (1 << self.suspicions.min(10))
    }

    /// A suspicion was raised; the next one takes twice as long.
    pub fn suspected(&mut self) {
        self.suspicions = self.suspicions.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_busy_one_is_suspicious_soon_and_a_quiet_one_late() {
        let limits = MuteLimits::around(20 * S);
        let start = Instant::now();
        let mut never = Pulse::new(start);
        assert_eq!(never.suspicious_at(start, &limits), start + 60 * S);
        never.suspected();
        assert_eq!(never.suspicious_at(start, &limits), start + 120 * S);

        let (mut busy, mut quiet) = (Pulse::new(start), Pulse::new(start));
        for second in 0..600 {
            busy.beat(start + second * S / 2);
            quiet.beat(start + second * 10 * S);
        }
        let last = |beats: u32, step: Duration| start + (beats - 1) * step;
        assert_eq!(busy.suspicious_at(start, &limits), last(600, S / 2) + 20 * S);
        let late = quiet.suspicious_at(start, &limits) - last(600, 10 * S);
        assert!((240 * S..=250 * S).contains(&late), "{late:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn time_before_the_market_opened_does_not_count() {
        let limits = MuteLimits::around(20 * S);
        let start = Instant::now();
        let pulse = Pulse::new(start);
        assert_eq!(pulse.suspicious_at(start + 900 * S, &limits), start + 960 * S);
    }

    proptest! {
        #[test]
        fn within_floor_and_cap(gaps in prop::collection::vec(0u64..100_000, 1..50)) {
            let limits = MuteLimits::around(20 * S);
            let start = Instant::now();
            let mut pulse = Pulse::new(start);
            let mut now = start;
            for gap in gaps {
                now += Duration::from_millis(gap);
                pulse.beat(now);
            }
            let wait = pulse.suspicious_at(start, &limits) - now;
            prop_assert!(wait >= limits.floor && wait <= limits.cap);
        }
    }
}

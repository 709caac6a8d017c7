//! Whether the model in use still fits: is what happens as likely as it said, and are its terms what
//! they were when it was fitted?
//!
//! In: after each session, how many issues fell below the 5 % and the 1 % quantile that was forecast for
//! them, and the terms of each. Out: a [`DriftFinding`] when either is beyond chance. Once a session, not
//! once a tick.
//!
//! # Coverage
//! A session is **one** observation, the share X of issues below their quantile: what happens to issues
//! of one day is much alike. Measured on the KOSPI's 700 issues (returns over their exponentially weighted
//! volatility, quantiles of the window), the daily share varies like that of 6.2 independent issues at
//! 5 % and 11.5 at 1 % from 2021-07 to 2024-06, of 4.8 and 3.4 from 2024-07 to 2025-06, which
//! [`EFFECTIVE_ISSUES`] stands for. The test itself assumes nothing of how the share spreads. Under a right
//! model the mean of X, given the days before, is the level p. For a stake λ
//!
//! ```text
//! M ← (M + 1) · (1 + λ (X − p)),    λ p ∈ {0.05, 0.2, 0.5, 0.9} (too mild), −λ (1 − p) ∈ … (too careful)
//! ```
//!
//! is an e-detector of the Shiryaev–Roberts kind (Shin, Ramdas & Rinaldo 2023, "E-detectors"; the bets:
//! Waudby-Smith & Ramdas 2024): the mean number of sessions until it first passes a bound B while nothing
//! has changed is at least B. The mean over stakes, sides and levels is one too, and it is what is
//! compared with B: so looking every day costs nothing, and the false-alarm rate of the whole is known:
//! [`RUN_LENGTHS`] sessions between false alarms of each level of seriousness, at least. Under a right
//! model M grows by one a session on average and never comes back for good, so what has told begins
//! anew; each level of seriousness has detectors of its own, or the first would take the evidence
//! from the next.
//!
//! # Terms
//! The population stability index between the terms now and those that were fitted, usually taken of
//! shares in bins, Σ (a − e) ln (a / e) (limits of 0.1 and 0.25: Siddiqi 2006). The model's document
//! holds mean and deviation of its terms, no bins, so it is Jeffreys' divergence of two normal
//! distributions, which is what the index estimates (Kullback 1959). Terms of one day move together, so they are averaged over
//! [`TERM_SESSIONS`] sessions before they are compared.
//!
//! **Limits.** A model that is right on average but wrong by turns (too mild in wild months, too careful
//! in calm ones) shows late or never. A session with fewer than [`LEAST_ISSUES`] forecasts is left out.
//! Never NaN: what is no number is left out.

use serde::{Deserialize, Serialize};

use crate::model::Moments;
use crate::risk::types::Level;

/// Levels of the quantiles that are watched.
pub const LEVELS: [f64; 2] = [0.05, 0.01];
/// Mean number of sessions between false alarms of `watch`, `warning` and `critical`, at least: one year,
/// five and twenty.
pub const RUN_LENGTHS: [f64; 3] = [250.0, 1_250.0, 5_000.0];
/// Independent issues that tell about as much as one session does: p (1 − p) over the variance of the
/// daily share of exceedances. Told as evidence; no decision rests on it.
pub const EFFECTIVE_ISSUES: f64 = 5.0;
/// Forecasts that make a session count.
pub const LEAST_ISSUES: u32 = 10;
/// Sessions over which terms are averaged, as a time constant.
pub const TERM_SESSIONS: f64 = 20.0;
/// Index from which on the terms are told, by level.
pub const STABILITY: [f64; 3] = [0.25, 0.5, 1.0];
/// A level that was told is told again after so many sessions at the earliest.
pub const COOLDOWN_SESSIONS: u32 = 20;

/// Stakes, as shares of what may be lost at most.
const STAKES: [f64; 4] = [0.05, 0.2, 0.5, 0.9];
/// Above this the sum is held: alarms are long told, and a number must not overflow.
const MOST: f64 = 1e12;

/// One session's outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionCoverage {
    /// Issues with a forecast and a return.
    pub issues: u32,
    /// Of these below their 5 % quantile, and below their 1 % quantile.
    pub below: [u32; 2],
}

impl SessionCoverage {
    /// Counts returns against the quantiles that were forecast for them: `(return, 5 % quantile, 1 %
    /// quantile)`, same unit. What is no number is left out.
    #[must_use]
    pub fn count(rows: impl IntoIterator<Item = (f64, f64, f64)>) -> Self {
        let mut counted = Self { issues: 0, below: [0; 2] };
        for (made, v05, v01) in rows {
            if made.is_finite() && v05.is_finite() && v01.is_finite() {
                counted.issues += 1;
                counted.below[0] += u32::from(made < v05);
                counted.below[1] += u32::from(made < v01);
            }
        }
        counted
    }
}

/// On which side the model errs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// More losses beyond its quantiles than it says.
    TooMild,
    /// Fewer.
    TooCareful,
}

/// The e-detectors of one level and side, one a stake.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Bets([f64; STAKES.len()]);

impl Bets {
    fn push(&mut self, share: f64, level: f64, side: Side) {
        for (sum, stake) in self.0.iter_mut().zip(STAKES) {
            let gain = match side {
                Side::TooMild => stake / level * (share - level),
                Side::TooCareful => stake / (1.0 - level) * (level - share),
            };
            *sum = ((*sum + 1.0) * (1.0 + gain)).min(MOST);
        }
    }

    fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / STAKES.len() as f64
    }
}

/// Whether losses beyond the quantiles come as often as forecast.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct CoverageWatch {
    /// By level of seriousness, then of the quantile, then side.
    bets: [[[Bets; 2]; 2]; 3],
    sessions: u32,
    /// Sums of the daily shares, by level.
    shares: [f64; 2],
    told: Told,
}

/// What was told, and how long ago.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    rung: usize,
    sessions_ago: u32,
}

impl Told {
    /// Whether `rung` is news; a higher one always is, the same one after the cool-down.
    fn is_news(&mut self, rung: usize) -> bool {
        self.sessions_ago = self.sessions_ago.saturating_add(1);
        if self.sessions_ago > COOLDOWN_SESSIONS {
            self.rung = 0;
        }
        let news = rung > self.rung;
        if news {
            *self = Self { rung, sessions_ago: 0 };
        }
        news
    }
}

/// Something that is beyond chance.
#[derive(Debug, Clone, PartialEq)]
pub struct DriftFinding {
    /// Seriousness.
    pub level: Level,
    /// The numbers that say so, in a fixed order.
    pub evidence: Vec<(&'static str, f64)>,
}

/// How many of `limits` a value reaches.
fn rungs(value: f64, limits: &[f64; 3]) -> usize {
    limits.iter().take_while(|&&limit| value >= limit).count()
}

fn level(rung: usize) -> Level {
    match rung {
        0 | 1 => Level::Watch,
        2 => Level::Warning,
        _ => Level::Critical,
    }
}

impl CoverageWatch {
    /// Takes in a session. `model_is_new`: another model is in use since the one before; what was
    /// gathered against that one is forgotten.
    pub fn push(&mut self, session: SessionCoverage, model_is_new: bool) -> Option<DriftFinding> {
        if model_is_new {
            *self = Self::default();
        }
        if session.issues < LEAST_ISSUES {
            return None;
        }
        self.sessions = self.sessions.saturating_add(1);
        for (at, &p) in LEVELS.iter().enumerate() {
            let below = session.below[at].min(session.issues);
            let share = f64::from(below) / f64::from(session.issues);
            self.shares[at] += share;
            for bets in &mut self.bets {
                bets[at][0].push(share, p, Side::TooMild);
                bets[at][1].push(share, p, Side::TooCareful);
            }
        }
        let reached = |rung: &usize| self.evidence(*rung) >= RUN_LENGTHS[rung - 1];
        let rung = (1..=RUN_LENGTHS.len()).rev().find(reached).unwrap_or(0);
        let finding = self.told.is_news(rung).then(|| self.finding(rung, session));
        for rung in 1..=rung {
            if self.evidence(rung) >= RUN_LENGTHS[rung - 1] {
                self.bets[rung - 1] = Default::default();
            }
        }
        finding
    }

    /// What is compared with the run length of `rung`, 1 to 3: the mean of all its e-detectors, each since
    /// it last told.
    #[must_use]
    pub fn evidence(&self, rung: usize) -> f64 {
        let all = self.bets[rung - 1].iter().flatten();
        all.map(Bets::mean).sum::<f64>() / (2 * LEVELS.len()) as f64
    }

    /// On which side the evidence for `rung` is, and at which level.
    fn strongest(&self, rung: usize) -> (f64, Side) {
        let mut found = (0.0, LEVELS[0], Side::TooMild);
        for (at, sides) in self.bets[rung - 1].iter().enumerate() {
            for (bets, side) in sides.iter().zip([Side::TooMild, Side::TooCareful]) {
                if bets.mean() > found.0 {
                    found = (bets.mean(), LEVELS[at], side);
                }
            }
        }
        (found.1, found.2)
    }

    fn finding(&self, rung: usize, session: SessionCoverage) -> DriftFinding {
        let sessions = f64::from(self.sessions.max(1));
        let (at, side) = self.strongest(rung);
        let mean = |at: usize| 100.0 * self.shares[at] / sessions;
        DriftFinding {
            level: level(rung),
            evidence: vec![
                ("evidence", self.evidence(rung)),
                ("false_alarm_sessions", RUN_LENGTHS[rung - 1]),
                ("quantile_pct", 100.0 * at),
                ("too_mild", f64::from(u8::from(side == Side::TooMild))),
                ("below_5_pct", mean(0)),
                ("below_1_pct", mean(1)),
                ("sessions", sessions),
                ("issues", f64::from(session.issues)),
                ("effective_issues", EFFECTIVE_ISSUES),
            ],
        }
    }
}

/// Whether the terms are what they were when the model was fitted.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct TermWatch {
    /// Smoothed mean and mean square of each term, in units of the reference.
    smoothed: Vec<Option<(f64, f64)>>,
    sessions: u32,
    told: Told,
}

impl TermWatch {
    /// Takes in a session: the moments of each term over the issues, `None` where there are none, and
    /// those that were fitted. A different number of terms, or another model, begins anew.
    pub fn push(
        &mut self,
        now: &[Option<Moments>],
        fitted: &[Moments],
        model_is_new: bool,
    ) -> Option<DriftFinding> {
        if model_is_new || self.smoothed.len() != fitted.len() {
            *self = Self { smoothed: vec![None; fitted.len()], ..Self::default() };
        }
        self.sessions = self.sessions.saturating_add(1);
        let keep = 1.0 - 1.0 / f64::from(self.sessions).min(TERM_SESSIONS);
        for ((smoothed, now), fitted) in self.smoothed.iter_mut().zip(now).zip(fitted) {
            let Some(now) = now else { continue };
            let mean = (now.mean - fitted.mean) / fitted.deviation;
            let deviation = now.deviation / fitted.deviation;
            let square = mean.mul_add(mean, deviation * deviation);
            if mean.is_finite() && square.is_finite() {
                let (old_mean, old_square) = smoothed.unwrap_or((mean, square));
                let mix = |old: f64, new: f64| keep * old + (1.0 - keep) * new;
                *smoothed = Some((mix(old_mean, mean), mix(old_square, square)));
            }
        }
        let (term, index) = self.worst()?;
        // One day is the day's weather.
        let settled = f64::from(self.sessions) >= TERM_SESSIONS;
        let rung = if settled { rungs(index, &STABILITY) } else { 0 };
        self.told.is_news(rung).then(|| DriftFinding {
            level: level(rung),
            evidence: vec![
                ("stability_index", index),
                ("limit", STABILITY[rung.clamp(1, 3) - 1]),
                ("term", term as f64),
                ("sessions", f64::from(self.sessions)),
            ],
        })
    }

    /// The term that is farthest from what it was, by its place, and its index.
    #[must_use]
    pub fn worst(&self) -> Option<(usize, f64)> {
        let unit = Moments { mean: 0.0, deviation: 1.0 };
        let mut found: Option<(usize, f64)> = None;
        for (at, smoothed) in self.smoothed.iter().enumerate() {
            let Some((mean, square)) = *smoothed else { continue };
            let deviation = (square - mean * mean).max(0.0).sqrt();
            let index = unit.divergence(&Moments { mean, deviation });
            if let Some(index) = index.filter(|index| found.is_none_or(|(_, most)| *index > most)) {
                found = Some((at, index));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests;

//! The answer to an alarm, from what a running daemon knows.
//!
//! In: an [`Alarm`] (what happened, what is held), the watched issues' references, the model in use. Out:
//! a [`MitigationPlan`]: a [`live_world`] is made and every defence is simulated in it.
//!
//! **Bounded.** [`PATHS`] paths over [`HORIZON`] sessions. At the 95 % level so many paths tell value at
//! risk to about 3 % of itself (√(0.05 · 0.95 / n) over the density there), which is finer than its
//! forecast is, and the options, which see the same days, differ by less noise than that. The ten
//! simulations of a plan for one issue are a hundred thousand session steps: milliseconds.

use std::sync::Arc;

use super::live_world::{LiveIssue, live_world};
use super::mitigate::{Held, PlanSettings, Severity, Situation, plan, seed_of};
use super::simulate::{self, Control, SimulateError};
use super::types::MitigationPlan;
use crate::market::{EventTime, Market, Reference, Won};
use crate::model::FittedModel;

/// Paths of a simulation.
pub const PATHS: usize = 2_000;
/// Sessions that a defence is judged over: a week.
pub const HORIZON: u32 = 5;

/// An issue and how much of it is held.
#[derive(Debug, Clone, Copy)]
pub struct LivePosition<'a> {
    /// The issue.
    pub issue: LiveIssue<'a>,
    /// Value held, won.
    pub value: Won,
}

/// What happened, and to what.
#[derive(Debug, Clone)]
pub struct Alarm<'a> {
    /// The event; empty for a question without one.
    pub event_id: String,
    /// How serious it is.
    pub severity: Severity,
    /// Code of the issue, or `portfolio`.
    pub subject: String,
    /// Korean name of the issue, the index or the portfolio.
    pub name: String,
    /// Event time.
    pub as_of: EventTime,
    /// What is held; empty for an assumed portfolio of `value` won that moves like `market`.
    pub held: Vec<LivePosition<'a>>,
    /// Market of the assumed portfolio.
    pub market: Market,
    /// Its value, won; not looked at when something is held.
    pub value: Won,
    /// Cash beside it, won: what a hedge is bought from.
    pub cash: Won,
    /// Whether what is held is assumed.
    pub assumed: bool,
    /// Whether trading of `market` is halted.
    pub market_halted: bool,
}

/// The plan for an alarm.
///
/// # Errors
/// When nothing is held, or too much to be simulated.
pub fn respond(
    alarm: &Alarm<'_>,
    watched: &[Arc<Reference>],
    model: Option<&FittedModel>,
    settings: &PlanSettings,
    control: &Control<'_>,
) -> Result<MitigationPlan, SimulateError> {
    let day = alarm.as_of.session_day();
    let issues: Vec<LiveIssue<'_>> = alarm.held.iter().map(|position| position.issue).collect();
    let world = live_world(day, &issues, watched, model);
    let held: Vec<Held> = if alarm.held.is_empty() {
        let factor = world.factor_of(alarm.market);
        vec![Held::like_market(&world, factor, alarm.value, alarm.market_halted)]
    } else {
        let of = |position: &LivePosition<'_>| {
            let LiveIssue { reference, price, halted, .. } = position.issue;
            let place = world.find(reference.symbol)?;
            let halted = halted || (alarm.market_halted && reference.market == alarm.market);
            Some(Held::issue(
                &world,
                place,
                (price, position.value),
                reference.base_price,
                halted,
                day,
            ))
        };
        alarm.held.iter().filter_map(of).collect()
    };
    let value: f64 = held.iter().map(|held| held.value).sum();
    let references = alarm.held.iter().map(|position| position.issue.reference);
    let situation = Situation {
        subject: alarm.subject.clone(),
        name: alarm.name.clone(),
        event_id: alarm.event_id.clone(),
        severity: alarm.severity,
        assumed: alarm.assumed,
        as_of: alarm.as_of,
        world: &world,
        held,
        cash: alarm.cash as f64,
        market_halted: alarm.market_halted,
        budget: settings.budget(value, HORIZON),
        simulation: simulate::Plan {
            paths: PATHS,
            horizon: HORIZON,
            seed: seed_of(&alarm.event_id),
            ..simulate::Plan::default()
        },
        data_cut: references
            .filter_map(|reference| reference.day)
            .max()
            .or_else(|| watched.iter().filter_map(|reference| reference.day).max()),
    };
    plan(&situation, settings, control).map(|defence| defence.plan)
}

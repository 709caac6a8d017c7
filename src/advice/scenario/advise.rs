//! Picks and defences of a scenario: the advisers, asked with what is known at a day.
//!
//! Daily bars know no order book and no running score: the spread of a candidate is twice the assumed
//! half spread of the costs, its risk score 0. Defences are compared with fewer paths than the
//! distribution has ([`DEFENCE_PATHS`]), all with the same days; so many tell options apart that differ
//! by a tenth of the risk.

use std::sync::Arc;

use super::answer::Situation;
use super::{HeldIssue, Portfolio, Scenario};
use crate::advice::costs::{TradingCosts, whole_won};
use crate::advice::mitigate::{self, Held, PlanSettings, Severity};
use crate::advice::recommend::{Candidate, DownsideParts, RankingModel, recommend};
use crate::advice::risk_limit::RiskLimit;
use crate::advice::simulate::{Control, Plan, SimulateError, World};
use crate::advice::types::{MitigationPlan, RecommendationSet};
use crate::market::{EventTime, Reference, SessionBar, SessionDay, rules};
use crate::model::panel::{DailyBar, Issue};

/// Paths with which defences are compared.
pub const DEFENCE_PATHS: usize = 5_000;

/// The close of the world's session.
fn moment(world: &World) -> EventTime {
    EventTime::from_kst(world.as_of, rules::CLOSE)
}

/// The picks of a scenario among the issues of its universe.
#[must_use]
pub fn picks(situation: &Situation, scenario: &Scenario) -> RecommendationSet {
    let world = &situation.world;
    let costs = scenario.costs.unwrap_or_else(|| TradingCosts::of_day(world.as_of));
    let candidates: Vec<Candidate> = world
        .issues
        .iter()
        .filter(|issue| !issue.halted)
        .filter(|issue| {
            let known = &issue.known;
            scenario.universe.admits(issue.symbol, known.market, known.sector.as_deref())
        })
        .filter_map(|issue| {
            let issues = &situation.panel.issues;
            let place = issues.binary_search_by_key(&issue.symbol, |one| one.symbol).ok()?;
            let (reference, today) = history(&issues[place])?;
            let reference = Reference {
                name: issue.known.name.clone(),
                market: issue.known.market,
                day: Some(world.as_of),
                ..reference
            };
            let before = *reference.closes.last()? as f64;
            Some(Candidate {
                reference: Arc::new(reference),
                sector: issue.known.sector.as_deref().map(Arc::from),
                price: whole_won(today.close),
                score: 0.0,
                parts: DownsideParts::default(),
                daily_volatility_pct: 100.0 * issue.variance.sqrt(),
                spread_pct: 2.0 * costs.unknown_half_spread_pct,
                change_pct: (today.close / before - 1.0) * 100.0,
                cum_value: whole_won(today.close * today.volume),
                over_gap: false,
            })
        })
        .collect();
    let model = RankingModel::from(Some(situation.model.as_ref()));
    recommend(&candidates, &scenario.limits(), model, moment(world))
}

/// The sessions before an issue's last one, and that one.
fn history(issue: &Issue) -> Option<(Reference, DailyBar)> {
    let bars = &issue.bars;
    let last = bars.len().checked_sub(1)?;
    let mut reference = Reference::bare(issue.symbol);
    for at in last.saturating_sub(Reference::MAX_CLOSES)..last {
        let bar = bars.get(at);
        // What is not there is 0 in a reference: `as` takes NaN to zero.
        let day = SessionDay::from_epoch_days(bar.date);
        let session = SessionBar {
            open: bar.open as i64,
            high: bar.high as i64,
            low: bar.low as i64,
            close: whole_won(bar.close),
            volume: bar.volume as i64,
        };
        reference.push_session(day, session);
    }
    Some((reference, bars.get(last)))
}

/// The ranked defences of what a scenario holds; `None` when it holds nothing.
///
/// # Errors
/// As the simulation of the scenario itself.
pub fn defence(
    situation: &Situation,
    scenario: &Scenario,
    portfolio: &Portfolio,
    plan: &Plan,
    control: &Control<'_>,
) -> Result<Option<MitigationPlan>, SimulateError> {
    let world = &situation.world;
    if portfolio.held.is_empty() {
        return Ok(None);
    }
    let settings = PlanSettings { costs: scenario.costs, ..PlanSettings::default() };
    let whole = portfolio.value();
    let budget = match scenario.budget {
        Some(budget) => {
            RiskLimit { measure: budget.measure(), won: whole * budget.loss().loss_pct / 100.0 }
        }
        None => settings.budget(whole, scenario.horizon_sessions),
    };
    let held = |held: &HeldIssue| {
        let issue = &world.issues[held.issue];
        let worth = (whole_won(issue.price), whole_won(held.value));
        Held::issue(world, held.issue, worth, None, issue.halted, world.as_of)
    };
    let asked = mitigate::Situation {
        subject: "portfolio".to_owned(),
        name: scenario.name.clone(),
        event_id: String::new(),
        severity: Severity::Warning,
        assumed: false,
        as_of: moment(world),
        world,
        held: portfolio.held.iter().map(held).collect(),
        cash: portfolio.cash,
        market_halted: false,
        budget,
        simulation: Plan { paths: plan.paths.min(DEFENCE_PATHS), ..plan.clone() },
        data_cut: Some(world.as_of.next()),
    };
    let quiet = Control { cancelled: control.cancelled, progress: &|_, _| () };
    Ok(Some(mitigate::plan(&asked, &settings, &quiet)?.plan))
}

//! What defences would have been worth: plans made before real falls, and before calm weeks.
//!
//! In: daily bars, index series, options. Out: for each window the plan that was ranked first, what it
//! would have done to an assumed portfolio over the days that came, and what doing nothing would have.
//!
//! - **Portfolio**: whole shares of the most traded issues of the day, equal amounts.
//! - **Plan**: made at the close of the first day of the window by [`mitigate::plan`], for its length,
//!   at the severity of an alarm that calls for action. It knows what was known then: bars up to that
//!   close, a model that was fitted to nothing after the year before.
//! - **Outcome**: the real returns of the days up to the end of the window. An inverse fund has the
//!   index's return of the day times −1, less its fee: funds follow futures, which the data have not, so
//!   the difference of futures and index (on 2020-03-19 some half a per cent) is missing. A stop sells at
//!   the first close beyond its level, as the plan says, at that close.
//! - **Saved** is the loss of doing nothing less the loss under the plan, both after costs.
//!
//! The windows of falls are given by day and so are chosen by hindsight; the calm ones, drawn by chance
//! from all five-session windows without a move of the index of 2 % five sessions before to after, say
//! what the same alarm costs when nothing follows.

mod report;

use std::collections::BTreeMap;

use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

pub use self::report::{HedgeError, HedgeMeans, HedgeReport, HedgeWindow, TriedOption};
use crate::advice::PlanSettings;
use crate::advice::mitigate::{self, Defence, Held, Severity, Situation};
use crate::advice::simulate::build::ModelInUse;
use crate::advice::simulate::{self, Control, Exposure, Instrument, SimulateError, World};
use crate::market::{EventTime, SessionDay, Symbol, TimeOfDay, Won};
use crate::model::clean::Sessions;
use crate::model::panel::{Issue, Panel};
use crate::model::{Document, Progress, TrainOptions, train};

/// Days of a calm window, and of its quiet surroundings on either side.
const CALM_SESSIONS: usize = 5;
/// Largest move of the index in a calm window and around it.
const CALM_MOVE: f64 = 0.02;

/// What is tried.
#[derive(Debug, Clone)]
pub struct HedgeOptions {
    /// Days whose close ends a window.
    pub falls: Vec<SessionDay>,
    /// Sessions before such a day on whose close the plan is made.
    pub leads: Vec<usize>,
    /// Calm windows.
    pub calm: usize,
    /// Issues held.
    pub issues: usize,
    /// Value held, won.
    pub value: Won,
    /// Paths of a simulation.
    pub paths: usize,
    /// Seed of the draw of the calm windows, and of the simulations.
    pub seed: u64,
    /// What plans assume.
    pub settings: PlanSettings,
    /// Severity of the alarm.
    pub severity: Severity,
}

impl Default for HedgeOptions {
    fn default() -> Self {
        let day = |date: u32| SessionDay::from_yyyymmdd(date);
        Self {
            falls: [20_200_319, 20_240_805].into_iter().filter_map(day).collect(),
            leads: vec![1, 5, 10],
            calm: 20,
            issues: 20,
            value: 100_000_000,
            paths: 10_000,
            seed: 1,
            settings: PlanSettings::default(),
            severity: Severity::Critical,
        }
    }
}

/// Makes one panel of panels of different adjustment: of each issue of the first, its bars there, then
/// those of the next from where they end. Levels differ at a seam, so the first bar behind it counts as
/// a jump, which is no return. An issue that the first lacks is left out: its days would begin with the
/// second, and days are drawn jointly.
#[must_use]
pub fn spliced(panels: Vec<Panel>) -> Panel {
    let mut panels = panels.into_iter();
    let mut whole = panels.next().unwrap_or_default();
    for next in panels {
        for (name, bars) in next.indices {
            whole.indices.entry(name).or_insert(bars);
        }
        for Issue { symbol, bars } in next.issues {
            let known = whole.issues.binary_search_by_key(&symbol, |issue| issue.symbol);
            let Ok(at) = known else { continue };
            let own = &mut whole.issues[at].bars;
            let last = own.date.last().copied();
            let mut seam = last.is_some();
            for place in 0..bars.len() {
                let mut bar = bars.get(place);
                if last.is_some_and(|last| bar.date <= last) {
                    continue;
                }
                bar.jump |= std::mem::take(&mut seam);
                own.push(bar);
            }
        }
        whole.info.to = whole.info.to.max(next.info.to);
        whole.info.rows += next.info.rows;
        whole.info.symbols = whole.issues.len() as u64;
        // Two fingerprints make one, in their order.
        whole.info.sha256 =
            crate::market::identity::deterministic_id(&[&whole.info.sha256, &next.info.sha256]);
    }
    whole
}

/// Tries the plans. `told` hears of each window that is done.
///
/// # Errors
/// When a window is not in the data, or a model, a world or a simulation cannot be made.
pub fn try_hedges(
    panel: &Panel,
    options: &HedgeOptions,
    told: &dyn Fn(usize, usize),
) -> Result<HedgeReport, HedgeError> {
    let sessions = Sessions::new(panel.sessions());
    let index = index_returns(panel, &sessions)?;
    let falls = fall_windows(&sessions, options)?;
    let calm = calm_windows(&sessions, &index, options);
    let mut models: BTreeMap<u32, Document> = BTreeMap::new();
    let all: Vec<(usize, usize, bool)> = falls
        .into_iter()
        .map(|(from, to)| (from, to, false))
        .chain(calm.into_iter().map(|(from, to)| (from, to, true)))
        .collect();
    let mut windows = Vec::with_capacity(all.len());
    for (done, &(from, to, is_calm)) in all.iter().enumerate() {
        told(done, all.len());
        let year = SessionDay::from_epoch_days(sessions.dates()[from]).ymd().0;
        if let std::collections::btree_map::Entry::Vacant(free) = models.entry(year) {
            free.insert(model_before(panel, year)?);
        }
        let window = Window { panel, sessions: &sessions, index: &index, from, to, options };
        windows.push(window.tried(&models[&year], is_calm)?);
    }
    let of = |calm: bool| means(windows.iter().filter(|window| window.calm == calm));
    Ok(HedgeReport { falls: of(false), calm: of(true), windows })
}

/// The model fitted to everything before `year`.
fn model_before(panel: &Panel, year: u32) -> Result<Document, HedgeError> {
    let until = SessionDay::from_ymd(year - 1, 12, 31);
    let options = TrainOptions { until, validation_months: 1, ..TrainOptions::default() };
    let none = |_: Progress| ();
    let trained = train(panel, &options, &none).map_err(|why| HedgeError::Train { year, why })?;
    Ok(trained.document)
}

/// Simple returns of KOSPI by session; 0 where the index has none.
fn index_returns(panel: &Panel, sessions: &Sessions) -> Result<Vec<f64>, HedgeError> {
    let bars = panel.indices.get("KOSPI").ok_or(HedgeError::NoIndex)?;
    let close = |date: i32| bars.date.binary_search(&date).ok().map(|at| bars.close[at]);
    let mut last = None;
    let of = |date: &i32| {
        let now = close(*date).filter(|level| *level > 0.0);
        let r = now.zip(last).map_or(0.0, |(now, last): (f64, f64)| now / last - 1.0);
        last = now.or(last);
        r
    };
    Ok(sessions.dates().iter().map(of).collect())
}

fn fall_windows(
    sessions: &Sessions,
    options: &HedgeOptions,
) -> Result<Vec<(usize, usize)>, HedgeError> {
    let dates = sessions.dates();
    let mut windows = Vec::new();
    for day in &options.falls {
        for &lead in &options.leads {
            let found = sessions.number(day.epoch_days());
            let window = found.and_then(|to| Some((to.checked_sub(lead)?, to)));
            let day_of =
                |at: Option<&i32>| at.map_or(*day, |date| SessionDay::from_epoch_days(*date));
            windows.push(window.ok_or_else(|| HedgeError::Window {
                day: *day,
                sessions: lead,
                first: day_of(dates.first()),
                last: day_of(dates.last()),
            })?);
        }
    }
    Ok(windows)
}

/// Calm windows drawn by chance, none overlapping another, from the second half of the data: the
/// first is what models are fitted on.
fn calm_windows(sessions: &Sessions, index: &[f64], options: &HedgeOptions) -> Vec<(usize, usize)> {
    let half = sessions.len() / 2;
    let quiet = |from: usize| {
        let around = from.checked_sub(CALM_SESSIONS)?..from + 2 * CALM_SESSIONS + 1;
        let moves = index.get(around)?;
        moves.iter().all(|r| r.abs() < CALM_MOVE).then_some((from, from + CALM_SESSIONS))
    };
    let mut all: Vec<(usize, usize)> = (half..sessions.len()).filter_map(quiet).collect();
    all.shuffle(&mut ChaCha8Rng::seed_from_u64(options.seed));
    let mut drawn: Vec<(usize, usize)> = Vec::new();
    for window in all {
        if drawn.len() >= options.calm {
            break;
        }
        if drawn.iter().all(|other| window.1 <= other.0 || window.0 >= other.1) {
            drawn.push(window);
        }
    }
    drawn.sort_unstable();
    drawn
}

struct Window<'a> {
    panel: &'a Panel,
    sessions: &'a Sessions,
    index: &'a [f64],
    from: usize,
    to: usize,
    options: &'a HedgeOptions,
}

impl Window<'_> {
    fn day(&self, session: usize) -> SessionDay {
        SessionDay::from_epoch_days(self.sessions.dates()[session])
    }

    fn tried(&self, document: &Document, calm: bool) -> Result<HedgeWindow, HedgeError> {
        let day = self.day(self.from);
        let model = ModelInUse { document, id: None, sha256: "" };
        let world = World::build(self.panel, model, &BTreeMap::new(), Some(day))?;
        let held = self.portfolio(&world, day)?;
        let value: f64 = held.iter().map(|held| held.value).sum();
        let sessions = self.to - self.from;
        let close = TimeOfDay::from_seconds(15 * 3_600 + 30 * 60);
        let situation = Situation {
            subject: "portfolio".to_owned(),
            name: String::new(),
            event_id: format!("hedge:{day}:{sessions}"),
            severity: self.options.severity,
            assumed: true,
            as_of: EventTime::from_kst(day, close.unwrap_or_default()),
            world: &world,
            held,
            cash: 0.0,
            market_halted: false,
            budget: self.options.settings.budget(value, sessions as u32),
            simulation: simulate::Plan {
                paths: self.options.paths,
                horizon: sessions as u32,
                seed: self.options.seed,
                ..simulate::Plan::default()
            },
            data_cut: Some(day.next()),
        };
        let Defence { plan, exposures } =
            mitigate::plan(&situation, &self.options.settings, &Control::none())?;
        let result =
            |exposures: &[Exposure], paid: f64| self.realised(&world, exposures) - paid - value;
        let held: Vec<Exposure> =
            situation.held.iter().map(|held| held.exposure(held.value)).collect();
        let waiting = result(&held, 0.0);
        let options: Vec<TriedOption> = plan
            .options
            .iter()
            .zip(&exposures)
            .map(|(option, exposures)| {
                // The cost of a stop is paid on the way.
                let at_once = exposures.iter().all(|exposure| exposure.exit.is_none());
                let paid = if at_once { option.cost as f64 } else { 0.0 };
                let came = option.infeasible.is_none().then(|| result(exposures, paid));
                TriedOption {
                    action: option.action.clone(),
                    rank: option.rank,
                    result: came.map(|came| came.round() as Won),
                    saved: came.map(|came| (came - waiting).round() as Won),
                }
            })
            .collect();
        let first = options.first().cloned().ok_or(SimulateError::Empty)?;
        let best = &plan.options[0];
        let index: f64 = self.index[self.from + 1..=self.to].iter().map(|r| r.ln_1p()).sum();
        Ok(HedgeWindow {
            from: day,
            to: self.day(self.to),
            sessions,
            calm,
            value: value.round() as Won,
            index_pct: 100.0 * index.exp_m1(),
            risk_before: best.risk_before,
            risk_after: best.risk_after,
            waiting: waiting.round() as Won,
            cost: best.cost,
            first,
            options,
        })
    }

    /// Equal amounts of the most traded issues in whole shares.
    fn portfolio(&self, world: &World, day: SessionDay) -> Result<Vec<Held>, HedgeError> {
        let mut traded: Vec<usize> = (0..world.issues.len())
            .filter(|&at| !world.issues[at].halted && world.issues[at].average_value.is_some())
            .filter(|&at| self.bars_of(world.issues[at].symbol).is_some())
            .collect();
        let by_value = |a: &usize, b: &usize| {
            let value = |at: usize| world.issues[at].average_value.unwrap_or_default();
            value(*b).total_cmp(&value(*a))
        };
        traded.sort_by(by_value);
        let wanted = self.options.issues;
        if traded.len() < wanted || wanted == 0 {
            return Err(HedgeError::TooFew { day, found: traded.len(), wanted });
        }
        let each = self.options.value / wanted as Won;
        let of = |&place: &usize| {
            let price = world.issues[place].price.round() as Won;
            Held::issue(world, place, (price, each), None, false, day)
        };
        Ok(traded[..wanted].iter().map(of).collect())
    }

    fn bars_of(&self, symbol: Symbol) -> Option<&Issue> {
        let at = self.panel.issues.binary_search_by_key(&symbol, |issue| issue.symbol).ok()?;
        Some(&self.panel.issues[at])
    }

    /// What exposures are worth at the end of the window, won.
    fn realised(&self, world: &World, exposures: &[Exposure]) -> f64 {
        exposures.iter().map(|exposure| self.realised_one(world, exposure)).sum()
    }

    fn realised_one(&self, world: &World, exposure: &Exposure) -> f64 {
        let (mut value, mut high) = (exposure.value, exposure.value);
        for session in self.from + 1..=self.to {
            value *= match exposure.instrument {
                Instrument::Issue(place) => 1.0 + self.issue_return(world, place, session),
                // Other markets have no index here; the only factor of the funds is KOSPI.
                Instrument::Tracker { multiple, daily_fee, .. } => {
                    1.0 + multiple * self.index[session] - daily_fee
                }
                Instrument::Steady { daily_return } => 1.0 + daily_return,
            };
            let Some(exit) = exposure.exit else { continue };
            if exit.trailing {
                high = high.max(value);
            }
            if value <= high * (1.0 - exit.distance) {
                return value * (1.0 - exit.cost);
            }
        }
        value
    }

    /// Simple return of a session; 0 where there was no trading or the price jumped by adjustment.
    fn issue_return(&self, world: &World, place: usize, session: usize) -> f64 {
        let Some(issue) = self.bars_of(world.issues[place].symbol) else { return 0.0 };
        let bars = &issue.bars;
        let Ok(at) = bars.date.binary_search(&self.sessions.dates()[session]) else { return 0.0 };
        match at.checked_sub(1) {
            Some(before) if !bars.jump[at] && bars.close[before] > 0.0 => {
                bars.close[at] / bars.close[before] - 1.0
            }
            _ => 0.0,
        }
    }
}

fn means<'a>(windows: impl Iterator<Item = &'a HedgeWindow>) -> HedgeMeans {
    let windows: Vec<&HedgeWindow> = windows.collect();
    if windows.is_empty() {
        return HedgeMeans::default();
    }
    let pct = |won: Won, window: &HedgeWindow| 100.0 * won as f64 / window.value as f64;
    let mut actions: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for window in &windows {
        for option in &window.options {
            if let Some(saved) = option.saved {
                actions.entry(option.action.clone()).or_default().push(pct(saved, window));
            }
        }
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let saved: Vec<f64> =
        windows.iter().map(|window| pct(window.first.saved.unwrap_or_default(), window)).collect();
    let waiting: Vec<f64> = windows.iter().map(|window| pct(window.waiting, window)).collect();
    HedgeMeans {
        windows: windows.len(),
        saved_pct: mean(&saved),
        waiting_pct: mean(&waiting),
        by_action: actions.iter().map(|(name, saved)| (name.clone(), mean(saved))).collect(),
    }
}

#[cfg(test)]
#[path = "hedge_tests.rs"]
mod tests;

//! What is supposed to happen: sessions whose days are not drawn freely.
//!
//! A shock is **conditional**: what is not named takes what it did when the named one moved so.
//!
//! - **Market**, a move of x in each of some sessions. The days are drawn from the [`NEAR_SHARE`] of
//!   days (at least [`NEAR_DAYS`]) whose market residual comes nearest to ξ = x / σ_m, so that the
//!   dependence is that of such days; what is left between the day and the shock is carried over
//!   by a slope: z* = z + b (ξ − z_m). b is the mean of the least-squares slopes of z on z_m over all
//!   days and over the tenth of days furthest on the shock's side, cut to −1…3: the second is what a
//!   tail adds, but rests on few days. For a fall beyond what was seen this is an extrapolation
//!   along a line.
//! - **Issue**, a move of x in one session: the same with the issue's own residual in the market's
//!   place, so that the others take their conditional expectation and the noise of such days. When
//!   the session has another condition already, the issue alone is set.
//! - **Volatility** times k: all variances, the long-run ones too, times k².
//! - **Repeat** of a past window: the days of the window in their order. Either their returns as they
//!   were, or their residuals at the volatilities of now, which the path's variance then follows.
//!   After the window days are drawn again.
//!
//! The variance takes the news of what was supposed. A session has one condition at most.

use serde::{Deserialize, Serialize};

use super::plan::{Exposure, Instrument, Plan, SimulateError};
use super::table::{LANES, Table};
use super::world::World;
use crate::market::{SessionDay, Symbol};

/// Share of the days that a conditional session draws from.
pub const NEAR_SHARE: f64 = 0.05;
/// Fewest days that a conditional session draws from.
pub const NEAR_DAYS: usize = 30;
/// Share of the days over which the tail's slope is taken.
const TAIL_SHARE: f64 = 0.1;
/// Fewest days over which the tail's slope is taken.
const TAIL_DAYS: usize = 60;

/// What a conditional session is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// A factor, by its place in the world.
    Factor(usize),
    /// An issue, by its code.
    Issue(Symbol),
}

/// How a past window is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RepeatMode {
    /// The returns as they were.
    #[default]
    Returns,
    /// The residuals at the volatilities of now.
    Residuals,
}

/// Something that is supposed to happen. Sessions count from 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shock {
    /// A move of a market or an issue.
    Move {
        /// What moves.
        driver: Driver,
        /// Simple return of each session, fraction.
        each: f64,
        /// First session.
        at: u32,
        /// Number of sessions.
        sessions: u32,
    },
    /// Every volatility times `factor`.
    Volatility {
        /// Above 0.
        factor: f64,
    },
    /// A past window again.
    Repeat {
        /// First day.
        from: SessionDay,
        /// Last day.
        to: SessionDay,
        /// Session at which it begins.
        at: u32,
        /// How.
        mode: RepeatMode,
    },
}

/// How a session gets its residuals.
#[derive(Debug, Clone)]
pub enum Law {
    /// A drawn row.
    Free,
    /// This row.
    Row(usize),
    /// A row near to a move of a column, and the rest by slopes.
    Near {
        /// Rows to draw from.
        rows: Vec<u32>,
        /// Column that moves.
        driver: usize,
        /// Its simple return.
        by: f32,
        /// Slope of each column on the driver.
        slopes: Vec<f32>,
    },
    /// These simple returns, by column.
    Returns(Vec<f32>),
}

/// A session of the plan.
#[derive(Debug, Clone)]
pub struct Session {
    /// Where its residuals come from.
    pub law: Law,
    /// Columns whose simple return is set.
    pub sets: Vec<(usize, f32)>,
}

/// The sessions of a plan, and the factor on all variances.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// One a session of the horizon.
    pub sessions: Vec<Session>,
    /// k².
    pub variance_factor: f32,
}

fn instrument(world: &World, driver: Driver) -> Result<Instrument, SimulateError> {
    match driver {
        Driver::Factor(factor) if factor < world.factors.len() => {
            Ok(Instrument::Tracker { factor, multiple: 1.0, daily_fee: 0.0 })
        }
        Driver::Factor(factor) => Err(SimulateError::Range {
            what: "place of a factor",
            value: factor.to_string(),
            expected: format!("below {}", world.factors.len()),
        }),
        Driver::Issue(symbol) => match world.find(symbol) {
            Some(place) => Ok(Instrument::Issue(place)),
            None => Err(SimulateError::UnknownIssue { symbol, as_of: world.as_of }),
        },
    }
}

/// What shocks are about, each once, in their order.
///
/// # Errors
/// When it is not in the world.
pub fn drivers(world: &World, plan: &Plan) -> Result<Vec<Instrument>, SimulateError> {
    let mut all = Vec::new();
    for shock in &plan.shocks {
        if let Shock::Move { driver, .. } = shock {
            let one = instrument(world, *driver)?;
            if !all.contains(&one) {
                all.push(one);
            }
        }
    }
    Ok(all)
}

impl Schedule {
    /// Sessions of `plan`. The last columns of `table` are the [`drivers`].
    ///
    /// # Errors
    /// When shocks do not fit the horizon or each other, or a window has no session.
    pub fn new(
        world: &World,
        exposures: &[Exposure],
        plan: &Plan,
        table: &mut Table,
    ) -> Result<Self, SimulateError> {
        let drivers = drivers(world, plan)?;
        let horizon = plan.horizon as usize;
        let free = Session { law: Law::Free, sets: Vec::new() };
        let mut schedule = Self { sessions: vec![free; horizon], variance_factor: 1.0 };
        for shock in &plan.shocks {
            if let Shock::Volatility { factor } = shock {
                if !(*factor > 0.0 && *factor <= 10.0) {
                    return Err(SimulateError::Range {
                        what: "factor on volatility",
                        value: factor.to_string(),
                        expected: "above 0, at most 10".to_owned(),
                    });
                }
                schedule.variance_factor *= (factor * factor) as f32;
            }
        }
        // Conditions of the market and of windows before those of issues, which may share a session.
        for issues in [false, true] {
            for shock in &plan.shocks {
                match *shock {
                    Shock::Move { driver, each, at, sessions }
                        if matches!(driver, Driver::Issue(_)) == issues =>
                    {
                        let one = instrument(world, driver)?;
                        let place = drivers.iter().position(|known| *known == one).unwrap_or(0);
                        let column = exposures.len() + place;
                        for session in span(at, sessions, horizon)? {
                            schedule.moved(
                                session,
                                (column, one, each as f32),
                                exposures,
                                table,
                            )?;
                        }
                    }
                    Shock::Repeat { from, to, at, mode } if !issues => {
                        schedule.repeated(world, (from, to), at, mode, table)?;
                    }
                    _ => {}
                }
            }
        }
        Ok(schedule)
    }

    fn moved(
        &mut self,
        session: usize,
        (column, instrument, by): (usize, Instrument, f32),
        exposures: &[Exposure],
        table: &Table,
    ) -> Result<(), SimulateError> {
        let is_issue = matches!(instrument, Instrument::Issue(_));
        let factor = self.variance_factor;
        let slot = &mut self.sessions[session];
        if matches!(slot.law, Law::Free) {
            slot.law = near(table, column, by, factor);
        } else if !is_issue {
            return Err(taken(session));
        }
        if is_issue {
            let held = exposures.iter().enumerate().filter(|(_, one)| one.instrument == instrument);
            slot.sets.push((column, by));
            slot.sets.extend(held.map(|(at, _)| (at, by)));
        }
        Ok(())
    }

    fn repeated(
        &mut self,
        world: &World,
        (from, to): (SessionDay, SessionDay),
        at: u32,
        mode: RepeatMode,
        table: &mut Table,
    ) -> Result<(), SimulateError> {
        let start = world.days.partition_point(|day| *day < from);
        let end = world.days.partition_point(|day| *day <= to);
        let market = &world.factors[0];
        let known = |day: usize| match mode {
            RepeatMode::Returns => market.returns[day].is_finite(),
            RepeatMode::Residuals => market.residuals[day].is_finite(),
        };
        // A window that begins before the days that are known would be another window.
        let early = world.days.first().is_none_or(|first| from < *first);
        if early || start >= end || !(start..end).all(known) {
            let first = (0..world.days.len()).find(|&day| known(day)).unwrap_or(0);
            return Err(SimulateError::NoWindow {
                from,
                to,
                first: world.days[first],
                last: world.as_of,
            });
        }
        let sessions = u32::try_from(end - start).unwrap_or(u32::MAX);
        for (day, session) in (start..end).zip(span(at, sessions, self.sessions.len())?) {
            if !matches!(self.sessions[session].law, Law::Free) {
                return Err(taken(session));
            }
            self.sessions[session].law = match mode {
                RepeatMode::Residuals => Law::Row(table.push_day(day)),
                RepeatMode::Returns => Law::Returns(returns(world, table, day)),
            };
        }
        Ok(())
    }
}

fn taken(session: usize) -> SimulateError {
    SimulateError::Sessions(format!(
        "two shocks are about session {}: a session has one condition at most, put them behind one another with at_session",
        session + 1
    ))
}

fn span(at: u32, sessions: u32, horizon: usize) -> Result<std::ops::Range<usize>, SimulateError> {
    let first = (at as usize).saturating_sub(1);
    let end = first.saturating_add(sessions as usize);
    if at == 0 || sessions == 0 || end > horizon {
        return Err(SimulateError::Sessions(format!(
            "a shock of {sessions} sessions from session {at} does not fit into the horizon of {horizon} sessions"
        )));
    }
    Ok(first..end)
}

/// Returns of a past day by column; of what was not traded, the market's times its slope.
fn returns(world: &World, table: &Table, day: usize) -> Vec<f32> {
    let of = |instrument: Instrument| match instrument {
        Instrument::Issue(place) => {
            let about = &world.issues[place];
            let own = world.returns_of(place)[day];
            let market = world.factors[about.factor].returns[day];
            if own.is_finite() { own } else { about.tail_beta as f32 * market }
        }
        Instrument::Tracker { factor, .. } => world.factors[factor].returns[day],
        Instrument::Steady { .. } => 0.0,
    };
    let known = |r: f32| if r.is_finite() { r } else { 0.0 };
    table.columns.iter().map(|column| known(of(column.instrument))).collect()
}

/// The condition that `driver` moves by `by`.
fn near(table: &Table, driver: usize, by: f32, variance_factor: f32) -> Law {
    let deviation = (table.columns[driver].variance * variance_factor).sqrt().max(1e-6);
    let wanted = by / deviation;
    let z: Vec<f32> = (0..table.drawn).map(|row| table.residual(row, driver)).collect();
    let count = share(table.drawn, NEAR_SHARE, NEAR_DAYS);
    let mut rows: Vec<u32> = (0..table.drawn as u32).collect();
    let distance = |row: &u32| (z[*row as usize] - wanted).abs();
    rows.sort_by(|a, b| distance(a).total_cmp(&distance(b)).then(a.cmp(b)));
    rows.truncate(count);
    let mut order: Vec<u32> = (0..table.drawn as u32).collect();
    let side = if by < 0.0 { 1.0 } else { -1.0 };
    let key = |row: &u32| side * z[*row as usize];
    order.sort_by(|a, b| key(a).total_cmp(&key(b)).then(a.cmp(b)));
    let tail = &order[..share(table.drawn, TAIL_SHARE, TAIL_DAYS)];
    let slopes = (0..table.groups * LANES)
        .map(|column| {
            if column >= table.columns.len() {
                return 0.0;
            }
            let of = |rows: &[u32]| slope(table, rows, driver, column);
            (0.5 * (of(&order) + of(tail))).clamp(-1.0, 3.0)
        })
        .collect();
    Law::Near { rows, driver, by, slopes }
}

fn share(of: usize, share: f64, least: usize) -> usize {
    ((of as f64 * share).ceil() as usize).max(least).min(of)
}

/// Least-squares slope of a column's residuals on the driver's over some rows.
fn slope(table: &Table, rows: &[u32], driver: usize, column: usize) -> f32 {
    let n = rows.len() as f64;
    let pairs = rows.iter().map(|row| {
        let row = *row as usize;
        (f64::from(table.residual(row, driver)), f64::from(table.residual(row, column)))
    });
    let (mut sx, mut sy, mut sxx, mut sxy) = (0.0, 0.0, 0.0, 0.0);
    for (x, y) in pairs {
        (sx, sy, sxx, sxy) = (sx + x, sy + y, sxx + x * x, sxy + x * y);
    }
    let (over, under) = (sxy - sx * sy / n, sxx - sx * sx / n);
    if under > 1e-9 { (over / under) as f32 } else { 0.0 }
}

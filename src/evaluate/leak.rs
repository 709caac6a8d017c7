//! Whether a forecast or a pick knew what came after it.
//!
//! The evaluation is done again on data that end on a cut day, and everything up to that day is
//! compared bit by bit. A difference means that later data reached an earlier result. Then the cut
//! day itself is given other prices: a forecast of it that changes has known its outcome.

use super::run::{Run, RunOptions, run};
use crate::market::SessionDay;
use crate::model::clean::Sessions;
use crate::model::document::Forecast;
use crate::model::panel::Panel;
use crate::model::ranker::week_ends;
use crate::model::train::{Progress, TrainError};

/// The days at which to cut: `count` last sessions of a week, spread over the window of `whole`.
#[must_use]
pub fn cuts(whole: &Run, count: usize) -> Vec<SessionDay> {
    let sessions = || whole.forecasts.iter().map(|row| row.session);
    let (Some(first), Some(last)) = (sessions().min(), sessions().max()) else {
        return Vec::new();
    };
    let ends = week_ends(&Sessions::new(whole.dates.clone()));
    let inside: Vec<usize> = ends.into_iter().filter(|at| (first..last).contains(at)).collect();
    let mut cuts: Vec<SessionDay> = (1..=count)
        .filter_map(|at| inside.get(at * inside.len() / (count + 1)))
        .map(|at| SessionDay::from_epoch_days(whole.dates[*at]))
        .collect();
    cuts.dedup();
    cuts
}

/// The first difference between `whole`, the result over all of `panel`, and the results over the
/// panel cut after `cut`, as it is and with another outcome of that day; `None` when they agree.
///
/// # Errors
/// When the cut panel cannot be evaluated.
pub fn first_difference(
    panel: &Panel,
    options: &RunOptions,
    whole: &Run,
    cut: SessionDay,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Option<String>, TrainError> {
    let mut known = panel.before(cut.next());
    let part = run(&known, options, progress)?;
    if let Some(found) =
        compare_forecasts(whole, &part, cut).or_else(|| compare_picks(whole, &part, cut))
    {
        return Ok(Some(found));
    }
    move_day(&mut known, cut);
    let other = run(&known, options, progress)?;
    let found = compare_forecasts(whole, &other, cut);
    Ok(found.map(|found| format!("with other prices of that day: {found}")))
}

/// Gives `day`, the last of `panel`, other prices: by a hundredth, towards the close before, so that
/// no day leaves the price limit.
fn move_day(panel: &mut Panel, day: SessionDay) {
    let is_of = |date: Option<&i32>| date == Some(&day.epoch_days());
    for issue in &mut panel.issues {
        let bars = &mut issue.bars;
        let (true, [.., before, last]) = (is_of(bars.date.last()), &bars.close[..]) else {
            continue;
        };
        let factor = if last > before { 0.99 } else { 1.01 };
        for column in [&mut bars.open, &mut bars.high, &mut bars.low, &mut bars.close] {
            column.last_mut().into_iter().for_each(|price| *price *= factor);
        }
    }
    for bars in panel.indices.values_mut().filter(|bars| is_of(bars.date.last())) {
        for column in [&mut bars.open, &mut bars.high, &mut bars.low, &mut bars.close] {
            column.last_mut().into_iter().for_each(|level| *level *= 1.01);
        }
    }
}

fn compare_forecasts(whole: &Run, part: &Run, cut: SessionDay) -> Option<String> {
    let known = whole.dates.partition_point(|date| *date <= cut.epoch_days());
    let day = |session: usize| SessionDay::from_epoch_days(whole.dates[session]);
    let mut others = part.forecasts.iter();
    for row in whole.forecasts.iter().filter(|row| row.session < known) {
        let what =
            format!("cut {cut}: forecast of {} for {}", whole.symbols[row.issue], day(row.session));
        let Some(other) = others.next() else { return Some(format!("{what} is missing")) };
        if (part.symbols[other.issue], other.session) != (whole.symbols[row.issue], row.session) {
            return Some(format!("{what} is missing"));
        }
        let bits = |forecast: Option<Forecast>| {
            forecast.map(|f| [f.variance, f.v01, f.v025, f.v05, f.e025, f.e05].map(f64::to_bits))
        };
        if bits(row.forecast) != bits(other.forecast) {
            return Some(format!(
                "{what} is {:?} with, {:?} without later data",
                row.forecast, other.forecast
            ));
        }
    }
    others.next().map(|row| {
        format!(
            "cut {cut}: a forecast of {} for {} more",
            part.symbols[row.issue],
            day(row.session)
        )
    })
}

fn compare_picks(whole: &Run, part: &Run, cut: SessionDay) -> Option<String> {
    let known = whole.dates.partition_point(|date| *date <= cut.epoch_days());
    let day = |session: usize| SessionDay::from_epoch_days(whole.dates[session]);
    let weeks = whole.weeks.iter().zip(&whole.picks).filter(|(week, _)| week.session < known);
    let mut others = part.weeks.iter().zip(&part.picks);
    for (week, picks) in weeks {
        let what = format!("cut {cut}: picks of {}", day(week.session));
        let names = |run: &Run, picks: &[usize]| {
            picks.iter().map(|&issue| run.symbols[issue].to_string()).collect::<Vec<_>>()
        };
        let with = names(whole, picks);
        let without = others.next().map(|(_, picks)| names(part, picks));
        if without.as_ref() != Some(&with) {
            return Some(format!("{what} are {with:?} with, {without:?} without later data"));
        }
    }
    None
}

//! `bongsu check ai`: scores over a short stretch of the built-in crash, and whether they are scores.

use crate::cli::assembly;
use crate::cli::finding::Check;
use crate::config::Settings;
use crate::kis::frame::{FrameParser, decode_trade};
use crate::kis::sim::{Feed, FrameShape, Playback, SimSource};
use crate::market::{Directory, Mark, RecordRef, TickBatch};
use crate::messages::{RiskPoint, ScoreBatch};
use crate::risk::RiskEngine;

const NAME: &str = "scores";
/// Trades that are scored: a good hour of the built-in crash.
const TRADES: usize = 50_000;
const SEED: u64 = 1;

/// Scores the stretch.
pub(super) fn check(settings: &Settings) -> Check {
    match points(settings) {
        Ok(points) => judge(&points),
        Err(error) => Check::fail(NAME, error, "this is a fault of the program: report it"),
    }
}

/// The scores of the first trades.
fn points(settings: &Settings) -> Result<Vec<RiskPoint>, String> {
    let playback = Playback::load(&SimSource::default(), SEED, None, FrameShape::default())
        .map_err(|error| error.to_string())?;
    let directory = Directory::new();
    let mut batch = TickBatch::default();
    for reference in playback.references() {
        let id = directory.update(reference.clone());
        batch.push_mark(Mark::Reference(id, reference.into()), RecordRef::default());
    }
    let (mut frames, mut parser) = (playback.into_frames(), FrameParser::new());
    let mut taken = 0;
    while taken < TRADES
        && let Some((info, frame)) = frames.next()
    {
        if info.feed != Feed::Trade {
            continue;
        }
        let records = parser.split(frame).map_err(|error| error.to_string())?;
        for record in 0..records.count() {
            let symbol = records.symbol(record).map_err(|error| error.to_string())?;
            let trade = decode_trade(&records, record, directory.intern(symbol))
                .map_err(|error| error.to_string())?;
            batch.push_trade(trade, RecordRef::default());
            taken += 1;
        }
    }
    let mut engine = RiskEngine::new(assembly::risk_params(settings));
    let mut scores = ScoreBatch::default();
    for index in 0..batch.sequence.len() {
        engine.apply(&batch, index, &directory, &mut scores);
    }
    Ok(scores.points)
}

/// Whether each score is one, and they are not all the same.
fn judge(points: &[RiskPoint]) -> Check {
    let advice = "the thresholds of the section risk may be at fault: leave them unset to try; \
                  otherwise report it";
    let wrong = points.iter().find(|point| !(0.0..=100.0).contains(&point.score));
    if let Some(point) = wrong {
        let found =
            format!("{} has {} at {}: expected 0 to 100", point.code, point.score, point.time);
        return Check::fail(NAME, found, advice);
    }
    let scores = || points.iter().map(|point| point.score);
    let (low, high) =
        (scores().fold(f64::INFINITY, f64::min), scores().fold(f64::NEG_INFINITY, f64::max));
    if low >= high {
        let found = format!("{} scores, none unlike the others", points.len());
        return Check::fail(NAME, found, advice);
    }
    Check::ok(
        NAME,
        format!(
            "{} scores of a simulated crash, from {low:.1} to {high:.1} of 0 to 100",
            points.len()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::finding::State;
    use crate::config::Sources;

    #[test]
    fn a_crash_has_scores_and_impossible_ones_are_told() {
        let settings = Settings::load(&Sources::default()).unwrap();
        let mut points = points(&settings).unwrap();
        let well = judge(&points);
        assert_eq!(well.state, State::Ok, "{well:?}");
        for score in [f64::NAN, 100.1, -0.1] {
            points[0].score = score;
            let ill = judge(&points);
            assert_eq!(ill.state, State::Fail);
            assert!(ill.found.contains("expected 0 to 100"), "{ill:?}");
        }
        points.iter_mut().for_each(|point| point.score = 50.0);
        assert_eq!(judge(&points).state, State::Fail);
        assert_eq!(judge(&[]).state, State::Fail);
    }
}

//! Which session's close a world is made of, and the bars up to it.

use super::build::WorldError;
use crate::market::SessionDay;
use crate::model::panel::Panel;

/// The session whose close is known at `as_of`: it, or the last one before it.
///
/// # Errors
/// When there is none.
pub fn session_at(panel: &Panel, as_of: Option<SessionDay>) -> Result<SessionDay, WorldError> {
    let sessions = panel.sessions();
    let (Some(first), Some(last)) = (sessions.first(), sessions.last()) else {
        return Err(WorldError::NoBars);
    };
    let day = |date: &i32| SessionDay::from_epoch_days(*date);
    let as_of = as_of.unwrap_or(day(last));
    if as_of > day(last) {
        return Err(WorldError::NoSession { as_of, first: day(first), last: day(last) });
    }
    let after = sessions.partition_point(|date| *date <= as_of.epoch_days());
    let at = after.checked_sub(1).and_then(|at| sessions.get(at));
    at.map(day).ok_or(WorldError::NoSession { as_of, first: day(first), last: day(last) })
}

/// The bars up to `session`, when there are later ones.
#[must_use]
pub fn cut_after(panel: &Panel, session: SessionDay) -> Option<Panel> {
    let newest = panel.issues.iter().filter_map(|issue| issue.bars.date.last()).max();
    newest.filter(|date| **date > session.epoch_days()).map(|_| panel.before(session.next()))
}

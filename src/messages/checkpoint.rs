//! Checkpoints: the desk at which the pipeline's stages hand in their states.
//!
//! A checkpoint is the state of every stage as of one place in the journal, together with the
//! certainty that everything the frames before that place give is in the database, or on its way
//! from a file that outlives the process. A start goes on from it as if nothing had happened.
//!
//! How one is made, without stopping anything: Ingest numbers a batch ([`Checkpoints::begin`]) and
//! notes the place behind it. The number travels with the batch. Each stage, when it has handled
//! the batch and sent on what it gives, freezes its state and hands it in
//! ([`Checkpoints::arrived`]). Behind the last stage the number goes to the Recorder, whose inbox
//! then has nothing left that the earlier frames gave; when that is stored, it says so
//! ([`Checkpoints::stored`]). The checkpoint is complete, and whoever keeps checkpoints takes it
//! ([`Checkpoints::next`]).
//!
//! One is under way at a time. If it does not come to its end (the batch was given up, the database
//! is away), the next one takes its place after [`GIVEN_UP_AFTER`]; nothing is lost by that but a
//! longer tail to read. Nothing is begun while the desk is held, that is until a start has caught
//! up with the journal.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};

/// After this a checkpoint that is under way is not waited for any more.
pub const GIVEN_UP_AFTER: Duration = Duration::from_secs(60);

/// A place between two journal records: everything before it is on one side, everything from it on
/// the other. The end of a segment and the beginning of the next are the same place by two names.
/// As text: `SEGMENT:OFFSET`.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Position {
    /// Segment number.
    pub segment: u32,
    /// Byte offset in the segment of the record that follows.
    pub offset: u32,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.segment, self.offset)
    }
}

impl std::str::FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once(':').and_then(|(segment, offset)| {
            Some(Self { segment: segment.parse().ok()?, offset: offset.parse().ok()? })
        });
        parts.ok_or_else(|| format!("\"{text}\" is no position: SEGMENT:OFFSET, for example 1:32"))
    }
}

/// A stage whose state is part of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The Normalizer.
    Normalizer = 0,
    /// The RiskScorer.
    Scorer = 1,
    /// Alert.
    Alert = 2,
}

impl Part {
    /// All of them, in the order of a checkpoint.
    pub const ALL: [Self; 3] = [Self::Normalizer, Self::Scorer, Self::Alert];

    /// As in the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normalizer => "normalizer",
            Self::Scorer => "risk_scorer",
            Self::Alert => "alert",
        }
    }
}

/// A state that was copied in the stage's own time and becomes bytes in the keeper's: writing it
/// out takes much longer than copying it.
pub type Frozen = Box<dyn FnOnce() -> Result<Vec<u8>, String> + Send>;

/// A checkpoint whose states are all there and whose effects are stored.
pub struct Complete {
    /// Where the journal stood.
    pub position: Position,
    /// The states, in the order of [`Part::ALL`].
    pub states: [Frozen; 3],
    /// When it was begun.
    pub began: Instant,
}

impl std::fmt::Debug for Complete {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Complete").field("position", &self.position).finish_non_exhaustive()
    }
}

struct UnderWay {
    number: u64,
    position: Position,
    began: Instant,
    states: [Option<Frozen>; 3],
    stored: bool,
}

#[derive(Default)]
struct State {
    held: bool,
    suspended: bool,
    closed: bool,
    number: u64,
    under_way: Option<UnderWay>,
    /// Where the last one stood that was begun; before the first, where the start stood.
    last: Option<(Position, Instant)>,
    complete: Option<Complete>,
    given_up: u64,
}

/// The desk; clones share it.
#[derive(Clone)]
pub struct Checkpoints {
    every: Option<Duration>,
    desk: Arc<(Mutex<State>, Condvar)>,
}

impl std::fmt::Debug for Checkpoints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checkpoints").field("every", &self.every).finish_non_exhaustive()
    }
}

impl Checkpoints {
    /// A desk at which a checkpoint is begun every so often; with `held`, not before
    /// [`Checkpoints::release`].
    #[must_use]
    pub fn new(every: Duration, held: bool) -> Self {
        let state = State { held, ..State::default() };
        Self { every: Some(every), desk: Arc::new((Mutex::new(state), Condvar::new())) }
    }

    /// A desk at which none is ever begun.
    #[must_use]
    pub fn none() -> Self {
        Self { every: None, desk: Arc::default() }
    }

    /// The start has caught up with the journal: checkpoints may begin.
    pub fn release(&self) {
        self.desk.0.lock().held = false;
    }

    /// The states are not what the journal gives any more: no further checkpoint, so that the last
    /// good ones stay for the next start. False when none would be taken anyway.
    pub fn suspend(&self) -> bool {
        let mut desk = self.desk.0.lock();
        desk.suspended = true;
        desk.under_way = None;
        self.every.is_some()
    }

    /// Begins one behind what is journaled so far, at `position`, when it is time; gives its number,
    /// to be sent on behind everything that came before.
    #[must_use]
    pub fn begin(&self, position: Position, now: Instant) -> Option<u64> {
        let every = self.every?;
        let mut state = self.desk.0.lock();
        // The first is due so long after the start, and behind something.
        let (last, at) = *state.last.get_or_insert((position, now));
        let due = last != position && now.duration_since(at) >= every;
        let free = state.under_way.as_ref().is_none_or(|one| now >= one.began + GIVEN_UP_AFTER);
        (due && free).then(|| state.begin(position, now)).flatten()
    }

    /// Begins the last one before a stop, whatever is under way.
    #[must_use]
    pub fn begin_last(&self, position: Position, now: Instant) -> Option<u64> {
        self.every?;
        self.desk.0.lock().begin(position, now)
    }

    /// A stage hands in its state.
    pub fn arrived(&self, number: u64, part: Part, state: Frozen) {
        let mut desk = self.desk.0.lock();
        if let Some(one) = desk.under_way.as_mut().filter(|one| one.number == number) {
            one.states[part as usize] = Some(state);
        }
        self.look(&mut desk);
    }

    /// Everything that came before the number is stored.
    pub fn stored(&self, number: u64) {
        let mut desk = self.desk.0.lock();
        if let Some(one) = desk.under_way.as_mut().filter(|one| one.number == number) {
            one.stored = true;
        }
        self.look(&mut desk);
    }

    fn look(&self, desk: &mut State) {
        let whole = |one: &mut UnderWay| one.stored && one.states.iter().all(Option::is_some);
        let Some(one) = desk.under_way.take_if(whole) else { return };
        let [Some(normalizer), Some(scorer), Some(alert)] = one.states else { return };
        desk.complete = Some(Complete {
            position: one.position,
            states: [normalizer, scorer, alert],
            began: one.began,
        });
        self.desk.1.notify_all();
    }

    /// Whether one waits to be taken.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.desk.0.lock().complete.is_some()
    }

    /// No more will come: [`Checkpoints::next`] gives what is complete and then `None`.
    pub fn close(&self) {
        self.desk.0.lock().closed = true;
        self.desk.1.notify_all();
    }

    /// Waits for the next complete checkpoint; `None` once the desk is closed. Blocks its thread.
    #[must_use]
    pub fn next(&self) -> Option<Complete> {
        let mut desk = self.desk.0.lock();
        loop {
            if let Some(complete) = desk.complete.take() {
                return Some(complete);
            }
            if desk.closed {
                return None;
            }
            self.desk.1.wait(&mut desk);
        }
    }

    /// How many were given up since this was last asked.
    #[must_use]
    pub fn take_given_up(&self) -> u64 {
        std::mem::take(&mut self.desk.0.lock().given_up)
    }
}

impl State {
    fn begin(&mut self, position: Position, now: Instant) -> Option<u64> {
        if self.held || self.suspended || self.closed {
            return None;
        }
        self.given_up += u64::from(self.under_way.is_some());
        self.number += 1;
        self.last = Some((position, now));
        let (number, states) = (self.number, [None, None, None]);
        self.under_way = Some(UnderWay { number, position, began: now, states, stored: false });
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(10);

    fn at(offset: u32) -> Position {
        Position { segment: 1, offset }
    }

    /// A desk at a start that stood at the beginning of a journal, one interval ago.
    fn desk() -> (Checkpoints, Instant) {
        let (desk, start) = (Checkpoints::new(EVERY, false), Instant::now());
        assert_eq!(desk.begin(at(0), start), None, "nothing has come yet");
        (desk, start + EVERY)
    }

    fn hand_in(desk: &Checkpoints, number: u64) {
        for part in Part::ALL {
            desk.arrived(number, part, Box::new(move || Ok(vec![part as u8])));
        }
    }

    #[test]
    fn complete_when_all_states_are_there_and_stored_in_any_order() {
        let (desk, now) = desk();
        let number = desk.begin(at(100), now).unwrap();
        desk.stored(number);
        assert!(!desk.is_complete());
        hand_in(&desk, number);
        let complete = desk.next().unwrap();
        assert_eq!(complete.position, at(100));
        let bytes: Vec<_> = complete.states.into_iter().map(|state| state().unwrap()).collect();
        assert_eq!(bytes, [[0], [1], [2]]);
        desk.close();
        assert!(desk.next().is_none());
    }

    #[test]
    fn one_at_a_time_in_its_time_and_not_twice_for_one_place() {
        let (desk, now) = desk();
        let first = desk.begin(at(1), now).unwrap();
        assert_eq!(desk.begin(at(2), now + EVERY), None, "one is under way");
        hand_in(&desk, first);
        desk.stored(first);
        assert_eq!(desk.begin(at(2), now + EVERY / 2), None, "not yet due");
        assert_eq!(desk.begin(at(1), now + EVERY), None, "nothing is new");
        assert!(desk.begin(at(2), now + EVERY).is_some());
    }

    #[test]
    fn what_does_not_come_to_its_end_is_given_up() {
        let (desk, now) = desk();
        let first = desk.begin(at(1), now).unwrap();
        let second = desk.begin(at(2), now + GIVEN_UP_AFTER).unwrap();
        hand_in(&desk, first);
        desk.stored(first);
        assert!(!desk.is_complete(), "the old number counts no more");
        let last = desk.begin_last(at(2), now + GIVEN_UP_AFTER).unwrap();
        assert!(last > second);
        assert_eq!(desk.take_given_up(), 2);
    }

    #[test]
    fn nothing_is_kept_of_states_that_began_from_nothing() {
        let (desk, now) = desk();
        let number = desk.begin(at(1), now).unwrap();
        assert!(desk.suspend());
        hand_in(&desk, number);
        desk.stored(number);
        assert!(!desk.is_complete());
        assert_eq!(desk.begin_last(at(2), now + EVERY), None);
    }

    #[test]
    fn nothing_begins_while_held_or_without_an_interval() {
        let desk = Checkpoints::new(EVERY, true);
        let now = Instant::now();
        assert_eq!((desk.begin(at(1), now), desk.begin_last(at(1), now)), (None, None));
        desk.release();
        assert!(desk.begin_last(at(1), now).is_some());
        let none = Checkpoints::none();
        assert_eq!((none.begin(at(1), now), none.begin_last(at(1), now)), (None, None));
    }
}

//! Which session carries which registration.
//!
//! Rules: a registration that stands stays where it is. What has no session goes to the one with
//! the most room; when there is none, it takes the place of the least important registration that
//! is less important than itself. What is left over afterwards is [`Allocation::unplaced`]. So when
//! a session dies, trades move onto the slots of order books, and only what fits nowhere is polled;
//! when it comes back, nothing that works is moved.

use super::Registration;
use crate::kis::Tr;

/// See the module.
#[derive(Debug, Clone)]
pub struct Allocation {
    /// In the order of importance.
    wanted: Vec<Registration>,
    /// Session of each, parallel to `wanted`.
    owner: Vec<Option<usize>>,
    sessions: Vec<Session>,
    /// Of a session whose server has not said less.
    capacity: Option<usize>,
}

#[derive(Debug, Clone, Copy)]
struct Session {
    up: bool,
    capacity: Option<usize>,
    used: usize,
}

impl Session {
    fn room(&self) -> usize {
        match self.capacity {
            _ if !self.up => 0,
            Some(capacity) => capacity.saturating_sub(self.used),
            // Without a limit: still spread evenly.
            None => usize::MAX - self.used,
        }
    }
}

impl Allocation {
    /// `wanted`, the most important first, spread over sessions that are all taken to be up, with
    /// `capacity` registrations each (`None`: no limit).
    #[must_use]
    pub fn new(wanted: Vec<Registration>, sessions: usize, capacity: Option<usize>) -> Self {
        let owner = vec![None; wanted.len()];
        let sessions = vec![Session { up: true, capacity, used: 0 }; sessions];
        let mut allocation = Self { wanted, owner, sessions, capacity };
        allocation.place();
        allocation
    }

    /// The registrations of one session, the most important first.
    #[must_use]
    pub fn target(&self, session: usize) -> Vec<Registration> {
        let owned = self.wanted.iter().zip(&self.owner);
        owned.filter(|(_, owner)| **owner == Some(session)).map(|(wanted, _)| *wanted).collect()
    }

    /// What has no session, the most important first.
    #[must_use]
    pub fn unplaced(&self) -> Vec<Registration> {
        let owned = self.wanted.iter().zip(&self.owner);
        owned.filter(|(_, owner)| owner.is_none()).map(|(wanted, _)| *wanted).collect()
    }

    /// Slots in use and slots there are, over all sessions that are up; `None` without a limit.
    #[must_use]
    pub fn slots(&self) -> (usize, Option<usize>) {
        let up = self.sessions.iter().filter(|session| session.up);
        let used = up.clone().map(|session| session.used).sum();
        (used, up.map(|session| session.capacity).sum())
    }

    /// A session is gone: what it carried goes to the others.
    pub fn session_down(&mut self, session: usize) {
        self.sessions[session].up = false;
        self.sessions[session].used = 0;
        for owner in self.owner.iter_mut().filter(|owner| **owner == Some(session)) {
            *owner = None;
        }
        self.place();
    }

    /// A session is there (again): it takes what has no place. What an earlier session of the key
    /// was refused may be granted now.
    pub fn session_up(&mut self, session: usize) {
        self.sessions[session].up = true;
        self.sessions[session].capacity = self.capacity;
        self.place();
    }

    /// The server grants this session no more than `capacity`: the least important beyond it look
    /// for another place.
    pub fn limit(&mut self, session: usize, capacity: usize) {
        self.sessions[session].capacity = Some(capacity);
        let mut excess = self.sessions[session].used.saturating_sub(capacity);
        for owner in self.owner.iter_mut().rev().filter(|owner| **owner == Some(session)) {
            if excess == 0 {
                break;
            }
            *owner = None;
            excess -= 1;
            self.sessions[session].used -= 1;
        }
        self.place();
    }

    /// Moves on in the row of order books: those that had a slot go to the end of the row. Does
    /// nothing when all of them have one.
    pub fn rotate_books(&mut self) {
        let is_book = |registration: &Registration| registration.tr == Tr::Quote;
        let Some(first) = self.wanted.iter().position(is_book) else { return };
        let row = first..first + self.wanted[first..].iter().take_while(|w| is_book(w)).count();
        let placed = self.owner[row.clone()].iter().filter(|owner| owner.is_some()).count();
        if placed == 0 || placed == row.len() {
            return;
        }
        for owner in self.owner[row.clone()].iter_mut().filter(|owner| owner.is_some()) {
            if let Some(session) = owner.take() {
                self.sessions[session].used -= 1;
            }
        }
        self.wanted[row].rotate_left(placed);
        self.place();
    }

    fn place(&mut self) {
        for at in 0..self.wanted.len() {
            if self.owner[at].is_some() {
                continue;
            }
            let roomiest = (0..self.sessions.len()).max_by_key(|session| {
                (self.sessions[*session].room(), std::cmp::Reverse(*session))
            });
            let Some(session) = roomiest.filter(|session| self.sessions[*session].room() > 0)
            else {
                // No room anywhere: the least important one behind this gives way.
                let behind = (at + 1..self.wanted.len()).rev();
                let Some(least) = behind.into_iter().find(|other| self.owner[*other].is_some())
                else {
                    return;
                };
                self.owner[at] = self.owner[least].take();
                continue;
            };
            self.owner[at] = Some(session);
            self.sessions[session].used += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trades(count: usize) -> Vec<Registration> {
        let of = |n: usize| Registration::of(Tr::Trade, format!("{n:06}").parse().unwrap());
        (1..=count).map(of).collect()
    }

    fn books(count: usize) -> Vec<Registration> {
        let of = |n: usize| Registration::of(Tr::Quote, format!("{n:06}").parse().unwrap());
        (1..=count).map(of).collect()
    }

    #[test]
    fn three_keys_carry_78_symbols_and_two_still_do() {
        let mut allocation = Allocation::new(trades(78), 3, Some(41));
        assert!((0..3).all(|session| allocation.target(session).len() == 26));
        let before = [allocation.target(0), allocation.target(2)];
        allocation.session_down(1);
        assert!(allocation.unplaced().is_empty());
        assert_eq!(allocation.slots(), (78, Some(82)));
        for (session, stayed) in [(0, &before[0]), (2, &before[1])] {
            let now = allocation.target(session);
            assert!(
                stayed.iter().all(|registration| now.contains(registration)),
                "moved needlessly"
            );
        }
        allocation.session_up(1);
        assert!(allocation.target(1).is_empty(), "what works stays where it is");
    }

    #[test]
    fn with_120_what_does_not_fit_is_named() {
        let mut allocation = Allocation::new(trades(120), 3, Some(41));
        assert!(allocation.unplaced().is_empty());
        allocation.session_down(0);
        assert_eq!(allocation.unplaced(), trades(120)[82..]);
        allocation.session_up(0);
        assert!(allocation.unplaced().is_empty());
    }

    #[test]
    fn trades_take_the_slots_of_books() {
        let wanted = [trades(41), books(41)].concat();
        let mut allocation = Allocation::new(wanted, 2, Some(41));
        assert!(allocation.unplaced().is_empty());
        allocation.session_down(1);
        assert_eq!(allocation.target(0), trades(41));
        assert_eq!(allocation.unplaced(), books(41));
    }

    #[test]
    fn a_lower_limit_of_the_server_is_obeyed() {
        let mut allocation = Allocation::new(trades(41), 1, Some(41));
        allocation.limit(0, 40);
        assert_eq!(allocation.unplaced(), trades(41)[40..]);
        allocation.session_up(0);
        assert!(allocation.unplaced().is_empty(), "another session, another try");
    }

    #[test]
    fn books_take_turns() {
        let mut allocation = Allocation::new([trades(2), books(5)].concat(), 1, Some(4));
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..5 {
            let target = allocation.target(0);
            assert_eq!(target.len(), 4);
            assert_eq!(target[..2], trades(2));
            seen.extend(target[2..].iter().copied());
            allocation.rotate_books();
        }
        assert_eq!(seen.len(), 5);
    }

    #[test]
    fn interruptions_have_what_books_leave() {
        let of = |n: usize| Registration::of(Tr::Interruption, format!("{n:06}").parse().unwrap());
        let interruptions: Vec<_> = (0..5).map(of).collect();
        let wanted = [trades(2), books(5), interruptions].concat();
        let mut few = Allocation::new(wanted.clone(), 1, Some(4));
        for _ in 0..5 {
            assert!(few.target(0)[2..].iter().all(|one| one.tr == Tr::Quote));
            few.rotate_books();
        }
        let mut more = Allocation::new(wanted.clone(), 1, Some(9));
        more.rotate_books();
        assert_eq!(more.target(0), wanted[..9]);
    }

    proptest! {
        /// Whatever fails and returns: no session carries too much, nothing less important has a
        /// slot while something more important has none, and everything is somewhere.
        #[test]
        fn important_ones_first(
            wanted in 1usize..60, sessions in 1usize..4, capacity in 1usize..20,
            steps in prop::collection::vec((0usize..4, any::<bool>()), 0..12),
        ) {
            let wanted = trades(wanted);
            let mut allocation = Allocation::new(wanted.clone(), sessions, Some(capacity));
            let mut up = vec![true; sessions];
            for (session, is_up) in steps {
                let session = session % sessions;
                if up[session] == is_up {
                    continue;
                }
                up[session] = is_up;
                if is_up { allocation.session_up(session) } else { allocation.session_down(session) }
            }
            let targets: Vec<_> = (0..sessions).map(|session| allocation.target(session)).collect();
            let slots = capacity * up.iter().filter(|up| **up).count();
            for (target, up) in targets.iter().zip(&up) {
                prop_assert!(target.len() <= capacity && (*up || target.is_empty()));
            }
            let placed: usize = targets.iter().map(Vec::len).sum();
            prop_assert_eq!(placed, wanted.len().min(slots));
            prop_assert_eq!(allocation.unplaced(), &wanted[placed..]);
        }
    }
}

//! Faults that the simulator plays on request: what goes wrong with a feed, at a moment of one's
//! choice, and on record.
//!
//! A fault is written `KIND[:key=value,…]`; several are joined by `;`. [`fault_help`] lists kinds
//! and keys. Examples:
//!
//! ```text
//! lose:symbol=005930,every=1000          every thousandth frame of an issue is lost
//! cut:at=09:30:00;refuse-connect:for=5s  the line breaks, and the next 5 s bring none
//! drop-subscription:from-start,tr=H0STCNT0,symbol=000660
//! http:code=EGW00201,p=0.2               a fifth of all calls is one too many
//! ```
//!
//! - [`kind`] and [`key`] are the tables of kinds and keys, [`spec`] the grammar;
//! - [`schedule`] decides when a fault strikes: by event time, by count, by a chance that is a hash
//!   of the seed. The same seed, faults and behaviour of the client give the same records, except
//!   where a fault goes by the wall clock (`for` of calls, registrations and connections) or
//!   `times` is shared by sessions that race;
//! - [`frames`] spoils the data, [`control`] registrations, `PINGPONG` and connections, [`rest`]
//!   the calls, and [`wire`] brings it onto the socket;
//! - [`record`] says what was done; [`audit`], when asked for, which trades reached nobody.
//!
//! Limits: a frame meets one fault at most, the first of the list that strikes it, besides those
//! that last (`mute`, `slow`, `burst`). `after` counts for each session. `key=N` numbers app keys by
//! their first request for a token or approval key; a call that carries no app key in its head has
//! none. A burst holds 65,536 frames at most, then bursts early. Without a fault and without an
//! audit all of this costs one branch for a batch of frames.
//!
//! Failure modes: a text that is no specification is a [`FaultSpecError`] that names kind, key,
//! value and what is allowed. Records beyond 65,536 and audited trades beyond two million are
//! counted only.

mod audit;
mod control;
mod frames;
mod key;
mod kind;
mod record;
mod rest;
mod schedule;
mod spec;
mod wire;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::market::{SessionDay, Symbol};

pub use audit::PlayedTrade;
pub use kind::FaultKind;
pub use record::{FaultCount, FaultRecord, LostTrades};
pub use spec::{FaultSpec, FaultSpecError, fault_help};

pub(crate) use control::{Door, Refused, Verdict, refuse_upgrade};
pub(crate) use frames::Pipe;
pub(crate) use rest::layer;
pub(crate) use wire::{Cutter, Line, Sink, Wire, write};

use super::clock::Frames;
use super::server::Shared;
use super::session::{Outgoing, Session};
use audit::Audit;
use record::Log;
use schedule::Armed;

/// Delay of a slow side that names none.
const DEFAULT_DELAY: Duration = Duration::from_millis(200);

/// The faults of a simulator.
pub(crate) struct Faults {
    /// There is a fault, or an audit.
    active: AtomicBool,
    seed: u64,
    sessions: AtomicU64,
    plan: Mutex<Plan>,
    audit: Option<Mutex<Audit>>,
}

/// The faults and their records.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    armed: Vec<Armed>,
    log: Log,
}

impl Faults {
    pub fn new(specs: Vec<FaultSpec>, seed: u64, audit: bool) -> Self {
        let faults = Self {
            active: AtomicBool::new(audit),
            seed,
            sessions: AtomicU64::new(0),
            plan: Mutex::default(),
            audit: audit.then(Mutex::default),
        };
        for spec in specs {
            faults.inject(spec);
        }
        faults
    }

    /// Whether there is nothing to do.
    pub fn idle(&self) -> bool {
        !self.active.load(Ordering::Relaxed)
    }

    /// One more fault, from now on.
    pub fn inject(&self, spec: FaultSpec) {
        let mut plan = self.plan.lock();
        let index = plan.armed.len();
        plan.armed.push(Armed::new(spec, self.seed, index));
        self.active.store(true, Ordering::Relaxed);
    }

    /// The state of a session that begins.
    pub fn pipe(&self) -> Pipe {
        Pipe::new(self.sessions.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Forgets a session that has ended.
    pub fn forget(&self, session: &Session) {
        let number = session.faults.lock().number;
        self.plan.lock().armed.iter_mut().for_each(|armed| armed.forget(number));
    }

    pub fn records(&self) -> Vec<FaultRecord> {
        self.plan.lock().log.records.clone()
    }

    pub fn counts(&self) -> Vec<FaultCount> {
        let plan = self.plan.lock();
        let count = |armed: &Armed| FaultCount {
            spec: armed.spec.clone(),
            fired: armed.fired,
            struck: armed.struck,
        };
        plan.armed.iter().map(count).collect()
    }

    /// Records and audited trades that there was no room for.
    pub fn left_out(&self) -> (u64, u64) {
        let records = self.plan.lock().log.left_out;
        (records, self.audit.as_ref().map_or(0, |audit| audit.lock().left_out()))
    }

    pub fn played(&self) -> Vec<PlayedTrade> {
        self.audit.as_ref().map(|audit| audit.lock().played()).unwrap_or_default()
    }

    pub fn undelivered(&self) -> BTreeSet<(Symbol, SessionDay, i64)> {
        self.audit.as_ref().map(|audit| audit.lock().undelivered()).unwrap_or_default()
    }

    /// These trades have been written to a socket.
    pub fn delivered(&self, trades: impl Iterator<Item = Range<usize>>) {
        if let Some(audit) = &self.audit {
            let mut audit = audit.lock();
            trades.for_each(|trades| audit.delivered(trades));
        }
    }

    /// Enters a batch in the audit's book; the place of each frame's trades.
    pub fn enter(&self, frames: &Frames, bytes: &Bytes) -> Vec<Range<usize>> {
        let Some(audit) = &self.audit else { return vec![0..0; frames.len()] };
        let mut audit = audit.lock();
        let text = |range: &Range<usize>| std::str::from_utf8(&bytes[range.clone()]).unwrap_or("");
        frames.iter().map(|(info, range)| audit.play(text(range), info.at.session_day())).collect()
    }

    /// What a session gets of a batch.
    fn wires(
        &self,
        session: &Session,
        frames: &Frames,
        bytes: &Bytes,
        trades: &[Range<usize>],
    ) -> Vec<Wire> {
        let mut out = Vec::new();
        let subscriptions = session.subscriptions.lock();
        let (mut pipe, mut plan) = (session.faults.lock(), self.plan.lock());
        for ((info, range), trades) in frames.iter().zip(trades) {
            if subscriptions.wants(info.feed, info.key)
                && let Ok(text) = Utf8Bytes::try_from(bytes.slice(range.clone()))
            {
                plan.frame(&mut pipe, info, text, trades.clone(), &mut out);
            }
        }
        if let Some((info, _)) = frames.last() {
            plan.after_batch(&mut pipe, info.at, &mut out);
        }
        out
    }
}

/// Queues a batch at every session, through the faults.
pub(crate) async fn deliver(shared: &Shared, frames: &Frames, bytes: &Bytes) {
    let trades = shared.faults.enter(frames, bytes);
    let sessions = shared.sessions.lock().clone();
    for session in sessions {
        let wires = shared.faults.wires(&session, frames, bytes, &trades);
        queue(&session, wires).await;
        if session.faults.lock().over {
            // Nobody is subscribed here any more, whatever the socket is still busy with.
            let left = session.subscriptions.lock().clear();
            if left > 0 {
                shared.watch_changed(-(left as isize));
            }
        }
    }
}

/// Sends what faults still hold when the day is over.
pub(crate) async fn release(shared: &Shared) {
    let sessions: Vec<Arc<Session>> = shared.sessions.lock().clone();
    for session in sessions {
        let mut wires = Vec::new();
        session.faults.lock().release(&mut wires);
        queue(&session, wires).await;
    }
}

async fn queue(session: &Session, mut wires: Vec<Wire>) {
    // A slow session's batch is queued in pieces, so that a ping comes in between.
    let slow = wires.iter().any(|wire| matches!(wire, Wire::Pause(_)));
    while !wires.is_empty() {
        let rest = wires.split_off(if slow { wires.len().min(2) } else { wires.len() });
        if session.queue.send(Outgoing::Wires(wires)).await.is_err() {
            // A session that has ended has no queue; its frames have no reader.
            return;
        }
        wires = rest;
    }
}

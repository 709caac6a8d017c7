//! Who carries what: one task that knows all lines.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::line::{Line, Note, Order};
use super::probe::{self, Finding};
use super::{Feed, FeedConfig, FeedError, FeedEvent, FrameSink, KisAccess, SinkClosed};
use crate::kis::subscriptions::{Allocation, LeftOut, Refused, Registration};

/// Notes that wait for the coordinator: it takes them at once.
const NOTES: usize = 64;
/// Orders that wait for a line. One that finds no place is given again at the next suspicion.
const ORDERS: usize = 16;
/// Issues whose volume is looked at at once: the rest can wait for its next suspicion.
const PROBES: usize = 3;

/// Runs the lines of all keys until `cancel`, or until none is left.
pub(super) async fn run<K: KisAccess, S: FrameSink>(
    feed: Feed,
    access: Vec<K>,
    sink: S,
    cancel: CancellationToken,
) -> Result<(), FeedError> {
    let Feed { config, plan } = feed;
    let config = Arc::new(config);
    let allocation = Allocation::new(plan.wanted, access.len(), config.max_registrations);
    let (notes, inbox) = mpsc::channel(NOTES);
    // Ends the lines when the coordinator ends for whatever reason.
    let stop = cancel.child_token();
    let _ended = stop.clone().drop_guard();
    let mut tasks = JoinSet::new();
    let mut lines = Vec::with_capacity(access.len());
    for (number, access) in access.iter().enumerate() {
        let (target, wanted) = watch::channel(Arc::from(allocation.target(number)));
        let (orders, commands) = mpsc::channel(ORDERS);
        let line = Line {
            number,
            config: Arc::clone(&config),
            access: access.clone(),
            sink: sink.clone(),
            target: wanted,
            orders: commands,
            notes: notes.clone(),
            cancel: stop.clone(),
        };
        tasks.spawn(async move { (number, line.run().await) });
        lines.push(State {
            target,
            orders,
            standing: None,
            refused: Vec::new(),
            fail_at: None,
            down: false,
        });
    }
    let mut coordinator = Coordinator {
        confirm_by: Some(Instant::now() + config.confirm_within),
        rotate_at: Instant::now() + config.rotate_books_every,
        config,
        allocation,
        left_out: plan.left_out,
        lines,
        access,
        sink,
        unplaced: Vec::new(),
        complete: false,
        probing: BTreeSet::new(),
    };
    coordinator.run(inbox, tasks).await
}

/// What is known of a line.
struct State {
    target: watch::Sender<Arc<[Registration]>>,
    orders: mpsc::Sender<Order>,
    /// What stands, once its ledger has settled; `None` while it has not.
    standing: Option<Vec<Registration>>,
    refused: Vec<Refused>,
    /// When what it carried moves to the others, unless it is back by then.
    fail_at: Option<Instant>,
    /// What it carried has been moved.
    down: bool,
}

struct Coordinator<K, S> {
    config: Arc<FeedConfig>,
    allocation: Allocation,
    left_out: Vec<(Registration, LeftOut)>,
    lines: Vec<State>,
    access: Vec<K>,
    sink: S,
    /// As last told.
    unplaced: Vec<Registration>,
    /// Everything with a slot is confirmed or refused, and that was told.
    complete: bool,
    /// When the confirmed set must equal the wanted one; `None` when it does, or when that it does
    /// not has been told.
    confirm_by: Option<Instant>,
    rotate_at: Instant,
    probing: BTreeSet<(usize, Registration)>,
}

type Outcome = Result<(usize, Result<(), FeedError>), tokio::task::JoinError>;

impl<K: KisAccess, S: FrameSink> Coordinator<K, S> {
    async fn run(
        &mut self,
        mut inbox: mpsc::Receiver<(usize, Note)>,
        mut tasks: JoinSet<(usize, Result<(), FeedError>)>,
    ) -> Result<(), FeedError> {
        self.tell_unplaced().await?;
        let mut probes = FuturesUnordered::new();
        loop {
            let wake = self.next_deadline();
            tokio::select! {
                biased;
                Some((line, note)) = inbox.recv() => {
                    for suspect in self.take(line, note).await? {
                        let (access, every) = (self.access[line].clone(), self.config.probe_every);
                        probes.push(probe::look(access, line, suspect, every));
                    }
                }
                Some(finding) = probes.next() => self.found(finding),
                ended = tasks.join_next() => match ended {
                    Some(ended) => self.ended(ended, tasks.is_empty()).await?,
                    None => return Ok(()),
                },
                () = tokio::time::sleep_until(wake) => self.on_deadline().await?,
            }
        }
    }

    fn next_deadline(&self) -> Instant {
        let fails = self.lines.iter().filter_map(|line| line.fail_at);
        fails.chain(self.confirm_by).fold(self.rotate_at, Instant::min)
    }

    async fn on_deadline(&mut self) -> Result<(), SinkClosed> {
        let now = Instant::now();
        for number in 0..self.lines.len() {
            if self.lines[number].fail_at.is_some_and(|at| now >= at) {
                self.lines[number].fail_at = None;
                self.lines[number].down = true;
                self.allocation.session_down(number);
                self.spread().await?;
            }
        }
        if now >= self.rotate_at {
            self.rotate_at = now + self.config.rotate_books_every;
            self.allocation.rotate_books();
            self.spread().await?;
        }
        if self.confirm_by.is_some_and(|by| now >= by) {
            self.confirm_by = None;
            let missing = self.missing();
            if !missing.is_empty() {
                self.sink.report(FeedEvent::Incomplete { missing }).await?;
            }
        }
        Ok(())
    }

    /// Takes in a note; returns the registrations to look after.
    async fn take(&mut self, number: usize, note: Note) -> Result<Vec<Registration>, SinkClosed> {
        match note {
            Note::Up => {
                self.lines[number].fail_at = None;
                self.lines[number].standing = None;
                self.sink.report(FeedEvent::Connected { session: number }).await?;
                self.lines[number].down = false;
                self.allocation.session_up(number);
                self.spread().await?;
                self.unsettled();
            }
            Note::Settled { standing, refused, limit } => {
                self.lines[number].standing = Some(standing);
                self.lines[number].refused = refused;
                if let Some(limit) = limit {
                    self.allocation.limit(number, limit);
                    self.spread().await?;
                }
                self.tell_when_complete().await?;
            }
            Note::Suspects(suspects) => {
                let running = self.probing.iter().filter(|(line, _)| *line == number).count();
                let free = PROBES.saturating_sub(running);
                let chosen = suspects.into_iter().take(free);
                return Ok(chosen
                    .filter(|suspect| self.probing.insert((number, *suspect)))
                    .collect());
            }
            Note::Mute(registration) => {
                self.unsettled();
                self.sink.report(FeedEvent::Mute { session: number, registration }).await?;
            }
            Note::UnreadableNotice(why) => {
                self.sink.report(FeedEvent::UnreadableNotice { session: number, why }).await?;
            }
            Note::Down { cause, retry_in } => {
                // Nobody is there to take over: what it carries is polled, and that can wait longer.
                let alone =
                    self.lines.iter().enumerate().all(|(other, line)| {
                        other == number || line.down || line.fail_at.is_some()
                    });
                let after = if alone { self.config.poll_after } else { self.config.failover_after };
                let line = &mut self.lines[number];
                line.standing = None;
                line.refused.clear();
                if !line.down && line.fail_at.is_none() {
                    line.fail_at = Some(Instant::now() + after);
                }
                self.unsettled();
                self.sink.report(FeedEvent::Lost { session: number, cause, retry_in }).await?;
            }
        }
        Ok(Vec::new())
    }

    fn found(&mut self, finding: Finding) {
        let Finding { session, registration, traded_since } = finding;
        self.probing.remove(&(session, registration));
        if let Some(since) = traded_since {
            // A full queue: the suspicion comes again.
            let _ = self.lines[session].orders.try_send(Order::Traded { registration, since });
        }
    }

    /// A line ended: because the feed stops, or for good.
    async fn ended(&mut self, ended: Outcome, last: bool) -> Result<(), FeedError> {
        let (number, error) = match ended {
            Ok((_, Ok(()))) => return Ok(()),
            Ok((number, Err(error))) => (number, error),
            Err(error) => return Err(FeedError::Task(error.to_string())),
        };
        let fatal = matches!(error, FeedError::SinkClosed(_) | FeedError::Task(_));
        if fatal || last {
            return Err(error);
        }
        let why = error.to_string();
        self.lines[number].standing = Some(Vec::new());
        self.lines[number].refused.clear();
        self.lines[number].fail_at = None;
        self.lines[number].down = true;
        self.allocation.session_down(number);
        self.sink.report(FeedEvent::GivenUp { session: number, why }).await?;
        self.spread().await?;
        Ok(())
    }

    /// Tells every line what is wanted of it now, and everybody what has no slot.
    async fn spread(&mut self) -> Result<(), SinkClosed> {
        let mut changed = false;
        for (number, line) in self.lines.iter_mut().enumerate() {
            let target = self.allocation.target(number);
            let is_new = line.target.send_if_modified(|present| {
                let is_new = present[..] != target[..];
                if is_new {
                    *present = Arc::from(target);
                }
                is_new
            });
            if is_new {
                line.standing = None;
                changed = true;
            }
        }
        if changed {
            self.unsettled();
        }
        self.tell_unplaced().await
    }

    fn unsettled(&mut self) {
        self.complete = false;
        self.confirm_by = Some(Instant::now() + self.config.confirm_within);
    }

    async fn tell_unplaced(&mut self) -> Result<(), SinkClosed> {
        let unplaced = self.allocation.unplaced();
        if unplaced == self.unplaced {
            return Ok(());
        }
        self.unplaced.clone_from(&unplaced);
        self.sink.report(FeedEvent::Unplaced(unplaced)).await
    }

    /// Wanted, with a slot, neither standing nor refused.
    fn missing(&self) -> Vec<Registration> {
        let mut missing = Vec::new();
        for (number, line) in self.lines.iter().enumerate() {
            let standing = line.standing.as_deref().unwrap_or_default();
            let refused = |wanted: &Registration| {
                line.refused.iter().any(|refused| refused.registration == *wanted)
            };
            let target = self.allocation.target(number).into_iter();
            missing.extend(target.filter(|wanted| !standing.contains(wanted) && !refused(wanted)));
        }
        missing
    }

    async fn tell_when_complete(&mut self) -> Result<(), SinkClosed> {
        if self.complete || !self.missing().is_empty() {
            return Ok(());
        }
        self.complete = true;
        self.confirm_by = None;
        let standing = |line: &State| line.standing.as_ref().map_or(0, Vec::len);
        let event = FeedEvent::Subscribed {
            confirmed: self.lines.iter().map(standing).sum(),
            slots: self.allocation.slots().1,
            refused: self.lines.iter().flat_map(|line| line.refused.clone()).collect(),
            left_out: self.left_out.clone(),
        };
        self.sink.report(event).await
    }
}

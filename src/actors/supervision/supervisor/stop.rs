//! How a supervisor ends: in order, with everything handled, or at once.

use std::sync::atomic::Ordering;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::super::node::Exit;
use super::{ExitReason, ExitSender, Phase, Supervisor};

impl Supervisor {
    pub(super) async fn give_up(
        &mut self,
        why: ExitReason,
        exits: &mut mpsc::Receiver<Exit>,
    ) -> ExitReason {
        tracing::error!(supervisor = self.name, %why, "supervisor gives up");
        for index in (0..self.places.len()).rev() {
            self.end(index, exits).await;
        }
        self.reset();
        why
    }

    /// Upstream first: each child handles what it was sent before the next one is asked. One that
    /// fails meanwhile, or was about to be restarted, is still restarted: what waits for it was
    /// received.
    pub(super) async fn shut_down(
        &mut self,
        sender: &ExitSender,
        exits: &mut mpsc::Receiver<Exit>,
    ) {
        for index in 0..self.places.len() {
            if let Err(why) = self.drain(index, sender, exits).await {
                tracing::error!(supervisor = self.name, %why, "supervisor gives up while stopping");
                self.threads.note_unfinished();
                for rest in index..self.places.len() {
                    self.end(rest, exits).await;
                }
                return;
            }
        }
    }

    /// Lets child `index` handle what it was sent, and end. It may take as long as it gets on: what
    /// is left is bounded, for nothing more is coming.
    async fn drain(
        &mut self,
        index: usize,
        sender: &ExitSender,
        exits: &mut mpsc::Receiver<Exit>,
    ) -> Result<(), ExitReason> {
        let mut deadline = Instant::now() + self.places[index].child.grace();
        let mut seen = self.places[index].child.progress();
        let mut asked = None;
        loop {
            let place = &mut self.places[index];
            match place.phase {
                Phase::Ended => return Ok(()),
                Phase::Waiting { .. } if !place.child.has_work() => {
                    place.phase = Phase::Ended;
                    return Ok(());
                }
                Phase::Running if asked != Some(place.generation) => {
                    asked = Some(place.generation);
                    place.child.ask_stop(true);
                }
                Phase::Waiting { .. } | Phase::Running | Phase::Stopping { .. } => {}
            }
            let next = self.next_due().map_or(deadline, |due| due.min(deadline));
            match tokio::time::timeout_at(next, exits.recv()).await {
                Ok(Some(exit)) => {
                    self.progress.fetch_add(1, Ordering::Relaxed);
                    if let Some(why) = self.on_exit(exit) {
                        return Err(why);
                    }
                }
                Ok(None) | Err(_) if Instant::now() >= deadline => {
                    let child = &self.places[index].child;
                    let now = child.progress();
                    if now != seen {
                        seen = now;
                        deadline = Instant::now() + child.grace();
                        self.progress.fetch_add(1, Ordering::Relaxed);
                        continue;
                    }
                    let name = child.name();
                    self.threads.note_unfinished();
                    tracing::error!(actor = name, "did not stop when asked, it is fenced");
                    self.fence(index);
                    self.places[index].phase = Phase::Ended;
                    return Ok(());
                }
                Ok(None) | Err(_) => {}
            }
            if let Some(why) = self.start_due(sender) {
                return Err(why);
            }
        }
    }

    async fn end(&mut self, index: usize, exits: &mut mpsc::Receiver<Exit>) {
        if matches!(self.places[index].phase, Phase::Running | Phase::Stopping { .. }) {
            self.places[index].child.ask_stop(false);
            let deadline = Instant::now() + self.places[index].child.grace();
            loop {
                match tokio::time::timeout_at(deadline, exits.recv()).await {
                    Ok(Some(exit)) => {
                        let mine =
                            exit.child == index && exit.generation == self.places[index].generation;
                        self.note(exit.child, |status| {
                            status.up = false;
                            status.last_exit = Some(exit.reason.clone());
                        });
                        if exit.generation == self.places[exit.child].generation {
                            self.places[exit.child].phase = Phase::Ended;
                        }
                        if mine {
                            break;
                        }
                    }
                    Ok(None) | Err(_) => {
                        let name = self.places[index].child.name();
                        tracing::error!(actor = name, "did not stop when asked, it is fenced");
                        self.fence(index);
                        break;
                    }
                }
            }
        }
        self.places[index].phase = Phase::Ended;
    }
}

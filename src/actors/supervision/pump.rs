//! The loop in which a generation works: takes a message, lets the stage handle it, has its
//! effects, and listens to control in between.

use std::cell::Cell;
use std::rc::Rc;
use std::task::Poll;

use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};

use super::slot::{Activity, Entry, Slot};
use super::{ExitReason, Stage, StageError};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Run,
    Drain,
    Stop,
}

pub(super) struct Control {
    pub(super) wish: Cell<Wish>,
    pub(super) paused: Cell<bool>,
    pub(super) handled: Cell<u64>,
    pub(super) changed: Notify,
}

pub(super) fn reason_of(error: StageError) -> ExitReason {
    match error {
        StageError::Finished => ExitReason::Finished,
        StageError::Downstream(closed) => ExitReason::DownstreamGone(closed.0),
        StageError::Failed(why) => ExitReason::Failed(why),
        StageError::Fatal(why) => ExitReason::Fatal(why),
    }
}

pub(super) async fn pump<S: Stage>(
    mut stage: S,
    slot: Slot<S>,
    control: Rc<Control>,
    generation: u64,
) -> ExitReason {
    match pump_to_the_end(&mut stage, &slot, &control, generation).await {
        Ok(End::Interrupted) => ExitReason::Asked,
        Ok(End::InOrder(reason)) => {
            if slot.generation() == generation {
                slot.keep(&stage);
            }
            reason
        }
        Err(error) => reason_of(error),
    }
}

/// How a generation ended that did not fail.
enum End {
    /// Between two messages: its state can be gone on from.
    InOrder(ExitReason),
    /// With a message half done, which its successor handles again from the state before it.
    Interrupted,
}

async fn pump_to_the_end<S: Stage>(
    stage: &mut S,
    slot: &Slot<S>,
    control: &Control,
    generation: u64,
) -> Result<End, StageError> {
    slot.set_activity(generation, Activity::Protected);
    stage.started().await?;
    let cursor = slot.cursor();
    rebuild(stage, slot, &cursor, generation)?;
    let busy = metrics::histogram!("bongsu_stage_seconds", "stage" => S::NAME);
    let mut wake = stage.wake_every().map(|period| {
        let mut timer = tokio::time::interval_at(Instant::now() + period, period);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        timer
    });
    loop {
        let entry = match slot.resume() {
            Some(entry) => entry,
            None => match next(slot, control, generation, wake.as_mut()).await {
                Next::Message(entry) => entry,
                Next::Fenced => return Ok(End::InOrder(ExitReason::Fenced)),
                Next::Wake => {
                    stage.wake()?;
                    flush(stage, slot, generation, true).await?;
                    continue;
                }
                Next::End => {
                    stage.stopping()?;
                    flush(stage, slot, generation, true).await?;
                    return Ok(End::InOrder(ExitReason::Asked));
                }
                Next::Closed => {
                    stage.stopping()?;
                    flush(stage, slot, generation, true).await?;
                    return Ok(End::InOrder(ExitReason::Finished));
                }
            },
        };
        let began = std::time::Instant::now();
        slot.set_activity(generation, Activity::Busy);
        stage.handle(&entry.message, &cursor.skipping(&entry.skip))?;
        if slot.generation() != generation {
            return Ok(End::InOrder(ExitReason::Fenced));
        }
        cursor.leave();
        busy.record(began.elapsed().as_secs_f64());
        let idle = slot.inbox().stats().depth == 0;
        if let Some(end) = flush_or_stop(stage, slot, control, generation, idle).await? {
            return Ok(end);
        }
        slot.complete(stage, generation);
        if slot.generation() != generation {
            return Ok(End::InOrder(ExitReason::Fenced));
        }
        control.handled.set(control.handled.get() + 1);
        tokio::task::yield_now().await;
    }
}

fn rebuild<S: Stage>(
    stage: &mut S,
    slot: &Slot<S>,
    cursor: &super::Cursor,
    generation: u64,
) -> Result<(), StageError> {
    let entries = slot.restore(stage);
    slot.set_activity(generation, Activity::Busy);
    // Progress is marked per message, not per record: a failure in here is not a new poison
    // record, all of these were handled before.
    let muted = super::Cursor::default();
    for entry in entries {
        stage.handle(&entry.message, &muted.skipping(&entry.skip))?;
        stage.discard();
        cursor.beat();
    }
    Ok(())
}

async fn flush<S: Stage>(
    stage: &mut S,
    slot: &Slot<S>,
    generation: u64,
    idle: bool,
) -> Result<(), StageError> {
    if slot.generation() != generation {
        return Ok(());
    }
    slot.set_activity(generation, Activity::Protected);
    stage.flush(idle).await
}

/// Flushes, unless the generation is to end without draining, or is fenced: whoever it sends to
/// may have been stopped before it, and its inbox be full.
async fn flush_or_stop<S: Stage>(
    stage: &mut S,
    slot: &Slot<S>,
    control: &Control,
    generation: u64,
    idle: bool,
) -> Result<Option<End>, StageError> {
    let mut flushing = std::pin::pin!(flush(stage, slot, generation, idle));
    // Looked at before every step: one that is fenced while it waits must not go on sending.
    let current = std::future::poll_fn(|context| match slot.generation() == generation {
        true => flushing.as_mut().poll(context).map(Some),
        false => Poll::Ready(None),
    });
    tokio::select! {
        biased;
        outcome = current => match outcome {
            Some(outcome) => outcome.map(|()| None),
            None => Ok(Some(End::InOrder(ExitReason::Fenced))),
        },
        () = wished_to_stop(control) => Ok(Some(End::Interrupted)),
    }
}

/// Waits for the wish to end without draining.
async fn wished_to_stop(control: &Control) {
    while control.wish.get() != Wish::Stop {
        control.changed.notified().await;
    }
}

enum Next<M> {
    Message(Entry<M>),
    Fenced,
    Wake,
    End,
    Closed,
}

async fn next<S: Stage>(
    slot: &Slot<S>,
    control: &Control,
    generation: u64,
    wake: Option<&mut tokio::time::Interval>,
) -> Next<S::In> {
    slot.set_activity(generation, Activity::Idle);
    let mut wake = wake;
    loop {
        if slot.generation() != generation {
            return Next::Fenced;
        }
        match control.wish.get() {
            Wish::Stop => return Next::End,
            Wish::Drain if slot.inbox().stats().depth == 0 => return Next::End,
            _ => {}
        }
        let paused = control.paused.get() && control.wish.get() == Wish::Run;
        tokio::select! {
            biased;
            () = control.changed.notified() => {}
            _ = async { match wake.as_mut() {
                Some(timer) => { timer.tick().await; }
                None => std::future::pending().await,
            } }, if wake.is_some() && !paused => return Next::Wake,
            some = slot.inbox().ready(), if !paused => match slot.take(generation) {
                Some(entry) => return Next::Message(entry),
                None if !some => return Next::Closed,
                None => {}
            },
        }
    }
}

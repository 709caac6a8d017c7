//! Supervision: what keeps actors alive, in order and within bounds.
//!
//! actix gives an actor a thread, a mailbox and a life cycle. It does not restart an actor after a
//! panic, its `do_send` ignores the mailbox bound, and a mailbox drains whole before the actor
//! looks at anything else. This module builds on it what a daemon needs:
//!
//! - an [`Inbox`] that belongs to the supervisor, not to the actor: bounded, with a declared
//!   [`Policy`], the time senders spend blocked measured per [`Edge`]. It outlives the actor, so
//!   senders keep one address for the life of the process and queued messages survive a restart;
//! - a [`Stage`]: what an actor computes, in two halves. `handle` takes in a message and must not
//!   have effects; `flush` has the effects. Between the two the message stays with the supervisor;
//! - a [`Node`]: the actix actor around a stage. Its actix mailbox carries control alone (probe,
//!   pause, stop), so no flood of data can delay it;
//! - a [`Supervisor`]: starts children from factories, learns why each one ended
//!   ([`ExitReason`]), and restarts, restarts the rest, or gives up by a [`RestartPolicy`].
//!
//! # What happens when a record kills its handler
//! The message is still with the supervisor, and so is the number of the record in work
//! ([`Cursor`]). The next generation gets the last snapshot of the state, is fed the messages
//! since (their effects muted, they were had before), and then the same message again with the
//! poison record skipped. The record itself goes to the [`PoisonSink`] with its journal position.
//! So one bad record costs itself and nothing else.
//!
//! # What is not promised
//! A stage that hangs in native code cannot be stopped: its generation is fenced, so that whatever
//! it does later has no effect, its thread is counted as leaked, and too many leaked threads end
//! the process. Effects are at least once across a crash inside `flush`; receivers recognise a
//! repeated message by its journal position.

mod child;
mod decide;
mod edge;
mod exit;
mod node;
mod pump;
mod slot;
mod stage;
mod subtree;
mod supervisor;
mod task;
mod threads;

#[cfg(test)]
mod race_tests;
#[cfg(test)]
mod tests;

pub use child::{Child, ExitSender};
pub use decide::{Decision, RestartPolicy, Strategy};
pub use edge::{Closed, Edge, Inbox, InboxStats, Policy};
pub use exit::ExitReason;
pub use node::{
    Factory, Halt, Node, NodeHandle, NodeOptions, Pause, Placement, Probe, ProbeReply, Resume,
    Shell,
};
pub use slot::{Poison, PoisonSink, Slot};
pub use stage::{Cursor, Envelope, Stage, StageError};
pub use subtree::Subtree;
pub use supervisor::{ChildStatus, Supervisor, SupervisorHandle, TreeStatus};
pub use task::TaskChild;
pub use threads::Threads;

//! Whether a tree has handled everything it was sent.

use std::sync::Arc;
use std::time::Duration;

use crate::actors::supervision::{Node, Stage};

/// Tells whether the stages that lose nothing have handled everything they were sent, rows
/// included. Meaningful once nothing new is sent.
#[derive(Clone, Default)]
pub struct Quiet {
    /// In the order in which they feed each other: a stage looked at later has been sent all that
    /// the stages before it had to send.
    pub(super) stages: Vec<Arc<dyn Fn() -> bool + Send + Sync>>,
}

impl std::fmt::Debug for Quiet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Quiet({})", self.stages.len())
    }
}

impl Quiet {
    pub(super) fn watch<S: Stage>(&mut self, node: Node<S>) -> Node<S> {
        let slot = node.slot().clone();
        self.stages.push(Arc::new(move || slot.is_quiet()));
        node
    }

    /// Waits until it is so: however long the slowest stage takes, because what a stop cuts off
    /// would be missing.
    pub async fn wait(&self) {
        while !self.stages.iter().all(|is_quiet| is_quiet()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

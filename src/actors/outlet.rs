//! Where advice goes: outward, to the HTTP interface and to the database.

use std::sync::Arc;

use super::supervision::{Edge, StageError};
use crate::bus::Publisher;
use crate::messages::{AdviceBoard, OutwardEvent, StoreBatch};

/// Where advice goes: shared by all actors that advise.
#[derive(Clone)]
pub struct AdviceOutlet {
    /// The way outward.
    pub publisher: Publisher,
    /// What the HTTP interface shows.
    pub board: AdviceBoard,
    /// To the Recorder; `None` where nothing is stored.
    pub recorder: Option<Edge<Arc<StoreBatch>>>,
}

impl AdviceOutlet {
    pub(super) async fn publish(&self, event: OutwardEvent) {
        self.publisher.publish(vec![Arc::new(event)]).await;
    }

    pub(super) async fn store(&self, batch: StoreBatch) -> Result<(), StageError> {
        if let Some(recorder) = &self.recorder {
            recorder.send(Arc::new(batch)).await?;
        }
        Ok(())
    }
}

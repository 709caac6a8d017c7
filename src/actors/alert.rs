//! Alert: what the scorer found, outward.
//!
//! Makes events of detections and scores, leaves out what was said before, keeps their order, and
//! publishes them: on the in-process bus, and on Redis when it is set. Nothing slow stands between
//! the scorer and the publication: storing, planning and explaining are told afterwards.
//!
//! **Gets** [`ScoreBatch`] from the RiskScorer. **Sends** events to the bus, to the Recorder, and
//! crashes to the Mitigator. **Redis away:** the publisher keeps events in order, within its
//! bound, and publishes them late; the pipeline goes on. **Dies:** the batch in work is published
//! again; equal causes give equal ids, so a repetition is recognised.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::{FxHashSet, FxHasher};
use serde::{Deserialize, Serialize};

use super::limits::REMEMBERED_EVENTS;
use super::states::{AlertKept, frozen};
use super::supervision::{Cursor, Edge, Envelope, Stage, StageError};
use crate::bus::Publisher;
use crate::market::Directory;
use crate::messages::advice_request::CrashNotice;
use crate::messages::checkpoint::Part;
use crate::messages::{
    Checkpoints, Detection, EventKind, Level, OutwardEvent, Reject, ScoreBatch, StoreBatch,
};

impl Envelope for ScoreBatch {
    fn records(&self) -> usize {
        (self.detections.len() + self.points.len()).max(1)
    }

    fn poison(&self, index: usize, stage: &'static str, why: &str) -> Reject {
        let found = self.detections.len();
        let (payload, at) = if index < found {
            let detection = &self.detections[index];
            (format!("{detection:?}"), Some(detection.at))
        } else if let Some(point) = self.points.get(index - found) {
            (format!("{point:?}"), Some(point.at))
        } else {
            ("minute rows".to_owned(), None)
        };
        let source = "risk_scorer".to_owned();
        Reject { stage, source, reason: "poison", detail: why.to_owned(), payload, at }
    }
}

/// What Alert is made of.
#[derive(Clone)]
pub struct AlertParts {
    /// Names of the issues.
    pub directory: Directory,
    /// The way outward; outlives the actor, so that events wait there through a restart.
    pub publisher: Publisher,
    /// To the Recorder; `None` where nothing is stored.
    pub recorder: Option<Edge<Arc<StoreBatch>>>,
    /// To the Mitigator; `None` where nobody advises.
    pub mitigator: Option<Edge<Arc<CrashNotice>>>,
    /// Where it hands in its state.
    pub checkpoints: Checkpoints,
}

/// Ids of events said before, oldest forgotten first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "VecDeque<u64>", into = "VecDeque<u64>")]
pub struct Said {
    known: FxHashSet<u64>,
    order: VecDeque<u64>,
}

impl From<VecDeque<u64>> for Said {
    fn from(order: VecDeque<u64>) -> Self {
        Self { known: order.iter().copied().collect(), order }
    }
}

impl From<Said> for VecDeque<u64> {
    fn from(said: Said) -> Self {
        said.order
    }
}

impl Said {
    /// Remembers `id`; false when it was known.
    fn is_new(&mut self, id: &str) -> bool {
        let mut hasher = FxHasher::default();
        id.hash(&mut hasher);
        let key = hasher.finish();
        if !self.known.insert(key) {
            return false;
        }
        self.order.push_back(key);
        if self.order.len() > REMEMBERED_EVENTS
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

/// The actor's state.
pub struct Alert {
    parts: AlertParts,
    said: Said,
    events: Vec<Arc<OutwardEvent>>,
    notices: Vec<Arc<CrashNotice>>,
    checkpoint: Option<u64>,
}

impl Alert {
    /// An Alert that has said nothing.
    #[must_use]
    pub fn new(parts: AlertParts) -> Self {
        Self {
            parts,
            said: Said::default(),
            events: Vec::new(),
            notices: Vec::new(),
            checkpoint: None,
        }
    }

    /// Hands in the state, and sends the number on behind everything that was to be stored.
    async fn hand_in(&mut self, number: u64) -> Result<(), StageError> {
        let kept = AlertKept { said: self.said.clone(), unsent: self.parts.publisher.unsent() };
        self.parts.checkpoints.arrived(number, Part::Alert, frozen(Part::Alert, kept));
        match &self.parts.recorder {
            Some(recorder) => recorder.send(Arc::new(StoreBatch::Checkpoint(number))).await?,
            None => self.parts.checkpoints.stored(number),
        }
        Ok(())
    }

    fn detection(&mut self, detection: &Detection, received_us: i64) {
        let event = Arc::new(OutwardEvent::from_detection(detection, received_us));
        if !self.said.is_new(&event.id) {
            return;
        }
        if event.kind == EventKind::Crash && detection.level >= Level::Warning {
            self.notices.push(Arc::new(CrashNotice {
                event_id: event.id.clone(),
                level: detection.level,
                symbol: detection.symbol,
                name: detection.name.clone(),
                price: detection.price,
                change_pct: detection.change_pct,
                score: detection.score,
                time: detection.time,
                event: Arc::clone(&event),
            }));
        }
        self.events.push(event);
    }
}

impl Stage for Alert {
    type In = ScoreBatch;
    type Snapshot = Said;
    const NAME: &'static str = "alert";

    fn handle(&mut self, batch: &Arc<ScoreBatch>, cursor: &Cursor) -> Result<(), StageError> {
        self.checkpoint = batch.checkpoint;
        for (index, detection) in batch.detections.iter().enumerate() {
            if cursor.enter(index) {
                self.detection(detection, batch.received_us);
            }
        }
        for (index, point) in batch.points.iter().enumerate() {
            if cursor.enter(batch.detections.len() + index) {
                let reference = self.parts.directory.reference(point.symbol);
                let event = OutwardEvent::from_risk(point, &reference.name, batch.received_us);
                self.events.push(Arc::new(event));
            }
        }
        if batch.muted {
            // Said before; now it is remembered again.
            self.discard();
        }
        Ok(())
    }

    async fn flush(&mut self, _idle: bool) -> Result<(), StageError> {
        let events = std::mem::take(&mut self.events);
        let kept: Vec<_> =
            events.iter().filter(|event| event.kind.is_kept()).map(Arc::clone).collect();
        self.parts.publisher.publish(events).await;
        for notice in std::mem::take(&mut self.notices) {
            if let Some(mitigator) = &self.parts.mitigator {
                mitigator.send(notice).await?;
            }
        }
        if let Some(recorder) = &self.parts.recorder
            && !kept.is_empty()
        {
            recorder.send(Arc::new(StoreBatch::Events(kept))).await?;
        }
        match self.checkpoint.take() {
            Some(number) => self.hand_in(number).await,
            None => Ok(()),
        }
    }

    fn discard(&mut self) {
        self.events.clear();
        self.notices.clear();
        self.checkpoint = None;
    }

    fn snapshot(&self) -> Said {
        self.said.clone()
    }

    fn restore(&mut self, snapshot: &Said) {
        self.said = snapshot.clone();
    }

    /// Events that waited through an outage are published as soon as Redis is back, not only when
    /// the next one is raised.
    fn wake_every(&self) -> Option<Duration> {
        Some(Duration::from_millis(250))
    }
}

//! The states of the pipeline's stages as they stand in a checkpoint.
//!
//! MessagePack with field names, so that fields may be left out when they are empty. A state is
//! read by the same build only that wrote it (see [`crate::journal::checkpoint`]), so there is no
//! versioning within.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::alert::Said;
use super::normalizer::NormalizerState;
use super::risk_scorer::ScorerState;
use crate::market::Reference;
use crate::messages::checkpoint::{Frozen, Part};
use crate::messages::{KeptEvent, Repair};

/// A state that becomes bytes when it is asked to.
pub fn frozen<T: Serialize + Send + 'static>(part: Part, state: T) -> Frozen {
    Box::new(move || {
        rmp_serde::to_vec_named(&state)
            .map_err(|error| format!("state of {}: {error}", part.as_str()))
    })
}

fn thawed<T: DeserializeOwned>(part: Part, bytes: &[u8]) -> Result<T, String> {
    rmp_serde::from_slice(bytes).map_err(|error| format!("state of {}: {error}", part.as_str()))
}

/// What the Normalizer hands in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NormalizerKept {
    /// Its own state.
    pub state: NormalizerState,
    /// What is known about the issues, in the order of their ids.
    pub references: Vec<Reference>,
    /// Minutes asked for by REST and not had yet.
    pub repairs: Vec<Repair>,
}

/// What Alert hands in.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AlertKept {
    /// What was said.
    pub said: Said,
    /// Events that Redis has not acknowledged, oldest first.
    pub unsent: Vec<KeptEvent>,
}

/// States of all stages as of one place in the journal.
#[derive(Debug, Clone)]
pub struct PipelineStates {
    /// The Normalizer's.
    pub normalizer: NormalizerKept,
    /// The RiskScorer's.
    pub scorer: ScorerState,
    /// Alert's.
    pub alert: AlertKept,
}

impl PipelineStates {
    /// Out of the parts of a checkpoint, in the order of [`Part::ALL`].
    ///
    /// # Errors
    /// Which state cannot be read, and why.
    pub fn thaw(parts: &[Vec<u8>; 3]) -> Result<Self, String> {
        let [normalizer, scorer, alert] = parts;
        Ok(Self {
            normalizer: thawed(Part::Normalizer, normalizer)?,
            scorer: thawed(Part::Scorer, scorer)?,
            alert: thawed(Part::Alert, alert)?,
        })
    }
}

/// What is not tied to the build that wrote it: minutes to be asked for, and events that Redis had
/// not acknowledged. Nothing where it cannot be read.
pub fn leftover(parts: &[Vec<u8>; 3]) -> (Vec<Repair>, Vec<KeptEvent>) {
    #[derive(Deserialize)]
    struct Asked {
        repairs: Vec<Repair>,
    }
    #[derive(Deserialize)]
    struct Waiting {
        unsent: Vec<KeptEvent>,
    }
    let repairs = thawed::<Asked>(Part::Normalizer, &parts[0]).map(|asked| asked.repairs);
    let unsent = thawed::<Waiting>(Part::Alert, &parts[2]).map(|waiting| waiting.unsent);
    for why in [repairs.as_ref().err(), unsent.as_ref().err()].into_iter().flatten() {
        tracing::warn!(why, "what a checkpoint of another build left over cannot be read");
    }
    (repairs.unwrap_or_default(), unsent.unwrap_or_default())
}

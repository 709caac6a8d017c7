//! `models.json`: what is said of every version, and which one is in use.

use serde::{Deserialize, Serialize};

use crate::market::{EventTime, ModelId};
use crate::messages::ModelVersion;

/// Its key in the bucket `models`.
pub const INDEX: &str = "models.json";
/// Version of its form.
const FORMAT: u32 = 1;

/// A list that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "models/{INDEX} is damaged: {what}; the daemons keep the model they have. Put back a good one from \
     a backup, or remove the object and train anew (bongsu train)"
)]
pub struct IndexError {
    what: String,
}

impl IndexError {
    /// Damaged in this way.
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into() }
    }
}

/// The list, newest version first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ModelIndex {
    format: u32,
    models: Vec<ModelVersion>,
}

impl ModelIndex {
    /// The list in the bytes of `models.json`.
    ///
    /// # Errors
    /// [`IndexError`] when it is none, is of another form, names a version twice or has two in use.
    pub fn parse(bytes: &[u8]) -> Result<Self, IndexError> {
        let index: Self =
            serde_json::from_slice(bytes).map_err(|error| IndexError::new(error.to_string()))?;
        if index.format != FORMAT {
            let found = index.format;
            return Err(IndexError::new(format!("its format is {found}, expected {FORMAT}")));
        }
        for pair in index.models.windows(2) {
            if pair[0].id <= pair[1].id {
                let (first, second) = (pair[0].id, pair[1].id);
                return Err(IndexError::new(format!("{second} stands behind {first}")));
            }
        }
        let active = index.models.iter().filter(|version| version.active).count();
        if active > 1 {
            return Err(IndexError::new(format!(
                "{active} versions are in use, at most one can be"
            )));
        }
        Ok(index)
    }

    /// As the bytes of `models.json`.
    ///
    /// # Errors
    /// None that can happen: texts and finite numbers in structs.
    pub fn text(&self) -> Result<Vec<u8>, IndexError> {
        let stamped = Self { format: FORMAT, models: self.models.clone() };
        serde_json::to_vec_pretty(&stamped).map_err(|error| IndexError::new(error.to_string()))
    }

    /// The versions, newest first.
    #[must_use]
    pub fn versions(&self) -> &[ModelVersion] {
        &self.models
    }

    /// Their names, newest first.
    #[must_use]
    pub fn ids(&self) -> Vec<ModelId> {
        self.models.iter().map(|version| version.id).collect()
    }

    /// The version of this name.
    #[must_use]
    pub fn find(&self, id: ModelId) -> Option<&ModelVersion> {
        self.models.iter().find(|version| version.id == id)
    }

    /// The one in use.
    #[must_use]
    pub fn active(&self) -> Option<&ModelVersion> {
        self.models.iter().find(|version| version.active)
    }

    /// Adds a version in its place; one of the same name is replaced. An active one puts all others out
    /// of use.
    pub(super) fn add(&mut self, version: ModelVersion) {
        if version.active {
            self.models.iter_mut().for_each(|other| other.active = false);
        }
        self.models.retain(|other| other.id != version.id);
        let place = self.models.partition_point(|other| other.id > version.id);
        self.models.insert(place, version);
    }

    /// Puts a version to use and all others out of it; `false` when there is no such version.
    pub(super) fn activate(&mut self, id: ModelId, at: EventTime, note: Option<&str>) -> bool {
        if self.find(id).is_none() {
            return false;
        }
        for version in &mut self.models {
            version.active = version.id == id;
            if version.active {
                version.activated_at = Some(at);
                if let Some(note) = note {
                    note.clone_into(&mut version.note);
                }
            }
        }
        true
    }
}

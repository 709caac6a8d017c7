//! The registry of fitted models: every version ever made, and which one is in use.
//!
//! ```text
//! models/20260105T090000Z/model.json   a version's document, never changed
//! models/models.json                   the list: what is said of each version, and which is active
//! ```
//!
//! In: a document and what is said of it. Out: the list, a document by its version. The same over a
//! folder and an S3 service ([`Objects`]).
//!
//! **Order.** A document is stored and read back before the list names it: what the list names is
//! there. A process that dies in between leaves a document that no list names; nothing reads it.
//!
//! **Two writers at once.** The list is changed by reading it, changing it and storing it on condition
//! that it is what was read ([`Objects::put_if`]); who comes second reads anew. In a folder, and with a
//! service that knows conditional puts (S3, MinIO, SeaweedFS), no entry is lost. A service that does
//! not know them is found out after the fact: the list is read back until the change stands in it
//! twice, half a second apart, and is made again when it does not. Two writers who are both within that half
//! second can still lose one entry there; its document stays.
//!
//! **Damage.** A list that cannot be read is refused with its place and the reason, and so is a
//! document whose bytes are not those that were registered. Nothing is repaired by guessing: see
//! `docs/models.md`.
//!
//! **Limits:** some thousand versions: the list is read as a whole.

mod index;
mod rows;

use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

pub use index::{INDEX, IndexError, ModelIndex};
pub use rows::{newest_evaluation, write_evaluation, write_versions};

use super::objects::{About, Bucket, Key, ObjectError, Objects, Tag};
use crate::market::{EventTime, ModelId};
use crate::messages::ModelVersion;

/// How often a change of the list is made anew because another process was faster.
const TRIES: u32 = 20;
/// Between two looks at whether a change stays, where the service does not keep two writers apart.
const SETTLE: Duration = Duration::from_millis(500);

/// What can go wrong with the registry.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The object store.
    #[error("model registry: {0}")]
    Object(#[from] ObjectError),
    /// The list is not one.
    #[error("model registry: {0}")]
    Index(#[from] IndexError),
    /// There is no such version.
    #[error("model registry: there is no version {id}; {}", names(.known))]
    Unknown {
        /// What was asked for.
        id: ModelId,
        /// Those there are, newest first.
        known: Vec<ModelId>,
    },
    /// A document is not the one that was registered.
    #[error(
        "model registry: models/{id}/model.json is not what was registered: {what}; activate another \
         version (bongsu models list), or restore the object from a backup"
    )]
    Damaged {
        /// Version.
        id: ModelId,
        /// How it shows.
        what: String,
    },
    /// Others change the list all the time.
    #[error(
        "model registry: other processes changed models/models.json {TRIES} times in a row; try it again"
    )]
    Busy,
}

fn names(known: &[ModelId]) -> String {
    if known.is_empty() {
        return "no version is registered yet: bongsu train makes one".to_owned();
    }
    let names: Vec<String> = known.iter().take(20).map(ToString::to_string).collect();
    let more = if known.len() > 20 { ", …" } else { "" };
    format!("known: {}{more}", names.join(", "))
}

/// The registry over an object store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ModelRegistry {
    objects: Objects,
    settle: Duration,
}

/// SHA-256 as it stands in the list.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

impl ModelRegistry {
    /// The registry in `objects`.
    #[must_use]
    pub const fn new(objects: Objects) -> Self {
        Self { objects, settle: SETTLE }
    }

    /// Where it is, for people; without credentials.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}/{}", self.objects.place(), Bucket::Models.as_str())
    }

    /// Whether versions can be stored, before there is one.
    ///
    /// # Errors
    /// Why not.
    pub async fn probe(&self) -> Result<(), RegistryError> {
        Ok(self.objects.probe().await?)
    }

    /// The list; empty where nothing was ever registered.
    ///
    /// # Errors
    /// When the store cannot be read, or the list is damaged.
    pub async fn index(&self) -> Result<ModelIndex, RegistryError> {
        Ok(self.read().await?.0)
    }

    /// The document of a version.
    ///
    /// # Errors
    /// [`RegistryError::Damaged`] when it is not the one that was registered, and as [`Self::index`].
    pub async fn document(&self, version: &ModelVersion) -> Result<Bytes, RegistryError> {
        let damaged = |what: String| RegistryError::Damaged { id: version.id, what };
        let object = match self.objects.get(Bucket::Models, &document_key(version)?, None).await {
            Ok(object) => object,
            Err(ObjectError::Missing { .. }) => return Err(damaged("it is not there".to_owned())),
            Err(ObjectError::Damaged { what, .. }) => return Err(damaged(what)),
            Err(error) => return Err(error.into()),
        };
        let found = sha256(&object.bytes);
        if found != version.model_sha256 {
            let registered = &version.model_sha256;
            return Err(damaged(format!("its SHA-256 is {found}, registered was {registered}")));
        }
        Ok(object.bytes)
    }

    /// Registers a document under a name that is free: that of `version`, or of a later second when it
    /// is taken. With `version.active` it is put to use at once. Returns the entry as it stands in the
    /// list.
    ///
    /// # Errors
    /// When it cannot be stored; then no list names it.
    pub async fn register(
        &self,
        mut version: ModelVersion,
        document: Bytes,
    ) -> Result<ModelVersion, RegistryError> {
        version.model_sha256 = sha256(&document);
        self.store_document(&mut version, document).await?;
        let entry = version.clone();
        self.change(
            move |index| {
                index.add(entry.clone());
                Ok(())
            },
            |index| {
                let found = index.find(version.id);
                found.is_some_and(|entry| entry.model_sha256 == version.model_sha256)
            },
        )
        .await?;
        Ok(version)
    }

    /// Puts a version to use, and all others out of it; `note` is kept with it. The version that was in
    /// use before.
    ///
    /// # Errors
    /// [`RegistryError::Unknown`] with those known; [`RegistryError::Damaged`] when its document is not
    /// as registered: a version that cannot be loaded is not put to use.
    pub async fn activate(
        &self,
        id: ModelId,
        at: EventTime,
        note: Option<&str>,
    ) -> Result<Option<ModelId>, RegistryError> {
        let index = self.index().await?;
        let Some(version) = index.find(id) else {
            return Err(RegistryError::Unknown { id, known: index.ids() });
        };
        self.document(version).await?;
        let before = index.active().map(|version| version.id);
        self.change(
            |index| match index.activate(id, at, note) {
                true => Ok(()),
                false => Err(RegistryError::Unknown { id, known: index.ids() }),
            },
            // Somebody may have activated another one since.
            |index| index.find(id).is_some_and(|version| version.activated_at == Some(at)),
        )
        .await?;
        Ok(before)
    }

    /// Stores the document under the first free name, and reads it back.
    async fn store_document(
        &self,
        version: &mut ModelVersion,
        document: Bytes,
    ) -> Result<(), RegistryError> {
        loop {
            let key = document_key(version)?;
            let about = About::of("application/json").with("kind", version.kind.as_str());
            let put = self.objects.put_if(Bucket::Models, &key, document.clone(), about, None);
            match put.await {
                Ok(_) => break,
                Err(ObjectError::Changed { .. }) => {
                    // The name of the year 9999's last second has none behind it.
                    version.id = version.id.next().ok_or(RegistryError::Busy)?;
                    version.created_at = version.id.time();
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.document(version).await.map(drop)
    }

    async fn read(&self) -> Result<(ModelIndex, Option<Tag>), RegistryError> {
        match self.objects.get(Bucket::Models, &index_key()?, None).await {
            Ok(object) => Ok((ModelIndex::parse(&object.bytes)?, Some(object.tag))),
            Err(ObjectError::Missing { .. }) => Ok((ModelIndex::default(), None)),
            Err(ObjectError::Damaged { what, .. }) => Err(IndexError::new(what).into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Changes the list, until the change stands in it.
    async fn change(
        &self,
        change: impl Fn(&mut ModelIndex) -> Result<(), RegistryError>,
        stands: impl Fn(&ModelIndex) -> bool,
    ) -> Result<(), RegistryError> {
        for tried in 0..TRIES {
            let (mut index, tag) = self.read().await?;
            change(&mut index)?;
            let about = About::of("application/json");
            let bytes = Bytes::from(index.text()?);
            let key = index_key()?;
            match self.objects.put_if(Bucket::Models, &key, bytes, about, tag.as_ref()).await {
                Ok(_) if self.stays(&stands).await? => return Ok(()),
                Ok(_) | Err(ObjectError::Changed { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            // Two that met must not meet again in step.
            let pause = Duration::from_millis(10 << tried.min(6));
            tokio::time::sleep(pause.mul_f64(0.5 + 0.5 * super::chance())).await;
        }
        Err(RegistryError::Busy)
    }

    /// Whether a change that was stored is still there after a while. A folder needs no second look: it
    /// keeps its word.
    async fn stays(&self, stands: &impl Fn(&ModelIndex) -> bool) -> Result<bool, RegistryError> {
        if matches!(self.objects, Objects::Local(_)) {
            return Ok(true);
        }
        for _ in 0..2 {
            if !stands(&self.read().await?.0) {
                return Ok(false);
            }
            tokio::time::sleep(self.settle).await;
        }
        Ok(stands(&self.read().await?.0))
    }
}

fn index_key() -> Result<Key, ObjectError> {
    INDEX.parse()
}

fn document_key(version: &ModelVersion) -> Result<Key, ObjectError> {
    version.object_key().parse()
}

#[cfg(test)]
mod tests;

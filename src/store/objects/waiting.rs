//! What waits for a service that is away: objects in a folder of this machine, until they are where
//! they belong.
//!
//! In: an object that the service did not take. Out: the same into the service, oldest key first, when
//! it is back; removed here only after it was read back there. **Limit:** so many bytes; what does not
//! fit is refused, with the service's own reason. Several processes may use one folder.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::{About, Bucket, Key, LocalObjects, ObjectError, Objects, S3Objects};

/// Bytes that may wait: some 100,000 raw answers.
const MAX_BYTES: u64 = 1 << 30;
/// Objects forwarded in one go.
const BATCH: usize = 200;

/// Where an object went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Into the store.
    Stored,
    /// The service is away or refuses: it waits on this machine, and follows later.
    Waiting,
}

/// A folder of objects that wait. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    folder: LocalObjects,
    /// Bytes in it, about: those of other processes are counted at the start alone.
    bytes: Arc<AtomicU64>,
}

impl Waiting {
    /// What waits in `root`.
    pub fn new(root: PathBuf) -> Self {
        let folder = LocalObjects::new(root);
        let bytes = Arc::new(AtomicU64::new(folder.bytes()));
        Self { folder, bytes }
    }

    async fn keep(
        &self,
        bucket: Bucket,
        key: &Key,
        bytes: Bytes,
        about: About,
    ) -> Result<bool, ObjectError> {
        let size = bytes.len() as u64;
        if self.bytes.load(Ordering::Relaxed).saturating_add(size) > MAX_BYTES {
            return Ok(false);
        }
        self.folder.put(bucket, key, bytes, about).await?;
        self.bytes.fetch_add(size, Ordering::Relaxed);
        Ok(true)
    }

    /// Sends what waits; how many objects were sent.
    async fn forward(&self, to: &S3Objects) -> Result<usize, ObjectError> {
        let mut sent = 0;
        for bucket in Bucket::ALL {
            for key in self.folder.list(bucket, "", None, BATCH).await? {
                let object = self.folder.get(bucket, &key, None).await?;
                let there = |found: Result<super::Object, ObjectError>| match found {
                    Ok(found) => Ok(found.bytes == object.bytes),
                    Err(ObjectError::Missing { .. } | ObjectError::Damaged { .. }) => Ok(false),
                    Err(error) => Err(error),
                };
                // An earlier try may have lost the acknowledgement alone.
                if !there(to.get(bucket, &key, None).await)? {
                    to.put(bucket, &key, object.bytes.clone(), object.about.clone()).await?;
                    if !there(to.get(bucket, &key, None).await)? {
                        return Err(ObjectError::Damaged {
                            bucket: bucket.as_str(),
                            key: key.to_string(),
                            what: "what was sent is not what is read back".to_owned(),
                        });
                    }
                }
                self.folder.remove(bucket, &key, &object.version).await?;
                let size = object.bytes.len() as u64;
                let left = |bytes: u64| Some(bytes.saturating_sub(size));
                // The closure always gives a value.
                let _ = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left);
                sent += 1;
            }
        }
        Ok(sent)
    }
}

impl Objects {
    /// As [`put`](Self::put), but what a service does not take waits on this machine, where the store
    /// was told to keep it, until [`forward`](Self::forward).
    ///
    /// # Errors
    /// Why it is in neither place.
    pub async fn put_or_keep(
        &self,
        bucket: Bucket,
        key: &Key,
        bytes: Bytes,
        about: About,
    ) -> Result<Kept, ObjectError> {
        let failed = match self.put(bucket, key, bytes.clone(), about.clone()).await {
            Ok(_) => return Ok(Kept::Stored),
            Err(error) => error,
        };
        match (self, &failed) {
            (Self::S3(s3), ObjectError::Away { .. } | ObjectError::Refused { .. }) => {
                let Some(waiting) = s3.waiting() else { return Err(failed) };
                match waiting.keep(bucket, key, bytes, about).await? {
                    true => Ok(Kept::Waiting),
                    false => Err(failed),
                }
            }
            _ => Err(failed),
        }
    }

    /// Sends what waits, a batch at most; how many objects were sent.
    ///
    /// # Errors
    /// Why it goes on waiting.
    pub async fn forward(&self) -> Result<usize, ObjectError> {
        match self {
            Self::Local(_) => Ok(0),
            Self::S3(s3) => match s3.waiting() {
                Some(waiting) => waiting.forward(s3).await,
                None => Ok(0),
            },
        }
    }

    /// Bytes that wait on this machine.
    #[must_use]
    pub fn waiting_bytes(&self) -> u64 {
        match self {
            Self::Local(_) => 0,
            Self::S3(s3) => s3.waiting().map_or(0, |waiting| waiting.bytes.load(Ordering::Relaxed)),
        }
    }
}

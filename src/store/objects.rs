//! The object store: raw answers, models, prompts, reports and backups by bucket and key.
//!
//! In: bytes with a content type and a few words about them. Out: the same, newest version or any
//! older one. [`Objects`] is what the rest of the program holds; behind it stands a folder of this
//! machine ([`LocalObjects`]) or an S3 service ([`S3Objects`]). A put is whole or has not happened,
//! also across a crash, and what was acknowledged is on the disk, or as safe as the service keeps it.
//!
//! A put can be made to depend on what lies there ([`Objects::put_if`]), so that two who change one
//! object do not lose each other's change.
//!
//! Keys are `/`-separated segments of plain ASCII ([`Key`]), a subset of what S3 takes, so that no
//! key can leave its bucket's folder. In a [versioned](Bucket::is_versioned) bucket nothing is ever
//! overwritten; in the others a put replaces.
//!
//! Failures are [`ObjectError`]s that name the object. An object whose bytes are not those that were
//! put is refused, not handed out.

mod breaker;
pub mod buckets;
mod key;
mod local;
mod s3;
mod waiting;

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use breaker::BreakerLimits;
pub use key::Key;
pub use local::LocalObjects;
pub use s3::{S3Objects, S3Options};
pub use waiting::Kept;

/// Where an object lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bucket {
    /// Recordings and raw answers; versioned.
    RawData,
    /// Fitted models.
    Models,
    /// What a language model was asked, masked.
    Prompts,
    /// Finished reports.
    Reports,
    /// Backups.
    Backups,
}

impl Bucket {
    /// All buckets.
    pub const ALL: [Self; 5] =
        [Self::RawData, Self::Models, Self::Prompts, Self::Reports, Self::Backups];

    /// Its name in every store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RawData => "raw-data",
            Self::Models => "models",
            Self::Prompts => "prompts",
            Self::Reports => "reports",
            Self::Backups => "backups",
        }
    }

    /// Whether every version stays addressable.
    #[must_use]
    pub const fn is_versioned(self) -> bool {
        matches!(self, Self::RawData)
    }
}

/// One state of an object. In a local folder later versions sort behind earlier ones; an S3 service
/// names them as it likes, and every state of a bucket without versions `null`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version(String);

impl Version {
    /// The text that names it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Version {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// What is said about an object.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct About {
    /// MIME type, for example `application/zstd`.
    pub content_type: String,
    /// Short words by name.
    pub metadata: BTreeMap<String, String>,
}

impl About {
    /// A content type alone.
    #[must_use]
    pub fn of(content_type: &str) -> Self {
        Self { content_type: content_type.to_owned(), metadata: BTreeMap::new() }
    }

    /// With a word about it.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.metadata.insert(name.to_owned(), value.into());
        self
    }
}

/// An object that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Which version it is.
    pub version: Version,
    /// What was said about it.
    pub about: About,
    /// What names this state of the object among all it ever had; for [`Objects::put_if`].
    pub tag: Tag,
    /// Its bytes.
    pub bytes: Bytes,
}

/// What names one state of an object, as the store does: a number in a folder, an `ETag` of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag(String);

/// What can go wrong with an object.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// A key that no object can have.
    #[error(
        "\"{key}\" is no object key: {reason}; expected for example kis/rest/dt=2024-08-05/x.json.zst"
    )]
    Key {
        /// The key, its beginning when it is long.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no such object, or no such version of it.
    #[error("there is no object {bucket}/{key}{}", .version.as_ref().map_or_else(String::new, |version| format!(" in version {version}")))]
    Missing {
        /// Bucket.
        bucket: &'static str,
        /// Key.
        key: String,
        /// The version asked for, when one was.
        version: Option<String>,
    },
    /// What lies there is not what was put.
    #[error(
        "the object {bucket}/{key} is damaged: {what}; restore it from a backup, or put it again"
    )]
    Damaged {
        /// Bucket.
        bucket: &'static str,
        /// Key.
        key: String,
        /// How it shows.
        what: String,
    },
    /// It is not, or no longer, what a conditional put was made for: nothing was stored.
    #[error("the object {bucket}/{key} has been changed by another process; read it again")]
    Changed {
        /// Bucket.
        bucket: &'static str,
        /// Key.
        key: String,
    },
    /// The folder cannot be read or written.
    #[error("cannot {action} {}: {source}; check who may write there and whether the disk is full", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The service cannot be reached, does not answer in time, or cannot serve now.
    #[error("the object store {endpoint} is away: {cause}")]
    Away {
        /// Where it is, without credentials.
        endpoint: String,
        /// How it shows.
        cause: String,
    },
    /// The service answers, and says no.
    #[error("the object store {endpoint} refuses to {what}: {code}; {advice}")]
    Refused {
        /// Where it is, without credentials.
        endpoint: String,
        /// What was asked of it.
        what: String,
        /// Its code, in lower case.
        code: String,
        /// What to do.
        advice: String,
        /// Whether the key is not let in at all.
        credentials: bool,
    },
    /// A setting with which the service cannot be asked.
    #[error("{setting} cannot be used: {reason}")]
    Setting {
        /// The setting's key.
        setting: &'static str,
        /// What is wrong with its value.
        reason: String,
    },
    /// The work was cut off because the process ends.
    #[error("the object store was cut off while the process ends")]
    CutOff,
}

/// The object store in use. Cheap to clone.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Objects {
    /// A folder of this machine.
    Local(LocalObjects),
    /// An S3 service.
    S3(S3Objects),
}

impl Objects {
    /// Stores `bytes`; acknowledged when they are on the disk.
    ///
    /// # Errors
    /// [`ObjectError::Io`], [`ObjectError::Away`] or [`ObjectError::Refused`] when they cannot be
    /// stored: then nothing changed, unless only the acknowledgement was lost.
    pub async fn put(
        &self,
        bucket: Bucket,
        key: &Key,
        bytes: Bytes,
        about: About,
    ) -> Result<Version, ObjectError> {
        match self {
            Self::Local(local) => local.put(bucket, key, bytes, about).await,
            Self::S3(s3) => s3.put(bucket, key, bytes, about).await,
        }
    }

    /// As [`put`](Self::put), but only when the object is in the state `expected`; `None`: when there
    /// is none.
    ///
    /// A folder keeps its word among all processes of the machine. A service keeps it when it knows
    /// `If-Match` and `If-None-Match` (S3, MinIO, SeaweedFS do); one that does not know them stores
    /// without looking, so that whoever must not lose anything reads afterwards what lies there.
    ///
    /// # Errors
    /// [`ObjectError::Changed`] when it is in another state; else as [`put`](Self::put).
    pub async fn put_if(
        &self,
        bucket: Bucket,
        key: &Key,
        bytes: Bytes,
        about: About,
        expected: Option<&Tag>,
    ) -> Result<Version, ObjectError> {
        match self {
            Self::Local(local) => local.put_if(bucket, key, bytes, about, expected).await,
            Self::S3(s3) => s3.put_if(bucket, key, bytes, about, expected).await,
        }
    }

    /// The object in this version; without one, in its newest.
    ///
    /// # Errors
    /// [`ObjectError::Missing`], [`ObjectError::Damaged`], or why the store cannot be read.
    pub async fn get(
        &self,
        bucket: Bucket,
        key: &Key,
        version: Option<&Version>,
    ) -> Result<Object, ObjectError> {
        match self {
            Self::Local(local) => local.get(bucket, key, version).await,
            Self::S3(s3) => s3.get(bucket, key, version).await,
        }
    }

    /// Keys that begin with `prefix`, sorted, at most `limit` of them behind `after`.
    ///
    /// # Errors
    /// Why the store cannot be read.
    pub async fn list(
        &self,
        bucket: Bucket,
        prefix: &str,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Key>, ObjectError> {
        match self {
            Self::Local(local) => local.list(bucket, prefix, after, limit).await,
            Self::S3(s3) => s3.list(bucket, prefix, after, limit).await,
        }
    }

    /// The versions of an object, newest first; none when there is no such object.
    ///
    /// # Errors
    /// Why the store cannot be read.
    pub async fn versions(&self, bucket: Bucket, key: &Key) -> Result<Vec<Version>, ObjectError> {
        match self {
            Self::Local(local) => local.versions(bucket, key).await,
            Self::S3(s3) => s3.versions(bucket, key).await,
        }
    }

    /// Whether objects can be read and written now, without leaving any.
    ///
    /// # Errors
    /// Why not.
    pub async fn probe(&self) -> Result<(), ObjectError> {
        match self {
            Self::Local(local) => local.probe().await,
            Self::S3(s3) => s3.probe().await,
        }
    }

    /// Where it is, for people; without credentials.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Self::Local(local) => local.root().display().to_string(),
            Self::S3(s3) => s3.endpoint().to_owned(),
        }
    }
}

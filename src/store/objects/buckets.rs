//! What buckets should be like, and how they are found.
//!
//! [`Wishes`] say what is wanted; a [`Finding`] says of one bucket and feature how it stands. Nothing
//! that an operator has set is changed: only what is absent is added, and what differs is told.

use std::fmt;

use super::{ObjectError, Objects};

/// What buckets should be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wishes {
    /// Days after which the service removes archived frames and ticks; `None`: never.
    pub archive_days: Option<u32>,
}

/// A property of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// It is there.
    Existence,
    /// Older versions stay.
    Versioning,
    /// What is stored is encrypted by the service.
    Encryption,
    /// When the service removes objects.
    Lifecycle,
    /// Who may do what.
    Policy,
}

impl Feature {
    /// As in texts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Existence => "bucket",
            Self::Versioning => "versioning",
            Self::Encryption => "default encryption",
            Self::Lifecycle => "lifecycle",
            Self::Policy => "policy",
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a feature of a bucket stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// As it should be.
    Good,
    /// Was absent and has just been set, and was read back.
    Made,
    /// Absent; the next start of the daemon sets it.
    Absent,
    /// Somebody has set it otherwise; left as it is.
    Kept(String),
    /// The service does not have it, or does not let us set it.
    Unsupported(String),
}

/// How one feature of one bucket was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Name of the bucket on the service.
    pub bucket: String,
    /// Which feature.
    pub feature: Feature,
    /// How it stands.
    pub standing: Standing,
}

impl Finding {
    /// Whether an operator should know.
    #[must_use]
    pub const fn is_warning(&self) -> bool {
        matches!(self.standing, Standing::Kept(_) | Standing::Unsupported(_))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bucket, feature, standing } = self;
        match standing {
            Standing::Good => write!(f, "{bucket}: {feature} is as it should be"),
            Standing::Made => write!(f, "{bucket}: {feature} was absent and is set now"),
            Standing::Absent => write!(f, "{bucket}: {feature} is absent"),
            Standing::Kept(what) => write!(f, "{bucket}: {feature} is left as it is: {what}"),
            Standing::Unsupported(why) => write!(f, "{bucket}: no {feature}: {why}"),
        }
    }
}

impl Objects {
    /// Makes what is absent of buckets and their features, and reads it back. A folder needs nothing.
    ///
    /// # Errors
    /// When the service is away, or refuses what objects cannot do without.
    pub async fn prepare(&self, wishes: &Wishes) -> Result<Vec<Finding>, ObjectError> {
        match self {
            Self::Local(_) => Ok(Vec::new()),
            Self::S3(s3) => s3.buckets(wishes, true).await,
        }
    }

    /// How buckets and their features are, without changing anything.
    ///
    /// # Errors
    /// When the service is away or lets this key do nothing.
    pub async fn inspect(&self, wishes: &Wishes) -> Result<Vec<Finding>, ObjectError> {
        match self {
            Self::Local(_) => Ok(Vec::new()),
            Self::S3(s3) => s3.buckets(wishes, false).await,
        }
    }
}

//! Why an actor ended.

use std::fmt;

/// Why a generation of an actor ended; the tree decides by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExitReason {
    /// It has done what it was started for, and nothing is left to do.
    Finished,
    /// It was asked to stop.
    Asked,
    /// What it sends to has been closed.
    DownstreamGone(&'static str),
    /// It returned an error, at start or at work.
    Failed(String),
    /// It failed in a way that no repetition helps: the tree ends.
    Fatal(String),
    /// It panicked.
    Panicked(String),
    /// It made no progress for longer than allowed and was fenced.
    Hung,
    /// Its thread vanished without a word.
    ThreadLost,
    /// A newer generation took its place before it could end.
    Fenced,
}

impl ExitReason {
    /// Whether the actor is to be replaced.
    #[must_use]
    pub const fn is_failure(&self) -> bool {
        !matches!(self, Self::Finished | Self::Asked | Self::Fenced)
    }

    /// Bounded name, for metrics and logs.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Asked => "asked",
            Self::DownstreamGone(_) => "downstream_gone",
            Self::Failed(_) => "failed",
            Self::Fatal(_) => "fatal",
            Self::Panicked(_) => "panicked",
            Self::Hung => "hung",
            Self::ThreadLost => "thread_lost",
            Self::Fenced => "fenced",
        }
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DownstreamGone(name) => write!(f, "downstream gone: {name}"),
            Self::Failed(why) => write!(f, "failed: {why}"),
            Self::Fatal(why) => f.write_str(why),
            Self::Panicked(why) => write!(f, "panicked: {why}"),
            _ => f.write_str(self.as_str()),
        }
    }
}

/// The text of a panic payload.
pub(super) fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic whose payload is not text".to_owned())
}

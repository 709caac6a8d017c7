//! The keys of a specification: names, values, meanings.

/// A key of a specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    At,
    After,
    Every,
    Chance,
    Times,
    For,
    Session,
    Owner,
    Symbol,
    Tr,
    Endpoint,
    Ms,
    Code,
    Reason,
    Frames,
    Form,
    On,
    FromStart,
    Any,
}

impl Key {
    pub const ALL: [Self; 19] = [
        Self::At,
        Self::After,
        Self::Every,
        Self::Chance,
        Self::Times,
        Self::For,
        Self::Session,
        Self::Owner,
        Self::Symbol,
        Self::Tr,
        Self::Endpoint,
        Self::Ms,
        Self::Code,
        Self::Reason,
        Self::Frames,
        Self::Form,
        Self::On,
        Self::FromStart,
        Self::Any,
    ];

    /// Name, what its value must be (empty: it takes none), and what it means.
    pub const fn about(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::At => ("at", "a Korean time of day, HH:MM:SS", "not before this event time"),
            Self::After => (
                "after",
                "a whole number",
                "not for the first N frames or registrations of a session, calls, connections; \
                 in-use: sessions",
            ),
            Self::Every => ("every", "a whole number above 0", "only every Nth"),
            Self::Chance => {
                ("p", "a number above 0, at most 1", "each with this chance, by the seed")
            }
            Self::Times => (
                "times",
                "a whole number above 0",
                "so often in all; once, unless every, p or for is given",
            ),
            Self::For => (
                "for",
                "seconds above 0 and up to 86400, for example 30s or 1.5s",
                "only for so long: event time for frames and sessions, wall time for the others",
            ),
            Self::Session => ("session", "a whole number above 0", "only in the Nth session"),
            Self::Owner => ("key", "a whole number above 0", "only for the Nth app key seen"),
            Self::Symbol => ("symbol", "an issue or sector code", "only for this issue or index"),
            Self::Tr => ("tr", "a TR ID", "only on this feed"),
            Self::Endpoint => ("endpoint", "the last part of a path", "only for this call"),
            Self::Ms => ("ms", "a whole number from 1 to 60000", "delay in milliseconds"),
            Self::Code => ("code", "letters and digits", "the code of the refusal or close"),
            Self::Reason => ("reason", "up to 120 characters", "the close frame's text"),
            Self::Frames => ("frames", "a whole number up to 10000", "so many frames later"),
            Self::Form => ("form", "text, binary or utf8", "what the rubbish is"),
            Self::On => ("on", "ws, rest or all", "which side is slow"),
            Self::FromStart => ("from-start", "", "from the acknowledgement on"),
            Self::Any => ("any", "", "frames of any issue count"),
        }
    }

    pub const fn name(self) -> &'static str {
        self.about().0
    }
}

/// What rubbish looks like.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rubbish {
    #[default]
    Text,
    Binary,
    /// A text frame whose bytes are not UTF-8.
    NotUtf8,
}

/// Which side is slow.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    #[default]
    Ws,
    Rest,
    All,
}

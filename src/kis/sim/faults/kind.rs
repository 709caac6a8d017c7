//! The kinds of faults: what each is called, what it strikes, which keys it takes.

use super::key::Key::{self, *};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// The session stays open and `PINGPONG` goes on, but no data comes.
    Mute,
    /// The session stays open and nothing at all comes.
    MuteAll,
    /// No `PINGPONG`.
    NoPing,
    /// A registration gets nothing any more, until it is asked for anew.
    DropSubscription,
    /// A registration is taken, but never acknowledged.
    NoAck,
    /// A registration is refused with a code.
    WrongAck,
    /// A session's first registration is refused with OPSP8996, which ends the session.
    InUse,
    /// The connection ends in the middle of a WebSocket frame.
    Cut,
    /// The connection ends without a close frame, which a client reports as 1006.
    Abnormal,
    /// The server closes with a close frame.
    Close,
    /// Every write of a session, or every answer of REST, comes late.
    Slow,
    /// Frames are held, then sent at once.
    Burst,
    /// The count of a frame's head is one too high.
    WrongCount,
    /// A frame of rubbish is inserted before a frame.
    Garbage,
    /// A frame's text ends half-way, in a well-formed WebSocket frame.
    Truncate,
    /// A frame comes twice.
    Duplicate,
    /// A frame comes after later ones.
    Reorder,
    /// A frame never comes.
    Lose,
    /// The approval key of a registration is unknown from now on: OPSP0011.
    ApprovalExpired,
    /// The token of a call has expired from now on: EGW00123.
    TokenExpired,
    /// The token of a call is unknown from now on: EGW00121.
    TokenInvalid,
    /// A call is answered with an error.
    Http,
    /// A call is never answered.
    HttpHang,
    /// The connection ends in the middle of an answer.
    HttpCut,
    /// A WebSocket upgrade is refused.
    RefuseConnect,
    /// Every call is answered with an HTML page and 403, every WebSocket connection is reset.
    Blocked,
    /// The acknowledgement of order notices carries another key than the one they are encrypted
    /// with.
    BadNoticeKey,
}

/// What a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Single frames of a session.
    Frame,
    /// A session, from a moment on.
    Session,
    /// A registration (`tr_type` 1) on its way in.
    Registration,
    /// A REST call.
    Call,
    /// A connection to the WebSocket's port.
    Connection,
}

/// A row of the table.
pub(crate) struct Kind {
    pub kind: FaultKind,
    pub name: &'static str,
    pub place: Place,
    /// Keys it takes; those of [`COMMON`] besides.
    pub keys: &'static [Key],
    /// For the help; starts small, no full stop.
    pub about: &'static str,
}

/// Keys that every kind takes.
pub(crate) const COMMON: &[Key] = &[At, After, Times];

const FRAME: &[Key] = &[Every, Chance, For, Session, Owner, Symbol, Tr];
const SESSION: &[Key] = &[For, Session, Owner];
const CALL: &[Key] = &[Every, Chance, For, Owner, Endpoint];

const fn row(
    kind: FaultKind,
    name: &'static str,
    place: Place,
    keys: &'static [Key],
    about: &'static str,
) -> Kind {
    Kind { kind, name, place, keys, about }
}

/// Every kind.
pub(crate) const KINDS: &[Kind] = &[
    row(FaultKind::Mute, "mute", Place::Session, SESSION, "no data; PINGPONG goes on"),
    row(FaultKind::MuteAll, "mute-all", Place::Session, SESSION, "nothing at all comes"),
    row(FaultKind::NoPing, "no-ping", Place::Session, SESSION, "no PINGPONG"),
    row(
        FaultKind::DropSubscription,
        "drop-subscription",
        Place::Frame,
        &[Every, Chance, For, Session, Owner, Symbol, Tr, FromStart],
        "a registration gets nothing any more until it is asked for anew; from-start: \
         acknowledged, never any data",
    ),
    row(FaultKind::NoAck, "no-ack", Place::Registration, FRAME, "taken, but not acknowledged"),
    row(
        FaultKind::WrongAck,
        "wrong-ack",
        Place::Registration,
        &[Every, Chance, For, Session, Owner, Symbol, Tr, Code],
        "a registration is refused; code=OPSP0007",
    ),
    row(
        FaultKind::InUse,
        "in-use",
        Place::Registration,
        &[For, Session, Owner],
        "OPSP8996 for a session's first registration, then the end of the session",
    ),
    row(FaultKind::Cut, "cut", Place::Frame, FRAME, "the connection ends within a frame"),
    row(FaultKind::Abnormal, "1006", Place::Frame, FRAME, "it ends without a close frame"),
    row(
        FaultKind::Close,
        "close",
        Place::Frame,
        &[Every, Chance, For, Session, Owner, Symbol, Tr, Code, Reason],
        "it ends with a close frame; code=1001,reason=server maintenance",
    ),
    row(
        FaultKind::Slow,
        "slow",
        Place::Session,
        &[For, Session, Owner, Endpoint, Ms, On],
        "every write comes late by ms=200; on=ws, rest or all",
    ),
    row(FaultKind::Burst, "burst", Place::Session, SESSION, "data held for the time, then at once"),
    row(FaultKind::WrongCount, "wrong-count", Place::Frame, FRAME, "the head's count is too high"),
    row(
        FaultKind::Garbage,
        "garbage",
        Place::Frame,
        &[Every, Chance, For, Session, Owner, Symbol, Tr, Form],
        "rubbish before a frame; form=text, binary or utf8 (text that is not UTF-8)",
    ),
    row(FaultKind::Truncate, "truncate", Place::Frame, FRAME, "a frame's text ends half-way"),
    row(
        FaultKind::Duplicate,
        "duplicate",
        Place::Frame,
        &[Every, Chance, For, Session, Owner, Symbol, Tr, Frames],
        "a frame comes again, frames=0 later frames of its issue in between",
    ),
    row(
        FaultKind::Reorder,
        "reorder",
        Place::Frame,
        &[Every, Chance, For, Session, Owner, Symbol, Tr, Frames, Any],
        "a frame comes after frames=1 later ones of its issue; any: of any issue",
    ),
    row(FaultKind::Lose, "lose", Place::Frame, FRAME, "a frame never comes"),
    row(
        FaultKind::ApprovalExpired,
        "approval-expired",
        Place::Registration,
        &[Every, Chance, For, Session, Owner],
        "OPSP0011 until a new approval key is asked for",
    ),
    row(
        FaultKind::TokenExpired,
        "token-expired",
        Place::Call,
        CALL,
        "EGW00123 until a new token is asked for",
    ),
    row(
        FaultKind::TokenInvalid,
        "token-invalid",
        Place::Call,
        CALL,
        "EGW00121 until a new token is asked for",
    ),
    row(
        FaultKind::Http,
        "http",
        Place::Call,
        &[Every, Chance, For, Owner, Endpoint, Code],
        "a call fails; code=500 (EGW00316), 503 (an HTML page), EGW00201 …",
    ),
    row(FaultKind::HttpHang, "http-hang", Place::Call, CALL, "a call is never answered"),
    row(FaultKind::HttpCut, "http-cut", Place::Call, CALL, "the connection ends within an answer"),
    row(
        FaultKind::RefuseConnect,
        "refuse-connect",
        Place::Connection,
        &[For, Code],
        "the WebSocket's upgrade is refused; code=503",
    ),
    row(
        FaultKind::Blocked,
        "blocked",
        Place::Connection,
        &[For],
        "403 and an HTML page for every call, resets for every WebSocket",
    ),
    row(
        FaultKind::BadNoticeKey,
        "bad-notice-key",
        Place::Registration,
        &[Every, Chance, For, Session, Owner],
        "order notices are acknowledged with a wrong key",
    ),
];

impl FaultKind {
    pub(crate) fn row(self) -> &'static Kind {
        KINDS
            .iter()
            .find(|row| row.kind == self)
            .expect("invariant: the table has every kind, as the tests check")
    }

    /// Its name in a specification.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    pub(crate) fn place(self) -> Place {
        self.row().place
    }
}

impl std::fmt::Display for FaultKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

//! Every capacity of the tree, with the arithmetic behind it.
//!
//! A message between hot stages is a batch of up to [`BATCH_FRAMES`] frames; a frame carries one
//! to twenty trades of about 260 bytes. An inbox of [`HOT_INBOX`] such batches therefore holds at
//! most 64 × 512 frames ≈ 32,768 frames (from the live feed about 16 MiB, for a batch ends at 256 KiB;
//! from a recording 64 MiB at most), and at 20,000 frames a second about 1.6 s of a storm: enough to
//! ride out a snapshot or a restart, little enough to be felt upstream soon.

/// Frames gathered from the socket into one message at most.
pub const BATCH_FRAMES: usize = 512;

/// Bytes of a recording gathered into one message at most; the live feed has a limit of its own.
pub const BATCH_BYTES: usize = 1 << 20;

/// Batches waiting before a hot stage; the sender waits when it is full, up to the socket.
pub const HOT_INBOX: usize = 64;

/// Messages waiting before the Recorder. Larger than a hot inbox, because a database commits in
/// lumps of some 100 ms; the sender waits when it is full.
pub const RECORDER_INBOX: usize = 256;

/// Requests waiting before a stage that advises. One a scenario or issue is enough: a newer
/// request for the same subject replaces the one that waits.
pub const ADVICE_INBOX: usize = 64;

/// Crashes that wait to be planned for and told: a storm in which half of the market falls at once
/// loses none of them.
pub const STORM_INBOX: usize = 1_024;

/// Events remembered by id to recognise a repetition. An event id is remembered as 8 bytes; a wild
/// day raises some thousands of crash and threat events, and risk events are not remembered.
pub const REMEMBERED_EVENTS: usize = 65_536;

/// Issues and index series that may be known. KRX lists some 4,300 shares, funds and notes; a feed
/// that names twice as many sends garbage, which is not to grow state without end.
pub const MAX_ISSUES: usize = 8_192;

/// Bytes of a payload that is kept with a reject; the store's own limit.
pub const REJECT_PAYLOAD: usize = 4_096;

/// Days whose forecasts are kept for scenarios. One of the whole market over eleven years is some 60 MiB,
/// and its bars, when it is not the newest day, as much again.
pub const SITUATIONS: usize = 2;

/// Daily bars of the database are read anew for scenarios after this time even when their number is the
/// same: a bar can be corrected in its place. Reading a million takes some seconds.
pub const REREAD: std::time::Duration = std::time::Duration::from_secs(600);

//! Faults of the data stream: from the frames a session should get to what it does get.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::market::EventTime;

use super::super::book::mix;
use super::super::feed::{Feed, FrameInfo};
use super::audit;
use super::key::{Rubbish, Side};
use super::kind::{FaultKind, Place};
use super::record::LostTrades;
use super::schedule::{Armed, Span, Target};
use super::wire::Wire;
use super::{DEFAULT_DELAY, Plan};

/// Frames that a burst holds at most; with more it bursts early.
const MOST_HELD: usize = 65_536;

/// A session as the faults see it.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    /// Ordinal of the session, from 1.
    pub number: u64,
    /// Ordinal of its app key, once it has registered something.
    pub app_key: Option<u64>,
    /// It has asked for a registration.
    pub asked: bool,
    /// Registrations that get nothing: by which fault, and until when.
    pub dropped: BTreeMap<(Feed, u32), (usize, Option<EventTime>)>,
    /// Frames that come later.
    held: Vec<Held>,
    /// Frames that a burst holds.
    burst: Vec<Wire>,
    /// It ends; nothing more is sent.
    pub over: bool,
}

/// A frame that waits for others to pass.
#[derive(Debug)]
struct Held {
    left: u64,
    /// Whose frames count; `None`: all.
    behind: Option<(Feed, u32)>,
    wire: Wire,
}

/// What lasts over a session right now.
#[derive(Debug, Default)]
struct Weather {
    mute: bool,
    delay: Option<Duration>,
    burst: bool,
}

impl Pipe {
    pub fn new(number: u64) -> Self {
        Self { number, ..Self::default() }
    }

    fn emit(&mut self, wire: Wire, weather: &Weather, out: &mut Vec<Wire>) {
        if weather.burst && self.burst.len() < MOST_HELD {
            self.burst.push(wire);
            return;
        }
        out.append(&mut self.burst);
        out.extend(weather.delay.map(Wire::Pause));
        out.push(wire);
    }

    /// What is held, at the end of the day.
    pub fn release(&mut self, out: &mut Vec<Wire>) {
        out.append(&mut self.burst);
        out.extend(self.held.drain(..).map(|held| held.wire));
    }

    /// A frame has passed: those that waited for it follow.
    fn passed(&mut self, key: (Feed, u32), weather: &Weather, out: &mut Vec<Wire>) {
        if self.held.is_empty() {
            return;
        }
        for held in &mut self.held {
            if held.behind.is_none_or(|behind| behind == key) {
                held.left = held.left.saturating_sub(1);
            }
        }
        let (due, waiting) = self.held.drain(..).partition(|held| held.left == 0);
        self.held = waiting;
        let due: Vec<Held> = due;
        for held in due {
            self.emit(held.wire, weather, out);
        }
    }
}

impl Plan {
    /// Sends one frame of the session through the faults.
    pub fn frame(
        &mut self,
        pipe: &mut Pipe,
        info: &FrameInfo,
        text: Utf8Bytes,
        trades: Range<usize>,
        out: &mut Vec<Wire>,
    ) {
        let target = Target {
            session: pipe.number,
            app_key: pipe.app_key,
            symbol: Some(info.symbol),
            name: info.feed.tr_id(),
            now: info.at,
        };
        let weather = self.weather(&target, true);
        let key = (info.feed, info.key);
        if weather.mute || pipe.over || self.is_dropped(pipe, key, info.at) {
            return;
        }
        let struck = self.armed.iter_mut().enumerate().find_map(|(index, armed)| {
            let single = armed.spec.kind.place() == Place::Frame && !armed.spec.from_start;
            let ordinal = single.then(|| armed.strikes(&target))??;
            Some((index, ordinal))
        });
        match struck {
            None => pipe.emit(Wire::Intact(text, trades), &weather, out),
            Some((index, ordinal)) => {
                let armed = &self.armed[index];
                let kind = armed.spec.kind;
                let intact =
                    matches!(kind, FaultKind::Garbage | FaultKind::Duplicate | FaultKind::Reorder);
                let lost = if intact {
                    None
                } else {
                    LostTrades::of(&audit::trades(&text, info.at.session_day()))
                };
                let word = armed.word(pipe.number, ordinal);
                let frame = Wire::Intact(text.clone(), trades);
                let strike =
                    Strike { armed, index, word, text, frame, key, until: armed.until(&target) };
                let (detail, stays) = strike.apply(pipe, &weather, out);
                self.log.add(kind, &target, ordinal, detail, lost);
                if !stays {
                    return;
                }
            }
        }
        pipe.passed(key, &weather, out);
    }

    /// Frames that a burst no longer holds at `now`.
    pub fn after_batch(&mut self, pipe: &mut Pipe, now: EventTime, out: &mut Vec<Wire>) {
        if !pipe.burst.is_empty() {
            let target =
                Target { session: pipe.number, app_key: pipe.app_key, symbol: None, name: "", now };
            if pipe.over || !self.weather(&target, false).burst {
                out.append(&mut pipe.burst);
            }
        }
    }

    /// What lasts over the session. `counts`: a frame passes.
    fn weather(&mut self, target: &Target<'_>, counts: bool) -> Weather {
        let mut weather = Weather::default();
        for armed in &mut self.armed {
            let kind = armed.spec.kind;
            if kind.place() != Place::Session || armed.spec.side == Side::Rest {
                continue;
            }
            let span = armed.span(target, counts);
            if let Span::Begins(ordinal) = span {
                let detail = begins(armed);
                self.log.add(
                    kind,
                    &Target { symbol: None, name: "", ..*target },
                    ordinal,
                    detail,
                    None,
                );
            }
            if span == Span::Off {
                continue;
            }
            match kind {
                FaultKind::Mute | FaultKind::MuteAll => weather.mute = true,
                FaultKind::Burst => weather.burst = true,
                FaultKind::Slow => {
                    let delay = delay(armed);
                    weather.delay = Some(weather.delay.map_or(delay, |other| other + delay));
                }
                _ => {}
            }
        }
        weather
    }

    /// Whether a registration gets nothing at `now`.
    fn is_dropped(&mut self, pipe: &mut Pipe, key: (Feed, u32), now: EventTime) -> bool {
        let Some(&(index, until)) = pipe.dropped.get(&key) else { return false };
        if until.is_some_and(|until| now >= until) {
            pipe.dropped.remove(&key);
            return false;
        }
        self.armed[index].struck += 1;
        true
    }

    /// Whether `kinds` are in force over the session when something else than a frame is due.
    pub fn lasts(&mut self, target: &Target<'_>, kinds: &[FaultKind]) -> bool {
        let mut on = false;
        for armed in &mut self.armed {
            if kinds.contains(&armed.spec.kind) && armed.spec.side != Side::Rest {
                let span = armed.span(target, false);
                if let Span::Begins(ordinal) = span {
                    let (kind, detail) = (armed.spec.kind, begins(armed));
                    self.log.add(kind, target, ordinal, detail, None);
                }
                on |= span != Span::Off;
            }
        }
        on
    }
}

/// The delay of a slow side.
pub(crate) fn delay(armed: &Armed) -> Duration {
    armed.spec.ms.map_or(DEFAULT_DELAY, Duration::from_millis)
}

/// What begins with a fault that lasts.
fn begins(armed: &Armed) -> String {
    let what = match armed.spec.kind {
        FaultKind::Mute => "no data from now on".into(),
        FaultKind::MuteAll => "nothing at all from now on".into(),
        FaultKind::NoPing => "no PINGPONG from now on".into(),
        FaultKind::Slow => format!("every write {} ms late", delay(armed).as_millis()),
        _ => "frames are held".to_owned(),
    };
    match armed.spec.lasts {
        Some(lasts) => format!("{what}, for {} s", lasts.as_secs_f64()),
        None => what,
    }
}

/// A frame at the moment at which a fault strikes it.
struct Strike<'a> {
    armed: &'a Armed,
    index: usize,
    word: u64,
    text: Utf8Bytes,
    frame: Wire,
    key: (Feed, u32),
    until: Option<EventTime>,
}

impl Strike<'_> {
    /// What is sent instead. The text says what was done; `true`: the frame has passed.
    fn apply(self, pipe: &mut Pipe, weather: &Weather, out: &mut Vec<Wire>) -> (String, bool) {
        let Self { armed, index, word, text, frame, key, until } = self;
        let spec = &armed.spec;
        let ends = |wire, detail: String, pipe: &mut Pipe, out: &mut Vec<Wire>| {
            pipe.over = true;
            out.append(&mut pipe.burst);
            out.push(wire);
            (detail, false)
        };
        match spec.kind {
            FaultKind::DropSubscription => {
                pipe.dropped.insert(key, (index, until));
                ("the registration gets nothing from now on".into(), false)
            }
            FaultKind::Cut => {
                let detail = format!("cut after {} of {} bytes", text.len() / 2, text.len());
                ends(Wire::Cut(text), detail, pipe, out)
            }
            FaultKind::Abnormal => ends(Wire::End, "ended without a close frame".into(), pipe, out),
            FaultKind::Close => {
                let code = spec.code.as_deref().and_then(|code| code.parse().ok()).unwrap_or(1001);
                let reason = spec.reason.as_deref().unwrap_or("server maintenance");
                let frame = CloseFrame { code: code.into(), reason: reason.into() };
                ends(Wire::Close(frame), format!("closed with {code}: {reason}"), pipe, out)
            }
            FaultKind::WrongCount => {
                let (spoilt, detail) = wrong_count(&text);
                pipe.emit(Wire::Spoilt(Message::text(spoilt)), weather, out);
                (detail, true)
            }
            FaultKind::Truncate => {
                let half = text.len() / 2;
                let cut = (half..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
                pipe.emit(Wire::Spoilt(Message::text(&text[..cut])), weather, out);
                (format!("{cut} of {} bytes", text.len()), true)
            }
            FaultKind::Garbage => {
                let (message, detail) = rubbish(spec.rubbish, word);
                pipe.emit(Wire::Spoilt(message), weather, out);
                pipe.emit(frame, weather, out);
                (detail, true)
            }
            FaultKind::Duplicate => {
                let left = spec.frames.unwrap_or(0);
                pipe.emit(frame.clone(), weather, out);
                pipe.passed(key, weather, out);
                if left == 0 {
                    pipe.emit(frame, weather, out);
                } else {
                    pipe.held.push(Held { left, behind: Some(key), wire: frame });
                }
                (format!("comes again, {left} frames later"), false)
            }
            FaultKind::Reorder => {
                let left = spec.frames.unwrap_or(1).max(1);
                let behind = (!spec.any).then_some(key);
                pipe.held.push(Held { left, behind, wire: frame });
                let whose = if spec.any { "of any issue" } else { "of its issue" };
                (format!("comes after {left} later frames {whose}"), false)
            }
            _ => ("never sent".into(), false),
        }
    }
}

/// The frame with a count that is one too high.
fn wrong_count(text: &str) -> (String, String) {
    let parts: Vec<&str> = text.splitn(4, '|').collect();
    let [flag, tr_id, count, payload] = parts[..] else {
        return (text.to_owned(), "the frame has no count".into());
    };
    let wrong = count.parse().map_or(999, |count: u32| count + 1);
    let spoilt = format!("{flag}|{tr_id}|{wrong:03}|{payload}");
    (spoilt, format!("count {wrong:03} instead of {count}"))
}

/// A frame of rubbish.
fn rubbish(form: Rubbish, word: u64) -> (Message, String) {
    let length = 16 + (word % 48) as usize;
    let noise = (0..length as u64).map(|at| (mix(word ^ at) >> 24) as u8);
    match form {
        Rubbish::Text => {
            let text: String = noise.map(|byte| char::from(b' ' + byte % 95)).collect();
            (Message::text(text), format!("{length} characters of text"))
        }
        Rubbish::Binary => {
            let bytes: Vec<u8> = noise.collect();
            (Message::binary(bytes), format!("{length} bytes, binary"))
        }
        Rubbish::NotUtf8 => {
            let mut bytes: Vec<u8> = noise.collect();
            // A byte that UTF-8 never has.
            bytes[0] = 0xff;
            let frame = Frame::message(Bytes::from(bytes), OpCode::Data(Data::Text), true);
            (Message::Frame(frame), format!("{length} bytes as text that is not UTF-8"))
        }
    }
}

//! What is kept of input that could not be processed.

use super::limits::REJECT_PAYLOAD;
use crate::market::RecordRef;
use crate::messages::{Frame, Reject};

/// A reject for a frame. `source` is read from the frame's own head where it has one.
pub(super) fn of_frame(
    stage: &'static str,
    reason: &'static str,
    detail: &str,
    frame: Frame<'_>,
    at: Option<RecordRef>,
) -> Reject {
    Reject {
        stage,
        source: source(frame.payload),
        reason,
        detail: detail.to_owned(),
        payload: excerpt(frame.payload),
        at,
    }
}

/// The payload as text of at most [`REJECT_PAYLOAD`] bytes; one that is cut says how long it was.
/// The mark counts into the limit, which is the store's as well: cut again there, the row would
/// tell the length of the excerpt.
pub(super) fn excerpt(payload: &[u8]) -> String {
    let kept = &payload[..payload.len().min(REJECT_PAYLOAD)];
    let mut text = String::from_utf8_lossy(kept).into_owned();
    if kept.len() < payload.len() || text.len() > REJECT_PAYLOAD {
        let mark = format!("…[cut: {} bytes in all]", payload.len());
        text.truncate(text.floor_char_boundary(REJECT_PAYLOAD - mark.len()));
        text.push_str(&mark);
    }
    text
}

/// The TR id a frame claims to be of, if it looks like one.
fn source(payload: &[u8]) -> String {
    payload
        .splitn(4, |byte| *byte == b'|')
        .nth(1)
        .filter(|tr| (1..=16).contains(&tr.len()) && tr.iter().all(u8::is_ascii_alphanumeric))
        .map_or_else(|| "feed".to_owned(), |tr| String::from_utf8_lossy(tr).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_the_frame_s_own_claim_when_it_is_plausible() {
        assert_eq!(source(b"0|H0STCNT0|001|005930^"), "H0STCNT0");
        assert_eq!(source(b"0|drop table;|001|"), "feed");
        assert_eq!(source(b"\xff\xfe"), "feed");
    }

    #[test]
    fn a_long_payload_is_cut_with_a_mark_within_the_limit() {
        assert_eq!(excerpt(&vec![b'x'; REJECT_PAYLOAD]).len(), REJECT_PAYLOAD);
        // A byte that is no text becomes three.
        for payload in [vec![b'x'; REJECT_PAYLOAD + 1], vec![0xff; REJECT_PAYLOAD]] {
            let text = excerpt(&payload);
            assert!(text.ends_with(&format!("…[cut: {} bytes in all]", payload.len())));
            assert!((REJECT_PAYLOAD - 2..=REJECT_PAYLOAD).contains(&text.len()), "{}", text.len());
        }
    }
}

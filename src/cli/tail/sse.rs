//! Reading an event stream, in the format of the HTML standard.

use anyhow::bail;

/// A message of an event stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SseMessage {
    pub(super) id: Option<String>,
    pub(super) event: String,
    pub(super) data: String,
}

/// Cuts a stream of bytes, wherever it was cut before, into messages.
#[derive(Debug, Default)]
pub(super) struct SseParser {
    buffer: Vec<u8>,
    message: SseMessage,
}

/// Longest line: far above any event.
const MAX_LINE: usize = 4 << 20;

impl SseParser {
    /// Takes in what came; returns the messages it completes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> anyhow::Result<Vec<SseMessage>> {
        let mut messages = Vec::new();
        self.buffer.extend_from_slice(bytes);
        while let Some(end) = memchr::memchr(b'\n', &self.buffer) {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            self.line(line.trim_end_matches(['\r', '\n']), &mut messages);
        }
        if self.buffer.len() > MAX_LINE {
            bail!("the event stream sent a line of more than {MAX_LINE} bytes");
        }
        Ok(messages)
    }

    fn line(&mut self, line: &str, messages: &mut Vec<SseMessage>) {
        if line.is_empty() {
            let message = std::mem::take(&mut self.message);
            if !message.data.is_empty() {
                messages.push(message);
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.message.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.message.event),
            "data" => {
                if !self.message.data.is_empty() {
                    self.message.data.push('\n');
                }
                self.message.data.push_str(value);
            }
            // Comments (an empty field name), `retry`, and what is to come.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_cut_gives_the_same_messages(cuts in prop::collection::vec(0usize..90, 0..6)) {
            let text = ": hi\n\nid: a\nevent: crash\ndata: {\"n\":\"삼성\"}\n\nretry: 5\r\nevent: gap\r\ndata: {}\r\n\r\n".as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let mut parser = SseParser::default();
            let mut got = Vec::new();
            for pair in cuts.windows(2) {
                got.extend(parser.push(&text[pair[0]..pair[1]]).unwrap());
            }
            prop_assert_eq!(got, vec![
                SseMessage { id: Some("a".into()), event: "crash".into(), data: "{\"n\":\"삼성\"}".into() },
                SseMessage { id: None, event: "gap".into(), data: "{}".into() },
            ]);
        }
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut parser = SseParser::default();
        assert!(parser.push(&vec![b'x'; MAX_LINE + 1]).is_err());
    }
}

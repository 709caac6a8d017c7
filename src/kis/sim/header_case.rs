//! Header names as KIS writes them.
//!
//! KIS sends its own headers in lower case (`tr_id`) and the standard ones capitalised
//! (`Content-Type`), and clients tell the two apart by that. hyper writes all names in one style;
//! with its capitals, KIS's names come out as `Tr_id`. This wrapper around the connection puts the
//! first letter of those three names back in the head of an answer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const NAMES: [&[u8]; 3] = [b"\r\nTr_id: ", b"\r\nTr_cont: ", b"\r\nGt_uid: "];

/// A connection whose written heads are corrected.
pub(crate) struct HeaderCase<S> {
    inner: S,
    scratch: Vec<u8>,
}

impl<S> HeaderCase<S> {
    pub fn new(inner: S) -> Self {
        Self { inner, scratch: Vec::new() }
    }
}

/// Lowers the first letter of KIS's header names in `bytes`, if they begin an answer.
fn correct(bytes: &mut [u8]) {
    if !bytes.starts_with(b"HTTP/1.1 ") {
        return;
    }
    let head = memchr::memmem::find(bytes, b"\r\n\r\n").unwrap_or(bytes.len());
    for name in NAMES {
        if let Some(at) = memchr::memmem::find(&bytes[..head], name) {
            bytes[at + 2].make_ascii_lowercase();
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HeaderCase<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.scratch.clear();
        this.scratch.extend_from_slice(bytes);
        correct(&mut this.scratch);
        // The length is unchanged, so what the socket took is what of `bytes` is done. A head that
        // the socket takes only in part goes on uncorrected; it is far smaller than any buffer.
        Pin::new(&mut this.inner).poll_write(cx, &this.scratch)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HeaderCase<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(cx, buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_kis_names_in_the_head_change() {
        let mut bytes = b"HTTP/1.1 200 OK\r\nContent-Type: x\r\nTr_id: A\r\nTr_cont: \r\nGt_uid: \r\n\r\n\r\nTr_id: body".to_vec();
        correct(&mut bytes);
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains("\r\ntr_id: A\r\ntr_cont: \r\ngt_uid: \r\n"), "{text}");
        assert!(text.contains("Content-Type: x") && text.ends_with("Tr_id: body"), "{text}");
    }
}

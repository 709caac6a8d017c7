//! How what a fault left of a batch gets onto the socket.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::SinkExt;
use futures::stream::SplitSink;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::super::server::Shared;

/// How long a client may take to answer a close frame.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// The writing half of a session's socket.
pub(crate) type Sink = SplitSink<WebSocketStream<Line>, Message>;

/// One thing to do at the socket.
#[derive(Debug, Clone)]
pub(crate) enum Wire {
    /// A frame as it should be, and the place of its trades in the audit's book.
    Intact(Utf8Bytes, Range<usize>),
    /// Anything else.
    Spoilt(Message),
    /// Nothing for a while.
    Pause(Duration),
    /// Half of this frame, then the end of the connection.
    Cut(Utf8Bytes),
    /// The end of the connection.
    End,
    /// A close frame, then the end.
    Close(CloseFrame),
}

/// Writes a batch; `false` when the session is over.
pub(crate) async fn write(
    shared: &Shared,
    cutter: &Cutter,
    sink: &mut Sink,
    wires: Vec<Wire>,
) -> bool {
    let mut written = Vec::new();
    for wire in wires {
        if let Wire::Pause(pause) = wire {
            if !flush(shared, sink, &mut written).await {
                return false;
            }
            tokio::time::sleep(pause).await;
            continue;
        }
        if matches!(wire, Wire::Cut(_) | Wire::End | Wire::Close(_))
            && !flush(shared, sink, &mut written).await
        {
            return false;
        }
        match wire {
            Wire::Intact(text, trades) => {
                if !done(shared, sink.feed(Message::Text(text))).await {
                    return false;
                }
                written.push(trades);
            }
            Wire::Spoilt(message) => {
                if !done(shared, sink.feed(message)).await {
                    return false;
                }
            }
            Wire::Cut(text) => {
                cutter.cut_after(text.len() / 2);
                // The cut is an error of the socket: it is what was to happen.
                let _ = done(shared, sink.send(Message::Text(text))).await;
                return false;
            }
            Wire::Close(frame) => {
                if done(shared, sink.send(Message::Close(Some(frame)))).await {
                    // The reader ends the session when the client answers.
                    tokio::time::sleep(CLOSE_WAIT).await;
                }
                return false;
            }
            Wire::End | Wire::Pause(_) => return false,
        }
    }
    flush(shared, sink, &mut written).await
}

async fn done(shared: &Shared, write: impl Future<Output = Result<(), Error>>) -> bool {
    matches!(timeout(shared.options.drop_after, write).await, Ok(Ok(())))
}

async fn flush(shared: &Shared, sink: &mut Sink, written: &mut Vec<Range<usize>>) -> bool {
    if !done(shared, sink.flush()).await {
        return false;
    }
    shared.faults.delivered(written.drain(..));
    true
}

/// Breaks a [`Line`] off.
#[derive(Debug, Clone)]
pub(crate) struct Cutter(Arc<AtomicUsize>);

impl Cutter {
    /// After so many more bytes nothing goes out.
    fn cut_after(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Release);
    }
}

/// A connection that can be broken off at any byte.
pub(crate) struct Line {
    inner: TcpStream,
    /// Bytes that may still go out; the largest number is no limit.
    left: Arc<AtomicUsize>,
}

impl Line {
    pub fn new(inner: TcpStream) -> (Self, Cutter) {
        let left = Arc::new(AtomicUsize::new(usize::MAX));
        (Self { inner, left: Arc::clone(&left) }, Cutter(left))
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let left = self.left.load(Ordering::Acquire);
        if left == usize::MAX {
            return Pin::new(&mut self.inner).poll_write(cx, bytes);
        }
        if left == 0 {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let written = Pin::new(&mut self.inner).poll_write(cx, &bytes[..left.min(bytes.len())]);
        if let Poll::Ready(Ok(written)) = written {
            self.left.store(left - written, Ordering::Release);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

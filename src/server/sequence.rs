//! One request after the other: gives the HTTP/1 parser of a connection no byte of the next request before the response to the present one
//! has begun. actix-http decodes all the requests that it has, and writes a response by the method, version and `Connection` of the request
//! that it decoded last: where a `HEAD` follows a `GET`, that one's response would have no body (RFC 9112, section 9.3.2 has them in order).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::framing::Framing;
use crate::http::Lane;

/// A connection whose requests are read one after the other.
pub(super) struct Sequence<T> {
    io: T,
    lane: Lane,
    framing: Framing,
    /// How many requests were given to the parser whole.
    given: u64,
    /// What arrived beyond the present request.
    held: Vec<u8>,
    /// The client sends no more than what is held.
    ended: bool,
}

/// Once so much is held, no more is read until the response to the present request has begun.
const MAX_HELD_BYTES: usize = 8 * 1024;

impl<T> Sequence<T> {
    /// The responses on this connection begin as its lane says.
    pub(super) fn new(io: T, lane: Lane) -> Self {
        Self { io, lane, framing: Framing::default(), given: 0, held: Vec::new(), ended: false }
    }

    /// The lane of the connection.
    pub(super) fn lane(&self) -> Lane {
        self.lane.clone()
    }

    /// Whether the present request is complete, and its response has not begun.
    fn is_waiting(&self) -> bool {
        self.framing.is_complete() && self.lane.begun() < self.given
    }

    /// How many of these bytes the parser may have now.
    fn take(&mut self, bytes: &[u8]) -> usize {
        if self.framing.is_complete() {
            self.framing.next();
        }
        let taken = self.framing.take(bytes);
        self.given += u64::from(self.framing.is_complete());
        taken
    }

    fn give_held(&mut self, buffer: &mut ReadBuf<'_>) {
        let held = std::mem::take(&mut self.held);
        let most = held.len().min(buffer.remaining());
        let taken = self.take(&held[..most]);
        buffer.put_slice(&held[..taken]);
        self.held = held;
        self.held.drain(..taken);
    }
}

impl<T: AsyncRead + Unpin> Sequence<T> {
    /// Reads what there is behind what is held. The bytes are behind those that the buffer had.
    fn poll_more(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match ready!(Pin::new(&mut self.io).poll_read(cx, buffer)) {
            // An end without that of TLS: what came before is complete requests, or is no request.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            read => read?,
        }
        self.ended = buffer.filled().len() == before;
        if self.ended {
            self.lane.sends_no_more();
        }
        Poll::Ready(Ok(()))
    }

    /// Waits until the response to the present request has begun; meanwhile notices that the client ends, which is told at once where
    /// nothing is held.
    fn poll_begun(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        while !self.ended && self.held.len() < MAX_HELD_BYTES && self.poll_more(cx, buffer)?.is_ready() {
            self.held.extend_from_slice(&buffer.filled()[before..]);
            buffer.set_filled(before);
        }
        if self.ended && self.held.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.lane.wake_when_one_begins(cx.waker());
        Poll::Pending
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Sequence<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        if me.is_waiting() {
            return me.poll_begun(cx, buffer);
        }
        if !me.held.is_empty() {
            me.give_held(buffer);
        } else if !me.ended {
            let before = buffer.filled().len();
            ready!(me.poll_more(cx, buffer))?;
            let taken = me.take(&buffer.filled()[before..]);
            me.held.extend_from_slice(&buffer.filled()[before + taken..]);
            buffer.set_filled(before + taken);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Sequence<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::timeout;

    use super::*;

    const FIRST: &[u8] = b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc";
    const SECOND: &[u8] = b"HEAD / HTTP/1.1\r\n\r\n";

    async fn read(sequence: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 100];
        let read = timeout(Duration::from_millis(50), sequence.read(&mut bytes)).await.ok()?.unwrap();
        bytes.truncate(read);
        Some(bytes)
    }

    #[actix_rt::test]
    async fn the_next_request_waits_for_the_response_to_the_present_one_and_the_end_for_both() {
        let (io, mut client) = duplex(1000);
        let lane = Lane::default();
        let mut sequence = Sequence::new(io, lane.clone());
        client.write_all(&[FIRST, SECOND].concat()).await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(read(&mut sequence).await.unwrap(), FIRST);
        assert_eq!(read(&mut sequence).await, None);
        let begin = async {
            actix_rt::task::yield_now().await;
            drop(lane.request());
        };
        let (second, ()) = tokio::join!(read(&mut sequence), begin);
        assert_eq!(second.unwrap(), SECOND);
        assert_eq!(read(&mut sequence).await.unwrap(), b"");
    }

    #[actix_rt::test]
    async fn what_is_held_is_bounded() {
        let (io, mut client) = duplex(100);
        let mut sequence = Sequence::new(io, Lane::default());
        let flood = async { client.write_all(&SECOND.repeat(10_000)).await };
        let (flooded, ()) = tokio::join!(timeout(Duration::from_millis(200), flood), async {
            assert_eq!(read(&mut sequence).await.unwrap(), SECOND);
            assert_eq!(read(&mut sequence).await, None);
        });
        assert!(flooded.is_err(), "it was all read");
        assert!(sequence.held.len() <= MAX_HELD_BYTES + 100);
    }
}

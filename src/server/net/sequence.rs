//! Sequencing of requests: the HTTP/1 parser of a connection gets no byte of the next request before the response
//! to the present one has begun. actix-http decodes all the requests that it has, and writes a response by the
//! method, version and `Connection` header of the request that it decoded last. If a `HEAD` followed a `GET`, the
//! response to the `GET` would have no body (RFC 9112, section 9.3.2, requires responses in the order of the
//! requests). The parser gets nothing after a request that declares itself the last one (section 9.6).

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::deadline::Deadline;
use super::framing::{Fault, Framing};
use super::parser_refusal::{Refusal, parser_refusal};
use super::unread::Unread;
use crate::actors::admission::refused;
use crate::http::{EarlyFault, SendQueue};

/// A connection whose requests are read one after the other.
pub(super) struct Sequence<T> {
    io: T,
    queue: SendQueue,
    framing: Framing,
    /// Number of requests that the parser got completely.
    complete_requests: u64,
    /// Number of bytes of the present request that the parser got.
    present_bytes: usize,
    /// Length of the longest complete request. The parser keeps a buffer of that length.
    longest: usize,
    unread: Unread,
    peer: Peer,
    refusal: Refusal,
    /// Bytes that arrived after the present request.
    held: Vec<u8>,
    /// True if the client sends no more than the bytes in `held`.
    ended: bool,
    /// Time for which the rest of a request is discarded.
    linger: Deadline,
}

/// Maximum length of `held`, in bytes. When it is reached, the connection is not read until the response to the
/// present request has begun.
const MAX_HELD_BYTES: usize = 8 * 1024;
/// Maximum number of bytes of one request that the parser holds: a head of 128 KiB, or as much that is not decoded
/// yet; 32 KiB of a body that was not read, and 64 KiB of one that was.
const MAX_PARSER_BYTES: usize = 256 << 10;
/// Maximum length of a request after which the connection stays open, in bytes. The parser would keep a buffer of
/// the length of a longer one.
const MAX_PERSISTENT_REQUEST_BYTES: usize = 16 << 10;

/// Time for which the rest of a request is read and discarded after its response. Closing at once would send a
/// reset, which could discard the response at the client (RFC 9112, section 9.6).
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// Counts and logs the refusal of a request that begins with these bytes, and returns the response to it.
pub(super) type Refuse = Arc<dyn Fn(EarlyFault, &[u8], IpAddr) -> Vec<u8> + Send + Sync>;

/// The other end of a connection, and the responses to requests that no route gets.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    pub(super) refuse: Refuse,
}

impl From<Fault> for EarlyFault {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::LongName => Self::LongName,
            Fault::LongFraming => Self::LongFraming,
            Fault::MalformedFraming => Self::MalformedFraming,
        }
    }
}

impl<T> Sequence<T> {
    /// Creates the sequence. The queue of the connection records when responses begin.
    pub(super) fn new(io: T, queue: SendQueue, unread: Unread, peer: Peer) -> Self {
        let (framing, linger) = (Framing::default(), Deadline::new(LINGER_TIMEOUT));
        Self {
            io,
            queue,
            framing,
            complete_requests: 0,
            present_bytes: 0,
            longest: 0,
            unread,
            peer,
            refusal: Refusal::default(),
            held: Vec::new(),
            ended: false,
            linger,
        }
    }

    /// Returns the queue of the connection.
    pub(super) fn queue(&self) -> SendQueue {
        self.queue.clone()
    }

    /// Returns true if the present request is complete, and its response has not begun.
    fn is_waiting(&self) -> bool {
        self.framing.is_complete() && self.queue.begun() < self.complete_requests
    }

    /// Returns the number of these bytes that the parser may have now.
    fn take(&mut self, bytes: &[u8]) -> usize {
        if self.framing.is_complete() {
            self.framing.next();
            self.present_bytes = 0;
        }
        let taken = self.framing.take(bytes);
        self.present_bytes += taken;
        self.queue.set_last(self.is_last());
        if self.framing.is_complete() {
            self.complete_requests += 1;
            self.longest = self.longest.max(self.present_bytes);
        }
        taken
    }

    /// Returns the number of bytes in memory: those of the present request, unless its response has begun, but at
    /// least the parser's buffer, and those of the next requests.
    fn unread_bytes(&self) -> usize {
        let has_begun =
            self.queue.begun() > self.complete_requests || (self.framing.is_complete() && !self.is_waiting());
        let present_bytes = if has_begun { 0 } else { self.present_bytes.min(MAX_PARSER_BYTES) };
        self.held.len() + present_bytes.max(self.longest.min(MAX_PERSISTENT_REQUEST_BYTES))
    }

    /// Returns true if no request may follow the present one.
    fn is_last(&self) -> bool {
        self.framing.is_last() || self.present_bytes > MAX_PERSISTENT_REQUEST_BYTES
    }

    fn take_held(&mut self, buffer: &mut ReadBuf<'_>) {
        let held = std::mem::take(&mut self.held);
        let most = held.len().min(buffer.remaining());
        let taken = self.take(&held[..most]);
        buffer.put_slice(&held[..taken]);
        if taken < held.len() {
            self.held = held;
            self.held.drain(..taken);
        }
    }
}

impl<T: AsyncRead + Unpin> Sequence<T> {
    /// Reads available bytes and appends them to the buffer.
    fn poll_more(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match ready!(Pin::new(&mut self.io).poll_read(cx, buffer)) {
            // A TLS stream that ends without `close_notify`. It cannot cut a request short unnoticed, because the
            // framing knows whether one is complete.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            read => read?,
        }
        self.ended = buffer.filled().len() == before;
        if self.ended {
            self.queue.set_half_closed();
        }
        Poll::Ready(Ok(()))
    }

    /// Waits until the response to the present request has begun. Meanwhile it reads, to notice that the client
    /// closes the connection; that is reported at once if nothing is held.
    fn poll_begun(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        while !self.ended && self.held.len() < MAX_HELD_BYTES && self.poll_more(cx, buffer)?.is_ready() {
            self.held.extend_from_slice(&buffer.filled()[before..]);
            buffer.set_filled(before);
        }
        match self.held.is_empty() {
            true if self.ended => Poll::Ready(Ok(())),
            // `poll_more` registered the task, which is woken when more arrives.
            true => Poll::Pending,
            false => {
                self.queue.wake_at_next_response(cx.waker());
                Poll::Pending
            }
        }
    }
}

impl<T: AsyncRead + Unpin> Sequence<T> {
    /// Discards what arrives for a short time. Then it reports the end of the stream to the parser, which closes
    /// the connection.
    fn poll_linger(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        self.held = Vec::new();
        self.linger.begin();
        while !self.ended && self.poll_more(cx, buffer)?.is_ready() {
            buffer.set_filled(before);
        }
        if !self.ended && self.linger.check(cx).is_ok() {
            return Poll::Pending;
        }
        self.ended = true;
        self.queue.set_half_closed();
        Poll::Ready(Ok(()))
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.queue.is_cut() {
            return self.poll_linger(cx, buffer);
        }
        // The connection closes after the response to the last request. Bytes that arrive until then are ignored.
        if self.is_waiting() || (self.framing.is_complete() && self.is_last()) {
            return self.poll_begun(cx, buffer);
        }
        if !self.held.is_empty() {
            self.take_held(buffer);
        } else if !self.ended {
            let before = buffer.filled().len();
            if self.present_bytes > 0 && !self.framing.is_complete() {
                // A response may begin, and close the connection, before more of the request arrives.
                self.queue.wake_at_next_response(cx.waker());
            }
            ready!(self.poll_more(cx, buffer))?;
            let taken = self.take(&buffer.filled()[before..]);
            self.held.extend_from_slice(&buffer.filled()[before + taken..]);
            buffer.set_filled(before + taken);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Sequence<T> {
    /// Ends the connection. The client gets the reason in a response, if the socket accepts it at once and it is
    /// the first response on the connection, to its first request.
    fn refuse(&mut self, cx: &mut Context<'_>, fault: EarlyFault) -> io::Error {
        let response = (self.peer.refuse)(fault, self.framing.start(), self.peer.address);
        if self.queue.begun() == 0 && (self.complete_requests == 0 || !self.queue.is_pending()) {
            let _ = Pin::new(&mut self.io).poll_write(cx, &response).is_ready()
                && Pin::new(&mut self.io).poll_flush(cx).is_ready();
        }
        io::ErrorKind::InvalidInput.into()
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Sequence<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        let read = me.poll_next(cx, buffer);
        if let Some(fault) = me.framing.fault() {
            return Poll::Ready(Err(me.refuse(cx, fault.into())));
        }
        let unread = me.unread_bytes();
        if !me.unread.resize(unread) {
            refused("unread_input");
            return Poll::Ready(Err(me.refuse(cx, EarlyFault::NoMemory)));
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> Sequence<T> {
    /// Returns true if the parser has got a request that no route has got: it may have refused it.
    fn has_unrouted_request(&self) -> bool {
        self.complete_requests + u64::from(self.framing.is_partial()) > self.queue.requested()
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Sequence<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let me = &mut *self;
        if !me.refusal.is_begun()
            && me.has_unrouted_request()
            && me.queue.is_idle()
            && let Some((at, fault)) = parser_refusal(bytes)
        {
            if at > 0 {
                // The end of the response before it.
                return Pin::new(&mut me.io).poll_write(cx, &bytes[..at]);
            }
            me.refusal.begin((me.peer.refuse)(fault, me.framing.start(), me.peer.address));
            return Poll::Ready(Ok(bytes.len()));
        }
        ready!(me.refusal.poll_write(cx, &mut me.io))?;
        Pin::new(&mut me.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = &mut *self;
        ready!(me.refusal.poll_write(cx, &mut me.io))?;
        Pin::new(&mut me.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = &mut *self;
        ready!(me.refusal.poll_write(cx, &mut me.io))?;
        Pin::new(&mut me.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;

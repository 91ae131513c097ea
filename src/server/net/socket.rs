//! A client's TCP connection. Its flush sends file ranges from the queue after all that was written before. It times
//! out if the client neither acknowledges bytes nor finishes a request. Knows no HTTP.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::writev;
use rustix::net::sockopt::{set_tcp_cork, socket_send_buffer_size};
use rustix::net::{SendFlags, send};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::blocked::Blocked;
use super::deadline::Deadline;
use super::half_closed::HalfClosed;
use super::idlers::{Idlers, Member};
use super::tls_on_plain_port::FirstByte;
use super::turns::Turns;
use crate::http::SendQueue;

/// A connection with its queue.
pub(super) struct Socket {
    tcp: TcpStream,
    queue: SendQueue,
    /// Time from the first byte of a request to the first byte of its response.
    request: Deadline,
    /// Time for which the client has acknowledged nothing.
    blocked: Blocked,
    /// Time for which the connection has been idle.
    idle: Deadline,
    /// Registration among the idle connections, which may be closed before that timeout.
    member: Member,
    /// State once the client has closed its sending side.
    half_closed: HalfClosed,
    /// Check for TLS; `None` once the first byte has arrived.
    first_byte: Option<FirstByte>,
    /// True while `TCP_CORK` is set, so that only full segments leave.
    corked: bool,
    turns: Turns,
}

/// Ranges of at least this size in bytes are sent under `TCP_CORK`, so that only full segments leave. Otherwise the
/// kernel sends a partial segment at every acknowledgement (tcp(7)).
const MIN_CORKED_BYTES: u64 = 256 * 1024;

impl Socket {
    /// Creates the socket. `client_timeout` limits each of three times: for a request, without any acknowledgement,
    /// and between two requests.
    pub(super) fn new(tcp: TcpStream, client_timeout: Duration) -> Self {
        let [request, idle] = [(); 2].map(|()| Deadline::new(client_timeout));
        let blocked = Blocked::new(client_timeout);
        Self {
            tcp,
            queue: SendQueue::default(),
            request,
            blocked,
            idle,
            member: Idlers::default().enter(),
            half_closed: HalfClosed::default(),
            first_byte: None,
            corked: false,
            turns: Turns::default(),
        }
    }

    /// Registers the connection among those that are closed while idle when the maximum number is reached.
    pub(super) fn among(self, idlers: &Idlers) -> Self {
        Self { member: idlers.enter(), ..self }
    }

    /// Lets the connection send no more in a turn than it may.
    pub(super) fn in_turns(self, turns: &Turns) -> Self {
        Self { turns: turns.clone(), ..self }
    }

    /// Adds a check of the first byte.
    pub(super) fn check_first_byte(self, first_byte: FirstByte) -> Self {
        Self { first_byte: Some(first_byte), ..self }
    }

    /// Returns the queue of this connection.
    pub(super) fn queue(&self) -> SendQueue {
        self.queue.clone()
    }

    /// Writes with `MSG_MORE` (send(2)). The kernel holds a partial segment back, for 200 ms at most, so that the
    /// head leaves together with the file, or the last bytes together with the FIN.
    fn poll_write_with_more(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.tcp.poll_write_ready(cx))?;
            let send = || Ok(send(&self.tcp, bytes, SendFlags::MORE | SendFlags::NOSIGNAL)?);
            match self.tcp.try_io(Interest::WRITABLE, send) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => return Poll::Ready(sent),
            }
        }
    }

    /// Sends as many bytes of the file range as the kernel accepts at once.
    fn poll_send_from_lane(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (waiting, max_bytes) = (self.queue.waiting(), self.turns.left());
        if waiting.is_some_and(|part| part.length >= MIN_CORKED_BYTES) {
            self.cork(true)?;
        }
        let send = || self.queue.send_to(&self.tcp, max_bytes);
        let sent = match self.tcp.poll_write_ready(cx)? {
            Poll::Ready(()) => Poll::Ready(self.tcp.try_io(Interest::WRITABLE, send)),
            Poll::Pending => self.blocked.poll(cx, || send_buffer(&self.tcp), send),
        };
        if self.queue.is_empty() && !waiting.is_some_and(|part| part.followed) {
            self.cork(false)?;
        }
        sent.map_ok(|sent| self.turns.sent(usize::try_from(sent).unwrap_or(usize::MAX)))
    }

    /// Returns true if the connection has sent as much as it may in this turn. If so, it is woken for the next one.
    fn is_turn_over(&self, cx: &Context<'_>) -> bool {
        let is_over = self.turns.left() == 0;
        if is_over {
            cx.waker().wake_by_ref();
        }
        is_over
    }

    fn cork(&mut self, corked: bool) -> io::Result<()> {
        if self.corked != corked {
            set_tcp_cork(&self.tcp, corked)?;
            self.corked = corked;
        }
        Ok(())
    }

    /// Completes a write that was tried. If it is pending and the client has acknowledged nothing for a while,
    /// `send` tries once more.
    fn finish_write(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
        send: impl FnOnce(&TcpStream) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let written = match written {
            Poll::Ready(written) => Poll::Ready(written),
            Poll::Pending => self.blocked.poll(cx, || send_buffer(&self.tcp), || Ok(send(&self.tcp)?)),
        };
        if let Poll::Ready(written) = &written {
            let bytes = written.as_ref().copied().unwrap_or_default();
            self.turns.sent(bytes);
            self.request.end();
            self.blocked.sent(bytes as u64);
            self.half_closed.sent();
        }
        written
    }

    /// Returns true if the connection has been idle for too long. If it is idle, the task is woken when that is so.
    /// An unfinished request counts as idle only when the maximum number of connections is reached; otherwise it
    /// has a timeout of its own.
    fn is_idle_for_too_long(&mut self, cx: &mut Context<'_>) -> bool {
        if self.blocked.is_waiting() || !self.queue.is_idle() {
            self.idle.end();
            self.member.set_busy();
            return false;
        }
        if let Some(since) = self.request.since() {
            self.idle.end();
            self.member.set_unfinished(since, cx.waker());
            return self.member.must_close();
        }
        self.idle.begin();
        if let Some(since) = self.idle.since() {
            self.member.set_idle(since, cx.waker());
        }
        self.member.must_close() || self.idle.check(cx).is_err()
    }
}

/// Returns the size in bytes of the send buffer, which holds the bytes that the client has not acknowledged;
/// `u64::MAX` if it is unknown.
fn send_buffer(tcp: &TcpStream) -> u64 {
    socket_send_buffer_size(tcp).map_or(u64::MAX, |bytes| bytes as u64)
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut me.tcp).poll_read(cx, buffer);
        if read.is_pending() {
            me.request.check(cx)?;
            if me.is_idle_for_too_long(cx) {
                // Reported as an end of the stream, as if the client had closed the connection.
                return Poll::Ready(Ok(()));
            }
        } else if buffer.filled().len() > before {
            if !me.request.is_waiting() {
                me.request.begin();
                me.idle.end();
                me.member.set_busy();
            }
            if let Some(first_byte) = me.first_byte.take() {
                first_byte.check(buffer.filled()[before]);
            }
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        if me.is_turn_over(cx) {
            return Poll::Pending;
        }
        let written = if me.queue.is_empty() && !me.queue.is_ending() {
            Pin::new(&mut me.tcp).poll_write(cx, bytes)
        } else {
            me.poll_write_with_more(cx, bytes)
        };
        me.finish_write(cx, written, |tcp| send(tcp, bytes, SendFlags::NOSIGNAL))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        let written = Pin::new(&mut me.tcp).poll_write_vectored(cx, bytes);
        me.finish_write(cx, written, |tcp| writev(tcp, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    /// Sends the file range that is in the queue. Once it is sent, the task is woken instead of polled at once, so
    /// that other connections get their turn before its body puts the next range.
    ///
    /// # Errors
    /// The client acknowledges nothing for too long, or has closed its sending side and is gone.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        if me.queue.is_half_closed() {
            me.request.check(cx)?;
            let expected = me.queue.is_pending() || me.blocked.is_waiting();
            me.half_closed.check(cx, &me.tcp, expected)?;
        }
        while let Some(before) = me.queue.length() {
            if me.is_turn_over(cx) {
                return Poll::Pending;
            }
            match ready!(me.poll_send_from_lane(cx)) {
                Ok(()) => {
                    // Bytes that the client has sent meanwhile are its next request. That one waits for this
                    // response, not for the client.
                    me.request.end();
                    me.blocked.sent(before - me.queue.length().unwrap_or_default());
                    me.half_closed.sent();
                    if me.queue.is_empty() {
                        cx.waker().wake_by_ref();
                    }
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        // The socket was read in this turn and had no bytes. This call only registers the task, so the result does
        // not matter.
        let _ = me.is_idle_for_too_long(cx);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        ready!(Pin::new(&mut *me).poll_flush(cx))?;
        Pin::new(&mut me.tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;

//! A client's TCP connection: sends files from its lane as soon as what was written before is out, and does not wait for ever
//! for a client that neither takes bytes nor finishes a request. Knows no HTTP.

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
use super::half_closed::HalfClosed;
use super::idlers::{Idlers, Member};
use super::mistaken_tls::FirstByte;
use super::patience::Patience;
use crate::http::Lane;

/// A connection with its lane.
pub(super) struct Socket {
    tcp: TcpStream,
    lane: Lane,
    /// From the first byte of a request to the first of an answer.
    request: Patience,
    /// While it takes no more bytes.
    blocked: Blocked,
    /// While it wants nothing.
    idle: Patience,
    /// Ends it before, where places run short.
    member: Member,
    /// Once it sends no more.
    half_closed: HalfClosed,
    /// Until there was one.
    first_byte: Option<FirstByte>,
    /// Whether only whole segments are sent.
    corked: bool,
}

/// While this much or more is sent, only whole segments leave: whenever the client confirms some, the system would send what it has
/// of the next.
const CORKED_FROM: u64 = 256 * 1024;

impl Socket {
    /// The client may take so long for a request, acknowledge nothing for so long, and take so long between requests.
    pub(super) fn new(tcp: TcpStream, patience: Duration) -> Self {
        let [request, idle] = [(); 2].map(|()| Patience::new(patience));
        let blocked = Blocked::new(patience);
        Self {
            tcp,
            lane: Lane::default(),
            request,
            blocked,
            idle,
            member: Idlers::default().enter(),
            half_closed: HalfClosed::default(),
            first_byte: None,
            corked: false,
        }
    }

    /// The same, as one of those that are ended while they want nothing where places run short.
    pub(super) fn among(self, idlers: &Idlers) -> Self {
        Self { member: idlers.enter(), ..self }
    }

    /// The same, whose first byte is looked at.
    pub(super) fn look_at_first_byte(self, first_byte: FirstByte) -> Self {
        Self { first_byte: Some(first_byte), ..self }
    }

    /// The way of files to this connection.
    pub(super) fn lane(&self) -> Lane {
        self.lane.clone()
    }

    /// The system waits, for a fifth of a second at most, before it sends these bytes, for the file or the end that follows: the
    /// client is not woken for a head alone, nor for the end.
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

    /// Sends from the lane what the system takes at once.
    fn poll_send_from_lane(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let waiting = self.lane.waiting();
        if waiting.is_some_and(|part| part.length >= CORKED_FROM) {
            self.cork(true)?;
        }
        let sent = match self.tcp.poll_write_ready(cx)? {
            Poll::Ready(()) => Poll::Ready(self.tcp.try_io(Interest::WRITABLE, || self.lane.send_to(&self.tcp))),
            Poll::Pending => self.blocked.poll(cx, || send_buffer(&self.tcp), || self.lane.send_to(&self.tcp)),
        };
        if self.lane.is_empty() && !waiting.is_some_and(|part| part.followed) {
            self.cork(false)?;
        }
        sent
    }

    fn cork(&mut self, corked: bool) -> io::Result<()> {
        if self.corked != corked {
            set_tcp_cork(&self.tcp, corked)?;
            self.corked = corked;
        }
        Ok(())
    }

    /// What becomes of a write that was tried, or is tried once more by `send` where the client has taken nothing for a while.
    fn wrote(
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
            self.request.end();
            self.blocked.sent(written.as_ref().map_or(0, |bytes| *bytes as u64));
            self.half_closed.sent();
        }
        written
    }

    /// Whether the client has wanted nothing for too long. Where it wants nothing, the task is woken when that is so.
    /// An unfinished request is no more than that where places run short, but has its own time otherwise.
    fn is_idle_for_too_long(&mut self, cx: &mut Context<'_>) -> bool {
        if self.blocked.is_waiting() || !self.lane.is_idle() {
            self.idle.end();
            self.member.is_busy();
            return false;
        }
        if let Some(since) = self.request.since() {
            self.idle.end();
            self.member.is_unfinished(since, cx.waker());
            return self.member.is_told_to_end();
        }
        self.idle.begin();
        if let Some(since) = self.idle.since() {
            self.member.is_idle(since, cx.waker());
        }
        self.member.is_told_to_end() || self.idle.check(cx).is_err()
    }
}

/// The size in bytes of the send buffer, which holds what the client has not acknowledged; the largest number where
/// that is unknown.
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
                // As if it had closed the connection.
                return Poll::Ready(Ok(()));
            }
        } else if buffer.filled().len() > before {
            if !me.request.is_waiting() {
                me.request.begin();
                me.idle.end();
                me.member.is_busy();
            }
            if let Some(first_byte) = me.first_byte.take() {
                first_byte.is(buffer.filled()[before]);
            }
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        let written = if me.lane.is_empty() && !me.lane.is_ending() {
            Pin::new(&mut me.tcp).poll_write(cx, bytes)
        } else {
            me.poll_write_with_more(cx, bytes)
        };
        me.wrote(cx, written, |tcp| send(tcp, bytes, SendFlags::NOSIGNAL))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        let written = Pin::new(&mut me.tcp).poll_write_vectored(cx, bytes);
        me.wrote(cx, written, |tcp| writev(tcp, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    /// Sends what is in the lane; an error where a client that sends no more is gone. Whoever put it there is polled again afterwards, in turn with other connections.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        if me.lane.is_half_closed() {
            me.request.check(cx)?;
            let expected = me.lane.is_pending() || me.blocked.is_waiting();
            me.half_closed.check(cx, &me.tcp, expected)?;
        }
        while let Some(before) = me.lane.length() {
            match ready!(me.poll_send_from_lane(cx)) {
                Ok(()) => {
                    // What the client sent meanwhile is the next request: it waits for this answer, not for its client.
                    me.request.end();
                    me.blocked.sent(before - me.lane.length().unwrap_or_default());
                    me.half_closed.sent();
                    if me.lane.is_empty() {
                        cx.waker().wake_by_ref();
                    }
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        // It was read from in this turn, and was not: here the task is only made to be woken when it is.
        let _not_yet = me.is_idle_for_too_long(cx);
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

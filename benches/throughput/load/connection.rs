//! One connection of the load generator, plain or TLS: sends a request, reads the answer, and throws it away.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use rustix::net::{RecvFlags, recv};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind};
use tokio::io::{AsyncRead, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::head::Answer;
use super::request::Request;

/// What all connections of a thread read into.
pub const BUFFER: usize = 256 << 10;

/// An open connection.
pub struct Connection {
    stream: Stream,
    answer: Answer,
    discards: bool,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A right answer, from the sending of the request on.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// When its first byte was there.
    pub first_byte: Duration,
    /// When its last byte was there.
    pub total: Duration,
    /// Whether the connection can be used again.
    pub reusable: bool,
}

impl Connection {
    /// Connects, with TLS where there is a configuration for it.
    pub async fn open(address: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        // Closed with a reset: ports that wait for a minute would run out after some seconds of connections for one request.
        stream.set_zero_linger()?;
        let stream = match tls {
            None => Stream::Plain(stream),
            Some(config) => {
                let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
                Stream::Tls(Box::new(TlsConnector::from(config.clone()).connect(name, stream).await?))
            }
        };
        Ok(Self { stream, answer: Answer::default(), discards: false })
    }

    /// Whether the kernel throws bodies away without copying them, where it speaks no TLS: a client then takes about as little of
    /// this machine as one on another machine would. What is seen of a body has the right length and the wrong bytes.
    pub fn discard(&mut self, discards: bool) {
        self.discards = discards;
    }

    /// Whether its TLS handshake was a short one.
    pub fn is_resumed(&self) -> bool {
        match &self.stream {
            Stream::Plain(_) => false,
            Stream::Tls(stream) => stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }

    /// Sends the request and reads the answer to its end; `see` is told of each piece's length as it comes. The clock starts at
    /// `started`. Any status but 200 and 206, and any other length than is expected, is an error.
    pub async fn ask(
        &mut self,
        request: &Request,
        started: Instant,
        buffer: &RefCell<Vec<u8>>,
        mut see: impl FnMut(&[u8]),
    ) -> io::Result<Received> {
        self.answer.clear();
        self.send(&request.bytes).await?;
        let mut first_byte = None;
        loop {
            let whole = poll_fn(|cx| {
                let mut buffer = buffer.borrow_mut();
                let discard = self.discards && self.answer.has_head();
                let read = ready!(self.stream.poll_read(cx, &mut buffer, discard))?;
                see(&buffer[..read]);
                Poll::Ready(match read {
                    0 => Err(io::ErrorKind::UnexpectedEof.into()),
                    _ => self.answer.take(&buffer[..read], request.head_only),
                })
            });
            let whole = whole.await?;
            let first_byte = *first_byte.get_or_insert_with(|| started.elapsed());
            let Some(known) = whole else { continue };
            if !matches!(known.status, 200 | 206) {
                return Err(io::Error::other(format!("status {}", known.status)));
            }
            if request.length.is_some_and(|length| length != known.length) {
                return Err(io::Error::other(format!("an answer of {} bytes", known.length)));
            }
            return Ok(Received { first_byte, total: started.elapsed(), reusable: !known.close && !request.close });
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(bytes).await,
            Stream::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }
}

impl Stream {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8], discard: bool) -> Poll<io::Result<usize>> {
        if let (Self::Plain(stream), true) = (&*self, discard) {
            return poll_discard(stream, cx, buffer);
        }
        let mut buffer = ReadBuf::new(buffer);
        let read = match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, &mut buffer),
        };
        read.map_ok(|()| buffer.filled().len())
    }
}

/// Takes as many bytes from the socket as the buffer has room for, and leaves the buffer as it is.
fn poll_discard(stream: &TcpStream, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_read_ready(cx))?;
        let discarded = stream.try_io(Interest::READABLE, || Ok(recv(stream, &mut *buffer, RecvFlags::TRUNC)?.1));
        match discarded {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            discarded => return Poll::Ready(discarded),
        }
    }
}

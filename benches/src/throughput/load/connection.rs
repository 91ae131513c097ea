//! One connection of the load generator, plain or TLS: sends a request, reads the response, and discards it.

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

use super::head::ResponseParser;
use super::request::Request;

/// Size of the buffer that all connections of a thread read into.
pub const BUFFER_BYTES: usize = 256 << 10;

/// An open connection.
pub struct Connection {
    stream: Stream,
    parser: ResponseParser,
    discards: bool,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Times of a correct response, counted from the start of the request.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Time of its first byte.
    pub first_byte: Duration,
    /// Time of its last byte.
    pub total: Duration,
    /// True where the connection can be reused.
    pub reusable: bool,
}

impl Connection {
    /// Connects, with TLS if there is a configuration for it.
    pub async fn open(address: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        // Closing sends a reset: without it, connections for one request would use up all ports within seconds,
        // because closed ports stay reserved for a minute.
        stream.set_zero_linger()?;
        let stream = match tls {
            None => Stream::Plain(stream),
            Some(config) => {
                let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
                Stream::Tls(Box::new(TlsConnector::from(config.clone()).connect(name, stream).await?))
            }
        };
        Ok(Self { stream, parser: ResponseParser::default(), discards: false })
    }

    /// Sets whether the kernel discards bodies without copying them, on connections without TLS. A client
    /// then takes about as little of this machine as one on another machine would. Observed bodies have
    /// the right length and wrong bytes.
    pub fn discard(&mut self, discards: bool) {
        self.discards = discards;
    }

    /// Returns true where the TLS session was resumed.
    pub fn is_resumed(&self) -> bool {
        match &self.stream {
            Stream::Plain(_) => false,
            Stream::Tls(stream) => stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }

    /// Sends the request and reads the whole response; `see` gets each chunk as it arrives. Times are counted from
    /// `started`. Fails with any status but 200 and 206, and with an unexpected length.
    pub async fn request(
        &mut self,
        request: &Request,
        started: Instant,
        buffer: &RefCell<Vec<u8>>,
        mut see: impl FnMut(&[u8]),
    ) -> io::Result<Received> {
        self.parser.clear();
        self.send(&request.bytes).await?;
        let mut first_byte = None;
        loop {
            let whole = poll_fn(|cx| {
                let mut buffer = buffer.borrow_mut();
                let discard = self.discards && self.parser.has_head();
                let read = ready!(self.stream.poll_read(cx, &mut buffer, discard))?;
                see(&buffer[..read]);
                Poll::Ready(match read {
                    0 => Err(io::ErrorKind::UnexpectedEof.into()),
                    _ => self.parser.take(&buffer[..read], request.head_only),
                })
            });
            let whole = whole.await?;
            let first_byte = *first_byte.get_or_insert_with(|| started.elapsed());
            let Some(known) = whole else { continue };
            if !matches!(known.status, 200 | 206) {
                return Err(io::Error::other(format!("status {}", known.status)));
            }
            if request.length.is_some_and(|length| length != known.length) {
                return Err(io::Error::other(format!("a response of {} bytes", known.length)));
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

/// Removes up to one buffer of bytes from the socket. The content of the buffer does not change.
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

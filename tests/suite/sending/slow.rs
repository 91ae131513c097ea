//! Slow clients that make progress are served; connections of clients that read nothing are closed.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::{MIB, Scene, Wire};
use crate::service::Config;

const CLIENT_TIMEOUT: Duration = Duration::from_secs(8);
/// Together with the interval: 2 kB/s.
const READ_BYTES: usize = 500;
const READ_INTERVAL: Duration = Duration::from_millis(250);

/// A stream that is read slowly, below TLS if that is used.
struct Slow {
    tcp: TcpStream,
    next: Pin<Box<Sleep>>,
}

impl Slow {
    fn new(tcp: TcpStream) -> Self {
        Self { tcp, next: Box::pin(sleep(Duration::ZERO)) }
    }
}

impl AsyncRead for Slow {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.next.as_mut().poll(cx));
        let mut few = [0; READ_BYTES];
        let most = few.len().min(buffer.remaining());
        let mut few = ReadBuf::new(&mut few[..most]);
        ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut few))?;
        buffer.put_slice(few.filled());
        self.next.set(sleep(READ_INTERVAL));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Slow {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// Returns a service with a blob that is larger than any send buffer.
async fn scene(secure: bool) -> Scene {
    let timeout = CLIENT_TIMEOUT.as_secs().to_string();
    let with = |config: Config| config.variable("DEPENDENCY_PROXY__SERVER__CLIENT_TIMEOUT", &timeout);
    Scene::with(32 * MIB, |config| if secure { with(config).secure() } else { with(config) }).await
}

/// Checks that the response to a request for the blob goes on for three times the inactivity timeout.
async fn is_served_slowly(scene: &Scene, mut slow: Wire) {
    let until = Instant::now() + 3 * CLIENT_TIMEOUT;
    slow.send(&scene.request("GET", &scene.large, "")).await;
    assert_eq!(slow.head().await.unwrap(), (200, 32 * MIB));
    while Instant::now() < until {
        slow.more().await.unwrap();
    }
    assert!(slow.unread == scene.large.bytes()[..slow.unread.len()]);
    assert!(slow.unread.len() > 10_000);
}

async fn are_told_apart(scene: Scene) {
    let before = scene.metric("dependency_proxy_connections").await;
    let (slow, mut deaf) = (scene.connect_as(Slow::new).await, scene.connect().await);
    deaf.send(&scene.request("GET", &scene.large, "")).await;
    assert_eq!(deaf.head().await.unwrap(), (200, 32 * MIB));
    tokio::join!(is_served_slowly(&scene, slow), async {
        scene.until_connections(before + 1).await;
    });
    assert!(deaf.until_cut().await < 32 * MIB);
}

#[actix_rt::test]
async fn a_client_that_takes_2_kb_a_second_is_served_and_one_that_takes_nothing_is_not() {
    let scenes = tokio::join!(scene(false), scene(true), scene(false), scene(true));
    let (cached, secure) = (scenes.0.stocked().await, scenes.1.stocked().await);
    tokio::join!(are_told_apart(cached), are_told_apart(secure), are_told_apart(scenes.2), are_told_apart(scenes.3),);
}

/// A client that received much at once has a large receive buffer, and acknowledges nothing until a part of it is free.
#[actix_rt::test]
async fn a_client_that_first_read_fast_may_read_slowly_then() {
    let with = |config: Config| config.variable("DEPENDENCY_PROXY__SERVER__CLIENT_TIMEOUT", "2s");
    let scene = Scene::with(128 * MIB, with).await.stocked().await;
    let mut tcp = TcpStream::connect(scene.service.address).await.unwrap();
    tcp.write_all(scene.request("GET", &scene.large, "").as_bytes()).await.unwrap();
    let mut buffer = vec![0; 1 << 20];
    let mut left = 64 << 20;
    while left > 0 {
        let read = tcp.read(&mut buffer).await.unwrap();
        assert!(read > 0, "the connection was closed with {left} bytes left");
        left -= read.min(left);
    }
    // 20 kB/s: a sixteenth of the usual 6 MiB takes 20 s.
    for _ in 0..48 {
        sleep(READ_INTERVAL).await;
        assert_eq!(tcp.read_exact(&mut buffer[..5000]).await.unwrap(), 5000);
    }
    // The rest can still be read: the connection was not closed behind the data in the client's kernel.
    let mut rest = 0;
    loop {
        match tcp.read(&mut buffer).await.unwrap() {
            0 => break,
            read => rest += read,
        }
        if rest > 40 << 20 {
            break;
        }
    }
    assert!(rest > 40 << 20, "it was cut off after {rest} bytes");
}

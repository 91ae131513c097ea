//! One connection through a front: bytes are read at once, and written as the mode says.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::mpsc;

use super::{Mode, Open, Watch};

/// Passes everything between both. They are reset unless both close in order.
pub(super) async fn connection(mut client: TcpStream, server: SocketAddr, watch: Watch, open: Open) {
    let mut opened = None;
    let (from_client, to_client) = client.split();
    let (requests, mut unsent_requests) = mpsc::channel(QUEUE_LENGTH);
    let (responses, mut unsent_responses) = mpsc::channel(QUEUE_LENGTH);
    let reset = watch.clone().reset();
    // A client that closes its connection is not counted any more, even if what it sent is not passed yet.
    let reading = async {
        let _open = open;
        read(from_client, requests).await
    };
    let passing = async {
        let server = async {
            let server = opened.insert(TcpStream::connect(server).await?);
            server.set_nodelay(true)?;
            let (from_server, to_server) = server.split();
            tokio::try_join!(
                write(&mut unsent_requests, to_server, watch.clone()),
                read(from_server, responses),
                write(&mut unsent_responses, to_client, watch.clone()),
            )
        };
        let passed = server.await;
        if passed.is_err() {
            lose(unsent_requests, watch).await?;
        }
        passed
    };
    let ended = tokio::select! {
        biased;
        error = reset => Err(error),
        ended = async { tokio::try_join!(reading, passing) } => ended.map(drop),
    };
    if ended.is_err() {
        let _ = client.set_zero_linger();
        let _ = opened.map(|server| server.set_zero_linger());
    }
}

/// Number of chunks on their way in one direction of a connection.
const QUEUE_LENGTH: usize = 64;

/// Maximum length of a chunk.
const MAX_CHUNK_BYTES: usize = 16 << 10;

/// Bytes with the time at which they were read.
type Chunk = (Instant, Vec<u8>);

async fn read(mut from: ReadHalf<'_>, chunks: mpsc::Sender<Chunk>) -> io::Result<()> {
    loop {
        let mut bytes = vec![0; MAX_CHUNK_BYTES];
        let length = from.read(&mut bytes).await?;
        bytes.truncate(length);
        // They have no receiver once the other end has closed the connection.
        if length == 0 || chunks.send((Instant::now(), bytes)).await.is_err() {
            return Ok(());
        }
    }
}

async fn write(chunks: &mut mpsc::Receiver<Chunk>, mut to: WriteHalf<'_>, mut watch: Watch) -> io::Result<()> {
    while let Some((read_at, bytes)) = chunks.recv().await {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (length, pause) = match watch.mode()? {
                Mode::Pass | Mode::Refuse => (rest.len(), Duration::ZERO),
                Mode::Delay(time) => (rest.len(), time.saturating_sub(read_at.elapsed())),
                Mode::Slow(rate) => share(rate, rest.len()),
                // The other end would miss something.
                Mode::Stall => return Err(io::ErrorKind::ConnectionReset.into()),
                Mode::Hold => {
                    watch.changed().await?;
                    continue;
                }
            };
            if !pause.is_zero() {
                tokio::select! {
                    biased;
                    changed = watch.changed() => {
                        changed?;
                        continue;
                    }
                    () = tokio::time::sleep(pause) => {}
                }
            }
            to.write_all(&rest[..length]).await?;
            watch.counts.passed.fetch_add(length as u64, Ordering::SeqCst);
            rest = &rest[length..];
        }
    }
    watch.passes().await?;
    to.shutdown().await
}

/// Returns how many of these bytes pass next at this rate, and the time that they take.
fn share(rate: u32, length: usize) -> (usize, Duration) {
    const SHARES_PER_SECOND: u32 = 20;
    let share = length.min(rate.div_ceil(SHARES_PER_SECOND) as usize);
    (share, Duration::from_secs_f64(share as f64 / f64::from(rate)))
}

/// Loses everything until something passes again: before that, the client does not learn of an end of the connection.
async fn lose(mut chunks: mpsc::Receiver<Chunk>, mut watch: Watch) -> io::Result<()> {
    let losing = async {
        while chunks.recv().await.is_some() {}
        std::future::pending().await
    };
    tokio::select! {
        () = losing => Ok(()),
        passes = watch.passes() => passes,
    }
}

//! Order in which a client receives bytes, and timeouts of clients.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::ErrorKind;

use metrics::Counter;
use rustix::net::sockopt::tcp_cork;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

use super::*;
use crate::actors::blob_cache::FileRange;
use crate::store::spool::{Spool, SpoolFile};

const CLIENT_TIMEOUT: Duration = Duration::from_millis(300);

/// Returns a socket and its client, which has a small receive buffer.
async fn connected() -> (Socket, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpSocket::new_v4().unwrap();
    client.set_recv_buffer_size(4096).unwrap();
    let (client, accepted) = tokio::join!(client.connect(listener.local_addr().unwrap()), listener.accept());
    (Socket::new(accepted.unwrap().0, CLIENT_TIMEOUT), client.unwrap())
}

/// Returns a file of this length in bytes, whose content differs between neighbouring places.
fn file(length: usize) -> (tempfile::TempDir, SpoolFile, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let spooled = Spool::open(folder.path()).unwrap().create().unwrap();
    let bytes: Vec<u8> = (0..length).map(|n| (n * 7 + n / 251) as u8).collect();
    spooled.write_at(0, &bytes).unwrap();
    (folder, spooled, bytes)
}

async fn read(client: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    client.read_exact(&mut bytes).await.unwrap();
    bytes
}

#[actix_rt::test]
async fn a_part_leaves_after_what_was_written_before_and_before_what_follows() {
    let (mut socket, mut client) = connected().await;
    let (_folder, spooled, bytes) = file(3_000_000);
    let queue = socket.queue().enter();
    let send = async {
        socket.write_all(b"head").await.unwrap();
        queue.put(FileRange::new(spooled.file().clone(), 10..3_000_000), Counter::noop());
        socket.flush().await.unwrap();
        assert!(queue.is_done());
        socket.write_all(b"next").await.unwrap();
        socket.flush().await.unwrap();
    };
    let (_, received) = tokio::join!(send, read(&mut client, 4 + 2_999_990 + 4));
    assert!(received == [b"head", &bytes[10..], b"next"].concat());
}

#[actix_rt::test]
async fn the_end_of_a_long_part_waits_for_what_follows_at_once_and_for_nothing_else() {
    let (mut socket, mut client) = connected().await;
    let (_folder, spooled, bytes) = file(2_000_000);
    let queue = socket.queue().enter();
    let send = async {
        queue.put(FileRange::new(spooled.file().clone(), 0..1_000_000).followed(), Counter::noop());
        socket.flush().await.unwrap();
        assert!(queue.is_done() && tcp_cork(&socket.tcp).unwrap());
        queue.put(FileRange::new(spooled.file().clone(), 1_000_000..2_000_000), Counter::noop());
        socket.flush().await.unwrap();
        assert!(!tcp_cork(&socket.tcp).unwrap());
    };
    let ((), received) = tokio::join!(send, read(&mut client, bytes.len()));
    assert!(received == bytes);
}

#[actix_rt::test]
async fn a_file_that_is_shorter_than_its_part_is_an_error() {
    let (mut socket, mut client) = connected().await;
    let (_folder, spooled, bytes) = file(1000);
    let queue = socket.queue().enter();
    queue.put(FileRange::new(spooled.file().clone(), 0..1001), Counter::noop());
    assert_eq!(socket.flush().await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert!(!queue.is_done());
    assert!(read(&mut client, 1000).await == bytes);
}

#[actix_rt::test]
async fn an_answer_that_goes_away_in_the_middle_takes_its_connection_with_it() {
    let (mut socket, _client) = connected().await;
    let (_folder, spooled, _) = file(1000);
    let queue = socket.queue().enter();
    queue.put(FileRange::new(spooled.file().clone(), 0..1000), Counter::noop());
    drop(queue);
    assert_eq!(socket.flush().await.unwrap_err().kind(), ErrorKind::ConnectionAborted);
    let next = socket.queue().enter();
    next.put(FileRange::new(spooled.file().clone(), 0..1000), Counter::noop());
    assert_eq!(socket.flush().await.unwrap_err().kind(), ErrorKind::ConnectionAborted, "nor does another follow");
}

#[actix_rt::test]
async fn an_answer_that_was_sent_leaves_its_connection_usable() {
    let (mut socket, mut client) = connected().await;
    let (_folder, spooled, bytes) = file(1000);
    for _ in 0..2 {
        let queue = socket.queue().enter();
        queue.put(FileRange::new(spooled.file().clone(), 0..1000), Counter::noop());
        socket.flush().await.unwrap();
        drop(queue);
        assert!(read(&mut client, 1000).await == bytes);
    }
}

#[actix_rt::test]
async fn a_client_that_takes_nothing_is_given_up_and_a_slow_one_is_not() {
    let (_folder, spooled, bytes) = file(10_000_000);
    let (mut socket, _client) = connected().await;
    let queue = socket.queue().enter();
    queue.put(FileRange::new(spooled.file().clone(), 0..10_000_000), Counter::noop());
    assert_eq!(socket.flush().await.unwrap_err().kind(), ErrorKind::TimedOut);
    let (mut socket, _client) = connected().await;
    assert_eq!(socket.write_all(&bytes).await.unwrap_err().kind(), ErrorKind::TimedOut);

    let (mut socket, mut client) = connected().await;
    let queue = socket.queue().enter();
    queue.put(FileRange::new(spooled.file().clone(), 0..10_000_000), Counter::noop());
    let read_slowly = async {
        for _ in 0..100 {
            tokio::time::sleep(CLIENT_TIMEOUT / 30).await;
            read(&mut client, 100_000).await;
        }
    };
    let (sent, _) = tokio::join!(socket.flush(), read_slowly);
    sent.unwrap();
}

#[actix_rt::test]
async fn a_client_is_slow_as_long_as_it_acknowledges_anything() {
    let (_folder, spooled, bytes) = file(10_000_000);
    for written in [false, true] {
        let (mut socket, mut client) = connected().await;
        let queue = socket.queue().enter();
        // A small part of the bytes that the send buffer holds.
        let read_slowly = async {
            for _ in 0..100 {
                tokio::time::sleep(CLIENT_TIMEOUT / 10).await;
                read(&mut client, 3000).await;
            }
        };
        let send = async {
            match written {
                true => socket.write_all(&bytes).await,
                false => {
                    queue.put(FileRange::new(spooled.file().clone(), 0..10_000_000), Counter::noop());
                    socket.flush().await
                }
            }
        };
        tokio::select! {
            sent = send => panic!("it is given up: {sent:?}"),
            () = read_slowly => {}
        }
    }
}

#[actix_rt::test]
async fn a_client_that_asks_for_more_before_it_has_everything_is_not_given_up() {
    let (_folder, spooled, bytes) = file(10_000_000);
    let (mut socket, mut client) = connected().await;
    socket.write_all(b"head").await.unwrap();
    let queue = socket.queue().enter();
    queue.put(FileRange::new(spooled.file().clone(), 0..10_000_000), Counter::noop());
    client.write_all(b"GET /next").await.unwrap();
    let read_slowly = async {
        let mut received = read(&mut client, 4).await;
        for _ in 0..100 {
            tokio::time::sleep(CLIENT_TIMEOUT / 30).await;
            received.append(&mut read(&mut client, 100_000).await);
        }
        received
    };
    // Reads and flushes in turn, as actix-http does.
    let mut next = [0; 100];
    let serve = std::future::poll_fn(|cx| {
        let mut buffer = ReadBuf::new(&mut next);
        match Pin::new(&mut socket).poll_read(cx, &mut buffer) {
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        Pin::new(&mut socket).poll_flush(cx)
    });
    let (sent, received) = tokio::join!(serve, read_slowly);
    assert!(sent.is_ok(), "it is given up: {sent:?}");
    assert!(received == [b"head", bytes.as_slice()].concat(), "it has received other bytes");
}

#[actix_rt::test]
async fn a_request_has_to_be_answered_in_time_counted_from_its_first_byte() {
    let (mut socket, mut client) = connected().await;
    let mut request = [0; 5];
    for _ in 0..4 {
        let send_request = async {
            tokio::time::sleep(CLIENT_TIMEOUT / 2).await;
            client.write_all(b"GET /").await.unwrap();
        };
        let (read, ()) = tokio::join!(socket.read_exact(&mut request), send_request);
        read.unwrap();
        tokio::time::sleep(CLIENT_TIMEOUT / 2).await;
        socket.write_all(b"answer").await.unwrap();
    }
    client.write_all(b"GET /").await.unwrap();
    socket.read_exact(&mut request).await.unwrap();
    assert_eq!(socket.read(&mut request).await.unwrap_err().kind(), ErrorKind::TimedOut);
}

#[actix_rt::test]
async fn a_client_that_wants_nothing_is_given_up_unless_it_is_being_answered() {
    let mut request = [0; 5];
    let (mut silent, _client) = connected().await;
    assert_eq!(silent.read(&mut request).await.unwrap(), 0, "as if it had left");

    let (mut socket, mut client) = connected().await;
    let in_progress = socket.queue().begin();
    let waited = tokio::time::timeout(CLIENT_TIMEOUT * 3, socket.read(&mut request)).await;
    assert!(waited.is_err(), "it waits for what takes its time here");
    drop(in_progress);
    socket.write_all(b"answer").await.unwrap();
    // Flushes, as actix-http does after it has written: it arranges that the task is woken for the idle timeout.
    socket.flush().await.unwrap();
    assert_eq!(socket.read(&mut request).await.unwrap(), 0);
    assert!(read(&mut client, 6).await == b"answer");
}

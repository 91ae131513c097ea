//! Tests of the order of requests and responses, and of the memory that requests take.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;

use super::*;
use crate::server::net::unread::UnreadBudget;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const FIRST: &[u8] = b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc";
const SECOND: &[u8] = b"HEAD / HTTP/1.1\r\n\r\n";

/// Returns a peer that gets the status of a fault as the whole response.
fn peer() -> Peer {
    let response = |fault: EarlyFault, start: &[u8], _| {
        let status = if fault == EarlyFault::NoMemory { 503 } else { 400 };
        format!("HTTP/1.1 {status} {fault:?}\r\n\r\n{}", start.escape_ascii()).into_bytes()
    };
    Peer { address: CLIENT, refuse: Arc::new(response) }
}

async fn read(sequence: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 100];
    let read = timeout(Duration::from_millis(50), sequence.read(&mut bytes)).await.ok()?.unwrap();
    bytes.truncate(read);
    Some(bytes)
}

#[actix_rt::test]
async fn the_next_request_waits_for_the_response_to_the_present_one_and_the_end_for_both() {
    let (io, mut client) = duplex(1000);
    let queue = SendQueue::default();
    let mut sequence = Sequence::new(io, queue.clone(), UnreadBudget::new(1 << 20, Vec::new()).enter(CLIENT), peer());
    client.write_all(&[FIRST, SECOND].concat()).await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read(&mut sequence).await.unwrap(), FIRST);
    assert_eq!(read(&mut sequence).await, None);
    let begin = async {
        actix_rt::task::yield_now().await;
        drop(queue.begin_request());
    };
    let (second, ()) = tokio::join!(read(&mut sequence), begin);
    assert_eq!(second.unwrap(), SECOND);
    assert_eq!(read(&mut sequence).await.unwrap(), b"");
}

#[actix_rt::test]
async fn what_is_held_is_bounded() {
    let (io, mut client) = duplex(100);
    let mut sequence =
        Sequence::new(io, SendQueue::default(), UnreadBudget::new(1 << 20, Vec::new()).enter(CLIENT), peer());
    let flood = async { client.write_all(&SECOND.repeat(10_000)).await };
    let (flooded, ()) = tokio::join!(timeout(Duration::from_millis(200), flood), async {
        assert_eq!(read(&mut sequence).await.unwrap(), SECOND);
        assert_eq!(read(&mut sequence).await, None);
    });
    assert!(flooded.is_err(), "it was all read");
    assert!(sequence.held.len() <= MAX_HELD_BYTES + 100);
}

/// Returns the connection on which this was sent, as the parser reads it, its queue, and its client.
async fn sent(request: &str, budget: &UnreadBudget) -> (Sequence<DuplexStream>, SendQueue, DuplexStream) {
    let ((io, mut client), queue) = (duplex(1 << 20), SendQueue::default());
    client.write_all(request.as_bytes()).await.unwrap();
    (Sequence::new(io, queue.clone(), budget.enter(CLIENT), peer()), queue, client)
}

async fn read_all(sequence: &mut Sequence<DuplexStream>, request: &str) {
    let mut got = 0;
    while got < request.len() {
        got += read(sequence).await.unwrap().len();
    }
}

fn long(bytes: usize) -> String {
    format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(bytes))
}

#[actix_rt::test]
async fn long_requests_take_from_the_budget_and_one_that_finds_none_is_told_so() {
    let (budget, long) = (UnreadBudget::new(10 << 10, Vec::new()), long(10 << 10));
    let (mut sequence, queue, _client) = sent(&long, &budget).await;
    read_all(&mut sequence, &long).await;
    let (mut refused, _, mut other) = sent(&long, &budget).await;
    let mut buffer = vec![0; long.len()];
    assert_eq!(refused.read(&mut buffer).await.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    drop(refused);
    let mut received = String::new();
    other.read_to_string(&mut received).await.unwrap();
    assert_eq!(received, "HTTP/1.1 503 NoMemory\r\n\r\nGET / HTTP/1.1\\r\\n");
    drop(queue.begin_request());
    assert_eq!(read(&mut sequence).await, None);
    assert!(!budget.enter(CLIENT).resize(14 << 10), "the parser keeps its buffer");
    drop(sequence);
    assert!(budget.enter(CLIENT).resize(14 << 10));
}

#[actix_rt::test]
async fn a_very_long_request_is_the_last_of_its_connection_and_gives_everything_back() {
    let (budget, long) = (UnreadBudget::new(128 << 10, Vec::new()), long(100 << 10));
    let (mut sequence, queue, mut client) = sent(&long, &budget).await;
    read_all(&mut sequence, &long).await;
    client.write_all(SECOND).await.unwrap();
    assert!(queue.is_last());
    drop(queue.begin_request());
    assert_eq!(read(&mut sequence).await, None);
    assert!(budget.enter(CLIENT).resize(100 << 10));
}

#[actix_rt::test]
async fn nothing_follows_a_request_that_says_that_it_is_the_last() {
    let last = "GET / HTTP/1.1\r\nconnection: close\r\n\r\n";
    let (mut sequence, queue, mut client) = sent(last, &UnreadBudget::new(1 << 20, Vec::new())).await;
    client.write_all(SECOND).await.unwrap();
    assert_eq!(read(&mut sequence).await.unwrap(), last.as_bytes());
    drop(queue.begin_request());
    assert_eq!(read(&mut sequence).await, None);
}

#[actix_rt::test]
async fn trailers_without_end_end_their_connection_alone() {
    let budget = UnreadBudget::new(1 << 20, Vec::new());
    let endless = format!("PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n{}", "t: x\r\n".repeat(9000));
    let (mut sequence, _, mut client) = sent(&endless, &budget).await;
    let mut buffer = vec![0; endless.len()];
    assert_eq!(sequence.read(&mut buffer).await.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    drop(sequence);
    let mut received = String::new();
    client.read_to_string(&mut received).await.unwrap();
    assert!(received.starts_with("HTTP/1.1 400 "), "{received}");
}

#[actix_rt::test]
async fn what_the_parser_refuses_is_answered_in_its_place_and_what_a_route_sends_is_not_touched() {
    const REFUSAL: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\ndate: x\r\n\r\n";
    let budget = UnreadBudget::new(1 << 20, Vec::new());
    let (mut sequence, queue, mut client) = sent("GET /a HTTP/1.1\r\nbad header\r\n\r\n", &budget).await;
    read(&mut sequence).await.unwrap();
    let pending = queue.begin_request();
    sequence.write_all(REFUSAL).await.unwrap();
    drop(pending);
    client.write_all(b"GET /b HTTP/1.1\r\nbad header\r\n\r\n").await.unwrap();
    read(&mut sequence).await.unwrap();
    sequence.write_all(&[b"the end", REFUSAL].concat()).await.unwrap();
    sequence.shutdown().await.unwrap();
    let mut received = String::new();
    client.read_to_string(&mut received).await.unwrap();
    let expected = [REFUSAL, b"the end", b"HTTP/1.1 400 MalformedHead\r\n\r\nGET /b HTTP/1.1\\r\\n"].concat();
    assert_eq!(received.as_bytes(), expected);
}

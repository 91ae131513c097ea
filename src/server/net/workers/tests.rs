//! Distribution of connections over threads, and the limits of waiting.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::HashMap;
use std::sync::Mutex;
use std::thread::ThreadId;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::server::net::listeners::listen_each;

/// Number of connections that each thread has served.
type Counts = Arc<Mutex<HashMap<ThreadId, usize>>>;

/// Starts workers that greet every connection with a byte and serve it until its client closes it.
fn greeting(threads: usize, bounds: Bounds) -> (SocketAddr, Workers, Counts) {
    let (address, listeners) = listen_each("127.0.0.1:0".parse().unwrap(), threads).unwrap();
    let counts = Counts::default();
    let counted = counts.clone();
    let make = move |_| {
        let counted = counted.clone();
        let serve: Serve = Box::new(move |mut tcp, _| {
            *counted.lock().unwrap().entry(std::thread::current().id()).or_default() += 1;
            Box::pin(async move {
                let _ = (tcp.write_all(b"!").await, tcp.read_u8().await);
            })
        });
        std::future::ready(serve)
    };
    (address, start(listeners, bounds, make).unwrap(), counts)
}

fn bounds(connections: usize) -> Bounds {
    let addresses = Addresses::new(usize::MAX, Vec::new());
    Bounds { connections, addresses, stop_timeout: Duration::from_secs(60) }
}

async fn greeted(address: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(address).await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'!');
    client
}

#[actix_rt::test]
async fn connections_are_spread_over_all_threads() {
    let (address, _workers, counts) = greeting(4, bounds(1000));
    let mut clients = Vec::new();
    for _ in 0..400 {
        clients.push(greeted(address).await);
    }
    let counts: Vec<usize> = counts.lock().unwrap().values().copied().collect();
    assert_eq!((counts.len(), counts.iter().sum()), (4, 400), "{counts:?}");
}

#[actix_rt::test]
async fn more_connections_than_there_are_permits_wait_until_one_ends() {
    let (address, _workers, counts) = greeting(2, bounds(2));
    let (first, _second) = (greeted(address).await, greeted(address).await);
    let third = actix_rt::spawn(greeted(address));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(counts.lock().unwrap().values().sum::<usize>(), 2);
    drop(first);
    third.await.unwrap();
}

#[actix_rt::test]
async fn stopping_waits_for_what_is_under_way_and_accepts_no_more() {
    let (address, workers, counts) = greeting(2, bounds(10));
    let client = greeted(address).await;
    let stopping = actix_rt::spawn(workers.stop());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!stopping.is_finished());
    let late = TcpStream::connect(address).await;
    drop(client);
    stopping.await.unwrap();
    drop(late);
    assert_eq!(counts.lock().unwrap().values().sum::<usize>(), 1);
}

#[actix_rt::test]
async fn stopping_waits_no_longer_than_it_may() {
    let (address, workers, _) = greeting(1, Bounds { stop_timeout: Duration::from_millis(50), ..bounds(10) });
    let mut client = greeted(address).await;
    let stopped = tokio::time::timeout(Duration::from_secs(20), workers.stop()).await;
    assert!(stopped.is_ok(), "it waits for a client that stays");
    assert_eq!(client.read(&mut [0]).await.unwrap_or_default(), 0, "the connection of that client is closed");
}

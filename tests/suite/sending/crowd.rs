//! Clients that send no request, read no response, or send a request byte by byte, beside clients that
//! pull: all pulls succeed. How much slower these become is printed; `DEPENDENCY_PROXY_TEST_CROWD` sets
//! the number of clients (see `tests/soak`).

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;

use super::{MIB, Scene, Wire};

/// Number of idle clients without the variable; of the two other kinds there are a tenth.
const DEFAULT_CLIENTS: usize = 50;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_millis(500);

/// Returns the number of blobs and manifests that four clients pull in a round, one after the other.
async fn pulls(scene: &Scene) -> u64 {
    let end = Instant::now() + ROUND;
    let pulling = (0..4).map(|_| async {
        let mut pulled = 0;
        while Instant::now() < end {
            let blob = scene.client.blob("team", "app", scene.small.digest()).await;
            assert!(blob.status == 200 && blob.body == scene.small.bytes());
            assert_eq!(scene.client.manifest("team", "app", "1").await.status, 200);
            pulled += 2;
        }
        pulled
    });
    futures::future::join_all(pulling).await.into_iter().sum()
}

async fn idle(scene: &Scene) -> Wire {
    let mut wire = scene.connect().await;
    wire.send(&scene.request("GET", &scene.small, "")).await;
    let (status, length) = wire.head().await.unwrap();
    wire.body(length).await.unwrap();
    assert_eq!(status, 200);
    wire
}

async fn stalled(scene: &Scene) -> Wire {
    let mut wire = scene.connect().await;
    wire.send(&scene.request("GET", &scene.large, "")).await;
    assert_eq!(wire.head().await.unwrap(), (200, 32 * MIB));
    wire
}

/// Sends a request byte by byte until the test ends.
async fn trickling(mut wire: Wire) {
    wire.send("GET /v2/ HTTP/1.1\r\nhost: test\r\nx: ").await;
    while wire.stream.write_all(b"x").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[actix_rt::test]
async fn pulls_succeed_beside_idle_stalled_and_trickling_clients() {
    let crowd = std::env::var("DEPENDENCY_PROXY_TEST_CROWD").ok().and_then(|number| number.parse().ok());
    let crowd: usize = crowd.unwrap_or(DEFAULT_CLIENTS);
    let scene = Scene::of(32 * MIB).await.stocked().await;
    let mut alone = 0;
    for _ in 0..ROUNDS {
        alone += pulls(&scene).await;
    }
    let (mut held, mut tricklers) = (Vec::new(), Vec::new());
    for number in 0..crowd {
        held.push(idle(&scene).await);
        if number % 10 == 0 {
            held.push(stalled(&scene).await);
            tricklers.push(actix_rt::spawn(trickling(scene.connect().await)));
        }
    }
    let mut beside = 0;
    for _ in 0..ROUNDS {
        beside += pulls(&scene).await;
    }
    eprintln!("beside {} connections: {beside} pulls, {alone} without", held.len() + tricklers.len());
    assert!(scene.metric("dependency_proxy_connections").await >= crowd as u64);
    assert!(beside > 0 && tricklers.iter().all(|trickler| !trickler.is_finished()));
    // A client that paused gets its response when it continues.
    let mut stalled = held.remove(1);
    assert!(stalled.body(32 * MIB).await.unwrap() == scene.large.bytes());
    tricklers.iter().for_each(|trickler| trickler.abort());
}

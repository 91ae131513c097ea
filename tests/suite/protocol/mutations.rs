//! Requests of clients, with bytes changed, removed, repeated and inserted: none of them causes a server error, and
//! none stops the service. The changes follow from the seed; `DEPENDENCY_PROXY_TEST_MUTATION_SECONDS` sets the
//! duration (see `tests/soak`).

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::raw::{exchange, request};
use super::{House, PULL, served};
use crate::crash::Chances;
use crate::service::ADMIN_TOKEN;

/// Duration without the variable, in seconds.
const DEFAULT_SECONDS: u64 = 3;

/// Minimum number of rounds, each with one mutation of each request, however slow the machine is.
const MIN_ROUNDS: u32 = 20;

/// Texts that matter to a parser, and numbers at the limits of their types.
const FRAGMENTS: [&str; 16] = [
    "\r\n",
    "\r\n\r\n",
    "\0",
    "%00",
    "%2f",
    "../",
    "\u{fc}",
    ": ",
    " ",
    "18446744073709551616",
    "-1",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Range: bytes=0-0,2-1,-0\r\n",
    "Expect: 100-continue\r\n",
    "Upgrade: websocket\r\nConnection: upgrade\r\n",
];

fn requests(house: &House) -> Vec<Vec<u8>> {
    let bearer = house.client.authorization().to_owned();
    let bearer = [("Authorization", bearer.as_str()), ("Accept", "application/vnd.oci.image.index.v1+json, */*;q=0.1")];
    let admin = [("PRIVATE-TOKEN", ADMIN_TOKEN), ("Content-Type", "application/json"), ("Content-Length", "31")];
    let home = "/v2/team/dependency_proxy/containers/alpine";
    let layer = house.image.layers()[0].digest();
    let with = |more: [(&'static str, &'static str); 1]| [&bearer[..], &more[..]].concat();
    let group = [request("POST", "/api/v4/groups", &admin), br#"{"name": "other", "path":"other"}"#[..31].to_vec()];
    vec![
        request("GET", &format!("{home}/manifests/latest"), &bearer),
        request("HEAD", &format!("{home}/manifests/latest?ns=docker.io"), &with([("If-None-Match", "\"sha256:0\"")])),
        request("GET", &format!("{home}/blobs/{layer}"), &with([("Range", "bytes=0-99,200-299,-5")])),
        request("GET", &format!("{home}/tags/list?n=10&last=a"), &bearer),
        request("GET", &format!("{home}/referrers/{layer}?artifactType=a"), &bearer),
        request("GET", "/v2/", &[]),
        request(
            "GET",
            &format!("/jwt/auth?service=dependency_proxy{PULL}"),
            &[("Authorization", "Basic dGVhbTpzZWNyZXQ=")],
        ),
        request("GET", "/api/v4/groups/team/dependency_proxy/manifests?per_page=2", &admin[..1]),
        group.concat(),
    ]
}

fn mutated(mut bytes: Vec<u8>, chances: &mut Chances) -> Vec<u8> {
    for _ in 0..=chances.below(4) {
        let length = bytes.len() as u64;
        let at = usize::try_from(chances.below(length.max(1))).unwrap();
        let to = (at + usize::try_from(chances.below(40)).unwrap()).min(bytes.len());
        match chances.below(7) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << chances.below(8),
            2 => drop(bytes.drain(at..to)),
            3 => drop(bytes.splice(at..at, bytes[at..to].to_vec())),
            4 => bytes.truncate(at),
            5 if at < to => {
                let long = bytes[at..to].repeat(usize::try_from(chances.below(3000)).unwrap());
                drop(bytes.splice(at..at, long));
            }
            _ => {
                let fragment = FRAGMENTS[usize::try_from(chances.below(FRAGMENTS.len() as u64)).unwrap()];
                drop(bytes.splice(at..at, fragment.bytes()));
            }
        }
    }
    bytes
}

/// Returns the status of the first response; `None` where the connection ends without one, which it must soon.
fn status(address: SocketAddr, bytes: &[u8]) -> Option<u16> {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // Fails where the service has refused the request before it was complete.
    let _ = connection.write_all(bytes).and_then(|()| connection.shutdown(Shutdown::Write));
    let mut response = Vec::new();
    if let Err(error) = connection.read_to_end(&mut response) {
        assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "held open: {:?}", String::from_utf8_lossy(bytes));
    }
    let status = response.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    Some(std::str::from_utf8(status).unwrap().parse().unwrap())
}

#[actix_rt::test]
async fn the_name_of_a_header_is_refused_at_every_length_that_is_too_long() {
    let house = House::new().await;
    for length in [300, 32_000, 65_536, 70_000, 120_000] {
        let address = house.service.address;
        let bytes = request("GET", "/v2/", &[(&"n".repeat(length), "x")]);
        let answered = actix_rt::task::spawn_blocking(move || exchange(address, &bytes)).await.unwrap();
        // The connection of a client that continues to send may be reset before it reads.
        let said = |body: &[u8]| String::from_utf8_lossy(body).contains("The name of a header");
        assert!(answered.is_none_or(|answer| answer.status == 400 && said(&answer.body)));
    }
    assert_eq!(house.pull(&house.ci.username, &house.ci.secret, "team").await, served());
    assert!(!house.service.log().contains("panicked"), "{}", house.service.log());
}

#[actix_rt::test]
async fn no_change_to_a_request_is_a_failure_of_the_service() {
    let mut chances = Chances::announced("mutated requests");
    let seconds = std::env::var("DEPENDENCY_PROXY_TEST_MUTATION_SECONDS").ok().and_then(|number| number.parse().ok());
    let house = House::new().await;
    assert_eq!(house.pull(&house.ci.username, &house.ci.secret, "team").await, served());
    let (address, requests) = (house.service.address, requests(&house));
    let send = move || {
        let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(DEFAULT_SECONDS));
        let mut statuses = BTreeMap::<_, u64>::new();
        let mut rounds = 0;
        while Instant::now() < end || rounds < MIN_ROUNDS {
            rounds += 1;
            for request in &requests {
                let bytes = mutated(request.clone(), &mut chances);
                let status = status(address, &bytes);
                assert!(status.is_none_or(|status| status < 500), "{status:?}: {:?}", String::from_utf8_lossy(&bytes));
                *statuses.entry(status).or_default() += 1;
            }
        }
        statuses
    };
    let statuses = actix_rt::task::spawn_blocking(send).await.unwrap();
    eprintln!("mutated requests by status: {statuses:?}");
    assert!(statuses.len() > 4, "{statuses:?}");
    assert_eq!(house.pull(&house.ci.username, &house.ci.secret, "team").await, served());
    assert!(!house.service.log().contains("panicked"), "{}", house.service.log());
}

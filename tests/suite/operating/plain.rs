//! Clients that use TLS on the plain-HTTP port.

use std::io::Write;
use std::net::TcpStream;

use fake_registry::FakeRegistry;

use crate::service::{Config, eventually};

/// The first bytes of a TLS connection.
const CLIENT_HELLO: [u8; 6] = [0x16, 0x03, 0x01, 0x00, 0x05, 0x01];

#[actix_rt::test]
async fn tls_spoken_to_the_plain_port_is_told_once_and_harms_nobody() {
    let hub = FakeRegistry::start();
    let service = Config::docker_hub(&hub).start();
    let told = || service.log().matches("spoke TLS to the plain port").count();
    for _ in 0..3 {
        TcpStream::connect(service.address).unwrap().write_all(&CLIENT_HELLO).unwrap();
        eventually("the log tells of it", async || told() > 0).await;
    }
    assert_eq!(service.stranger().get("/healthz").await.status, 200);
    assert_eq!(told(), 1);
}

//! A request that is held back.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::service::Service;

/// A request whose last byte has not been sent.
pub(super) struct Held {
    pub(super) connection: TcpStream,
    last: u8,
}

impl Held {
    /// Sends all but the last byte. If there is a body, returns once the service has read the head and sent 100
    /// Continue (RFC 9110 section 10.1.1).
    pub(super) fn begin(service: &Service, authorization: &str, method: &str, path: &str, body: &str) -> Self {
        let mut head = format!(
            "{method} /api/v4{path} HTTP/1.1\r\nHost: cache.test\r\nConnection: close\r\nAuthorization: {authorization}\r\n"
        );
        if !body.is_empty() {
            head += &format!(
                "Content-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n",
                body.len()
            );
        }
        let bytes = format!("{head}\r\n{body}").into_bytes();
        let (last, sent) = bytes.split_last().unwrap();
        let mut connection = TcpStream::connect(service.address).unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        connection.write_all(sent).unwrap();
        if !body.is_empty() {
            let mut proceed = [0; 25];
            connection.read_exact(&mut proceed).unwrap();
            assert_eq!(&proceed, b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        Self { connection, last: *last }
    }

    /// Sends the last byte. Returns the status and the body.
    pub(super) fn finish(mut self) -> (u16, String) {
        self.connection.write_all(&[self.last]).unwrap();
        let mut response = String::new();
        self.connection.read_to_string(&mut response).unwrap();
        let status = response.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
        (status, response.split_once("\r\n\r\n").unwrap().1.to_owned())
    }
}

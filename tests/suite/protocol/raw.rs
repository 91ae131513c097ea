//! Requests as bytes, such as no HTTP library sends, and responses with their reason phrase, which no library shows.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A response, with header names in lower case.
#[derive(Debug)]
pub struct RawAnswer {
    pub status: u16,
    pub reason: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Sends these bytes and reads until the connection ends. Returns `None` where it ended without a response. Blocks.
pub fn exchange(address: SocketAddr, bytes: &[u8]) -> Option<RawAnswer> {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // A server that has responded may close the connection before it has read everything.
    let _ = connection.write_all(bytes);
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer);
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.splitn(3, ' ').skip(1);
    let status = first.next()?.parse().unwrap();
    let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    Some(RawAnswer {
        status,
        reason: first.next().unwrap_or_default().to_owned(),
        headers: lines.filter_map(header).collect(),
        body: answer[end + 4..].to_vec(),
    })
}

/// Returns a request without a body, with `Connection: close`.
pub fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: cache.test\r\nConnection: close\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    (text + "\r\n").into_bytes()
}

impl RawAnswer {
    /// Returns all values of this header.
    pub fn header(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }

    /// Returns the code in the body, which must be a registry error.
    pub fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("{} with a body that is no error", self.status));
        body["errors"][0]["code"].as_str().unwrap().to_owned()
    }
}

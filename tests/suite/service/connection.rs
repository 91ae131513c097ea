//! One client's connection without an HTTP client: reads as fast or slowly as a test requires, and keeps no data.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::Client;

/// A connection that is kept open, for one request at a time.
pub struct Connection {
    stream: TcpStream,
    authorization: String,
    unread: Vec<u8>,
    /// Number of unread bytes of the present body.
    pub left: u64,
}

/// The head of an answer.
#[derive(Debug)]
pub struct Head {
    pub status: u16,
    headers: Vec<(String, String)>,
}

impl Client {
    pub async fn connect(&self) -> Connection {
        self.connect_with_window(None).await
    }

    /// Connects with a socket that buffers about this number of unread bytes at most.
    pub async fn connect_with_window(&self, bytes: Option<u32>) -> Connection {
        let (address, authorization) = self.whereto();
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(bytes) = bytes {
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        let stream = socket.connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Connection { stream, authorization, unread: Vec::new(), left: 0 }
    }
}

impl Connection {
    /// Sends a request and reads the head of the response. `more` has further header lines, each with its line end.
    pub async fn get(&mut self, path: &str, more: &str) -> io::Result<Head> {
        assert_eq!(self.left, 0, "the last body was not read to its end");
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: test\r\nauthorization: {}\r\n{more}\r\n", self.authorization);
        self.stream.write_all(request.as_bytes()).await?;
        loop {
            let mut headers = [httparse::EMPTY_HEADER; 32];
            let mut response = httparse::Response::new(&mut headers);
            if let httparse::Status::Complete(length) = response.parse(&self.unread).unwrap() {
                let head = Head::of(&response);
                self.left = head.header("content-length").parse().unwrap();
                self.unread.drain(..length);
                return Ok(head);
            }
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads the next bytes of the body; zero bytes mean its end. Fails where the connection is cut off before.
    pub async fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = into.len().min(usize::try_from(self.left).unwrap());
        let into = &mut into[..most];
        if most == 0 {
            return Ok(0);
        }
        let read = if self.unread.is_empty() {
            self.stream.read(into).await?
        } else {
            let read = most.min(self.unread.len());
            into[..read].copy_from_slice(&self.unread[..read]);
            self.unread.drain(..read);
            read
        };
        self.left -= read as u64;
        if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(read) }
    }

    /// Reads the body to its end, and returns true where it is the rest of `expected`.
    pub async fn matches(&mut self, expected: &[u8]) -> io::Result<bool> {
        let mut at = expected.len() - usize::try_from(self.left).unwrap();
        let mut buffer = vec![0; 128 * 1024];
        let mut same = true;
        loop {
            let read = self.read(&mut buffer).await?;
            if read == 0 {
                return Ok(same);
            }
            same &= buffer[..read] == expected[at..at + read];
            at += read;
        }
    }
}

impl Head {
    fn of(response: &httparse::Response<'_, '_>) -> Self {
        let header = |header: &httparse::Header<'_>| {
            (header.name.to_ascii_lowercase(), String::from_utf8_lossy(header.value).into_owned())
        };
        let headers = response.headers.iter().map(header).collect();
        Self { status: response.code.unwrap(), headers }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

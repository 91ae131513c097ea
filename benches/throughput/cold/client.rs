//! One client: keeps its connection, reads every answer to its end, and can check what it got.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::digest::{Context, SHA256};
use rustls::ClientConfig;

use super::crowd::Desk;
use crate::load::{self, Connection, Received, Request, Target};

/// A client of one server.
pub(super) struct Client<'a> {
    desk: &'a Desk,
    target: Target,
    tls: Option<Arc<ClientConfig>>,
    connection: Option<Connection>,
}

impl<'a> Client<'a> {
    /// One that has not connected yet.
    pub(super) fn new(desk: &'a Desk, target: Target) -> io::Result<Self> {
        let tls = target.tls.then(|| load::tls::client(true)).transpose()?;
        Ok(Self { desk, target, tls, connection: None })
    }

    /// Asks, and checks status and length; where a digest is given, that too. Connecting, where it must, is part of the time.
    pub(super) async fn get(&mut self, request: &Request, digest: Option<&str>) -> io::Result<Received> {
        let started = Instant::now();
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.target.address, self.tls.as_ref()).await?,
        };
        let mut body = digest.map(|_| Body::default());
        connection.discard(body.is_none());
        let see = |bytes: &[u8]| {
            self.desk.tally.borrow_mut().bytes += bytes.len() as u64;
            body.iter_mut().for_each(|body| body.add(bytes));
        };
        let received = connection.ask(request, started, &self.desk.buffer, see).await?;
        if body.map(Body::digest).as_deref() != digest {
            return Err(io::Error::other("wrong digest"));
        }
        self.connection = received.reusable.then_some(connection);
        Ok(received)
    }
}

/// The body of an answer, hashed as it comes.
#[derive(Default)]
struct Body {
    head: Vec<u8>,
    hash: Option<Context>,
}

impl Body {
    fn add(&mut self, bytes: &[u8]) {
        if let Some(hash) = &mut self.hash {
            return hash.update(bytes);
        }
        self.head.extend_from_slice(bytes);
        let end = self.head.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            self.hash.insert(Context::new(&SHA256)).update(&self.head[end + 4..]);
        }
    }

    fn digest(self) -> String {
        let hash = self.hash.unwrap_or_else(|| Context::new(&SHA256));
        format!("sha256:{}", hex::encode(hash.finish()))
    }
}

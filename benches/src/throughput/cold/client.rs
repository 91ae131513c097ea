//! One client: keeps its connection, reads every response to its end, and can verify the content.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::digest::{Context, SHA256};
use rustls::ClientConfig;

use super::crowd::ThreadState;
use crate::throughput::load::{self, Connection, Received, Request, Target};

/// A client of one server.
pub(in crate::throughput) struct Client<'a> {
    state: &'a ThreadState,
    target: Target,
    tls: Option<Arc<ClientConfig>>,
    connection: Option<Connection>,
}

impl<'a> Client<'a> {
    /// Creates a client that has not connected yet.
    pub(in crate::throughput) fn new(state: &'a ThreadState, target: Target) -> io::Result<Self> {
        let tls = target.tls.then(|| load::tls::client(true)).transpose()?;
        Ok(Self { state, target, tls, connection: None })
    }

    /// Sends a request; checks status, length and, if given, the digest. The time includes the connect,
    /// if one is needed.
    pub(in crate::throughput) async fn get(&mut self, request: &Request, digest: Option<&str>) -> io::Result<Received> {
        let started = Instant::now();
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.target.address, self.tls.as_ref()).await?,
        };
        let mut body = digest.map(|_| Body::default());
        connection.discard(body.is_none());
        let see = |bytes: &[u8]| {
            self.state.tally.borrow_mut().bytes += bytes.len() as u64;
            body.iter_mut().for_each(|body| body.add(bytes));
        };
        let received = connection.request(request, started, &self.state.buffer, see).await?;
        if body.map(Body::digest).as_deref() != digest {
            return Err(io::Error::other("wrong digest"));
        }
        self.connection = received.reusable.then_some(connection);
        Ok(received)
    }
}

/// The body of a response, hashed as it arrives.
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

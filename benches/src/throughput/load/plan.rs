//! Parameters of a load.

use std::net::SocketAddr;
use std::time::Duration;

/// A server, as clients see it.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Address to connect to.
    pub address: SocketAddr,
    /// True where the server uses TLS, with the lab's certificate.
    pub tls: bool,
}

/// Parameters of a load.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Number of concurrent connections; each sends the next request once it has the response.
    pub connections: usize,
    /// True where TLS sessions are resumed, which matters only with a connection per request.
    pub resumption: bool,
    /// End of the load.
    pub until: Until,
}

/// Condition that ends a load.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After this time; requests in progress are aborted, and their bytes count.
    Elapsed(Duration),
    /// After this number of responses, correct or not, which is divided evenly over the threads.
    Answers(u64),
}

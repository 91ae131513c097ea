//! Network side of the service: accepts connections on the worker threads and serves HTTP/1 over them, plain or with
//! TLS.
//!
//! | module | content |
//! |---|---|
//! | [`listeners`] | the ports for clients and for metrics: binds them and begins to serve |
//! | [`workers`] | the worker threads, each with a listener of its own; the maximum number of connections |
//! | [`connection`] | one client connection: TLS handshake, then HTTP/1 |
//! | [`sequence`], [`framing`] | one request at a time for the HTTP parser; the end of each request |
//! | [`socket`] | the TCP connection: sends file ranges in its flush |
//! | [`tls`] | the certificate and its reload |
//! | [`addresses`], [`idlers`], [`unread`] | connections per client address; idle connections; memory for requests |
//! | [`blocked`], [`deadline`], [`half_closed`] | timeouts of a client; a client that has closed its sending side |
//! | [`turns`] | turns of the connections of a thread, while several groups use it |
//! | [`parser_refusal`], [`tls_on_plain_port`] | responses of the HTTP parser; TLS on the plain port |

mod addresses;
mod blocked;
mod connection;
mod deadline;
mod framing;
mod half_closed;
mod idlers;
pub(super) mod listeners;
mod parser_refusal;
mod sequence;
mod socket;
pub(super) mod tls;
mod tls_on_plain_port;
mod turns;
mod unread;
pub(super) mod workers;

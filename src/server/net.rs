//! Network side of the service: listeners, worker threads, connections and sockets.

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
mod unread;
pub(super) mod workers;

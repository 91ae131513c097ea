//! Which cause stands behind an error of the HTTP client: one kind per cause, found in the chain of errors.

use std::error::Error;
use std::io;

use super::error::{ConnectionFailure, UpstreamError};

/// A host's name that could not be resolved.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NameError(pub(super) io::Error);

/// What the HTTP client's error means, where the connection is to be encrypted or not. It holds no address any more.
pub(super) fn cause(error: &reqwest::Error, encrypted: bool, elsewhere: Option<String>) -> UpstreamError {
    if error.is_timeout() || io_kinds(error).any(|kind| kind == io::ErrorKind::TimedOut) {
        let timed_out = ConnectionFailure::TimedOut;
        return match elsewhere {
            None => UpstreamError::TimedOut,
            Some(_) => UpstreamError::Unreachable { failure: timed_out, elsewhere, reason: innermost(error) },
        };
    }
    let mut failure = failure(error);
    if failure == ConnectionFailure::Closed && error.is_connect() && encrypted {
        // The handshake is all that can be cut off before there is a connection.
        failure = ConnectionFailure::Tls;
    }
    UpstreamError::Unreachable { failure, elsewhere, reason: innermost(error) }
}

/// Whether the connection ended before a response began, after it had been there: the server may just have closed it for being
/// idle, so that the same request on a new one succeeds.
pub(super) fn is_dead_connection(error: &reqwest::Error) -> bool {
    !error.is_connect() && !error.is_timeout() && error.is_request() && failure(error) == ConnectionFailure::Closed
}

fn failure(error: &reqwest::Error) -> ConnectionFailure {
    if chain(error).any(|cause| cause.is::<NameError>()) {
        ConnectionFailure::NameResolution
    } else if chain(error).any(is_tls) {
        ConnectionFailure::Tls
    } else if io_kinds(error).any(|kind| kind == io::ErrorKind::ConnectionRefused) {
        ConnectionFailure::Refused
    } else if chain(error).any(|cause| cause.to_string().contains("tunnel")) {
        // The HTTP client has no type for it.
        ConnectionFailure::Proxy
    } else if error.is_connect() && !io_kinds(error).any(is_cut) {
        ConnectionFailure::Network
    } else if chain(error).any(is_malformed) {
        ConnectionFailure::InvalidHttp
    } else {
        ConnectionFailure::Closed
    }
}

/// What the HTTP client says of a head that it cannot read; it has no type for it.
fn is_malformed(cause: &(dyn Error + 'static)) -> bool {
    let text = cause.to_string();
    text.starts_with("invalid") || text.contains("parsed") || text.contains("too large")
}

fn is_cut(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

fn is_tls(cause: &(dyn Error + 'static)) -> bool {
    wrapped(cause).any(|inner| inner.is::<rustls::Error>())
}

fn io_kinds<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = io::ErrorKind> + 'a {
    chain(error).flat_map(wrapped).filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind)
}

/// A cause and what it wraps: an `io::Error` does not name that as its source.
fn wrapped<'a>(cause: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(cause), |cause| {
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        inner.map(|inner| inner as &(dyn Error + 'static))
    })
}

/// An error and what caused it, from the outermost on.
pub(super) fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |cause| (*cause).source())
}

/// What the last error of a chain says, shortened. The outer ones only repeat that something failed.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    let last = chain(error).last().unwrap_or(error);
    last.to_string().chars().filter(|char| !char.is_control()).take(160).collect()
}

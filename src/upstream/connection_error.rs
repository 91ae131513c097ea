//! Cause of an error of the HTTP client: one kind per cause, found in the chain of errors.

use std::error::Error;
use std::io;

use super::error::{ConnectionFailure, UpstreamError};

/// Maximum number of characters of a reason in an error.
const MAX_REASON_CHARS: usize = 160;

/// A host name that could not be resolved.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NameError(pub(super) io::Error);

/// Converts an error of the HTTP client. `encrypted` states whether the connection uses TLS. The result contains no
/// address other than the host `elsewhere`.
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
        // Before the connection is established, only the TLS handshake can be cut off.
        failure = ConnectionFailure::Tls;
    }
    UpstreamError::Unreachable { failure, elsewhere, reason: innermost(error) }
}

/// Returns true if an established connection ended before a response began. The server may have closed it because
/// it was idle, so that the same request can succeed on a new connection.
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
        // The HTTP client has no error type for this.
        ConnectionFailure::Proxy
    } else if error.is_connect() && !io_kinds(error).any(is_cut) {
        ConnectionFailure::Network
    } else if chain(error).any(is_malformed) {
        ConnectionFailure::InvalidHttp
    } else {
        ConnectionFailure::Closed
    }
}

/// Returns true if the error is about a malformed response head. The HTTP client has no type for this.
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

/// Returns a cause and the errors that it wraps: an `io::Error` does not return its inner error as its source.
fn wrapped<'a>(cause: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(cause), |cause| {
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        inner.map(|inner| inner as &(dyn Error + 'static))
    })
}

/// Returns an error and its causes, from the outermost inwards.
pub(super) fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |cause| (*cause).source())
}

/// Returns the text of the innermost error, shortened. The outer ones only repeat that something failed.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    let last = chain(error).last().unwrap_or(error);
    last.to_string().chars().filter(|char| !char.is_control()).take(MAX_REASON_CHARS).collect()
}

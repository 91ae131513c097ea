//! Which cause stands behind an error of the HTTP client: one kind per cause, found in the chain of errors.

use std::error::Error;
use std::io;

use super::error::{ConnectionFailure, UpstreamError};

/// A host's name that could not be resolved.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NameError(pub(super) io::Error);

/// What the HTTP client's error means. It holds no address any more.
pub(super) fn cause(error: &reqwest::Error) -> UpstreamError {
    if error.is_timeout() || io_kinds(error).any(|kind| kind == io::ErrorKind::TimedOut) {
        return UpstreamError::TimedOut;
    }
    UpstreamError::Unreachable { failure: failure(error), reason: innermost(error) }
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
    } else if error.is_connect() {
        ConnectionFailure::Network
    } else {
        ConnectionFailure::Closed
    }
}

fn is_tls(cause: &(dyn Error + 'static)) -> bool {
    // An `io::Error` does not name what it wraps as its source, and may wrap another one.
    match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => is_tls(wrapped),
        None => cause.is::<rustls::Error>(),
    }
}

fn io_kinds<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = io::ErrorKind> + 'a {
    chain(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind)
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

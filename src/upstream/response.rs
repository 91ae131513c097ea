//! Interpretation of registry responses. Digests and lengths of content are passed on as unverified claims.

use std::borrow::Cow;

use std::ops::Range;

use jiff::Timestamp;
use reqwest::Response;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap};
use secrecy::SecretString;

use super::content::ContentHead;
use super::error::{ConnectionFailure, UpstreamError, is_transient};
use super::transport::FinalResponse;
use super::{failure_body, rate_limit};
use crate::domain::digest::Digest;
use crate::domain::manifest::ACCEPTED;

/// Returns the response if it is a success, and converts any other into an error. A refusal by the storage behind a
/// redirect is not a decision of the registry. Error messages of upstream that repeat one of `passwords`, which are
/// read for a failure only, are dropped.
///
/// # Errors
///
/// Fails if the status is neither 200 nor 206.
pub(super) async fn successful<'a>(
    received: FinalResponse,
    behind_redirect: Refusal,
    passwords: impl FnOnce() -> Cow<'a, [SecretString]>,
) -> Result<Response, UpstreamError> {
    let FinalResponse { response, redirected, authorization, .. } = received;
    let of_storage = redirected && behind_redirect == Refusal::OfStorage;
    match response.status().as_u16() {
        200 | 206 => Ok(response),
        100..=399 => Err(UpstreamError::InvalidResponse { what: "a status that brings no content" }),
        404 => Err(UpstreamError::NotFound),
        // The HTTP proxy in between sends this, not upstream.
        407 => Err(UpstreamError::Unreachable {
            failure: ConnectionFailure::Proxy,
            elsewhere: None,
            reason: "it requires authentication".to_owned(),
        }),
        416 => Err(UpstreamError::WrongRange),
        429 => Err(UpstreamError::RateLimited(rate_limit::read(response.headers(), Timestamp::now()))),
        status if is_transient(status) => {
            Err(UpstreamError::ServerError(failure_body::read(response, authorization.as_ref(), &passwords()).await))
        }
        status if of_storage => Err(UpstreamError::Storage { status }),
        401 | 403 => {
            let failure = failure_body::read(response, authorization.as_ref(), &passwords()).await;
            Err(UpstreamError::Denied { message: failure.message.filter(|message| adds_information(message)) })
        }
        _ => Err(UpstreamError::Refused(failure_body::read(response, authorization.as_ref(), &passwords()).await)),
    }
}

/// Returns true if a message adds information to the fact that access is denied. docker and podman print only
/// `denied` for the default messages of CNCF Distribution.
fn adds_information(message: &str) -> bool {
    const DEFAULTS: [&str; 6] = [
        "authentication required",
        "requested access to the resource is denied",
        "access to the requested resource is not authorized",
        "unauthorized",
        "denied",
        "forbidden",
    ];
    !DEFAULTS.iter().any(|default| message.trim_end_matches('.').eq_ignore_ascii_case(default))
}

/// Origin of a refusal that came after a redirect.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Another registry, as for manifests.
    OfRegistry,
    /// A storage service with signed addresses, as for blobs.
    OfStorage,
}

/// Returns what the headers of a manifest claim. A generic media type is left out, because the document has a
/// specific one.
///
/// # Errors
///
/// Fails if the media type is not that of a manifest, as of a sign-in page, or is an unsupported one.
pub(super) fn manifest_head(headers: &HeaderMap) -> Result<ContentHead, UpstreamError> {
    let head = content_head(headers);
    match head.media_type.as_deref() {
        Some(media_type) if ACCEPTED.contains(&media_type) => Ok(head),
        Some(media_type) if media_type.starts_with(SCHEMA_1) => {
            Err(UpstreamError::Unsupported { what: "a manifest of Docker's schema 1" })
        }
        None => Ok(head),
        Some(media_type) if GENERIC.contains(&media_type) => Ok(ContentHead { media_type: None, ..head }),
        Some(media_type) if media_type.starts_with("application/vnd.") => {
            Err(UpstreamError::Unsupported { what: "content of another media type than a manifest's" })
        }
        Some(_) => Err(UpstreamError::InvalidResponse { what: "the media type is not that of a manifest" }),
    }
}

/// Returns what the response to a `HEAD` claims about a manifest, if it is complete: with media type and length. An
/// incomplete response may be one to the method instead of the manifest.
pub(super) fn affirmed_manifest(headers: &HeaderMap) -> Option<ContentHead> {
    let head = manifest_head(headers).ok()?;
    (head.media_type.is_some() && head.length.is_some_and(|length| length > 0)).then_some(head)
}

/// Returns what the response to a `HEAD` claims about a blob, if it states the length. The length may be 0 only for
/// the empty blob.
pub(super) fn affirmed_blob(headers: &HeaderMap, digest: &Digest) -> Option<ContentHead> {
    let head = content_head(headers);
    let same = head.digest.is_none_or(|claimed| claimed == *digest);
    (same && head.length.is_some_and(|length| length > 0 || is_empty(digest))).then_some(head)
}

/// Returns true if this is the digest of empty content, which has no first byte.
pub(super) fn is_empty(digest: &Digest) -> bool {
    digest.to_string() == EMPTY_BLOB
}

/// Digest of empty content.
const EMPTY_BLOB: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Beginning of the media types of Docker's obsolete manifest schema 1.
const SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1+";

/// Generic media types, which do not identify a manifest.
const GENERIC: [&str; 4] = ["application/json", "application/octet-stream", "binary/octet-stream", "text/plain"];

/// Returns what the headers claim about a complete content.
pub(super) fn content_head(headers: &HeaderMap) -> ContentHead {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    ContentHead {
        media_type: text(CONTENT_TYPE.as_str()).and_then(media_type),
        length: text(CONTENT_LENGTH.as_str()).and_then(|length| number(length.trim())),
        digest: text("docker-content-digest").and_then(|digest| digest.trim().parse().ok()),
    }
}

/// Returns what the headers claim about a whole blob that was requested from offset `from`, and the number of
/// surplus bytes at the start of the body.
///
/// # Errors
///
/// Fails if upstream sent another range than the requested one.
pub(super) fn blob_head(partial: bool, headers: &HeaderMap, from: u64) -> Result<(ContentHead, u64), UpstreamError> {
    let mut head = content_head(headers);
    if !partial {
        return if head.length.is_some_and(|length| length < from) {
            Err(UpstreamError::WrongRange)
        } else {
            Ok((head, from))
        };
    }
    match range_of(headers) {
        Some((start, total)) if from > 0 && start == from => {
            head.length = total;
            Ok((head, 0))
        }
        Some(_) | None => Err(UpstreamError::WrongRange),
    }
}

/// Returns what the headers of a partial response claim about the whole blob, if exactly these bytes were sent.
/// Only the end of the blob may shorten the range (RFC 9110, section 14.1.2).
///
/// # Errors
///
/// Fails if upstream sent another range.
pub(super) fn range_head(headers: &HeaderMap, range: &Range<u64>) -> Result<ContentHead, UpstreamError> {
    let (sent, total) = sent_range(headers).ok_or(UpstreamError::WrongRange)?;
    let end = total.map_or(range.end, |total| range.end.min(total));
    if sent != (range.start..end) {
        return Err(UpstreamError::WrongRange);
    }
    Ok(ContentHead { length: total, ..content_head(headers) })
}

/// Returns what the headers claim about the whole blob whose first byte was requested.
///
/// # Errors
///
/// Fails if a partial response contains another range.
pub(super) fn first_byte_head(partial: bool, headers: &HeaderMap) -> Result<ContentHead, UpstreamError> {
    let head = content_head(headers);
    match range_of(headers) {
        Some((0, total)) if partial => Ok(ContentHead { length: total, ..head }),
        Some(_) | None if partial => Err(UpstreamError::WrongRange),
        Some(_) | None => Ok(head),
    }
}

fn range_of(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    sent_range(headers).map(|(sent, total)| (sent.start, total))
}

fn sent_range(headers: &HeaderMap) -> Option<(Range<u64>, Option<u64>)> {
    headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok()).and_then(content_range)
}

/// Parses `bytes 5-9/10` (RFC 9110, section 14.4) into the range and the total length; `None` if they contradict
/// each other.
fn content_range(value: &str) -> Option<(Range<u64>, Option<u64>)> {
    let blank = [' ', '\t'];
    let (range, total) = value.trim_matches(blank).strip_prefix("bytes ")?.split_once('/')?;
    let (start, end) = range.trim_matches(blank).split_once('-')?;
    let (start, end) = (number(start)?, number(end)?);
    let total = if total == "*" { None } else { Some(number(total)?) };
    (start <= end && total.is_none_or(|total| end < total)).then_some((start..end.checked_add(1)?, total))
}

/// Parses digits; `u64::from_str` alone would also accept a sign.
fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| !text.starts_with('+'))
}

fn media_type(value: &str) -> Option<String> {
    let essence = value.split(';').next()?.trim().to_ascii_lowercase();
    (!essence.is_empty()).then_some(essence)
}

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod properties;

#[cfg(test)]
mod tests;

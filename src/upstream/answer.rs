//! What the response of a registry means. Trusts nothing about content: digests and lengths are passed on as claims.

use std::ops::Range;

use jiff::Timestamp;
use reqwest::Response;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap};
use secrecy::SecretString;

use super::content::ContentHead;
use super::error::{ConnectionFailure, UpstreamError, is_transient};
use super::transport::Answer;
use super::{failure_body, rate_limit};
use crate::domain::digest::Digest;
use crate::domain::manifest::ACCEPTED;

/// The response, if it is a success. A refusal by the storage behind a redirect says nothing about what the registry grants.
///
/// No sentence of it that repeats one of these passwords is passed on.
pub(super) async fn successful(
    answer: Answer,
    behind_redirect: Refusal,
    passwords: &[SecretString],
) -> Result<Response, UpstreamError> {
    let Answer { response, redirected, shown, .. } = answer;
    let of_storage = redirected && behind_redirect == Refusal::OfStorage;
    match response.status().as_u16() {
        200 | 206 => Ok(response),
        100..=399 => Err(UpstreamError::InvalidResponse { what: "a status that brings no content" }),
        404 => Err(UpstreamError::NotFound),
        // By the HTTP proxy in between, not by upstream.
        407 => Err(UpstreamError::Unreachable {
            failure: ConnectionFailure::Proxy,
            elsewhere: None,
            reason: "it requires authentication".to_owned(),
        }),
        416 => Err(UpstreamError::WrongRange),
        429 => Err(UpstreamError::RateLimited(rate_limit::read(response.headers(), Timestamp::now()))),
        status if is_transient(status) => {
            Err(UpstreamError::ServerError(failure_body::read(response, shown.as_ref(), passwords).await))
        }
        status if of_storage => Err(UpstreamError::Storage { status }),
        401 | 403 => {
            let said = failure_body::read(response, shown.as_ref(), passwords).await;
            Err(UpstreamError::Denied { message: said.message.filter(|message| says_more(message)) })
        }
        _ => Err(UpstreamError::Refused(failure_body::read(response, shown.as_ref(), passwords).await)),
    }
}

/// Whether a sentence says more than that access is denied: docker and podman print nothing but `denied` for the defaults of
/// CNCF Distribution.
fn says_more(message: &str) -> bool {
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

/// Who speaks behind a redirect.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Another registry, as with manifests.
    OfRegistry,
    /// A store of files with signed addresses, as with blobs.
    OfStorage,
}

/// What the headers of a manifest say. A media type that says nothing is left out: the document has one. A page that asks to
/// sign in is refused, and so is what can only be had in a form that is not supported.
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

/// What a `HEAD` says of a manifest, if it says all that a manifest's has: anything less may be the response to the method, not
/// the manifest's.
pub(super) fn affirmed_manifest(headers: &HeaderMap) -> Option<ContentHead> {
    let head = manifest_head(headers).ok()?;
    (head.media_type.is_some() && head.length.is_some_and(|length| length > 0)).then_some(head)
}

/// What a `HEAD` says of a blob, if it tells the length. Only the blob without bytes has none.
pub(super) fn affirmed_blob(headers: &HeaderMap, digest: &Digest) -> Option<ContentHead> {
    let head = content_head(headers);
    let same = head.digest.is_none_or(|told| told == *digest);
    (same && head.length.is_some_and(|length| length > 0 || is_empty(digest))).then_some(head)
}

/// Whether this is the digest of no bytes, of which there is no first one either.
pub(super) fn is_empty(digest: &Digest) -> bool {
    digest.to_string() == EMPTY_BLOB
}

/// The digest of no bytes.
const EMPTY_BLOB: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

const SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1+";

/// Media types that say no more than that there are bytes.
const GENERIC: [&str; 4] = ["application/json", "application/octet-stream", "binary/octet-stream", "text/plain"];

/// What the headers of a whole content say.
pub(super) fn content_head(headers: &HeaderMap) -> ContentHead {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    ContentHead {
        media_type: text(CONTENT_TYPE.as_str()).and_then(media_type),
        length: text(CONTENT_LENGTH.as_str()).and_then(|length| length.trim().parse().ok()),
        digest: text("docker-content-digest").and_then(|digest| digest.trim().parse().ok()),
    }
}

/// What the headers of a blob say that was asked for from an offset, and how many bytes come too many at its start.
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

/// What the headers of a partial response say of the whole blob, where exactly these bytes were requested. Only the end of the
/// blob may cut them short (RFC 9110, section 14.1.2).
pub(super) fn range_head(headers: &HeaderMap, range: &Range<u64>) -> Result<ContentHead, UpstreamError> {
    let (sent, total) = sent_range(headers).ok_or(UpstreamError::WrongRange)?;
    let end = total.map_or(range.end, |total| range.end.min(total));
    if sent != (range.start..end) {
        return Err(UpstreamError::WrongRange);
    }
    Ok(ContentHead { length: total, ..content_head(headers) })
}

/// What the headers say of the whole blob when its first byte was asked for.
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

/// The bytes and the whole length in `bytes 5-9/10` (RFC 9110, section 14.4), if they fit together.
fn content_range(value: &str) -> Option<(Range<u64>, Option<u64>)> {
    let (range, total) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, end) = range.trim().split_once('-')?;
    let (start, end): (u64, u64) = (start.parse().ok()?, end.parse().ok()?);
    let total: Option<u64> = if total == "*" { None } else { Some(total.parse().ok()?) };
    (start <= end && total.is_none_or(|total| end < total)).then_some((start..end.checked_add(1)?, total))
}

fn media_type(value: &str) -> Option<String> {
    let essence = value.split(';').next()?.trim().to_ascii_lowercase();
    (!essence.is_empty()).then_some(essence)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_manifest_needs_its_media_type() {
        let head = manifest_head(&headers(&[
            ("content-type", "Application/vnd.oci.image.index.v1+json; charset=utf-8"),
            ("content-length", "7"),
            ("docker-content-digest", "sha256:nonsense"),
        ]));
        let expected = ContentHead { media_type: Some(ACCEPTED[0].to_owned()), length: Some(7), digest: None };
        assert_eq!(head, Ok(expected));
        for silent in
            [&[][..], &[("content-type", "application/json")], &[("content-type", "text/plain; charset=utf-8")]]
        {
            let head = manifest_head(&headers(silent)).unwrap();
            assert_eq!((head.media_type, affirmed_manifest(&headers(silent))), (None, None), "the document decides");
        }
        let page = headers(&[("content-type", "text/html")]);
        assert!(matches!(manifest_head(&page), Err(UpstreamError::InvalidResponse { .. })));
        let schema_1 = headers(&[("content-type", "application/vnd.docker.distribution.manifest.v1+prettyjws")]);
        assert!(matches!(manifest_head(&schema_1), Err(UpstreamError::Unsupported { .. })));
    }

    #[test]
    fn a_head_affirms_only_what_it_tells_the_length_of() {
        let typed = ("content-type", ACCEPTED[2]);
        for (length, affirmed) in [(Some("7"), true), (Some("0"), false), (None, false)] {
            let all: Vec<_> = [typed].into_iter().chain(length.map(|length| ("content-length", length))).collect();
            assert_eq!(affirmed_manifest(&headers(&all)).is_some(), affirmed, "{length:?}");
            let digest = Digest::from_bytes([7; 32]);
            assert_eq!(affirmed_blob(&headers(&all), &digest).is_some(), affirmed, "{length:?}");
        }
        let nothing = EMPTY_BLOB.parse().unwrap();
        assert!(affirmed_blob(&headers(&[("content-length", "0")]), &nothing).is_some());
    }

    #[test]
    fn a_default_sentence_says_nothing() {
        assert!(!says_more("Requested access to the resource is denied") && !says_more("unauthorized."));
        assert!(says_more("Your authorization token has expired. Reauthenticate and try again."));
    }

    #[test]
    fn only_the_range_asked_for_is_taken() {
        let head =
            |range: &str, from| blob_head(true, &headers(&[("content-range", range), ("content-length", "5")]), from);
        assert_eq!(head("bytes 5-9/10", 5).map(|(head, skip)| (head.length, skip)), Ok((Some(10), 0)));
        assert_eq!(head("bytes 5-9/*", 5).map(|(head, skip)| (head.length, skip)), Ok((None, 0)));
        for wrong in
            ["bytes 4-9/10", "bytes 6-9/10", "bytes 5-9/9", "bytes 5-4/10", "5-9/10", "bytes */10", "bytes 5-9", ""]
        {
            assert_eq!(head(wrong, 5), Err(UpstreamError::WrongRange), "{wrong}");
        }
        assert_eq!(head("bytes 0-9/10", 0), Err(UpstreamError::WrongRange), "nobody asked for a range");
        assert_eq!(blob_head(true, &headers(&[]), 5), Err(UpstreamError::WrongRange));
    }

    #[test]
    fn a_bounded_range_has_to_be_the_one_requested() {
        let head = |sent: &str| {
            let headers = headers(&[("content-range", sent), ("content-length", "5")]);
            range_head(&headers, &(5..10)).map(|head| head.length)
        };
        assert_eq!(head("bytes 5-9/10"), Ok(Some(10)));
        assert_eq!(head("bytes 5-9/*"), Ok(None));
        assert_eq!(head("bytes 5-7/8"), Ok(Some(8)), "the blob is shorter than expected");
        for wrong in ["bytes 4-9/10", "bytes 5-8/10", "bytes 5-10/20", "bytes 5-7/*", "bytes */10", "5-9/10", ""] {
            assert_eq!(head(wrong), Err(UpstreamError::WrongRange), "{wrong}");
        }
        assert_eq!(range_head(&headers(&[]), &(5..10)), Err(UpstreamError::WrongRange));
    }

    #[test]
    fn whole_content_is_skipped_forward() {
        let whole = headers(&[("content-length", "10")]);
        assert_eq!(blob_head(false, &whole, 4).map(|(head, skip)| (head.length, skip)), Ok((Some(10), 4)));
        assert_eq!(blob_head(false, &whole, 11), Err(UpstreamError::WrongRange));
    }
}

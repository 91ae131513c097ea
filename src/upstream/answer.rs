//! What the answer of a registry means. Believes nothing about content: digests and lengths are passed on as claims.

use jiff::Timestamp;
use reqwest::Response;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap};

use super::content::ContentHead;
use super::error::UpstreamError;
use super::rate_limit;
use super::transport::Answer;
use crate::domain::manifest::ACCEPTED;

/// The response, if it is a success. A refusal by the storage behind a redirect says nothing about what the registry grants.
pub(super) fn successful(answer: Answer, behind_redirect: Refusal) -> Result<Response, UpstreamError> {
    let response = answer.response;
    match response.status().as_u16() {
        200 | 206 => Ok(response),
        404 => Err(UpstreamError::NotFound),
        416 => Err(UpstreamError::WrongRange),
        429 => Err(UpstreamError::RateLimited(rate_limit::read(response.headers(), Timestamp::now()))),
        status @ (400..=403 | 405) if answer.redirected && behind_redirect == Refusal::OfStorage => {
            Err(UpstreamError::Storage { status })
        }
        401 | 403 => Err(UpstreamError::Denied),
        status => Err(UpstreamError::Failed { status }),
    }
}

/// Who speaks behind a redirect.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Another registry, as with manifests.
    OfRegistry,
    /// A store of files with signed addresses, as with blobs.
    OfStorage,
}

/// What the headers of a manifest say. It has to have the media type of one: a page that asks to sign in has not.
pub(super) fn manifest_head(headers: &HeaderMap) -> Result<ContentHead, UpstreamError> {
    let head = content_head(headers);
    match &head.media_type {
        Some(media_type) if ACCEPTED.contains(&media_type.as_str()) => Ok(head),
        Some(_) => Err(UpstreamError::Nonsense { what: "not the media type of a manifest" }),
        None => Err(UpstreamError::Nonsense { what: "a manifest without a media type" }),
    }
}

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
    headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok()).and_then(content_range)
}

/// The start and the whole length in `bytes 5-9/10` (RFC 9110, section 14.4), if they fit together.
fn content_range(value: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, end) = range.trim().split_once('-')?;
    let (start, end): (u64, u64) = (start.parse().ok()?, end.parse().ok()?);
    let total: Option<u64> = if total == "*" { None } else { Some(total.parse().ok()?) };
    (start <= end && total.is_none_or(|total| end < total)).then_some((start, total))
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
        for wrong in [&[("content-type", "text/html")][..], &[], &[("content-type", "application/json")]] {
            assert!(matches!(manifest_head(&headers(wrong)), Err(UpstreamError::Nonsense { .. })), "{wrong:?}");
        }
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
    fn whole_content_is_skipped_forward() {
        let whole = headers(&[("content-length", "10")]);
        assert_eq!(blob_head(false, &whole, 4).map(|(head, skip)| (head.length, skip)), Ok((Some(10), 4)));
        assert_eq!(blob_head(false, &whole, 11), Err(UpstreamError::WrongRange));
    }
}

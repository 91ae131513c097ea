//! The blob storage of the fake registry: signed URLs that expire, and the blobs themselves with ranges.

use jiff::Timestamp;

use crate::content::Content;
use crate::realm::fingerprint;
use crate::registry::State;
use crate::reply::Reply;
use crate::requests::{Listener, Request};

impl State {
    pub(super) fn signed_url(&self, digest: &str) -> String {
        let expires = Timestamp::now() + self.settings.signature_lifetime;
        let expires = expires.as_millisecond().to_string();
        let url = self.url(Listener::Storage, &self.settings.storage_host);
        let signature = signature(digest, &expires);
        format!("{url}/data/{digest}?expires={expires}&sig={signature}")
    }

    pub(super) fn bad_signature(&self, request: &Request) -> Option<Reply> {
        let digest = request.reference.as_deref().unwrap_or_default();
        let expires = request.parameter("expires").unwrap_or_default();
        let now = Timestamp::now().as_millisecond();
        let refusal = if request.authorization.is_some() {
            (400, "InvalidArgument: only one auth mechanism allowed")
        } else if request.parameter("sig") != Some(&signature(digest, expires)) {
            (403, "SignatureDoesNotMatch")
        } else if expires.parse::<i64>().is_ok_and(|expires| expires > now) {
            return None;
        } else {
            (403, "AccessDenied: request has expired")
        };
        let body = format!("<Error><Code>{}</Code></Error>", refusal.1);
        Some(Reply::bytes(refusal.0, "application/xml", body))
    }

    pub(super) fn storage(&self, request: &Request) -> Reply {
        let digest = request.reference.as_deref().unwrap_or_default();
        let holder = self.repositories.values().find_map(|held| held.blobs.get(digest));
        match holder {
            Some(blob) => self.blob(request, digest, blob),
            None => Reply::bytes(404, "application/xml", "<Error><Code>NoSuchKey</Code></Error>"),
        }
    }

    pub(super) fn blob(&self, request: &Request, digest: &str, blob: &Content) -> Reply {
        let size = blob.size();
        let range = request.range.as_deref().and_then(|range| byte_range(range, size));
        let whole = Reply::blob(200, "application/octet-stream", blob.clone());
        let whole = whole.with("Docker-Content-Digest", digest).with_etag(digest);
        match range.filter(|_| self.settings.ranges) {
            None => whole,
            Some((start, end)) if start < end => {
                let part = whole.with("Content-Range", format!("bytes {start}-{}/{size}", end - 1));
                Reply { status: 206, start, end, ..part }
            }
            Some(_) => Reply::empty(416).with("Content-Range", format!("bytes */{size}")),
        }
    }
}

/// Parses `bytes=N-` and `bytes=N-M` as a half-open range, empty where it is beyond the end; others are ignored.
fn byte_range(header: &str, size: u64) -> Option<(u64, u64)> {
    let (from, to) = header.strip_prefix("bytes=")?.split_once('-')?;
    let end = match to {
        "" => size,
        to => to.parse::<u64>().ok()?.saturating_add(1).min(size),
    };
    Some((from.parse().ok()?, end))
}

fn signature(digest: &str, expires: &str) -> String {
    fingerprint(&format!("{digest} {expires}"))
}

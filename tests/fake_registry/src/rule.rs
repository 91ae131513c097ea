//! Misbehaviour on command: `registry.on(Kind::BlobDownload).times(1).cut_after(1_000_000);`

use std::sync::Arc;
use std::time::Duration;

use crate::content::Content;
use crate::faults::ActiveRule;
use crate::handle::FakeRegistry;
use crate::image::Image;
use crate::reply::{Cut, Length, Rate, Reply};
use crate::requests::{Kind, Listener};

/// Time between two chunks of a slow body.
const SLOW_INTERVAL: Duration = Duration::from_millis(50);

/// A rule under construction. It applies from the end of the statement (when this is dropped). Of the rules that
/// match a request, the oldest that is not used up changes the response, alone and with all its changes. Requests
/// without a valid token or signature neither use it up nor are changed by it, unless it is `before_auth`.
pub struct Rule<'a> {
    registry: &'a FakeRegistry,
    active: ActiveRule,
}

impl FakeRegistry {
    /// Starts a fault rule for one kind of request.
    pub fn on(&self, kind: Kind) -> Rule<'_> {
        Rule::new(self, Some(kind))
    }

    /// Starts a fault rule for every kind of request.
    pub fn on_anything(&self) -> Rule<'_> {
        Rule::new(self, None)
    }
}

impl<'a> Rule<'a> {
    pub(super) fn new(registry: &'a FakeRegistry, kind: Option<Kind>) -> Self {
        Self { registry, active: ActiveRule { kind, ..ActiveRule::default() } }
    }

    /// Applies to the first `count` matching requests only; without it, to all.
    pub fn times(mut self, count: usize) -> Self {
        self.active.left = Some(count);
        self
    }

    /// Skips the first `count` matching requests.
    pub fn after(mut self, count: usize) -> Self {
        self.active.skip = count;
        self
    }

    /// Applies to requests at this listener only.
    pub fn at(mut self, listener: Listener) -> Self {
        self.active.listener = Some(listener);
        self
    }

    /// Applies to requests for this repository only. Requests at the storage name no repository and so never match.
    pub fn in_repository(mut self, repository: &str) -> Self {
        self.active.repository = Some(repository.to_owned());
        self
    }

    /// Applies only where the path names this tag or digest.
    pub fn for_reference(mut self, reference: &str) -> Self {
        self.active.reference = Some(reference.to_owned());
        self
    }

    /// Applies also to requests that would be refused for want of a token.
    pub fn before_auth(mut self) -> Self {
        self.active.before_auth = true;
        self
    }

    /// Responds with this status and a registry's error body; a 401 of the registry has its challenge.
    pub fn status(self, status: u16) -> Self {
        self.change(move |reply| {
            let challenge = std::mem::take(&mut reply.challenge);
            *reply = Reply::error(status, "FAKED", "as the test commanded");
            if status == 401 && !challenge.is_empty() {
                reply.headers.push(("WWW-Authenticate", challenge));
            }
        })
    }

    /// Responds with this status and this error in the body, without a challenge.
    pub fn refusal(self, status: u16, code: &str, message: &str) -> Self {
        let (code, message) = (code.to_owned(), message.to_owned());
        self.change(move |reply| *reply = Reply::error(status, &code, &message))
    }

    /// Responds with 429 and `Retry-After` in seconds.
    pub fn too_many_requests(self, retry_after: u64) -> Self {
        self.change(move |reply| {
            *reply = Reply::error(429, "TOOMANYREQUESTS", "You have reached your pull rate limit")
                .with("Retry-After", retry_after.to_string());
        })
    }

    /// Responds with 200 and an HTML page, as a captive portal does.
    pub fn html(self) -> Self {
        let page = "<!DOCTYPE html><html><body>Please sign in to the network</body></html>";
        self.change(move |reply| *reply = Reply::bytes(200, "text/html; charset=utf-8", page))
    }

    /// Responds with 200 and this JSON, such as a token response without a token.
    pub fn json(self, body: serde_json::Value) -> Self {
        self.change(move |reply| *reply = Reply::json(200, &body))
    }

    /// Responds with 307 to any URL.
    pub fn redirect_to(self, url: &str) -> Self {
        let url = url.to_owned();
        self.change(move |reply| *reply = Reply::empty(307).with("Location", url.clone()))
    }

    /// Sends another manifest than the requested one, with its own type and digest.
    pub fn manifest_of(self, image: &Image) -> Self {
        let image = image.clone();
        self.change(move |reply| *reply = Reply::manifest(&image))
    }

    /// Reads the request and never responds.
    pub fn hang(self) -> Self {
        self.change(|reply| reply.hang = true)
    }

    /// Resets the connection instead of responding.
    pub fn reset(self) -> Self {
        self.change(|reply| reply.reset = true)
    }

    /// Waits before the headers.
    pub fn delay(self, delay: Duration) -> Self {
        self.change(move |reply| reply.delay = delay)
    }

    /// Sends the body at this rate, evenly.
    pub fn slow(self, bytes_per_second: u64) -> Self {
        self.rate(Rate { bytes_per_second, interval: SLOW_INTERVAL, first_byte_at_once: false })
    }

    /// Sends one byte of the body at once, the rest at this rate.
    pub fn slow_after_first_byte(self, bytes_per_second: u64) -> Self {
        self.rate(Rate { bytes_per_second, interval: SLOW_INTERVAL, first_byte_at_once: true })
    }

    /// Stops after this number of bytes of the body until [`FakeRegistry::release`].
    pub fn hold_after(self, bytes: u64) -> Self {
        self.change(move |reply| reply.hold_after = Some(bytes))
    }

    /// Resets the connection after this number of bytes of the body; a client that reads too slowly for them to be
    /// in its kernel within two seconds gets fewer.
    pub fn cut_after(self, bytes: u64) -> Self {
        self.change(move |reply| reply.cut = Some((bytes, Cut::Reset)))
    }

    /// Closes the connection normally after this number of bytes of the body.
    pub fn close_after(self, bytes: u64) -> Self {
        self.change(move |reply| reply.cut = Some((bytes, Cut::Close)))
    }

    /// Corrupts the byte at this offset of the blob or manifest, whatever the range.
    pub fn flip_byte(self, offset: u64) -> Self {
        self.change(move |reply| reply.flipped = Some(offset))
    }

    /// Sends a `Content-Length` that is wrong by this difference, with the real body, and then closes the connection.
    pub fn declared_length_off_by(self, bytes: i64) -> Self {
        self.change(move |reply| reply.length = Length::OffBy(bytes))
    }

    /// Sends a body that is longer (zeros at its end) or shorter than it should be, with a matching `Content-Length`.
    pub fn body_length_off_by(self, bytes: i64) -> Self {
        self.change(move |reply| {
            reply.end = reply.end.saturating_add_signed(bytes).max(reply.start);
        })
    }

    /// Sends the body chunked, without a `Content-Length`.
    pub fn without_content_length(self) -> Self {
        self.change(|reply| reply.length = Length::Chunked)
    }

    /// Sends a chunked body that never ends.
    pub fn endless_body(self) -> Self {
        self.change(|reply| {
            reply.length = Length::Chunked;
            reply.body = Content::Generated { seed: 0, size: u64::MAX };
            reply.end = u64::MAX;
        })
    }

    /// Replaces this header, or adds it.
    pub fn header(self, name: &'static str, value: &str) -> Self {
        let value = value.to_owned();
        self.change(move |reply| {
            reply.remove(name);
            reply.headers.push((name, value.clone()));
        })
    }

    /// Adds this header to those with its name.
    pub fn more_header(self, name: &'static str, value: &str) -> Self {
        let value = value.to_owned();
        self.change(move |reply| reply.headers.push((name, value.clone())))
    }

    /// Removes this header.
    pub fn without_header(self, name: &'static str) -> Self {
        self.change(move |reply| reply.remove(name))
    }

    /// Replaces the `Content-Type`.
    pub fn content_type(self, value: &str) -> Self {
        self.header("Content-Type", value)
    }

    /// Sends this `Docker-Content-Digest`, which may be wrong.
    pub fn digest_header(self, digest: &str) -> Self {
        self.header("Docker-Content-Digest", digest)
    }

    fn rate(self, rate: Rate) -> Self {
        self.change(move |reply| reply.rate = Some(rate))
    }

    fn change(mut self, change: impl Fn(&mut Reply) + Send + Sync + 'static) -> Self {
        self.active.changes.push(Arc::new(change));
        self
    }
}

impl Drop for Rule<'_> {
    fn drop(&mut self) {
        self.registry.state().rules.push(std::mem::take(&mut self.active));
    }
}

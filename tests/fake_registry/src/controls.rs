//! Changes of the settings of a running registry.

use std::time::Duration;

use crate::handle::FakeRegistry;
use crate::pages::Pages;
use crate::settings::{Auth, Pace};

impl FakeRegistry {
    /// Sets whether tokens are required. Off: a plain registry that requires none and responds with 404 for missing
    /// content.
    pub fn require_auth(&self, on: bool) {
        self.state().settings.auth = if on { Auth::Required } else { Auth::None };
    }

    /// Sets whether requests for blobs are redirected. Off: the registry serves blobs itself.
    pub fn redirect_blobs(&self, on: bool) {
        self.state().settings.redirects = on;
    }

    /// Sets whether ranges are served. Off: `Range` is ignored, and the whole blob is sent with 200.
    pub fn honour_ranges(&self, on: bool) {
        self.state().settings.ranges = on;
    }

    /// Sets whether there is a referrers API. Off: 404 for `referrers/`.
    pub fn referrers_api(&self, on: bool) {
        self.state().settings.referrers = on;
    }

    /// Sets the latency and the rate of responses from now on.
    pub fn set_pace(&self, pace: Pace) {
        self.state().settings.pace = pace;
    }

    /// Sets the maximum size of the pages of lists. Each page links to the next one by an opaque token in this
    /// parameter, as Quay (`next_page`) and ECR (`nextToken`) do. A token that is not returned byte for byte is a 400.
    pub fn page_by(&self, parameter: &'static str, size: usize) {
        self.state().settings.pages = Some(Pages { parameter, size });
    }

    /// Sets the validity of tokens from now on, also as announced (whole seconds).
    pub fn token_lifetime(&self, lifetime: Duration) {
        self.state().settings.token_lifetime = lifetime;
    }

    /// Sets the validity of signed URLs from now on.
    pub fn signed_url_lifetime(&self, lifetime: Duration) {
        self.state().settings.signature_lifetime = lifetime;
    }

    /// Sets the number of manifest `GET`s until 429; without it a limit is announced but never reached.
    pub fn pulls_left(&self, pulls: u64) {
        self.state().settings.pulls_left = Some(pulls);
    }

    /// Sets another realm in challenges.
    pub fn realm_at(&self, url: &str) {
        self.state().settings.realm = Some(url.to_owned());
    }

    /// Sets the scope in challenges, whatever the repository.
    pub fn challenge_scope(&self, scope: &str) {
        self.state().settings.challenge_scope = Some(scope.to_owned());
    }

    /// Sets whether the realm refuses a token for a scope without a repository of this registry, as GHCR does.
    pub fn strict_realm(&self, on: bool) {
        self.state().settings.strict_realm = on;
    }

    /// Sets whether the realm responds to a request with any scope with 403, and to one without as usual, as GitLab
    /// does where an account is valid but may not read the image.
    pub fn refuse_scopes(&self, on: bool) {
        self.state().settings.refuse_scopes = on;
    }

    /// Sets the number of requests per connection of the registry; the next one is reset without notice.
    pub fn requests_per_connection(&self, requests: usize) {
        self.state().settings.requests_per_connection = Some(requests);
    }

    /// Sets the host name of the storage in redirects (such as `localhost`), which keeps its port.
    pub fn storage_host(&self, host: &str) {
        self.state().settings.storage_host = host.to_owned();
    }
}

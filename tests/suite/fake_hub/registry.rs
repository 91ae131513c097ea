//! What an honest Docker Hub answers, from what the tests have put into it: challenge, tokens,
//! manifests, redirects to signed URLs, and the cdn behind them. It does no I/O and never lies.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    time::{Duration, Instant},
};

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use serde_json::json;

use super::{
    faults::{self, ActiveRule},
    image::{Blob, Image, OCI_INDEX},
    requests::{Authorization, Kind, Listener, Request},
    wire::Reply,
};

pub(super) const SERVICE: &str = "registry.fake";

/// All that the hub holds and knows; one mutex guards it.
pub(super) struct State {
    pub(super) addresses: [SocketAddr; 3],
    pub(super) settings: Settings,
    pub(super) repositories: HashMap<String, Repository>,
    pub(super) accounts: Vec<Account>,
    pub(super) tokens: BTreeMap<String, Token>,
    pub(super) rules: Vec<ActiveRule>,
    pub(super) requests: Vec<Request>,
}

/// How this hub is set up; the defaults are Docker Hub's.
pub(super) struct Settings {
    pub(super) auth: bool,
    pub(super) redirects: bool,
    pub(super) ranges: bool,
    pub(super) referrers: bool,
    pub(super) token_lifetime: Duration,
    pub(super) signature_lifetime: Duration,
    pub(super) pulls_left: Option<u64>,
    pub(super) realm: Option<String>,
    pub(super) cdn_host: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            auth: true,
            redirects: true,
            ranges: true,
            referrers: true,
            token_lifetime: Duration::from_secs(300),
            signature_lifetime: Duration::from_secs(1200),
            pulls_left: None,
            realm: None,
            cdn_host: "127.0.0.1".to_owned(),
        }
    }
}

#[derive(Default)]
pub(super) struct Repository {
    pub(super) tags: BTreeMap<String, String>,
    manifests: HashMap<String, Image>,
    pub(super) blobs: HashMap<String, Blob>,
}

impl Repository {
    /// Puts in the image with all that it names.
    pub(super) fn insert(&mut self, image: &Image) {
        image.children().iter().for_each(|child| self.insert(child));
        for layer in image.layers().iter().chain(image.config()) {
            self.blobs
                .insert(layer.digest().to_owned(), layer.blob.clone());
        }
        self.manifests
            .insert(image.digest().to_owned(), image.clone());
    }
}

pub(super) struct Account {
    pub(super) username: String,
    pub(super) password: String,
    pub(super) repositories: Vec<String>,
}

pub(super) struct Token {
    asked: Vec<String>,
    granted: Vec<String>,
    until: Instant,
}

impl Token {
    pub(super) fn expire(&mut self) {
        self.until = Instant::now();
    }
}

impl State {
    pub(super) fn new(addresses: [SocketAddr; 3]) -> Self {
        Self {
            addresses,
            settings: Settings::default(),
            repositories: HashMap::new(),
            accounts: Vec::new(),
            tokens: BTreeMap::new(),
            rules: Vec::new(),
            requests: Vec::new(),
        }
    }

    /// Decides the answer, records the request and lets a rule spoil the answer.
    pub(super) fn answer(&mut self, mut request: Request) -> Reply {
        let served_here = request.listener == Listener::Registry && !self.settings.redirects;
        if request.kind == Kind::BlobRedirect && served_here {
            request.kind = Kind::BlobDownload;
        }
        let refusal = match request.listener {
            Listener::Registry => self.challenge(&request),
            Listener::Realm => None,
            Listener::Cdn => self.bad_signature(&request),
        };
        request.refused = refusal.is_some();
        let mut reply = refusal.unwrap_or_else(|| match request.listener {
            Listener::Registry => self.registry(&request),
            Listener::Realm => self.token(&request),
            Listener::Cdn => self.cdn(&request),
        });
        faults::apply(&mut self.rules, &request, &mut reply);
        self.requests.push(request);
        reply
    }

    /// The 401 for a request without a valid token for the repository it names.
    fn challenge(&self, request: &Request) -> Option<Reply> {
        if !self.settings.auth || self.valid_token(request).is_some() {
            return None;
        }
        Some(self.unauthorized(request, ""))
    }

    fn valid_token(&self, request: &Request) -> Option<&Token> {
        let Some(Authorization::Bearer(text)) = &request.authorization else {
            return None;
        };
        let token = self
            .tokens
            .get(text)
            .filter(|token| token.until > Instant::now())?;
        let covers = |repository: &String| token.asked.contains(repository);
        request
            .repository
            .as_ref()
            .is_none_or(covers)
            .then_some(token)
    }

    fn unauthorized(&self, request: &Request, error: &str) -> Reply {
        let own = format!("http://{}/token", self.addresses[Listener::Realm as usize]);
        let realm = self.settings.realm.as_ref().unwrap_or(&own);
        let scope = request
            .repository
            .as_ref()
            .map_or(String::new(), |repository| {
                format!(r#",scope="repository:{repository}:pull""#)
            });
        let challenge = format!(r#"Bearer realm="{realm}",service="{SERVICE}"{scope}{error}"#);
        Reply::error(401, "UNAUTHORIZED", "authentication required")
            .with("WWW-Authenticate", challenge)
    }

    fn registry(&mut self, request: &Request) -> Reply {
        let (Some(name), Some(reference)) = (&request.repository, &request.reference) else {
            return match request.kind {
                Kind::Ping => Reply::json(200, &json!({})),
                _ if request.method == "GET" => Reply::error(404, "NOT_FOUND", "page not found"),
                _ => Reply::error(405, "UNSUPPORTED", "The operation is unsupported."),
            };
        };
        let granted = |token: &Token| token.granted.contains(name);
        if self.settings.auth && !self.valid_token(request).is_some_and(granted) {
            return self.unauthorized(request, r#",error="insufficient_scope""#);
        }
        if matches!(request.kind, Kind::ManifestGet | Kind::ManifestHead) {
            return self.rate_limited_manifest(request, name, reference);
        }
        let Some(repository) = self.repositories.get(name) else {
            return Reply::error(404, "NAME_UNKNOWN", "repository name not known to registry");
        };
        match request.kind {
            Kind::Tags => tags(repository, name, request),
            Kind::Referrers if self.settings.referrers => referrers(repository, request, reference),
            Kind::Referrers => Reply::error(404, "NOT_FOUND", "page not found"),
            _ => match repository.blobs.get(reference) {
                None => Reply::error(404, "BLOB_UNKNOWN", "blob unknown to registry"),
                Some(_) if self.settings.redirects => {
                    Reply::empty(307).with("Location", self.signed_url(reference))
                }
                Some(blob) => self.blob(request, reference, blob),
            },
        }
    }

    fn rate_limited_manifest(&mut self, request: &Request, name: &str, reference: &str) -> Reply {
        let left = self.settings.pulls_left;
        let is_pull = request.kind == Kind::ManifestGet;
        let reply = if is_pull && left == Some(0) {
            Reply::error(
                429,
                "TOOMANYREQUESTS",
                "You have reached your pull rate limit.",
            )
            .with("Retry-After", "2820")
        } else {
            self.manifest(request, name, reference)
        };
        let left = left.map(|left| left.saturating_sub(u64::from(is_pull)));
        self.settings.pulls_left = left;
        reply
            .with("ratelimit-limit", "100;w=21600")
            .with(
                "ratelimit-remaining",
                format!("{};w=21600", left.unwrap_or(100)),
            )
            .with("docker-ratelimit-source", "127.0.0.1")
    }

    fn manifest(&self, request: &Request, name: &str, reference: &str) -> Reply {
        let Some(repository) = self.repositories.get(name) else {
            return Reply::error(404, "NAME_UNKNOWN", "repository name not known to registry");
        };
        let digest = repository
            .tags
            .get(reference)
            .map_or(reference, String::as_str);
        let Some(image) = repository.manifests.get(digest) else {
            return Reply::error(404, "MANIFEST_UNKNOWN", "manifest unknown");
        };
        let accepts = |(name, value): &(String, String)| {
            name == "accept" && value.contains(image.media_type())
        };
        if !request.headers.iter().any(accepts) {
            let message = "manifest found, but accept header does not support its media type";
            return Reply::error(404, "MANIFEST_UNKNOWN", message);
        }
        Reply::manifest(image).with("Docker-Distribution-Api-Version", "registry/2.0")
    }

    /// A token for what was asked, good for what this account may pull; for the rest it opens nothing.
    fn token(&mut self, request: &Request) -> Reply {
        if request.kind != Kind::Token {
            return Reply::error(404, "NOT_FOUND", "only GET /token");
        }
        let account = match &request.authorization {
            None => None,
            Some(Authorization::Basic { username, password }) => {
                let known = |account: &&Account| {
                    account.username == *username && account.password == *password
                };
                let Some(account) = self.accounts.iter().find(known) else {
                    return Reply::json(401, &json!({"details": "incorrect username or password"}));
                };
                Some(account)
            }
            Some(_) => return Reply::json(401, &json!({"details": "only Basic is understood"})),
        };
        if request.parameter("service") != Some(SERVICE) {
            return Reply::json(400, &json!({"details": "unknown service"}));
        }
        let asked = asked_repositories(request);
        let granted = asked
            .iter()
            .filter(|name| self.may_pull(account, name))
            .cloned()
            .collect();
        let lifetime = self.settings.token_lifetime;
        let text = format!(
            "fake-hub-token-{}",
            fingerprint(&format!("{:?} {}", self.addresses, self.tokens.len()))
        );
        let token = Token {
            asked,
            granted,
            until: Instant::now() + lifetime,
        };
        self.tokens.insert(text.clone(), token);
        let body = json!({"token": text, "access_token": text, "expires_in": lifetime.as_secs(),
            "issued_at": Timestamp::now().to_string()});
        Reply::json(200, &body)
    }

    fn may_pull(&self, account: Option<&Account>, name: &String) -> bool {
        let is_private = self
            .accounts
            .iter()
            .any(|other| other.repositories.contains(name));
        let is_mine = account.is_some_and(|account| account.repositories.contains(name));
        self.repositories.contains_key(name) && (is_mine || !is_private)
    }

    fn signed_url(&self, digest: &str) -> String {
        let expires = Timestamp::now() + self.settings.signature_lifetime;
        let expires = expires.as_millisecond().to_string();
        let host = &self.settings.cdn_host;
        let port = self.addresses[Listener::Cdn as usize].port();
        let signature = signature(digest, &expires);
        format!("http://{host}:{port}/data/{digest}?expires={expires}&sig={signature}")
    }

    fn bad_signature(&self, request: &Request) -> Option<Reply> {
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

    fn cdn(&self, request: &Request) -> Reply {
        let digest = request.reference.as_deref().unwrap_or_default();
        let holder = self
            .repositories
            .values()
            .find_map(|held| held.blobs.get(digest));
        match holder {
            Some(blob) => self.blob(request, digest, blob),
            None => Reply::bytes(
                404,
                "application/xml",
                "<Error><Code>NoSuchKey</Code></Error>",
            ),
        }
    }

    fn blob(&self, request: &Request, digest: &str, blob: &Blob) -> Reply {
        let size = blob.size();
        let range = request
            .range
            .as_deref()
            .and_then(|range| byte_range(range, size));
        let whole = Reply::blob(200, "application/octet-stream", blob.clone())
            .with("Docker-Content-Digest", digest)
            .with("ETag", format!("\"{digest}\""));
        match range.filter(|_| self.settings.ranges) {
            None => whole,
            Some((start, end)) if start < end => {
                let part = whole.with("Content-Range", format!("bytes {start}-{}/{size}", end - 1));
                Reply {
                    status: 206,
                    start,
                    end,
                    ..part
                }
            }
            Some(_) => Reply::empty(416).with("Content-Range", format!("bytes */{size}")),
        }
    }
}

/// `bytes=N-` and `bytes=N-M` as a half-open range, empty where it lies beyond the end; others are ignored.
fn byte_range(header: &str, size: u64) -> Option<(u64, u64)> {
    let (from, to) = header.strip_prefix("bytes=")?.split_once('-')?;
    let end = match to {
        "" => size,
        to => to.parse::<u64>().ok()?.saturating_add(1).min(size),
    };
    Some((from.parse().ok()?, end))
}

fn asked_repositories(request: &Request) -> Vec<String> {
    request
        .query
        .iter()
        .filter(|(name, _)| name == "scope")
        .flat_map(|(_, scopes)| scopes.split(' '))
        .filter_map(|scope| {
            let (name, actions) = scope.strip_prefix("repository:")?.rsplit_once(':')?;
            actions
                .split(',')
                .any(|action| action == "pull")
                .then(|| name.to_owned())
        })
        .collect()
}

fn tags(repository: &Repository, name: &str, request: &Request) -> Reply {
    let last = request.parameter("last").unwrap_or_default();
    let rest: Vec<&String> = repository
        .tags
        .keys()
        .filter(|tag| tag.as_str() > last)
        .collect();
    let limit = request
        .parameter("n")
        .and_then(|n| n.parse().ok())
        .unwrap_or(rest.len());
    let page = &rest[..limit.min(rest.len())];
    let reply = Reply::json(200, &json!({"name": name, "tags": page}));
    match page.last() {
        Some(last) if page.len() < rest.len() => {
            let next = format!(r#"</v2/{name}/tags/list?last={last}&n={limit}>; rel="next""#);
            reply.with("Link", next)
        }
        _ => reply,
    }
}

fn referrers(repository: &Repository, request: &Request, subject: &str) -> Reply {
    let wanted = request.parameter("artifactType");
    let mut descriptors: Vec<_> = repository
        .manifests
        .values()
        .filter(|image| image.subject() == Some(subject))
        .filter(|image| wanted.is_none() || image.artifact_type() == wanted)
        .map(Image::descriptor)
        .collect();
    descriptors.sort_by_key(|descriptor| descriptor["digest"].to_string());
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": descriptors});
    let reply = Reply::bytes(200, OCI_INDEX, index.to_string());
    match wanted {
        Some(_) => reply.with("OCI-Filters-Applied", "artifactType"),
        None => reply,
    }
}

fn signature(digest: &str, expires: &str) -> String {
    fingerprint(&format!("{digest} {expires}"))
}

fn fingerprint(text: &str) -> String {
    hex::encode(&digest(&SHA256, format!("fake hub {text}").as_bytes()).as_ref()[..16])
}

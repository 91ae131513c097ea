//! Responses of a correct Docker Hub, from the content that tests have added: manifests, tags, referrers, redirects
//! to blobs. No I/O and no faults.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    faults::{self, ActiveRule},
    image::{Blob, Image, OCI_INDEX},
    pages::Pages,
    realm::{Account, Token},
    requests::{Kind, Listener, Request},
    wire::Reply,
};

/// State of the hub, guarded by one mutex.
pub(super) struct State {
    pub(super) addresses: [SocketAddr; 3],
    pub(super) settings: Settings,
    pub(super) repositories: HashMap<String, Repository>,
    pub(super) accounts: Vec<Account>,
    pub(super) tokens: BTreeMap<String, Token>,
    pub(super) rules: Vec<ActiveRule>,
    pub(super) requests: Vec<Request>,
}

/// Settings of the hub; the defaults are Docker Hub's.
pub(super) struct Settings {
    pub(super) auth: bool,
    pub(super) redirects: bool,
    pub(super) ranges: bool,
    pub(super) referrers: bool,
    pub(super) pages: Option<Pages>,
    pub(super) token_lifetime: Duration,
    pub(super) signature_lifetime: Duration,
    pub(super) pulls_left: Option<u64>,
    pub(super) realm: Option<String>,
    pub(super) challenge_scope: Option<String>,
    pub(super) strict_realm: bool,
    pub(super) refuse_scopes: bool,
    pub(super) requests_per_connection: Option<usize>,
    pub(super) cdn_host: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            auth: true,
            redirects: true,
            ranges: true,
            referrers: true,
            pages: None,
            token_lifetime: Duration::from_secs(300),
            signature_lifetime: Duration::from_secs(1200),
            pulls_left: None,
            realm: None,
            challenge_scope: None,
            strict_realm: false,
            refuse_scopes: false,
            requests_per_connection: None,
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
    /// Adds the image with all content that it references.
    pub(super) fn insert(&mut self, image: &Image) {
        image.children().iter().for_each(|child| self.insert(child));
        for layer in image.layers().iter().chain(image.config()) {
            self.blobs.insert(layer.digest().to_owned(), layer.blob.clone());
        }
        self.manifests.insert(image.digest().to_owned(), image.clone());
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

    /// Decides the response, records the request, and applies the fault rules.
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
        if self.settings.auth && request.listener == Listener::Registry {
            reply.challenge = self.challenge_text(&request);
        }
        faults::apply(&mut self.rules, &request, &mut reply);
        self.requests.push(request);
        reply
    }

    fn registry(&mut self, request: &Request) -> Reply {
        let (Some(name), Some(reference)) = (&request.repository, &request.reference) else {
            return match request.kind {
                Kind::Ping => Reply::json(200, &json!({})),
                _ if request.method == "GET" => Reply::error(404, "NOT_FOUND", "page not found"),
                _ => Reply::error(405, "UNSUPPORTED", "The operation is unsupported."),
            };
        };
        let opens = |token: &Token| token.opens(name);
        if self.settings.auth && !self.valid_token(request).is_some_and(opens) {
            return self.unauthorized(request, r#",error="insufficient_scope""#);
        }
        if matches!(request.kind, Kind::ManifestGet | Kind::ManifestHead) {
            return self.rate_limited_manifest(request, name, reference);
        }
        let Some(repository) = self.repositories.get(name) else {
            return Reply::error(404, "NAME_UNKNOWN", "repository name not known to registry");
        };
        match request.kind {
            Kind::Tags => tags(repository, name, self.settings.pages, request),
            Kind::Referrers if self.settings.referrers => {
                referrers(repository, reference, self.settings.pages, request)
            }
            Kind::Referrers => Reply::error(404, "NOT_FOUND", "page not found"),
            _ => match repository.blobs.get(reference) {
                None => Reply::error(404, "BLOB_UNKNOWN", "blob unknown to registry"),
                Some(_) if self.settings.redirects => Reply::empty(307).with("Location", self.signed_url(reference)),
                Some(blob) => self.blob(request, reference, blob),
            },
        }
    }

    fn rate_limited_manifest(&mut self, request: &Request, name: &str, reference: &str) -> Reply {
        let left = self.settings.pulls_left;
        let is_pull = request.kind == Kind::ManifestGet;
        let reply = if is_pull && left == Some(0) {
            Reply::error(429, "TOOMANYREQUESTS", "You have reached your pull rate limit.").with("Retry-After", "2820")
        } else {
            self.manifest(request, name, reference)
        };
        let left = left.map(|left| left.saturating_sub(u64::from(is_pull)));
        self.settings.pulls_left = left;
        reply
            .with("ratelimit-limit", "100;w=21600")
            .with("ratelimit-remaining", format!("{};w=21600", left.unwrap_or(100)))
            .with("docker-ratelimit-source", "127.0.0.1")
    }

    fn manifest(&self, request: &Request, name: &str, reference: &str) -> Reply {
        let Some(repository) = self.repositories.get(name) else {
            return Reply::error(404, "NAME_UNKNOWN", "repository name not known to registry");
        };
        let digest = repository.tags.get(reference).map_or(reference, String::as_str);
        let Some(image) = repository.manifests.get(digest) else {
            return Reply::error(404, "MANIFEST_UNKNOWN", "manifest unknown");
        };
        let accepts = |(name, value): &(String, String)| name == "accept" && value.contains(image.media_type());
        if !request.headers.iter().any(accepts) {
            let message = "manifest found, but accept header does not support its media type";
            return Reply::error(404, "MANIFEST_UNKNOWN", message);
        }
        Reply::manifest(image).with("Docker-Distribution-Api-Version", "registry/2.0")
    }
}

fn tags(repository: &Repository, name: &str, pages: Option<Pages>, request: &Request) -> Reply {
    if let Some(pages) = pages {
        let tags: Vec<&String> = repository.tags.keys().collect();
        return pages.reply(request, &tags, |page| Reply::json(200, &json!({"name": name, "tags": page})));
    }
    let last = request.parameter("last").unwrap_or_default();
    let rest: Vec<&String> = repository.tags.keys().filter(|tag| tag.as_str() > last).collect();
    let limit = request.parameter("n").and_then(|n| n.parse().ok()).unwrap_or(rest.len());
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

fn referrers(repository: &Repository, subject: &str, pages: Option<Pages>, request: &Request) -> Reply {
    let wanted = request.parameter("artifactType");
    let mut descriptors: Vec<_> = repository
        .manifests
        .values()
        .filter(|image| image.subject() == Some(subject))
        .filter(|image| wanted.is_none() || image.artifact_type() == wanted)
        .map(Image::descriptor)
        .collect();
    descriptors.sort_by_key(|descriptor| descriptor["digest"].to_string());
    let index = |page: &[Value]| {
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": page});
        Reply::bytes(200, OCI_INDEX, index.to_string())
    };
    let reply = pages.map_or_else(|| index(&descriptors), |pages| pages.reply(request, &descriptors, index));
    match wanted {
        Some(_) => reply.with("OCI-Filters-Applied", "artifactType"),
        None => reply,
    }
}

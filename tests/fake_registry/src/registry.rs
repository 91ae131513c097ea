//! Responses of a correct registry, by default Docker Hub's, from the content that tests have added: manifests, tags,
//! referrers, redirects to blobs. No I/O and no faults.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    time::Duration,
};

use serde_json::{Value, json};

use crate::accounts::{Account, Token};
use crate::content::{Content, File};
use crate::faults::{self, ActiveRule};
use crate::image::{Image, OCI_INDEX};
use crate::pages::Pages;
use crate::reply::{Rate, Reply};
use crate::requests::{Kind, Listener, Request};
use crate::settings::{Auth, Pace, Settings};

/// Time between two chunks of a body whose rate the pace limits.
const PACING_INTERVAL: Duration = Duration::from_millis(5);

/// State of the registry, guarded by one mutex.
pub(super) struct State {
    pub(super) addresses: [SocketAddr; 3],
    pub(super) settings: Settings,
    pub(super) repositories: HashMap<String, Repository>,
    pub(super) accounts: Vec<Account>,
    pub(super) tokens: BTreeMap<String, Token>,
    pub(super) rules: Vec<ActiveRule>,
    /// Number of responses that rules have changed.
    pub(super) faults: u64,
    pub(super) requests: Vec<Request>,
}

#[derive(Default)]
pub(super) struct Repository {
    pub(super) tags: BTreeMap<String, String>,
    manifests: HashMap<String, Image>,
    pub(super) blobs: HashMap<String, Content>,
}

impl Repository {
    /// Adds the image with all content that it references.
    pub(super) fn insert(&mut self, image: &Image) {
        image.children().iter().for_each(|child| self.insert(child));
        for blob in image.blobs() {
            self.blobs.insert(blob.digest().to_owned(), blob.content().clone());
        }
        self.manifests.insert(image.digest().to_owned(), image.clone());
    }

    /// Returns everything that is served, by path.
    fn files(&self, name: &str) -> impl Iterator<Item = (String, File)> {
        let by_digest = self.manifests.iter();
        let by_tag = self.tags.iter().filter_map(|(tag, digest)| Some((tag, self.manifests.get(digest)?)));
        let manifests = by_digest.chain(by_tag).map(move |(reference, image)| {
            let content = Content::Bytes(image.bytes().clone());
            let file = File { media_type: image.media_type().to_owned(), content };
            (format!("/v2/{name}/manifests/{reference}"), file)
        });
        let blobs = self.blobs.iter().map(move |(digest, content)| {
            let file = File { media_type: "application/octet-stream".to_owned(), content: content.clone() };
            (format!("/v2/{name}/blobs/{digest}"), file)
        });
        manifests.chain(blobs)
    }
}

impl State {
    pub(super) fn new(addresses: [SocketAddr; 3], settings: Settings) -> Self {
        Self {
            addresses,
            settings,
            repositories: HashMap::new(),
            accounts: Vec::new(),
            tokens: BTreeMap::new(),
            rules: Vec::new(),
            faults: 0,
            requests: Vec::new(),
        }
    }

    /// Returns the URL of a listener, with this host name.
    pub(super) fn url(&self, listener: Listener, host: &str) -> String {
        let scheme = if self.settings.tls { "https" } else { "http" };
        format!("{scheme}://{host}:{}", self.addresses[listener as usize].port())
    }

    /// Returns everything that is served, by path.
    pub(super) fn files(&self) -> BTreeMap<String, File> {
        self.repositories.iter().flat_map(|(name, repository)| repository.files(name)).collect()
    }

    /// Decides the response, records the request, and applies the fault rules.
    pub(super) fn respond(&mut self, mut request: Request) -> Reply {
        let served_here = request.listener == Listener::Registry && !self.settings.redirects;
        if request.kind == Kind::BlobRedirect && served_here {
            request.kind = Kind::BlobDownload;
        }
        let refusal = match request.listener {
            Listener::Registry => self.challenge(&request),
            Listener::Realm => None,
            Listener::Storage => self.bad_signature(&request),
        };
        request.refused = refusal.is_some();
        let mut reply = refusal.unwrap_or_else(|| match request.listener {
            Listener::Registry => self.registry(&request),
            Listener::Realm => self.token(&request),
            Listener::Storage => self.storage(&request),
        });
        if self.settings.auth != Auth::None && request.listener == Listener::Registry {
            reply.challenge = self.challenge_text(&request);
        }
        self.pace(&mut reply);
        self.faults += u64::from(faults::apply(&mut self.rules, &request, &mut reply));
        self.requests.push(request);
        reply
    }

    /// Applies the settings that concern every response.
    fn pace(&self, reply: &mut Reply) {
        let Pace { latency, bytes_per_second } = self.settings.pace;
        reply.delay = latency;
        reply.rate = bytes_per_second.map(|bytes_per_second| Rate {
            bytes_per_second,
            interval: PACING_INTERVAL,
            first_byte_at_once: false,
        });
        if !self.settings.extra_headers {
            reply.remove("ETag");
        }
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
        if self.settings.auth == Auth::Required && !self.valid_token(request).is_some_and(opens) {
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
        if !self.settings.extra_headers {
            return reply;
        }
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

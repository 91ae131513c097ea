//! The steps of a pull: DNS, connection, readiness if it fails, TLS, challenge, token, scopes, membership, manifest,
//! first blob, upstream.

use std::net::SocketAddr;
use std::time::Duration;

use secrecy::SecretString;
use tokio::net::{TcpStream, lookup_host};
use url::Url;

use super::{Found, StepFailure, Steps};
use crate::auth::sha256;
use crate::cli::client::{Http, Login, Reply, Request};
use crate::cli::credentials;
use crate::cli::failure::Failure;
use crate::cli::image::Image;
use crate::cli::refusal::Refusal;
use crate::domain::challenge::{self, BearerChallenge};
use crate::domain::digest::Digest;
use crate::domain::manifest::{self, Descriptor};

/// A pull to run.
pub(super) struct Walk<'a> {
    pub(super) http: &'a Http,
    pub(super) url: &'a Url,
    pub(super) group: &'a str,
    pub(super) image: &'a Image,
    pub(super) login: Option<credentials::Login>,
    pub(super) steps: Steps,
}

/// The challenge of the registry, with the parsed URL of the token endpoint.
#[derive(Debug, PartialEq)]
struct Challenge {
    bearer: BearerChallenge,
    realm: Url,
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

impl Walk<'_> {
    /// Runs the steps and prints each, until the first that fails.
    pub(super) async fn run(&self) -> Result<(), Failure> {
        let addresses = self.steps.report("DNS", self.resolve().await)?;
        self.steps.report("connect", self.connect(&addresses).await)?;
        if let Some(reason) = self.unready().await {
            return self.steps.report("ready", Err(StepFailure::at("ready", reason)));
        }
        let secure = self.url.scheme() == "https";
        let greeting = self.greet(if secure { "TLS" } else { "challenge" }).await;
        if secure && greeting.is_ok() {
            self.steps.report("TLS", Ok(((), "the certificate is trusted".to_owned())))?;
        }
        let challenge = self.steps.report("challenge", greeting.and_then(|reply| self.challenge(&reply)))?;
        self.steps.report("token", self.token(&challenge, None).await)?;
        let token = self.steps.report("scopes", self.token(&challenge, Some(&self.scope())).await)?;
        let reply =
            self.steps.report("membership", self.manifest(&token, &self.image.reference().to_string()).await)?;
        let blob = self.steps.report("manifest", self.first_blob(&token, &reply).await)?;
        self.steps.report("first blob", self.blob(&token, blob).await)?;
        self.steps.report("upstream", upstream(&reply))
    }

    async fn resolve(&self) -> Found<Vec<SocketAddr>> {
        let (Some(host), Some(port)) = (self.url.host_str(), self.url.port_or_known_default()) else {
            return Err(StepFailure::at("DNS", "the URL names no host"));
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        match lookup_host((host, port)).await {
            Ok(found) => {
                let found: Vec<SocketAddr> = found.collect();
                let text = found.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>().join(", ");
                Ok((found, format!("{host} is {text}")))
            }
            Err(error) => Err(StepFailure::at("DNS", format!("{host} has no address: {error}"))),
        }
    }

    async fn connect(&self, addresses: &[SocketAddr]) -> Found<()> {
        let mut why = "there is no address".to_owned();
        for address in addresses {
            match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
                Ok(Ok(_)) => return Ok(((), format!("{address} accepts connections"))),
                Ok(Err(error)) => why = format!("{address}: {error}"),
                Err(_) => why = format!("{address}: no response; a firewall may block the connection"),
            }
        }
        Err(StepFailure::at("connect", why))
    }

    /// Returns the reason why the service says that it is not ready. Whatever else is wrong, a later step finds.
    async fn unready(&self) -> Option<String> {
        let reply = self.http.send(Request::get(self.at("/readyz"))).await.ok()?;
        let body = String::from_utf8(reply.body.to_vec()).ok().filter(|_| reply.status == 503)?;
        body.trim().strip_prefix("not ready: ").map(str::to_owned)
    }

    /// Returns the response to `GET /v2/`. If there is none, `step` has failed.
    async fn greet(&self, step: &'static str) -> Result<Reply, StepFailure> {
        self.send(step, Request::get(self.at("/v2/"))).await
    }

    fn challenge(&self, reply: &Reply) -> Found<Challenge> {
        let wrong = |why: String| StepFailure::at("challenge", why);
        let challenge = reply.header("www-authenticate").filter(|_| reply.status == 401).and_then(Challenge::parse);
        let Some(challenge) = challenge else {
            let status = reply.status;
            if let Some(refusal) = Refusal::read(&reply.body) {
                return Err(wrong(refusal.message));
            }
            return Err(wrong(format!(
                "GET /v2/ returned status {status} without a challenge: this is another server than the service"
            )));
        };
        let realm = &challenge.realm;
        if self.url.scheme() == "https" && realm.scheme() != "https" {
            let text = "clients that connected with https are sent to {realm} for a token: set server.external_url, or \
                        server.trusted_proxies to the address of the proxy in front";
            return Err(wrong(text.replace("{realm}", realm.as_str())));
        }
        let elsewhere = realm.origin() != self.url.origin();
        let note = if elsewhere { " (differs from --url; server.external_url sets it)" } else { "" };
        let text = format!("tokens are at {realm}{note}");
        Ok((challenge, text))
    }

    /// Requests a token: without a scope as for a login, with one as for a pull.
    async fn token(&self, challenge: &Challenge, scope: Option<&str>) -> Found<SecretString> {
        let step = if scope.is_some() { "scopes" } else { "token" };
        let scopes: Vec<String> = scope.map(str::to_owned).into_iter().collect();
        let url = challenge.bearer.token_url(&scopes).unwrap_or_else(|| challenge.realm.clone());
        let login = self.login.as_ref().map_or(Login::None, |(username, secret)| Login::Basic(username, secret));
        let reply = self.send(step, Request::get(url).login(login)).await?;
        if reply.status != 200 {
            let why = sentence(&reply);
            let step = if why.contains("scope") { "scopes" } else { step };
            return Err(StepFailure::at(step, why));
        }
        let token =
            reply.json().and_then(|body| body["token"].as_str().map(|token| SecretString::from(token.to_owned())));
        let text = match &self.login {
            _ if scope.is_some() => "may pull".to_owned(),
            Some((username, _)) => format!("logged in as {username}"),
            None => "received without credentials".to_owned(),
        };
        token.map(|token| (token, text)).ok_or_else(|| StepFailure::at(step, "the response contains no token"))
    }

    /// Requests the manifest. Fails only where the group is refused; later steps report all other problems.
    async fn manifest(&self, token: &SecretString, reference: &str) -> Found<Reply> {
        let request = Request::get(self.content("manifests", reference)).accept(&manifest::ACCEPTED);
        let reply = self.send("manifest", request.login(Login::Bearer(token))).await?;
        let why = sentence(&reply);
        if reply.status == 403 && why.starts_with("Group '") {
            return Err(StepFailure::at("membership", why));
        }
        Ok((reply, format!("may pull from {}", self.group)))
    }

    /// Returns the first blob that a client would fetch for this image, the configuration. For an index, it is the
    /// one of the first manifest.
    async fn first_blob(&self, token: &SecretString, reply: &Reply) -> Found<Descriptor> {
        let named = self.named(reply)?;
        let text = format!("{} has the digest {}", self.image, sha256::digest(&reply.body));
        let blob = match named.manifests.first() {
            Some(child) => {
                let (reply, _) = self.manifest(token, &child.digest.to_string()).await?;
                verified("manifest", &reply, child.digest)?;
                self.named(&reply)?.blobs.first().copied()
            }
            None => named.blobs.first().copied(),
        };
        blob.map(|blob| (blob, text)).ok_or_else(|| StepFailure::at("manifest", "it names no blob"))
    }

    fn named(&self, reply: &Reply) -> Result<manifest::Named, StepFailure> {
        succeeded("manifest", reply)?;
        if let Some(digest) = reply.header("docker-content-digest").and_then(|digest| digest.parse().ok()) {
            verified("manifest", reply, digest)?;
        }
        let media_type = reply.header("content-type").unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        manifest::parse(media_type, &reply.body).map_err(|error| StepFailure::at("manifest", error.to_string()))
    }

    async fn blob(&self, token: &SecretString, blob: Descriptor) -> Found<()> {
        let url = self.content("blobs", &blob.digest.to_string());
        let reply = self.send("first blob", Request::get(url).login(Login::Bearer(token))).await?;
        succeeded("first blob", &reply)?;
        verified("first blob", &reply, blob.digest)?;
        Ok(((), format!("{} bytes, with the right digest", reply.body.len())))
    }

    async fn send(&self, step: &'static str, request: Request<'_>) -> Result<Reply, StepFailure> {
        self.http.send(request).await.map_err(|failure| StepFailure::at(step, failure.to_string()))
    }

    fn scope(&self) -> String {
        format!("repository:{}:pull", self.image.repository(Some(self.group)))
    }

    fn content(&self, kind: &str, name: &str) -> Url {
        self.at(&format!("/v2/{}/{kind}/{name}", self.image.repository(Some(self.group))))
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(path);
        url
    }
}

impl Challenge {
    fn parse(header: &str) -> Option<Self> {
        let challenge::Challenge::Bearer(bearer) = challenge::choose(std::iter::once(header))? else { return None };
        Some(Self { realm: bearer.realm.parse().ok()?, bearer })
    }
}

fn upstream(reply: &Reply) -> Found<()> {
    let age = reply.header("age").unwrap_or("some");
    match reply.header("x-cache") {
        Some("stale") => {
            let reason = reply.header("x-upstream-error").unwrap_or("no usable response from upstream");
            Err(StepFailure::at(
                "upstream",
                format!("{reason}; the image that was cached {age} seconds ago was served"),
            ))
        }
        Some("hit") => Ok(((), format!("not needed: the image was cached {age} seconds ago"))),
        Some(_) | None => Ok(((), "responds".to_owned())),
    }
}

/// Checks for status 200. A 5xx is a failure of the step "upstream", because the service uses it for
/// upstream's failures.
fn succeeded(step: &'static str, reply: &Reply) -> Result<(), StepFailure> {
    match reply.status {
        200 => Ok(()),
        500.. => Err(StepFailure::at("upstream", sentence(reply))),
        _ => Err(StepFailure::at(step, sentence(reply))),
    }
}

fn verified(step: &'static str, reply: &Reply, digest: Digest) -> Result<(), StepFailure> {
    let found = sha256::digest(&reply.body);
    if found == digest || reply.status != 200 {
        return Ok(());
    }
    Err(StepFailure::at(
        step,
        format!("received {found} instead of {digest}: something between here and the service changes the content"),
    ))
}

/// Returns the message in an error of the registry.
fn sentence(reply: &Reply) -> String {
    Refusal::sentence(reply.status, &reply.body)
}

#[cfg(test)]
mod tests;

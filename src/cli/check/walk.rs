//! The steps of a pull: DNS, connection, TLS, challenge, token, scopes, membership, manifest, first blob, upstream.

use std::net::SocketAddr;
use std::time::Duration;

use secrecy::SecretString;
use tokio::net::{TcpStream, lookup_host};
use url::Url;

use super::{Found, Wrong, tell};
use crate::auth::sha256;
use crate::cli::client::{Http, Login, Reply, Request};
use crate::cli::credentials;
use crate::cli::failure::Failure;
use crate::cli::image::Image;
use crate::cli::refusal::Refusal;
use crate::domain::challenge::{self, BearerChallenge};
use crate::domain::digest::Digest;
use crate::domain::manifest::{self, Descriptor};

/// A pull to be tried.
pub(super) struct Walk<'a> {
    pub(super) http: &'a Http,
    pub(super) url: &'a Url,
    pub(super) group: &'a str,
    pub(super) image: &'a Image,
    pub(super) login: Option<credentials::Login>,
}

/// What wants to be met, and where tokens are issued.
#[derive(Debug, PartialEq)]
struct Challenge {
    bearer: BearerChallenge,
    realm: Url,
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

impl Walk<'_> {
    /// Tells each step as it is taken, until the first that fails.
    pub(super) async fn go(&self) -> Result<(), Failure> {
        let addresses = tell("DNS", self.resolve().await)?;
        tell("connect", self.connect(&addresses).await)?;
        let secure = self.url.scheme() == "https";
        let greeting = self.greet(if secure { "TLS" } else { "challenge" }).await;
        if secure && greeting.is_ok() {
            tell("TLS", Ok(((), "the certificate is trusted".to_owned())))?;
        }
        let challenge = tell("challenge", greeting.and_then(|reply| self.challenge(&reply)))?;
        tell("token", self.token(&challenge, None).await)?;
        let token = tell("scopes", self.token(&challenge, Some(&self.scope())).await)?;
        let reply = tell("membership", self.manifest(&token, &self.image.reference().to_string()).await)?;
        let blob = tell("manifest", self.first_blob(&token, &reply).await)?;
        tell("first blob", self.blob(&token, blob).await)?;
        tell("upstream", upstream(&reply))
    }

    async fn resolve(&self) -> Found<Vec<SocketAddr>> {
        let (Some(host), Some(port)) = (self.url.host_str(), self.url.port_or_known_default()) else {
            return Err(Wrong::at("DNS", "the URL names no host"));
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        match lookup_host((host, port)).await {
            Ok(found) => {
                let found: Vec<SocketAddr> = found.collect();
                let text = found.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>().join(", ");
                Ok((found, format!("{host} is {text}")))
            }
            Err(error) => Err(Wrong::at("DNS", format!("{host} has no address: {error}"))),
        }
    }

    async fn connect(&self, addresses: &[SocketAddr]) -> Found<()> {
        let mut why = "there is no address".to_owned();
        for address in addresses {
            match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
                Ok(Ok(_)) => return Ok(((), format!("{address} accepts connections"))),
                Ok(Err(error)) => why = format!("{address}: {error}"),
                Err(_) => why = format!("{address}: no answer; a firewall may be in the way"),
            }
        }
        Err(Wrong::at("connect", why))
    }

    /// The answer to `GET /v2/`; if there is none, `step` has failed.
    async fn greet(&self, step: &'static str) -> Result<Reply, Wrong> {
        self.send(step, Request::get(self.at("/v2/"))).await
    }

    fn challenge(&self, reply: &Reply) -> Found<Challenge> {
        let wrong = |why: String| Wrong::at("challenge", why);
        let challenge = reply.header("www-authenticate").filter(|_| reply.status == 401).and_then(Challenge::parse);
        let Some(challenge) = challenge else {
            let status = reply.status;
            if let Some(refusal) = Refusal::read(&reply.body) {
                return Err(wrong(refusal.message));
            }
            return Err(wrong(format!(
                "GET /v2/ is answered with {status} and not with a challenge: something else answers there"
            )));
        };
        let realm = &challenge.realm;
        if self.url.scheme() == "https" && realm.scheme() != "https" {
            let text = "clients that came by https are sent to {realm} for a token: set server.external_url, or \
                        server.trusted_proxies to the address of the proxy in front";
            return Err(wrong(text.replace("{realm}", realm.as_str())));
        }
        let elsewhere = realm.origin() != self.url.origin();
        let note = if elsewhere { " (another place than --url; server.external_url says which)" } else { "" };
        let text = format!("tokens are at {realm}{note}");
        Ok((challenge, text))
    }

    /// Asks for a token: without a scope this is a login, with one it is a pull.
    async fn token(&self, challenge: &Challenge, scope: Option<&str>) -> Found<SecretString> {
        let step = if scope.is_some() { "scopes" } else { "token" };
        let scopes: Vec<String> = scope.map(str::to_owned).into_iter().collect();
        let url = challenge.bearer.token_url(&scopes).unwrap_or_else(|| challenge.realm.clone());
        let login = self.login.as_ref().map_or(Login::None, |(username, secret)| Login::Basic(username, secret));
        let reply = self.send(step, Request::get(url).login(login)).await?;
        if reply.status != 200 {
            let why = sentence(&reply);
            let step = if why.contains("scope") { "scopes" } else { step };
            return Err(Wrong::at(step, why));
        }
        let token =
            reply.json().and_then(|body| body["token"].as_str().map(|token| SecretString::from(token.to_owned())));
        let who = self.login.as_ref().map_or("nobody in particular", |(username, _)| username);
        let text = if scope.is_some() { "may pull".to_owned() } else { format!("logged in as {who}") };
        token.map(|token| (token, text)).ok_or_else(|| Wrong::at(step, "the answer holds no token"))
    }

    /// The manifest, as far as the group is concerned: what else is wrong with it later steps say.
    async fn manifest(&self, token: &SecretString, reference: &str) -> Found<Reply> {
        let request = Request::get(self.content("manifests", reference)).accept(&manifest::ACCEPTED);
        let reply = self.send("manifest", request.login(Login::Bearer(token))).await?;
        let why = sentence(&reply);
        if reply.status == 403 && why.starts_with("Group '") {
            return Err(Wrong::at("membership", why));
        }
        Ok((reply, format!("may pull from {}", self.group)))
    }

    /// The first blob that a client would fetch for this image: the configuration, behind a manifest of an index if need be.
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
        blob.map(|blob| (blob, text)).ok_or_else(|| Wrong::at("manifest", "it names no blob"))
    }

    fn named(&self, reply: &Reply) -> Result<manifest::Named, Wrong> {
        succeeded("manifest", reply)?;
        if let Some(digest) = reply.header("docker-content-digest").and_then(|digest| digest.parse().ok()) {
            verified("manifest", reply, digest)?;
        }
        let media_type = reply.header("content-type").unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        manifest::parse(media_type, &reply.body).map_err(|error| Wrong::at("manifest", error.to_string()))
    }

    async fn blob(&self, token: &SecretString, blob: Descriptor) -> Found<()> {
        let url = self.content("blobs", &blob.digest.to_string());
        let reply = self.send("first blob", Request::get(url).login(Login::Bearer(token))).await?;
        succeeded("first blob", &reply)?;
        verified("first blob", &reply, blob.digest)?;
        Ok(((), format!("{} bytes that have their digest", reply.body.len())))
    }

    async fn send(&self, step: &'static str, request: Request<'_>) -> Result<Reply, Wrong> {
        self.http.send(request).await.map_err(|failure| Wrong::at(step, failure.to_string()))
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
            let reason = reply.header("x-upstream-error").unwrap_or("upstream gives no usable response");
            Err(Wrong::at("upstream", format!("{reason}; the image of {age} seconds ago was served")))
        }
        Some("hit") => Ok(((), format!("was not needed: cached {age} seconds ago"))),
        Some(_) | None => Ok(((), "answers".to_owned())),
    }
}

/// An answer of 5xx is about upstream, whatever was asked for.
fn succeeded(step: &'static str, reply: &Reply) -> Result<(), Wrong> {
    match reply.status {
        200 => Ok(()),
        500.. => Err(Wrong::at("upstream", sentence(reply))),
        _ => Err(Wrong::at(step, sentence(reply))),
    }
}

fn verified(step: &'static str, reply: &Reply, digest: Digest) -> Result<(), Wrong> {
    let found = sha256::digest(&reply.body);
    if found == digest || reply.status != 200 {
        return Ok(());
    }
    Err(Wrong::at(
        step,
        format!("what came is {found} and should be {digest}: something between here and the service changes it"),
    ))
}

/// What an error of the registry says.
fn sentence(reply: &Reply) -> String {
    Refusal::sentence(reply.status, &reply.body)
}

#[cfg(test)]
mod tests;

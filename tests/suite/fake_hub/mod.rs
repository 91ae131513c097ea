//! A registry for tests that behaves as Docker Hub does, on loopback, and misbehaves on command.
//!
//! Three listeners on three ports: the registry, the token realm and the cdn that holds the blobs. It runs on
//! a thread and runtime of its own, so that it goes on while the runtime of the test is blocked, and ends with its
//! [`FakeHub`]. It never speaks TLS, takes no pushes over HTTP, and reaches out to nobody.

mod cdn;
mod faults;
mod image;
mod listeners;
mod pages;
mod realm;
mod registry;
mod requests;
#[cfg(test)]
mod tests;
mod wire;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, watch};

pub use self::{
    faults::Rule,
    image::{DOCKER_LIST, DOCKER_MANIFEST, Image, Layer, OCI_INDEX, OCI_MANIFEST},
    requests::{Authorization, Kind, Listener, Requests},
};
use self::{
    listeners::Command,
    pages::Pages,
    realm::{Account, Token},
    registry::{Repository, State},
};

/// The running hub; dropping it closes everything.
pub struct FakeHub {
    shared: Arc<Shared>,
    addresses: [SocketAddr; 3],
    commands: Option<mpsc::UnboundedSender<Command>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    releases: watch::Sender<u64>,
}

impl FakeHub {
    /// An empty hub with Docker Hub's manners: challenges, redirects, ranges, referrers.
    pub fn start() -> Self {
        let (shared, commands, thread) = listeners::start();
        let addresses = shared.state.lock().unwrap().addresses;
        Self { shared, addresses, commands: Some(commands), thread: Some(thread) }
    }

    /// `http://127.0.0.1:PORT` of the registry: what an upstream's `url` is set to.
    pub fn url(&self) -> String {
        format!("http://{}", self.host(Listener::Registry))
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self, listener: Listener) -> String {
        self.address(listener).to_string()
    }

    pub fn address(&self, listener: Listener) -> SocketAddr {
        self.addresses[listener as usize]
    }

    /// Puts in the image with all that it names, under this tag; the answer is its digest.
    pub fn push_image(&self, repository: &str, tag: &str, image: &Image) -> String {
        self.push_untagged(repository, image);
        self.move_tag(repository, tag, image.digest());
        image.digest().to_owned()
    }

    /// The same without a tag: a referrer, or an image pulled by digest.
    pub fn push_untagged(&self, repository: &str, image: &Image) {
        self.state().repositories.entry(repository.to_owned()).or_default().insert(image);
    }

    /// Points the tag, which may be new, at this digest.
    pub fn move_tag(&self, repository: &str, tag: &str, digest: &str) {
        self.repository(repository, |held| held.tags.insert(tag.to_owned(), digest.to_owned()));
    }

    pub fn delete_tag(&self, repository: &str, tag: &str) {
        self.repository(repository, |held| held.tags.remove(tag));
    }

    pub fn delete_blob(&self, repository: &str, digest: &str) {
        self.repository(repository, |held| held.blobs.remove(digest));
    }

    /// An account; the repositories it names become private to it and to others that name them.
    pub fn add_account(&self, username: &str, password: &str, repositories: &[&str]) {
        self.state().accounts.push(Account {
            username: username.to_owned(),
            password: password.to_owned(),
            repositories: repositories.iter().map(|&name| name.to_owned()).collect(),
        });
    }

    /// Off: a plain registry that asks nobody for a token and answers 404 for what it does not have.
    pub fn require_auth(&self, on: bool) {
        self.state().settings.auth = on;
    }

    /// Off: the registry serves blobs itself.
    pub fn redirect_blobs(&self, on: bool) {
        self.state().settings.redirects = on;
    }

    /// Off: `Range` is ignored and the whole blob sent with 200.
    pub fn honour_ranges(&self, on: bool) {
        self.state().settings.ranges = on;
    }

    /// Off: 404 for `referrers/`.
    pub fn referrers_api(&self, on: bool) {
        self.state().settings.referrers = on;
    }

    /// Lists come in pages of this size at most, and each links to the next by an opaque token in this parameter, as Quay
    /// (`next_page`) and ECR (`nextToken`) do. A token that does not come back byte for byte is a 400.
    pub fn page_by(&self, parameter: &'static str, size: usize) {
        self.state().settings.pages = Some(Pages { parameter, size });
    }

    /// How long tokens given out from now on are good, and said to be (whole seconds).
    pub fn token_lifetime(&self, lifetime: Duration) {
        self.state().settings.token_lifetime = lifetime;
    }

    /// Ends every token given out so far, whatever it was said to live.
    pub fn expire_tokens(&self) {
        let mut state = self.state();
        state.tokens.values_mut().for_each(Token::expire);
    }

    /// Every token ever given out, to search for where none may be.
    pub fn issued_tokens(&self) -> Vec<String> {
        self.state().tokens.keys().cloned().collect()
    }

    /// How long signed URLs given out from now on open the cdn.
    pub fn signed_url_lifetime(&self, lifetime: Duration) {
        self.state().settings.signature_lifetime = lifetime;
    }

    /// So many manifest `GET`s until 429; without it the limit is told but never reached.
    pub fn pulls_left(&self, pulls: u64) {
        self.state().settings.pulls_left = Some(pulls);
    }

    /// Challenges name this realm instead of the hub's own.
    pub fn realm_at(&self, url: &str) {
        self.state().settings.realm = Some(url.to_owned());
    }

    /// Challenges name this scope, whatever the repository.
    pub fn challenge_scope(&self, scope: &str) {
        self.state().settings.challenge_scope = Some(scope.to_owned());
    }

    /// The realm refuses to issue a token for a scope that names no repository of this hub, as GHCR does.
    pub fn strict_realm(&self, on: bool) {
        self.state().settings.strict_realm = on;
    }

    /// The realm answers a request with any scope with 403, and one without as ever, as GitLab does where an account is
    /// good and may not have the image.
    pub fn refuse_scopes(&self, on: bool) {
        self.state().settings.refuse_scopes = on;
    }

    /// Connections of the registry carry so many requests; the next one finds them reset, without a word before.
    pub fn requests_per_connection(&self, requests: usize) {
        self.state().settings.requests_per_connection = Some(requests);
    }

    /// Redirects spell the cdn's host like this (say `localhost`), with its port.
    pub fn cdn_host(&self, host: &str) {
        self.state().settings.cdn_host = host.to_owned();
    }

    /// A URL that opens this blob at the cdn.
    pub fn signed_url(&self, digest: &str) -> String {
        self.state().signed_url(digest)
    }

    /// The beginning of a rule of misbehaviour for one kind of request.
    pub fn on(&self, kind: Kind) -> Rule<'_> {
        Rule::new(self, Some(kind))
    }

    /// The same for every kind.
    pub fn on_anything(&self) -> Rule<'_> {
        Rule::new(self, None)
    }

    /// Forgets all rules of misbehaviour; what is under way goes on as it began.
    pub fn behave(&self) {
        self.state().rules.clear();
    }

    /// Lets the held bodies of all requests seen so far go on, also those that have not got to their hold yet.
    pub fn release(&self) {
        self.shared.releases.send_modify(|count| *count += 1);
    }

    /// Refuses connections to this listener, and ends those it has.
    pub fn down(&self, listener: Listener) {
        self.command(|done| Command::Down(listener, done));
    }

    /// Listens again, on the same port.
    pub fn up(&self, listener: Listener) {
        self.command(|done| Command::Up(listener, done));
    }

    /// What has arrived so far.
    pub fn requests(&self) -> Requests {
        Requests(self.state().requests.clone())
    }

    pub fn reset_counts(&self) {
        self.state().requests.clear();
    }

    /// Waits until the hub has seen `count` requests of this kind; panics after ten seconds.
    pub async fn seen(&self, kind: Kind, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.requests().of(kind) < count {
            assert!(Instant::now() < deadline, "waited in vain for {count} x {kind:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    fn repository<T>(&self, name: &str, change: impl FnOnce(&mut Repository) -> T) -> T {
        let mut state = self.state();
        change(state.repositories.get_mut(name).expect("push an image there first"))
    }

    fn command(&self, command: impl FnOnce(std::sync::mpsc::Sender<()>) -> Command) {
        let (done, is_done) = std::sync::mpsc::channel();
        self.commands.as_ref().unwrap().send(command(done)).expect("the hub's thread runs");
        is_done.recv().expect("the hub's thread runs");
    }
}

impl Drop for FakeHub {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

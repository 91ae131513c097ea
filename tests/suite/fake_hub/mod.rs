//! A registry for tests that behaves as Docker Hub does, on loopback, and misbehaves on command.
//!
//! Three listeners on three ports: the registry, the token realm and the cdn with the blobs. It has its own thread
//! and runtime, so that it continues while the runtime of the test is blocked, and ends with its [`FakeHub`]. It
//! never uses TLS, accepts no pushes over HTTP, and connects to nobody.

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
    /// Starts an empty hub with Docker Hub's behaviour: challenges, redirects, ranges, referrers.
    pub fn start() -> Self {
        let (shared, commands, thread) = listeners::start();
        let addresses = shared.state.lock().unwrap().addresses;
        Self { shared, addresses, commands: Some(commands), thread: Some(thread) }
    }

    /// Returns `http://127.0.0.1:PORT` of the registry, for the `url` of an upstream.
    pub fn url(&self) -> String {
        format!("http://{}", self.host(Listener::Registry))
    }

    /// Returns `127.0.0.1:PORT` of a listener.
    pub fn host(&self, listener: Listener) -> String {
        self.address(listener).to_string()
    }

    pub fn address(&self, listener: Listener) -> SocketAddr {
        self.addresses[listener as usize]
    }

    /// Adds the image with all content that it references, under this tag. Returns its digest.
    pub fn push_image(&self, repository: &str, tag: &str, image: &Image) -> String {
        self.push_untagged(repository, image);
        self.move_tag(repository, tag, image.digest());
        image.digest().to_owned()
    }

    /// Adds the image without a tag: a referrer, or an image pulled by digest.
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

    /// Adds an account; these repositories become private to it and to other accounts that name them.
    pub fn add_account(&self, username: &str, password: &str, repositories: &[&str]) {
        self.state().accounts.push(Account {
            username: username.to_owned(),
            password: password.to_owned(),
            repositories: repositories.iter().map(|&name| name.to_owned()).collect(),
        });
    }

    /// Off: a plain registry that requires no token and responds with 404 for missing content.
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

    /// Sets the maximum size of the pages of lists. Each page links to the next one by an opaque token in this
    /// parameter, as Quay (`next_page`) and ECR (`nextToken`) do. A token that is not returned byte for byte is a 400.
    pub fn page_by(&self, parameter: &'static str, size: usize) {
        self.state().settings.pages = Some(Pages { parameter, size });
    }

    /// Sets the validity of tokens from now on, also as announced (whole seconds).
    pub fn token_lifetime(&self, lifetime: Duration) {
        self.state().settings.token_lifetime = lifetime;
    }

    /// Ends every token issued so far, whatever its announced validity.
    pub fn expire_tokens(&self) {
        let mut state = self.state();
        state.tokens.values_mut().for_each(Token::expire);
    }

    /// Returns all issued tokens, to search for them where none may be.
    pub fn issued_tokens(&self) -> Vec<String> {
        self.state().tokens.keys().cloned().collect()
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

    /// The realm refuses a token for a scope without a repository of this hub, as GHCR does.
    pub fn strict_realm(&self, on: bool) {
        self.state().settings.strict_realm = on;
    }

    /// The realm responds to a request with any scope with 403, and to one without as usual, as GitLab does where
    /// an account is valid but may not read the image.
    pub fn refuse_scopes(&self, on: bool) {
        self.state().settings.refuse_scopes = on;
    }

    /// Sets the number of requests per connection of the registry; the next one is reset without notice.
    pub fn requests_per_connection(&self, requests: usize) {
        self.state().settings.requests_per_connection = Some(requests);
    }

    /// Sets the host name of the cdn in redirects (such as `localhost`), with its port.
    pub fn cdn_host(&self, host: &str) {
        self.state().settings.cdn_host = host.to_owned();
    }

    /// Returns a signed URL of this blob at the cdn.
    pub fn signed_url(&self, digest: &str) -> String {
        self.state().signed_url(digest)
    }

    /// Starts a fault rule for one kind of request.
    pub fn on(&self, kind: Kind) -> Rule<'_> {
        Rule::new(self, Some(kind))
    }

    /// Starts a fault rule for every kind of request.
    pub fn on_anything(&self) -> Rule<'_> {
        Rule::new(self, None)
    }

    /// Removes all fault rules; running responses continue as they began.
    pub fn behave(&self) {
        self.state().rules.clear();
    }

    /// Continues the held bodies of all requests so far, also of those that have not reached their hold yet.
    pub fn release(&self) {
        self.shared.releases.send_modify(|count| *count += 1);
    }

    /// Refuses connections to this listener, and ends existing ones.
    pub fn down(&self, listener: Listener) {
        self.command(|done| Command::Down(listener, done));
    }

    /// Listens again, on the same port.
    pub fn up(&self, listener: Listener) {
        self.command(|done| Command::Up(listener, done));
    }

    /// Returns the requests so far.
    pub fn requests(&self) -> Requests {
        Requests(self.state().requests.clone())
    }

    pub fn reset_counts(&self) {
        self.state().requests.clear();
    }

    /// Waits until the hub has received `count` requests of this kind; panics after ten seconds.
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

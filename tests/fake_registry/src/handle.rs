//! The handle of a running registry: its start and end, its content, and what it received.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::accounts::{Account, Token};
use crate::content::File;
use crate::counts::{Counts, Requests};
use crate::image::Image;
use crate::listeners::{self, Command, Shared};
use crate::registry::{Repository, State};
use crate::requests::{Kind, Listener};
use crate::settings::Settings;
use crate::tls::Certificate;

/// The running registry; dropping it closes everything.
pub struct FakeRegistry {
    shared: Arc<Shared>,
    addresses: [SocketAddr; 3],
    commands: Option<mpsc::UnboundedSender<Command>>,
    thread: Option<JoinHandle<()>>,
}

impl FakeRegistry {
    /// Starts an empty registry with Docker Hub's behaviour: challenges, redirects, ranges, referrers.
    pub fn start() -> Self {
        Self::with(Settings::default(), None).expect("three free ports")
    }

    /// Starts an empty registry that is as fast as possible, over TLS if there is a certificate: it serves blobs
    /// itself, without unnecessary headers, and offers a login without requiring it.
    ///
    /// # Errors
    ///
    /// Fails where no port is free, and where the certificate cannot be read.
    pub fn fast(certificate: Option<Certificate<'_>>) -> io::Result<Self> {
        let tls = certificate.map(Certificate::acceptor).transpose()?;
        Self::with(Settings::fast(tls.is_some()), tls)
    }

    fn with(settings: Settings, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        let (shared, commands, thread) = listeners::start(settings, tls)?;
        let addresses = shared.state.lock().unwrap().addresses;
        Ok(Self { shared, addresses, commands: Some(commands), thread: Some(thread) })
    }

    /// Returns the URL of the registry, for the `url` of an upstream: `http://127.0.0.1:PORT`, or with TLS
    /// `https://localhost:PORT`, which is the name in its certificate.
    pub fn url(&self) -> String {
        let state = self.state();
        state.url(Listener::Registry, &state.settings.host)
    }

    /// Returns `127.0.0.1:PORT` of a listener.
    pub fn host(&self, listener: Listener) -> String {
        self.address(listener).to_string()
    }

    /// Returns the address of a listener.
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

    /// Removes the tag.
    pub fn delete_tag(&self, repository: &str, tag: &str) {
        self.repository(repository, |held| held.tags.remove(tag));
    }

    /// Removes the blob from this repository.
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

    /// Changes the password of an account. Its tokens stay valid.
    pub fn change_password(&self, username: &str, password: &str) {
        let mut state = self.state();
        let account = state.accounts.iter_mut().find(|account| account.username == username);
        account.expect("add the account first").password = password.to_owned();
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

    /// Returns a signed URL of this blob at the storage.
    pub fn signed_url(&self, digest: &str) -> String {
        self.state().signed_url(digest)
    }

    /// Removes all fault rules; running responses continue as they began.
    pub fn behave(&self) {
        self.state().rules.clear();
    }

    /// Returns the number of responses that fault rules have changed since the last call.
    pub fn take_faults(&self) -> u64 {
        std::mem::take(&mut self.state().faults)
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

    /// Returns everything that it serves, by path.
    pub fn files(&self) -> BTreeMap<String, File> {
        self.state().files()
    }

    /// Returns the numbers of requests so far.
    pub fn counts(&self) -> Counts {
        Counts::of_all(&self.state().requests)
    }

    /// Returns the requests so far.
    pub fn requests(&self) -> Requests {
        Requests(self.state().requests.clone())
    }

    /// Forgets the requests so far.
    pub fn reset_counts(&self) {
        self.state().requests.clear();
    }

    /// Waits until the registry has received `count` requests of this kind; panics after ten seconds.
    pub async fn seen(&self, kind: Kind, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.requests().of(kind) < count {
            assert!(Instant::now() < deadline, "waited in vain for {count} x {kind:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    fn repository<T>(&self, name: &str, change: impl FnOnce(&mut Repository) -> T) -> T {
        let mut state = self.state();
        change(state.repositories.get_mut(name).expect("push an image there first"))
    }

    fn command(&self, command: impl FnOnce(std::sync::mpsc::Sender<()>) -> Command) {
        let (done, is_done) = std::sync::mpsc::channel();
        self.commands.as_ref().unwrap().send(command(done)).expect("the registry's thread runs");
        is_done.recv().expect("the registry's thread runs");
    }
}

impl Drop for FakeRegistry {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

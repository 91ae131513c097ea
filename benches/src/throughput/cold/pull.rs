//! A complete pull, as clients do it: login if required, the manifest by its tag, then configuration and
//! layers, three at a time.

use std::cell::Cell;
use std::io;
use std::time::{Duration, Instant};

use fake_registry::Image;
use futures::future::try_join_all;

use super::client::Client;
use super::crowd::ThreadState;
use crate::throughput::contender::Running;
use crate::throughput::load::{Received, Request, Target};

/// Number of concurrent blobs, the default of docker and containerd.
const MAX_CONCURRENT_BLOBS: usize = 3;

/// The requests of a pull, in order.
pub(in crate::throughput) struct Pull {
    target: Target,
    login: Option<Request>,
    manifest: Request,
    blobs: Vec<(Request, String)>,
}

/// Times of a pull.
pub(in crate::throughput) struct Pulled {
    /// The response with the manifest.
    pub(in crate::throughput) manifest: Received,
    /// Time from the start to the last byte of the last blob.
    total: Duration,
}

impl Pulled {
    /// Returns the pull as one response, whose first byte is that of the manifest.
    pub(in crate::throughput) fn received(&self) -> Received {
        Received { first_byte: self.manifest.total, total: self.total, reusable: false }
    }
}

impl Pull {
    /// Creates the pull of an image that upstream has under this tag.
    pub(in crate::throughput) fn new(server: &Running, repository: &str, tag: &str, image: &Image) -> Self {
        let get = |path: &str, size| server.request("GET", path, None).expecting(size);
        let blobs = image
            .blobs()
            .map(|blob| (get(&server.blob(repository, blob.digest()), blob.size()), blob.digest().to_owned()));
        let scope = format!("repository:bench/dependency_proxy/containers/{repository}:pull");
        let path = format!("/jwt/auth?service=dependency_proxy&scope={scope}");
        let login = server.access.logins.as_ref().map(|logins| logins.deploy_token.as_str());
        Self {
            target: server.target,
            login: login.map(|login| server.request("GET", &path, Some(login))),
            manifest: get(&server.manifest(repository, tag), image.size()),
            blobs: blobs.collect(),
        }
    }

    /// Pulls the image on new connections; with `check` the digest of each blob is verified, too.
    pub(in crate::throughput) async fn run(&self, state: &ThreadState, check: bool) -> io::Result<Pulled> {
        let started = Instant::now();
        let clients = (0..MAX_CONCURRENT_BLOBS).map(|_| Client::new(state, self.target));
        let mut clients = clients.collect::<io::Result<Vec<Client>>>()?;
        if let Some(login) = &self.login {
            clients[0].get(login, None).await?;
        }
        let manifest = clients[0].get(&self.manifest, None).await?;
        let next = Cell::new(0);
        try_join_all(clients.into_iter().map(|client| self.blobs(client, &next, check))).await?;
        Ok(Pulled { manifest, total: started.elapsed() })
    }

    /// Requests the manifest only.
    pub(in crate::throughput) async fn manifest(&self, state: &ThreadState) -> io::Result<Received> {
        Client::new(state, self.target)?.get(&self.manifest, None).await
    }

    /// Downloads blobs until none is left.
    async fn blobs(&self, mut client: Client<'_>, next: &Cell<usize>, check: bool) -> io::Result<()> {
        while let Some((request, digest)) = self.blobs.get(next.replace(next.get() + 1)) {
            client.get(request, check.then_some(digest)).await?;
        }
        Ok(())
    }
}

//! A whole pull, as clients make it: log in where that is asked for, the manifest by its tag, then config and layers, three at
//! a time.

use std::cell::Cell;
use std::io;
use std::time::{Duration, Instant};

use futures::future::try_join_all;

use super::client::Client;
use super::crowd::Desk;
use crate::contender::Running;
use crate::load::{Received, Request, Target};
use crate::origin::Image;

/// What docker and containerd do by default.
const AT_A_TIME: usize = 3;

/// The requests of a pull, in order.
pub(super) struct Pull {
    target: Target,
    login: Option<Request>,
    manifest: Request,
    blobs: Vec<(Request, String)>,
}

/// When a pull was where.
pub(super) struct Pulled {
    /// The answer with the manifest.
    pub(super) manifest: Received,
    /// Until the last byte of the last blob, from the start.
    total: Duration,
}

impl Pulled {
    /// The pull as one answer, which begins with the manifest.
    pub(super) fn received(&self) -> Received {
        Received { first_byte: self.manifest.total, total: self.total, reusable: false }
    }
}

impl Pull {
    /// Of an image that the origin has under this tag.
    pub(super) fn new(server: &Running, repository: &str, tag: &str, image: &Image) -> Self {
        let get = |path: &str, size| Request::new(server, "GET", path, None).expecting(size);
        let blobs =
            image.blobs().map(|blob| (get(&server.blob(repository, &blob.digest), blob.size()), blob.digest.clone()));
        let scope = format!("repository:bench/dependency_proxy/containers/{repository}:pull");
        let path = format!("/jwt/auth?service=dependency_proxy&scope={scope}");
        let login = server.logins.as_ref().map(|logins| logins.deploy_token.as_str());
        Self {
            target: server.target,
            login: login.map(|login| Request::new(server, "GET", &path, Some(login))),
            manifest: get(&server.manifest(repository, tag), image.manifest.size()),
            blobs: blobs.collect(),
        }
    }

    /// Pulls it with connections of its own; with `check` the digest of each blob must be right, too.
    pub(super) async fn run(&self, desk: &Desk, check: bool) -> io::Result<Pulled> {
        let started = Instant::now();
        let clients = (0..AT_A_TIME).map(|_| Client::new(desk, self.target));
        let mut clients = clients.collect::<io::Result<Vec<Client>>>()?;
        if let Some(login) = &self.login {
            clients[0].get(login, None).await?;
        }
        let manifest = clients[0].get(&self.manifest, None).await?;
        let next = Cell::new(0);
        try_join_all(clients.into_iter().map(|client| self.blobs(client, &next, check))).await?;
        Ok(Pulled { manifest, total: started.elapsed() })
    }

    /// The manifest alone.
    pub(super) async fn manifest(&self, desk: &Desk) -> io::Result<Received> {
        Client::new(desk, self.target)?.get(&self.manifest, None).await
    }

    /// Blobs until there are none left.
    async fn blobs(&self, mut client: Client<'_>, next: &Cell<usize>, check: bool) -> io::Result<()> {
        while let Some((request, digest)) = self.blobs.get(next.replace(next.get() + 1)) {
            client.get(request, check.then_some(digest)).await?;
        }
        Ok(())
    }
}

//! Debian's `docker-registry` as an upstream.

use std::path::Path;
use std::process::Command;

use super::client::Credential;
use super::held::{Held, script};

/// A registry on a free loopback port. Several may serve one folder: images are pushed to a plain one and pulled
/// from a protected one.
pub(crate) struct DebianRegistry {
    held: Held,
}

impl DebianRegistry {
    /// Starts one that anyone may pull from and push to.
    pub(crate) fn plain(folder: &Path) -> Self {
        Self::start(folder, &["plain"])
    }

    /// Starts one that requires this user and password by HTTP Basic.
    pub(crate) fn with_password(folder: &Path, credential: Credential<'_>) -> Self {
        Self::start(folder, &["basic", credential.user, credential.password])
    }

    /// Starts one with a token server, at another port. Each account may pull the repositories whose names start
    /// with its prefix; those of [`Credential::NONE`] are public.
    pub(crate) fn with_tokens(folder: &Path, accounts: &[(Credential<'_>, &str)]) -> Self {
        let accounts: Vec<String> = accounts
            .iter()
            .map(|(credential, prefix)| format!("{}:{}={prefix}", credential.user, credential.password))
            .collect();
        Self::start(folder, &["token", &accounts.join(" ")])
    }

    /// Starts one that is a pull-through cache of the registry at this URL.
    pub(crate) fn cache_of(folder: &Path, url: &str) -> Self {
        Self::start(folder, &["cache", url])
    }

    fn start(folder: &Path, guard: &[&str]) -> Self {
        let mut command = vec![script("with-registry.sh"), folder.to_str().unwrap().to_owned()];
        command.extend(guard.iter().map(|&word| word.to_owned()));
        Self { held: Held::start(command, &["REGISTRY", "TOKEN_SERVER"]) }
    }

    /// Returns `127.0.0.1:PORT`; it uses plain HTTP.
    pub(crate) fn address(&self) -> &str {
        self.held.variable("REGISTRY")
    }

    /// Returns `127.0.0.1:PORT` of the token server of [`Self::with_tokens`].
    pub(crate) fn token_server(&self) -> &str {
        self.held.variable("TOKEN_SERVER")
    }

    /// Creates and pushes images, each given as `NAME:TAG=FORM` with a form of `images.py`: `docker`,
    /// `oci`, `docker-list` or `oci-index`. Options of `images.py` may be among them. Returns `NAME:TAG`
    /// and digest of each, in order.
    pub(crate) fn push(&self, images: &[&str]) -> Vec<(String, String)> {
        let output = Command::new(script("images.py")).arg(self.address()).args(images).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let pushed = String::from_utf8(output.stdout).unwrap();
        let pairs = pushed.lines().map(|line| line.split_once(' ').unwrap());
        pairs.map(|(reference, digest)| (reference.to_owned(), digest.to_owned())).collect()
    }
}

//! Debian's `docker-registry` as an upstream.

use std::path::Path;
use std::process::Command;

use super::client::Credential;
use super::held::{Held, script};

/// A registry on a free loopback port. Several may serve one folder: a plain one is filled, a guarded one is asked.
pub(crate) struct DebianRegistry {
    held: Held,
}

impl DebianRegistry {
    /// One that anyone may pull from and push to.
    pub(crate) fn plain(folder: &Path) -> Self {
        Self::start(folder, &["plain"])
    }

    /// One that wants this user and password by HTTP Basic.
    pub(crate) fn with_password(folder: &Path, credential: Credential<'_>) -> Self {
        Self::start(folder, &["basic", credential.user, credential.password])
    }

    /// One with a token server, at another port. Each account may pull the repositories whose names start with its
    /// prefix; those of [`Credential::NONE`] are open to all.
    pub(crate) fn with_tokens(folder: &Path, accounts: &[(Credential<'_>, &str)]) -> Self {
        let accounts: Vec<String> = accounts
            .iter()
            .map(|(credential, prefix)| format!("{}:{}={prefix}", credential.user, credential.password))
            .collect();
        Self::start(folder, &["token", &accounts.join(" ")])
    }

    fn start(folder: &Path, guard: &[&str]) -> Self {
        let mut command = vec![script("with-registry.sh"), folder.to_str().unwrap().to_owned()];
        command.extend(guard.iter().map(|&word| word.to_owned()));
        Self { held: Held::start(command, &["REGISTRY", "TOKEN_SERVER"]) }
    }

    /// `127.0.0.1:PORT`; it speaks plain HTTP.
    pub(crate) fn address(&self) -> &str {
        self.held.variable("REGISTRY")
    }

    /// Where the tokens of [`Self::with_tokens`] come from: `127.0.0.1:PORT`.
    pub(crate) fn token_server(&self) -> &str {
        self.held.variable("TOKEN_SERVER")
    }

    /// Makes and pushes images, each given as `NAME:TAG=FORM` with a form of `images.py`: `docker`, `oci`, `docker-list` or
    /// `oci-index`. Options of `images.py` may stand among them. Returns `NAME:TAG` and digest of each, in order.
    pub(crate) fn push(&self, images: &[&str]) -> Vec<(String, String)> {
        let output = Command::new(script("images.py")).arg(self.address()).args(images).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let pushed = String::from_utf8(output.stdout).unwrap();
        let pairs = pushed.lines().map(|line| line.split_once(' ').unwrap());
        pairs.map(|(reference, digest)| (reference.to_owned(), digest.to_owned())).collect()
    }
}

//! The clients, and what they are given.

use std::path::Path;
use std::process::{Command, Stdio};

use super::held::{Engines, script};

/// A program that pulls images. Each call starts from nothing and leaves nothing behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// Debian's command line on Debian's engine.
    Docker,
    /// A newer command line on the same engine, where one is installed: see [`Client::dockers`].
    NewerDocker,
    Podman,
    Buildah,
    Skopeo,
    Ctr,
}

const NEWER_DOCKER: &str = "/usr/local/bin/docker";

/// A user and a password, or neither.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Credential<'a> {
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
}

impl<'a> Credential<'a> {
    /// Nobody.
    pub(crate) const NONE: Credential<'static> = Credential::of("", "");

    /// `password` may be a token.
    pub(crate) const fn of(user: &'a str, password: &'a str) -> Self {
        Self { user, password }
    }
}

impl Client {
    /// Each of them.
    pub(crate) const ALL: [Self; 5] = [Self::Docker, Self::Podman, Self::Buildah, Self::Skopeo, Self::Ctr];

    /// Docker's command lines that are installed here.
    pub(crate) fn dockers() -> impl Iterator<Item = Self> {
        let newer = Path::new(NEWER_DOCKER).exists().then_some(Self::NewerDocker);
        std::iter::once(Self::Docker).chain(newer)
    }

    /// Whether it knows a login apart from a pull.
    pub(crate) fn has_login(self) -> bool {
        self != Self::Ctr
    }

    /// Logs in at `registry`, a `HOST:PORT`. The error is what the client said.
    pub(crate) fn login(self, engines: &Engines, registry: &str, credential: Credential<'_>) -> Result<(), String> {
        self.run(engines, &["login", registry, credential.user, credential.password]).map(|_| ())
    }

    /// Pulls `image`, a `NAME:TAG` or `NAME@DIGEST`, with a credential stored as if by an earlier login. Returns the digests
    /// by which the client then knows the image, that of its index among them. The error is what the client said.
    pub(crate) fn pull(
        self,
        engines: &Engines,
        registry: &str,
        credential: Credential<'_>,
        image: &str,
    ) -> Result<Vec<String>, String> {
        let digests = self.run(engines, &["pull", registry, credential.user, credential.password, image])?;
        Ok(digests.lines().map(str::to_owned).collect())
    }

    /// Pulls the image of docker.io that `image`, a `GROUP/dependency_proxy/containers/NAME:TAG`, is at `registry`: by its
    /// own name, with the group configured as its mirror. Podman and ctr only. Returns what [`Client::pull`] does.
    pub(crate) fn pull_by_mirror(
        self,
        engines: &Engines,
        registry: &str,
        credential: Credential<'_>,
        image: &str,
    ) -> Result<Vec<String>, String> {
        let digests = self.run(engines, &["mirror", registry, credential.user, credential.password, image])?;
        Ok(digests.lines().map(str::to_owned).collect())
    }

    /// The same for an image of the registry `home`, which ctr names by `?ns=`. Ctr only.
    pub(crate) fn pull_by_mirror_of(
        self,
        engines: &Engines,
        registry: &str,
        credential: Credential<'_>,
        image: &str,
        home: &str,
    ) -> Result<Vec<String>, String> {
        let digests = self.run(engines, &["mirror", registry, credential.user, credential.password, image, home])?;
        Ok(digests.lines().map(str::to_owned).collect())
    }

    /// Pulls an image and pushes it to where it came from. Docker only. The error is what the client said.
    pub(crate) fn push(
        self,
        engines: &Engines,
        registry: &str,
        credential: Credential<'_>,
        image: &str,
    ) -> Result<(), String> {
        self.run(engines, &["push", registry, credential.user, credential.password, image]).map(|_| ())
    }

    /// What `skopeo inspect` prints, which asks for the list of tags too. Skopeo only.
    pub(crate) fn inspect(
        self,
        engines: &Engines,
        registry: &str,
        credential: Credential<'_>,
        image: &str,
    ) -> Result<String, String> {
        self.run(engines, &["inspect", registry, credential.user, credential.password, image])
    }

    /// The tags that `skopeo list-tags` prints of `image`, a `NAME` without a tag. Skopeo only.
    pub(crate) fn list_tags(
        self,
        engines: &Engines,
        registry: &str,
        credential: Credential<'_>,
        image: &str,
    ) -> Result<String, String> {
        self.run(engines, &["list_tags", registry, credential.user, credential.password, image])
    }

    /// The signatures that cosign attached to `image`, a `NAME:TAG`, one a line. Skopeo only.
    pub(crate) fn signatures(
        self,
        engines: &Engines,
        registry: &str,
        credential: Credential<'_>,
        image: &str,
    ) -> Result<String, String> {
        self.run(engines, &["signatures", registry, credential.user, credential.password, image])
    }

    fn run(self, engines: &Engines, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new(script(self.script()))
            .args(arguments)
            .envs(engines.environment())
            .envs((self == Self::NewerDocker).then_some(("DOCKER_COMMAND", NEWER_DOCKER)))
            .stdin(Stdio::null())
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    fn script(self) -> &'static str {
        match self {
            Self::Docker | Self::NewerDocker => "docker.sh",
            Self::Podman => "podman.sh",
            Self::Buildah => "buildah.sh",
            Self::Skopeo => "skopeo.sh",
            Self::Ctr => "ctr.sh",
        }
    }
}

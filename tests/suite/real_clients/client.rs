//! The clients, and their credentials.

use std::path::Path;
use std::process::{Command, Stdio};

use super::held::{Engines, script};

/// A program that pulls images. Each call starts without state and leaves none behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// Debian's command line with Debian's engine.
    Docker,
    /// A newer command line with the same engine, if one is installed: see [`Client::dockers`].
    NewerDocker,
    Podman,
    Buildah,
    Skopeo,
    Ctr,
}

const NEWER_DOCKER: &str = "/usr/local/bin/docker";

/// A user name and a password, or neither.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Credential<'a> {
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
}

impl<'a> Credential<'a> {
    /// No credential.
    pub(crate) const NONE: Credential<'static> = Credential::of("", "");

    /// Creates a credential; `password` may be a token.
    pub(crate) const fn of(user: &'a str, password: &'a str) -> Self {
        Self { user, password }
    }
}

impl Client {
    /// All clients.
    pub(crate) const ALL: [Self; 5] = [Self::Docker, Self::Podman, Self::Buildah, Self::Skopeo, Self::Ctr];

    /// Returns the installed command lines of Docker.
    pub(crate) fn dockers() -> impl Iterator<Item = Self> {
        let newer = Path::new(NEWER_DOCKER).exists().then_some(Self::NewerDocker);
        std::iter::once(Self::Docker).chain(newer)
    }

    /// Returns true where the client has a login separate from a pull.
    pub(crate) fn has_login(self) -> bool {
        self != Self::Ctr
    }

    /// Logs in at `registry`, a `HOST:PORT`. The error is the client's output.
    pub(crate) fn login(self, engines: &Engines, registry: &str, credential: Credential<'_>) -> Result<(), String> {
        self.run(engines, &["login", registry, credential.user, credential.password]).map(|_| ())
    }

    /// Pulls `image`, a `NAME:TAG` or `NAME@DIGEST`, with a credential stored as if by an earlier login. Returns the
    /// digests by which the client then knows the image, including that of its index. The error is the client's output.
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

    /// Pulls the image of docker.io that `image`, a `GROUP/dependency_proxy/containers/NAME:TAG`, stands for at
    /// `registry`: by its own name, with the group configured as its mirror. Podman and ctr only. Returns what
    /// [`Client::pull`] does.
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

    /// Pulls an image of the registry `home` by mirror, which ctr names in `?ns=`. Ctr only.
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

    /// Pulls an image and pushes it back. Docker only. The error is the client's output.
    pub(crate) fn push(
        self,
        engines: &Engines,
        registry: &str,
        credential: Credential<'_>,
        image: &str,
    ) -> Result<(), String> {
        self.run(engines, &["push", registry, credential.user, credential.password, image]).map(|_| ())
    }

    /// Returns the output of `skopeo inspect`, which also requests the list of tags. Skopeo only.
    pub(crate) fn inspect(
        self,
        engines: &Engines,
        registry: &str,
        credential: Credential<'_>,
        image: &str,
    ) -> Result<String, String> {
        self.run(engines, &["inspect", registry, credential.user, credential.password, image])
    }

    /// Returns the tags that `skopeo list-tags` prints of `image`, a `NAME` without a tag. Skopeo only.
    pub(crate) fn list_tags(
        self,
        engines: &Engines,
        registry: &str,
        credential: Credential<'_>,
        image: &str,
    ) -> Result<String, String> {
        self.run(engines, &["list_tags", registry, credential.user, credential.password, image])
    }

    /// Returns the signatures that cosign attached to `image`, a `NAME:TAG`, one per line. Skopeo only.
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

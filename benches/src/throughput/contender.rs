//! The measured servers. Each is started with an empty cache in a separate folder, on a free port of loopback, and
//! ended with its [`Running`].

mod distribution;
mod group;
mod nginx;
mod ours;
mod port;
mod program;

use std::io;

use fake_registry::Listener;

pub use group::end_all;

use self::group::Group;
use crate::binary;
use crate::throughput::lab::Lab;
use crate::throughput::load::Target;
use crate::throughput::usage::Usage;

/// A measured server. The order is that of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The release binary, with all access checks.
    Ours,
    /// nginx serving the raw files: the upper limit of the machine.
    Nginx,
    /// nginx as a caching proxy with `proxy_cache_lock`.
    ProxyCache,
    /// Debian's docker-registry as a pull-through cache.
    Distribution,
    /// Upstream itself: for a client that uses upstream directly.
    Direct,
}

/// All servers but upstream, in the order of a round.
pub const ALL: &[Kind] = &[Kind::Ours, Kind::Nginx, Kind::ProxyCache, Kind::Distribution];

/// A running server.
pub struct Running {
    /// Kind of the server.
    pub kind: Kind,
    /// Address and TLS, as clients need them.
    pub target: Target,
    /// Path before `/<repository>/manifests/...`.
    pub prefix: &'static str,
    /// Value of `Authorization` that grants access to everything, if one is needed.
    pub authorization: Option<String>,
    /// Credentials for the token endpoint, for this service only.
    pub logins: Option<Logins>,
    /// Process group; `None` for upstream. Declared before the folder, so that the processes end first.
    group: Option<Group>,
    _folder: Option<tempfile::TempDir>,
}

/// Credentials for the token endpoint, each a value of `Authorization`.
#[derive(Clone, Debug)]
pub struct Logins {
    /// User name and secret of a deploy token.
    pub deploy_token: String,
    /// User name and password of a member.
    pub password: String,
}

impl Kind {
    /// Starts the server with an empty cache in front of the lab's upstream, with TLS if `tls` is true. Returns
    /// `None` where it is not installed.
    pub fn start(self, lab: &Lab, tls: bool) -> io::Result<Option<Running>> {
        match self {
            Self::Ours => ours::start(lab, tls).map(Some),
            Self::Nginx => nginx::start_static(lab, tls),
            Self::ProxyCache => nginx::start_proxy(lab, tls),
            Self::Distribution => distribution::start(lab, tls),
            Self::Direct => Ok(Some(Running::direct(lab))),
        }
    }

    /// Returns the name in the tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Nginx => "nginx",
            Self::ProxyCache => "proxy_cache",
            Self::Distribution => "distribution",
            Self::Direct => "direct",
        }
    }

    /// Returns the version, if it is installed.
    pub fn version(self) -> Option<String> {
        match self {
            Self::Ours => binary::version(),
            Self::Nginx | Self::ProxyCache => program::version("nginx", "-v"),
            Self::Distribution => program::version("docker-registry", "--version"),
            Self::Direct => None,
        }
    }
}

impl Running {
    /// Returns upstream as a "server", for clients that use it directly.
    fn direct(lab: &Lab) -> Self {
        let target = Target { address: lab.upstream.address(Listener::Registry), tls: lab.tls };
        let (authorization, logins, group, _folder) = (None, None, None, None);
        Self { kind: Kind::Direct, target, prefix: "/v2", authorization, logins, group, _folder }
    }

    /// Returns a server that needs no credential and has the paths of upstream.
    fn open(kind: Kind, target: Target, group: Group, folder: tempfile::TempDir) -> Self {
        let (group, folder) = (Some(group), Some(folder));
        Self { kind, target, prefix: "/v2", authorization: None, logins: None, group, _folder: folder }
    }

    /// Returns the path of a manifest.
    pub fn manifest(&self, repository: &str, reference: &str) -> String {
        format!("{}/{repository}/manifests/{reference}", self.prefix)
    }

    /// Returns the path of a blob.
    pub fn blob(&self, repository: &str, digest: &str) -> String {
        format!("{}/{repository}/blobs/{digest}", self.prefix)
    }

    /// Returns the usage of its processes so far.
    pub fn usage(&self) -> Usage {
        self.group.as_ref().map(Group::usage).unwrap_or_default()
    }

    /// Resets the maximum of resident memory.
    pub fn reset_peak(&self) {
        self.group.iter().for_each(Group::reset_peak);
    }
}

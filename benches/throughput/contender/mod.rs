//! The servers that are measured. Each is started with an empty cache in a folder of its own, on a free port of loopback, and
//! ended with its [`Running`].

mod distribution;
mod group;
mod nginx;
mod ours;
mod port;
mod program;

use std::io;

pub use group::end_all;

use self::group::Group;
use crate::lab::Lab;
use crate::load::Target;
use crate::usage::Usage;

/// What is measured. The order is that of the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The release binary, with all access checks.
    Ours,
    /// nginx serving the raw files: what the machine can do at most.
    Nginx,
    /// nginx as a caching proxy with a lock.
    ProxyCache,
    /// Debian's docker-registry as a pull-through cache.
    Distribution,
    /// The origin itself: what a client takes that asks upstream directly.
    Direct,
}

/// All that are servers of their own, in the order of a round.
pub const ALL: &[Kind] = &[Kind::Ours, Kind::Nginx, Kind::ProxyCache, Kind::Distribution];

/// A server that answers.
pub struct Running {
    /// Which it is.
    pub kind: Kind,
    /// Where clients connect, and whom they trust there.
    pub target: Target,
    /// What stands before `/<repository>/manifests/...`.
    pub prefix: &'static str,
    /// The value of `Authorization` that opens everything, where one is needed.
    pub authorization: Option<String>,
    /// What only ours has.
    pub logins: Option<Logins>,
    /// Before the folder: the processes end first.
    /// None where it is the origin.
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
    /// Starts it, empty, before the lab's origin; with TLS where asked. None where it is not installed.
    pub fn start(self, lab: &Lab, tls: bool) -> io::Result<Option<Running>> {
        match self {
            Self::Ours => ours::start(lab, tls).map(Some),
            Self::Nginx => nginx::start_static(lab, tls),
            Self::ProxyCache => nginx::start_proxy(lab, tls),
            Self::Distribution => distribution::start(lab, tls),
            Self::Direct => Ok(Some(Running::direct(lab))),
        }
    }

    /// What the tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Nginx => "nginx",
            Self::ProxyCache => "proxy_cache",
            Self::Distribution => "distribution",
            Self::Direct => "direct",
        }
    }

    /// Its version, where it is installed.
    pub fn version(self) -> Option<String> {
        match self {
            Self::Ours => Some(env!("CARGO_PKG_VERSION").to_owned()),
            Self::Nginx | Self::ProxyCache => program::version("nginx", "-v"),
            Self::Distribution => program::version("docker-registry", "--version"),
            Self::Direct => None,
        }
    }
}

impl Running {
    /// No server at all: clients ask the origin.
    fn direct(lab: &Lab) -> Self {
        let target = Target { address: lab.origin.address, tls: lab.tls };
        let (authorization, logins, group, _folder) = (None, None, None, None);
        Self { kind: Kind::Direct, target, prefix: "/v2", authorization, logins, group, _folder }
    }

    /// A server that is open to all, with the paths of the origin.
    fn open(kind: Kind, target: Target, group: Group, folder: tempfile::TempDir) -> Self {
        let (group, folder) = (Some(group), Some(folder));
        Self { kind, target, prefix: "/v2", authorization: None, logins: None, group, _folder: folder }
    }

    /// The path of a manifest.
    pub fn manifest(&self, repository: &str, reference: &str) -> String {
        format!("{}/{repository}/manifests/{reference}", self.prefix)
    }

    /// The path of a blob.
    pub fn blob(&self, repository: &str, digest: &str) -> String {
        format!("{}/{repository}/blobs/{digest}", self.prefix)
    }

    /// What its processes have used so far.
    pub fn usage(&self) -> Usage {
        self.group.as_ref().map(Group::usage).unwrap_or_default()
    }

    /// Has the highest memory counted anew from now on.
    pub fn reset_peak(&self) {
        self.group.iter().for_each(Group::reset_peak);
    }
}

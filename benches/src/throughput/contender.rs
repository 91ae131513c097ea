//! The measured servers. Each is started with an empty cache in a separate folder, on a free port of loopback, and
//! ended with its [`Running`].

mod distribution;
mod kind;
mod nginx;
mod ours;
mod port;
mod program;
mod running;

use std::io;

use fake_registry::Listener;

pub use self::kind::{ALL, Kind};
pub use self::ours::{Settings, launch, provision};
pub use self::running::Running;

use crate::binary;
use crate::throughput::lab::Lab;
use crate::throughput::load::Target;

impl Kind {
    /// Starts the server with an empty cache in front of the lab's upstream, with TLS if `tls` is true. Returns
    /// `None` where it is not installed.
    pub fn start(self, lab: &Lab, tls: bool) -> io::Result<Option<Running>> {
        match self {
            Self::Ours | Self::Embedded | Self::OneReplica => ours::start(self, lab, tls).map(Some),
            Self::Nginx => nginx::start_static(lab, tls),
            Self::ProxyCache => nginx::start_proxy(lab, tls),
            Self::Distribution => distribution::start(lab, tls),
            Self::Direct => Ok(Some(direct(lab))),
        }
    }

    /// Returns the version, if it is installed.
    pub fn version(self) -> Option<String> {
        match self {
            Self::Ours | Self::Embedded | Self::OneReplica => binary::version(),
            Self::Nginx | Self::ProxyCache => program::version("nginx", "-v"),
            Self::Distribution => program::version("docker-registry", "--version"),
            Self::Direct => None,
        }
    }
}

/// Returns upstream as a "server", for clients that use it directly.
fn direct(lab: &Lab) -> Running {
    let target = Target { address: lab.upstream.address(Listener::Registry), tls: lab.tls };
    Running { kind: Kind::Direct, target, access: running::Access::open(), other: None, group: None, _folder: None }
}

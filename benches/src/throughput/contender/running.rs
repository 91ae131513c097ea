//! A running server, as the rows see it.

use super::kind::Kind;
use crate::throughput::group::Group;
use crate::throughput::load::{Request, Target};
use crate::throughput::usage::Usage;

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
    pub(super) group: Option<Group>,
    pub(super) _folder: Option<tempfile::TempDir>,
}

/// Credentials for the token endpoint, each a value of `Authorization`.
#[derive(Clone, Debug)]
pub struct Logins {
    /// User name and secret of a deploy token.
    pub deploy_token: String,
    /// User name and password of a member.
    pub password: String,
}

impl Running {
    /// Returns a server that needs no credential and has the paths of upstream.
    pub(super) fn open(kind: Kind, target: Target, group: Group, folder: tempfile::TempDir) -> Self {
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

    /// Returns a request to this server with its credential, or with another one.
    pub fn request(&self, method: &str, path: &str, authorization: Option<&str>) -> Request {
        let authorization = authorization.or(self.authorization.as_deref());
        Request::new(self.target.address, method, path, authorization)
    }
}

//! A running server, as the rows see it.

use std::io;

use rustix::process::{Pid, Signal};

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
    /// Access to everything, through the first group where the server has groups.
    pub access: Access,
    /// The same through the second group; `None` where the server has no groups.
    pub other: Option<Access>,
    /// Process group; `None` for upstream. Declared before the folder, so that the processes end first.
    pub(super) group: Option<Group>,
    pub(super) _folder: Option<tempfile::TempDir>,
}

/// Access to the content of a server.
#[derive(Clone, Debug)]
pub struct Access {
    /// Path before `/<repository>/manifests/...`.
    pub prefix: String,
    /// Value of `Authorization` that grants access, if one is needed.
    pub authorization: Option<String>,
    /// Credentials for the token endpoint, for this service only.
    pub logins: Option<Logins>,
    /// The page of the group, and the cookie of a session of a member, for this service only.
    pub page: Option<(String, String)>,
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
        let (access, group, folder) = (Access::open(), Some(group), Some(folder));
        Self { kind, target, access, other: None, group, _folder: folder }
    }

    /// Returns the same server, as the second group sees it, without its processes: it must not be used for longer than
    /// this value.
    pub fn other_group(&self) -> Self {
        let access = self.other.clone().unwrap_or_else(|| self.access.clone());
        Self { kind: self.kind, target: self.target, access, other: None, group: None, _folder: None }
    }

    /// Returns the path of a manifest.
    pub fn manifest(&self, repository: &str, reference: &str) -> String {
        format!("{}/{repository}/manifests/{reference}", self.access.prefix)
    }

    /// Returns the path of a blob.
    pub fn blob(&self, repository: &str, digest: &str) -> String {
        format!("{}/{repository}/blobs/{digest}", self.access.prefix)
    }

    /// Returns a request for the page of the group.
    ///
    /// # Errors
    ///
    /// Fails where the server has no pages.
    pub fn page(&self) -> io::Result<Request> {
        let (path, cookie) = self.access.page.as_ref().ok_or_else(|| io::Error::other("the server has no pages"))?;
        Ok(Request::new(self.target.address, "GET", path, None).with_cookie(cookie))
    }

    /// Sends a signal to its processes.
    ///
    /// # Errors
    ///
    /// Fails where they have ended, and for upstream.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        self.group()?.signal(signal)
    }

    /// Returns the id of its first process.
    ///
    /// # Errors
    ///
    /// Fails for upstream.
    pub fn process(&self) -> io::Result<Pid> {
        Ok(self.group()?.id())
    }

    fn group(&self) -> io::Result<&Group> {
        self.group.as_ref().ok_or_else(|| io::Error::other("the server has no processes of its own"))
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
        let authorization = authorization.or(self.access.authorization.as_deref());
        Request::new(self.target.address, method, path, authorization)
    }
}

impl Access {
    /// Access to a server without credentials, with the paths of upstream.
    pub(super) fn open() -> Self {
        Self { prefix: "/v2".to_owned(), authorization: None, logins: None, page: None }
    }
}

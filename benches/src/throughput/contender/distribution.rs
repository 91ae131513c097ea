//! Debian's docker-registry (CNCF Distribution) as a pull-through cache, with its recommended in-memory
//! descriptor cache.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::{fs, io};

use super::kind::Kind;
use super::running::Running;
use super::{port, program};
use crate::throughput::certificates::{AUTHORITY, CERTIFICATE, KEY};
use crate::throughput::group::Group;
use crate::throughput::lab::Lab;
use crate::throughput::load::Target;

/// Starts it; returns `None` where it is not installed.
pub(super) fn start(lab: &Lab, tls: bool) -> io::Result<Option<Running>> {
    let Some(registry) = program::find("docker-registry") else { return Ok(None) };
    let folder = lab.folder("distribution")?;
    let config = folder.path().join("config.yml");
    let (group, address) = port::start(|address| {
        fs::write(&config, settings(folder.path(), address, &lab.upstream.url(), tls))?;
        let mut command = Command::new(&registry);
        // The authority to trust in addition to the public ones, in the way of Go programs.
        command.arg("serve").arg(&config).env("SSL_CERT_FILE", AUTHORITY);
        Group::spawn(command, &folder.path().join("log"))
    })?;
    Ok(Some(Running::open(Kind::Distribution, Target { address, tls }, group, folder)))
}

fn settings(folder: &Path, address: SocketAddr, upstream: &str, tls: bool) -> String {
    let tls = if tls { format!(", tls: {{certificate: '{CERTIFICATE}', key: '{KEY}'}}") } else { String::new() };
    format!(
        "version: 0.1\n\
         log: {{accesslog: {{disabled: true}}, level: error}}\n\
         storage: {{cache: {{blobdescriptor: inmemory}}, filesystem: {{rootdirectory: '{}'}}}}\n\
         http: {{addr: '{address}', secret: of-no-use{tls}}}\n\
         proxy: {{remoteurl: '{upstream}'}}\n",
        folder.join("store").display()
    )
}

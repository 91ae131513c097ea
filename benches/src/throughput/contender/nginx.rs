//! nginx in two roles: serving the raw files under the paths of the requests, and as a caching proxy of upstream
//! with a lock. As few of its defaults as possible are changed, and none to its disadvantage.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufWriter};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use fake_registry::{Listener, OCI_MANIFEST};

use super::kind::Kind;
use super::running::Running;
use super::{port, program};
use crate::throughput::certificates::{AUTHORITY, CERTIFICATE, KEY};
use crate::throughput::group::Group;
use crate::throughput::lab::Lab;
use crate::throughput::load::Target;

/// Starts it with copies of the files that upstream serves now; returns `None` where it is not installed.
pub(super) fn start_static(lab: &Lab, tls: bool) -> io::Result<Option<Running>> {
    start(Kind::Nginx, lab, tls, |folder| {
        let root = folder.join("root");
        let mut manifests = BTreeSet::new();
        for (path, file) in lab.upstream.files() {
            let on_disk = root.join(path.trim_start_matches('/'));
            if let Some(parent) = on_disk.parent() {
                fs::create_dir_all(parent)?;
            }
            let mut out = BufWriter::new(fs::File::create(on_disk)?);
            file.content.write_to(&mut out)?;
            if file.media_type == OCI_MANIFEST {
                manifests.extend(path.rsplit_once('/').map(|(folder, _)| folder.to_owned()));
            }
        }
        let types = manifests.iter().map(|folder| format!("location {folder}/ {{ default_type {OCI_MANIFEST}; }}\n"));
        Ok((format!("root {};\n{}", root.display(), types.collect::<String>()), String::new()))
    })
}

/// Starts it as a caching proxy; returns `None` where it is not installed.
pub(super) fn start_proxy(lab: &Lab, tls: bool) -> io::Result<Option<Running>> {
    start(Kind::ProxyCache, lab, tls, |folder| {
        let tags = lab.tag_freshness.map_or_else(|| "1h".to_owned(), |seconds| format!("{seconds}s"));
        let scheme = if lab.tls { "https" } else { "http" };
        let server = format!(
            "proxy_http_version 1.1;\n\
             proxy_set_header Connection '';\n\
             proxy_cache images;\n\
             proxy_cache_lock on;\n\
             proxy_cache_lock_timeout 1h;\n\
             proxy_cache_lock_age 1h;\n\
             proxy_cache_use_stale error timeout;\n\
             proxy_ssl_verify on;\n\
             proxy_ssl_trusted_certificate {AUTHORITY};\n\
             proxy_ssl_name localhost;\n\
             location / {{ proxy_pass {scheme}://registry; proxy_cache_valid 200 1h; }}\n\
             location ~ /manifests/[^:]*$ {{ proxy_pass {scheme}://registry; proxy_cache_valid 200 {tags}; }}\n"
        );
        let http = format!(
            "proxy_cache_path {} levels=1:2 keys_zone=images:10m max_size=100g inactive=1h use_temp_path=off;\n\
             upstream registry {{ server {}; keepalive 64; }}\n",
            folder.join("cache").display(),
            lab.upstream.address(Listener::Registry)
        );
        Ok((server, http))
    })
}

/// Directives of the server block, and those before it.
type Parts = (String, String);

fn start(
    kind: Kind,
    lab: &Lab,
    tls: bool,
    prepare: impl FnOnce(&Path) -> io::Result<Parts>,
) -> io::Result<Option<Running>> {
    let Some(nginx) = program::find("nginx") else { return Ok(None) };
    let folder = lab.folder("nginx")?;
    let parts = prepare(folder.path())?;
    let config = folder.path().join("nginx.conf");
    let (group, address) = port::start(|address| {
        fs::write(&config, settings(folder.path(), address, tls, &parts))?;
        let mut command = Command::new(&nginx);
        command.arg("-p").arg(folder.path()).arg("-c").arg(&config);
        Group::spawn(command, &folder.path().join("log"))
    })?;
    Ok(Some(Running::open(kind, Target { address, tls }, group, folder)))
}

fn settings(folder: &Path, address: SocketAddr, tls: bool, (server, http): &Parts) -> String {
    let folder = folder.display();
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let listen = if tls { "ssl" } else { "" };
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {folder}/temp-{name};\n"))
        .concat();
    format!(
        "{user}\n\
         daemon off;\n\
         worker_processes {workers};\n\
         pid {folder}/pid;\n\
         error_log stderr error;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n\
         access_log off;\n\
         sendfile on;\n\
         tcp_nopush on;\n\
         keepalive_requests 1000000000;\n\
         keepalive_timeout 1h;\n\
         types {{ }}\n\
         default_type application/octet-stream;\n\
         {temporary}\
         ssl_certificate {CERTIFICATE};\n\
         ssl_certificate_key {KEY};\n\
         ssl_protocols TLSv1.2 TLSv1.3;\n\
         ssl_session_cache shared:tls:10m;\n\
         {http}\
         server {{\n\
         listen {address} {listen} backlog=4096;\n\
         {server}\
         }}\n\
         }}\n"
    )
}

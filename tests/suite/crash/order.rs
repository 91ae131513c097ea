//! Order of the writes to disk, as system calls: strace is attached to the service.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fake_registry::{FakeRegistry, Image, Layer};

use crate::service::{Config, Service, eventually};

const CALLS: &str = "trace=fsync,fdatasync,rename,renameat,renameat2,pwrite64,write,writev,sendto,sendmsg";

#[actix_rt::test]
async fn a_blob_is_forced_to_the_disk_then_renamed_then_its_folder_is_forced_then_it_is_indexed() {
    let hub = FakeRegistry::start();
    let layer = Layer::random(30_000, 1);
    let image = Image::single(std::slice::from_ref(&layer));
    hub.push_image("library/alpine", "latest", &image);
    let service = Config::docker_hub(&hub).start();
    let team = service.group("team").await;
    let token = service.deploy_token(&team, "ci").await;
    let client = service.log_in_with(&token).await;
    let trace = Trace::of(&service).await;
    assert_eq!(client.manifest("team", "alpine", "latest").await.status, 200);
    client.stored_blob("team", "alpine", layer.digest()).await;
    let calls = trace.calls().await;

    let hex = layer.digest().trim_start_matches("sha256:");
    calls.come_in_order(&[
        &["fsync(", "/cache/spool/blob-"],
        &["rename", "/cache/spool/blob-", hex],
        &["fsync(", &format!("/blobs/sha256/{}>", &hex[..2])],
        &["write(", "/cache/groups/", "/links/"],
        &["pwrite64(", "/index/db>"],
    ]);
    let hex = image.digest().trim_start_matches("sha256:");
    calls.come_in_order(&[
        &["fsync(", &format!("/manifests/sha256/{}/.write-", &hex[..2])],
        &["rename", &format!("/manifests/sha256/{}/{hex}\"", &hex[..2])],
        &["fsync(", &format!("/manifests/sha256/{}>", &hex[..2])],
        &["write(", "/cache/groups/", "/links/"],
        &["pwrite64(", "/index/db>"],
    ]);
}

#[actix_rt::test]
async fn a_change_of_identities_is_forced_to_the_disk_before_it_is_acknowledged() {
    let service = Config::upstream_at("docker.io", "http://127.0.0.1:9").start();
    let team = service.group("team").await;
    let trace = Trace::of(&service).await;
    service.group_token(&team, "ci", &["read_registry", "write_registry"]).await;
    let calls = trace.calls().await;
    calls.come_in_order(&[
        &["pwrite64(", "/identity.journal>"],
        &["fdatasync(", "/identity.journal>"],
        &["pwrite64(", "/identity/db>"],
        &["fdatasync(", "/identity/db>"],
        &["HTTP/1.1 201 Created"],
    ]);
}

/// strace, attached to a service.
struct Trace {
    strace: Child,
    output: PathBuf,
    _folder: tempfile::TempDir,
}

/// The traced calls, in the order in which they returned.
struct Calls(Vec<String>);

impl Trace {
    async fn of(service: &Service) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (output, said) = (folder.path().join("calls"), folder.path().join("said"));
        let strace = Command::new("strace")
            .args(["-f", "-y", "-s", "300", "-e", CALLS, "-e", "signal=none", "-p", &service.pid().to_string(), "-o"])
            .arg(&output)
            .stdin(Stdio::null())
            .stderr(fs::File::create(&said).unwrap())
            .spawn()
            .expect("strace is installed by tests/run");
        let trace = Self { strace, output, _folder: folder };
        wait_for(&said, "attached").await;
        trace
    }

    async fn calls(mut self) -> Calls {
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.detach();
        let text = fs::read_to_string(&self.output).unwrap();
        Calls(whole_calls(&text))
    }

    fn detach(&mut self) {
        let _ = Command::new("kill").args(["-INT", &self.strace.id().to_string()]).status();
        let _ = self.strace.wait();
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.detach();
    }
}

impl Calls {
    /// Checks that each step occurs as a call that contains these texts, after the call of the step before.
    fn come_in_order(&self, steps: &[&[&str]]) {
        let mut at = 0;
        for step in steps {
            let found = self.0[at..].iter().position(|call| step.iter().all(|text| call.contains(text)));
            let found = found.unwrap_or_else(|| panic!("{step:?} does not follow in:\n{}", self.0.join("\n")));
            at += found + 1;
        }
    }
}

/// Joins the calls that strace splits where threads call at the same time.
fn whole_calls(text: &str) -> Vec<String> {
    let mut begun = std::collections::HashMap::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let (thread, call) = line.split_once(' ').unwrap();
        let call = call.trim_start();
        if let Some(start) = call.strip_suffix("<unfinished ...>") {
            begun.insert(thread, start.to_owned());
        } else if let Some((_, end)) = call.split_once("resumed>").filter(|_| call.starts_with("<...")) {
            calls.push(begun.remove(thread).unwrap_or_default() + end);
        } else {
            calls.push(call.to_owned());
        }
    }
    calls
}

async fn wait_for(path: &Path, text: &str) {
    eventually("strace has written it", async || fs::read_to_string(path).unwrap().contains(text)).await;
}

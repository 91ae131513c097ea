//! Replicas behind nginx, with the configuration of `config/compose`.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fake_registry::{Image, Layer, Listener};

use super::Fleet;
use crate::service::eventually;

const CONFIGURATION: &str = include_str!("../../../config/compose/nginx.conf");

/// A running nginx, which ends when it is dropped.
struct Nginx {
    process: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Nginx {
    /// Starts it in front of two replicas, with the addresses and paths of this test in its configuration.
    fn start(fleet: &Fleet) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), engines::free_port());
        let pid = folder.path().join("pid");
        let mut text = CONFIGURATION.replace("listen 8080;", &format!("listen 127.0.0.1:{port};"));
        text = text.replace("/run/nginx.pid", pid.to_str().unwrap());
        for (number, replica) in fleet.replicas.iter().enumerate() {
            text = text.replace(&format!("replica-{}:5050", number + 1), &replica.service.address.to_string());
        }
        let third: Vec<&str> = text.lines().filter(|line| !line.contains("replica-3:5050")).collect();
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, third.join("\n")).unwrap();
        Self { process: nginx(&file, folder.path()), port, _folder: folder }
    }
}

fn nginx(file: &Path, folder: &Path) -> Child {
    let mut command = Command::new("nginx");
    command.arg("-c").arg(file).arg("-p").arg(folder).args(["-e", "stderr", "-g", "daemon off;"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // A signal to end, so that its workers end, too.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

#[actix_rt::test]
async fn refused_misses_keep_the_load_balancer_from_no_hit() {
    let fleet = Fleet::of(2);
    let image = Image::single(&[Layer::random(10_000, 1)]);
    fleet.hub.push_image("library/app", "1", &image);
    let clients = fleet.clients().await;
    for client in &clients {
        assert_eq!(client.manifest("team", "app", "1").await.body, image.bytes());
    }
    let nginx = Nginx::start(&fleet);
    let client = clients[0].at(&format!("http://127.0.0.1:{}", nginx.port));
    eventually("nginx responds", async || client.try_get("/healthz").await.is_some_and(|found| found.status == 200))
        .await;
    for listener in [Listener::Registry, Listener::Realm, Listener::Storage] {
        fleet.hub.down(listener);
    }
    let hit = format!("/v2/team/dependency_proxy/containers/app/manifests/{}", image.digest());
    for round in 0..40 {
        let miss = client.get(&format!("/v2/team/dependency_proxy/containers/app/manifests/{round}-not-there")).await;
        assert_eq!(miss.status, 503, "{}", miss.text());
        assert!(miss.text().contains("docker.io"), "not a response of nginx: {}", miss.text());
        for _ in 0..3 {
            assert_eq!(client.get(&hit).await.status, 200, "round {round}");
        }
    }
}

#[actix_rt::test]
async fn a_replica_that_is_killed_fails_no_request_of_the_load_balancer() {
    let mut fleet = Fleet::of(2);
    let image = Image::single(&[Layer::random(10_000, 1)]);
    fleet.hub.push_image("library/app", "1", &image);
    let clients = fleet.clients().await;
    for client in &clients {
        assert_eq!(client.manifest("team", "app", "1").await.status, 200);
    }
    let nginx = Nginx::start(&fleet);
    let client = clients[0].at(&format!("http://127.0.0.1:{}", nginx.port));
    eventually("nginx responds", async || client.try_get("/healthz").await.is_some_and(|found| found.status == 200))
        .await;
    fleet.replicas[1].service.kill();
    for _ in 0..30 {
        assert_eq!(client.manifest("team", "app", "1").await.body, image.bytes());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

//! A client that pulls a part of a layer: podman with zstd:chunked.

use std::process::Command;

use super::*;
use crate::real_clients::held::script;

const MIB: u64 = 1 << 20;

fn run(arguments: &[&str]) {
    let output = Command::new(script("podman-partial.sh")).args(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// Returns the number of bytes of blobs from upstream.
async fn fetched(service: &Service) -> u64 {
    let metrics = reqwest::get(format!("http://{}/metrics", service.metrics)).await.unwrap().text().await.unwrap();
    let value = metrics.lines().find_map(|line| line.strip_prefix("dependency_proxy_fetched_bytes_total "));
    value.unwrap_or("0").parse().unwrap()
}

#[actix_rt::test]
async fn podman_moves_only_the_files_that_it_does_not_have() {
    let scene = Scene::with_open_registry(&["library/other:1=oci"]).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    run(&["push", path, scene.registry.as_ref().unwrap().address(), "library/chunked"]);
    let pull = |tag: &str| {
        let image = of(&scene.team.path, &format!("library/chunked:{tag}"));
        run(&["pull", path, &scene.host(), scene.credential().user, scene.credential().password, &image]);
    };
    pull("1");
    let first = fetched(&scene.service).await;
    assert!((9 * MIB / 2..10 * MIB).contains(&first), "{first} bytes for a layer of 9,000,000 bytes in 90 files");
    pull("2");
    let second = fetched(&scene.service).await - first;
    assert!((400_000..MIB).contains(&second), "{second} bytes for 5 files of 100,000 bytes");
}

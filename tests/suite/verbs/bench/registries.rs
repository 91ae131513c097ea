//! Registries other than this service and the fake registry: Debian's, open, with passwords and with tokens, and TLS.

use std::path::PathBuf;

use super::*;
use crate::real_clients::{Credential, DebianRegistry};

const ALICE: Credential<'_> = Credential::of("alice", "secret-of-alice");

/// Returns the arguments for a login whose secret is in a file of this folder.
fn login(credential: Credential<'_>, folder: &tempfile::TempDir) -> String {
    let file = folder.path().join("secret");
    std::fs::write(&file, credential.password).unwrap();
    format!("--username {} --secret-file {}", credential.user, file.display())
}

#[test]
fn debians_registry_is_pulled_from_however_it_is_guarded() {
    let (images, secrets) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let open = DebianRegistry::plain(images.path());
    let pushed = open.push(&["team/app:1=docker", "team/app:multi=oci-index"]);
    let basic = DebianRegistry::with_password(images.path(), ALICE);
    let tokens = DebianRegistry::with_tokens(images.path(), &[(ALICE, "team/")]);
    let alice = login(ALICE, &secrets);
    for (registry, login) in [(&open, ""), (&basic, alice.as_str()), (&tokens, alice.as_str())] {
        for (image, digest) in &pushed {
            let line = format!(
                "--url http://{} --image {image} {login} --pulls 10 --platform linux/amd64",
                registry.address()
            );
            let report = measured(&line);
            let served = &report["servers"][0]["digests"][0];
            assert_eq!((&served["digest"], &served["count"]), (&digest.as_str().into(), &10.into()), "{line}");
        }
    }
    let nobody = bench(&format!("--url http://{} --image team/app:1", basic.address()));
    assert!(told(&nobody).contains("give --username"), "{}", told(&nobody));
    assert_eq!(nobody.status.code(), Some(1));
}

#[actix_rt::test]
async fn tls_is_trusted_by_the_authority_that_is_named() {
    let fixture = |name: &str| -> String {
        let path: PathBuf =
            [env!("CARGO_MANIFEST_DIR"), "tests/suite/upstream_client/tls_fixture", name].iter().collect();
        path.into_os_string().into_string().unwrap()
    };
    let hub = FakeRegistry::start();
    hub.push_image("library/app", "1", &image(1));
    let service = Config::docker_hub(&hub)
        .variable("DEPENDENCY_PROXY__SERVER__TLS_CERTIFICATE", &fixture("localhost.pem"))
        .variable("DEPENDENCY_PROXY__SERVER__TLS_KEY", &fixture("localhost.key.pem"))
        .start();
    let url = format!("https://localhost:{}", service.address.port());
    let distrusted = bench(&format!("--url {url} --group team --image app:1"));
    assert!(told(&distrusted).contains("no TLS"), "{}", told(&distrusted));
    assert_eq!(distrusted.status.code(), Some(3));
    // Without a login nothing beyond this step succeeds.
    let trusted = bench(&format!("--url {url} --group team --image app:1 --ca-file {}", fixture("authority.pem")));
    assert_eq!(trusted.status.code(), Some(1), "{}", told(&trusted));
    assert!(told(&trusted).contains("(403)"), "{}", told(&trusted));
}

//! Real clients and Debian's registry, through the scripts in `tests/clients`.
//!
//! Each script stands for one program and describes its arguments in its first lines. In Rust, [`DebianRegistry`]
//! is an upstream with images, [`Engines`] are the daemons that some clients need, [`Client`] logs in and pulls.
//! Nothing here uses HTTP itself, and every started process ends with its value, or with the test process.

mod client;
mod held;
mod registry;
mod through_the_service;

pub(crate) use client::{Client, Credential};
pub(crate) use held::Engines;
pub(crate) use registry::DebianRegistry;

/// Behaviour of the clients with a registry that is not ours: if these tests fail, the other tests with
/// clients mean nothing.
mod baseline {
    use super::*;

    const IMAGES: [&str; 4] = [
        "library/single:docker=docker",
        "library/single:oci=oci",
        "library/multi:docker=docker-list",
        "library/multi:oci=oci-index",
    ];
    const ALICE: Credential<'_> = Credential::of("alice", "secret-of-alice");

    #[test]
    fn every_client_logs_in_and_pulls_every_kind_of_image() {
        let folder = tempfile::tempdir().unwrap();
        let images = DebianRegistry::plain(folder.path()).push(&IMAGES);
        let registry = DebianRegistry::with_password(folder.path(), ALICE);
        let engines = Engines::start();

        for client in Client::ALL {
            if client.has_login() {
                client.login(&engines, registry.address(), ALICE).unwrap();
            }
            for (reference, digest) in &images {
                let (name, _) = reference.split_once(':').unwrap();
                for image in [reference.clone(), format!("{name}@{digest}")] {
                    let digests = client.pull(&engines, registry.address(), ALICE, &image);
                    assert!(digests.as_ref().unwrap().contains(digest), "{client:?} {image}: {digests:?}");
                }
            }
        }
    }

    #[test]
    fn every_client_fails_with_a_wrong_password_and_with_none() {
        let folder = tempfile::tempdir().unwrap();
        DebianRegistry::plain(folder.path()).push(&IMAGES);
        let registry = DebianRegistry::with_password(folder.path(), ALICE);
        let engines = Engines::start();

        for client in Client::ALL {
            for credential in [Credential::of("alice", "wrong"), Credential::NONE] {
                let pulled = client.pull(&engines, registry.address(), credential, "library/multi:oci");
                assert!(pulled.is_err(), "{client:?} {credential:?}: {pulled:?}");
            }
            if client.has_login() {
                let login = client.login(&engines, registry.address(), Credential::of("alice", "wrong"));
                assert!(login.is_err(), "{client:?}: {login:?}");
            }
        }
    }

    #[test]
    fn a_registry_with_tokens_opens_to_each_account_its_own_repositories() {
        let folder = tempfile::tempdir().unwrap();
        DebianRegistry::plain(folder.path()).push(&["library/open:1=oci", "team-a/app:1=oci", "team-b/app:1=oci"]);
        let accounts = [
            (Credential::NONE, "library/"),
            (Credential::of("alice", "secret-of-alice"), "team-a/"),
            (Credential::of("bob", "secret-of-bob"), "team-b/"),
        ];
        let registry = DebianRegistry::with_tokens(folder.path(), &accounts);
        let engines = Engines::start();

        for (credential, own) in accounts {
            for repository in ["library/open", "team-a/app", "team-b/app"] {
                let pulled = Client::Skopeo.pull(&engines, registry.address(), credential, &format!("{repository}:1"));
                let allowed = repository.starts_with(own) || repository.starts_with("library/");
                assert_eq!(pulled.is_ok(), allowed, "{credential:?} {repository}: {pulled:?}");
            }
        }
    }
}

//! Groups with their own accounts at one upstream, and upstreams with images of the same name: no group gets
//! content that upstream would not have served to it, cold or cached, by name or by digest, and no response reveals
//! whether it is stored.

mod company;

use fake_registry::{FakeRegistry, Image, Kind, Layer, Listener};
use serde_json::Value;

use self::company::{client, company};
use crate::service::{Answer, Config};

#[actix_rt::test]
async fn each_group_has_its_own_and_nothing_of_the_other_cold_and_cached() {
    let company = company("[cache]\nnegative_ttl = 0").await;
    let (a, b) = (&company.a, &company.b);
    tokio::join!(a.has_nothing_of(b), b.has_nothing_of(a));
    tokio::join!(a.has_its_own(), b.has_its_own(), a.has_nothing_of(b), b.has_nothing_of(a));
    tokio::join!(a.has_its_own(), b.has_its_own(), a.has_nothing_of(b), b.has_nothing_of(a));
}

#[actix_rt::test]
async fn a_group_without_an_account_has_nothing_of_either() {
    let company = company("[cache]\nnegative_ttl = 0").await;
    company.a.has_its_own().await;
    for reference in ["latest", company.a.image.digest()] {
        let answer = company.c.manifest("c", "private/a", reference).await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "DENIED"));
        assert!(answer.message().contains("(requested without credentials)"), "{}", answer.message());
    }
    assert_eq!(company.c.blob("c", "private/a", company.a.layer().digest()).await.status, 403);
    // Only the group's own name differs: the token of the other group does not open this group.
    assert_eq!(company.a.client.manifest("c", "private/a", "latest").await.status, 403);
}

#[actix_rt::test]
async fn what_is_stored_and_what_is_not_look_the_same_to_those_who_may_not_have_it() {
    let company = company("[cache]\nnegative_ttl = 0").await;
    let (a, b) = (&company.a, &company.b);
    let ask = || async {
        let mut answers = Vec::new();
        for reference in ["latest", b.image.digest()] {
            answers.push(shape(&a.manifest(b, reference).await));
            answers.push(shape(&a.manifest(a, reference).await));
        }
        for repository in [a.repository(), b.repository()] {
            answers.push(shape(&a.blob(&repository, b.layer().digest()).await));
        }
        answers
    };
    a.has_its_own().await;
    let cold = ask().await;
    b.has_its_own().await;
    assert_eq!(ask().await, cold);
    company.hub.down(Listener::Registry);
    let stored = (a.manifest(b, b.image.digest()).await, a.blob(&a.repository(), b.layer().digest()).await);
    let nowhere = "sha256:".to_owned() + &"5".repeat(64);
    let unknown = (a.manifest(b, &nowhere).await, a.blob(&a.repository(), &nowhere).await);
    let same = |one: &Answer, other: &Answer| {
        let sentence = |answer: &Answer| {
            let message = answer.message().replace(b.image.digest(), "D").replace(b.layer().digest(), "D");
            message.replace(&nowhere, "D").split(" [").next().unwrap().to_owned()
        };
        assert_eq!((one.status, sentence(one)), (other.status, sentence(other)));
        assert_eq!(one.status, 503);
    };
    same(&stored.0, &unknown.0);
    same(&stored.1, &unknown.1);
}

/// Returns the parts of a response that do not differ between requests.
fn shape(answer: &Answer) -> (u16, Vec<String>, String) {
    let mut names: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
    names.sort();
    let message = if answer.status == 200 { String::new() } else { answer.message() };
    (answer.status, names, message.split(" [").next().unwrap().to_owned())
}

#[actix_rt::test]
async fn a_manifest_of_ones_own_that_names_anothers_blob_does_not_open_it() {
    let company = company("[cache]\nnegative_ttl = 0").await;
    let (a, b) = (&company.a, &company.b);
    b.has_its_own().await;
    // The manifest is in a's repository, and references b's layer and, as a child of an index, b's manifest;
    // upstream has neither in that repository.
    let forged = Image::single(&[b.layer().clone(), Layer::random(7, 7)]);
    let index = Image::index(std::slice::from_ref(&b.image));
    for (tag, image) in [("forged", &forged), ("index", &index)] {
        company.hub.push_image("private/a", tag, image);
        assert_eq!(a.manifest(a, tag).await.status, 200);
    }
    company.hub.delete_blob("private/a", b.layer().digest());
    company.hub.on(Kind::ManifestGet).in_repository("private/a").for_reference(b.image.digest()).status(404);
    company.hub.on(Kind::ManifestHead).in_repository("private/a").for_reference(b.image.digest()).status(404);
    company.hub.reset_counts();
    let blob = a.blob("private/a", b.layer().digest()).await;
    assert_eq!((blob.status, blob.code().as_str()), (404, "BLOB_UNKNOWN"));
    let manifest = a.manifest(a, b.image.digest()).await;
    assert_eq!((manifest.status, manifest.code().as_str()), (404, "MANIFEST_UNKNOWN"));
    let asked = company.hub.requests();
    assert!(asked.blob_heads("private/a", b.layer().digest()) + asked.blob_gets("private/a", b.layer().digest()) >= 1);
    b.has_its_own().await;
}

#[actix_rt::test]
async fn a_link_is_made_where_upstream_says_yes_and_the_bytes_are_not_fetched_again() {
    let company = company("[cache]\nnegative_ttl = 0").await;
    let (a, b) = (&company.a, &company.b);
    b.has_its_own().await;
    company.hub.push_image("private/a", "same", &b.image);
    company.hub.reset_counts();
    let manifest = a.manifest(a, b.image.digest()).await;
    assert_eq!((manifest.status, manifest.header("x-cache")), (200, "revalidated"), "{}", manifest.text());
    let blob = a.blob("private/a", b.layer().digest()).await;
    assert_eq!((blob.status, blob.header("x-cache")), (200, "revalidated"));
    let asked = company.hub.requests();
    assert_eq!((asked.of(Kind::ManifestGet), asked.blob_downloads(b.layer().digest())), (0, 0));
    assert_eq!(a.blob("private/a", b.layer().digest()).await.header("x-cache"), "hit");
    // The link is valid only for that repository and that account.
    assert_eq!(a.blob("private/b", b.layer().digest()).await.status, 403);
}

#[actix_rt::test]
async fn groups_with_one_account_confirm_their_first_use_and_then_move_along_together() {
    let hub = FakeRegistry::start();
    let first = Image::single(&[Layer::random(10, 1)]);
    hub.push_image("library/alpine", "latest", &first);
    let service = Config::docker_hub(&hub).and("[cache]\ntag_freshness = \"1h\"").start();
    let (one, other) = (client(&service, "one").await, client(&service, "other").await);
    assert_eq!(one.manifest("one", "alpine", "latest").await.header("x-cache"), "miss");
    hub.reset_counts();
    assert_eq!(other.manifest("other", "alpine", "latest").await.header("x-cache"), "revalidated");
    assert_eq!((hub.requests().of(Kind::ManifestHead), hub.requests().of(Kind::ManifestGet)), (1, 0));
    assert_eq!(other.manifest("other", "alpine", "latest").await.header("x-cache"), "hit");
    assert_eq!(hub.requests().of(Kind::ManifestHead), 1);
}

#[actix_rt::test]
async fn a_tag_that_moved_for_one_group_is_there_for_the_other_when_upstream_is_down() {
    let hub = FakeRegistry::start();
    let (first, second) = (Image::single(&[Layer::random(10, 1)]), Image::single(&[Layer::random(10, 2)]));
    hub.push_image("library/alpine", "latest", &first);
    let service = Config::docker_hub(&hub).and("[cache]\ntag_freshness = 0").start();
    let (one, other) = (client(&service, "one").await, client(&service, "other").await);
    for (client, group) in [(&one, "one"), (&other, "other")] {
        assert_eq!(client.manifest(group, "alpine", "latest").await.body, first.bytes());
    }
    hub.push_image("library/alpine", "latest", &second);
    assert_eq!(one.manifest("one", "alpine", "latest").await.body, second.bytes());
    hub.down(Listener::Registry);
    let moved = other.manifest("other", "alpine", "latest").await;
    assert_eq!((moved.status, moved.header("x-cache")), (200, "stale"), "{}", moved.text());
    assert_eq!(other.manifest("other", "alpine", first.digest()).await.header("x-cache"), "hit");
}

#[actix_rt::test]
async fn what_a_lying_upstream_says_of_a_tag_opens_nothing_that_came_from_another() {
    let (docker, liar) = (FakeRegistry::start(), FakeRegistry::start());
    let private = Image::single(&[Layer::random(2_000, 1)]);
    docker.push_image("acme/app", "1", &private);
    liar.push_image("acme/bait", "1", &Image::single(&[Layer::random(9, 9)]));
    // Upstream claims that the tag is a blob of the other upstream.
    liar.on(Kind::ManifestHead).digest_header(private.layers()[0].digest());
    let hosts =
        format!("[upstreams.\"quay.io\"]\nurl = \"{}\"\nauth_hosts = [\"{}\"]", liar.url(), liar.host(Listener::Realm));
    let service = Config::docker_hub(&docker).and(&hosts).start();
    let (victim, thief) = (client(&service, "victim").await, client(&service, "thief").await);
    assert_eq!(victim.manifest("victim", "acme/app", "1").await.status, 200);
    assert_eq!(victim.blob("victim", "acme/app", private.layers()[0].digest()).await.status, 200);
    assert_eq!(thief.manifest_head("thief", "quay.io/acme/bait", "1").await.status, 200);
    let stolen = thief.blob("thief", "quay.io/acme/bait", private.layers()[0].digest()).await;
    assert_eq!((stolen.status, stolen.code().as_str()), (404, "BLOB_UNKNOWN"));
}

#[actix_rt::test]
async fn upstreams_with_images_of_one_name_are_never_mixed() {
    let (docker, quay) = (FakeRegistry::start(), FakeRegistry::start());
    let shared = Layer::random(3_000, 3);
    let docker_image = Image::single(&[Layer::random(2_000, 1), shared.clone()]);
    let quay_image = Image::single(&[Layer::random(2_000, 2), shared.clone()]);
    docker.push_image("acme/app", "1", &docker_image);
    quay.push_image("acme/app", "1", &quay_image);
    let hosts = format!(
        "[upstreams.\"quay.io\"]\nurl = \"{}\"\nauth_hosts = [\"{}\"]\nredirect_hosts = [\"{}\"]",
        quay.url(),
        quay.host(Listener::Realm),
        quay.host(Listener::Storage)
    );
    let service = Config::docker_hub(&docker).and(&hosts).and("[cache]\nnegative_ttl = 0").start();
    let client = client(&service, "team").await;
    let path = |image: &str, rest: &str| format!("/v2/team/dependency_proxy/containers/{image}/{rest}");
    for round in 0..2 {
        for (image, query, expected) in [
            ("acme/app", "", &docker_image),
            ("docker.io/acme/app", "", &docker_image),
            ("quay.io/acme/app", "", &quay_image),
            ("acme/app", "?ns=docker.io", &docker_image),
            ("acme/app", "?ns=quay.io", &quay_image),
            ("quay.io/acme/app", "?ns=quay.io", &quay_image),
        ] {
            let answer = client.get(&path(image, &format!("manifests/1{query}"))).await;
            assert_eq!((answer.status, &answer.body), (200, expected.bytes()), "{image}{query} in round {round}");
            let namespace = query.trim_start_matches("?ns=");
            assert_eq!(answer.header("oci-namespace"), namespace);
            for layer in expected.layers() {
                let blob = client.get(&path(image, &format!("blobs/{}{query}", layer.digest()))).await;
                assert_eq!((blob.status, blob.body.as_ref()), (200, layer.bytes().as_slice()));
            }
        }
        let (docker_layer, quay_layer) = (docker_image.layers()[0].digest(), quay_image.layers()[0].digest());
        for (image, digest) in [("quay.io/acme/app", docker_layer), ("docker.io/acme/app", quay_layer)] {
            assert_eq!(client.get(&path(image, &format!("blobs/{digest}"))).await.status, 404, "{image}");
        }
        for (query, digest) in [("?ns=quay.io", docker_image.digest()), ("?ns=docker.io", quay_image.digest())] {
            assert_eq!(client.get(&path("acme/app", &format!("manifests/{digest}{query}"))).await.status, 404);
        }
        let repository = client.get(&path("docker.io/acme/app", "manifests/1?ns=quay.io")).await;
        assert_eq!((repository.status, repository.code().as_str()), (403, "DENIED"), "quay.io has no such repository");
    }
    let downloads = docker.requests().blob_downloads(shared.digest()) + quay.requests().blob_downloads(shared.digest());
    assert_eq!(downloads, 1, "what both have is stored once");
    let group = service.api("GET", "/groups/team", Value::Null).await.json();
    assert_eq!(group["full_path"], "team");
}

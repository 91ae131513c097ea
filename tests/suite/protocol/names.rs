//! Interpretation of paths: the group, the upstream and the image, and the messages for wrong ones.

use fake_registry::{FakeRegistry, Image, Layer};
use reqwest::Method;

use super::{House, denied, refusal, said, served};

const HOME: &str = "/v2/team/dependency_proxy/containers";
const READ_ONLY: &str = "This is a read-only cache. Push to the registry itself";
const CONFIGURED: &str = "Configured: docker.io, gcr.io, ghcr.io, mcr.microsoft.com, other.test, public.ecr.aws, quay.io, \
                          registry.gitlab.com, registry.k8s.io";

/// Returns a second upstream, `other.test`, that has an image with each of these names.
fn other(names: &[&str]) -> (FakeRegistry, Vec<Image>) {
    let hub = FakeRegistry::start();
    hub.require_auth(false);
    let images = (0..).zip(names).map(|(seed, name)| {
        let image = Image::single(&[Layer::random(100, 1000 + seed)]);
        hub.push_image(name, "latest", &image);
        image
    });
    let images = images.collect();
    (hub, images)
}

async fn with_other(hub: &FakeRegistry) -> House {
    House::with(&format!("[upstreams.\"other.test\"]\nurl = \"{}\"", hub.url())).await
}

#[actix_rt::test]
async fn the_path_and_ns_choose_the_upstream_and_its_name_for_the_image() {
    let (second, images) = other(&["alpine", "library/alpine"]);
    let house = with_other(&second).await;
    let deep = Image::single(&[Layer::random(100, 7)]);
    for name in ["a/b/c/d", "manifests/blobs", "library/dotted.name"] {
        house.hub.push_image(name, "latest", &deep);
    }
    let client = house.client.clone();
    let hub = house.image.digest();
    for (image, namespace, digest) in [
        ("alpine", "", hub),
        ("library/alpine", "", hub),
        ("docker.io/alpine", "", hub),
        ("docker.io/library/alpine", "", hub),
        ("v2/library/alpine", "", hub),
        ("v2/docker.io/library/alpine", "", hub),
        ("library/alpine", "docker.io", hub),
        ("docker.io/library/alpine", "docker.io", hub),
        ("v2/library/alpine", "docker.io", hub),
        ("a/b/c/d", "", deep.digest()),
        ("manifests/blobs", "", deep.digest()),
        ("dotted.name", "", deep.digest()),
        ("other.test/alpine", "", images[0].digest()),
        ("other.test/library/alpine", "", images[1].digest()),
        ("alpine", "other.test", images[0].digest()),
        ("library/alpine", "other.test", images[1].digest()),
        ("other.test/alpine", "other.test", images[0].digest()),
        ("v2/other.test/alpine", "", images[0].digest()),
    ] {
        let query = if namespace.is_empty() { String::new() } else { format!("?ns={namespace}") };
        let path = format!("{HOME}/{image}/manifests/latest{query}");
        let answer = client.get(&path).await;
        assert_eq!((said(&answer), answer.header("docker-content-digest")), (served(), digest), "{path}");
        assert_eq!(answer.header("oci-namespace"), namespace, "{path}");
        let head = client.send(client.request(Method::HEAD, &path)).await;
        assert_eq!((head.status, head.header("oci-namespace")), (200, namespace), "{path}");
    }
    let layer = house.image.layers()[0].digest();
    let blob = client.get(&format!("{HOME}/library/alpine/blobs/{layer}?ns=docker.io")).await;
    assert_eq!((blob.status, blob.header("oci-namespace")), (200, "docker.io"));
    let blob = client.get(&format!("{HOME}/alpine/blobs/{layer}?ns=other.test")).await;
    assert_eq!(said(&blob).1, "BLOB_UNKNOWN", "a blob of one upstream is no blob of another");
}

#[actix_rt::test]
async fn with_ns_the_path_is_the_repository_whatever_it_looks_like() {
    let names = [
        "my.group/app",
        "docker.io/library/alpine",
        "gcr.io/a/b",
        "localhost/x",
        "registry-1.docker.io/library/alpine",
        "other.test/app",
        "v2/app",
        "manifests/a.b",
        "library/alpine",
        "single",
    ];
    let (second, images) = other(&names);
    let house = with_other(&second).await;
    let dotted = Image::single(&[Layer::random(100, 7)]);
    for name in ["other.test/alpine", "my.group/app", "ghcr.io/acme/app"] {
        house.hub.push_image(name, "latest", &dotted);
    }
    let client = house.client.clone();
    let on_second = names.iter().zip(&images).map(|(name, image)| {
        // The prefix of mirrors is removed once.
        let path = match *name {
            "other.test/app" => "other.test/other.test/app",
            "v2/app" => "v2/v2/app",
            name => name,
        };
        (path, "other.test", name.to_string(), image.digest())
    });
    let on_hub = ["other.test/alpine", "my.group/app", "ghcr.io/acme/app"];
    let on_hub = on_hub.map(|name| (name, "docker.io", name.to_owned(), dotted.digest()));
    for (path, namespace, name, digest) in on_second.chain(on_hub) {
        for query in [format!("ns={namespace}"), format!("x=1&n%73={namespace}"), format!("ns={namespace}&ns=gcr.io")] {
            let answer = client.get(&format!("{HOME}/{path}/manifests/latest?{query}")).await;
            let told = (said(&answer), answer.header("docker-content-digest"), answer.header("oci-namespace"));
            assert_eq!(told, (served(), digest, namespace), "{path} {query}");
        }
        let tags = client.get(&format!("{HOME}/{path}/tags/list?ns={namespace}")).await;
        assert_eq!((tags.status, tags.json()["name"].as_str()), (200, Some(name.as_str())), "{path}");
    }
    let malformed = client.get(&format!("{HOME}/mirror:5000/app/manifests/latest?ns=other.test")).await;
    assert_eq!((said(&malformed).0, said(&malformed).1.as_str()), (400, "NAME_INVALID"));
}

#[actix_rt::test]
async fn a_registry_that_is_not_configured_is_refused_and_nobody_is_asked() {
    let (second, _) = other(&["alpine"]);
    let house = with_other(&second).await;
    let client = house.client.clone();
    for (image, registry) in [
        ("quay.example.com/x", "quay.example.com"),
        ("localhost/x", "localhost"),
        ("mirror:5000/a/b", "mirror:5000"),
        ("Docker.io/library/alpine", "Docker.io"),
        ("v2/quay.example.com/x", "quay.example.com"),
        ("registry-1.docker.io/library/alpine", "registry-1.docker.io"),
    ] {
        let sentence = format!("{registry} is not an upstream of this service. {CONFIGURED}");
        assert_eq!(said(&client.manifest("team", image, "latest").await), denied(&sentence), "{image}");
    }
    for (image, namespace) in [
        ("alpine", "quay.example.com"),
        ("library/alpine", "DOCKER.IO"),
        ("my.group/app", "quay.example.com"),
        ("other.test/alpine", "quay.example.com"),
        ("alpine", "a b"),
        ("alpine", ""),
    ] {
        let sentence = format!("{namespace} is not an upstream of this service. {CONFIGURED}");
        let query = namespace.replace(' ', "%20");
        let answer = client.get(&format!("{HOME}/{image}/manifests/latest?ns={query}")).await;
        assert_eq!(said(&answer), refusal(404, "NAME_UNKNOWN", &sentence), "{image} {namespace}");
    }
    assert_eq!((house.hub.requests().total(), second.requests().total()), (0, 0));
}

#[actix_rt::test]
async fn a_path_without_the_marker_is_answered_with_the_right_form() {
    let house = House::new().await;
    let (client, digest) = (house.client.clone(), house.image.digest());
    let by_digest = format!("library/alpine/manifests/{digest}");
    let wanted = format!("library/alpine@{digest}");
    let blob = format!("alpine/blobs/{digest}");
    for (path, image) in [
        ("alpine/manifests/latest", "alpine:latest"),
        ("library/postgres/manifests/17", "library/postgres:17"),
        (&by_digest, &wanted),
        (&blob, "alpine:latest"),
        ("dependency_proxy/containers/alpine/manifests/3.20", "alpine:3.20"),
        ("team/dependency_proxy/alpine/manifests/3.20", "team/dependency_proxy/alpine:3.20"),
        ("Alpine/manifests/latest", "alpine:latest"),
        ("x", "x:latest"),
    ] {
        let sentence = format!(
            "This is a pull-through cache. Pull {}/<group>/dependency_proxy/containers/{image}",
            house.service.address
        );
        assert_eq!(said(&client.get(&format!("/v2/{path}")).await), denied(&sentence), "{path}");
    }
    let stranger = house.service.stranger().get("/v2/alpine/manifests/latest").await;
    assert_eq!(stranger.status, 401, "who is not logged in is asked to");
}

#[actix_rt::test]
async fn malformed_names_tags_and_digests_are_400() {
    let house = House::new().await;
    let client = house.client.clone();
    let zeros = "0".repeat(64);
    let (long_name, long_tag) = ("a".repeat(256), "a".repeat(129));
    for (path, code) in [
        ("/team/dependency_proxy/containers/Alpine/manifests/latest", "NAME_INVALID"),
        ("/team/dependency_proxy/containers/al..pine/manifests/latest", "NAME_INVALID"),
        ("/team/dependency_proxy/containers//manifests/latest", "NAME_INVALID"),
        ("/team/dependency_proxy/containers/a//b/manifests/latest", "NAME_INVALID"),
        ("/team/dependency_proxy/containers/-a/manifests/latest", "NAME_INVALID"),
        ("/team/dependency_proxy/containers/a%20b/manifests/latest", "NAME_INVALID"),
        ("/te%24am/dependency_proxy/containers/alpine/manifests/latest", "NAME_INVALID"),
        ("/api/dependency_proxy/containers/alpine/manifests/latest", "NAME_INVALID"),
        (&format!("/team/dependency_proxy/containers/{long_name}/manifests/latest"), "NAME_INVALID"),
        ("/team/dependency_proxy/containers/Alpine/tags/list", "NAME_INVALID"),
        ("/team/dependency_proxy/containers/alpine/manifests/-x", "TAG_INVALID"),
        ("/team/dependency_proxy/containers/alpine/manifests/.x", "TAG_INVALID"),
        ("/team/dependency_proxy/containers/alpine/manifests/", "TAG_INVALID"),
        ("/team/dependency_proxy/containers/alpine/manifests/a%20b", "TAG_INVALID"),
        ("/team/dependency_proxy/containers/alpine/manifests/a/b", "TAG_INVALID"),
        (&format!("/team/dependency_proxy/containers/alpine/manifests/{long_tag}"), "TAG_INVALID"),
        ("/team/dependency_proxy/containers/alpine/manifests/sha256:00", "DIGEST_INVALID"),
        (&format!("/team/dependency_proxy/containers/alpine/manifests/md5:{zeros}"), "DIGEST_INVALID"),
        (&format!("/team/dependency_proxy/containers/alpine/blobs/sha256:{}", "A".repeat(64)), "DIGEST_INVALID"),
        (&format!("/team/dependency_proxy/containers/alpine/blobs/{zeros}"), "DIGEST_INVALID"),
        ("/team/dependency_proxy/containers/alpine/blobs/latest", "DIGEST_INVALID"),
        ("/team/dependency_proxy/containers/alpine/blobs/", "DIGEST_INVALID"),
        ("/team/dependency_proxy/containers/alpine/referrers/latest", "DIGEST_INVALID"),
    ] {
        let answer = client.get(&format!("/v2{path}")).await;
        let (status, said, sentence) = said(&answer);
        assert_eq!((status, said.as_str()), (400, code), "{path}: {sentence}");
        assert!(sentence.len() > 20, "{path}: {sentence}");
    }
    assert_eq!(house.hub.requests().total(), 0);
    for path in ["", "/alpine", "/alpine/", "/alpine/manifests", "/alpine/tags", "/alpine/blobs/uploads"] {
        let answer = client.get(&format!("{HOME}{path}")).await;
        assert!([400, 403, 404].contains(&said(&answer).0), "{path}: {answer:?}");
    }
}

#[actix_rt::test]
async fn what_clients_percent_encode_means_the_same() {
    let house = House::new().await;
    let client = house.client.clone();
    house.service.group("team/sub").await;
    let digest = house.image.digest().replace(':', "%3A");
    let lower = house.image.digest().replace(':', "%3a");
    let layer = house.image.layers()[0].digest().replace(':', "%3A");
    for path in [
        format!("{HOME}/library/alpine/manifests/{digest}"),
        format!("{HOME}/library/alpine/manifests/{lower}"),
        format!("{HOME}/library%2Falpine/manifests/l%61test"),
        format!("{HOME}/library/alpine/blobs/{layer}"),
        "/v2/team%2Fsub/dependency_proxy/containers/alpine/manifests/latest".to_owned(),
    ] {
        assert_eq!(said(&client.get(&path).await), served(), "{path}");
    }
}

#[actix_rt::test]
async fn what_would_change_something_is_405() {
    let house = House::new().await;
    let (stranger, digest) = (house.service.stranger(), house.image.digest());
    for (method, path) in [
        ("PUT", format!("{HOME}/alpine/manifests/latest")),
        ("DELETE", format!("{HOME}/alpine/manifests/latest")),
        ("POST", format!("{HOME}/alpine/blobs/uploads/")),
        ("POST", format!("{HOME}/alpine/blobs/uploads/?mount={digest}&from=library/x")),
        ("PATCH", format!("{HOME}/alpine/blobs/uploads/1")),
        ("PUT", format!("{HOME}/alpine/blobs/uploads/1?digest={digest}")),
        ("DELETE", format!("{HOME}/alpine/blobs/{digest}")),
        ("POST", "/v2/".to_owned()),
        ("PUT", "/v2/alpine/manifests/latest".to_owned()),
        ("GET", "/v2/_catalog".to_owned()),
        ("GET", "/v2/_catalog?n=10".to_owned()),
        ("PROPFIND", "/v2/".to_owned()),
    ] {
        for client in [stranger.clone(), house.client.clone()] {
            let request = client.request(Method::from_bytes(method.as_bytes()).unwrap(), &path).body("some bytes");
            let answer = client.send(request).await;
            assert_eq!(said(&answer), refusal(405, "UNSUPPORTED", READ_ONLY), "{method} {path}");
            assert_eq!(answer.header("allow"), "GET, HEAD", "{method} {path}");
        }
    }
    assert_eq!(house.hub.requests().total(), 0);
}

#[actix_rt::test]
async fn paths_that_nothing_is_at_are_answered_too() {
    let house = House::new().await;
    let sentence = "This is a read-only cache of manifests and blobs; it has nothing at this path";
    for path in ["/favicon.ico", "/v3/", "/v22", "/jwt", "/jwt/auth/x", "//v2/", "/v1/_ping"] {
        let answer = house.service.stranger().get(path).await;
        assert_eq!(said(&answer), refusal(404, "UNSUPPORTED", sentence), "{path}");
    }
}

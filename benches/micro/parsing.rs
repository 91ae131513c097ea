//! Parsing of request paths and token scopes. (The scope in a token request is not benchmarked: the service checks
//! only whether there is one.)

use std::hint::black_box;
use std::time::Duration;

use criterion::Criterion;
use dependency_proxy::domain::image_path::ImagePath;
use dependency_proxy::domain::reference::Reference;
use dependency_proxy::domain::scope::{Scope, Scopes};
use dependency_proxy::domain::upstream::{Upstream, Upstreams};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The upstreams of the default configuration.
const UPSTREAMS: [&str; 8] = [
    "docker.io",
    "ghcr.io",
    "quay.io",
    "registry.k8s.io",
    "mcr.microsoft.com",
    "public.ecr.aws",
    "gcr.io",
    "registry.gitlab.com",
];

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    for (name, text) in [("reference/tag", "3.20.1-alpine"), ("reference/digest", DIGEST)] {
        group.bench_function(name, |bencher| bencher.iter(|| black_box(text).parse::<Reference>().unwrap()));
    }
    let world = world();
    for (name, path) in paths() {
        group.bench_function(name, |bencher| {
            bencher.iter(|| ImagePath::parse(black_box(&path), None, black_box(&world)).unwrap());
        });
    }
    group.bench_function("scopes", |bencher| bencher.iter(|| scopes(black_box(["write_registry", "read_registry"]))));
    group.finish();
}

/// Returns paths, as they follow `/v2/`.
fn paths() -> [(&'static str, String); 3] {
    let image = "platform/ci/dependency_proxy/containers";
    [
        ("path/manifest", format!("{image}/library/alpine/manifests/3.20.1")),
        ("path/manifest of a named registry", format!("{image}/ghcr.io/acme/tools/builder/manifests/{DIGEST}")),
        ("path/blob", format!("{image}/library/alpine/blobs/{DIGEST}")),
    ]
}

fn world() -> Upstreams {
    let upstream = || Upstream { accounts: Vec::new(), tag_freshness: Duration::from_secs(60) };
    Upstreams::new(UPSTREAMS.map(|name| (name.parse().unwrap(), upstream())))
}

/// Parses scopes as the REST API does for a new token.
fn scopes(names: [&str; 2]) -> Scopes {
    names.map(|name| name.parse::<Scope>().unwrap()).to_vec().try_into().unwrap()
}

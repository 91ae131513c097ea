//! The rules of the layers: reads `src/` and fails, with file and line, where a layer names what it must not, and where
//! modules beside each other import each other in a circle. Tests inside the layers are exempt: they may build what
//! they need.

mod circles;
mod contracts;
mod maps;
mod source;

use std::path::Path;

use circles::circles;
use source::{Source, sources};

/// The layers that each layer may use. A new layer needs a row here.
const MAY_NAME: [(&str, &[&str]); 16] = [
    ("main", &["cli"]),
    ("cli", &["server", "admin", "settings", "telemetry", "auth", "domain", "formats"]),
    ("admin", &["store", "auth", "domain"]),
    ("server", &["http", "actors", "upstream", "store", "auth", "domain", "settings", "telemetry"]),
    // Neither the store nor upstream.
    ("http", &["actors", "auth", "domain", "telemetry"]),
    // Each of these two layers uses `formats` to read its own keys of the settings.
    ("actors", &["upstream", "store", "auth", "domain", "telemetry", "formats"]),
    ("upstream", &["domain", "formats"]),
    ("store", &["auth", "domain"]),
    ("auth", &["domain"]),
    ("domain", &[]),
    // Used by cli and server only.
    ("settings", &["actors", "upstream", "store", "domain", "telemetry", "formats"]),
    // The formats of single values in the settings, for the layers that read their own keys.
    ("formats", &["domain"]),
    ("telemetry", &["formats"]),
    // Properties of parsers for tests and fuzz targets: nothing of the product.
    ("fuzzing", &["http", "upstream", "auth", "settings", "domain"]),
    ("lib", &[]),
    ("bin", &["cli"]),
];

/// Crates and paths that only some files may name: the name, the files, and the reason.
const ONLY_IN: [(&str, &[(&str, &str)]); 24] = [
    (
        "reqwest",
        &[
            ("upstream/", "asks registries"),
            ("cli/client", "a verb asks the running service"),
            ("cli/bench/wire.rs", "a load generator streams bodies, and follows redirects"),
        ],
    ),
    ("sled", &[("store/", "keeps")]),
    ("tokio_postgres", &[("store/fleet", "is the database of a fleet")]),
    ("deadpool_postgres", &[("store/fleet/", "keeps its connections")]),
    ("refinery", &[("store/fleet/", "upgrades its schema")]),
    ("object_store", &[("store/fleet/", "is the change log of a fleet")]),
    ("tempfile", &[("store/", "writes whole files")]),
    (
        "rustix",
        &[
            ("store/", "locks and measures"),
            ("actors/policy_evaluator/validity.rs", "reads the clock that runs while the machine is suspended"),
            ("cli/secret_file.rs", "compares the owner of a file with the user of the process"),
            ("server/process.rs", "raises the limit of open files"),
            ("server/net/socket.rs", "tells the system that a file follows"),
            ("server/net/listeners.rs", "shares its own port among threads"),
            ("telemetry/log_output.rs", "writes to standard error without a lock"),
        ],
    ),
    ("std::fs", FILES),
    ("tokio::fs", FILES),
    ("actix", &[("actors/", "are actors")]),
    ("Addr<", &[("actors/", "all others see handles")]),
    ("actix_rt", &[("actors/", "are actors"), ("server.rs", "starts threads"), ("server/", "starts threads")]),
    ("actix_web", ROUTES),
    ("actix_http", ROUTES),
    ("actix_server", ROUTES),
    ("jsonwebtoken", &[("auth/", "signs and verifies")]),
    ("argon2", &[("auth/", "hashes passwords")]),
    ("clap", &[("cli/", "reads the command line")]),
    ("comfy_table", &[("cli/", "prints tables")]),
    (
        "indicatif",
        &[
            ("cli/byte_bar.rs", "shows how many bytes are done"),
            ("cli/bench/progress.rs", "shows that it goes on"),
            ("cli/cache/progress.rs", "shows how far a job is"),
        ],
    ),
    ("hdrhistogram", &[("cli/bench/tally.rs", "counts how long things take")]),
    ("opentelemetry", &[("telemetry/trace", "makes and sends traces")]),
    ("metrics_exporter_prometheus", &[("telemetry/exporter.rs", "collects what the layers count")]),
];

const FILES: &[(&str, &str)] = &[
    ("store/", "keeps"),
    ("settings", "reads the files that the operator names"),
    ("upstream/clients.rs", "reads the certificates that the operator names"),
    ("cli/connection.rs", "reads and writes the file of a secret that a person names"),
    ("cli/secret_file.rs", "writes new files of secrets that a person names"),
    ("cli/cache/warm.rs", "reads the list of images that a person names"),
    ("server/net/tls.rs", "reads the certificate that the operator names"),
    ("telemetry/process.rs", "reads what the system says of this process"),
    ("actors/blob_cache/", "holds open files that the store lends, and no path"),
];

const ROUTES: &[(&str, &str)] = &[("http/", "answers"), ("server.rs", "listens"), ("server/", "listens")];

/// Operations that the pure layers must not use: waiting, reading the clock, I/O.
const IMPURE: [(&str, &[&str]); 2] = [
    (
        "domain",
        &[
            "std::fs",
            "std::net::Tcp",
            "std::net::Udp",
            "std::env",
            "std::thread",
            "std::process",
            "std::io",
            "tokio",
            "futures",
            "Instant::now",
            "SystemTime",
            "Timestamp::now",
            "Zoned::now",
            "tracing",
            "metrics",
            "aws_lc_rs",
        ],
    ),
    ("auth", &["std::fs", "std::env", "std::thread", "tokio", "Instant::now", "Timestamp::now", "tracing"]),
];

#[test]
fn every_layer_names_only_what_it_may() {
    let found = violations(Path::new(env!("CARGO_MANIFEST_DIR")));
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["src", "tests/suite", "tests/engines", "tests/fake_registry", "benches"] {
        let all = sources(&root.join(folder));
        assert!(!all.is_empty(), "{folder}");
        let silent: Vec<_> =
            all.into_iter().filter(|source| !source.text.starts_with("//!")).map(|source| source.path).collect();
        assert!(silent.is_empty(), "these do not begin with //!: {silent:?}");
    }
}

#[test]
fn what_is_planted_in_the_wrong_layer_is_found() {
    let root = tempfile::tempdir().unwrap();
    let plant = |path: &str, text: &str| plant(root.path(), path, text);
    plant("domain/clock.rs", "//! Text.\n\nfn now() -> u64 {\n    jiff::Timestamp::now().as_second()\n}\n");
    plant(
        "http/index.rs",
        "//! Text.\nuse crate::{actors::Tokens, store::index::Index};\nuse super::super::upstream;\n",
    );
    plant(
        "actors/client.rs",
        "//! Text about reqwest.\nconst NAME: &str = \"sled::Db\"; // crate::http\nuse reqwest::Client;\n",
    );
    plant("http/mod.rs", "//! Text.\nstruct Held(actix::Addr<Actor>);\n#[cfg(test)]\nmod tests {\n    use sled;\n}\n");
    plant("http/api.rs", "//! Text.\n#[cfg(test)]\nmod fixture;\n");
    plant("http/api/fixture.rs", "//! Text.\nuse crate::store::identity;\n");
    plant("extra/mod.rs", "//! Text.\nuse crate::domain::digest;\n");
    let found = violations(root.path());
    let places = [
        "src/actors/client.rs:3: reqwest",
        "src/extra/mod.rs:2: crate::domain",
        "src/domain/clock.rs:4: Timestamp::now",
        "src/http/mod.rs:2: actix ",
        "src/http/mod.rs:2: Addr<",
        "src/http/index.rs:2: crate::store",
        "src/http/index.rs:3: crate::upstream",
    ];
    assert_eq!(found.len(), places.len(), "{found:#?}");
    for place in places {
        assert!(found.iter().any(|line| line.starts_with(place)), "{place} is not in {found:#?}");
    }
}

#[test]
fn no_modules_beside_each_other_import_each_other_in_a_circle() {
    let found = circles(&sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")));
    assert!(found.is_empty(), "\nMove what both need into a module of its own:\n\n{}\n", found.join("\n\n"));
}

#[test]
fn a_circle_of_modules_is_found_also_through_the_front_page_of_their_parent() {
    let root = tempfile::tempdir().unwrap();
    let plant = |path: &str, text: &str| plant(root.path(), path, text);
    plant("store.rs", "//! Text.\nmod blobs;\nmod index;\nmod spool;\npub use self::blobs::Blob;\n");
    // The parent, and a child: neither counts.
    plant("store/blobs.rs", "//! Text.\nmod file;\nuse self::file::File;\nuse super::{Store, spool};\nstruct Blob;\n");
    plant("store/blobs/file.rs", "//! Text. use crate::store::index::Index;\nuse super::Blob;\nstruct File;\n");
    plant(
        "store/spool.rs",
        "//! Text.\n#[cfg(test)]\nmod tests;\nuse crate::store::index::{\n    self,\n    Index,\n};\n",
    );
    plant("store/spool/tests.rs", "//! Text.\nuse super::super::blobs::Blob;\n");
    plant("store/index.rs", "//! Text.\nstruct Index;\n");
    assert_eq!(circles(&sources(&root.path().join("src"))), [""; 0]);
    plant(
        "store/index.rs",
        "//! Text.\nuse super::Blob;\nstruct Index;\n#[cfg(test)]\nmod tests {\n    use super::*;\n}\n",
    );
    let found = circles(&sources(&root.path().join("src")));
    assert_eq!(found.len(), 1, "{found:#?}");
    for place in [
        "blobs, index, spool in 'store' import each other:",
        "src/store/blobs.rs:4: super::spool (store::spool)",
        "src/store/index.rs:2: super::Blob (store::blobs)",
        "src/store/spool.rs:4: crate::store::index::Index (store::index)",
    ] {
        assert!(found[0].contains(place), "{place} is not in {found:#?}");
    }
}

fn plant(root: &Path, path: &str, text: &str) {
    let path = root.join("src").join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Returns a sentence for each violation, which begins with `file:line: name`.
fn violations(root: &Path) -> Vec<String> {
    let product = sources(&root.join("src"));
    product.iter().flat_map(|source| [wrong_layers(source), wrong_names(source), impure(source)].concat()).collect()
}

fn wrong_layers(source: &Source) -> Vec<String> {
    let layer = source.layer();
    let row = MAY_NAME.iter().find(|(name, _)| *name == layer).map_or(&[] as &[&str], |(_, may)| may);
    let wrong = |name: &String| name != layer && is_layer(name) && !row.contains(&name.as_str());
    source.report(
        |line| source.layers_named(line).into_iter().filter(wrong).map(|name| format!("crate::{name}")).collect(),
        layer,
    )
}

fn wrong_names(source: &Source) -> Vec<String> {
    let banned = ONLY_IN.iter().filter(|(_, places)| !places.iter().any(|(place, _)| source.is_in(place)));
    let banned: Vec<&str> = banned.map(|(name, _)| *name).collect();
    source.report(|line| named(line, &banned), source.layer())
}

fn impure(source: &Source) -> Vec<String> {
    let layer = source.layer();
    let banned = IMPURE.iter().find(|(name, _)| *name == layer).map_or(&[] as &[&str], |(_, banned)| banned);
    source.report(|line| named(line, banned), layer)
}

fn is_layer(name: &str) -> bool {
    MAY_NAME.iter().any(|(layer, _)| *layer == name)
}

fn named(line: &str, banned: &[&str]) -> Vec<String> {
    banned.iter().filter(|name| source::names(line, name)).map(|name| (*name).to_owned()).collect()
}

#[test]
fn no_route_that_every_pull_is_compared_with_is_a_pattern() {
    // Those of the registry come last: actix compares each pull with all others first, and a pattern is a regular
    // expression.
    for (file, text) in
        [("http.rs", include_str!("../../src/http.rs")), ("ui.rs", include_str!("../../src/http/ui.rs"))]
    {
        let (_, function) = text.split_once("pub(crate) fn configure(").unwrap();
        let function = function.split("\n}\n").next().unwrap();
        let routes: Vec<&str> = function.split('"').skip(1).step_by(2).collect();
        assert!(routes.len() >= 3, "{file}: {routes:?}");
        assert!(routes.iter().all(|route| !route.contains('{')), "{file}: {routes:?}");
    }
}

//! The seeds of the fuzz targets, as tests: `tests/fuzz/corpus` has a folder for each target.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 10] = [
    ("references", super::references),
    ("digests", super::digests),
    ("scopes", super::scopes),
    ("challenges", super::challenges),
    ("link_headers", super::link_headers),
    ("manifests", super::manifests),
    ("ranges", super::ranges),
    ("forwarded_headers", super::forwarded_headers),
    ("configuration", super::configuration),
    ("jwts", super::jwts),
];

/// Returns the paths in a folder of `tests/fuzz`.
fn entries(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(folder);
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn every_seed_has_the_properties_of_its_target() {
    for (name, target) in TARGETS {
        let seeds = entries(&format!("corpus/{name}"));
        assert!(seeds.len() >= 3, "{name} has {} seeds", seeds.len());
        for seed in seeds {
            target(&fs::read(seed).unwrap());
        }
    }
}

#[test]
fn every_target_has_a_program_and_seeds() {
    let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let stems = |folder| -> BTreeSet<String> {
        entries(folder).iter().map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    };
    assert_eq!((stems("fuzz_targets"), stems("corpus")), (names.clone(), names));
}

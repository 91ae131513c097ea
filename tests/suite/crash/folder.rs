//! Invariants of the cache folder, whatever happened before.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};

/// Checks that every file in `blobs/` and `manifests/` has its digest, and that the spool is empty.
/// Returns the number of files.
pub(super) fn verify(cache: &Path) -> usize {
    let mut verified = 0;
    for kind in ["blobs", "manifests"] {
        for path in files(&cache.join(kind)) {
            let name = path.file_name().unwrap().to_str().unwrap();
            if name.ends_with(".json") || name.starts_with(".write-") {
                continue;
            }
            let found = digest(&SHA256, &fs::read(&path).unwrap());
            assert_eq!(hex::encode(found), name, "{} is not what its name says", path.display());
            verified += 1;
        }
    }
    let spooled = files(&cache.join("spool"));
    assert!(spooled.is_empty(), "left in the spool: {spooled:?}");
    verified
}

/// Waits until the leftovers of killed writers are removed.
pub(super) async fn tidied(cache: &Path) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let left: Vec<PathBuf> = files(cache).into_iter().filter(|path| is_leftover(path)).collect();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "nobody removes {left:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Returns all files below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().map_while(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn is_leftover(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".write-"))
}

//! The kinds of damage.

use std::os::unix::fs::FileExt;

use super::super::*;

/// A kind of damage.
pub(super) struct Damage {
    pub(super) name: &'static str,
    pub(super) inject: fn(&Scene),
    /// The kinds of findings, in alphabetical order.
    pub(super) found: &'static [&'static str],
    /// The tag whose content is broken, and the number of requests that fetch it again.
    pub(super) fetched: Option<(usize, Kind)>,
}

/// All kinds.
pub(super) const DAMAGES: [Damage; 22] = [
    Damage { name: "a flipped bit of a blob", inject: |s| flip(&s.blob(2)), found: &["blob"], fetched: BLOB },
    Damage {
        name: "a truncated blob",
        inject: |s| fs::File::options().write(true).open(s.blob(2)).unwrap().set_len(70_000).unwrap(),
        found: &["blob", "count", "length"],
        fetched: BLOB,
    },
    Damage {
        name: "a longer blob",
        inject: |s| {
            let blob = fs::File::options().write(true).open(s.blob(2)).unwrap();
            blob.write_all_at(b"more", blob.metadata().unwrap().len()).unwrap();
        },
        found: &["blob", "count", "length"],
        fetched: BLOB,
    },
    Damage {
        name: "a missing blob",
        inject: |s| fs::remove_file(s.blob(2)).unwrap(),
        found: &["count", "surplus_entry"],
        fetched: BLOB,
    },
    Damage {
        name: "a folder in the place of a blob",
        inject: |s| {
            fs::remove_file(s.blob(2)).unwrap();
            fs::create_dir(s.blob(2)).unwrap();
        },
        found: &["count", "foreign", "surplus_entry"],
        fetched: BLOB,
    },
    Damage {
        name: "a flipped bit of a manifest",
        inject: |s| flip(&s.manifest(2)),
        found: &["manifest"],
        fetched: MANIFEST,
    },
    Damage {
        name: "a missing manifest",
        inject: |s| fs::remove_file(s.manifest(2)).unwrap(),
        found: &["count", "leftover", "surplus_entry"],
        fetched: MANIFEST,
    },
    Damage {
        name: "a file with the right digest that is not a manifest",
        inject: |s| {
            // The digest of "hello".
            let hello = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
            let path = content(&s.cache(), "manifests", hello);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "hello").unwrap();
        },
        found: &["count", "manifest", "missing_entry"],
        fetched: None,
    },
    Damage {
        name: "a missing description",
        inject: |s| fs::remove_file(s.manifest(2).with_extension("json")).unwrap(),
        found: &["description"],
        fetched: None,
    },
    Damage {
        name: "a damaged description",
        inject: |s| fs::write(s.manifest(2).with_extension("json"), "{}").unwrap(),
        found: &["description"],
        fetched: None,
    },
    Damage {
        name: "foreign files",
        inject: |s| {
            fs::write(s.blob(2).with_file_name("notes.txt"), "mine").unwrap();
            fs::write(s.cache().join("manifests/sha256/notes.txt"), "mine").unwrap();
            fs::write(s.cache().join("groups/notes.txt"), "mine").unwrap();
            let other_shard = s.cache().join("blobs/sha256/zz");
            fs::create_dir(&other_shard).unwrap();
            fs::rename(s.blob(2), other_shard.join(s.blob(2).file_name().unwrap())).unwrap();
        },
        found: &["count", "foreign", "surplus_entry"],
        fetched: BLOB,
    },
    Damage {
        name: "garbage in the file of an image",
        inject: |s| fs::write(s.small_file("tags", "\"2\""), "garbage").unwrap(),
        found: &["count", "small_file", "surplus_entry"],
        fetched: None,
    },
    Damage {
        name: "garbage in the file of a pinned image",
        inject: |s| fs::write(s.small_file("tags", "\"1\""), "garbage").unwrap(),
        found: &["count", "small_file", "surplus_entry"],
        fetched: None,
    },
    Damage {
        name: "the file of an image under the name of another",
        inject: |s| {
            let path = s.small_file("tags", "\"2\"");
            let name = format!("{}.json", "0".repeat(64));
            fs::rename(&path, path.with_file_name(name)).unwrap();
        },
        found: &["count", "misplaced", "surplus_entry"],
        fetched: TAG,
    },
    Damage {
        name: "a line of garbage in a file of links",
        inject: |s| {
            let path = s.small_file("links", "proven");
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, text + "garbage\n").unwrap();
        },
        found: &["links"],
        fetched: None,
    },
    Damage {
        name: "a removal that cannot be read",
        inject: |s| {
            let folder = s.small_file("links", "proven").ancestors().nth(3).unwrap().join("removals");
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("x.json"), "garbage").unwrap();
        },
        found: &["small_file"],
        fetched: None,
    },
    Damage {
        name: "files of a group that does not exist",
        inject: |s| {
            let group = s.small_file("links", "proven").ancestors().nth(3).unwrap().to_owned();
            copy(&group, &group.with_file_name("999"));
        },
        found: &["count", "group", "missing_entry"],
        fetched: None,
    },
    Damage {
        name: "a missing index",
        inject: |s| fs::remove_dir_all(s.service.data().join("index")).unwrap(),
        found: &["index"],
        fetched: None,
    },
    Damage {
        name: "an index that cannot be opened",
        inject: |s| {
            let path = s.service.data().join("index/conf");
            let length = fs::metadata(&path).unwrap().len() as usize;
            fs::write(path, vec![0xa5; length]).unwrap();
        },
        found: &["index"],
        fetched: None,
    },
    Damage {
        name: "an index of an earlier time",
        inject: |s| {
            fs::remove_dir_all(s.service.data().join("index")).unwrap();
            copy(&s.earlier.join("index"), &s.service.data().join("index"));
        },
        found: &["count", "missing_entry"],
        fetched: None,
    },
    Damage {
        name: "an index of another cache folder",
        inject: |s| fs::write(s.cache().join("cache.id"), format!("{}\n", "7".repeat(32))).unwrap(),
        found: &["index"],
        fetched: None,
    },
    Damage {
        name: "a cache folder of an earlier time",
        inject: |s| {
            fs::remove_dir_all(s.cache()).unwrap();
            copy(&s.earlier.join("cache"), &s.cache());
        },
        found: &["count", "surplus_entry"],
        fetched: None,
    },
];

const BLOB: Option<(usize, Kind)> = Some((2, Kind::BlobDownload));
const MANIFEST: Option<(usize, Kind)> = Some((2, Kind::ManifestGet));
const TAG: Option<(usize, Kind)> = Some((2, Kind::ManifestGet));

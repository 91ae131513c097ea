//! Each kind of damage: what is reported, and what a repair leaves.

use std::os::unix::fs::FileExt;

use super::*;

/// A kind of damage.
struct Damage {
    name: &'static str,
    inject: fn(&Scene),
    /// The kinds of findings, in alphabetical order.
    found: &'static [&'static str],
    /// The tag whose content is broken, and the number of requests that fetch it again.
    fetched: Option<(usize, Kind)>,
}

const DAMAGES: [Damage; 22] = [
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

#[actix_rt::test]
async fn each_damage_is_reported_as_what_it_is_and_repaired_so_that_only_what_was_broken_is_fetched_again() {
    let mut scene = Scene::start().await;
    for damage in &DAMAGES {
        scene.reset();
        (damage.inject)(&scene);
        let before = snapshot(&scene.service.data());
        let run = scene.fsck(&[]);
        assert_eq!((run.code, run.kinds()), (1, names(damage.found)), "{}: {:#}", damage.name, run.json);
        assert!(before == snapshot(&scene.service.data()), "{}: nothing is changed", damage.name);
        assert!(run.error.contains("--repair"), "{}", run.error);

        let repair = scene.fsck(&["--repair"]);
        assert_eq!(repair.code, 0, "{}: {:#}\n{}", damage.name, repair.json, repair.error);
        scene.fsck(&[]).assert_clean(damage.name);
        is_served_again(&mut scene, damage).await;
        scene.fsck(&[]).assert_clean(&format!("{}, after pulls", damage.name));
    }
}

/// Checks that what is whole is served while upstream is down, and what was broken after one request.
async fn is_served_again(scene: &mut Scene, damage: &Damage) {
    let client = scene.restart().await;
    scene.hub.reset_counts();
    let listeners = [Listener::Registry, Listener::Realm, Listener::Storage];
    listeners.iter().for_each(|listener| scene.hub.down(*listener));
    scene.pull(&client, 1).await;
    let is_whole = damage.fetched.is_none() && damage.name != "a cache folder of an earlier time";
    if is_whole {
        scene.pull(&client, 2).await;
    }
    listeners.iter().for_each(|listener| scene.hub.up(*listener));
    scene.pull(&client, 2).await;
    if let Some((_, kind)) = damage.fetched {
        assert_eq!(scene.hub.requests().of(kind), 1, "{}", damage.name);
    }
    let pinned = scene.service.api("GET", &format!("{IMAGES}?pinned=true"), Value::Null).await.json();
    assert_eq!(pinned.as_array().unwrap().len(), 1, "{}: {pinned}", damage.name);
    assert!(scene.service.stop().success());
}

fn names(kinds: &[&str]) -> Vec<String> {
    kinds.iter().map(|kind| (*kind).to_owned()).collect()
}

#[actix_rt::test]
async fn what_interrupted_processes_have_left_is_reported_and_is_not_broken() {
    let scene = Scene::start().await;
    fs::write(scene.cache().join("spool/blob-left"), "half").unwrap();
    fs::write(scene.blob(2).with_file_name(".write-left"), "half").unwrap();
    fs::write(scene.manifest(2).with_extension("json.damaged"), "old").unwrap();
    let run = scene.fsck(&[]);
    assert_eq!((run.code, run.numbers()), (0, BTreeMap::from([("leftover".to_owned(), 3)])), "{:#}", run.json);
    let repair = scene.fsck(&["--repair"]);
    assert_eq!((repair.code, &repair.json["repaired"]["removed"]), (0, &json!(2)), "{:#}", repair.json);
    assert_eq!(repair.json["quarantine"]["files"], 1, "what was moved aside is kept");
    scene.fsck(&[]).assert_clean("leftovers");
}

#[actix_rt::test]
async fn what_is_broken_is_kept_in_quarantine_until_an_operator_removes_it_and_counts_nowhere() {
    let mut scene = Scene::start().await;
    for round in 1..=2 {
        flip(&scene.blob(2));
        let broken = fs::read(scene.blob(2)).unwrap();
        let repair = scene.fsck(&["--repair"]);
        let quarantine = PathBuf::from(repair.json["quarantine"]["path"].as_str().unwrap());
        assert_eq!(repair.json["quarantine"]["files"], round, "the second does not replace the first");
        let kept = files(&quarantine);
        assert!(kept.iter().all(|path| fs::read(path).unwrap() == broken), "{kept:?}");
        let client = scene.restart().await;
        scene.pull(&client, 2).await;
        let all = |image: &Image| image.size() + image.blobs().map(|blob| blob.bytes().len() as u64).sum::<u64>();
        let all = scene.images.iter().map(all).sum::<u64>();
        let stored =
            async || scene.service.api("GET", "/dependency_proxy/statistics", Value::Null).await.json()["bytes"] == all;
        crate::service::eventually("what was pulled again is stored, and nothing else counts", stored).await;
        assert!(scene.service.stop().success());
    }
    fs::remove_dir_all(scene.cache().join("quarantine")).unwrap();
    scene.fsck(&[]).assert_clean("without the folder");
}

#[actix_rt::test]
async fn identities_that_a_start_refuses_are_reported_with_its_advice_and_are_not_touched() {
    let scene = Scene::start().await;
    flip(&scene.service.data().join("identity.journal"));
    let run = scene.fsck(&[]);
    assert_eq!((run.code, run.kinds()), (1, names(&["identities"])), "{:#}", run.json);
    let text = run.json["findings"][0]["text"].as_str().unwrap();
    let advice = format!("admin restore --data {}", scene.service.data().display());
    assert!(text.contains(&advice) && !text.contains("--key-file"), "{text}");
    let data = scene.service.data().to_str().unwrap().to_owned();
    let named = Run::of(fsck(&["--data", &data, "--key-file", "/etc/elsewhere/jwt-keys"]));
    let text = named.json["findings"][0]["text"].as_str().unwrap();
    assert!(text.contains(&advice) && text.contains("--key-file /etc/elsewhere/jwt-keys"), "{text}");
    let before = snapshot(&scene.service.data());
    let repair = scene.fsck(&["--repair"]);
    assert_eq!(repair.code, 1);
    assert!(repair.error.contains("identities are not repaired"), "{}", repair.error);
    let is_of_identities = |path: &PathBuf| path.strip_prefix(scene.service.data()).unwrap().starts_with("identity");
    for (path, seen) in
        before.into_iter().filter(|(path, _)| is_of_identities(path) || path.ends_with("identity.journal"))
    {
        assert_eq!(fs::read(&path).unwrap(), seen.0, "{}", path.display());
    }
    // Without identities nobody knows which groups exist.
    fs::remove_file(scene.service.data().join("identity.journal")).unwrap();
    assert_eq!(scene.fsck(&[]).kinds(), names(&["identities"]));
}

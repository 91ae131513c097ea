//! Each kind of damage: what is reported, and what a repair leaves.

mod kinds;

use self::kinds::{DAMAGES, Damage};
use super::*;

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

#[actix_rt::test]
async fn a_damaged_database_of_identities_is_reported_although_a_start_loses_nothing_by_it() {
    let mut scene = Scene::start().await;
    let database = scene.service.data().join("identity/db");
    let length = fs::metadata(&database).unwrap().len() as usize;
    fs::write(&database, vec![0xa5; length]).unwrap();
    let run = scene.fsck(&[]);
    assert_eq!((run.code, run.kinds()), (1, names(&["identities"])), "{:#}", run.json);
    let text = run.json["findings"][0]["text"].as_str().unwrap();
    assert!(text.contains("builds it again from the journal"), "{text}");
    let client = scene.restart().await;
    scene.pull(&client, 1).await;
    assert!(scene.service.stop().success());
    assert_eq!(scene.fsck(&[]).code, 0);
}

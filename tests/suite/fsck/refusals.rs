//! Cases in which nothing is examined.

use super::*;

#[actix_rt::test]
async fn a_running_service_is_not_disturbed_and_the_refusal_says_what_it_verifies_itself() {
    let mut scene = Scene::start().await;
    let client = scene.restart().await;
    for arguments in [&[] as &[&str], &["--repair"]] {
        let run = scene.fsck(arguments);
        assert_eq!(run.code, 4);
        for part in ["is in use", "stop the service", "verify_bytes_per_second", "dependency_proxy_damaged_total"] {
            assert!(run.error.contains(part), "{part} is not in: {}", run.error);
        }
    }
    scene.pull(&client, 1).await;
    assert!(scene.service.stop().success());
    scene.fsck(&[]).assert_clean("afterwards");
}

#[actix_rt::test]
async fn a_copy_of_the_data_folder_is_examined_with_its_own_cache() {
    let scene = Scene::start().await;
    let copy = scene.kept.to_str().unwrap();
    flip(&scene.blob(1));
    Run::of(fsck(&["--data", copy])).assert_clean("the copy");
    let before = snapshot(&scene.service.data());
    assert_eq!(Run::of(fsck(&["--data", copy, "--repair"])).code, 0);
    assert_eq!(snapshot(&scene.service.data()), before, "the original is left alone");
    assert_eq!(scene.fsck(&[]).numbers()["blob"], 1);
}

#[actix_rt::test]
async fn folders_that_are_missing_are_named_and_not_made() {
    let scene = Scene::start().await;
    let elsewhere = scene.service.data().with_extension("elsewhere");
    let run = Run::of(fsck(&["--data", elsewhere.to_str().unwrap()]));
    assert_eq!(run.code, 4);
    assert!(run.error.contains("there is no data in") && !elsewhere.exists(), "{}", run.error);

    let data = scene.service.data();
    fs::rename(scene.cache(), &elsewhere).unwrap();
    for arguments in [&["--data", data.to_str().unwrap()] as &[&str], &["--data", data.to_str().unwrap(), "--repair"]] {
        let run = Run::of(fsck(arguments));
        assert_eq!(run.code, 4);
        assert!(run.error.contains("mount that disk") && !scene.cache().exists(), "{}", run.error);
    }
    let run = Run::of(fsck(&["--data", data.to_str().unwrap(), "--cache", elsewhere.to_str().unwrap()]));
    run.assert_clean("with the folder where it is");
}

#[actix_rt::test]
async fn a_cache_folder_elsewhere_is_found_by_what_the_index_was_built_from() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = folder.path().join("cache");
    let mut scene = Scene::start().await;
    fs::rename(scene.cache(), &elsewhere).unwrap();
    let setting = format!("[storage]\ncache_dir = \"{}\"", elsewhere.display());
    scene.service.replace_setting("[storage]", &setting);
    let client = scene.restart().await;
    scene.pull(&client, 1).await;
    assert!(scene.service.stop().success());
    let data = scene.service.data();
    let run = Run::of(fsck(&["--data", data.to_str().unwrap()]));
    run.assert_clean("the folder of the last start");
    assert_eq!(run.json["examined"]["manifests"], 2);
}

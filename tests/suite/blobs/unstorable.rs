//! A store that fails for another reason than a full disk: clients still receive upstream's bytes.

use std::fs;
use std::os::unix::fs::symlink;

use super::{MIB, Scene, unstored};

#[actix_rt::test]
async fn where_the_spool_cannot_be_written_blobs_are_passed_through() {
    let scene = Scene::of(MIB).await;
    let spool = scene.service.data().join("cache/spool");
    fs::remove_dir_all(&spool).unwrap();
    fs::write(&spool, "not a folder").unwrap();
    assert_eq!([scene.pull().await, scene.pull().await], ["miss", "miss"]);
    assert_eq!((scene.downloads(), scene.stored()), (2, None));
    assert!(unstored(&scene.service, "store_failed").await >= 2);

    fs::remove_file(&spool).unwrap();
    fs::create_dir(&spool).unwrap();
    assert_eq!(scene.pull().await, "miss");
    scene.downloaded().await;
    assert_eq!(scene.pull().await, "hit");
}

#[actix_rt::test]
async fn a_stored_file_that_cannot_be_opened_is_fetched_again() {
    let mut scene = Scene::of(MIB).await;
    assert_eq!(scene.pull().await, "miss");
    scene.downloaded().await;
    let path = scene.stored().unwrap();
    scene.service.kill_and_restart();
    fs::remove_file(&path).unwrap();
    symlink(&path, &path).unwrap();
    scene.client = scene.service.log_in_with(&scene.token).await;
    assert_eq!(scene.pull().await, "miss");
    scene.downloaded().await;
    assert_eq!((scene.pull().await.as_str(), scene.downloads()), ("hit", 2));

    // The obstacle cannot be replaced either.
    scene.service.kill_and_restart();
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    fs::write(path.join("file"), "").unwrap();
    scene.client = scene.service.log_in_with(&scene.token).await;
    for _ in 0..2 {
        assert_eq!(scene.pull().await, "miss");
        scene.downloaded().await;
    }
}

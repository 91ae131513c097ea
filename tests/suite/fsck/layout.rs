//! Folders that a newer version has written.

use super::*;

#[actix_rt::test]
async fn folders_of_a_newer_version_are_refused_by_everything_that_would_use_them() {
    let mut scene = Scene::start().await;
    let (config, data) = (scene.service.config().to_owned(), scene.service.data());
    for (path, way_out) in
        [(data.join("layout"), "restore the copy"), (scene.cache().join("cache.layout"), "storage.cache_dir")]
    {
        let present = fs::read_to_string(&path).unwrap();
        assert!(present.starts_with("1 dependency-proxy "), "{present}");
        fs::write(&path, "2 dependency-proxy 9.8.7\n").unwrap();
        let before = snapshot(&data);
        let refusal = scene.service.restart_unless_refused().unwrap_err();
        let run = scene.fsck(&["--repair"]);
        assert_eq!(run.code, 4);
        let check = Command::new(env!("CARGO_BIN_EXE_dependency-proxy"))
            .args(["serve", "--check", "--config", config.to_str().unwrap()])
            .output()
            .unwrap();
        assert_eq!(check.status.code(), Some(4));
        for said in [refusal, run.error, String::from_utf8(check.stderr).unwrap()] {
            for part in ["layout 2", "dependency-proxy 9.8.7", way_out, "Start the newer version again"] {
                assert!(said.contains(part), "{part} is not in: {said}");
            }
        }
        assert!(before == snapshot(&data), "nothing is changed");
        fs::write(&path, present).unwrap();
    }
    // Folders of a version without these files.
    fs::remove_file(data.join("layout")).unwrap();
    fs::remove_file(scene.cache().join("cache.layout")).unwrap();
    scene.fsck(&[]).assert_clean("without the files");
    let client = scene.restart().await;
    scene.pull(&client, 1).await;
    assert!(data.join("layout").exists() && scene.cache().join("cache.layout").exists());
}

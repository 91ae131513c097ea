//! A repair that is killed, and run again.

use super::*;
use crate::crash::Chances;

/// Number of blobs that are broken.
const BROKEN: u64 = 40;

#[actix_rt::test]
async fn whenever_a_repair_is_killed_the_next_one_completes_it() {
    let mut scene = broken().await;
    let mut chances = Chances::announced("a killed repair");
    let config = scene.service.config().to_str().unwrap().to_owned();
    // Copies of databases are made here.
    let temporary = tempfile::tempdir().unwrap();
    let repair = || {
        let mut repair = command(&["--config", &config, "--repair"]);
        repair.env("TMPDIR", temporary.path());
        repair
    };
    for round in 0..6 {
        scene.reset();
        kill_until_complete(repair, &mut chances);
        let last = Run::of(repair().output().unwrap());
        let copies = fs::read_dir(temporary.path()).unwrap().count();
        assert_eq!(copies, 0, "round {round}: the copies of killed processes are removed");
        assert_eq!(last.code, 0, "round {round}: {:#}", last.json);
        scene.fsck(&[]).assert_clean(&format!("round {round}"));
        let kept = files(&scene.cache().join("quarantine"));
        let blobs = kept.iter().filter(|path| path.components().any(|part| part.as_os_str() == "blobs")).count();
        assert_eq!(blobs as u64, BROKEN, "each broken blob is kept once");
    }
    let client = scene.restart().await;
    scene.hub.reset_counts();
    for tag in 1..=3 {
        scene.pull(&client, tag).await;
    }
    assert_eq!(scene.hub.requests().of(Kind::BlobDownload) as u64, BROKEN);
}

/// Returns a stopped service with three images: the blobs of the second and the manifest of the third are broken, a
/// file of links has a wrong line, and there is no index.
async fn broken() -> Scene {
    let layers: Vec<Layer> = (0..BROKEN).map(|seed| Layer::random(4_000, 100 + seed)).collect();
    let images: Vec<Image> = vec![
        Image::single(&[Layer::random(100_000, 1)]),
        Image::single(&layers),
        Image::single(&[Layer::random(9, 9)]),
    ];
    let scenario = images.iter().zip(1..).fold(Scenario::new().settings(FRESH), |scenario, (image, tag)| {
        scenario.image("library/app", &tag.to_string(), image)
    });
    let Started { hub, service, token, client, .. } = scenario.start().await;
    let (kept, earlier) = (service.data().with_extension("kept"), service.data().with_extension("earlier"));
    let mut scene = Scene { hub, service, token, images, kept, earlier };
    for tag in 1..=3 {
        scene.pull(&client, tag).await;
    }
    assert!(scene.service.stop().success());
    for layer in &layers {
        flip(&content(&scene.cache(), "blobs", layer.digest()));
    }
    flip(&scene.manifest(3));
    let links = scene.small_file("links", "proven");
    fs::write(&links, fs::read_to_string(&links).unwrap() + "garbage\n").unwrap();
    fs::remove_dir_all(scene.service.data().join("index")).unwrap();
    copy(&scene.service.data(), &scene.kept);
    scene
}

/// Kills repairs, each after a longer time, until one ends before.
fn kill_until_complete(repair: impl Fn() -> Command, chances: &mut Chances) {
    for attempt in 0..20 {
        let mut child =
            repair().stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(chances.moment(200 * (attempt + 1)));
        if child.try_wait().unwrap().is_some() {
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

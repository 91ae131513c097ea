//! What goes from the bucket and the index by itself.

use super::*;

#[actix_rt::test]
async fn what_a_tag_stood_for_goes_once_nobody_reads_it_and_what_it_stands_for_stays() {
    let mut scene = Scene::of(2).await;
    scene.pull(0).await;
    scene.uploaded(3).await;
    scene.tag_moves().await;
    // They record what was read when they stop, and one of them looks for what was not some seconds after its start.
    for replica in &mut scene.fleet.replicas {
        replica.service.stop();
    }
    let database = &scene.fleet.database;
    let links = database.query("SELECT count(*) FROM link");
    database.query("UPDATE earlier SET moved_at = now() - interval '25 hours'");
    database.query("UPDATE object SET read_at = now() - interval '49 hours'");
    scene.fleet.replicas.iter_mut().for_each(|replica| replica.service.restart());
    let database = &scene.fleet.database;
    eventually("the earlier digest is forgotten", async || database.query("SELECT count(*) FROM earlier") == "0").await;
    let left: u64 = database.query("SELECT count(*) FROM link").parse().unwrap();
    assert_eq!(left, links.parse::<u64>().unwrap() - 3, "the manifest, the configuration and the layer of before");
    let current = "SELECT count(*) FROM image JOIN link ON link.digest = image.digest WHERE image.reference = '1'";
    assert_eq!(database.query(current), "1");
    for replica in 0..2 {
        assert!(!scene.fleet.service(replica).log().contains("damaged"), "replica {replica}");
    }
}

#[actix_rt::test]
async fn content_without_a_link_and_more_than_the_limit_goes_from_the_bucket() {
    let scene = Scene::with(2, "bucket_max_bytes = \"5MiB\"").await;
    scene.pull(0).await;
    scene.uploaded(3).await;
    let database = &scene.fleet.database;
    database.query("UPDATE object SET stored_at = now() - interval '11 minutes'");
    let doomed = async || database.query("SELECT count(*) FROM object WHERE doomed_at IS NOT NULL") == "1";
    eventually("the layer, which is larger than the limit, is doomed", doomed).await;
    // Ten minutes later its object is deleted, and the row after it.
    database.query("UPDATE object SET doomed_at = now() - interval '11 minutes' WHERE doomed_at IS NOT NULL");
    scene.uploaded(2).await;
    // What no group has a link to goes as well.
    database.query("DELETE FROM link; UPDATE object SET stored_at = now() - interval '2 hours'");
    let doomed = async || database.query("SELECT count(*) FROM object WHERE doomed_at IS NOT NULL") == "2";
    eventually("all is doomed", doomed).await;
    assert_eq!(database.query("SELECT count(*) FROM job"), "1");
}

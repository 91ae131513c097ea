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

#[actix_rt::test]
async fn what_a_tag_stood_for_that_upstream_has_removed_goes_once_nobody_reads_it() {
    let mut scene = Scene::with(2, "[cache]\ntag_freshness = \"0s\"\nstale_while_revalidate = 0").await;
    scene.pull(0).await;
    scene.uploaded(3).await;
    scene.fleet.hub.delete_tag("library/app", "1");
    let client = scene.client(0).await;
    eventually("the tag is gone", async || client.manifest("team", "app", "1").await.status == 404).await;
    let database = &scene.fleet.database;
    let is_noted = async || database.query("SELECT count(*) FROM earlier") == "1";
    eventually("what it stood for is known", is_noted).await;
    assert_eq!(database.query("SELECT count(*) FROM image"), "0");
    for replica in &mut scene.fleet.replicas {
        replica.service.stop();
    }
    let database = &scene.fleet.database;
    database.query("UPDATE earlier SET moved_at = now() - interval '25 hours'");
    database.query("UPDATE object SET read_at = now() - interval '49 hours'");
    scene.fleet.replicas.iter_mut().for_each(|replica| replica.service.restart());
    let database = &scene.fleet.database;
    eventually("it is forgotten", async || database.query("SELECT count(*) FROM link") == "0").await;
}

#[actix_rt::test]
async fn an_image_that_is_pinned_while_the_old_ones_go_stays() {
    let mut scene = Scene::of(1).await;
    scene.pull(0).await;
    scene.uploaded(3).await;
    let days = json!({"dependency_proxy_unpulled_days": 5});
    assert_eq!(scene.fleet.service(0).api("PUT", "/groups/team", days).await.status, 200);
    scene.fleet.replicas[0].service.stop();
    scene.fleet.database.query("UPDATE image SET pulled_at = now() - interval '10 days'");
    scene.fleet.replicas[0].service.restart();
    // Ten seconds after the start the old images are looked for, which then wait for the turn behind the pin.
    sleep(Duration::from_millis(8_500)).await;
    let turn = scene.fleet.database.take_content_turn();
    let service = scene.fleet.service(0);
    let path = format!("{IMAGES}/app:1");
    let pin = service.api("PUT", &path, json!({"pinned": true}));
    let wait = async {
        sleep(Duration::from_millis(2_500)).await;
        drop(turn);
    };
    let (pinned, ()) = futures::join!(pin, wait);
    assert_eq!(pinned.status, 200, "{}", pinned.text());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.fleet.database.query("SELECT count(*) FROM image WHERE pinned"), "1");
}

/// Restarts all replicas, and waits until what they have stored was compared with the bucket.
async fn restart_all(scene: &mut Scene) {
    for replica in &mut scene.fleet.replicas {
        replica.service.stop();
        replica.service.restart();
    }
    sleep(Duration::from_secs(4)).await;
}

#[actix_rt::test]
async fn what_the_bucket_evicted_comes_back_when_it_is_read_a_day_later_and_not_when_a_replica_starts() {
    let mut scene = Scene::with(2, "bucket_max_bytes = \"5MiB\"").await;
    scene.pull(0).await;
    scene.pull(1).await;
    scene.uploaded(3).await;
    scene.fleet.database.query("UPDATE object SET stored_at = now() - interval '11 minutes'");
    let doomed = "SELECT count(*) FROM object WHERE doomed_at IS NOT NULL";
    eventually("the layer goes", async || scene.fleet.database.query(doomed) == "1").await;
    restart_all(&mut scene).await;
    assert_eq!(scene.fleet.database.query(doomed), "1", "it stays doomed");
    let old = "UPDATE object SET doomed_at = now() - interval '11 minutes' WHERE doomed_at IS NOT NULL";
    scene.fleet.database.query(old);
    scene.uploaded(2).await;
    restart_all(&mut scene).await;
    // Also not when it is read while it has just gone.
    scene.pull(0).await;
    sleep(Duration::from_secs(7)).await;
    scene.uploaded(2).await;
    assert_eq!(scene.fleet.database.query("SELECT count(*) FROM evicted"), "1");
    scene.fleet.database.query("UPDATE evicted SET at = now() - interval '25 hours'");
    scene.pull(1).await;
    let back = "SELECT count(*) FROM object WHERE size > 5000000 AND doomed_at IS NULL AND digest NOT IN (SELECT digest FROM evicted)";
    eventually("the layer is back", async || scene.fleet.database.query(back) == "1").await;
}

#[actix_rt::test]
async fn a_start_uploads_what_groups_have_links_to_with_the_time_of_its_last_read() {
    let mut scene = Scene::of(1).await;
    scene.pull(0).await;
    scene.uploaded(3).await;
    scene.fleet.replicas[0].service.stop();
    let layer = scene.layer.digest().trim_start_matches("sha256:").to_owned();
    scene.fleet.database.query("DELETE FROM object");
    scene.fleet.database.query(&format!("DELETE FROM link WHERE digest = '\\x{layer}'"));
    // As if the machine had been off for a time.
    sleep(Duration::from_secs(3)).await;
    scene.fleet.replicas[0].service.restart();
    scene.uploaded(2).await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(scene.fleet.database.query("SELECT count(*) FROM object"), "2", "nobody has a link to the layer");
    let read_before = "SELECT bool_and(read_at < stored_at - interval '2 seconds') FROM object";
    assert_eq!(scene.fleet.database.query(read_before), "t");
}

#[actix_rt::test]
async fn what_comes_back_while_it_is_doomed_keeps_the_time_of_its_last_read() {
    let mut scene = Scene::of(2).await;
    scene.pull(0).await;
    scene.uploaded(3).await;
    scene.fleet.replicas[0].service.stop();
    // The replica that has read it does not know that it went: a release before did not record it.
    scene.fleet.database.query("UPDATE object SET doomed_at = now(), read_at = now() + interval '1 hour'");
    scene.fleet.database.query("DELETE FROM evicted");
    scene.fleet.replicas[0].service.restart();
    let back = "SELECT count(*) FROM object WHERE doomed_at IS NULL AND read_at > now() + interval '50 minutes'";
    eventually("all are back", async || scene.fleet.database.query(back) == "3").await;
}

#[actix_rt::test]
async fn a_link_that_no_image_names_goes_once_nobody_reads_it_and_what_an_image_names_stays() {
    let mut scene = Scene::of(2).await;
    scene.pull(0).await;
    scene.uploaded(3).await;
    for replica in &mut scene.fleet.replicas {
        replica.service.stop();
    }
    let database = &scene.fleet.database;
    let links = database.query("SELECT count(*) FROM link");
    // As if two layers had arrived after their images were removed: nobody has read the first for days.
    for (digest, days) in [("aa", 3), ("bb", 1)] {
        let digest = format!("decode(repeat('{digest}', 32), 'hex')");
        let time = format!("now() - interval '{days} days'");
        database.query(&format!("INSERT INTO link SELECT {digest}, min(group_id), min(origin), 5 FROM link"));
        let object = "INSERT INTO object (digest, name, size, stored_at, read_at) VALUES";
        database.query(&format!("{object} ({digest}, 'blobs/{days}', 5, {time}, {time})"));
    }
    database.query("UPDATE object SET read_at = now() - interval '3 days', stored_at = read_at WHERE size > 5");
    scene.fleet.replicas.iter_mut().for_each(|replica| replica.service.restart());
    let database = &scene.fleet.database;
    let first = "SELECT count(*) FROM link WHERE digest = decode(repeat('aa', 32), 'hex')";
    eventually("the link of the first layer goes", async || database.query(first) == "0").await;
    let left: u64 = database.query("SELECT count(*) FROM link").parse().unwrap();
    assert_eq!(left, links.parse::<u64>().unwrap() + 1, "what the image names, and what was read yesterday");
}

//! Outages of the engines and of replicas while content is pulled.

use super::*;

#[actix_rt::test]
async fn what_is_pulled_while_the_bucket_is_away_is_uploaded_when_it_is_back() {
    let scene = Scene::of(2).await;
    for replica in &scene.fleet.replicas {
        replica.to_bucket.set(Mode::Refuse);
        replica.to_bucket.cut();
    }
    scene.pull(0).await;
    scene.pull(1).await;
    assert_eq!(scene.fleet.database.query("SELECT count(*) FROM object"), "0");
    scene.fleet.replicas.iter().for_each(|replica| replica.to_bucket.set(Mode::Pass));
    scene.uploaded(3).await;
}

#[actix_rt::test]
async fn what_is_pulled_while_the_database_is_away_is_shared_when_it_is_back() {
    let scene = Scene::of(2).await;
    scene.pull(1).await;
    scene.fleet.replicas[0].lose_database(Mode::Refuse);
    sleep(crate::fleet::BOUND).await;
    scene.fleet.hub.push_image("library/late", "1", &scene.image);
    let client = scene.client(0).await;
    assert_eq!(client.manifest("team", "late", "1").await.status, 200);
    assert_eq!(scene.fleet.database.query("SELECT count(*) FROM image"), "1");
    scene.fleet.replicas[0].to_database.set(Mode::Pass);
    eventually("the image is shared", async || scene.fleet.database.query("SELECT count(*) FROM image") == "2").await;
    eventually("the other replica lists it", async || tags(scene.fleet.service(1)).await.len() == 2).await;
}

#[actix_rt::test]
async fn kills_of_replicas_leave_no_wrong_byte_and_no_name_of_an_object_that_is_not_there() {
    const IMAGES: u64 = 12;
    let mut scene = Scene::of(3).await;
    let images: Vec<Image> = (0..IMAGES).map(|seed| Image::single(&[Layer::random(60_000, 100 + seed)])).collect();
    for (number, image) in images.iter().enumerate() {
        scene.fleet.hub.push_image("library/many", &number.to_string(), image);
    }
    for round in 0..6 {
        let mut pulls = Vec::new();
        for replica in 0..3 {
            let client = scene.client(replica).await;
            for (number, image) in images.iter().enumerate() {
                let (client, image) = (client.clone(), image.clone());
                pulls.push(actix_rt::spawn(async move {
                    let base = "/v2/team/dependency_proxy/containers/many";
                    client.try_get(&format!("{base}/manifests/{number}")).await?;
                    let layer = &image.layers()[0];
                    let blob = client.try_get(&format!("{base}/blobs/{}", layer.digest())).await?;
                    assert!(blob.cut || blob.status != 200 || blob.body == layer.bytes(), "other bytes");
                    Some(())
                }));
            }
        }
        sleep(Duration::from_millis(40 * (round + 1))).await;
        scene.fleet.replicas[round as usize % 3].service.kill_and_restart();
        for pull in pulls {
            pull.await.unwrap();
        }
    }
    // Each is pulled once more at each replica, so that the fleet knows what killed replicas did not share.
    for replica in 0..3 {
        let client = scene.client(replica).await;
        for (number, image) in images.iter().enumerate() {
            assert_eq!(&client.manifest("team", "many", &number.to_string()).await.body, image.bytes());
            for blob in image.blobs() {
                assert!(client.blob("team", "many", blob.digest()).await.body == blob.bytes());
            }
        }
    }
    scene.uploaded(3 * IMAGES as usize).await;
    // A fourth replica with nothing of its own has all of it, without upstream: each name has its object.
    scene.upstream_is_down();
    scene.fleet.replicas[2].service.stop();
    std::fs::remove_dir_all(scene.fleet.service(2).data()).unwrap();
    scene.fleet.replicas[2].service.restart();
    let client = scene.client(2).await;
    for (number, image) in images.iter().enumerate() {
        let answer = client.manifest("team", "many", &number.to_string()).await;
        assert_eq!((answer.status, &answer.body), (200, image.bytes()), "image {number}");
        for blob in image.blobs() {
            assert!(client.blob("team", "many", blob.digest()).await.body == blob.bytes(), "image {number}");
        }
    }
}

#[actix_rt::test]
async fn a_replica_whose_cache_folder_was_removed_while_it_ran_takes_all_images_over_again() {
    let mut scene = Scene::of(2).await;
    let tag = |number: usize| format!("v{number}");
    for number in 0..4 {
        scene.fleet.hub.push_image("library/app", &tag(number), &scene.image);
        assert_eq!(scene.client(0).await.manifest("team", "app", &tag(number)).await.status, 200);
    }
    eventually("the other replica lists them", async || tags(scene.fleet.service(1)).await.len() == 4).await;
    std::fs::remove_dir_all(scene.fleet.service(1).data().join("cache")).unwrap();
    scene.fleet.hub.push_image("library/app", &tag(4), &scene.image);
    assert_eq!(scene.client(1).await.manifest("team", "app", &tag(4)).await.status, 200);
    let followed = scene.fleet.service(1).data().join("cache/fleet-content");
    eventually("it has written how far it is", async || followed.exists()).await;
    scene.fleet.replicas[1].service.stop();
    scene.fleet.replicas[1].service.restart();
    eventually("it lists all of them", async || tags(scene.fleet.service(1)).await.len() == 5).await;
}

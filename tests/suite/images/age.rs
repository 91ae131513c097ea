//! Removal of images that nobody has pulled for a number of days, and after one day of what no image names, by a clock
//! that the test sets.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::*;
use crate::faults::is_stored;
use crate::service::{Config, Token};

/// A service whose clock can be set.
struct Clock {
    offset: tempfile::NamedTempFile,
}

impl Clock {
    fn new() -> Self {
        let clock = Self { offset: tempfile::NamedTempFile::new().unwrap() };
        clock.set(0);
        clock
    }

    /// Sets the clock of the service to this number of hours from now. Its timers go on as before. The file is replaced
    /// as a whole, because the service reads it each time that it reads the clock.
    fn set(&self, hours: u32) {
        let mut next = tempfile::NamedTempFile::new().unwrap();
        writeln!(next, "+{hours}h").unwrap();
        next.persist(self.offset.path()).unwrap();
    }

    /// Sets the clock to this number of days from now, and by some hours more once the service has noticed the jump,
    /// after which it removes nothing for an hour.
    async fn jump(&self, service: &Service, days: u32) {
        let jumps = || service.log().matches("the clock of this machine has jumped forward").count();
        let before = jumps();
        self.set(24 * days);
        eventually("the jump is noticed", async || jumps() > before).await;
        self.set(24 * days + 2);
    }

    fn configure(&self, config: Config) -> Config {
        let config = config.variable("LD_PRELOAD", faketime().to_str().unwrap());
        let config = config.variable("FAKETIME_TIMESTAMP_FILE", self.offset.path().to_str().unwrap());
        config.variable("FAKETIME_NO_CACHE", "1").variable("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    }
}

/// Returns the library of Debian's package faketime.
fn faketime() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap().map(|folder| folder.unwrap().path());
    let libraries = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    libraries.into_iter().find(|library| Path::exists(library)).expect("the package faketime is installed by tests/run")
}

fn ninety_days(config: Config) -> Config {
    config.variable("DEPENDENCY_PROXY__STORAGE__UNPULLED_DAYS", "90")
}

async fn client(service: &Service, token: &Token) -> Client {
    service.log_in_with(token).await
}

#[actix_rt::test]
async fn what_nobody_pulls_goes_after_the_days_that_the_settings_or_the_group_say() {
    let images = ["old", "pinned", "used"].map(|tag| (tag, image(tag.len() as u64)));
    let scenario =
        images.iter().fold(Scenario::new(), |scenario, (tag, image)| scenario.image("library/app", tag, image));
    let clock = Clock::new();
    let scenario = scenario.settings(FRESH).configured(|config| ninety_days(clock.configure(config)));
    let Started { hub: _hub, service, token, .. } = scenario.start().await;
    let puller = client(&service, &token).await;
    for (tag, image) in &images {
        pull(&puller, "team", "app", tag, image).await;
    }
    let path = format!("{IMAGES}/app:pinned");
    assert_eq!(service.api("PUT", &path, json!({"pinned": true})).await.status, 200);
    let are_counted = async || field_of_all(&service, "", "pulls").await == [1, 1, 1];
    eventually("the pulls are counted", are_counted).await;

    clock.jump(&service, 85).await;
    let states = async || field_of_all(&service, "", "state").await;
    assert_eq!(states().await, ["going", "fresh", "going"]);
    assert_eq!(field_of_all(&service, "?state=going", "tag").await, ["old", "used"]);
    pull(&client(&service, &token).await, "team", "app", "used", &images[2].1).await;
    eventually("the pull is counted", async || states().await == ["going", "fresh", "fresh"]).await;

    clock.jump(&service, 100).await;
    let tags = async || field_of_all(&service, "", "tag").await;
    eventually("the image that nobody pulls goes", async || tags().await == ["pinned", "used"]).await;
    let layer = images[0].1.layers()[0].digest();
    eventually("its layer goes", async || !is_stored(&service, "blobs", layer)).await;
    assert!(images[1..].iter().all(|(_, image)| is_stored(&service, "blobs", image.layers()[0].digest())));

    let never = json!({"dependency_proxy_unpulled_days": 0});
    assert_eq!(service.api("PUT", "/groups/team", never).await.status, 200);
    clock.jump(&service, 300).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(tags().await, ["pinned", "used"], "the group keeps them");
    let ten = json!({"dependency_proxy_unpulled_days": 10});
    assert_eq!(service.api("PUT", "/groups/team", ten).await.status, 200);
    clock.jump(&service, 301).await;
    eventually("only the pinned image is left", async || tags().await == ["pinned"]).await;
}

#[actix_rt::test]
async fn a_layer_that_arrives_after_its_image_was_deleted_goes_within_days_although_no_age_is_set() {
    let (late, kept) = (Image::single(&[Layer::random(2 << 20, 1)]), image(2));
    let scenario = Scenario::new().image("library/app", "late", &late).image("library/app", "kept", &kept);
    let clock = Clock::new();
    let scenario = scenario.settings(FRESH).configured(|config| clock.configure(config));
    let Started { hub, service, client: puller, team, token } = &scenario.start().await;
    pull(puller, "team", "app", "kept", &kept).await;
    assert_eq!(puller.manifest("team", "app", "late").await.status, 200);
    hub.on(Kind::BlobDownload).hold_after(1 << 20);
    let (late_puller, digest) = (puller.clone(), late.layers()[0].digest().to_owned());
    let pulling = actix_rt::spawn(async move { late_puller.blob("team", "app", &digest).await });
    let arrives = async || list(service, "").await.iter().any(|image| image["state"] == "arriving");
    eventually("the layer arrives", arrives).await;
    assert_eq!(service.api("DELETE", &format!("{IMAGES}/app:late"), Value::Null).await.status, 204);
    removals_end(service, team).await;
    hub.release();
    assert_eq!(pulling.await.unwrap().status, 200);
    eventually("the layer is stored", async || is_stored(service, "blobs", late.layers()[0].digest())).await;
    let of_kept = kept.size() + length(&kept.blobs().collect::<Vec<_>>());
    let bytes = async || statistics(service).await["bytes"].as_u64();
    // The link is written after the file.
    eventually("it counts for the group", async || bytes().await > Some(of_kept)).await;
    // Reads are recorded every few seconds, before pulls are.
    let other = service.log_in_with(&service.deploy_token(team, "other").await).await;
    pull(&other, "team", "app", "kept", &kept).await;
    eventually("reads are recorded", async || field_of_all(service, "", "pulls").await == [2]).await;

    clock.jump(service, 2).await;
    eventually("it counts no more", async || bytes().await == Some(of_kept)).await;
    eventually("its file goes", async || !is_stored(service, "blobs", late.layers()[0].digest())).await;
    hub.reset_counts();
    pull(&client(service, token).await, "team", "app", "kept", &kept).await;
    assert_eq!(hub.requests().of(Kind::BlobDownload), 0, "what the other image names is still cached");
}

#[actix_rt::test]
async fn a_clock_that_jumps_forward_removes_no_images_before_there_was_time_to_correct_it() {
    let scenario = Scenario::new().image("library/app", "1", &image(1));
    let clock = Clock::new();
    let scenario = scenario.settings(FRESH).configured(|config| ninety_days(clock.configure(config)));
    let Started { hub: _hub, service, client, .. } = &scenario.start().await;
    pull(client, "team", "app", "1", &image(1)).await;
    clock.set(24 * 400);
    let warned = async || service.log().contains("the clock of this machine has jumped forward");
    eventually("the jump is noticed", warned).await;
    assert_eq!(field_of_all(service, "", "tag").await, ["1"]);
    clock.set(0);
    pull(client, "team", "app", "1", &image(1)).await;
    assert!(!service.log().contains("images that nobody pulls were removed"));
}

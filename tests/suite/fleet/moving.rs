//! The move of an embedded store into a fleet, and back: identities, index and content, also where the move breaks off,
//! and what is refused.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Output, Stdio};

use engines::{Bucket, Database, Front, Mode, Postgres};
use fake_registry::{FakeRegistry, Image, Layer, Listener};
use serde_json::{Value, json};

use crate::operating::metrics::metric;
use crate::service::{Config, Scenario, Service, Started, Token, eventually};

/// A store that was used without a fleet, and the engines of a fleet that is empty.
struct Scene {
    started: Started,
    image: Image,
    /// A token that was revoked before.
    revoked: Token,
    database: Database,
    prefix: String,
    to_bucket: Front,
    folder: tempfile::TempDir,
}

const IMAGES: &str = "/groups/team/dependency_proxy/images";
const ACCOUNTS: &str = "/groups/team/dependency_proxy/upstream_accounts";

impl Scene {
    async fn new() -> Self {
        Self::with_layers(&[Layer::random(9 << 20, 5)]).await
    }

    /// Pulls an image through a service without a fleet, and stops it.
    async fn with_layers(layers: &[Layer]) -> Self {
        let image = Image::single(layers);
        let scenario = Scenario::new().settings("[cache]\ntag_freshness = \"1h\"");
        let scenario = scenario
            .configured(|config| config.variable("DEPENDENCY_PROXY__SERVER__EXTERNAL_URL", "http://images.test"));
        let mut started = scenario.image("library/app", "1", &image).start().await;
        started.service.user("alice", "alice-has-a-password").await;
        let revoked = started.service.deploy_token(&started.team, "revoked").await;
        super::identities::revoke(&started.service, started.team.id, &revoked).await;
        pull(&started.service, &started.token, &image).await;
        let pinned = started.service.api("PUT", &format!("{IMAGES}/app:1"), json!({"pinned": true})).await;
        assert!(pinned.status < 300, "{}", pinned.text());
        let account = json!({"identity": "robot", "secret": "a-password-at-the-hub"});
        started.hub.add_account("robot", "a-password-at-the-hub", &[]);
        let set = started.service.api("PUT", &format!("{ACCOUNTS}/docker.io"), account).await;
        assert_eq!(set.status, 200, "{}", set.text());
        // With the account the image is another one: this is what is cached of it.
        pull(&started.service, &started.token, &image).await;
        assert!(started.service.stop().success());
        let bucket = Bucket::shared();
        Self {
            image,
            revoked,
            database: Postgres::shared().database(),
            prefix: bucket.prefix(),
            to_bucket: Front::start(bucket.address()),
            folder: tempfile::tempdir().unwrap(),
            started,
        }
    }

    /// Returns the section of a replica of the fleet.
    fn section(&self) -> String {
        let port = engines::free_port();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let engines = (self.database.url(), self.to_bucket.address(), self.prefix.as_str());
        super::section(engines, (port, address), &super::secret_in(self.folder.path()), super::BOUND)
    }

    /// Starts another replica, with a folder of its own.
    fn other(&self) -> Service {
        let config = Config::docker_hub(&self.started.hub).and(&self.section()).and("[cache]\ntag_freshness = \"1h\"");
        config.variable("DEPENDENCY_PROXY__SERVER__EXTERNAL_URL", "http://images.test").start()
    }

    fn upstream_is_down(&self) {
        for listener in [Listener::Registry, Listener::Realm, Listener::Storage] {
            self.started.hub.down(listener);
        }
    }

    fn service(&self) -> &Service {
        &self.started.service
    }
}

/// Pulls the image, and checks its bytes.
async fn pull(service: &Service, token: &Token, image: &Image) {
    let client = service.log_in_with(token).await;
    let answer = client.manifest("team", "app", "1").await;
    assert_eq!((answer.status, &answer.body), (200, image.bytes()), "{}", answer.text());
    for (digest, bytes) in image.blobs().map(|blob| (blob.digest(), blob.bytes())) {
        let answer = client.blob("team", "app", digest).await;
        assert_eq!((answer.status, answer.body == bytes), (200, true), "{}", answer.body.len());
    }
}

fn command(service: &Service, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dependency-proxy"));
    command.args(arguments).arg("--config").arg(service.config());
    command.env("DEPENDENCY_PROXY__SERVER__EXTERNAL_URL", "http://images.test").stdin(Stdio::null());
    command
}

fn share(service: &Service) -> Output {
    command(service, &["admin", "share"]).output().unwrap()
}

/// Moves the store, and returns the result.
fn shared(service: &Service) -> Value {
    let output = command(service, &["admin", "share", "--json"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn err(output: &Output) -> String {
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn images(service: &Service) -> Value {
    service.api("GET", IMAGES, Value::Null).await.json()
}

#[actix_rt::test]
async fn an_embedded_store_becomes_that_of_a_fleet() {
    let mut scene = Scene::new().await;
    scene.service().add_settings(&scene.section());
    let done = shared(scene.service());
    let moved = &done["moved"];
    assert_eq!((&moved["groups"], &done["uploaded"], &done["damaged"]), (&json!(2), &json!(3), &json!([])), "{done}");
    assert_eq!(moved["accounts_to_enter"], json!([]), "{done}");
    assert!(scene.service().data().join("identity.journal").exists(), "it stays as it is");
    scene.started.service.restart();
    let log = scene.service().log();
    assert!(!log.contains("belongs to no state of the fleet's index") && !log.contains("restored"), "{log}");
    // The folder is that of a replica which has everything.
    scene.upstream_is_down();
    pull(scene.service(), &scene.started.token, &scene.image).await;
    assert_eq!(metric(scene.service(), "dependency_proxy_fleet_downloads_total{role=\"bucket\"}").await, 0);
    // And another one gets it from the bucket.
    let other = scene.other();
    pull(&other, &scene.started.token, &scene.image).await;
    assert!(metric(&other, "dependency_proxy_fleet_downloads_total{role=\"bucket\"}").await >= 2);
    eventually("it lists the image", async || images(&other).await[0]["pinned"] == true).await;
    for service in [scene.service(), &other] {
        assert_eq!(service.token("alice", "alice-has-a-password", "").await.status, 200);
        let revoked = service.stranger().with_basic(&scene.revoked.username, &scene.revoked.secret);
        assert_eq!(revoked.get("/v2/").await.status, 403);
        let accounts = service.api("GET", ACCOUNTS, Value::Null).await.json();
        assert_eq!((&accounts[0]["identity"], &accounts[0]["readable"]), (&json!("robot"), &json!(true)), "{accounts}");
        let events = service.api("GET", "/audit_events?per_page=100", Value::Null).await.text();
        assert!(events.contains("deploy_token_destroyed") || events.contains("revoked"), "{events}");
    }
    // Numbers go on where they were, and the change log is in order: a replica follows it without the database.
    let next = other.group("next").await;
    assert!(next.id > scene.started.team.id);
    super::identities::revoke(&other, scene.started.team.id, &scene.started.token).await;
    let refused = scene.service().stranger().with_basic(&scene.started.token.username, &scene.started.token.secret);
    assert_eq!(refused.get("/v2/").await.status, 403);
    let logged = "SELECT version = logged AND begun AND version > (SELECT version FROM moved_in) FROM fence";
    eventually("the log has it", async || scene.database.query(logged) == "t").await;
}

#[actix_rt::test]
async fn an_image_that_was_moved_goes_with_what_its_tag_stood_for_before() {
    let mut scene = Scene::new().await;
    scene.started.service.restart();
    let next = Image::single(&[Layer::random(1_000, 6)]);
    scene.started.hub.push_image("library/app", "1", &next);
    let refreshed = scene.service().api("POST", "/groups/team/dependency_proxy/refresh/app:1", json!({})).await;
    assert!(refreshed.status < 300, "{}", refreshed.text());
    pull(scene.service(), &scene.started.token, &next).await;
    assert!(scene.started.service.stop().success());
    scene.service().add_settings(&scene.section());
    shared(scene.service());
    assert_eq!(scene.database.query("SELECT count(*) FROM earlier"), "1");
    scene.started.service.restart();
    let removed = scene.service().api("DELETE", &format!("{IMAGES}/app:1"), Value::Null).await;
    assert_eq!(removed.status, 204, "{}", removed.text());
    scene.upstream_is_down();
    let client = scene.service().log_in_with(&scene.started.token).await;
    for digest in [scene.image.digest(), next.digest()] {
        assert_eq!(client.manifest("team", "app", digest).await.status, 503, "{digest}");
    }
}

#[actix_rt::test]
async fn a_move_that_breaks_off_goes_on() {
    let layers: Vec<Layer> = (0..4).map(|seed| Layer::random(3 << 20, 20 + seed)).collect();
    let mut scene = Scene::with_layers(&layers).await;
    scene.service().add_settings(&scene.section());
    scene.to_bucket.set(Mode::Slow(2 << 20));
    let mut first =
        command(scene.service(), &["admin", "share"]).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let some = "SELECT count(*) > 0 AND count(*) < 6 FROM object";
    let exists = "SELECT to_regclass('object') IS NOT NULL";
    eventually("a part is uploaded", async || scene.database.query(exists) == "t" && scene.database.query(some) == "t")
        .await;
    first.kill().unwrap();
    first.wait().unwrap();
    let before: u64 = scene.database.query("SELECT count(*) FROM object").parse().unwrap();
    let names = scene.database.query("SELECT name FROM object ORDER BY name");
    let records = scene.database.query("SELECT count(*) FROM record");
    scene.to_bucket.set(Mode::Pass);
    let done = shared(scene.service());
    assert_eq!((&done["moved"], &done["changed_since"]), (&Value::Null, &json!(false)), "{done}");
    assert_eq!((&done["there_before"], &done["uploaded"]), (&json!(before), &json!(6 - before)), "{done}");
    let now = scene.database.query("SELECT name FROM object ORDER BY name");
    assert!(names.lines().all(|name| now.contains(name)), "an object was uploaded again");
    assert_eq!(scene.database.query("SELECT count(*) FROM record"), records);
    scene.started.service.restart();
    scene.upstream_is_down();
    pull(scene.service(), &scene.started.token, &scene.image).await;
    pull(&scene.other(), &scene.started.token, &scene.image).await;
}

#[actix_rt::test]
async fn a_store_is_moved_into_no_fleet_that_has_identities_and_from_no_folder_that_is_in_use() {
    let mut scene = Scene::new().await;
    let config = scene.service().config().display().to_string();
    assert!(err(&share(scene.service())).contains("has no section [fleet]"), "{config}");
    let before = scene.service().config().to_owned();
    let embedded = std::fs::read_to_string(&before).unwrap();
    scene.started.service.restart();
    scene.service().add_settings(&scene.section());
    assert!(err(&share(scene.service())).contains("is in use"));
    assert!(scene.started.service.stop().success());
    // Another fleet is there.
    let mut other = scene.other();
    let (right, wrong) = (scene.folder.path().join("secret"), super::secrets::other_secret(scene.folder.path()));
    let [right, wrong] = [right, wrong].map(|path| format!("\"{}\"", path.display()));
    scene.service().replace_setting(&right, &wrong);
    super::secrets::assert_refused(&err(&share(scene.service())));
    scene.service().replace_setting(&wrong, &right);
    let refused = err(&share(scene.service()));
    assert!(
        refused.contains("has users, groups or tokens that are not from") && refused.contains("empty database"),
        "{refused}"
    );
    assert!(other.stop().success());
    assert_eq!(scene.database.query("SELECT count(*) FROM moved_in"), "0");
    // Nothing has changed: it goes on without a fleet.
    std::fs::write(&before, embedded).unwrap();
    scene.started.service.restart();
    pull(scene.service(), &scene.started.token, &scene.image).await;
}

#[actix_rt::test]
async fn the_identities_of_a_fleet_are_backed_up_and_restored_into_a_folder_and_into_an_empty_database() {
    let mut scene = Scene::new().await;
    scene.service().add_settings(&scene.section());
    shared(scene.service());
    scene.started.service.restart();
    let late = scene.service().deploy_token(&scene.started.team, "late").await;
    // Beside the running replica.
    let file = scene.folder.path().join("backup.json");
    for verb in [&["backup"][..], &["admin", "export"]] {
        let mut backup = command(scene.service(), verb);
        let output = backup.arg("--output").arg(&file).arg("--with-keys").output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("\"account_keys\"") && text.contains("event/"), "{text}");
    // Into the database of the fleet itself: refused.
    let restore = |config: &Service| {
        let mut restore = command(config, &["restore"]);
        restore.arg("--from").arg(&file).output().unwrap()
    };
    let refused = err(&restore(scene.service()));
    assert!(refused.contains("pg_restore"), "{refused}");
    // Into a folder without a fleet.
    let hub = FakeRegistry::start();
    let mut embedded = Config::docker_hub(&hub).start();
    assert!(embedded.stop().success());
    embedded.forget_everything();
    let output = restore(&embedded);
    assert!(output.status.success(), "{output:?}");
    embedded.restart();
    assert_eq!(embedded.stranger().with_basic(&late.username, &late.secret).get("/v2/").await.status, 200);
    assert_eq!(embedded.api("GET", ACCOUNTS, Value::Null).await.json()[0]["readable"], true);
    // Into an empty database.
    assert!(scene.started.service.stop().success());
    let (was, database) = (scene.database.url(), Postgres::shared().database());
    scene.service().replace_setting(&was, &database.url());
    let output = restore(scene.service());
    assert!(output.status.success(), "{output:?}");
    scene.started.service.restart();
    let client = scene.service().stranger().with_basic(&late.username, &late.secret);
    assert_eq!(client.get("/v2/").await.status, 200);
    assert_eq!(scene.service().api("GET", ACCOUNTS, Value::Null).await.json()[0]["readable"], true);
    // Its numbers are not given again.
    assert!(scene.service().group("next").await.id > 1000);
}

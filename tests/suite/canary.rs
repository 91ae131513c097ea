//! Known secrets of every kind are sent through every path, including errors, with the most verbose log.
//! Then all stored and printed data is searched for them. They may be in the files that are documented to
//! contain them, and nowhere else.

mod needles;
mod paths;

use std::fs;

use fake_registry::{FakeRegistry, Image, Kind, Layer, Listener};
use needles::Needles;
use paths::Walk;

use crate::service::{ADMIN_TOKEN, Config, Service};

/// Files of the data folder that contain a secret, as documented in the README. The operator's own
/// settings are elsewhere.
const KEY_FILES: [&str; 4] = ["account-keys", "first-login", "initial-admin-password", "jwt-keys"];

const UPSTREAM_PASSWORD: &str = "up$tream+canary/pass word&so=on";

#[actix_rt::test]
async fn no_secret_is_kept_logged_measured_or_told() {
    let hub = FakeRegistry::start();
    hub.add_account("robot", UPSTREAM_PASSWORD, &["acme/private"]);
    let image = Image::single(&[Layer::random(50_000, 1)]);
    for tag in ["latest", "other", "third"] {
        hub.push_image("acme/private", tag, &image);
    }
    let mut service = Config::docker_hub(&hub)
        .and(&format!("username = \"robot\"\npassword = \"{UPSTREAM_PASSWORD}\"\ngroups = [\"team\"]"))
        .and("header_timeout = \"1s\"\n[cache]\ntag_freshness = 0\nnegative_ttl = 0\n[log]\nfilter = \"trace\"")
        .start();
    let mut walk = Walk::new(&service);
    walk.identities(&service).await;
    walk.logins(&service).await;
    walk.pulls(&service, &image).await;
    misbehaviours(&hub, &mut walk, &service, &image).await;
    walk.endings(&service).await;
    let metrics = metrics(&service).await;
    let needles = needles(&hub, &walk, &service);
    service.stop();

    assert!(service.log().contains("\"TRACE\"") || service.log().contains("\"DEBUG\""), "the log is talkative");
    let mut found = needles.found_in("the log", service.log().as_bytes());
    found.extend(needles.found_in("the metrics", metrics.as_bytes()));
    for refusal in &walk.refusals {
        found.extend(needles.found_in(&refusal.request, refusal.answer.as_bytes()));
    }
    let mut searched = 0;
    for path in crate::crash::files(&service.data()) {
        if !KEY_FILES.iter().any(|name| path == service.data().join(name)) {
            found.extend(needles.found_in(&path.display().to_string(), &fs::read(&path).unwrap()));
            searched += 1;
        }
    }
    assert!(found.is_empty(), "secrets are where they must not be:\n{}", found.join("\n"));
    assert!(searched > 5 && walk.refusals.len() > 30, "{searched} files, {} refusals", walk.refusals.len());
    // Proof that the search works: it finds secrets where they are known to be.
    for (kind, name) in [("the first login", "first-login"), ("a signing key", "jwt-keys")] {
        let found = needles.found_in(name, &fs::read(service.data().join(name)).unwrap());
        assert!(found.iter().any(|line| line.contains(kind)), "{kind} is not found in {name}");
    }
}

/// Lets upstream fail in every way, with secrets in its responses.
async fn misbehaviours(hub: &FakeRegistry, walk: &mut Walk, service: &Service, image: &Image) {
    let signed = "http://10.11.12.13/blob?X-Amz-Signature=canary-of-a-signed-address";
    let rules: [(&str, &dyn Fn()); 12] = [
        ("token 401", &|| drop(hub.on(Kind::Token).status(401))),
        ("token 500", &|| drop(hub.on(Kind::Token).status(500))),
        ("token html", &|| drop(hub.on(Kind::Token).html())),
        ("token without token", &|| drop(hub.on(Kind::Token).json(serde_json::json!({"access": 1})))),
        ("manifest 500", &|| drop(hub.on(Kind::ManifestGet).status(500))),
        ("manifest 403", &|| drop(hub.on(Kind::ManifestGet).status(403))),
        ("manifest html", &|| drop(hub.on(Kind::ManifestGet).html())),
        ("manifest late", &|| drop(hub.on(Kind::ManifestHead).delay(std::time::Duration::from_secs(2)))),
        ("manifest elsewhere", &|| drop(hub.on(Kind::ManifestGet).redirect_to(signed))),
        ("blob elsewhere", &|| drop(hub.on(Kind::BlobRedirect).redirect_to(signed))),
        ("blob cut", &|| drop(hub.on(Kind::BlobDownload).times(2).cut_after(1000))),
        ("blob wrong", &|| drop(hub.on(Kind::BlobDownload).flip_byte(500))),
    ];
    for (name, rule) in rules {
        rule();
        hub.expire_tokens();
        walk.fresh_pull(service, name, image).await;
        hub.behave();
    }
    for listener in [Listener::Storage, Listener::Realm, Listener::Registry] {
        hub.expire_tokens();
        hub.down(listener);
        walk.fresh_pull(service, &format!("{listener:?} down"), image).await;
        hub.up(listener);
    }
    hub.realm_at("http://127.0.0.1:9/token?key=canary-of-a-realm-address");
    walk.fresh_pull(service, "realm on another site", image).await;
    walk.secret("a signed address", "canary-of-a-signed-address");
    walk.secret("a realm's address", "canary-of-a-realm-address");
}

async fn metrics(service: &Service) -> String {
    let address = format!("http://{}/metrics", service.metrics);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    http.get(address).send().await.unwrap().text().await.unwrap()
}

fn needles(hub: &FakeRegistry, walk: &Walk, service: &Service) -> Needles {
    let mut needles = Needles::default();
    needles.add("the administrator's token", ADMIN_TOKEN.as_bytes());
    needles.add("the administrator's password", b"a-root-password");
    needles.add("an upstream's password", UPSTREAM_PASSWORD.as_bytes());
    for (kind, secret) in &walk.secrets {
        needles.add(kind, secret.as_bytes());
    }
    let issued = hub.issued_tokens();
    assert!(!issued.is_empty(), "upstream issued no token");
    issued.iter().for_each(|token| needles.add("an upstream's bearer token", token.as_bytes()));
    let signed: Vec<String> = hub
        .requests()
        .iter()
        .filter(|request| request.listener == Listener::Storage)
        .flat_map(|request| request.parameter("sig").map(str::to_owned))
        .filter(|value| value.len() >= needles::MIN_SECRET_BYTES)
        .collect();
    assert!(!signed.is_empty(), "no signed address was used");
    signed.iter().for_each(|value| needles.add("a signed address's query", value.as_bytes()));
    let first_login = fs::read_to_string(service.data().join("first-login")).unwrap();
    needles.add("the first login", first_login.trim_end().as_bytes());
    let keys: serde_json::Value = serde_json::from_slice(&fs::read(service.data().join("jwt-keys")).unwrap()).unwrap();
    for key in keys["keys"].as_array().unwrap() {
        needles.add("a signing key", &hex::decode(key["secret"].as_str().unwrap()).unwrap());
    }
    let keys = fs::read(service.data().join("account-keys")).unwrap();
    let keys: serde_json::Value = serde_json::from_slice(&keys).unwrap();
    let key = keys["keys"][0]["secret"].as_str().unwrap();
    needles.add("a key of accounts", &hex::decode(key).unwrap());
    needles
}

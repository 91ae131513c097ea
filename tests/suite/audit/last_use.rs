//! The addresses from which a token was last used: in the API and in the subcommand, and after a restart.

use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};

use crate::service::{ADMIN_TOKEN, Config, Service};

async fn token(service: &Service, path: &str) -> Value {
    service.api("GET", path, Value::Null).await.json()
}

#[actix_rt::test]
async fn a_token_shows_the_addresses_that_it_was_last_used_from_and_when_also_after_a_restart() {
    let mut service = Config::upstream_at("docker.io", "http://127.0.0.1:9")
        .variable("DEPENDENCY_PROXY__SERVER__TRUSTED_PROXIES", "127.0.0.1")
        .start();
    let team = service.group("team").await;
    let deploy = service.deploy_token(&team, "ci").await;
    let path = format!("/groups/{}/deploy_tokens/{}", team.id, deploy.id);
    assert_eq!(token(&service, &path).await["last_used_ips"], json!([]));
    for address in ["192.0.2.1", "192.0.2.2", "192.0.2.1", "2001:db8::7"] {
        let client = service.stranger().with_basic(&deploy.username, &deploy.secret);
        let request = client.request(Method::GET, "/jwt/auth?service=dependency_proxy");
        assert_eq!(client.send(request.header("x-forwarded-for", address)).await.status, 200);
    }
    let used = token(&service, &path).await;
    let addresses: Vec<&str> = used["last_used_ips"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(addresses.len(), 3, "{used}");
    assert_eq!(addresses[0], "2001:db8::7");
    let latest = &used["last_used_from"][0];
    assert_eq!((&latest["ip_address"], &latest["last_used_at"]), (&json!("2001:db8::7"), &used["last_used_at"]));

    assert!(service.stop().success());
    service.restart();
    assert_eq!(token(&service, &path).await["last_used_ips"], used["last_used_ips"]);
    assert_eq!(token(&service, &format!("/tokens/{}", deploy.id)).await["last_used_ips"], used["last_used_ips"]);
    let own = token(&service, "/personal_access_tokens/self").await;
    assert_eq!(own["last_used_ips"], json!(["127.0.0.1"]));
    let mut verb = Command::new(env!("CARGO_BIN_EXE_dependency-proxy"));
    verb.args(["token", "list", "--group", "team", "--url", &service.url()]).env("DEPENDENCY_PROXY_TOKEN", ADMIN_TOKEN);
    let listed = String::from_utf8(verb.output().unwrap().stdout).unwrap();
    assert!(listed.contains("LAST_USED_IPS") && listed.contains("192.0.2.2"), "{listed}");
}

#[actix_rt::test]
async fn no_address_is_kept_where_the_settings_say_so() {
    let service = Config::upstream_at("docker.io", "http://127.0.0.1:9").and("[audit]\naddress_days = 0").start();
    let own = token(&service, "/personal_access_tokens/self").await;
    assert!(own["last_used_at"].is_string());
    assert_eq!((&own["last_used_ips"], &own["last_used_from"]), (&json!([]), &json!([])));
}

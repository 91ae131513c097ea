//! Records of who pulled an image: what is counted, that it survives, who sees it, and what remains of deleted tokens.

use std::process::Command;

use fake_registry::{Image, Layer};
use reqwest::Method;
use serde_json::{Value, json};

use super::{call, events};
use crate::operating::metrics::metric;
use crate::service::{ADMIN_TOKEN, Client, Scenario, Service, Started, eventually};

const PULLS: &str = "/groups/team/dependency_proxy/pulls/app:1";

fn scenario() -> Scenario {
    let image = Image::single(&[Layer::random(3_000, 1)]);
    let scenario = Scenario::new().image("library/app", "1", &image).settings("[cache]\ntag_freshness = \"1h\"");
    scenario.configured(|config| config.variable("DEPENDENCY_PROXY__SERVER__TRUSTED_PROXIES", "127.0.0.1"))
}

async fn pull_from(client: &Client, address: &str) {
    let request = client.request(Method::GET, "/v2/team/dependency_proxy/containers/app/manifests/1");
    assert_eq!(client.send(request.header("x-forwarded-for", address)).await.status, 200);
}

/// Returns the records of the image once they have this number of pulls in all.
async fn records_with(service: &Service, pulls: u64) -> Vec<Value> {
    let mut records = Vec::new();
    eventually("all pulls are recorded", async || {
        let answer = service.api("GET", PULLS, Value::Null).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        records = answer.json().as_array().unwrap().clone();
        pulls_of(&records) >= pulls
    })
    .await;
    records
}

fn pulls_of(records: &[Value]) -> u64 {
    records.iter().map(|record| record["pulls"].as_u64().unwrap()).sum()
}

fn record_of<'a>(records: &'a [Value], token: &str) -> &'a Value {
    records.iter().find(|record| record["token_name"] == token).unwrap()
}

#[actix_rt::test]
async fn pulls_are_counted_by_credential_with_their_addresses_and_survive_a_stop_and_a_kill() {
    let Started { hub: _hub, mut service, client, team, token } = scenario().start().await;
    let other = service.deploy_token(&team, "other").await;
    let of_other = service.log_in_with(&other).await;
    for number in [1, 2, 3, 1, 4, 5, 6, 7, 7] {
        pull_from(&client, &format!("192.0.2.{number}")).await;
    }
    pull_from(&of_other, "2001:db8::1").await;
    assert!(service.stop().success());
    service.restart();
    let records = records_with(&service, 8).await;
    assert_eq!(records.len(), 2, "{records:?}");
    let of_ci = record_of(&records, "ci");
    // Repeated pulls from an address within a minute are one.
    assert!([7, 8, 9].contains(&of_ci["pulls"].as_u64().unwrap()), "{of_ci}");
    assert_eq!((&of_ci["username"], &of_ci["token_id"]), (&json!(token.username), &json!(token.id)));
    let addresses = &of_ci["ip_addresses"];
    assert_eq!(addresses.as_array().unwrap().len(), 5, "{addresses}");
    assert_eq!(addresses[0], "192.0.2.7", "{addresses}");
    assert_eq!(of_ci["more_ip_addresses"], true);
    assert_eq!(of_ci["credential_active"], true);
    let today = of_ci["last_pulled_at"].as_str().unwrap().split('T').next().unwrap().to_owned();
    assert_eq!(of_ci["date"], today.as_str());
    let of_other = record_of(&records, "other");
    assert_eq!((&of_other["ip_addresses"], &of_other["pulls"]), (&json!(["2001:db8::1"]), &json!(1)));

    let before = pulls_of(&records);
    // What the second run of the periodic work writes comes after the end of the first.
    for (number, token) in [(1, &other), (2, &token)] {
        pull_from(&service.log_in_with(token).await, "192.0.2.9").await;
        records_with(&service, before + number).await;
    }
    service.kill_and_restart();
    let after = records_with(&service, before + 1).await;
    assert_eq!(record_of(&after, "other")["ip_addresses"], json!(["192.0.2.9", "2001:db8::1"]));
}

#[actix_rt::test]
async fn owners_and_administrators_see_who_pulled_and_other_members_do_not() {
    let Started { hub: _hub, service, client, team, token } = scenario().start().await;
    pull_from(&client, "192.0.2.1").await;
    records_with(&service, 1).await;
    let before = events(&service, "").await.len();
    for (name, level, status) in [("owner", 50, 200), ("developer", 30, 403), ("stranger", 0, 404)] {
        let user = service.user(name, "a-long-enough-password").await;
        if level > 0 {
            service.add_member(&team, &user, level).await;
        }
        let personal = service.personal_token(&user, "api", &["read_api"]).await;
        let answer = call(&service, &personal.secret, Method::GET, PULLS, Value::Null).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
    }
    let missing = service.api("GET", "/groups/team/dependency_proxy/pulls/nothing:1", Value::Null).await;
    assert_eq!(missing.status, 404, "{}", missing.text());

    let path = format!("/groups/{}/deploy_tokens/{}", team.id, token.id);
    assert_eq!(service.api("DELETE", &path, Value::Null).await.status, 204);
    let image = "/groups/team/dependency_proxy/images/app:1";
    assert_eq!(service.api("DELETE", image, Value::Null).await.status, 204);
    let records = records_with(&service, 1).await;
    assert_eq!((&records[0]["token_name"], &records[0]["credential_active"]), (&json!("ci"), &json!(false)));
    let mut verb = Command::new(env!("CARGO_BIN_EXE_dependency-proxy"));
    verb.args(["cache", "pulls", "--group", "team", "app:1", "--url", &service.url()]);
    let output = verb.env("DEPENDENCY_PROXY_TOKEN", ADMIN_TOKEN).output().unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    assert!(listed.contains("ci (no longer valid)") && listed.contains("192.0.2.1"), "{listed}");
    assert!(!events(&service, "").await.iter().skip(before).any(|event| event["event_name"] == "image_pulled"));
}

#[actix_rt::test]
async fn beyond_the_maximum_size_pulls_are_counted_as_not_recorded() {
    let images: Vec<Image> = (0..40).map(|seed| Image::single(&[Layer::random(10, seed)])).collect();
    let mut scenario = scenario().settings("[audit]\nmax_pull_bytes = \"256KiB\"");
    for (number, image) in images.iter().enumerate() {
        scenario = scenario.image("library/many", &number.to_string(), image);
    }
    let Started { hub: _hub, service, team, .. } = scenario.start().await;
    for number in 0..40 {
        let token = service.deploy_token(&team, &format!("{number}-{}", "x".repeat(200))).await;
        let client = service.log_in_with(&token).await;
        for tag in 0..40 {
            assert_eq!(client.manifest("team", "many", &tag.to_string()).await.status, 200);
        }
    }
    let dropped = "dependency_proxy_pull_records_dropped_total";
    eventually("pulls are left out", async || metric(&service, dropped).await > 0).await;
}

//! The description of the API, against the API itself: schemathesis makes requests from it, also wrong ones, and finds
//! no server error and no response that the description does not allow.

use std::collections::BTreeMap;
use std::process::Command;

use fake_registry::{FakeRegistry, Image, Layer};
use serde_json::{Value, json};

use crate::documents::{API, blocks, run_as_administrator};
use crate::service::{ADMIN_TOKEN, Config, Service, python};

/// Operations that cannot succeed here: they need the password, a caller that is a group access token, or an account
/// that no request before has changed.
const REFUSED_ALWAYS: [&str; 4] = [
    "PUT /user",
    "POST /user/personal_access_tokens",
    "POST /groups/{id}/access_tokens/self/rotate",
    "POST /groups/{id}/dependency_proxy/refresh/{image}",
];

/// Operations that would end the token with which the others are called.
const LEFT_OUT: [&str; 2] = ["DELETE /personal_access_tokens/self", "POST /personal_access_tokens/self/rotate"];

type Results = BTreeMap<String, BTreeMap<String, u64>>;

#[actix_rt::test]
async fn no_response_is_other_than_described() {
    let hub = FakeRegistry::start();
    hub.push_image("library/alpine", "3.22", &Image::single(&[Layer::random(1_000, 1)]));
    let service = Config::docker_hub(&hub).start();
    let objects = fill(&service).await;
    let results = run(&service, &objects);

    let described = described(&service).await;
    assert!(described.len() > 80, "{described:?}");
    let never: Vec<_> = described
        .iter()
        .filter(|operation| ![&REFUSED_ALWAYS[..], &LEFT_OUT].concat().contains(&operation.as_str()))
        .map(|operation| (operation, results.get(operation)))
        .filter(|(_, statuses)| statuses.is_none_or(|statuses| statuses.keys().all(|status| !status.starts_with('2'))))
        .collect();
    assert!(never.is_empty(), "these never succeeded: {never:?}");
    let calls: u64 = results.values().flat_map(BTreeMap::values).sum();
    assert!(calls > 2_000, "{calls} calls");
}

#[test]
fn the_calls_of_the_document_answer() {
    let service = Config::docker_hub(&FakeRegistry::start()).start();
    let [calls] = blocks(API, "Calling it", "sh")[..] else { panic!("one block") };
    let calls = calls.replace("http://localhost:5050", &service.url()).replace("curl -s", "curl -sf -w '\\n'");
    let said = String::from_utf8(run_as_administrator(&service, &calls).stdout).unwrap();
    let answers: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 2, "{said}");
    assert!(answers[0].is_array() && answers[1]["openapi"] == "3.1.1", "{said}");
}

/// Runs schemathesis, which has to find nothing. Returns the number of responses by operation and status.
fn run(service: &Service, objects: &Value) -> Results {
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join("results.json");
    let output = Command::new(python())
        .args(["-m", "schemathesis.cli", "run", "--seed", "1", "--max-examples", "8", "--workers", "1"])
        .args(["--phases", "examples,coverage,fuzzing", "--continue-on-failure", "--suppress-health-check", "all"])
        .args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance"])
        .args(["--checks", "response_headers_conformance,response_schema_conformance,allow_header_conformance"])
        .args(LEFT_OUT.iter().flat_map(|name| ["--exclude-name", name]))
        .args(["--header", &format!("PRIVATE-TOKEN: {ADMIN_TOKEN}"), "--no-color", "--warnings", "off"])
        .arg(format!("{}/api/openapi.json", service.url()))
        .current_dir(folder.path())
        .env("SCHEMATHESIS_HOOKS", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/api_hooks.py"))
        .env("API_OBJECTS", objects.to_string())
        .env("API_RESULTS", &results)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&std::fs::read(&results).unwrap()).unwrap()
}

/// Returns the names of the described operations.
async fn described(service: &Service) -> Vec<String> {
    let document = service.stranger().get("/api/openapi.json").await.json();
    let mut names = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        names.extend(operations.as_object().unwrap().keys().map(|method| format!("{} {path}", method.to_uppercase())));
    }
    names
}

/// Makes objects of every kind: some that stay, and some that a request may delete.
async fn fill(service: &Service) -> Value {
    let mut kept = Vec::new();
    for number in 0..2 {
        kept.push(set(service, &format!("kept{number}")).await);
    }
    let mut spare = Vec::new();
    for number in 0..12 {
        spare.push(set(service, &format!("spare{number}")).await);
    }
    let token = service.api("GET", "/personal_access_tokens/self", Value::Null).await.json();
    let [user, token] = ["user_id", "id"].map(|name| token[name].to_string());
    json!({"own": {"user": user, "token": token}, "kept": kept, "spare": spare})
}

/// Makes a group with a member, tokens, a cached image, a job and an account. Returns their numbers and names by the
/// segments of paths and the parameters that they stand for.
async fn set(service: &Service, name: &str) -> Value {
    let group = service.group(name).await;
    let user = service.user(name, "a long password").await;
    service.add_member(&group, &user, 30).await;
    let deploy = service.deploy_token(&group, "ci").await;
    let bot = service.group_token(&group, "bot", &["api"]).await;
    let personal = service.personal_token(&user, "laptop", &["api"]).await;
    let pulled = service.log_in_with(&deploy).await.manifest(name, "alpine", "3.22").await;
    assert_eq!(pulled.status, 200);
    let proxy = format!("/groups/{}/dependency_proxy", group.id);
    let account = json!({"identity": "robot", "secret": "secret"});
    let account = service.api("PUT", &format!("{proxy}/upstream_accounts/docker.io"), account).await;
    let job = service.api("POST", &format!("{proxy}/warm"), json!({"images": ["alpine:3.22"]})).await;
    let events = service.api("GET", &format!("/groups/{}/audit_events", group.id), Value::Null).await;
    assert_eq!((account.status, job.status, events.status), (200, 202, 200));
    json!({
        "groups": group.id, "users": user.id, "user_id": user.id,
        "personal_access_tokens": personal.id, "tokens": personal.id,
        "deploy_tokens": deploy.id, "access_tokens": bot.id,
        "image": "alpine:3.22", "upstream": "docker.io", "job": job.json()["id"],
        "event": events.json()[0]["id"], "audit_events": events.json()[0]["id"],
    })
}

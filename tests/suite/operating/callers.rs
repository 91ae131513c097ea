//! Log lines of pulls and changes: who, with which token, what, and from where.

use reqwest::Method;
use serde_json::{Value, json};

use super::refusals::Scene;

#[actix_rt::test]
async fn every_line_about_a_token_has_its_number_also_by_an_old_secret_and_after_its_user_is_deleted() {
    let scene = Scene::start();
    let service = &scene.service;
    let (team, deploy, client) = scene.puller("runner").await;
    let carla = service.user("carla", "a long passphrase").await;
    service.add_member(&team, &carla, 50).await;
    let personal = service.personal_token(&carla, "laptop", &["api"]).await;
    let robot = service.group_token(&team, "robot", &["read_registry", "write_registry"]).await;
    assert_eq!(client.manifest("team", "alpine", "latest").await.status, 200);
    let by_personal = service.log_in("carla", &personal.secret).await;
    assert_eq!(by_personal.manifest("team", "alpine", "latest").await.status, 200);
    let api = service.stranger();
    let change =
        api.request(Method::PUT, &format!("/api/v4/groups/{}", team.id)).header("PRIVATE-TOKEN", &personal.secret);
    assert_eq!(api.send(change.json(&json!({"name": "Team One"}))).await.status, 200);
    let lines = service.log_lines();
    let pulls: Vec<&Value> =
        lines.iter().filter(|line| line["message"] == "manifest").map(|line| &line["token"]).collect();
    assert_eq!(pulls, [&json!(deploy.id), &json!(personal.id)]);
    let changed = lines.iter().find(|line| line["what"] == "group changed").unwrap();
    assert_eq!(changed["token"], json!(personal.id), "{changed}");

    let path = format!("/groups/{}/access_tokens/{}", team.id, robot.id);
    let end = json!({"overlap": "1s", "expires_at": "2099-01-01"});
    assert_eq!(service.api("POST", &format!("{path}/rotate"), end).await.status, 200);
    let rotation = service.log_lines().into_iter().find(|line| line["what"] == "token rotated").unwrap();
    assert!(rotation["changes"].as_str().unwrap().contains("old_secret_expires_at \"20"), "{rotation}");
    assert_eq!(service.api("POST", &format!("{path}/rotate"), json!({"overlap": "1h"})).await.status, 200);
    let replaced = service.token("robot", &robot.secret, "").await;
    let bot = scene.line(&replaced)["principal_name"].as_str().unwrap().to_owned();
    assert!(bot.starts_with("group_"), "{bot}");
    scene.has(&replaced, &json!({"reason": "expired", "token": robot.id, "credential_name": "robot"}));
    assert_eq!(service.api("DELETE", &path, Value::Null).await.status, 204);
    let revoked = service.token("robot", &robot.secret, "").await;
    scene.has(&revoked, &json!({"reason": "revoked", "token": robot.id, "principal_name": bot}));

    let denied = by_personal.manifest("other", "alpine", "latest").await;
    scene.has(&denied, &json!({"reason": "no_access", "token": personal.id}));
    let delete = format!("/users/{}?hard_delete=true", carla.id);
    assert_eq!(service.api("DELETE", &delete, Value::Null).await.status, 204);
    let deleted = service.token("carla", &personal.secret, "").await;
    scene.has(&deleted, &json!({"reason": "revoked", "token": personal.id, "principal_name": "carla"}));
    let wrong = service.token("root", "a wrong passphrase", "").await;
    scene.has(&wrong, &json!({"principal_name": "root", "token": null}));
}

#[actix_rt::test]
async fn a_change_that_changes_nothing_leaves_no_line_and_a_rotation_names_the_new_token_once() {
    let scene = Scene::start();
    let service = &scene.service;
    let dora = service.user("dora", "a long passphrase").await;
    let parent = service.personal_token(&dora, "parent", &["api"]).await;
    let call = async |secret: &str, method: Method, path: &str, body: Value| {
        let client = service.stranger();
        let request = client.request(method, &format!("/api/v4{path}")).header("PRIVATE-TOKEN", secret);
        client.send(request.json(&body)).await
    };
    let path = format!("/users/{}/personal_access_tokens", dora.id);
    let child = call(&parent.secret, Method::POST, &path, json!({"name": "child", "scopes": ["api"]})).await.json();
    let secret = child["token"].as_str().unwrap();
    let rotated = call(secret, Method::POST, "/personal_access_tokens/self/rotate", json!({})).await;
    assert_eq!(rotated.status, 200, "{}", rotated.text());
    assert_eq!(service.api("PUT", &format!("/users/{}", dora.id), json!({"name": "dora"})).await.status, 200);
    let lines = service.log_lines();
    let rotation = lines.iter().find(|line| line["what"] == "token rotated").unwrap();
    let changes = rotation["changes"].as_str().unwrap();
    assert_eq!(changes.matches("created (").count(), 1, "{changes}");
    assert!(changes.contains(&format!("made_by {}", parent.id)), "{changes}");
    assert!(!lines.iter().any(|line| line["what"] == "user changed"), "nothing was changed");
}

#[actix_rt::test]
async fn a_pull_and_a_change_say_who_what_and_from_where() {
    let scene = Scene::start();
    let service = &scene.service;
    let (team, token, client) = scene.puller("runner").await;
    assert_eq!(client.manifest("team", "alpine", "latest").await.status, 200);
    let change = json!({"name": "Team One", "visibility": "public"});
    assert_eq!(service.api("PUT", &format!("/groups/{}", team.id), change).await.status, 200);
    assert_eq!(service.api("DELETE", &format!("/groups/{}", team.id), json!({})).await.status, 202);
    let lines = service.log_lines();
    let pull = lines.iter().find(|line| line["message"] == "manifest").unwrap();
    assert_eq!((&pull["credential_name"], &pull["address"]), (&json!("runner"), &json!("127.0.0.1")));
    assert_eq!(pull["principal_name"], token.username);
    let change = |what: &str| lines.iter().find(|line| line["what"] == what).unwrap_or_else(|| panic!("{what}"));
    for what in ["group created", "deploy token created", "group changed", "group deleted"] {
        let line = change(what);
        assert_eq!((&line["principal_name"], &line["address"]), (&json!("root"), &json!("127.0.0.1")), "{line}");
        assert!(line["changes"].as_str().unwrap().contains("\"team\""), "{line}");
    }
    let changed = change("group changed")["changes"].as_str().unwrap();
    assert!(
        changed.contains("visibility \"private\" -> \"public\"") && changed.contains("-> \"Team One\""),
        "{changed}"
    );
    let deleted = change("group deleted")["changes"].as_str().unwrap();
    assert!(deleted.contains("deploy token") && deleted.contains("\"runner\""), "{deleted}");
    assert!(!scene.service.log().contains(&token.secret));
}

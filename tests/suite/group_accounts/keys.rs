//! The passwords of accounts at rest: encrypted, durable, and in no file but those with their keys.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::*;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dependency-proxy")).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn text_of(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Returns the files below a folder that contain this text.
fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if fs::read(&path).unwrap().windows(text.len()).any(|bytes| bytes == text.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[actix_rt::test]
async fn an_account_outlives_a_kill_and_its_password_is_in_no_file_log_or_event() {
    let mut scene = Scene::with_accounts("[cache]\ntag_freshness = 0\n[log]\nfilter = \"trace\"").await;
    scene.restart();
    is(&scene.a.manifest("a", "private/a", "1").await, &scene.image_a, "miss");
    scene.remove("b").await;
    scene.restart();
    assert_eq!(scene.list("b").await, json!([]));
    assert_eq!(scene.b.manifest("b", "private/b", "1").await.status, 403);
    let events = scene.service.api("GET", "/audit_events?per_page=100", Value::Null).await.text();
    for name in ["group_upstream_account_created", "group_upstream_account_destroyed"] {
        assert!(events.contains(name), "{events}");
    }
    assert!(events.contains("robot-a") && !events.contains(PASSWORD), "{events}");
    let metrics = reqwest::get(format!("http://{}/metrics", scene.service.metrics)).await.unwrap();
    assert!(!metrics.text().await.unwrap().contains(PASSWORD));
    assert!(!scene.service.log().contains(PASSWORD), "the log has it");
    assert!(scene.service.stop().success());
    let folder = scene.service.data();
    assert_eq!(files_with(&folder, PASSWORD), Vec::<String>::new());
    assert!(!files_with(&folder, "robot-a").is_empty(), "the search works");
    let mode = fs::metadata(folder.join("account-keys")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[actix_rt::test]
async fn with_another_key_what_is_cached_is_served_and_the_accounts_are_named() {
    let mut scene = Scene::with_accounts(REVALIDATE).await;
    is(&scene.a.manifest("a", "private/a", "1").await, &scene.image_a, "miss");
    assert!(scene.service.stop().success());
    let file = scene.service.data().join("account-keys");
    let key = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    scene.service.restart();
    scene.reconnect();
    let answer = scene.a.manifest("a", "private/a", "1").await;
    is(&answer, &scene.image_a, "stale");
    assert!(answer.header("x-upstream-error").contains("cannot be decrypted"), "{answer:?}");
    let refused = scene.b.manifest("b", "private/b", "1").await;
    let sentence =
        "The password of account 'robot-b' at docker.io cannot be decrypted: an owner of its group can set it again";
    assert!(refused.status == 503 && refused.message().starts_with(sentence), "{}", refused.text());
    let listed = scene.list("a").await;
    assert_eq!((&listed[0]["readable"], &listed[0]["identity"]), (&json!(false), &json!("robot-a")), "{listed}");
    let log = scene.service.log();
    for group in ["a", "b"] {
        let sentence = format!(
            "The password of the account 'robot-{group}' of the group {group} at docker.io cannot be decrypted"
        );
        assert!(log.contains(&sentence), "{log}");
    }
    scene.set("b", "robot-b", OTHER).await;
    is(&scene.b.manifest("b", "private/b", "1").await, &scene.image_b, "miss");
    assert!(scene.service.stop().success());
    fs::write(&file, key).unwrap();
    scene.service.restart();
    scene.reconnect();
    is(&scene.a.manifest("a", "private/a", "1").await, &scene.image_a, "revalidated");
    assert_eq!(scene.list("b").await[0]["readable"], false, "its key was the other one");
}

#[actix_rt::test]
async fn a_key_file_that_others_can_read_and_one_that_is_none_keep_the_service_from_starting() {
    let mut scene = Scene::start(LONG_TTL).await;
    assert!(scene.service.stop().success());
    let file = scene.service.data().join("account-keys");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let refused = scene.service.refusal();
    assert!(refused.contains("other users have access to it (mode 0640): run chmod 600"), "{refused}");
    let checked = run(&["serve", "--check", "--config", scene.service.config().to_str().unwrap()]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned() + &String::from_utf8_lossy(&checked.stdout);
    assert!(!checked.status.success() && said.contains("auth.account_key_file"), "{said}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&file, "{}").unwrap();
    let refused = scene.service.refusal();
    assert!(refused.contains("the keys of groups' accounts") && refused.contains("not a key set"), "{refused}");
}

#[actix_rt::test]
async fn the_key_is_rotated_and_the_old_one_goes_once_nothing_needs_it() {
    let mut scene = Scene::with_accounts(REVALIDATE).await;
    is(&scene.a.manifest("a", "private/a", "1").await, &scene.image_a, "miss");
    let data = scene.service.data();
    let rotate = || text_of(&run(&["admin", "rotate-account-key", "--data", data.to_str().unwrap()]));
    let keys = || {
        let file: Value = serde_json::from_slice(&fs::read(data.join("account-keys")).unwrap()).unwrap();
        file["keys"].as_array().unwrap().clone()
    };
    let old = keys();
    assert!(rotate().contains("before 1 older key"), "the service still uses it");
    assert!(rotate().contains("before 2 older keys") && keys().contains(&old[0]), "needed before the next start");
    scene.restart();
    assert!(scene.service.log().contains("the passwords of groups' accounts are encrypted with the first key"));
    scene.hub.expire_tokens();
    is(&scene.a.manifest("a", "private/a", "1").await, &scene.image_a, "revalidated");
    rotate();
    assert!(!keys().contains(&old[0]) && keys().len() == 2, "{:?}", keys().len());
    scene.restart();
    scene.hub.expire_tokens();
    is(&scene.a.manifest("a", "private/a", "1").await, &scene.image_a, "revalidated");
    is(&scene.b.manifest("b", "private/b", "1").await, &scene.image_b, "miss");
}

#[actix_rt::test]
async fn a_restore_has_the_accounts_and_says_which_must_be_entered_again() {
    let mut scene = Scene::with_accounts(REVALIDATE).await;
    let backup = |name: &str, options: &[&str]| {
        let file = scene.service.data().with_extension(name);
        let config =
            ["backup", "--config", scene.service.config().to_str().unwrap(), "--output", file.to_str().unwrap()];
        assert!(run(&[&config[..], options].concat()).status.success());
        file
    };
    let (without, with) = (backup("without", &[]), backup("with", &["--with-keys"]));
    let key = fs::read_to_string(scene.service.data().join("account-keys")).unwrap();
    let key: Value = serde_json::from_str(&key).unwrap();
    let secret = key["keys"][0]["secret"].as_str().unwrap();
    for (file, has_key) in [(&without, false), (&with, true)] {
        let text = fs::read_to_string(file).unwrap();
        assert!(!text.contains(PASSWORD) && text.contains(secret) == has_key, "{}", file.display());
    }
    assert!(scene.service.stop().success());
    for (file, has_key) in [(&without, false), (&with, true)] {
        scene.service.forget_everything();
        let (data, file) = (scene.service.data(), file.to_str().unwrap());
        let said = text_of(&run(&["restore", "--data", data.to_str().unwrap(), "--from", file, "--yes"]));
        assert_eq!(said.contains("the account 'robot-a' of the group a at docker.io"), !has_key, "{said}");
        assert_eq!(said.contains("The keys of groups' accounts in the backup are in"), has_key, "{said}");
        scene.service.restart();
        assert_eq!(scene.list("a").await[0]["readable"], has_key);
        assert!(scene.service.stop().success());
    }
    scene.service.restart();
    let token = scene.service.api(
        "POST",
        "/groups/a/deploy_tokens",
        json!({
            "name": "new", "username": "new", "scopes": ["read_registry", "write_registry"]
        }),
    );
    let token = token.await.json();
    let client = scene.service.log_in("new", token["token"].as_str().unwrap()).await;
    is(&client.manifest("a", "private/a", "1").await, &scene.image_a, "miss");
}

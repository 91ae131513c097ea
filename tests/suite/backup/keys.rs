//! Signing keys: login tokens after a restore with and without keys, and after a rotation.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use fake_registry::{Image, Layer};

use super::{backup, err, out, restore, restored, run};
use crate::crash::Chances;
use crate::service::{Client, Scenario, Service, Started};

const NEW: &str = "A new signing key is in ";
const KEPT: &str = "The signing keys of the backup are in ";

async fn scene() -> Started {
    let image = Image::single(&[Layer::random(10_000, 1)]);
    Scenario::new().image("library/alpine", "1", &image).start().await
}

/// Returns the status of a pull with the login token that this client has.
async fn pull(service: &Service, client: &Client) -> u16 {
    let client = service.stranger().with_authorization(client.authorization());
    client.manifest("team", "alpine", "1").await.status
}

fn keys(service: &Service) -> String {
    fs::read_to_string(service.data().join("jwt-keys")).unwrap()
}

#[actix_rt::test]
async fn login_tokens_of_before_are_accepted_after_a_restore_with_keys_only() {
    for (options, said, status) in [(&[][..], NEW, 401), (&["--with-keys"], KEPT, 200)] {
        let Started { hub: _hub, mut service, token, client, .. } = scene().await;
        let file = backup(&service, "backup", options);
        for empty in [false, true] {
            assert!(service.stop().success());
            if empty {
                service.forget_everything();
            }
            let text = restored(&service.data(), &file, &["--yes"]);
            assert!(text.contains(said), "{text}");
            assert!(!service.data().join("jwt-keys.replaced").exists(), "the old keys stay");
            service.restart();
            assert_eq!(pull(&service, &client).await, status, "{options:?}, empty: {empty}");
            let again = service.log_in_with(&token).await;
            assert_eq!(pull(&service, &again).await, 200, "a new login works");
        }
    }
}

#[actix_rt::test]
async fn a_restore_of_a_journal_makes_a_new_key_and_those_that_are_put_there_later_count() {
    let Started { hub: _hub, mut service, client, .. } = scene().await;
    assert!(service.stop().success());
    let old = keys(&service);
    let journal = service.data().with_extension("journal");
    fs::copy(service.data().join("identity.journal"), &journal).unwrap();
    let data = service.data();
    let paths = ["--data", data.to_str().unwrap(), "--from", journal.to_str().unwrap(), "--yes"];
    let output = run(["admin", "restore"].into_iter().chain(paths));
    assert!(output.status.success() && out(&output).contains(NEW), "{output:?}");
    assert_ne!(keys(&service), old);
    service.restart();
    assert_eq!(pull(&service, &client).await, 401);
    assert!(service.stop().success());
    fs::write(service.data().join("jwt-keys"), old).unwrap();
    service.restart();
    assert_eq!(pull(&service, &client).await, 200, "as on a standby that gets the keys of the first machine");
}

#[actix_rt::test]
async fn a_restore_that_is_not_confirmed_leaves_the_signing_keys_as_they_are() {
    let Started { hub: _hub, mut service, client, .. } = scene().await;
    let file = backup(&service, "backup", &[]);
    assert!(service.stop().success());
    let refused = restore(&service.data(), &file, &[]);
    assert!(refused.status.code() == Some(1) && err(&refused).contains("nothing was changed"), "{refused:?}");
    service.restart();
    assert_eq!(pull(&service, &client).await, 200);
}

#[actix_rt::test]
async fn signing_keys_outside_the_data_folder_are_replaced_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let setting = format!("[auth]\nkey_file = \"{}\"", path.display());
    let image = Image::single(&[Layer::random(10_000, 1)]);
    let scenario = Scenario::new().image("library/alpine", "1", &image).settings(&setting);
    let Started { hub: _hub, mut service, client, .. } = scenario.start().await;
    let (without, with) = (backup(&service, "without", &[]), backup(&service, "with", &["--with-keys"]));
    assert!(service.stop().success());
    let old = fs::read_to_string(&path).unwrap();
    let refused = restore(&service.data(), &without, &["--yes"]);
    assert!(err(&refused).contains("Add --key-file") && err(&refused).contains(path.to_str().unwrap()), "{refused:?}");
    assert!(refused.status.code() == Some(1) && fs::read_to_string(&path).unwrap() == old);
    let journal = service.data().with_extension("journal");
    fs::copy(service.data().join("identity.journal"), &journal).unwrap();
    let said = restored(&service.data(), &journal, &["--yes"]);
    assert!(said.contains("There were no signing keys in ") && said.contains("admin rotate-key --now"), "{said}");
    let key_file = ["--yes", "--key-file", path.to_str().unwrap()];
    restored(&service.data(), &without, &key_file);
    assert_ne!(fs::read_to_string(&path).unwrap(), old);
    service.restart();
    assert_eq!(pull(&service, &client).await, 401);
    assert!(service.stop().success());
    restored(&service.data(), &with, &key_file);
    service.restart();
    assert_eq!(pull(&service, &client).await, 200);
    assert!(!service.data().join("jwt-keys").exists());
    assert!(service.stop().success());
    let journal = service.data().join("identity.journal");
    let mut bytes = fs::read(&journal).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&journal, bytes).unwrap();
    let refused = service.refusal();
    assert!(refused.contains(&format!(" --key-file {}", path.display())), "the advice names it: {refused}");
}

#[actix_rt::test]
async fn a_rotated_key_is_valid_until_the_next_rotation_and_one_that_leaked_is_not() {
    let Started { hub: _hub, mut service, token, client, .. } = scene().await;
    let data = service.data();
    let rotate = |options: &[&str]| {
        let line = ["admin", "rotate-key", "--data", data.to_str().unwrap()];
        run(line.into_iter().chain(options.iter().copied()))
    };
    assert!(rotate(&[]).status.success(), "beside the running service");
    assert_eq!(pull(&service, &client).await, 200);
    assert!(service.stop().success());
    service.restart();
    assert_eq!(pull(&service, &client).await, 200, "the previous key verifies");
    let second = service.log_in_with(&token).await;
    assert!(rotate(&[]).status.success());
    assert!(service.stop().success());
    service.restart();
    assert_eq!((pull(&service, &client).await, pull(&service, &second).await), (401, 200));
    assert!(rotate(&["--now"]).status.success());
    assert!(service.stop().success());
    service.restart();
    assert_eq!(pull(&service, &second).await, 401);
    let third = service.log_in_with(&token).await;
    assert_eq!(pull(&service, &third).await, 200);
    assert_eq!(mode(&data.join("jwt-keys")), 0o600);
    let events =
        service.api("GET", "/audit_events?event_name=signing_key_rotated", serde_json::Value::Null).await.json();
    let detail = |name: &str| -> Vec<String> {
        let events = events.as_array().unwrap().iter();
        events.map(|event| event["details"][name].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(detail("author_name"), ["(Operator)"; 3]);
    assert_eq!(detail("target_details"), ["jwt-keys"; 3]);
    assert_eq!(detail("custom_message")[0], "signing key rotated, and the old ones removed");
    let missing = run(["admin", "rotate-key", "--data", "/nonexistent"]);
    assert!(err(&missing).contains("there are no signing keys in /nonexistent/jwt-keys"), "{missing:?}");
}

#[actix_rt::test]
async fn whenever_a_restore_is_killed_no_login_token_of_before_opens_what_lives_again() {
    let mut chances = Chances::announced("killed restores of backups");
    let Started { hub: _hub, mut service, team, token, client } = scene().await;
    let file = backup(&service, "backup", &[]);
    let path = format!("/groups/{}/deploy_tokens/{}", team.id, token.id);
    assert_eq!(service.api("DELETE", &path, serde_json::Value::Null).await.status, 204);
    assert!(service.stop().success());
    let kept = service.data().with_extension("kept");
    copy(&service.data(), &kept);
    let mut lives_again = 0;
    for round in 0..20 {
        service.forget_everything();
        copy(&kept, &service.data());
        let mut restore = Command::new(env!("CARGO_BIN_EXE_dependency-proxy"));
        restore.args(["restore", "--yes", "--data"]).arg(service.data()).arg("--from").arg(&file);
        let mut restore = restore.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(chances.moment(80));
        restore.kill().unwrap();
        restore.wait().unwrap();
        service.restart();
        assert_eq!(pull(&service, &client).await, 401, "round {round}");
        lives_again += usize::from(service.token(&token.username, &token.secret, "").await.status == 200);
        assert!(service.stop().success());
    }
    eprintln!("{lives_again} of 20 restores were complete");
    let restored = restore(&service.data(), &file, &["--yes"]);
    assert!(restored.status.success(), "{restored:?}");
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

fn mode(path: &Path) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions()) & 0o777
}

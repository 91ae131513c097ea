//! Settings in a backup: restored to a new file with which the service starts, and without secrets unless wanted.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use fake_registry::{FakeRegistry, Image, Layer};

use super::{backup, err, restore, restored, run};
use crate::service::{ADMIN_TOKEN, Config, Service};

const PASSWORDS: [&str; 2] = ["canary-of-the-first", "canary-of-the-second"];

/// Starts a service with two accounts, one of whose passwords is in a file.
fn start(hub: &FakeRegistry) -> (Service, tempfile::NamedTempFile) {
    hub.add_account("first", PASSWORDS[0], &["first/app"]);
    hub.add_account("second", PASSWORDS[1], &["second/app"]);
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::write(secret.path(), format!("{}\n", PASSWORDS[1])).unwrap();
    let accounts = format!(
        "[upstreams.\"docker.io\".accounts.first]\nusername = \"first\"\npassword = \"{}\"\nimages = [\"first/*\"]\n\
         [upstreams.\"docker.io\".accounts.second]\nusername = \"second\"\npassword_file = \"{}\"\nimages = [\"second/*\"]",
        PASSWORDS[0],
        secret.path().display()
    );
    (Config::docker_hub(hub).and(&accounts).start(), secret)
}

async fn pulls(service: &Service) -> [u16; 2] {
    let team = service.group("another").await;
    let client = service.log_in_with(&service.deploy_token(&team, "ci").await).await;
    let mut statuses = [0; 2];
    for (status, image) in statuses.iter_mut().zip(["first/app", "second/app"]) {
        *status = client.manifest("another", image, "1").await.status;
    }
    statuses
}

fn hub() -> FakeRegistry {
    let hub = FakeRegistry::start();
    for repository in ["first/app", "second/app"] {
        hub.push_image(repository, "1", &Image::single(&[Layer::random(1_000, 1)]));
    }
    hub
}

#[actix_rt::test]
async fn without_keys_the_secrets_to_enter_are_listed_and_once_they_are_there_the_service_is_as_before() {
    let hub = hub();
    let (mut service, secret) = start(&hub);
    let login = fs::read_to_string(service.data().join("first-login")).unwrap();
    let file = backup(&service, "backup", &[]);
    let text = fs::read_to_string(&file).unwrap();
    let signing = fs::read_to_string(service.data().join("jwt-keys")).unwrap();
    let signing: serde_json::Value = serde_json::from_str(&signing).unwrap();
    let secrets = [PASSWORDS[0], PASSWORDS[1], ADMIN_TOKEN, "a-root-password", login.trim_end()];
    for secret in secrets.into_iter().chain(signing["keys"][0]["secret"].as_str()) {
        assert!(!text.contains(secret), "{secret} is in the backup");
    }
    assert!(service.stop().success());
    service.forget_everything();
    let settings = service.data().with_extension("restored.toml");
    let said = restored(&service.data(), &file, &["--settings", settings.to_str().unwrap()]);
    let listed = format!(
        "These secrets are not in the backup and must be entered again:\n  \
         upstreams.\"docker.io\".accounts.first.password\n  \
         upstreams.\"docker.io\".accounts.second.password, in the file {}\n",
        secret.path().display()
    );
    assert!(said.contains(&listed), "{said}");
    assert_ne!(fs::metadata(&settings).unwrap().permissions().mode() & 0o044, 0, "the service can read it");
    let check = run(["serve", "--check", "--config", settings.to_str().unwrap()]);
    assert!(err(&check).contains("accounts.first.username: is given without password"), "{check:?}");
    let text = fs::read_to_string(&settings).unwrap();
    let hint = "# password is not in the backup: enter it, or name its file with password_file";
    assert!(text.contains(hint), "{text}");
    fs::write(service.config(), text.replace(hint, &format!("password = \"{}\"", PASSWORDS[0]))).unwrap();
    service.restart();
    assert_eq!(pulls(&service).await, [200, 200]);
}

#[actix_rt::test]
async fn with_keys_the_service_starts_with_the_restored_settings_alone() {
    let hub = hub();
    let (mut service, secret) = start(&hub);
    let file = backup(&service, "backup", &["--with-keys"]);
    assert!(service.stop().success());
    drop(secret);
    let elsewhere = service.data().with_extension("elsewhere");
    let settings = service.data().with_extension("restored.toml");
    let said = restored(&elsewhere, &file, &["--settings", settings.to_str().unwrap()]);
    assert!(!said.contains("must be entered again") && said.contains("with secrets: only you can read it"), "{said}");
    assert_eq!(fs::metadata(&settings).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!PASSWORDS.iter().any(|password| said.contains(password)), "{said}");
    fs::copy(&settings, service.config()).unwrap();
    service.forget_everything();
    service.restart();
    assert_eq!(pulls(&service).await, [200, 200]);
    assert!(elsewhere.join("lock").exists() && !service.data().exists(), "it runs on the folder that was restored");
}

#[actix_rt::test]
async fn restored_settings_overwrite_no_file_and_nothing_is_restored_then() {
    let mut service = start(&hub()).0;
    let file = backup(&service, "backup", &[]);
    assert!(service.stop().success());
    let before = fs::read_to_string(service.config()).unwrap();
    let refused = restore(&service.data(), &file, &["--yes", "--settings", service.config().to_str().unwrap()]);
    assert!(refused.status.code() == Some(1) && err(&refused).contains("File exists"), "{refused:?}");
    assert_eq!(fs::read_to_string(service.config()).unwrap(), before);
    assert!(!service.data().join("identity.replaced-1").exists(), "nothing was restored");
    let journal = service.data().join("identity.journal");
    let none = restore(&service.data(), &journal, &["--yes", "--settings", "/nonexistent/settings"]);
    assert!(none.status.code() == Some(2) && err(&none).contains("contains no settings"), "{none:?}");
    let said = restored(&service.data(), &file, &["--yes"]);
    assert!(said.contains("--settings FILE writes them to a new file"), "{said}");
}

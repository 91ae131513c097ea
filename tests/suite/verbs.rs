//! The subcommands, as the README shows them, against the running service.

mod as_json;
mod bench;
mod cache;
mod confirming;
mod finding;
mod if_missing;
mod snippet;
mod state;
mod upstream_check;
mod warm;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use fake_registry::{FakeRegistry, Image, Layer};

use crate::service::{ADMIN_TOKEN, Config, Service, eventually};

pub(crate) fn verb(service: &Service, token: &str, line: &str, input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_dependency-proxy"))
        .args(line.split_whitespace())
        .args(["--url", &service.url()])
        .env("DEPENDENCY_PROXY_TOKEN", token)
        .current_dir(service.data().parent().unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

pub(crate) fn says(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[actix_rt::test]
async fn from_the_first_password_to_a_checked_pull() {
    let hub = FakeRegistry::start();
    hub.push_image("library/alpine", "latest", &Image::single(&[Layer::random(1_000, 1)]));
    let service = Config::docker_hub(&hub).start();
    let token = says(&verb(&service, "", "login --password-stdin", "a-root-password\n"));
    let token = token.trim_end();
    says(&verb(&service, token, "group create team", ""));
    let made = says(&verb(&service, token, "token create --group team --name ci --username ci --json", ""));
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let secret = made["token"].as_str().unwrap();
    says(&verb(&service, token, "user create alice", ""));
    says(&verb(&service, token, "member add team alice", ""));
    assert!(says(&verb(&service, token, "member list team", "")).contains("alice"));
    let checked = says(&verb(&service, "", "check --group team --username ci --secret-stdin", secret));
    assert!(checked.lines().all(|line| line.starts_with("ok")), "{checked}");
}

#[actix_rt::test]
async fn a_deploy_token_is_rotated_and_extended_and_both_secrets_pull_until_it_is_revoked() {
    let hub = FakeRegistry::start();
    hub.push_image("library/alpine", "latest", &Image::single(&[Layer::random(1_000, 1)]));
    let service = Config::docker_hub(&hub).start();
    let json = |line: &str| {
        let said = says(&verb(&service, ADMIN_TOKEN, &format!("{line} --json"), ""));
        serde_json::from_str::<serde_json::Value>(&said).unwrap()
    };
    json("group create team");
    let made = json("token create --group team --name ci --username ci");
    let rotated = json(&format!("token rotate --group team {}", made["id"]));
    assert_eq!((&rotated["id"], &rotated["username"]), (&made["id"], &made["username"]));
    assert_eq!(rotated["expires_at"], made["expires_at"], "it keeps its end");
    let end = rotated["old_secret_expires_at"].as_str().unwrap();
    let shown = says(&verb(&service, ADMIN_TOKEN, &format!("token show --group team {}", made["id"]), ""));
    assert!(shown.contains(end), "{shown}");
    let listed = says(&verb(&service, ADMIN_TOKEN, "token list --group team", ""));
    assert!(listed.contains(end), "{listed}");
    let extended = json(&format!("token extend --group team {} --expires-at 2999-01-02", made["id"]));
    assert!(extended["expires_at"].as_str().unwrap().starts_with("2999-01-02"), "{extended}");
    let extend = format!("token extend --group team {}", made["id"]);
    let endless = verb(&service, ADMIN_TOKEN, &extend, "");
    assert_eq!(endless.status.code(), Some(2), "an end is needed: {endless:?}");
    assert!(json(&format!("{extend} --never"))["expires_at"].is_null());
    assert!(json(&format!("{extend} --days 9"))["expires_at"].is_string());
    let are_logged = async || {
        let lines = service.log_lines();
        let what = lines.iter().filter_map(|line| line["what"].as_str());
        let ends: Vec<_> = what.filter(|what| what.ends_with("ed") && what.contains("ten")).collect();
        ends == ["token extended", "token extended", "token shortened"]
    };
    eventually("the changes of its end are logged", are_logged).await;
    let check = |secret: &serde_json::Value| {
        let line = "check --group team --username ci --secret-stdin";
        verb(&service, "", line, secret.as_str().unwrap()).status.code()
    };
    assert_eq!((check(&made["token"]), check(&rotated["token"])), (Some(0), Some(0)));
    let refused = verb(&service, ADMIN_TOKEN, &format!("token rotate --group team {} --overlap 31d", made["id"]), "");
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("must be at most 30 days"), "{refused:?}");
    says(&verb(&service, ADMIN_TOKEN, &format!("token revoke --group team {}", made["id"]), ""));
    assert_eq!((check(&made["token"]), check(&rotated["token"])), (Some(1), Some(1)));
}

#[actix_rt::test]
async fn a_secret_that_is_brought_along_has_no_end_unless_asked_for_and_may_have_the_name_of_a_robot() {
    let hub = FakeRegistry::start();
    hub.push_image("library/alpine", "latest", &Image::single(&[Layer::random(1_000, 1)]));
    let service = Config::docker_hub(&hub).start();
    says(&verb(&service, ADMIN_TOKEN, "group create team", ""));
    let secret = "Harbor5ecret-of-a-robot\n";
    let create = "token create --group team --name fleet --secret-stdin --json --username";
    for (more, end) in [("robot$ci", ""), ("robot$project+ci --expires-at 2999-01-02", "2999-01-02")] {
        let secret = format!("{more} {secret}");
        let made = says(&verb(&service, ADMIN_TOKEN, &format!("{create} {more}"), &secret));
        let made: serde_json::Value = serde_json::from_str(&made).unwrap();
        assert!(made["expires_at"].as_str().unwrap_or_default().starts_with(end), "{made}");
        assert_eq!((made["expires_at"].is_null(), made.get("token")), (end.is_empty(), None));
        let name = made["username"].as_str().unwrap();
        says(&verb(&service, "", &format!("check --group team --username {name} --secret-stdin"), &secret));
    }
}

#[actix_rt::test]
async fn what_limits_the_life_of_a_secret_that_is_brought_along_is_said() {
    let service = Config::docker_hub(&FakeRegistry::start()).and("[limits]\ndeploy_token_days = 30").start();
    says(&verb(&service, ADMIN_TOKEN, "group create team", ""));
    let create = "token create --group team --name fleet --username fleet --secret-stdin";
    let made = verb(&service, ADMIN_TOKEN, create, "a secret from elsewhere\n");
    says(&made);
    let noted = String::from_utf8_lossy(&made.stderr).into_owned();
    assert!(noted.contains("limit the validity of deploy tokens: this one ends at"), "{noted}");
    let refused = verb(&service, ADMIN_TOKEN, &format!("{create} --days 31"), "another secret from elsewhere\n");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1));
    assert!(said.contains("must be within 30 days, the maximum lifetime of such a token here"), "{said}");
}

#[actix_rt::test]
async fn a_user_changes_the_own_password_with_the_current_one_and_without_a_token() {
    let service = Config::docker_hub(&FakeRegistry::start()).start();
    service.user("alice", "alices first password").await;
    let changed = verb(&service, "", "user password alice", "alices first password\nalices second password\n");
    assert!(says(&changed).contains("the password of alice is changed"));
    let file = service.data().with_extension("new-password");
    std::fs::write(&file, "alices third password\n").unwrap();
    let line = format!("user password alice --new-password-file {}", file.display());
    assert_eq!(verb(&service, "", &line, "alices first password\n").status.code(), Some(1), "it is the old one");
    says(&verb(&service, "", &line, "alices second password\n"));
    says(&verb(&service, "", "login --username alice --password-stdin", "alices third password\n"));
    let one = verb(&service, "", "user password alice", "alices third password\n");
    assert_eq!(one.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&one.stderr).contains("two lines"), "{one:?}");
}

#[actix_rt::test]
async fn a_new_user_gets_in_by_a_generated_password_in_a_file_for_its_maker_alone() {
    let service = Config::docker_hub(&FakeRegistry::start()).start();
    let folder = service.data().parent().unwrap().to_owned();
    let made = says(&verb(&service, ADMIN_TOKEN, "user create alice", ""));
    let file = folder.join("alice.password");
    let next = format!(
        "Next, alice logs in with: docker login {} -u alice --password-stdin < alice.password",
        service.address
    );
    assert!(made.ends_with(&format!("{next}\n")), "{made}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let password = std::fs::read_to_string(&file).unwrap();
    assert!(!made.contains(password.trim_end()), "the password is shown");
    says(&verb(&service, "", "login --username alice --password-stdin", &password));

    let made = says(&verb(&service, ADMIN_TOKEN, "user create bob --password-file of-bob --json", ""));
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let next = format!("Next, bob logs in with: docker login {} -u bob --password-stdin < of-bob", service.address);
    assert_eq!((&made["password_file"], &made["next_step"]), (&"of-bob".into(), &next.into()));
    let password = std::fs::read_to_string(folder.join("of-bob")).unwrap();
    says(&verb(&service, "", "login --username bob --password-stdin", &password));
}

#[actix_rt::test]
async fn the_file_of_a_password_overwrites_none_and_stays_only_with_its_user() {
    let service = Config::docker_hub(&FakeRegistry::start()).start();
    let folder = service.data().parent().unwrap().to_owned();
    let file = folder.join("alice.password");
    std::fs::write(&file, "somebody's").unwrap();
    let refused = verb(&service, ADMIN_TOKEN, "user create alice", "");
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("alice.password exists already"), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "somebody's");
    assert!(!says(&verb(&service, ADMIN_TOKEN, "user list", "")).contains("alice"), "no user was made");

    let taken = verb(&service, ADMIN_TOKEN, "user create root", "");
    assert_eq!((taken.status.code(), folder.join("root.password").exists()), (Some(1), false));
    let elsewhere = verb(&service, ADMIN_TOKEN, "user create ../mallory", "");
    assert_eq!(elsewhere.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&elsewhere.stderr).contains("can contain only letters"), "{elsewhere:?}");
}

#[actix_rt::test]
async fn a_new_user_has_the_password_that_is_piped_or_none() {
    let service = Config::docker_hub(&FakeRegistry::start()).start();
    let folder = service.data().parent().unwrap().to_owned();
    let made = says(&verb(&service, ADMIN_TOKEN, "user create carol --password-stdin", "carols own password\n"));
    let next = format!("Next, carol logs in with this password: docker login {} -u carol\n", service.address);
    assert!(made.ends_with(&next), "{made}");
    says(&verb(&service, "", "login --username carol --password-stdin", "carols own password"));
    let made = says(&verb(&service, ADMIN_TOKEN, "user create robot --no-password", ""));
    assert!(made.ends_with("dependency-proxy token create --user robot --name NAME\n"), "{made}");
    for name in ["carol.password", "robot.password"] {
        assert!(!folder.join(name).exists(), "{name}");
    }
    let both = verb(&service, ADMIN_TOKEN, "user create dave --password-stdin --password-file x", "a password\n");
    assert_eq!((both.status.code(), folder.join("x").exists()), (Some(2), false));
}

#[actix_rt::test]
async fn an_access_token_that_is_rotated_by_the_verb_keeps_its_number_and_its_old_secret_for_a_while() {
    let service = Config::docker_hub(&FakeRegistry::start()).start();
    let json = |line: &str| {
        let said = says(&verb(&service, ADMIN_TOKEN, &format!("{line} --json"), ""));
        serde_json::from_str::<serde_json::Value>(&said).unwrap()
    };
    json("group create team");
    json("user create alice");
    for owner in ["--group team --kind group", "--user alice"] {
        let made = json(&format!("token create {owner} --name t --scopes api"));
        let rotated = json(&format!("token rotate {owner} {} --overlap 2h", made["id"]));
        assert_eq!((&rotated["id"], rotated["old_secret_expires_at"].is_string()), (&made["id"], true), "{owner}");
        let replaced = json(&format!("token rotate {owner} {} --overlap 0", made["id"]));
        assert!(replaced["old_secret_expires_at"].is_null(), "{owner}: {replaced}");
        for (secret, code) in [(&made, 1), (&rotated, 1), (&replaced, 0)] {
            let used = verb(&service, secret["token"].as_str().unwrap(), "group list", "");
            assert_eq!(used.status.code(), Some(code), "{owner}: {used:?}");
        }
    }
}

#[actix_rt::test]
async fn an_access_token_that_is_rotated_without_an_end_is_not_shortened() {
    let service = Config::docker_hub(&FakeRegistry::start()).start();
    let json = |line: &str| {
        let said = says(&verb(&service, ADMIN_TOKEN, &format!("{line} --json"), ""));
        serde_json::from_str::<serde_json::Value>(&said).unwrap()
    };
    json("group create team");
    let made = json("token create --group team --kind group --name t --scopes api --expires-at 2999-01-02");
    let rotated = json(&format!("token rotate {}", made["id"]));
    assert_eq!((&rotated["id"], &rotated["expires_at"]), (&made["id"], &made["expires_at"]));
    let brief = json("token create --group team --kind group --name u --scopes api --days 3");
    let rotated = json(&format!("token rotate {}", brief["id"]));
    assert!(rotated["expires_at"].as_str() > brief["expires_at"].as_str(), "{rotated}");
}

#[actix_rt::test]
async fn the_check_names_the_step_that_fails() {
    let service = Config::docker_hub(&FakeRegistry::start()).start();
    let wrong = verb(&service, "", "check --group example --username nobody --secret-stdin", "wrong");
    let told = String::from_utf8_lossy(&wrong.stdout).into_owned();
    let failed = told.lines().find(|line| line.starts_with("FAIL")).unwrap();
    assert!(failed.contains("token") && failed.contains("Wrong username or password"), "{told}");
    assert_eq!(wrong.status.code(), Some(1));
}

#[actix_rt::test]
async fn a_wrong_password_gets_no_token() {
    let service = Config::docker_hub(&FakeRegistry::start()).start();
    let refused = verb(&service, "", "login --password-stdin", "wrong\n");
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0));
}

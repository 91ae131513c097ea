//! `--if-missing`: subcommands that create objects can run again, and never change existing objects.

use fake_registry::FakeRegistry;
use serde_json::{Value, json};

use super::{says, verb};
use crate::service::{ADMIN_TOKEN, Config, Service};

fn service() -> Service {
    Config::docker_hub(&FakeRegistry::start()).start()
}

fn run(service: &Service, line: &str) -> Value {
    serde_json::from_str(&says(&verb(service, ADMIN_TOKEN, &format!("{line} --json"), ""))).unwrap()
}

#[actix_rt::test]
async fn what_is_there_is_shown_and_not_changed() {
    let service = service();
    for (line, again, field) in [
        ("group create team", "group create TEAM --description other --visibility public", "description"),
        ("group create team/2024", "group create team/2024 --name other", "name"),
        ("group create 2024", "group create 2024 --name other", "name"),
        ("user create alice", "user create Alice --admin --name other", "is_admin"),
        ("member add team alice", "member add team alice --access-level owner", "access_level"),
    ] {
        let made = run(&service, &format!("{line} --if-missing"));
        assert_eq!(made["created"], json!(true), "{line}: {made}");
        let there = run(&service, &format!("{again} --if-missing"));
        assert_eq!((&there["created"], &there["id"]), (&json!(false), &made["id"]), "{line}: {there}");
        assert_eq!(there[field], made[field], "{line}: {there}");
        let told = says(&verb(&service, ADMIN_TOKEN, &format!("{again} --if-missing"), ""));
        assert!(told.contains("already") && told.contains("not changed"), "{told}");
        assert!(!verb(&service, ADMIN_TOKEN, again, "").status.success(), "without it: {again}");
    }
    assert!(run(&service, "group create other").get("created").is_none(), "only where it was asked for");
}

#[actix_rt::test]
async fn a_token_that_is_there_gives_no_secret_and_one_that_has_ended_is_not_there() {
    let service = service();
    run(&service, "group create team");
    run(&service, "group create other");
    run(&service, "user create alice");
    for owner in ["--group team", "--group team --kind group", "--user alice"] {
        let line = format!("token create {owner} --name ci --if-missing");
        let made = run(&service, &line);
        assert!(made["created"] == json!(true) && made["token"].is_string(), "{owner}: {made}");
        let there = run(&service, &line);
        assert_eq!((&there["created"], &there["id"]), (&json!(false), &made["id"]), "{owner}: {there}");
        assert!(there.get("token").is_none(), "{owner}: {there}");
        let told = says(&verb(&service, ADMIN_TOKEN, &line, ""));
        assert!(told.contains("exists already") && told.contains("cannot be shown again"), "{told}");
        says(&verb(&service, ADMIN_TOKEN, &format!("token revoke {owner} {}", made["id"]), ""));
        let anew = run(&service, &line);
        assert!(anew["created"] == json!(true) && anew["id"] != made["id"], "{owner}: {anew}");
    }
    assert_eq!(run(&service, "token create --group other --name ci --if-missing")["created"], json!(true));
    let other_username = "token create --group team --name ci --username fleet --if-missing";
    assert_eq!(run(&service, other_username)["created"], json!(true), "another user name is another token");
    assert_eq!(run(&service, other_username)["created"], json!(false));
}

#[actix_rt::test]
async fn what_cannot_be_looked_up_or_made_is_a_failure_all_the_same() {
    let service = service();
    for line in ["group create none/ci", "member add none root", "token create --group none --name ci"] {
        let output = verb(&service, ADMIN_TOKEN, &format!("{line} --if-missing"), "");
        assert_eq!(output.status.code(), Some(1), "{line}: {output:?}");
    }
    assert_eq!(verb(&service, ADMIN_TOKEN, "token create --name ci --if-missing", "").status.code(), Some(2));
}

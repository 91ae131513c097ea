//! The verbs for a person, as the README shows them, against the running service.

mod bench;

use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::fake_hub::{FakeHub, Image, Layer};
use crate::service::{Config, Service};

fn verb(service: &Service, token: &str, line: &str, input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_dependency-proxy"))
        .args(line.split_whitespace())
        .args(["--url", &service.url()])
        .env("DEPENDENCY_PROXY_TOKEN", token)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn says(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[actix_rt::test]
async fn from_the_first_password_to_a_checked_pull() {
    let hub = FakeHub::start();
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
async fn the_check_names_the_step_that_fails() {
    let service = Config::docker_hub(&FakeHub::start()).start();
    let wrong = verb(&service, "", "check --group example --username nobody --secret-stdin", "wrong");
    let told = String::from_utf8_lossy(&wrong.stdout).into_owned();
    let failed = told.lines().find(|line| line.starts_with("FAIL")).unwrap();
    assert!(failed.contains("token") && failed.contains("Wrong username or password"), "{told}");
    assert_eq!(wrong.status.code(), Some(1));
}

#[actix_rt::test]
async fn a_wrong_password_gets_no_token() {
    let service = Config::docker_hub(&FakeHub::start()).start();
    let refused = verb(&service, "", "login --password-stdin", "wrong\n");
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0));
}

//! The subcommands for accounts of groups, and for the freshness of their tags.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use super::*;
use crate::service::ADMIN_TOKEN;

fn verb(service: &Service, line: &str, input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_dependency-proxy"))
        .args(line.split_whitespace())
        .args(["--url", &service.url()])
        .env("DEPENDENCY_PROXY_TOKEN", ADMIN_TOKEN)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn says(output: &Output) -> String {
    let all = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!all.contains(PASSWORD), "{all}");
    all
}

#[actix_rt::test]
async fn an_account_is_set_listed_tested_and_deleted_by_verbs_with_the_password_from_standard_input() {
    let scene = Scene::start(LONG_TTL).await;
    let run = |line: &str, input: &str| {
        let output = verb(&scene.service, &format!("group upstream-account {line}"), input);
        (output.status.code(), says(&output))
    };
    let (code, said) = run("set a docker.io robot-a", &format!("{PASSWORD}\n"));
    assert!(code == Some(0) && said.contains("robot-a"), "{said}");
    assert_eq!(scene.a.manifest("a", "private/a", "1").await.status, 200);
    let (code, said) = run("list a", "");
    assert!(code == Some(0) && said.contains("docker.io") && said.contains("robot-a"), "{said}");
    assert_eq!(run("test a docker.io", ""), (Some(0), "docker.io accepts the account robot-a\n".to_owned()));
    scene.hub.change_password("robot-a", OTHER);
    let (code, said) = run("test a docker.io", "");
    assert!(code == Some(1) && said.contains("docker.io refuses the account robot-a (HTTP status 401"), "{said}");
    assert_eq!(run("delete a docker.io", "").0, Some(0));
    assert_eq!(run("delete a docker.io", "").0, Some(1), "there is none any more");
    assert_eq!(run("set a docker.io robot-a", "").0, Some(2), "no password");
}

#[actix_rt::test]
async fn the_freshness_of_a_groups_tags_is_changed_and_explained_by_verbs() {
    let scene = Scene::start(LONG_TTL).await;
    let run = |line: &str| {
        let output = verb(&scene.service, line, "");
        (output.status.code(), says(&output))
    };
    let explain = "explain --group a --user root --image private/a:1";
    assert!(run(explain).1.contains("at most once in 3600 s"), "{}", run(explain).1);
    assert_eq!(run("group change a --tag-freshness 10m").0, Some(0));
    assert!(run(explain).1.contains("at most once in 600 s, as a has chosen"), "{}", run(explain).1);
    let (code, said) = run("group change a --tag-freshness 400d");
    assert_ne!(code, Some(0), "{said}");
    assert_eq!(run("group change a --tag-freshness inherit").0, Some(0));
    assert!(run(explain).1.contains("at most once in 3600 s"));
}

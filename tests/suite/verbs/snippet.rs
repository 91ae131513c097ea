//! `snippet`: lines for clients, the same as on the page of the group.

use super::{says, verb};
use crate::service::Scenario;

#[actix_rt::test]
async fn the_lines_name_the_service_and_the_group_and_need_no_token() {
    let started = Scenario::new().start().await;
    let host = started.service.url().split_once("://").unwrap().1.to_owned();
    for client in ["gitlab", "github", "kubernetes", "containerd", "podman", "docker", "buildkit"] {
        let lines = says(&verb(&started.service, "", &format!("snippet {client} --group team"), ""));
        assert!(lines.contains(&host) && lines.contains("team/dependency_proxy/containers"), "{lines}");
    }
    let json = says(&verb(&started.service, "", "snippet docker --group team --json", ""));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(json[0]["text"].as_str().unwrap().starts_with(&format!("docker login {host}")), "{json}");
    let several = "snippet containerd --group team --registry ghcr.io --registry quay.io";
    let several = says(&verb(&started.service, "", several, ""));
    assert!(several.contains("for registry in ghcr.io quay.io; do"), "{several}");
    let unknown = verb(&started.service, "", "snippet other --group team", "");
    assert_eq!(unknown.status.code(), Some(2));
    let group = verb(&started.service, "", "snippet docker --group te$(id)am", "");
    assert_eq!(group.status.code(), Some(2));
}

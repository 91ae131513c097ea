//! `upstream check`: the step that fails, and the reason.

use std::process::{Command, Output};

use fake_registry::{FakeRegistry, Image, Kind, Layer, Listener};

const PASSWORD: &str = "the-robots-password";

/// Runs it with settings that have this upstream `up.test`.
fn check(lines: &str, more: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    std::fs::write(&config, format!("[upstreams.\"up.test\"]\n{lines}\n")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dependency-proxy"));
    command.args(["upstream", "check", "up.test", "--config"]).arg(&config).args(more).current_dir(folder.path());
    let output = command.output().unwrap();
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["config.toml"], "it makes nothing");
    output
}

fn lines(hub: &FakeRegistry) -> String {
    let (realm, storage) = (hub.host(Listener::Realm), hub.host(Listener::Storage));
    format!(
        "url = \"{}\"\nauth_hosts = [\"{realm}\"]\nredirect_hosts = [\"{storage}\"]\nheader_timeout = \"2s\"\n\
         connect_timeout = \"1s\"",
        hub.url()
    )
}

fn robot(password: &str) -> String {
    format!("\nusername = \"robot\"\npassword = \"{password}\"\ngroups = [\"team\"]")
}

/// Returns the names of its steps with their results, and the text of the last one.
fn steps(output: &Output) -> (Vec<String>, String) {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let all = format!("{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!all.contains(PASSWORD), "a secret is shown: {all}");
    let two = |line: &str| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    (text.lines().map(two).collect(), text.lines().last().unwrap_or_default().to_owned())
}

fn fails_at(output: &Output, step: &str, why: &str) {
    let (names, last) = steps(output);
    assert_eq!(output.status.code(), Some(1), "{names:?}");
    assert_eq!(names.last(), Some(&format!("FAIL {step}")), "{names:?}");
    assert!(last.contains(why), "{last}");
}

fn stocked() -> FakeRegistry {
    let hub = FakeRegistry::start();
    hub.add_account("robot", PASSWORD, &["acme/app"]);
    hub.push_image("acme/app", "1", &Image::single(&[Layer::random(100, 1)]));
    hub
}

#[actix_rt::test]
async fn every_step_of_a_registry_that_works_is_ok() {
    let hub = stocked();
    let output = check(&(lines(&hub) + &robot(PASSWORD)), &["--image", "acme/app:1"]);
    let (names, last) = steps(&output);
    assert!(output.status.success(), "{last}");
    assert_eq!(names, ["ok DNS", "ok connect", "ok challenge", "ok token", "ok manifest"]);
    assert!(last.contains("acme/app:1 can be pulled as robot: sha256:"), "{last}");
}

#[actix_rt::test]
async fn the_image_that_an_account_is_kept_for_is_requested_where_none_is_given() {
    let hub = stocked();
    hub.push_image("acme/app", "latest", &Image::single(&[Layer::random(100, 2)]));
    let output = check(&(lines(&hub) + &robot(PASSWORD) + "\nimages = [\"acme/app\"]"), &[]);
    assert!(steps(&output).1.contains("acme/app:latest can be pulled"), "{:?}", steps(&output));
    let output = check(&(lines(&hub) + &robot(PASSWORD)), &[]);
    assert!(output.status.success() && steps(&output).1.contains("not requested"), "{:?}", steps(&output));
}

#[actix_rt::test]
async fn a_name_without_an_address_fails_at_dns() {
    fails_at(
        &check("url = \"https://registry.invalid\"\nproxy = \"none\"", &[]),
        "DNS",
        "registry.invalid has no address",
    );
}

#[actix_rt::test]
async fn nobody_who_listens_fails_at_the_connection_and_a_wrong_protocol_at_tls() {
    let hub = stocked();
    let https = lines(&hub).replace("http://", "https://");
    fails_at(&check(&https, &[]), "TLS", "TLS failed");
    hub.down(Listener::Registry);
    fails_at(&check(&lines(&hub), &[]), "connect", "it refused the connection");
}

#[actix_rt::test]
async fn a_page_or_an_error_in_place_of_a_challenge_fails_there() {
    let hub = stocked();
    hub.on(Kind::Ping).before_auth().status(500);
    fails_at(&check(&lines(&hub), &[]), "challenge", "out of order (HTTP status 500");
}

#[actix_rt::test]
async fn a_refused_account_and_a_silent_realm_fail_at_the_token() {
    let hub = stocked();
    let refused = check(&(lines(&hub) + &robot("expired")), &["--image", "acme/app:1"]);
    fails_at(&refused, "token", "The login of account 'robot' is refused by up.test");
    hub.down(Listener::Realm);
    let silent = check(&(lines(&hub) + &robot(PASSWORD)), &["--image", "acme/app:1"]);
    fails_at(&silent, "token", "its token realm 127.0.0.1: it refused the connection");
}

#[actix_rt::test]
async fn both_credentials_of_an_account_are_tried_and_the_image_is_requested_with_the_one_that_works() {
    let hub = stocked();
    let second = |password: &str| format!("\nsecond_password = \"{password}\"");
    let output = check(&(lines(&hub) + &robot("expired") + &second(PASSWORD)), &["--image", "acme/app:1"]);
    let (names, last) = steps(&output);
    assert_eq!(names[3..], ["FAIL token", "ok token", "ok manifest"], "{last}");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("account 'robot' with its second_password is accepted"), "{text}");
    let output = check(&(lines(&hub) + &robot(PASSWORD) + &second("expired")), &["--image", "acme/app:1"]);
    assert_eq!(steps(&output).0[3..], ["ok token", "FAIL token", "ok manifest"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("(with its second_password)"), "{text}");
}

#[actix_rt::test]
async fn each_mirror_is_checked_before_the_registry_itself_without_an_account_where_it_may_not_have_it() {
    let (hub, mirror, dead) = (stocked(), FakeRegistry::start(), FakeRegistry::start());
    mirror.require_auth(false);
    mirror.push_image("acme/app", "1", &Image::single(&[Layer::random(100, 1)]));
    dead.down(Listener::Registry);
    let mirrors = [mirror.url().replace("127.0.0.1", "localhost"), dead.url()];
    let lines = lines(&hub) + &format!("\nmirrors = {mirrors:?}") + &robot(PASSWORD);
    let output = check(&lines, &["--image", "acme/app:1"]);
    let (names, last) = steps(&output);
    let one = ["ok DNS", "ok connect", "ok challenge"];
    let expected = [
        &["ok mirror"],
        &one[..],
        &["ok manifest", "ok mirror", "ok DNS", "FAIL connect", "ok registry"],
        &one[..],
        &["ok token", "ok manifest"],
    ];
    assert_eq!(names, expected.concat(), "{last}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("without an account: its host is not in auth_hosts"), "{text}");
    assert!(text.contains("acme/app:1 can be pulled without credentials: sha256:"), "{text}");
    assert_eq!(output.status.code(), Some(1), "a mirror fails");
}

#[actix_rt::test]
async fn an_image_that_is_not_there_fails_at_the_manifest_for_the_account_that_may_not_have_it() {
    let hub = stocked();
    let output = check(&(lines(&hub) + &robot(PASSWORD)), &["--image", "acme/other:1"]);
    fails_at(&output, "manifest", "has no 'acme/other', or it is private (requested as robot)");
    hub.add_account("second", "another-password", &[]);
    let second = "\n[upstreams.\"up.test\".accounts.second]\nusername = \"second\"\npassword = \"another-password\"\n\
                  groups = [\"crew\"]";
    let output = check(&(lines(&hub) + &robot(PASSWORD) + second), &["--image", "acme/app:1"]);
    let (names, _) = steps(&output);
    assert_eq!(names[3..], ["ok token", "FAIL manifest", "ok token", "ok manifest"]);
    assert_eq!(output.status.code(), Some(1));
}

#[actix_rt::test]
async fn an_upstream_that_is_not_configured_is_an_error_of_the_command_line() {
    let output = Command::new(env!("CARGO_BIN_EXE_dependency-proxy"))
        .args(["upstream", "check", "nowhere.test"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("no upstream 'nowhere.test'; configured are docker.io, gcr.io"), "{said}");
    assert_eq!(output.status.code(), Some(2));
}

#[actix_rt::test]
async fn a_host_that_accepts_connections_and_is_silent_fails_at_the_step_that_it_leaves_open() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let times = "proxy = \"none\"\nheader_timeout = \"1s\"\nconnect_timeout = \"1s\"";
    for (scheme, step, why) in
        [("http", "challenge", "sent no response within 1 s"), ("https", "TLS", "in the TLS handshake")]
    {
        let url = format!("url = \"{scheme}://{}\"\n{times}", silent.local_addr().unwrap());
        let output = check(&url, &[]);
        fails_at(&output, step, why);
        assert_eq!(steps(&output).0[1], "ok connect");
    }
    let hub = stocked();
    hub.on(Kind::Ping).before_auth().hang();
    fails_at(&check(&lines(&hub), &[]), "challenge", "sent no response within 2 s");
}

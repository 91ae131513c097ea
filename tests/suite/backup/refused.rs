//! Backups that are refused, and backups that cannot be made, with the sentences that state why.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::{backup, err, restore, restored, run};
use crate::service::{Config, Service};

fn service() -> Service {
    Config::upstream_at("docker.io", "http://127.0.0.1:9").start()
}

#[actix_rt::test]
async fn a_backup_that_is_cut_off_changed_or_newer_is_refused_with_a_sentence_and_changes_nothing() {
    let mut service = service();
    let file = backup(&service, "backup", &[]);
    assert!(service.stop().success());
    let text = fs::read_to_string(&file).unwrap();
    let before = fs::read(service.data().join("identity.journal")).unwrap();
    let other = service.data().with_extension("other");
    for (changed, sentence) in [
        (text[..text.len() / 2].to_owned(), "it is incomplete"),
        (text[..text.len() - 1].to_owned(), "it is incomplete"),
        (text.replacen("example-pull", "example-push", 1), "its checksum does not match"),
        (text.replacen("\"version\":1", "\"version\":9", 1), "it has version 9 of the format"),
        (String::new(), "its first line is not one of this format"),
    ] {
        fs::write(&other, changed).unwrap();
        let refused = restore(&service.data(), &other, &["--yes"]);
        let said = err(&refused);
        assert!(refused.status.code() == Some(1) && said.contains(sentence), "{sentence}: {said}");
        assert!(said.contains(&format!("{} cannot be used as a backup: i", other.display())), "{said}");
    }
    assert_eq!(fs::read(service.data().join("identity.journal")).unwrap(), before);
    let up_to = restore(&service.data(), &file, &["--yes", "--up-to", "7777"]);
    assert!(err(&up_to).contains("not to change 7777"), "{up_to:?}");
    restored(&service.data(), &file, &["--yes"]);
}

#[actix_rt::test]
async fn a_backup_of_another_installation_is_restored_only_on_request() {
    let (mut ours, theirs) = (service(), service());
    let file = backup(&theirs, "backup", &[]);
    let running = restore(&ours.data(), &file, &["--yes"]);
    assert!(err(&running).contains("in use by another process"), "{running:?}");
    assert!(ours.stop().success());
    let refused = restore(&ours.data(), &file, &["--yes"]);
    assert!(err(&refused).contains("is of another installation than the identities in"), "{refused:?}");
    restored(&ours.data(), &file, &["--yes", "--from-another-installation"]);
}

#[actix_rt::test]
async fn a_backup_needs_identities_and_replaces_no_other_file() {
    let service = service();
    let (config, data) = (service.config().to_str().unwrap(), service.data());
    let empty = tempfile::tempdir().unwrap();
    let target = empty.path().join("backup");
    let none = run(["backup", "--data", empty.path().to_str().unwrap(), "--output", target.to_str().unwrap()]);
    assert!(none.status.code() == Some(1) && err(&none).contains("there are no identities in"), "{none:?}");
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0, "nothing is made there");
    let before = fs::read_to_string(config).unwrap();
    let wrong = run(["backup", "--data", data.to_str().unwrap(), "--output", config]);
    assert!(err(&wrong).contains("it exists already and is not a backup: name another file"), "{wrong:?}");
    assert_eq!(fs::read_to_string(config).unwrap(), before);
    service.add_settings("[server.nothing]\nx = 1");
    let invalid = run(["backup", "--config", config, "--output", target.to_str().unwrap()]);
    assert!(invalid.status.code() == Some(4) && err(&invalid).contains("server.nothing"), "{invalid:?}");
}

#[actix_rt::test]
async fn only_its_owner_can_read_a_backup_also_when_a_shell_has_made_the_file() {
    let service = service();
    let folder = service.data().parent().unwrap().to_owned();
    let line = "umask 022; \"$0\" backup --data data > redirected; \"$0\" backup --data data --output named";
    let output = Command::new("sh")
        .args(["-euc", line, env!("CARGO_BIN_EXE_dependency-proxy")])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    for name in ["redirected", "named"] {
        let mode = fs::metadata(folder.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
        let copy = tempfile::tempdir().unwrap();
        restored(copy.path(), &folder.join(name), &[]);
    }
    let full = Command::new("sh")
        .args(["-c", "\"$0\" backup --data data > /dev/full", env!("CARGO_BIN_EXE_dependency-proxy")])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(err(&full).contains("cannot be written to standard output: the disk is full"), "{full:?}");
    assert_eq!(full.status.code(), Some(1));
}

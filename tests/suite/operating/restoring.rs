//! The commands of `docs/operating.md` that back up, restore, and rotate the signing key, in their order.

use std::fs;

use fake_registry::{Image, Layer};

use crate::documents::{self, OPERATING, run};
use crate::service::{Scenario, Started};

/// Returns the commands of a section, block by block.
pub(super) fn blocks(title: &str) -> Vec<&'static str> {
    documents::blocks(OPERATING, title, "sh")
}

async fn scene() -> Started {
    let image = Image::single(&[Layer::random(10_000, 1)]);
    Scenario::new().image("library/alpine", "1", &image).start().await
}

#[actix_rt::test]
async fn a_backup_is_made_beside_the_service_and_restored_on_a_machine_that_has_nothing_else() {
    let [back_up, restore, check] = blocks("Restoring a backup")[..] else { panic!("three blocks") };
    let Started { hub: _hub, mut service, token, client, .. } = scene().await;
    run(&service, back_up);
    run(&service, back_up);
    assert!(service.stop().success());
    service.forget_everything();
    let said = String::from_utf8(run(&service, restore).stdout).unwrap();
    assert!(said.contains("The settings of the backup are in restored.toml."), "{said}");
    run(&service, check);
    fs::rename(service.data().with_file_name("restored.toml"), service.config()).unwrap();
    service.restart();
    let old = service.stranger().with_authorization(client.authorization());
    assert_eq!(old.manifest("team", "alpine", "1").await.status, 401);
    let client = service.log_in_with(&token).await;
    assert_eq!(client.manifest("team", "alpine", "1").await.status, 200);
}

#[actix_rt::test]
async fn a_signing_key_is_rotated_and_nobody_has_to_log_in_again() {
    let [rotate, rotate_accounts] = blocks("Rotating keys")[..] else { panic!("two blocks") };
    let Started { hub: _hub, mut service, client, .. } = scene().await;
    run(&service, rotate);
    run(&service, rotate_accounts);
    assert!(service.stop().success());
    service.restart();
    let client = service.stranger().with_authorization(client.authorization());
    assert_eq!(client.manifest("team", "alpine", "1").await.status, 200);
    assert!(service.stop().success());
    run(&service, &format!("{} --now", rotate.trim_end()));
    service.restart();
    let client = service.stranger().with_authorization(client.authorization());
    assert_eq!(client.manifest("team", "alpine", "1").await.status, 401);
}

//! Sentences about engines that fail: clients learn what to do, and the operator learns the reason.

use serde_json::{Value, json};

use super::{Fleet, Mode};

#[actix_rt::test]
async fn messages_of_the_database_are_for_the_operator_alone() {
    let fleet = Fleet::of(1);
    let service = fleet.service(0);
    fleet.database.query("ALTER TABLE event RENAME TO other_name");
    let read = service.api("GET", "/audit_events", Value::Null).await;
    let changed = service.api("POST", "/groups", json!({"name": "new", "path": "new"})).await;
    fleet.database.query("ALTER TABLE other_name RENAME TO event");
    for answer in [read, changed] {
        let text = answer.text();
        assert_eq!(answer.status, 503, "{text}");
        assert!(text.contains("the database of this service has refused it; try again"), "{text}");
        assert!(!text.contains("relation"), "{text}");
    }
    let log = service.log();
    let is_told = |line: &&str| line.contains("a request failed") && line.contains("does not exist");
    assert_eq!(log.lines().filter(is_told).count(), 2, "{log}");
}

#[actix_rt::test]
async fn a_change_that_is_stored_but_not_confirmed_is_not_called_one_that_was_not_made() {
    let fleet = Fleet::of(2);
    let service = fleet.service(0);
    fleet.replicas[0].to_bucket.set(Mode::Refuse);
    fleet.replicas[1].lose_everything();
    let create = || service.api("POST", "/groups", json!({"name": "new", "path": "new"}));
    let stored = create().await;
    assert_eq!((stored.status, stored.header("retry-after")), (503, "1"), "{}", stored.text());
    let sentence = "the change is stored, but not confirmed by all replicas";
    assert!(stored.text().contains(sentence) && stored.text().contains("Repeat it to be sure"), "{}", stored.text());
    let log = service.log();
    let line = log.lines().find(|line| line.contains("a request failed")).unwrap();
    assert!(line.contains(sentence) && !log.contains("was not made"), "{log}");
    fleet.replicas.iter().for_each(super::Replica::find_everything);
    assert_eq!(create().await.status, 400, "it is there");
}

//! Sentences about engines that fail: clients learn what to do, and the operator learns the reason.

use serde_json::{Value, json};

use super::Fleet;

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

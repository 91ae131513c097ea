//! Events of settings that an operator changes in a running service.

use fake_registry::FakeRegistry;

use super::only;
use crate::service::{Config, eventually};

#[actix_rt::test]
async fn a_reload_has_an_event_that_names_the_changed_settings() {
    let hub = FakeRegistry::start();
    let mut service = Config::docker_hub(&hub).and("[cache]\ntag_freshness = \"1h\"").start();
    service.replace_setting("tag_freshness = \"1h\"", "tag_freshness = \"2h\"");
    service.signal("HUP");
    eventually("the settings are applied", async || service.log().contains("changed settings are applied")).await;
    assert!(service.stop().success());
    service.restart();
    let event = only(&service, "event_name=settings_reloaded").await;
    assert_eq!(event["details"]["target_details"], "cache.tag_freshness");
    assert_eq!((&event["details"]["author_name"], &event["author_id"]), (&"(Operator)".into(), &0.into()));
}

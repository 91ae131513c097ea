//! Signals that do not end the service.

use fake_registry::FakeRegistry;

use crate::service::{Config, Service, eventually};

async fn is_healthy(service: &Service) -> bool {
    service.stranger().get("/healthz").await.status == 200
}

#[actix_rt::test]
async fn sigusr1_and_sigusr2_are_ignored() {
    let mut service = Config::docker_hub(&FakeRegistry::start()).start();
    for signal in ["USR1", "USR2"] {
        service.signal(signal);
        assert!(is_healthy(&service).await, "{signal}");
    }
    // SIGHUP is sent after the others.
    service.signal("HUP");
    eventually("the last signal is handled", async || service.log().contains("SIGHUP")).await;
    assert!(is_healthy(&service).await);
    assert_eq!(service.stop().code(), Some(0));
}

#[actix_rt::test]
async fn sighup_reads_the_log_filter_again_and_says_what_it_does_not() {
    let service = Config::docker_hub(&FakeRegistry::start()).start();
    service.add_settings("[log]\nfilter = \"warn\"");
    service.signal("HUP");
    // The line about it is suppressed by the new filter.
    eventually("lines below warnings are gone", async || {
        let before = service.log().len();
        service.group(&format!("team-{before}")).await;
        service.log().len() == before
    })
    .await;
    service.add_settings("filter = \"info\"");
    service.signal("HUP");
    eventually("it tells that the settings are refused", async || service.log().contains("stay as they are")).await;
    assert!(service.log().contains("duplicate key"), "{}", service.log());
    assert!(is_healthy(&service).await);
}

#[actix_rt::test]
async fn sighup_raises_the_log_filter_and_names_it() {
    let service = Config::docker_hub(&FakeRegistry::start()).start();
    service.add_settings("[log]\nfilter = \"debug\"");
    service.signal("HUP");
    eventually("it tells what it has changed", async || service.log().contains("\"applied\":\"log.filter\"")).await;
    assert!(!service.log().contains("need a restart"), "nothing else has changed: {}", service.log());
    assert!(is_healthy(&service).await);
}

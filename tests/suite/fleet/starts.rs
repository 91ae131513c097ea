//! Starts with settings of the engines that are wrong: each ends with a sentence that says which setting to look at.

use super::Fleet;
use crate::service::Service;

/// A replica that was stopped.
struct Stopped {
    fleet: Fleet,
}

impl Stopped {
    fn new() -> Self {
        let mut fleet = Fleet::of(1);
        fleet.replicas[0].service.stop();
        Self { fleet }
    }

    fn service(&mut self) -> &mut Service {
        &mut self.fleet.replicas[0].service
    }

    /// Replaces a text in the settings, and returns the message with which the start ends. The text is as before then.
    fn refused(&mut self, from: &str, to: &str) -> String {
        self.service().replace_setting(from, to);
        let message = self.service().restart_unless_refused().expect_err("it should not have started");
        self.service().replace_setting(to, from);
        message.lines().last().unwrap_or_default().to_owned()
    }
}

fn assert_says(message: &str, parts: &[&str]) {
    assert!(parts.iter().all(|part| message.contains(part)), "{message}");
}

#[test]
fn a_replica_with_another_bucket_or_prefix_than_the_others_does_not_start() {
    let mut replica = Stopped::new();
    let prefix = replica.fleet.prefix.clone();
    let refused = replica.refused(&format!("/{prefix}\""), &format!("/another-than-{prefix}\""));
    assert_says(&refused, &["fleet.bucket_url must be the same on all replicas"]);
    replica.service().restart();
}

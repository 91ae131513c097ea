//! Kills of a soak. After each, everything that was acknowledged holds.

use tokio::time::sleep;

use super::Soak;
use crate::crash::Chances;
use crate::operating::metrics::metric_at;

impl Soak {
    /// Kills the service at random moments until the end, some of them during a start, and starts it again.
    pub(super) async fn kill_at_random(&self, mut chances: Chances) {
        while !self.is_over() {
            sleep(chances.moment(6_000)).await;
            self.note_evictions().await;
            sleep(chances.moment(100)).await;
            if self.report.has_violations() {
                // The process is kept, so that its log can be read.
                return;
            }
            self.kill(&mut chances);
            self.check_acknowledged().await;
        }
    }

    fn kill(&self, chances: &mut Chances) {
        let mut service = self.service.borrow_mut();
        service.kill();
        self.report.kills.add(1);
        if chances.below(4) == 0 {
            service.start_and_kill_after(chances.moment(500));
            self.report.kills.add(1);
        }
        match service.restart_unless_refused() {
            Ok(()) => *self.client.borrow_mut() = service.stranger(),
            Err(log) => self.report.violated(&format!("it does not start again: {log}")),
        }
    }

    /// Counts the evictions of the running process.
    pub(super) async fn note_evictions(&self) {
        let address = self.service.borrow().metrics;
        self.report.evicted.add(metric_at(address, "dependency_proxy_evicted_files_total").await);
    }
}

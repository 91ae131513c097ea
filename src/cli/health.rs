//! `health`: a readiness check, for container images that contain no other HTTP client.

use clap::Args;

use super::client::Request;
use super::connection::Service;
use super::failure::Failure;
use super::output::print_line;

/// Arguments of `health`.
#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    #[command(flatten)]
    service: Service,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl HealthArgs {
    /// Requests `/readyz`. Fails where the status is not 200.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let mut url = self.service.url.clone();
        url.set_path("/readyz");
        let reply = self.service.http()?.send(Request::get(url)).await?;
        if reply.status != 200 {
            let body = String::from_utf8_lossy(&reply.body);
            let reason = body.trim().strip_prefix("not ready: ").map(|reason| format!(": {reason}"));
            let message = format!("the service is not ready{}", reason.unwrap_or_default());
            return Err(Failure::refused(reply.status, &message));
        }
        print_line(if self.json { "{\"status\": \"ok\"}" } else { "ok" });
        Ok(())
    }
}

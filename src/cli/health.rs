//! `health`: whether the service answers, for what watches over it and has no other program to ask with.

use clap::Args;

use super::client::Request;
use super::connection::Service;
use super::failure::Failure;
use super::output::say;

/// Arguments of `health`.
#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    #[command(flatten)]
    service: Service,
}

impl HealthArgs {
    /// Does it.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let mut url = self.service.url.clone();
        url.set_path("/readyz");
        let reply = self.service.http()?.send(Request::get(url)).await?;
        if reply.status != 200 {
            return Err(Failure::refused(reply.status, "the service is not ready"));
        }
        say("ok");
        Ok(())
    }
}

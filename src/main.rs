//! Parses the command line and hands over; decides nothing itself.

use dependency_proxy::{server, settings::Settings, telemetry};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let settings = Settings::load(std::env::args().nth(3).as_ref().map(std::path::Path::new), std::env::vars_os())?;
    telemetry::start_logging(&settings.log.filter, settings.log.format)?;
    actix_rt::System::new().block_on(async move {
        let running = server::build(settings).await?;
        tracing::info!(address = %running.address, metrics = running.metrics_address.map(tracing::field::display), "listening");
        running.run().await?;
        Ok(())
    })
}

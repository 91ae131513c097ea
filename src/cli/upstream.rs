//! `upstream`: subcommands for upstream registries. They read the settings of the service, and need no running service.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::check::line;
use super::failure::Failure;
use super::image::Image;
use super::output::print_line;
use crate::server::{self, UpstreamCheckError, UpstreamStep};
use crate::settings::Settings;

/// Arguments of `upstream`.
#[derive(Debug, Args)]
pub(super) struct UpstreamArgs {
    #[command(subcommand)]
    verb: UpstreamVerb,
}

#[derive(Debug, Subcommand)]
enum UpstreamVerb {
    /// Run the steps of a request from this machine to a registry one by one, with each of its accounts, and report
    /// the first that fails, and why
    Check {
        /// Name of the upstream in the settings, such as docker.io
        name: String,
        /// Image, without the upstream's name; by default a well-known one, or the first one for which an
        /// account may be used
        #[arg(long)]
        image: Option<Image>,
        /// The settings file of the service
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

impl UpstreamArgs {
    /// Checks the upstream and prints each step.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let UpstreamVerb::Check { name, image, config } = self.verb;
        let settings = Settings::load(config.as_deref(), std::env::vars_os())?;
        let image = match image {
            Some(image) => Some(image),
            None => server::default_image(&settings, &name).and_then(|text| text.parse().ok()),
        };
        let repository = image.as_ref().map(|image: &Image| (image.repository(None), image.reference()));
        let image = repository.as_ref().map(|(path, reference)| (path.as_str(), *reference));
        match server::check_upstream(&settings, &name, image, report).await {
            Ok(None) => Ok(()),
            Ok(Some(step)) => Err(Failure::Check(step)),
            Err(UpstreamCheckError::Setup(error)) => Err(Failure::Run(error.into())),
            Err(error) => Err(Failure::Input(error.to_string())),
        }
    }
}

fn report(step: &UpstreamStep) {
    let (word, text) = match &step.found {
        Ok(text) => ("ok", text),
        Err(why) => ("FAIL", why),
    };
    print_line(&line(word, step.name, text));
}

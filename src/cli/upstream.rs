//! `upstream`: what concerns the registries behind the service. Reads the settings that the service has; needs no
//! running one.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::check::line;
use super::failure::Failure;
use super::image::Image;
use super::output::say;
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
    /// Go the way from this machine to a registry step by step, with each of its accounts, and say at which it fails,
    /// and why
    Check {
        /// The upstream as it is named in the settings, such as docker.io
        name: String,
        /// An image as it stands behind the upstream's name; otherwise a well-known one, or the first that an account
        /// is kept for
        #[arg(long)]
        image: Option<Image>,
        /// The file of settings that the service is started with
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

impl UpstreamArgs {
    /// Does it.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let UpstreamVerb::Check { name, image, config } = self.verb;
        let settings = Settings::load(config.as_deref(), std::env::vars_os())?;
        let image = match image {
            Some(image) => Some(image),
            None => server::default_image(&settings, &name).and_then(|text| text.parse().ok()),
        };
        let repository = image.as_ref().map(|image: &Image| (image.repository(None), image.reference()));
        let image = repository.as_ref().map(|(path, reference)| (path.as_str(), *reference));
        match server::check_upstream(&settings, &name, image, tell).await {
            Ok(None) => Ok(()),
            Ok(Some(step)) => Err(Failure::Check(step)),
            Err(UpstreamCheckError::Setup(error)) => Err(Failure::Run(error.into())),
            Err(error) => Err(Failure::Input(error.to_string())),
        }
    }
}

fn tell(step: &UpstreamStep) {
    let (word, text) = match &step.found {
        Ok(text) => ("ok", text),
        Err(why) => ("FAIL", why),
    };
    say(&line(word, step.name, text));
}

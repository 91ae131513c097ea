//! `upstream`: subcommands for upstream registries. `check` reads the settings of the service, and needs no running
//! service; `list` requests the states of all from it.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::check::Steps;
use super::connection::Connection;
use super::failure::Failure;
use super::image::Image;
use super::output::{Columns, Output};
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
    /// List the registries and accounts, those of groups with their group, and their states: whether requests are sent,
    /// why not, and what is left of their pull limits; for administrators
    #[command(after_help = "Example: dependency-proxy upstream list")]
    List {
        #[command(flatten)]
        connection: Connection,
    },
    /// Run the steps of a request from this machine to a registry one by one, with each of its accounts, and report
    /// the first that fails, and why
    #[command(after_help = "Example:\n\
\x20 dependency-proxy upstream check docker.io --config /etc/dependency-proxy/config.toml")]
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
        /// Print each step as a line of JSON
        #[arg(long)]
        json: bool,
    },
}

const STATES: Columns = &["upstream", "account", "group", "state", "retry", "pulls_left", "runs_out", "because"];

impl UpstreamArgs {
    /// Runs the subcommand and prints its result.
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self.verb {
            UpstreamVerb::List { connection } => list(&connection).await,
            UpstreamVerb::Check { name, image, config, json } => {
                check(name, image, config, Steps { as_json: json }).await
            }
        }
    }
}

async fn list(connection: &Connection) -> Result<(), Failure> {
    let values = connection.api()?.list(&["dependency_proxy", "upstreams"], &[]).await?;
    let rows = values.iter().map(row).collect();
    Output::Table { columns: STATES, rows, values }.print(connection.json);
    Ok(())
}

/// Returns the state of an account as a line of a table.
fn row(state: &Value) -> Value {
    let mut row = state.clone();
    row["group"] = state["account_group"].clone();
    let limit = &state["pull_limit"];
    if let (Some(left), Some(whole)) = (limit["remaining"].as_u64(), limit["limit"].as_u64()) {
        row["pulls_left"] = json!(format!("{left} of {whole}"));
    }
    row["runs_out"] = json!(limit["runs_out_seconds"].as_u64().map(within));
    row["retry"] = json!(state["held_seconds"].as_u64().or(state["retry_seconds"].as_u64()).map(within));
    row
}

fn within(seconds: u64) -> String {
    match seconds {
        0 => "now".to_owned(),
        1..120 => format!("in {seconds} s"),
        120..7200 => format!("in {} min", seconds.div_ceil(60)),
        _ => format!("in {} h", seconds.div_ceil(3600)),
    }
}

/// Checks an upstream and prints each step.
async fn check(name: String, image: Option<Image>, config: Option<PathBuf>, steps: Steps) -> Result<(), Failure> {
    let settings = Settings::load(config.as_deref(), std::env::vars_os())?;
    let image = match image {
        Some(image) => Some(image),
        None => server::default_image(&settings, &name).and_then(|text| text.parse().ok()),
    };
    let repository = image.as_ref().map(|image: &Image| (image.repository(None), image.reference()));
    let image = repository.as_ref().map(|(path, reference)| (path.as_str(), *reference));
    let report = |step: &UpstreamStep| steps.print(step.name, step.found.as_deref().map_err(String::as_str));
    match server::check_upstream(&settings, &name, image, report).await {
        Ok(None) => Ok(()),
        Ok(Some(step)) => Err(Failure::Check(step)),
        Err(UpstreamCheckError::Setup(error)) => Err(Failure::Run(error.into())),
        Err(error) => Err(Failure::Input(error.to_string())),
    }
}

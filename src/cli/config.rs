//! `config`: subcommands for the files that this program reads.

use clap::{Args, Subcommand, ValueEnum};

use super::failure::Failure;
use super::output::print_line;
use crate::settings::{settings_schema, state_schema};

/// Arguments of `config`.
#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    verb: ConfigVerb,
}

#[derive(Debug, Subcommand)]
enum ConfigVerb {
    /// Print the JSON schema (draft 2020-12) of a file, for editors and CI: every key with its type, and with the
    /// comment and the default that the example of the file has for it
    #[command(after_help = "Examples:\n\
\x20 dependency-proxy config schema > config.schema.json\n\
\x20 dependency-proxy config schema --of state > company.schema.json")]
    Schema {
        /// The file: settings (of the service, --config) or state (of `apply`)
        #[arg(long, value_enum, value_name = "FILE", default_value_t = Subject::Settings)]
        of: Subject,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Subject {
    Settings,
    State,
}

impl ConfigArgs {
    /// Prints the schema.
    pub(super) fn run(self) -> Result<(), Failure> {
        let ConfigVerb::Schema { of } = self.verb;
        let schema = match of {
            Subject::Settings => settings_schema()?,
            Subject::State => state_schema()?,
        };
        print_line(&format!("{schema:#}"));
        Ok(())
    }
}

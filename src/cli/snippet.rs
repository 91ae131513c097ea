//! `snippet`: prints the lines with which a client pulls through a group, as the group's page in the console shows
//! them.

use clap::Args;
use serde_json::{Value, json};

use super::connection::Service;
use super::failure::Failure;
use super::output::print_line;
use crate::domain::group::GroupPath;
use crate::domain::repository::UpstreamName;
use crate::domain::snippets::{Client, Snippet, Source};

/// Arguments of `snippet`.
#[derive(Debug, Args)]
#[command(after_help = "Example: dependency-proxy snippet containerd --group team --url https://images.example.com")]
pub(super) struct SnippetArgs {
    /// The client: gitlab, github, kubernetes, containerd, podman, docker or buildkit
    #[arg(value_name = "CLIENT")]
    client: Client,
    /// Full path of the group
    #[arg(long)]
    group: GroupPath,
    /// A registry that containerd gets a file for, besides docker.io; may be given several times
    #[arg(long = "registry", value_name = "NAME")]
    registries: Vec<UpstreamName>,
    #[command(flatten)]
    service: Service,
    /// Print the lines as JSON
    #[arg(long)]
    json: bool,
}

impl SnippetArgs {
    /// Prints the lines. Does not contact the service.
    pub(super) fn run(self) -> Result<(), Failure> {
        let host = self.service.host();
        let registries: Vec<String> = self.registries.iter().map(ToString::to_string).collect();
        let (scheme, group) = (self.service.url.scheme(), self.group.as_str());
        let source = Source { host: &host, scheme, group, registries: &registries };
        let snippets = self.client.snippets(source);
        if self.json {
            let all: Vec<Value> = snippets.iter().map(|one| json!({"title": one.title, "text": one.text})).collect();
            print_line(&Value::from(all).to_string());
            return Ok(());
        }
        for (number, Snippet { title, text }) in snippets.iter().enumerate() {
            let gap = if number > 0 { "\n" } else { "" };
            print_line(&format!("{gap}# {title}\n{text}"));
        }
        Ok(())
    }
}

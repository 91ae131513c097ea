//! `apply`: changes a running service to the state of a state file, and shows the changes before.

mod carry_out;
mod change;
mod plan;
pub(super) mod service;

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use self::carry_out::{Executor, Outcome};
use self::change::Change;
use self::plan::Plan;
use self::service::Service;
use super::client::Api;
use super::confirmation::Confirmation;
use super::connection::Connection;
use super::failure::Failure;
use super::output::{number_of, print_line, print_note, printable};
use crate::settings::read_text;
use crate::settings::state::StateFile;

/// Arguments of `apply`.
#[derive(Debug, Args)]
pub(super) struct ApplyArgs {
    #[command(flatten)]
    connection: Connection,
    /// The state file: users, groups, members, tokens and settings of groups as TOML, such as config/company.toml or
    /// what `export` writes; - for standard input
    #[arg(long, short, value_name = "FILE")]
    file: PathBuf,
    /// Print the changes and make none; the exit code is 2 if there are any
    #[arg(long)]
    dry_run: bool,
    /// Remove members, deploy tokens and group access tokens that the file does not name, from the groups that it
    /// names. Users, groups, personal tokens, and the owners of a group for which the file names no owner, are never
    /// removed
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    confirmation: Confirmation,
}

impl ApplyArgs {
    /// Prints the changes, asks for confirmation, and makes them.
    pub(super) async fn run(self) -> Result<(), Failure> {
        self.apply().await.map_err(Failure::not_of_the_command_line)
    }

    async fn apply(self) -> Result<(), Failure> {
        let file = read(&self.file)?;
        let api = self.connection.api()?;
        let with_tokens = file.users.iter().filter(|(_, user)| !user.tokens.is_empty());
        let caller = Service::caller(&api).await?;
        let with_tokens = with_tokens.map(|(name, _)| name.as_str());
        let service = Service::fetch(&api, caller, file.groups.keys(), with_tokens).await?;
        let changes = Plan::make(&api, &file, &service, self.prune).await?;
        let as_json = self.connection.json;
        if !as_json {
            print_plan(&changes);
        }
        if self.dry_run || changes.is_empty() {
            print_json(as_json, &changes, 0, "planned");
            return match changes.len() {
                0 => Ok(()),
                changes => Err(Failure::Difference(number_of(changes as u64, "change"))),
            };
        }
        if as_json {
            changes.iter().for_each(|change| print_note(&change.line()));
        }
        self.confirmation.ask()?;
        carry_out(&api, &service, &changes, as_json).await
    }
}

async fn carry_out(api: &Api, service: &Service, changes: &[Change], as_json: bool) -> Result<(), Failure> {
    let Outcome { done, failure } = Executor::new(api, service).carry_out(changes).await?;
    print_json(as_json, changes, done, "not done");
    let Some(failure) = failure else {
        if !as_json {
            print_line(&format!("Done: {}.", number_of(changes.len() as u64, "change")));
        }
        return Ok(());
    };
    for (number, change) in changes.iter().enumerate() {
        let word = match number.cmp(&done) {
            std::cmp::Ordering::Less => "done",
            std::cmp::Ordering::Equal => "FAILED",
            std::cmp::Ordering::Greater => "not done",
        };
        print_note(&format!("{word:<9} {}", change.line()));
    }
    let failed = changes.get(done).map(|change| change.what.clone()).unwrap_or_default();
    Err(failure.in_the_middle(&failed, done, changes.len()))
}

fn print_plan(changes: &[Change]) {
    if changes.is_empty() {
        print_line("Nothing to change.");
    }
    changes.iter().for_each(|change| print_line(&printable(&change.line())));
}

/// Prints the changes with their states; those after the first `done` ones have the state `others`.
fn print_json(as_json: bool, changes: &[Change], done: usize, others: &str) {
    if as_json {
        let state = |number: usize| if number < done { "done" } else { others };
        let changes: Vec<Value> =
            changes.iter().enumerate().map(|(number, change)| change.json(state(number))).collect();
        print_line(&format!("{:#}", json!({ "changes": changes })));
    }
}

fn read(file: &Path) -> Result<StateFile, Failure> {
    if file.as_os_str() != "-" {
        return Ok(StateFile::load(file)?);
    }
    let read = read_text(std::io::stdin().lock());
    let text = read.map_err(|error| Failure::Unusable(format!("standard input cannot be read: {error}")))?;
    Ok(StateFile::of("standard input", &text, Path::new(""))?)
}

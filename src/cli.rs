//! The command line, one file per subcommand. `serve` runs the service; most others are for people and use the REST
//! API of a running service, which makes all decisions. Only this layer prints to standard output.
//!
//! | module | content |
//! |---|---|
//! | [`serve`], [`health`] | the service; a readiness check for its container |
//! | [`config`], [`engines`] | the files that this program reads; the engines of a fleet, from its settings |
//! | [`admin`], [`backup`], [`restore`], [`restoring`], [`fsck`] | commands on a data folder, by [`admin`](crate::admin) |
//! | [`apply`], [`export`] | the state file: putting it into effect, and writing it |
//! | [`group`], [`member`], [`user`], [`token`], [`cache`], [`audit`], [`upstream`] | subcommands for one kind of object of a running service |
//! | [`login`], [`snippet`], [`explain`] | an API token for a password; lines for clients; who may pull, and by which rule |
//! | [`check`], [`mod@bench`], [`image`], [`refusal`] | pulls as a client makes them: step by step, or as a load; names of images, and error bodies |
//! | [`client`], [`connection`], [`credentials`] | the HTTP client of the subcommands; their options for the service, and for a pull |
//! | [`secret_file`], [`confirmation`], [`if_missing`] | new files of secrets; the question before a removal; scripts that run again |
//! | [`output`], [`byte_bar`], [`failure`] | output on the terminal; errors with their exit codes |
//! | [`documents`] | completions and the manual |

mod admin;
mod apply;
mod audit;
mod backup;
mod bench;
mod byte_bar;
mod cache;
mod check;
mod client;
mod config;
mod confirmation;
mod connection;
mod credentials;
mod documents;
mod engines;
mod explain;
mod export;
mod failure;
mod fsck;
mod group;
mod health;
mod if_missing;
mod image;
mod login;
mod member;
mod output;
mod refusal;
mod restore;
mod restoring;
mod secret_file;
mod serve;
mod snippet;
mod token;
mod upstream;
mod user;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use failure::Failure;

const EXIT_CODES: &str = "\
Exit codes:
  0  done; with `apply --dry-run`: nothing differs
  1  the service or a registry refused, a step of `check` failed, `explain` found that a pull is refused, `bench`
     measured nothing or received wrong content, `admin` changed nothing, `backup` or `restore` did nothing, `fsck`
     found something broken that is not repaired, or a change was not confirmed
  2  the command line is invalid; with `apply --dry-run`: the service differs from the file
  3  the service cannot be reached
  4  the settings are invalid, the service cannot start, `fsck` cannot examine the store, or the file of `apply`, or one
     that it names, cannot be used";

/// A private pull-through cache for container images, with access rules per group.
#[derive(Debug, Parser)]
#[command(name = "dependency-proxy", version, after_help = EXIT_CODES, args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(flatten)]
    serve: serve::ServeArgs,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the service; this is the default. With --check, only check its settings.
    #[command(after_help = "Example: dependency-proxy serve --config /etc/dependency-proxy/config.toml")]
    Serve(serve::ServeArgs),
    /// Exchange a user's password for an API token, which the other commands need.
    #[command(after_help = "Example: dependency-proxy login --username alice --password-stdin < alice.password")]
    Login(login::LoginArgs),
    /// Users: create, list, show, change, password, block, unblock, delete.
    User(user::UserArgs),
    /// Groups: create, list, show, change, delete, purge, and upstream-account for their accounts at registries.
    Group(group::GroupArgs),
    /// Images that groups have cached: list, warm, delete, pin, unpin, refresh, pulls, usage.
    Cache(cache::CacheArgs),
    /// Members of a group: add, list, change, remove.
    Member(member::MemberArgs),
    /// Tokens: create, list, show, rotate, extend, revoke.
    Token(token::TokenArgs),
    /// Make users, groups, members, tokens and settings of groups as a file says; prints the changes and asks before
    #[command(after_help = "Examples:\n\
\x20 dependency-proxy apply --file company.toml --dry-run\n\
\x20 dependency-proxy apply --file company.toml --prune --yes")]
    Apply(apply::ApplyArgs),
    /// Write users, groups, members, tokens and settings of groups as a file for `apply`, without secrets
    #[command(after_help = "Examples:\n\
\x20 dependency-proxy export --toml > company.toml\n\
\x20 dependency-proxy export --group team --url https://images.example.com")]
    Export(export::ExportArgs),
    /// JSON schemas of the settings file and of the file of `apply`
    Config(config::ConfigArgs),
    /// Audit events: who changed what, and what was refused. list, follow.
    Audit(audit::AuditArgs),
    /// Write users, groups, tokens and settings to one file, also while the service runs.
    #[command(after_help = "Example:\n\
\x20 dependency-proxy backup --config /etc/dependency-proxy/config.toml --output backup.json")]
    Backup(backup::BackupArgs),
    /// Restore a backup into the data folder of a stopped service.
    ///
    /// Lists the credentials that were revoked since the backup and become valid again, and asks for confirmation. The
    /// present identities are kept in another place. The signing keys are replaced by those of the backup, if it has
    /// them, or by a new one.
    #[command(after_help = "Example: dependency-proxy restore --data /var/lib/dependency-proxy --from backup.json")]
    Restore(restore::RestoreArgs),
    /// The data folder of a service: reset (of the administrator's password), rotate-key, rotate-account-key, export,
    /// restore, and share, which moves it into a fleet.
    Admin(admin::AdminArgs),
    /// Examine the store of a stopped service: every file against its digest, the index against the files, and what is
    /// counted against what is stored. Changes nothing, except with --repair.
    #[command(after_help = "Examples:\n\
\x20 dependency-proxy fsck --config /etc/dependency-proxy/config.toml\n\
\x20 dependency-proxy fsck --data /var/lib/dependency-proxy --repair")]
    Fsck(fsck::FsckArgs),
    /// Run the steps of a pull through the running service one by one and report the first that fails, and why;
    /// `upstream check` does so from the service to a registry.
    #[command(after_help = "Example:\n\
\x20 dependency-proxy check --group team --username runner --secret-file secrets/team-runner --image alpine:3.22")]
    Check(check::CheckArgs),
    /// Explain whether somebody may pull through a group, by which rule, and how fresh the image is.
    Explain(explain::ExplainArgs),
    /// Upstream registries: list their states, check that one can be reached and accepts its accounts.
    Upstream(upstream::UpstreamArgs),
    /// Measure pulls of many clients at once, from this service or any registry.
    #[command(after_help = "Example:\n\
\x20 dependency-proxy bench --group team --image alpine:3.22 --username runner --secret-file secrets/team-runner --clients 50")]
    Bench(Box<bench::BenchArgs>),
    /// Print the lines with which a client pulls through a group: GitLab CI, containerd and others.
    Snippet(snippet::SnippetArgs),
    /// Check that the service is ready; for health checks of containers.
    #[command(after_help = "Example: dependency-proxy health --url http://127.0.0.1:5050")]
    Health(health::HealthArgs),
    /// Print a completion script for a shell.
    #[command(after_help = "Example: dependency-proxy completions bash > /etc/bash_completion.d/dependency-proxy")]
    Completions(documents::CompletionsArgs),
    /// Write the manual pages to a folder; for packages.
    #[command(hide = true)]
    #[command(after_help = "Example: dependency-proxy manual /usr/local/share/man/man1")]
    Manual(documents::ManualArgs),
}

/// Runs the command line of this process, and returns its exit code.
pub fn run() -> ExitCode {
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) => error.exit(),
    };
    match perform(line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::print_error(&failure.to_string());
            failure.exit_code()
        }
    }
}

fn perform(line: CommandLine) -> Result<(), Failure> {
    match line.verb {
        None => line.serve.run(),
        Some(Verb::Serve(args)) => args.run(),
        Some(Verb::Login(args)) => block_on(args.run()),
        Some(Verb::User(args)) => block_on(args.run()),
        Some(Verb::Group(args)) => block_on(args.run()),
        Some(Verb::Cache(args)) => block_on(args.run()),
        Some(Verb::Member(args)) => block_on(args.run()),
        Some(Verb::Token(args)) => block_on(args.run()),
        Some(Verb::Apply(args)) => block_on(args.run()),
        Some(Verb::Export(args)) => block_on(args.run()),
        Some(Verb::Config(args)) => args.run(),
        Some(Verb::Audit(args)) => block_on(args.run()),
        Some(Verb::Backup(args)) => block_on(args.run()),
        Some(Verb::Restore(args)) => block_on(args.run()),
        Some(Verb::Admin(args)) => block_on(args.run()),
        Some(Verb::Fsck(args)) => args.run(),
        Some(Verb::Check(args)) => block_on(args.run()),
        Some(Verb::Explain(args)) => block_on(args.run()),
        Some(Verb::Upstream(args)) => block_on(args.run()),
        Some(Verb::Bench(args)) => block_on(args.run()),
        Some(Verb::Snippet(args)) => args.run(),
        Some(Verb::Health(args)) => block_on(args.run()),
        Some(Verb::Completions(args)) => args.run(CommandLine::command()),
        Some(Verb::Manual(args)) => args.run(CommandLine::command()),
    }
}

/// Runs a subcommand that needs only one thread and no actors.
fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::Input(format!("cannot start: {error}")))?.block_on(work)
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        CommandLine::command().debug_assert();
    }

    /// Returns all subcommands that have none below them, with their names.
    fn verbs(above: &str, command: &Command) -> Vec<(String, Command)> {
        let below = command.get_subcommands().filter(|below| below.get_name() != "help");
        let below: Vec<_> = below.flat_map(|below| verbs(&format!("{above} {}", below.get_name()), below)).collect();
        if below.is_empty() { vec![(above.trim().to_owned(), command.clone())] } else { below }
    }

    fn all_verbs() -> Vec<(String, Command)> {
        let mut command = CommandLine::command();
        // Gives every subcommand the options that are global above it.
        command.build();
        verbs("", &command)
    }

    #[test]
    fn every_verb_prints_json_or_there_is_a_reason_why_not() {
        let reasons = [
            ("completions", "prints a script"),
            ("manual", "prints nothing"),
            ("config schema", "prints JSON in any case"),
        ];
        let all = all_verbs();
        assert!(all.len() > 40, "{}", all.len());
        for (name, command) in all {
            let has_json = command.get_arguments().any(|argument| argument.get_long() == Some("json"));
            let has_reason = reasons.iter().any(|(verb, _)| *verb == name);
            assert!(has_json != has_reason, "{name}: --json is {has_json}, with a reason: {has_reason}");
        }
    }

    #[test]
    fn every_verb_has_examples_that_are_valid() {
        for (name, command) in all_verbs() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<&str> =
                help.lines().filter_map(|line| line.split_once("dependency-proxy ")).map(|(_, rest)| rest).collect();
            assert!(help.starts_with("Example") && !examples.is_empty(), "{name} has no example: {help}");
            for example in examples {
                let words = example.split_whitespace().take_while(|word| !["<", ">", "|"].contains(word));
                let words: Vec<&str> = std::iter::once("dependency-proxy").chain(words).collect();
                assert!(example.starts_with(&name), "{example} is an example of {name}");
                let parsed = CommandLine::try_parse_from(words);
                assert!(parsed.is_ok(), "{example}: {:?}", parsed.err().map(|error| error.to_string()));
            }
        }
    }

    #[test]
    fn serve_is_what_is_done_when_nothing_is_said() {
        let line = CommandLine::try_parse_from(["dependency-proxy", "--config", "x.toml"]);
        assert!(line.is_ok_and(|line| line.verb.is_none()));
    }
}

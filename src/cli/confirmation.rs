//! Confirmation: before a subcommand removes more than the named object, it lists the further losses and asks.
//! Scripts pass `--yes`.

use std::io::IsTerminal;

use clap::Args;
use serde_json::Value;

use super::failure::Failure;
use super::output::{bytes as size, print_note};

/// The option `--yes`, which confirms in advance.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Confirmation {
    /// Do not ask for confirmation; required where standard input is no terminal
    #[arg(long)]
    yes: bool,
}

const NO_TERMINAL: &str =
    "nothing was changed: standard input is no terminal, so that nobody can confirm. Add --yes to skip the question";

impl Confirmation {
    /// Prints the intention and the losses to standard error, and asks as [`Self::ask`] does.
    pub(super) fn of(self, intention: &str, loss: &Value) -> Result<(), Failure> {
        print_note(intention);
        let lines = lines(loss);
        if lines.is_empty() {
            print_note("  nothing else");
        }
        lines.iter().for_each(|line| print_note(line));
        self.ask()
    }

    /// Asks whether to continue. Fails unless the user confirms, and where standard input is no terminal.
    pub(super) fn ask(self) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            return Err(Failure::Unconfirmed(NO_TERMINAL));
        }
        print_note("Go on? [y/N]");
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer);
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" if read.is_ok() => Ok(()),
            _ => Err(Failure::Unconfirmed("nothing was changed: it was not confirmed")),
        }
    }
}

/// Prints to standard error the other objects whose ends a change of a token brought forward, if there are any.
pub(super) fn note_brought_forward(changed: &Value) {
    let lines = lines(&changed["brought_forward"]);
    if !lines.is_empty() {
        print_note("What the token created ended later than it does now, and ends with it:");
        lines.iter().for_each(|line| print_note(line));
    }
}

/// Returns true where anything would be lost.
pub(super) fn is_loss(loss: &Value) -> bool {
    !lines(loss).is_empty()
}

/// Formats the losses, one line per kind.
fn lines(loss: &Value) -> Vec<String> {
    let kinds = [("groups", "group", "groups"), ("users", "user", "users"), ("members", "member", "members")];
    let kinds = kinds.into_iter().chain([("tokens", "token", "tokens")]);
    let mut lines: Vec<String> = kinds.filter_map(|(key, one, many)| line(&loss[key], one, many)).collect();
    if loss.get("cache").is_some_and(Value::is_null) {
        lines.push("  cached: the service cannot count it now".to_owned());
    }
    if let (Some(tags), Some(bytes)) = (loss["cache"]["tags"].as_u64(), loss["cache"]["bytes"].as_u64()) {
        let images = if tags == 1 { "image tag" } else { "image tags" };
        lines.push(format!("  cached: {tags} {images}, {} (less where other groups have the same)", size(bytes)));
    }
    lines
}

fn line(listed: &Value, one: &str, many: &str) -> Option<String> {
    let total = listed["total"].as_u64().filter(|total| *total > 0)?;
    let names: Vec<String> =
        listed["names"].as_array()?.iter().filter_map(Value::as_str).map(|name| name.replace('\n', " ")).collect();
    let more = total - (names.len() as u64).min(total);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(format!("  {total} {}: {}{more}", if total == 1 { one } else { many }, names.join(", ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_that_goes_has_a_line_and_long_lists_say_how_long_they_are() {
        let loss = json!({
            "groups": {"total": 1, "names": ["team/ci"]},
            "users": {"total": 0, "names": []},
            "tokens": {"total": 5, "names": ["'a' in team", "'b' in team"]},
            "cache": {"tags": 2, "bytes": 3_400_000},
        });
        assert_eq!(
            lines(&loss),
            [
                "  1 group: team/ci",
                "  5 tokens: 'a' in team, 'b' in team and 3 more",
                "  cached: 2 image tags, 3.4 MB (less where other groups have the same)",
            ]
        );
        assert_eq!(lines(&json!({"cache": null})), ["  cached: the service cannot count it now"]);
        assert!(!is_loss(&json!({"tokens": {"total": 0, "names": []}})));
    }

    #[test]
    fn yes_needs_no_terminal() {
        assert!(Confirmation { yes: true }.ask().is_ok());
    }
}

//! `completions` and `manual`: documents that packages install beside the binary, generated from the command line.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

use super::failure::Failure;

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Arguments of `manual`.
#[derive(Debug, Args)]
pub(super) struct ManualArgs {
    /// Folder for the pages: one for the command and one for each subcommand
    folder: PathBuf,
}

impl CompletionsArgs {
    /// Prints the script to standard output.
    pub(super) fn run(self, mut command: Command) -> Result<(), Failure> {
        let (name, mut script) = (command.get_name().to_owned(), Vec::new());
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        let mut out = std::io::stdout().lock();
        // A reader that has closed the pipe is no error.
        let _ = out.write_all(&script).and_then(|()| out.flush());
        Ok(())
    }
}

impl ManualArgs {
    /// Writes the pages. Fails where the folder cannot be written.
    pub(super) fn run(self, command: Command) -> Result<(), Failure> {
        let written = clap_mangen::generate_to(command, &self.folder);
        written.map_err(|error| Failure::Input(format!("{}: {error}", self.folder.display())))
    }
}

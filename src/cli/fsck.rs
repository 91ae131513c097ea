//! `fsck`: examines the store of a stopped service, repairs it on request, and prints what is broken.

mod progress;
mod summary;

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::byte_bar::ByteBar;
use super::failure::Failure;
use super::output::{bytes, number_of, print_line, printable};
use crate::admin::fsck::{self, Finding, Findings, Folders, Outcome, Repaired};
use crate::settings::Settings;

/// Arguments of `fsck`.
#[derive(Debug, Args)]
pub(super) struct FsckArgs {
    /// TOML file with the settings of the service, which name its folders; without it, and without --data, the folders
    /// are the default ones, or those that the environment variables of the service name
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    config: Option<PathBuf>,
    /// Data folder of the service (storage.data_dir)
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Cache folder of the service (storage.cache_dir); by default the folder cache in the data folder, if the index
    /// was built from it, or else the one that was used last
    #[arg(long, value_name = "DIR", requires = "data")]
    cache: Option<PathBuf>,
    /// File of the signing keys, if the settings name another one (auth.key_file) than jwt-keys in the data folder. It
    /// is named in the advice to restore damaged identities
    #[arg(long, value_name = "FILE", requires = "data")]
    key_file: Option<PathBuf>,
    /// Repair what is broken: move damaged and foreign files to the folder quarantine in the cache folder, and correct
    /// the index by the files
    #[arg(long)]
    repair: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Maximum number of findings of one kind that are printed for people.
const MAX_SHOWN: usize = 10;

impl FsckArgs {
    /// Examines the store and prints the result.
    pub(super) fn run(self) -> Result<(), Failure> {
        let folders = match self.data {
            Some(data) => Folders { data, cache: self.cache, key_file: self.key_file },
            None => {
                let Settings { storage, auth, .. } = Settings::load(self.config.as_deref(), std::env::vars_os())?;
                Folders { data: storage.data_dir, cache: Some(storage.cache_dir), key_file: auth.key_file }
            }
        };
        let bar = ByteBar::new();
        let outcome = fsck::fsck(folders, self.repair, &|reported| progress::show(&bar, reported));
        bar.clear();
        let outcome = outcome?;
        if self.json {
            print_line(&format!("{:#}", as_json(&outcome)));
        } else {
            print(&outcome);
        }
        match outcome.broken() {
            0 => Ok(()),
            broken => Err(Failure::Broken(verdict(&outcome, broken))),
        }
    }
}

fn print(outcome: &Outcome) {
    print_findings(&outcome.report.findings);
    print_line(&summary::table(&outcome.report));
    if let Some(repaired) = &outcome.repaired {
        print_repaired(repaired);
    }
    let (folder, quarantined) = (outcome.quarantine.display(), outcome.quarantined);
    if quarantined.files > 0 {
        let (files, size) = (number_of(quarantined.files, "file"), bytes(quarantined.bytes));
        print_line(&printable(&format!(
            "{folder} has what was broken: {files} ({size}). Nothing needs that; to remove it: rm -r '{folder}'"
        )));
    }
    if outcome.broken() == 0 {
        let repaired = outcome.report.findings.broken() > 0;
        print_line(if repaired { "Everything that was broken is repaired." } else { "Nothing is broken." });
    }
}

/// Prints the first findings of each kind, and the number of the others.
fn print_findings(findings: &Findings) {
    for (kind, number) in findings.numbers() {
        let of_kind = findings.kept().iter().filter(|finding| finding.kind() == *kind);
        let shown: Vec<&Finding> = of_kind.take(MAX_SHOWN).collect();
        for finding in &shown {
            print_line(&printable(&format!("{kind:<15} {finding}")));
        }
        let more = number.saturating_sub(shown.len() as u64);
        if more > 0 {
            print_line(&format!("{kind:<15} and {more} more"));
        }
    }
}

fn print_repaired(Repaired { quarantined, rewritten, removed, index, left, failures }: &Repaired) {
    let index = if *index { "; the index was corrected" } else { "" };
    let quarantined = number_of(*quarantined, "file");
    print_line(&format!("Put into quarantine: {quarantined}; written again: {rewritten}; removed: {removed}{index}."));
    if left.broken() > 0 {
        print_line("These are left:");
        print_findings(left);
    }
    for (path, error) in failures {
        print_line(&printable(&format!("{} could not be repaired: {error}", path.display())));
    }
}

fn verdict(outcome: &Outcome, broken: u64) -> String {
    let numbers = |findings: &Findings| findings.numbers().get("identities").copied().unwrap_or_default();
    let found = number_of(broken, "finding");
    match &outcome.repaired {
        Some(repaired) if repaired.left.broken() == numbers(&repaired.left) && repaired.failures.is_empty() => {
            "the identities are not repaired here; the sentence above names the command".to_owned()
        }
        Some(_) => format!("{found} could not be repaired"),
        None if broken == numbers(&outcome.report.findings) => {
            "the identities are broken, and --repair does not repair them; the sentence above names the command"
                .to_owned()
        }
        None => format!("{found}; run the command again with --repair to repair the store"),
    }
}

fn as_json(outcome: &Outcome) -> Value {
    let repaired = |repaired: &Repaired| {
        let failure = |(path, error): &(PathBuf, String)| json!({"path": path.display().to_string(), "error": error});
        json!({
            "quarantined": repaired.quarantined,
            "rewritten": repaired.rewritten,
            "removed": repaired.removed,
            "index": repaired.index,
            "left": findings_as_json(&repaired.left),
            "failures": repaired.failures.iter().map(failure).collect::<Vec<_>>(),
        })
    };
    json!({
        "clean": outcome.broken() == 0,
        "examined": summary::as_json(&outcome.report.examined),
        "numbers": outcome.report.findings.numbers(),
        "findings": findings_as_json(&outcome.report.findings),
        "repaired": outcome.repaired.as_ref().map(repaired),
        "quarantine": {
            "path": outcome.quarantine.display().to_string(),
            "files": outcome.quarantined.files,
            "bytes": outcome.quarantined.bytes,
        },
    })
}

fn findings_as_json(findings: &Findings) -> Value {
    let finding = |finding: &Finding| {
        let path = finding.path().map(|path| path.display().to_string());
        json!({"kind": finding.kind(), "path": path, "text": finding.to_string()})
    };
    findings.kept().iter().map(finding).collect()
}

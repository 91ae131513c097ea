//! Report file, for programs and for later comparisons.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use serde_json::json;

use super::finding::Finding;
use super::machine::Machine;

/// Writes `bench-results/throughput.json` beside `temporary`, and returns its path. Fails where it cannot be written.
pub fn write(
    temporary: &Path,
    machine: &Machine,
    rounds: usize,
    round: Duration,
    findings: &[Finding],
) -> io::Result<PathBuf> {
    let folder = temporary.with_file_name("bench-results");
    fs::create_dir_all(&folder)?;
    let report = json!({
        "machine": machine.to_json(),
        "rounds": rounds,
        "seconds": round.as_secs_f64(),
        "rows": findings.iter().map(Finding::to_json).collect::<Vec<_>>(),
    });
    let file = folder.join("throughput.json");
    fs::write(&file, format!("{report:#}\n"))?;
    Ok(file)
}

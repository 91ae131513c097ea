//! `cargo bench -p benches --bench startup`: time from the start of the real binary until it is ready, and its memory
//! when idle, with a small store and with a million entries in the index. Prints a table, writes
//! `target/bench-results/startup.json`, and asserts no duration.
//!
//! `filled` describes the entries. "evicted" means that the files of the index were dropped from the page cache
//! before. Readiness is the first 200 of `/readyz`. Memory is measured five seconds after that, and for the million
//! links once more after all periodic tasks of the service have run.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    missing_docs,
    unreachable_pub,
    reason = "what fails here ends the run, and nothing outside this binary sees its items"
)]

mod store;

use std::path::Path;
use std::time::Duration;

use benches::filled::{self, Kind};
use benches::process::{Measured, Process};
use comfy_table::Table;
use serde_json::{Value, json};

const MILLION: u64 = 1_000_000;
const RUNS: usize = 3;
const IDLE_TIME: Duration = Duration::from_secs(5);
/// Time in which all periodic tasks run: the flush of the index, the export of identities, the sweep for
/// deleted groups.
const PERIODIC_TASKS_TIME: Duration = Duration::from_secs(70);
const MIB: f64 = 1_048_576.0;

/// A store, with its aims.
struct Row {
    name: &'static str,
    kind: Kind,
    entries: u64,
    evicted: bool,
    idle: Duration,
    max_seconds: f64,
    max_mib: f64,
}

const ROW: Row = Row {
    name: "1,000,000 links",
    kind: Kind::Links,
    entries: MILLION,
    evicted: false,
    idle: IDLE_TIME,
    max_seconds: 1.0,
    max_mib: 128.0,
};

const ROWS: [Row; 6] = [
    Row { name: "small store", entries: 10, max_mib: 32.0, ..ROW },
    ROW,
    Row { name: "1,000,000 links, evicted", evicted: true, ..ROW },
    Row { name: "1,000,000 tags", kind: Kind::Tags, ..ROW },
    Row { name: "1,000,000 tags, evicted", kind: Kind::Tags, evicted: true, ..ROW },
    Row { name: "1,000,000 links, after 70 s", idle: PERIODIC_TASKS_TIME, ..ROW },
];

fn main() {
    if !wanted() {
        return;
    }
    let mut table = Table::new();
    table.set_header([
        "store",
        "listening",
        "ready",
        "of 1 s",
        "RSS",
        "peak RSS",
        "of the limit",
        "CPU start",
        "CPU idle",
    ]);
    let mut results = Vec::new();
    for row in &ROWS {
        let measured = row.measure();
        let cells = row.cells(&measured);
        eprintln!("{}", cells.join(" | "));
        table.add_row(cells);
        results.push(row.json(&measured));
    }
    println!("{table}");
    println!("Medians of {RUNS}. Limits: 32 MiB for a small store, else 128 MiB. CPU time in seconds.");
    let path = write(&json!({ "runs": RUNS, "rows": results }));
    println!("Written to {path}");
}

/// Returns true where this bench is selected: `cargo test --all-targets` runs benches too, and `cargo bench NAME`
/// those of other names.
fn wanted() -> bool {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut filters = arguments.iter().filter(|argument| !argument.starts_with('-'));
    arguments.iter().any(|argument| argument == "--bench")
        && (filters.clone().count() == 0 || filters.any(|filter| "startup".contains(filter.as_str())))
}

impl Row {
    /// Measures several times and returns the medians.
    fn measure(&self) -> Measured {
        let folder = filled::folder(Path::new(env!("CARGO_TARGET_TMPDIR")), self.kind, self.entries);
        store::make_groups(&folder);
        let runs = if self.idle == IDLE_TIME { RUNS } else { 1 };
        let measured: Vec<Measured> = (0..runs).map(|_| self.measure_once(&folder)).collect();
        Measured::medians(&measured)
    }

    fn measure_once(&self, folder: &Path) -> Measured {
        if self.evicted {
            store::evict(&folder.join("index"));
        }
        let mut process = Process::start(folder);
        process.wait_until_ready();
        process.measure_after(self.idle)
    }

    fn cells(&self, measured: &Measured) -> Vec<String> {
        let seconds = |value: f64| format!("{value:.3} s");
        let mib = |bytes: f64| format!("{:.1} MiB", bytes / MIB);
        vec![
            self.name.to_owned(),
            seconds(measured.listening),
            seconds(measured.ready),
            format!("{:.2}", measured.ready / self.max_seconds),
            mib(measured.rss),
            mib(measured.peak_rss),
            format!("{:.2}", measured.peak_rss / MIB / self.max_mib),
            seconds(measured.cpu_until_ready),
            seconds(measured.cpu_idle),
        ]
    }

    fn json(&self, measured: &Measured) -> Value {
        json!({
            "store": self.name,
            "entries": self.entries,
            "evicted": self.evicted,
            "idle_seconds": self.idle.as_secs(),
            "listening_seconds": measured.listening,
            "ready_seconds": measured.ready,
            "ready_of_most": measured.ready / self.max_seconds,
            "rss_bytes": measured.rss,
            "peak_rss_bytes": measured.peak_rss,
            "peak_rss_of_most": measured.peak_rss / MIB / self.max_mib,
            "cpu_seconds_until_ready": measured.cpu_until_ready,
            "cpu_seconds_idle": measured.cpu_idle,
        })
    }
}

fn write(results: &Value) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench-results");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("startup.json");
    std::fs::write(&path, serde_json::to_string_pretty(results).unwrap()).unwrap();
    path.display().to_string()
}

//! `cargo bench -p benches --bench throughput`: comparison of the service with the servers that people use today, on
//! the same machine and data, in one run. `benches/README.md` describes the methods, and `--list` names the rows.

use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    benches::throughput::run(Path::new(env!("CARGO_TARGET_TMPDIR")))
}

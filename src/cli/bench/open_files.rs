//! Every connection is an open file: asks the system for as many as it allows, and says where that is too few.

use crate::server::raise_open_files;

/// What is open besides the connections.
const OTHERS: u64 = 64;

/// A sentence where so many connections may not be possible at once.
pub(super) fn too_few_for(connections: u64) -> Option<String> {
    let allowed = raise_open_files().filter(|allowed| *allowed < connections + OTHERS)?;
    Some(format!("only {allowed} files may be open, and {connections} connections may be needed: see ulimit -n"))
}

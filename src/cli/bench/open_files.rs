//! Limit of open files, of which every connection is one: raises it as far as the operating system allows, and warns
//! where that is too little.

use crate::server::raise_open_files;

/// Number of open files besides the connections.
const OTHER_OPEN_FILES: u64 = 64;

/// Returns a warning where this number of connections may exceed the limit.
pub(super) fn too_few_for(connections: u64) -> Option<String> {
    let allowed = raise_open_files().filter(|allowed| *allowed < connections + OTHER_OPEN_FILES)?;
    Some(format!(
        "up to {connections} connections may be needed, but only {allowed} open files are allowed; raise ulimit -n"
    ))
}

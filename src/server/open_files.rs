//! Raises the soft limit of open files to the hard one: each connection and each open blob takes one, and many systems
//! start a program with 1024.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// As many as the system allows to this process. A refusal is no reason not to serve.
pub(super) fn allow_many() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let (was, may) = (told(current), told(maximum));
    if current == maximum {
        return tracing::info!(limit = may, "open files are limited");
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => tracing::info!(was, limit = may, "open files are limited"),
        Err(error) => tracing::warn!(limit = was, %error, "the limit of open files cannot be raised"),
    }
}

fn told(limit: Option<u64>) -> u64 {
    limit.unwrap_or(u64::MAX)
}

//! Kinds of measured servers.

/// A measured server. The order is that of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The release binary, with all access checks.
    Ours,
    /// nginx serving the raw files: the upper limit of the machine.
    Nginx,
    /// nginx as a caching proxy with `proxy_cache_lock`.
    ProxyCache,
    /// Debian's docker-registry as a pull-through cache.
    Distribution,
    /// Upstream itself: for a client that uses upstream directly.
    Direct,
    /// This service without a fleet, beside a fleet.
    Embedded,
    /// One replica of a fleet, beside all of them.
    OneReplica,
}

/// All servers that `--servers` selects, in the order of a round.
pub const ALL: &[Kind] = &[Kind::Ours, Kind::Nginx, Kind::ProxyCache, Kind::Distribution];

impl Kind {
    /// Returns false for what others are compared with, which is measured whenever they are.
    pub fn is_selectable(self) -> bool {
        ALL.contains(&self)
    }

    /// Returns the name in the tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Nginx => "nginx",
            Self::ProxyCache => "proxy_cache",
            Self::Distribution => "distribution",
            Self::Direct => "direct",
            Self::Embedded => "embedded",
            Self::OneReplica => "one replica",
        }
    }
}

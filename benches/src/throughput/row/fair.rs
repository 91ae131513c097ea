//! Loads of pulls beside other clients, as data.

use std::fmt;

/// The clients beside which a group pulls cached images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// A herd of another group that pulls one cached manifest by its tag, on this number of connections.
    Manifests(usize),
    /// A herd of another group that pulls one cached blob of 100 MiB, on this number of connections.
    Blobs(usize),
    /// A herd of another group in which each client pulls images that are not cached.
    Cold(usize),
    /// Browsers that load the page of the same group again and again, on this number of connections.
    Pages(usize),
    /// Connections of another group: 1,000 on which nothing is requested any more, and 100 whose clients have requested
    /// a blob of 100 MiB and do not read it.
    Silent,
}

impl fmt::Display for Beside {
    /// Formats the name of the row.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let herd = "fair: pulls of cached images beside another group's";
        match self {
            Self::Manifests(clients) => write!(f, "{herd} {clients} clients of a cached manifest"),
            Self::Blobs(clients) => write!(f, "{herd} {clients} clients of a cached blob of 100 MiB"),
            Self::Cold(clients) => write!(f, "{herd} {clients} clients of images that are not cached"),
            Self::Pages(clients) => {
                write!(
                    f,
                    "pages: pulls of cached images beside {clients} clients that load the page of the group in a loop"
                )
            }
            Self::Silent => {
                f.write_str("idle: pulls of cached images beside 1,000 idle connections and 100 stalled readers")
            }
        }
    }
}

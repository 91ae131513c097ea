//! Loads of a fleet of replicas, as data.

use std::fmt;

/// Measurement of a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shared {
    /// Hits of one replica, beside the service without a fleet.
    Hit(Content),
    /// Hits of three replicas, each with a share of a processor, beside those of one.
    Hits,
    /// Clients of all replicas that download one blob which no replica has.
    Download,
    /// The same where the replica that receives the blob is lost.
    Lost(Loss),
    /// Hits while an engine is down.
    Outage(Engine),
    /// Pulls of small images that no replica has, from three replicas beside one. True: each with a share of a
    /// processor.
    Cold(bool),
}

/// Content of a hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A manifest by its tag.
    Manifest,
    /// A blob of 1 KiB.
    Blob,
}

/// The way in which a replica is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Its process is killed.
    Killed,
    /// Its process stands still (SIGSTOP).
    Stopped,
    /// No byte passes between it and the engines, the other replicas and upstream.
    CutOff,
}

/// An engine that replicas share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// PostgreSQL.
    Database,
    /// The object store.
    Bucket,
}

impl fmt::Display for Shared {
    /// Formats the name of the row.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hit(Content::Manifest) => "fleet: a hit of a replica beside embedded, manifest by tag",
            Self::Hit(Content::Blob) => "fleet: a hit of a replica beside embedded, blob 1 KiB",
            Self::Hits => "fleet: hits of 3 replicas with a fifth of a processor each beside 1, manifest by tag",
            Self::Download => {
                "fleet: one download, 300 clients of 3 replicas arriving during it, slow (10 MB/s) upstream"
            }
            Self::Lost(Loss::Killed) => "fleet: the replica that downloads is killed at half",
            Self::Lost(Loss::Stopped) => "fleet: the replica that downloads is stopped (SIGSTOP) at half",
            Self::Lost(Loss::CutOff) => "fleet: the replica that downloads is cut off at half",
            Self::Outage(Engine::Database) => "fleet: the database is down for 60 s, hits",
            Self::Outage(Engine::Bucket) => "fleet: the bucket is down for 60 s, hits",
            Self::Cold(false) => "fleet: pulls of cold small images from 3 replicas beside 1",
            Self::Cold(true) => {
                "fleet: pulls of cold small images from 3 replicas with a fifth of a processor each beside 1"
            }
        })
    }
}

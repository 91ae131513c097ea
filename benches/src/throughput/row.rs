//! A row of the comparison, as data.

pub mod cold;
pub mod fair;
pub mod fleet;
pub mod hit;

use self::cold::Cold;
use self::fair::Beside;
use self::fleet::Shared;
use self::hit::Hit;
use crate::throughput::contender::Kind;
use crate::throughput::results::{Aim, Figure};

/// One row of the comparison.
#[derive(Clone, Debug)]
pub struct Row {
    /// Name of the row, which the words on the command line select.
    pub name: String,
    /// Servers that are measured.
    pub contenders: Vec<Kind>,
    /// Main figure of the row.
    pub figure: Figure,
    /// Aims for this service.
    pub aims: Vec<Aim>,
    /// Load of the row.
    pub work: Work,
}

/// Load of a row.
#[derive(Clone, Debug)]
pub enum Work {
    /// Repeated requests for content that is cached.
    Hit(Hit),
    /// No requests; measures memory.
    Idle,
    /// Requests for content that is not cached, or while upstream is unavailable.
    Cold(Cold),
    /// Pulls beside other clients.
    Fair(Beside),
    /// Requests to replicas of a fleet.
    Fleet(Shared),
}

impl Work {
    /// Returns true where both rows can be measured on the same running servers.
    pub fn shares_servers_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Hit(one), Self::Hit(other)) => one.tls == other.tls && !one.alone && !other.alone,
            _ => false,
        }
    }
}

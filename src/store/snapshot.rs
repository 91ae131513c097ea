//! All identities at one time, as stores return them.

use crate::domain::directory::{Directory, Version};

/// All identities, after the change with this number.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The identities.
    pub directory: Directory,
    /// The number of the last change in them.
    pub version: Version,
    /// The history that the number belongs to, where replicas share a database; otherwise empty.
    pub history: String,
}

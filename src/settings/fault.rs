//! Faults of the settings while they are found.

use super::node::Place;

/// A key that is unknown, or whose value has a wrong type or is invalid.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) path: Vec<String>,
    pub(super) place: Place,
    pub(super) problem: String,
    pub(super) remedy: Remedy,
}

/// The change of the tree after which further faults are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// The default replaces the value.
    Default,
    /// The item with this index is removed from the list. Other items may be wrong, too.
    WithoutItem(usize),
    /// The value may be right, but needs this key beside it, which gets a substitute.
    StandIn(&'static str),
}

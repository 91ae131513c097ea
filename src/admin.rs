//! Commands on a data folder. [`backup`] and [`keys`] may be used beside a running service; the others open the store
//! of a stopped one. [`share`], [`backup`] and [`restore`] also work on the engines of a fleet.

pub mod backup;
pub mod engines;
pub mod fsck;
pub mod keys;
mod resealing;
pub mod reset;
pub mod restore;
pub mod share;

//! Commands on a data folder. [`backup`] and [`keys`] may be used beside a running service; the others open the store
//! of a stopped one.

pub mod backup;
pub mod fsck;
pub mod keys;
pub mod reset;
pub mod restore;

//! Commands on a stopped data folder: they open the store without a running service.

pub mod reset;
pub mod restore;

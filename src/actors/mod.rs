//! The actors: each the one owner of some changing state, or the queue before a scarce resource. The only room that knows
//! actix; callers see handles. No bytes of a blob pass through a mailbox.

mod abort_on_panic;
mod backoffs;
pub mod blob_cache;
pub mod expiring;
pub mod failure;
mod flights;
pub mod janitor;
pub mod last_used;
pub mod lists;
pub mod manifest_cache;
pub mod manifests;
pub mod memory_budget;

pub(crate) mod places;
pub mod policy_evaluator;
pub mod token_issuer;
mod unstored;
pub mod upstream_fetcher;

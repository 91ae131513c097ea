//! Actors: each owns one piece of mutable state, or bounds the use of one scarce resource. This is the only layer
//! that uses actix; its callers hold handles. No bytes of a blob pass through a mailbox.
//!
//! | actor | handle | owns |
//! |---|---|---|
//! | `ManifestCache` | `ManifestCacheHandle` | upstream requests for manifests that are under way, negative entries, backoffs |
//! | `BlobCache` | `BlobCacheHandle` | running downloads, and the `HEAD` requests for blobs that are under way |
//! | `PolicyEvaluator` | `PolicyEvaluatorHandle` | the directory of identities, as its only writer |
//! | `TokenIssuer` | `TokenIssuerHandle` | checks of passwords, and the counts of failed logins |
//! | `UpstreamFetcher` | `UpstreamHandle` | the thread on which upstream connections live |
//! | `Janitor` | `JanitorHandle` | the timers of background work, and the queue of purges |
//!
//! The other modules are no actors: limits, memory accounting, errors and reports that several actors share.

mod abort_on_panic;
pub(crate) mod admission;
mod backoffs;
pub mod blob_cache;
pub mod cache_status;
pub mod expiring_tokens;
pub mod janitor;
pub mod last_used;
pub mod lists;
pub mod manifest_cache;
pub mod memory_budget;

pub mod policy_evaluator;
pub mod pull_failure;
mod single_flight;
pub mod token_issuer;
mod unstored_reports;
pub mod upstream_fetcher;

//! Operation: TLS, metrics, readiness, and the log.

mod callers;
mod checked_settings;
mod early_refusals;
mod emptied_cache;
mod first_start;
mod health;
mod kept_groups;
mod log;
pub mod metrics;
mod monitoring;
mod moved_cache;
mod packaging;
mod page;
mod places;
mod plain;
mod refusals;
mod reload;
mod restoring;
mod signals;
mod tls;
mod traces;
mod unread;
mod unstored;

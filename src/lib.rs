//! A private pull-through cache for container images.

pub mod auth;
pub mod domain;
pub mod store;

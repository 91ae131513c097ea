//! A private pull-through cache for container images.

pub mod actors;
pub mod auth;
pub mod domain;
pub mod http;
pub mod store;
pub mod upstream;

//! A private pull-through cache for container images.

pub mod actors;
pub mod auth;
pub mod cli;
pub mod domain;
pub mod http;
pub mod server;
pub mod settings;
pub mod store;
pub mod telemetry;
pub mod upstream;

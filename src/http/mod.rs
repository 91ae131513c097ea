//! The routes, and the only room that knows actix_web.

pub mod body;

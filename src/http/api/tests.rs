//! Tests of the REST API over an actix service, without a socket.

mod authentication;
mod company;
mod errors;
mod groups;
mod lifetimes;
mod lists;
mod maxima;
mod permissions;
mod secrets;

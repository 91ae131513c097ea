//! Tests of the REST API over an actix service, without a socket.

mod company;
mod lifetimes;
mod maxima;
mod permissions;
mod responses;

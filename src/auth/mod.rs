//! Secrets: making, digesting and checking them, and signing and verifying JWTs. Pure but for the random source; keeps
//! nothing but what tokens that were verified say, reads no file, and is the only room that knows jsonwebtoken and argon2.

pub mod jwt;
pub mod login;
pub mod login_limit;
pub mod password;
pub mod random;
pub mod secret;
pub mod sha256;
mod verified;

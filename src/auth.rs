//! Secrets: generating, hashing and verifying them, and signing and verifying JWTs. Pure except for the random source
//! and a memory cache of verified tokens; reads no file. The only layer that uses jsonwebtoken and argon2.

pub mod fleet_secret;
pub mod form_token;
pub mod jwt;
pub mod login;
pub mod login_limit;
pub mod password;
pub mod random;
pub mod sealing;
pub mod secret;
pub mod sha256;

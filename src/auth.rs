//! Secrets: generating, hashing and verifying them, and signing and verifying JWTs. Pure except for the random source
//! and a memory cache of verified tokens; reads no file. The only layer that uses jsonwebtoken and argon2.
//!
//! | module | content |
//! |---|---|
//! | [`login`] | from a secret or a bearer token to an identity: where another kind of credential is recognised |
//! | [`secret`], [`password`] | the secrets of tokens, and hashes of passwords |
//! | [`jwt`] | login tokens: the bearer tokens of the registry, and their keys |
//! | [`login_limit`] | limits on failed logins |
//! | [`form_token`] | tokens in the forms of the console |
//! | [`sealing`] | encryption of the passwords of groups' accounts |
//! | [`fleet_secret`] | keys that all replicas of a fleet derive from their secret |
//! | [`random`], [`sha256`] | random bits; SHA-256 of content |

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

//! Labels under which refusals are counted, where several modules name them: a few fixed words, independent of the
//! client.

/// The label of a request without a credential, with which every login begins.
pub(in crate::http) const LOGIN_NEEDED: &str = "login_needed";

/// The label of a secret that is wrong, of any kind.
pub(in crate::http) const WRONG_SECRET: &str = "wrong_secret";

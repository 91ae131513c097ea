//! Accounts and tokens of the fake registry.

use std::time::Instant;

/// An account of the registry.
pub(super) struct Account {
    pub(super) username: String,
    pub(super) password: String,
    pub(super) repositories: Vec<String>,
}

/// An issued token.
pub(super) struct Token {
    /// Repositories that were requested.
    pub(super) asked: Vec<String>,
    /// Those of them that it opens.
    pub(super) granted: Vec<String>,
    pub(super) until: Instant,
}

impl Token {
    pub(super) fn expire(&mut self) {
        self.until = Instant::now();
    }

    pub(super) fn opens(&self, repository: &String) -> bool {
        self.granted.contains(repository)
    }
}

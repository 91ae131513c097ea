//! The scopes of tokens, with GitLab's names (<https://docs.gitlab.com/user/profile/personal_access_tokens/>), and
//! the pairs of them that allow pulling (<https://docs.gitlab.com/user/packages/dependency_proxy/>).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One scope of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everything that the owner may do.
    Api,
    /// Everything that the owner may read over the REST API.
    ReadApi,
    /// Allows pulling, together with `write_registry`.
    ReadRegistry,
    /// Allows pulling, together with `read_registry`.
    WriteRegistry,
    /// Allows pulling, together with `write_virtual_registry`.
    ReadVirtualRegistry,
    /// Allows pulling, together with `read_virtual_registry`.
    WriteVirtualRegistry,
}

/// The scopes of one token: at least one, without duplicates, in a fixed order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Scope>", into = "Vec<Scope>")]
pub struct Scopes(Vec<Scope>);

/// The reason why a list of scopes is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// The list is empty.
    #[error("scopes can't be blank")]
    Empty,
    /// A name in the list is not a scope.
    #[error("'{0}' is not a scope; the scopes are {list}", list = Scope::ALL.map(Scope::as_str).join(", "))]
    Unknown(String),
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 6] = [
        Self::Api,
        Self::ReadApi,
        Self::ReadRegistry,
        Self::WriteRegistry,
        Self::ReadVirtualRegistry,
        Self::WriteVirtualRegistry,
    ];

    /// Returns the name in the REST API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::ReadApi => "read_api",
            Self::ReadRegistry => "read_registry",
            Self::WriteRegistry => "write_registry",
            Self::ReadVirtualRegistry => "read_virtual_registry",
            Self::WriteVirtualRegistry => "write_virtual_registry",
        }
    }
}

impl Scopes {
    /// Returns the pair of scopes that allows pulling and nothing else.
    pub fn pull() -> Self {
        Self(vec![Scope::ReadRegistry, Scope::WriteRegistry])
    }

    /// Returns the scope `api` alone, which allows everything that the owner may do.
    pub fn api() -> Self {
        Self(vec![Scope::Api])
    }

    /// Returns the scopes, without duplicates, in their fixed order.
    pub fn iter(&self) -> impl Iterator<Item = Scope> + '_ {
        self.0.iter().copied()
    }

    /// Returns true if this scope is in the list.
    pub fn contains(&self, scope: Scope) -> bool {
        self.0.contains(&scope)
    }

    /// Returns true if both scopes of a pair that allows pulling are in the list. A deploy token can pull only with a
    /// pair.
    pub fn have_pull_pair(&self) -> bool {
        let both = |read, write| self.contains(read) && self.contains(write);
        both(Scope::ReadRegistry, Scope::WriteRegistry) || both(Scope::ReadVirtualRegistry, Scope::WriteVirtualRegistry)
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let named = |scope: &Self| scope.as_str() == text;
        Self::ALL.into_iter().find(named).ok_or_else(|| ScopeError::Unknown(text.to_owned()))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<Vec<Scope>> for Scopes {
    type Error = ScopeError;

    fn try_from(mut scopes: Vec<Scope>) -> Result<Self, ScopeError> {
        scopes.sort();
        scopes.dedup();
        if scopes.is_empty() { Err(ScopeError::Empty) } else { Ok(Self(scopes)) }
    }
}

impl From<Scopes> for Vec<Scope> {
    fn from(scopes: Scopes) -> Self {
        scopes.0
    }
}

impl fmt::Display for Scopes {
    /// Writes the scopes as `a`, `a and b` or `a, b and c`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.0.len().saturating_sub(1);
        for (index, scope) in self.0.iter().enumerate() {
            let separator = match index {
                0 => "",
                _ if index == last => " and ",
                _ => ", ",
            };
            write!(f, "{separator}{scope}")?;
        }
        Ok(())
    }
}

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod properties;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scopes(names: &[&str]) -> Scopes {
        names.iter().map(|name| name.parse().unwrap()).collect::<Vec<Scope>>().try_into().unwrap()
    }

    #[test]
    fn only_a_whole_pair_pulls() {
        assert!(Scopes::pull().have_pull_pair());
        assert!(scopes(&["write_virtual_registry", "read_virtual_registry"]).have_pull_pair());
        assert!(!scopes(&["read_registry", "write_virtual_registry"]).have_pull_pair());
        assert!(!scopes(&["api"]).have_pull_pair());
    }

    #[test]
    fn they_read_as_a_sentence() {
        assert_eq!(
            scopes(&["write_registry", "read_registry", "api"]).to_string(),
            "api, read_registry and write_registry"
        );
    }

    proptest! {
        #[test]
        fn only_the_names_of_scopes_are_scopes(bytes: Vec<u8>, text in "\\PC*") {
            properties::hold(&bytes);
            properties::hold(text.as_bytes());
        }

        #[test]
        fn a_list_has_each_scope_once_and_in_order(indices in prop::collection::vec(0..=Scope::ALL.len(), 0..9)) {
            let name = |index: &usize| Scope::ALL.get(*index).map_or("read registry", |scope| scope.as_str());
            let names: Vec<&str> = indices.iter().map(name).collect();
            properties::hold(names.join("\n").as_bytes());
            properties::hold(serde_json::to_string(&names).unwrap().as_bytes());
        }
    }
}

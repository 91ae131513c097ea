//! Identifiers of users, groups, tokens, credentials, accounts and audit events. None is ever reused.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! numeric_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

numeric_id!(
    /// The number of a user in the REST API.
    UserId
);
numeric_id!(
    /// The number of a group in the REST API.
    GroupId
);
numeric_id!(
    /// The number of a personal, group or deploy token in the REST API.
    TokenId
);
numeric_id!(
    /// The number of an audit event. A later event has a higher one.
    EventId
);

/// The error for a string that is not 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id has 32 hexadecimal digits")]
pub struct RandomIdError;

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(u128);

        impl $name {
            /// Creates an id from these random bits.
            pub fn from_random(bits: [u8; 16]) -> Self {
                Self(u128::from_be_bytes(bits))
            }
        }

        impl FromStr for $name {
            type Err = RandomIdError;

            fn from_str(text: &str) -> Result<Self, RandomIdError> {
                let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
                if !digits {
                    return Err(RandomIdError);
                }
                u128::from_str_radix(text, 16).map(Self).map_err(|_| RandomIdError)
            }
        }

        impl TryFrom<String> for $name {
            type Error = RandomIdError;

            fn try_from(text: String) -> Result<Self, RandomIdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }
    };
}

random_id!(
    /// The id of one secret that grants access: 128 random bits, so that it means nothing on another instance or
    /// after a restore.
    CredentialId
);
random_id!(
    /// The id of one installation: 128 random bits, generated at the first start and kept through every restore, so
    /// that the files of two installations can be distinguished.
    InstallationId
);
random_id!(
    /// The id of a group's account at an upstream: 128 random bits, new with each password that is set.
    AccountId
);
random_id!(
    /// The id of one cache folder: 128 random bits, which a copy of the folder shares.
    CacheId
);
random_id!(
    /// The id of one replica: 128 random bits, kept in its data folder.
    ReplicaId
);

impl CredentialId {
    /// Returns the lower half of the bits, which is enough to distinguish most ids.
    pub fn half(self) -> u64 {
        self.0 as u64
    }

    /// Returns the bits, from which [`Self::from_random`] makes the same id.
    pub fn bits(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_credential_id_survives_being_printed_and_parsed() {
        let id = CredentialId::from_random([7; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("+7".parse::<CredentialId>(), Err(RandomIdError));
    }

    proptest! {
        #[test]
        fn an_id_is_exactly_32_hexadecimal_digits(
            bits: [u8; 16], any_text in "\\PC*", near_miss in "[+0-9a-fA-Fg]{31,33}",
        ) {
            let id = CredentialId::from_random(bits);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            for text in [any_text, near_miss] {
                let is_id = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
                let parsed = text.parse::<CredentialId>();
                prop_assert_eq!(parsed.is_ok(), is_id);
                prop_assert!(parsed.is_err() || parsed.map(String::from) == Ok(text.to_ascii_lowercase()));
            }
        }
    }
}

//! The tables of the state file, as they are written.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{Deserializer, Error, IntoDeserializer, MapAccess, Visitor};

use super::group_settings::GroupSettings;
use super::values::{End, Level};
use crate::domain::scope::Scopes;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
pub(in crate::settings) struct RawState {
    #[serde(default)]
    pub(super) users: BTreeMap<String, UserEntry>,
    #[serde(default)]
    pub(super) groups: BTreeMap<String, GroupEntry>,
}

/// A user of the file. Fields that are `None` are left unchanged.
#[derive(Debug, Deserialize)]
pub struct UserEntry {
    /// Display name.
    pub name: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// True for an administrator.
    pub admin: Option<bool>,
    /// True if the user is blocked.
    pub blocked: Option<bool>,
    /// File of the password of a new user; `None`: a new user has none.
    pub password_file: Option<PathBuf>,
    /// Personal access tokens, by name.
    #[serde(default)]
    pub tokens: BTreeMap<String, TokenEntry>,
}

/// A group of the file.
#[derive(Debug, Deserialize)]
pub struct GroupEntry {
    /// The settings that are given.
    #[serde(rename = "*settings")]
    pub settings: GroupSettings,
    /// Members, by user name.
    #[serde(default)]
    pub members: BTreeMap<String, MemberEntry>,
    /// Deploy tokens, by name.
    #[serde(default)]
    pub deploy_tokens: BTreeMap<String, DeployTokenEntry>,
    /// Group access tokens, by name.
    #[serde(default)]
    pub access_tokens: BTreeMap<String, AccessTokenEntry>,
}

/// A member of a group: an access level, or a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberEntry {
    /// The access level.
    pub access_level: Level,
    /// The end.
    pub expires_at: End,
}

/// Properties that tokens of all kinds have. Fields that are `None` are left unchanged.
#[derive(Debug, Deserialize)]
pub struct TokenEntry {
    /// The scopes.
    pub scopes: Option<Scopes>,
    /// The end.
    pub expires_at: Option<End>,
    /// New file for the secret of a new token.
    pub secret_file: Option<PathBuf>,
}

/// A deploy token of a group.
#[derive(Debug, Deserialize)]
pub struct DeployTokenEntry {
    /// The user name; `None`: any.
    pub username: Option<String>,
    /// File of the secret of a new token, which is read from it if it exists.
    pub given_secret_file: Option<PathBuf>,
    /// The properties that tokens of all kinds have.
    #[serde(rename = "*token")]
    pub token: TokenEntry,
}

/// A group access token.
#[derive(Debug, Deserialize)]
pub struct AccessTokenEntry {
    /// The access level of the bot; `None`: any.
    pub access_level: Option<Level>,
    /// The properties that tokens of all kinds have.
    #[serde(rename = "*token")]
    pub token: TokenEntry,
}

impl<'de> Deserialize<'de> for MemberEntry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            access_level: Level,
            #[serde(default)]
            expires_at: End,
        }

        struct Written;

        impl<'de> Visitor<'de> for Written {
            type Value = MemberEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an access level or a table")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<MemberEntry, E> {
                let level: StrDeserializer<'_, E> = text.into_deserializer();
                Ok(MemberEntry { access_level: Level::deserialize(level)?, expires_at: End(None) })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<MemberEntry, A::Error> {
                let Table { access_level, expires_at } = Table::deserialize(MapAccessDeserializer::new(map))?;
                Ok(MemberEntry { access_level, expires_at })
            }
        }

        from.deserialize_any(Written)
    }
}

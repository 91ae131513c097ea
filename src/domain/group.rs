//! Groups and their paths. Who may use a group is decided in `policy`.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::GroupId;
use super::repository::Repository;

/// A team: the unit that pulls, and that sees only what it has pulled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Never given to another group; what links in the cache belong to.
    pub id: GroupId,
    /// The name for people to read.
    pub name: String,
    /// Its own part and those of the groups above it.
    pub path: GroupPath,
    /// What the group is for, as its owner wrote it.
    pub description: String,
    /// The group above it.
    pub parent: Option<GroupId>,
    /// Who else may see it.
    pub visibility: Visibility,
    /// The switch of the dependency proxy; `None`: as the group above says, on at the top.
    pub proxy_enabled: Option<bool>,
    /// When the group was made.
    pub created_at: Timestamp,
}

/// Who may see a group besides its members. Ordered: each is open to more than the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Nobody.
    Private,
    /// As private here.
    Internal,
    /// Whom the setting `auth.public_groups` says.
    Public,
}

/// A group's full path in lower case, such as `team/ci`: at most 255 characters, each part also a part of an image name,
/// because that is where clients write it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GroupPath(String);

/// Why a string cannot be the path of a group.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupPathError {
    /// Characters or length.
    #[error("can contain only letters and digits with single '.', '_' or '-' between them, and at most 255 characters")]
    Malformed,
    /// A part means something else in a URL.
    #[error("'{0}' is a reserved name")]
    Reserved(String),
}

const RESERVED: [&str; 7] = ["v2", "api", "jwt", "groups", "-", "dependency_proxy", "library"];

impl GroupPath {
    /// The whole path, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its last part.
    pub fn last_part(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The path of a group of this name below it; `part` must be a single part.
    pub fn child(&self, part: &str) -> Result<Self, GroupPathError> {
        if part.contains('/') {
            return Err(GroupPathError::Malformed);
        }
        format!("{}/{part}", self.0).parse()
    }

    /// Whether it is `other` or stands below it.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.strip_prefix(&other.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Itself, then every path above it.
    pub fn lineage(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(Some(self.as_str()), |path| path.rsplit_once('/').map(|(above, _)| above))
    }
}

impl FromStr for GroupPath {
    type Err = GroupPathError;

    fn from_str(text: &str) -> Result<Self, GroupPathError> {
        let folded = text.to_ascii_lowercase();
        if let Some(part) = folded.split('/').find(|part| RESERVED.contains(part)) {
            return Err(GroupPathError::Reserved(part.to_owned()));
        }
        if Repository::is_well_formed(&folded) { Ok(Self(folded)) } else { Err(GroupPathError::Malformed) }
    }
}

impl TryFrom<String> for GroupPath {
    type Error = GroupPathError;

    fn try_from(text: String) -> Result<Self, GroupPathError> {
        text.parse()
    }
}

impl From<GroupPath> for String {
    fn from(path: GroupPath) -> Self {
        path.0
    }
}

impl Visibility {
    /// Its name in the REST API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Internal => "internal",
            Self::Public => "public",
        }
    }
}

impl fmt::Display for Visibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for GroupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn paths_are_folded_and_know_what_is_above_them() {
        let path: GroupPath = "Team/CI/x".parse().unwrap();
        assert_eq!(path.lineage().collect::<Vec<_>>(), ["team/ci/x", "team/ci", "team"]);
        assert!(path.is_within(&"team".parse().unwrap()));
        assert!(!"teams".parse::<GroupPath>().unwrap().is_within(&"team".parse().unwrap()));
    }

    #[test]
    fn parts_that_mean_something_else_are_refused() {
        assert_eq!("a/API".parse::<GroupPath>(), Err(GroupPathError::Reserved("api".into())));
        for bad in ["", "/a", "a/", "a//b", "..", "a/../b", "a%2fb", "a b", "a\\b", "-a"] {
            assert_eq!(bad.parse::<GroupPath>(), Err(GroupPathError::Malformed), "{bad}");
        }
    }
}

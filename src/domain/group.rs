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

/// A name that would be confused with a part of a route.
struct Reserved {
    name: &'static str,
    depth: Depth,
    reach: Reach,
}

/// The parts of a path that a name is reserved in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// The first part: it stands where a route begins.
    Top,
    /// Every part: it ends the path of a group within a route.
    Any,
}

/// The paths that a name is reserved in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// No path has it.
    All,
    /// No new path gets it. Earlier versions gave it, and a group that has it keeps it.
    New,
}

/// All reserved names, and the route that each would be confused with.
const RESERVED: [Reserved; 9] = [
    // `/v2/<group>/dependency_proxy/containers/<image>`: the first such part ends the group.
    Reserved { name: "dependency_proxy", depth: Depth::Any, reach: Reach::All },
    // `/groups/<group>/-/...`, addresses of pages about a group, as in GitLab.
    Reserved { name: "-", depth: Depth::Any, reach: Reach::All },
    // `/v2/...`, the registry; `/v2/v2/...` is also what a wrongly configured mirror requests.
    Reserved { name: "v2", depth: Depth::Top, reach: Reach::All },
    // `/api/v4/...`
    Reserved { name: "api", depth: Depth::Top, reach: Reach::All },
    // `/jwt/auth`
    Reserved { name: "jwt", depth: Depth::Top, reach: Reach::All },
    // `/groups/<group>`, what `web_url` is.
    Reserved { name: "groups", depth: Depth::Top, reach: Reach::All },
    // `HOST/library/alpine` is an image of Docker Hub whose group was left out.
    Reserved { name: "library", depth: Depth::Top, reach: Reach::All },
    // `/healthz` and `/readyz`
    Reserved { name: "healthz", depth: Depth::Top, reach: Reach::New },
    Reserved { name: "readyz", depth: Depth::Top, reach: Reach::New },
];

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

    /// Refuses a path that no group gets any more although one may still have it.
    pub fn check_new(&self) -> Result<(), GroupPathError> {
        check_reserved(&self.0, |_| true)
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

fn check_reserved(path: &str, counts: impl Fn(Reach) -> bool) -> Result<(), GroupPathError> {
    let is_reserved = |(place, part): &(usize, &str)| {
        let here = |name: &&Reserved| name.name == *part && (name.depth == Depth::Any || *place == 0);
        RESERVED.iter().find(here).is_some_and(|name| counts(name.reach))
    };
    match path.split('/').enumerate().find(is_reserved) {
        Some((_, part)) => Err(GroupPathError::Reserved(part.to_owned())),
        None => Ok(()),
    }
}

impl FromStr for GroupPath {
    type Err = GroupPathError;

    fn from_str(text: &str) -> Result<Self, GroupPathError> {
        let folded = text.to_ascii_lowercase();
        check_reserved(&folded, |reach| reach == Reach::All)?;
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
    fn names_that_mean_something_at_the_top_are_ordinary_below_it() {
        for good in ["payments/api", "a/v2/jwt", "a/groups", "a/library/api", "a/healthz", "apis", "containers"] {
            let path: GroupPath = good.parse().unwrap();
            assert_eq!(path.check_new(), Ok(()), "{good}");
        }
    }

    #[test]
    fn a_name_that_was_reserved_later_stays_with_the_group_that_has_it() {
        for name in ["healthz", "readyz/a"] {
            let path: GroupPath = name.parse().unwrap();
            assert!(matches!(path.check_new(), Err(GroupPathError::Reserved(_))), "{name}");
        }
    }

    #[test]
    fn parts_that_mean_something_else_are_refused() {
        for bad in ["API", "api/a", "v2", "jwt/a/b", "groups", "library"] {
            let first = bad.split('/').next().unwrap().to_ascii_lowercase();
            assert_eq!(bad.parse::<GroupPath>(), Err(GroupPathError::Reserved(first)), "{bad}");
        }
        for bad in ["dependency_proxy", "a/dependency_proxy", "a/Dependency_Proxy/containers", "a/-", "-/a"] {
            assert!(matches!(bad.parse::<GroupPath>(), Err(GroupPathError::Reserved(_))), "{bad}");
        }
        for bad in ["", "/a", "a/", "a//b", "..", "a/../b", "a%2fb", "a b", "a\\b", "-a"] {
            assert_eq!(bad.parse::<GroupPath>(), Err(GroupPathError::Malformed), "{bad}");
        }
    }
}

//! Paths of groups, and the names that they cannot have.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::domain::repository::Repository;

/// A group's full path in lower case, such as `team/ci`: at most 255 characters. Each part is also a valid part of an
/// image name, because clients write it there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GroupPath(String);

/// Maximum number of characters of a path, as of the name of a repository.
const MAX_CHARS: usize = 255;

/// The reason why a string is not a valid group path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupPathError {
    /// The path has other characters.
    #[error("can contain only letters and digits with single '.', '_' or '-' between them, and at most 255 characters")]
    Malformed,
    /// The path is too long, with those above it.
    #[error("is too long: together with the paths of the groups above it, it can have at most {MAX_CHARS} characters")]
    TooLong,
    /// A part of the path has another meaning in a URL.
    #[error("'{0}' is a reserved name")]
    Reserved(String),
}

/// A reserved name: it would be confused with a part of a route.
struct Reserved {
    name: &'static str,
    depth: Depth,
    reach: Reach,
}

/// The parts of a path in which a name is reserved.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// The first part, which stands where a route begins.
    Top,
    /// Every part, because the name ends the path of a group within a route.
    Any,
}

/// The paths in which a name is reserved.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// No path can have it.
    All,
    /// No new path can have it. Earlier versions allowed it, and a group that has it keeps it.
    New,
}

/// All reserved names, and the route with which each would be confused.
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
    // `/groups/<group>`, the form of `web_url`.
    Reserved { name: "groups", depth: Depth::Top, reach: Reach::All },
    // `HOST/library/alpine` is an image of Docker Hub whose group was left out.
    Reserved { name: "library", depth: Depth::Top, reach: Reach::All },
    // `/healthz` and `/readyz`
    Reserved { name: "healthz", depth: Depth::Top, reach: Reach::New },
    Reserved { name: "readyz", depth: Depth::Top, reach: Reach::New },
];

impl GroupPath {
    /// Returns the whole path, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the last part of the path.
    pub fn last_part(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// Returns the path of a child group of this name.
    ///
    /// # Errors
    /// Fails if `part` is not a single valid part, or the new path is too long or has a reserved name.
    pub fn child(&self, part: &str) -> Result<Self, GroupPathError> {
        if part.contains('/') {
            return Err(GroupPathError::Malformed);
        }
        format!("{}/{part}", self.0).parse()
    }

    /// Checks that a new group may have this path.
    ///
    /// # Errors
    /// Fails if a part is a reserved name, including names that only existing groups may keep.
    pub fn check_new(&self) -> Result<(), GroupPathError> {
        check_reserved(&self.0, |_| true)
    }

    /// Returns true if this path is `other` or below it.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.strip_prefix(&other.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Returns this path, then every path above it.
    pub fn lineage(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(Some(self.as_str()), |path| path.rsplit_once('/').map(|(above, _)| above))
    }
}

fn check_reserved(path: &str, counts: impl Fn(Reach) -> bool) -> Result<(), GroupPathError> {
    let is_reserved = |(index, part): &(usize, &str)| {
        let here = |name: &&Reserved| name.name == *part && (name.depth == Depth::Any || *index == 0);
        RESERVED.iter().find(here).is_some_and(|name| counts(name.reach))
    };
    match path.split('/').enumerate().find(is_reserved) {
        Some((_, part)) => Err(GroupPathError::Reserved(part.to_owned())),
        None => Ok(()),
    }
}

impl Borrow<str> for GroupPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for GroupPath {
    type Err = GroupPathError;

    fn from_str(text: &str) -> Result<Self, GroupPathError> {
        let folded = text.to_ascii_lowercase();
        check_reserved(&folded, |reach| reach == Reach::All)?;
        match Repository::is_well_formed(&folded) {
            true => Ok(Self(folded)),
            false if folded.len() > MAX_CHARS => Err(GroupPathError::TooLong),
            false => Err(GroupPathError::Malformed),
        }
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

impl fmt::Display for GroupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn a_path_that_is_accepted_is_in_lower_case_and_within_each_one_above_it(
            any_text in "\\PC*",
            near_miss in "([a-zA-Z0-9._-]{1,6}|v2|Library)(/([a-zA-Z0-9._-]{0,6}|dependency_proxy|v2|-)){0,4}",
        ) {
            for text in [any_text, near_miss] {
                let Ok(path) = text.parse::<GroupPath>() else { continue };
                prop_assert_eq!(path.as_str(), text.to_ascii_lowercase());
                prop_assert_eq!(path.as_str().parse(), Ok(path.clone()));
                let has_another_meaning = |part| matches!(part, "" | "." | ".." | "-" | "dependency_proxy");
                prop_assert!(!path.as_str().split('/').any(has_another_meaning), "{}", path);
                for above in path.lineage() {
                    prop_assert!(above.parse().is_ok_and(|above| path.is_within(&above)), "{above}");
                }
            }
        }
    }
}

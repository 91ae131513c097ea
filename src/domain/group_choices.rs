//! Choices of groups for their pulls: accounts at upstreams, and the time for which tags are fresh. A group without a
//! choice has that of the nearest group above it. Contains no secret.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::directory::Directory;
use super::group::{Group, GroupPath};
use super::origin::Account;
use super::repository::UpstreamName;

/// The choices of all groups, by their paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupChoices(HashMap<GroupPath, GroupChoice>);

/// The choices of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupChoice {
    /// Its accounts at upstreams.
    pub accounts: BTreeMap<UpstreamName, Account>,
    /// Time to live of all tags that it pulls; zero: revalidated at every pull.
    pub tag_freshness: Option<Duration>,
}

impl GroupChoices {
    /// Returns the choices of the groups in this directory.
    pub fn of(directory: &Directory) -> Self {
        Self(directory.choosing_groups().map(|group| (group.path.clone(), GroupChoice::of(group))).collect())
    }

    /// Returns the account that a group uses at an upstream, and the group that has it, which is the same or one above
    /// it. `None`: none of these groups has one.
    pub fn account(&self, upstream: &UpstreamName, group: &GroupPath) -> Option<(&GroupPath, &Account)> {
        self.nearest(group, |choice| choice.accounts.get(upstream))
    }

    /// Returns the time to live of the tags that a group pulls, and the group that has chosen it. `None`: none of these
    /// groups has.
    pub fn tag_freshness(&self, group: &GroupPath) -> Option<(&GroupPath, Duration)> {
        self.nearest(group, |choice| choice.tag_freshness)
    }

    fn nearest<'a, T>(
        &'a self,
        group: &GroupPath,
        choice: impl Fn(&'a GroupChoice) -> Option<T>,
    ) -> Option<(&'a GroupPath, T)> {
        if self.0.is_empty() {
            return None;
        }
        group.lineage().find_map(|path| {
            let (path, of_group) = self.0.get_key_value(path)?;
            Some((path, choice(of_group)?))
        })
    }
}

impl GroupChoice {
    fn of(group: &Group) -> Self {
        let accounts = group.upstream_accounts.iter().map(|(upstream, known)| (upstream.clone(), known.account()));
        let tag_freshness = group.cache.tag_freshness_seconds.map(|seconds| Duration::from_secs(seconds.into()));
        Self { accounts: accounts.collect(), tag_freshness }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn choices() -> GroupChoices {
        let account = |name: &str| ("docker.io".parse().unwrap(), Account::Username(name.to_owned()));
        let choice = |path: &str, name: Option<&str>, seconds: Option<u64>| {
            let accounts = name.map(account).into_iter().collect();
            (path.parse().unwrap(), GroupChoice { accounts, tag_freshness: seconds.map(Duration::from_secs) })
        };
        let all = [
            choice("team", Some("top"), Some(60)),
            choice("team/ci", None, Some(0)),
            choice("team/ci/deep", Some("deep"), None),
        ];
        GroupChoices(all.into_iter().collect())
    }

    #[test]
    fn each_choice_is_that_of_the_nearest_group_that_made_it() {
        let (choices, hub) = (choices(), "docker.io".parse().unwrap());
        let of = |path: &str| {
            let path = path.parse().unwrap();
            let account = choices.account(&hub, &path).map(|(holder, account)| (holder.as_str(), account.username()));
            let time = choices.tag_freshness(&path).map(|(chooser, time)| (chooser.as_str(), time.as_secs()));
            (account, time)
        };
        assert_eq!(of("team"), (Some(("team", "top")), Some(("team", 60))));
        assert_eq!(of("team/other"), (Some(("team", "top")), Some(("team", 60))));
        assert_eq!(of("team/ci/x"), (Some(("team", "top")), Some(("team/ci", 0))));
        assert_eq!(of("team/ci/deep/x"), (Some(("team/ci/deep", "deep")), Some(("team/ci", 0))));
        assert_eq!(of("teams"), (None, None), "no group below team");
        assert_eq!(choices.account(&"quay.io".parse().unwrap(), &"team".parse().unwrap()), None, "another upstream");
    }
}

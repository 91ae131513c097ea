//! The configured upstream registries, the account for each pull from them, and the freshness of their tags, with what
//! groups have chosen. No other registry is contacted.
//!
//! The account of a pull is that of the group itself, or of the nearest group above it that has one at the upstream;
//! else the first one in the settings whose rule matches; else none.
//!
//! Contains no secret.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::freshness::{Freshness, TagClasses};
use super::group::GroupPath;
use super::group_choices::GroupChoices;
use super::origin::{Account, Origin};
use super::reference::Reference;
use super::repository::{Repository, UpstreamName};

/// All configured upstreams. Pulls from any other registry are refused.
#[derive(Clone, Debug, Default)]
pub struct Upstreams {
    known: BTreeMap<UpstreamName, Upstream>,
    classes: TagClasses,
    stale_while_revalidate: Duration,
    mode: NetworkMode,
    choices: Arc<GroupChoices>,
}

/// Mode of the network: upstreams are contacted, or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// They are.
    #[default]
    Online,
    /// They are not: what is cached is served, whatever its age.
    Offline,
}

/// The settings of one upstream, apart from its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The accounts at the upstream; the first whose rule matches is used.
    pub accounts: Vec<AccountRule>,
    /// The time to live of a tag without revalidation.
    pub tag_freshness: Duration,
}

/// The groups and repositories for which the credentials of an account are used. An empty list matches everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRule {
    /// The account's user name at the upstream.
    pub username: String,
    /// The groups, each including all groups below it.
    pub groups: Vec<GroupPath>,
    /// The repositories.
    pub images: Vec<ImagePattern>,
}

/// The path of a group for which an account at an upstream is reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReservedPath<'a> {
    /// The upstream.
    pub upstream: &'a UpstreamName,
    /// The account's user name there.
    pub account: &'a str,
    /// The path, whether or not such a group exists.
    pub group: &'a GroupPath,
}

/// A repository, or with `/*` at its end all repositories below it; `*` alone matches all repositories.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct ImagePattern {
    prefix: String,
    below: bool,
}

/// The error for a string that is not an image pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an image pattern is a repository such as acme/app, one with /* at its end, or *")]
pub struct ImagePatternError;

impl Upstreams {
    /// Creates the set of these upstreams.
    pub fn new(upstreams: impl IntoIterator<Item = (UpstreamName, Upstream)>) -> Self {
        Self { known: upstreams.into_iter().collect(), ..Self::default() }
    }

    /// Returns these upstreams with these classes of tags, and this time for which stale tags are served while they are
    /// revalidated.
    pub fn with_tags(self, classes: TagClasses, stale_while_revalidate: Duration) -> Self {
        Self { classes, stale_while_revalidate, ..self }
    }

    /// Returns these upstreams with what groups have chosen.
    pub fn with_choices(self, choices: Arc<GroupChoices>) -> Self {
        Self { choices, ..self }
    }

    /// Returns what groups have chosen.
    pub fn choices(&self) -> &GroupChoices {
        &self.choices
    }

    /// Returns the names of the upstreams, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &UpstreamName> {
        self.known.keys()
    }

    /// Returns the upstream of this name, with its name.
    pub fn named(&self, name: &str) -> Option<(&UpstreamName, &Upstream)> {
        self.known.get_key_value(name)
    }

    /// Returns these upstreams in this mode.
    pub fn in_mode(self, mode: NetworkMode) -> Self {
        Self { mode, ..self }
    }

    /// Returns the mode.
    pub fn mode(&self) -> NetworkMode {
        self.mode
    }

    /// Returns the freshness of a tag, or of other content of this origin, for a pull of this group; zero if the
    /// upstream is not configured. Tags are shared by all groups with the same origin: the time of a group decides when
    /// a pull of that group revalidates them.
    pub fn freshness(&self, origin: &Origin, reference: &Reference, group: &GroupPath) -> Freshness {
        if self.mode == NetworkMode::Offline {
            return Freshness { time_to_live: Duration::MAX, stale_while_revalidate: Duration::ZERO };
        }
        let Some(upstream) = self.known.get(&origin.upstream) else { return Freshness::default() };
        let chosen = match reference {
            Reference::Tag(tag) => {
                let of_group = self.choices.tag_freshness(group).map(|(_, time)| time);
                of_group.or_else(|| self.classes.time_to_live(origin, tag))
            }
            Reference::Digest(_) => None,
        };
        Freshness {
            time_to_live: chosen.unwrap_or(upstream.tag_freshness),
            stale_while_revalidate: self.stale_while_revalidate,
        }
    }

    /// Returns true if a group at the path `to` may use an account that is reserved for some groups, and one at
    /// `from` may not.
    pub fn gives_account(&self, from: Option<&GroupPath>, to: &GroupPath) -> bool {
        let rules = self.known.values().flat_map(|upstream| &upstream.accounts);
        let mut kept = rules.filter(|rule| !rule.groups.is_empty());
        kept.any(|rule| rule.covers(to) && !from.is_some_and(|from| rule.covers(from)))
    }

    /// Returns the group paths for which accounts are reserved, with the upstream and the account's user name there.
    pub fn reserved_paths(&self) -> impl Iterator<Item = ReservedPath<'_>> {
        self.known.iter().flat_map(|(upstream, known)| {
            known.accounts.iter().flat_map(move |rule| {
                rule.groups.iter().map(move |group| ReservedPath { upstream, account: &rule.username, group })
            })
        })
    }

    /// Returns the origin of this group's pull of this repository: the upstream and the account.
    pub fn origin(&self, upstream: UpstreamName, repository: Repository, group: &GroupPath) -> Origin {
        if let Some((_, account)) = self.choices.account(&upstream, group) {
            return Origin { account: account.clone(), upstream, repository };
        }
        let rules = self.known.get(&upstream).map_or(&[][..], |upstream| &upstream.accounts);
        let account = match rules.iter().find(|rule| rule.allows(group, &repository)) {
            Some(rule) => Account::Username(rule.username.clone()),
            None => Account::Anonymous,
        };
        Origin { upstream, account, repository }
    }
}

impl AccountRule {
    /// Returns true if the group at this path is listed, or is below a listed one.
    fn covers(&self, group: &GroupPath) -> bool {
        self.groups.iter().any(|above| group.is_within(above))
    }

    fn allows(&self, group: &GroupPath, repository: &Repository) -> bool {
        let group_fits = self.groups.is_empty() || self.covers(group);
        let image_fits = self.images.is_empty() || self.images.iter().any(|pattern| pattern.matches(repository));
        group_fits && image_fits
    }
}

impl ImagePattern {
    /// Returns the repository that the pattern names; `None` if it matches all repositories below a path.
    pub fn repository(&self) -> Option<&str> {
        (!self.below).then_some(self.prefix.as_str())
    }

    fn matches(&self, repository: &Repository) -> bool {
        match repository.as_str().strip_prefix(&self.prefix) {
            Some(rest) if self.below => self.prefix.is_empty() || rest.starts_with('/'),
            Some(rest) => rest.is_empty(),
            None => false,
        }
    }
}

impl TryFrom<String> for ImagePattern {
    type Error = ImagePatternError;

    fn try_from(text: String) -> Result<Self, ImagePatternError> {
        if text == "*" {
            return Ok(Self { prefix: String::new(), below: true });
        }
        let (prefix, below) = text.strip_suffix("/*").map_or((text.as_str(), false), |prefix| (prefix, true));
        let repository: Repository = prefix.parse().map_err(|_| ImagePatternError)?;
        Ok(Self { prefix: repository.as_str().to_owned(), below })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn upstreams(groups: &[&str], images: &[&str]) -> Upstreams {
        let rule = AccountRule {
            username: "robot".into(),
            groups: groups.iter().map(|group| group.parse().unwrap()).collect(),
            images: images.iter().map(|image| ImagePattern::try_from((*image).to_owned()).unwrap()).collect(),
        };
        let upstream = Upstream { accounts: vec![rule], tag_freshness: Duration::ZERO };
        Upstreams::new([("docker.io".parse().unwrap(), upstream)])
    }

    fn account(upstreams: &Upstreams, group: &str, image: &str) -> Account {
        upstreams.origin("docker.io".parse().unwrap(), image.parse().unwrap(), &group.parse().unwrap()).account
    }

    #[test]
    fn credentials_are_for_the_listed_groups_and_those_below_them() {
        let upstreams = upstreams(&["team"], &[]);
        assert_eq!(account(&upstreams, "team/ci", "acme/app"), Account::Username("robot".into()));
        assert_eq!(account(&upstreams, "teams", "acme/app"), Account::Anonymous);
    }

    #[test]
    fn a_path_gives_an_account_where_the_one_before_did_not_have_it() {
        let upstreams = upstreams(&["team/ci", "crew"], &[]);
        let gives = |from: &str, to: &str| upstreams.gives_account(from.parse().ok().as_ref(), &to.parse().unwrap());
        for (from, to) in
            [("", "team/ci"), ("team", "team/ci"), ("team/sub", "team/ci/x"), ("", "crew"), ("a/b", "crew/b")]
        {
            assert!(gives(from, to), "{from} {to}");
        }
        for (from, to) in
            [("", "team"), ("team", "team/cis"), ("team/ci", "team/ci/x"), ("crew/a", "crew/b"), ("crew", "a")]
        {
            assert!(!gives(from, to), "{from} {to}");
        }
        assert!(!self::upstreams(&[], &["acme/*"]).gives_account(None, &"a".parse().unwrap()), "it is everybody's");
    }

    #[test]
    fn credentials_are_for_the_listed_images() {
        let upstreams = upstreams(&[], &["acme/*", "solo"]);
        assert_eq!(account(&upstreams, "a", "acme/app/x"), Account::Username("robot".into()));
        assert_eq!(account(&upstreams, "a", "solo"), Account::Username("robot".into()));
        for other in ["acme", "acmes/app", "solo/x"] {
            assert_eq!(account(&upstreams, "a", other), Account::Anonymous, "{other}");
        }
    }
}

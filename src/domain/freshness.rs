//! Freshness of tags: the time for which they are served without a confirmation by upstream, and the classes of tags
//! that have times of their own.

use std::time::Duration;

use wildmatch::WildMatch;

use super::origin::Origin;
use super::reference::Tag;

/// Times for which a tag is served after upstream has confirmed it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freshness {
    /// Time to live: the tag is served without an upstream request.
    pub time_to_live: Duration,
    /// Time after that for which the tag is still served at once, while it is revalidated in the background.
    pub stale_while_revalidate: Duration,
}

/// State of a tag, by the time since its last confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagState {
    /// Served without an upstream request.
    Fresh,
    /// Served at once, and revalidated in the background (RFC 5861, section 3).
    StaleWhileRevalidate,
    /// Revalidated before it is served.
    Stale,
}

/// Classes of tags with a time to live of their own. Tags that fit no class have that of their upstream.
#[derive(Clone, Debug, Default)]
pub struct TagClasses {
    /// Tags that move often, such as `latest`.
    pub moving: TagClass,
    /// Tags that are never moved, such as those that contain the commit.
    pub immutable: TagClass,
}

/// Tags that fit a pattern, and their time to live.
#[derive(Clone, Debug, Default)]
pub struct TagClass {
    /// The patterns.
    pub tags: Vec<TagPattern>,
    /// The time to live.
    pub time_to_live: Duration,
}

/// A pattern of a tag such as `v*-rc?`, or of an image with a tag such as `docker.io/acme/*:release-*`. `*` stands for
/// any characters, also `/`, and `?` for one.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct TagPattern {
    pattern: WildMatch,
    /// True if the pattern is one of an image with a tag.
    with_image: bool,
}

/// The error for a string that is not a tag pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tag pattern is one of a tag, such as v*, or of an image with a tag, such as docker.io/acme/*:v*")]
pub struct TagPatternError;

impl Freshness {
    /// Returns the state of a tag that upstream confirmed this long ago.
    pub fn state(&self, age: Duration) -> TagState {
        // A time to live of zero means that upstream decides before each response.
        if age < self.time_to_live {
            TagState::Fresh
        } else if !self.time_to_live.is_zero() && age - self.time_to_live < self.stale_while_revalidate {
            TagState::StaleWhileRevalidate
        } else {
            TagState::Stale
        }
    }

    /// Returns these times without the one for which a stale tag is served.
    pub fn without_stale(self) -> Self {
        Self { stale_while_revalidate: Duration::ZERO, ..self }
    }
}

impl TagClasses {
    /// Returns the time to live of a tag, if it fits a class. A tag that fits both counts as moving.
    pub fn time_to_live(&self, origin: &Origin, tag: &Tag) -> Option<Duration> {
        [&self.moving, &self.immutable].into_iter().find(|class| class.has(origin, tag)).map(|class| class.time_to_live)
    }
}

impl TagClass {
    fn has(&self, origin: &Origin, tag: &Tag) -> bool {
        self.tags.iter().any(|pattern| pattern.matches(origin, tag))
    }
}

impl TagPattern {
    fn matches(&self, origin: &Origin, tag: &Tag) -> bool {
        if self.with_image {
            self.pattern.matches(&format!("{}/{}:{}", origin.upstream, origin.repository, tag.as_str()))
        } else {
            self.pattern.matches(tag.as_str())
        }
    }
}

impl TryFrom<String> for TagPattern {
    type Error = TagPatternError;

    fn try_from(text: String) -> Result<Self, TagPatternError> {
        let (image, tag) = text.rsplit_once(':').map_or((None, text.as_str()), |(image, tag)| (Some(image), tag));
        let is_of_tag = |c: char| c.is_ascii_alphanumeric() || "._-*?".contains(c);
        let is_of_image = |c: char| is_of_tag(c) || "/:".contains(c);
        let is_image = |image: &str| !image.is_empty() && image.chars().all(is_of_image);
        if tag.is_empty() || !tag.chars().all(is_of_tag) || !image.is_none_or(is_image) {
            return Err(TagPatternError);
        }
        Ok(Self { pattern: WildMatch::new(&text), with_image: image.is_some() })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::origin::Account;

    fn class(patterns: &[&str], seconds: u64) -> TagClass {
        let tags = patterns.iter().map(|pattern| TagPattern::try_from((*pattern).to_owned()).unwrap()).collect();
        TagClass { tags, time_to_live: Duration::from_secs(seconds) }
    }

    fn seconds(classes: &TagClasses, repository: &str, tag: &str) -> Option<u64> {
        let (upstream, repository) = ("quay.io".parse().unwrap(), repository.parse().unwrap());
        let origin = Origin { upstream, account: Account::Anonymous, repository };
        classes.time_to_live(&origin, &tag.parse().unwrap()).map(|time| time.as_secs())
    }

    #[test]
    fn a_tag_is_fresh_then_served_while_it_is_revalidated_and_then_stale() {
        let of = |time_to_live, stale_while_revalidate| {
            let (time_to_live, stale_while_revalidate) =
                (Duration::from_secs(time_to_live), Duration::from_secs(stale_while_revalidate));
            let times = Freshness { time_to_live, stale_while_revalidate };
            [0, 59, 60, 89, 90].map(|age| times.state(Duration::from_secs(age)))
        };
        use TagState::{Fresh, Stale, StaleWhileRevalidate as While};
        assert_eq!(of(60, 30), [Fresh, Fresh, While, While, Stale]);
        assert_eq!(of(60, 0), [Fresh, Fresh, Stale, Stale, Stale]);
        assert_eq!(of(0, 30), [Stale; 5], "upstream decides at every pull");
    }

    #[test]
    fn a_class_is_found_by_tag_or_by_image_and_moving_comes_first() {
        let classes = TagClasses {
            moving: class(&["latest", "quay.io/acme/*:main-*"], 5),
            immutable: class(&["main-*", "v?.*"], 3600),
        };
        assert_eq!(seconds(&classes, "acme/a/b", "latest"), Some(5));
        assert_eq!(seconds(&classes, "acme/a/b", "main-1"), Some(5));
        assert_eq!(seconds(&classes, "other/a", "main-1"), Some(3600));
        assert_eq!(seconds(&classes, "other/a", "v1.2"), Some(3600));
        assert_eq!(seconds(&classes, "other/a", "v12.2"), None);
    }

    #[test]
    fn what_cannot_match_a_tag_is_refused() {
        for text in ["", "a b", "acme/app", ":v1", "quay.io/app:", "v1@sha256", "a:b c"] {
            assert!(TagPattern::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_pattern_without_a_wildcard_fits_its_own_tag_alone(
            pattern in "(quay\\.io/a/b:)?[a-z0-9._-]{1,9}", tag in "[a-z0-9][a-z0-9._-]{0,8}", any_text in "\\PC*",
        ) {
            let classes = TagClasses { moving: class(&[pattern.as_str()], 5), ..TagClasses::default() };
            let own_tag = pattern.rsplit(':').next().unwrap_or_default();
            prop_assert_eq!(seconds(&classes, "a/b", &tag).is_some(), own_tag == tag);
            if own_tag.parse::<Tag>().is_ok() {
                prop_assert_eq!(seconds(&classes, "a/b", own_tag), Some(5));
                prop_assert_eq!(seconds(&classes, "a/c", own_tag).is_some(), !pattern.contains(':'));
            }
            if let Ok(accepted) = TagPattern::try_from(any_text.clone()) {
                prop_assert!(any_text.is_ascii() && !any_text.contains(' '));
                prop_assert_eq!(accepted.with_image, any_text.contains(':'));
            }
        }

        #[test]
        fn wildcards_stand_for_what_they_replace(
            start in "[a-z0-9]{1,5}", middle in "[a-z0-9._-]{0,5}", end in "[a-z0-9]{0,5}",
        ) {
            let tag = format!("{start}{middle}{end}");
            let single = "?".repeat(middle.len());
            for pattern in [format!("{start}*{end}"), format!("{start}{single}{end}"), "*".to_owned()] {
                let classes = TagClasses { moving: class(&[pattern.as_str()], 5), ..TagClasses::default() };
                prop_assert_eq!(seconds(&classes, "a/b", &tag), Some(5), "{}", pattern);
            }
        }
    }
}

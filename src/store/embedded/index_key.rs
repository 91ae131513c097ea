//! Keys of the index's trees. Their order of fields lets a prefix scan find all entries that are looked up
//! together.

use crate::domain::digest::Digest;
use crate::domain::id::{CredentialId, GroupId};
use crate::domain::origin::{Account, Origin};
use crate::domain::pull_record::Day;
use crate::domain::reference::{Reference, Tag};
use crate::domain::repository::{DOCKER_HUB, Repository, UpstreamName};
use crate::domain::traffic::Hour;
use crate::store::images::{ImageKey, PullKey, PullsQuery};

/// Returns the key of a link. It begins with the digest, so that one lookup finds whether any group has a link to
/// the content.
pub(super) fn link(digest: &Digest, group: GroupId, origin: &Origin) -> Vec<u8> {
    [digest.as_bytes().as_slice(), &group.0.to_be_bytes(), &self::origin(origin)].concat()
}

/// Returns the key which records that upstream has served the content to this account.
pub(super) fn source(digest: &Digest, origin: &Origin) -> Vec<u8> {
    [digest.as_bytes().as_slice(), &account(origin)].concat()
}

/// Returns the key of an origin's tag, independent of groups.
pub(super) fn tag(origin: &Origin, tag: &Tag) -> Vec<u8> {
    [self::origin(origin).as_slice(), tag.as_str().as_bytes(), b"\0"].concat()
}

/// Returns the key of a tag as one group pulled it. It begins with the key of the [`tag`].
pub(super) fn group_tag(origin: &Origin, tag: &Tag, group: GroupId) -> Vec<u8> {
    [self::tag(origin, tag).as_slice(), &group.0.to_be_bytes()].concat()
}

/// Returns the group of a key made by [`group_tag`].
pub(super) fn group_of_tag(key: &[u8]) -> Option<GroupId> {
    key.last_chunk::<8>().map(|bytes| GroupId(u64::from_be_bytes(*bytes)))
}

/// Returns the key of the tag at the beginning of a key made by [`group_tag`].
pub(super) fn tag_of_group_tag(key: &[u8]) -> &[u8] {
    key.split_last_chunk::<8>().map_or(key, |(tag, _)| tag)
}

/// Returns the key of a tag or digest of an origin; that of a tag is its [`tag`].
pub(super) fn reference(origin: &Origin, reference: &Reference) -> Vec<u8> {
    match reference {
        Reference::Tag(tag) => self::tag(origin, tag),
        // No tag contains the sign.
        Reference::Digest(digest) => [self::origin(origin).as_slice(), format!("@{digest}\0").as_bytes()].concat(),
    }
}

/// Returns the key of an image of a group. The order of the keys of a group is that of its list of images: by upstream,
/// repository, and tag or digest.
pub(super) fn image(image: &ImageKey) -> Vec<u8> {
    let Origin { upstream, account, repository } = &image.origin;
    let prefix = images_of_reference(image.group, upstream, repository, &image.reference);
    [prefix, account_text(account).into_bytes()].concat()
}

/// Returns the key of the traffic of a group, or of all groups together, in an hour. No group has the number 0. It
/// begins with the hour, so that what is forgotten is at the beginning of the tree.
pub(super) fn traffic(hour: Hour, group: Option<GroupId>) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&hour.0.to_be_bytes());
    key[4..].copy_from_slice(&group.map_or(0, |group| group.0).to_be_bytes());
    key
}

/// Returns the hour of a key made by [`traffic`].
pub(super) fn hour_of_traffic(key: &[u8]) -> Option<Hour> {
    key.first_chunk::<4>().map(|bytes| Hour(u32::from_be_bytes(*bytes)))
}

/// Returns the key made by [`traffic`] for one of the first version, which began with the group.
pub(super) fn traffic_of_first_version(key: &[u8]) -> Option<[u8; 12]> {
    let (group, hour) = key.split_first_chunk::<8>()?;
    let group = u64::from_be_bytes(*group);
    Some(traffic(Hour(u32::from_be_bytes(hour.try_into().ok()?)), (group > 0).then_some(GroupId(group))))
}

/// Returns the key of a record of pulls. It begins with the day, so that what is forgotten is at the beginning of the
/// tree; within a day, the records of an image are beside each other. It ends with the credential, or with zeros.
pub(super) fn pull_record(key: &PullKey) -> Vec<u8> {
    let PullKey { day, group, upstream, repository, reference, credential } = key;
    let image = images_of_reference(*group, upstream, repository, reference);
    let credential = credential.map_or([0; 16], CredentialId::bits);
    [day_of_pulls(*day).as_slice(), &image, &credential].concat()
}

/// Returns the beginning of the keys made by [`pull_record`] of a day.
pub(super) fn day_of_pulls(day: Day) -> [u8; 4] {
    day.0.to_be_bytes()
}

/// Returns the beginning of the keys made by [`pull_record`] of an image on a day.
pub(super) fn pull_records_of_image(day: Day, query: &PullsQuery) -> Vec<u8> {
    let PullsQuery { group, upstream, repository, reference, .. } = query;
    [day_of_pulls(day).as_slice(), &images_of_reference(*group, upstream, repository, reference)].concat()
}

/// Returns the day of a key made by [`pull_record`].
pub(super) fn day_of_pull_record(key: &[u8]) -> Option<Day> {
    key.first_chunk::<4>().map(|bytes| Day(u32::from_be_bytes(*bytes)))
}

/// Returns the credential of a key made by [`pull_record`].
pub(super) fn credential_of_pull_record(key: &[u8]) -> Option<CredentialId> {
    key.last_chunk::<16>().filter(|bits| **bits != [0; 16]).map(|bits| CredentialId::from_random(*bits))
}

/// Returns the beginning of the keys of a group's images.
pub(super) fn images_of_group(group: GroupId) -> [u8; 8] {
    group.0.to_be_bytes()
}

/// Returns the beginning of the keys of a group's images in a repository, with whatever account they were pulled.
pub(super) fn images_of_repository(group: GroupId, upstream: &UpstreamName, repository: &Repository) -> Vec<u8> {
    [&images_of_group(group), format!("{upstream}\0{repository}\0").as_bytes()].concat()
}

/// Returns the beginning of the keys of a group's images with this tag or digest, with whatever account they were
/// pulled.
pub(super) fn images_of_reference(
    group: GroupId,
    upstream: &UpstreamName,
    repository: &Repository,
    reference: &Reference,
) -> Vec<u8> {
    [images_of_repository(group, upstream, repository), format!("{reference}\0").into_bytes()].concat()
}

/// Writes the name of the image of a key made by [`image`], with its tag or digest, as lists show it. Returns false for
/// a key that is none.
pub(super) fn write_name(key: &[u8], name: &mut String) -> bool {
    let fields = key.get(8..).and_then(|fields| std::str::from_utf8(fields).ok()).unwrap_or_default();
    let mut fields = fields.split('\0');
    let (Some(upstream), Some(repository), Some(reference)) = (fields.next(), fields.next(), fields.next()) else {
        return false;
    };
    if upstream != DOCKER_HUB {
        name.push_str(upstream);
        name.push('/');
    }
    name.push_str(repository);
    name.push(':');
    name.push_str(reference);
    true
}

/// Returns the image of a key made by [`image`].
pub(super) fn image_of(key: &[u8]) -> Option<ImageKey> {
    let (group, rest) = key.split_first_chunk::<8>()?;
    let mut fields = std::str::from_utf8(rest).ok()?.split('\0');
    let (upstream, repository) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let reference = fields.next()?.parse().ok()?;
    let origin = Origin { upstream, account: account_of(fields.next()?)?, repository };
    Some(ImageKey { group: GroupId(u64::from_be_bytes(*group)), origin, reference })
}

/// Returns the group of a key made by [`link`], and its digest.
pub(super) fn holder_of_link(key: &[u8]) -> Option<(Digest, GroupId)> {
    let (digest, rest) = key.split_first_chunk::<32>()?;
    Some((Digest::from_bytes(*digest), GroupId(u64::from_be_bytes(*rest.first_chunk::<8>()?))))
}

/// Returns the origin of a key made by [`link`].
pub(super) fn origin_of_link(key: &[u8]) -> Option<Origin> {
    let (_, rest) = key.split_first_chunk::<40>()?;
    let mut fields = std::str::from_utf8(rest).ok()?.split('\0');
    let upstream = fields.next()?.parse().ok()?;
    let account = account_of(fields.next()?)?;
    Some(Origin { upstream, account, repository: fields.next()?.parse().ok()? })
}

/// Returns the beginning of the keys of a group's links to this content.
pub(super) fn links_of_group(digest: &Digest, group: GroupId) -> Vec<u8> {
    [digest.as_bytes().as_slice(), &group.0.to_be_bytes()].concat()
}

/// Returns the digest of a key made by [`link`] if it belongs to this group.
pub(super) fn digest_of_link(key: &[u8], group: GroupId) -> Option<Digest> {
    let (digest, rest) = key.split_first_chunk::<32>()?;
    (rest.first_chunk::<8>()? == &group.0.to_be_bytes()).then(|| Digest::from_bytes(*digest))
}

/// Returns the key of an origin, with which the keys of its tags begin. Each field ends with a zero byte, which
/// none contains: repository and upstream names by their grammar, user names by checks of the settings and of commands.
pub(super) fn origin(origin: &Origin) -> Vec<u8> {
    let repository = format!("{}\0", origin.repository);
    [account(origin), repository.into_bytes()].concat()
}

fn account(origin: &Origin) -> Vec<u8> {
    format!("{}\0{}\0", origin.upstream, account_text(&origin.account)).into_bytes()
}

fn account_of(text: &str) -> Option<Account> {
    if text.is_empty() {
        return Some(Account::Anonymous);
    }
    if let Some(of_group) = text.strip_prefix('+') {
        let (id, username) = of_group.split_once('=')?;
        return Some(Account::OfGroup { id: id.parse().ok()?, username: username.to_owned() });
    }
    text.strip_prefix('=').map(|name| Account::Username(name.to_owned()))
}

fn account_text(account: &Account) -> String {
    match account {
        Account::Anonymous => String::new(),
        Account::Username(name) => format!("={name}"),
        Account::OfGroup { id, username } => format!("+{id}={username}"),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::id::AccountId;

    fn origin_of(upstream: &str, (username, id): (&str, Option<[u8; 16]>), repository: &str) -> Origin {
        let account = match (username, id.map(AccountId::from_random)) {
            ("", _) => Account::Anonymous,
            (username, None) => Account::Username(username.to_owned()),
            (username, Some(id)) => Account::OfGroup { id, username: username.to_owned() },
        };
        Origin { upstream: upstream.parse().unwrap(), account, repository: repository.parse().unwrap() }
    }

    proptest! {
        #[test]
        fn a_key_is_read_as_it_was_made(
            group: u64, upstream in "docker\\.io|[a-z]{1,5}(\\.[a-z]{1,5})?(:[1-9][0-9]{0,3})?", username in "\\PC{0,9}",
            repository in "[a-z]{1,5}(/[a-z0-9]{1,5})?", reference in "[a-z0-9_][a-z.-]{0,9}|sha256:[0-9a-f]{64}",
            content: [u8; 32], id: Option<[u8; 16]>,
        ) {
            let (origin, group) = (origin_of(&upstream, (&username, id), &repository), GroupId(group));
            let key = ImageKey { group, origin: origin.clone(), reference: reference.parse().unwrap() };
            prop_assert_eq!(image_of(&image(&key)), Some(key.clone()));
            let mut name = String::new();
            prop_assert!(write_name(&image(&key), &mut name));
            prop_assert_eq!(name, format!("{}:{}", key.origin.image_name(), key.reference));
            let digest = Digest::from_bytes(content);
            let key = link(&digest, group, &origin);
            prop_assert_eq!(holder_of_link(&key), Some((digest, group)));
            prop_assert_eq!(origin_of_link(&key), Some(origin.clone()));
            prop_assert_eq!(digest_of_link(&key, group), Some(digest));
            if let Ok(name) = reference.parse::<Tag>() {
                let key = group_tag(&origin, &name, group);
                prop_assert_eq!((group_of_tag(&key), tag_of_group_tag(&key)), (Some(group), &tag(&origin, &name)[..]));
            }
        }

        #[test]
        fn a_damaged_key_is_another_one_or_none(
            bytes: Vec<u8>, fields in prop::collection::vec("[a-z=+@:.]{0,5}|[+]0{32}=[a-z]{0,3}", 0..6),
        ) {
            let joined = [&[7_u8; 8][..], fields.join("\0").as_bytes()].concat();
            for bytes in [&bytes, &joined] {
                if let Some(key) = image_of(bytes) {
                    prop_assert!(bytes.starts_with(&image(&key)), "{:?}", key);
                }
                if let Some(((digest, group), origin)) = holder_of_link(bytes).zip(origin_of_link(bytes)) {
                    prop_assert!(bytes.starts_with(&link(&digest, group, &origin)), "{:?}", origin);
                }
            }
        }
    }
}

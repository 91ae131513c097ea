//! The keys of the index: bytes in which what is looked for together stands together.

use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::origin::{Account, Origin};
use crate::domain::reference::Tag;

/// Digest first: one look tells whether any group has a link to some content.
pub(super) fn link(digest: &Digest, group: GroupId, origin: &Origin) -> Vec<u8> {
    [digest.as_bytes().as_slice(), &group.0.to_be_bytes(), &self::origin(origin)].concat()
}

/// That an account of an upstream was given some content.
pub(super) fn source(digest: &Digest, origin: &Origin) -> Vec<u8> {
    [digest.as_bytes().as_slice(), &account(origin)].concat()
}

/// The tag of an origin, whoever pulled it.
pub(super) fn tag(origin: &Origin, tag: &Tag) -> Vec<u8> {
    [self::origin(origin).as_slice(), tag.as_str().as_bytes(), b"\0"].concat()
}

/// The tag of an origin as one group pulled it; starts as [`tag`] does.
pub(super) fn group_tag(origin: &Origin, tag: &Tag, group: GroupId) -> Vec<u8> {
    [self::tag(origin, tag).as_slice(), &group.0.to_be_bytes()].concat()
}

/// The group of a key made by [`group_tag`].
pub(super) fn group_of_tag(key: &[u8]) -> Option<GroupId> {
    key.last_chunk::<8>().map(|bytes| GroupId(u64::from_be_bytes(*bytes)))
}

/// What stands before the group in a key made by [`group_tag`]: the key of the tag.
pub(super) fn tag_of_group_tag(key: &[u8]) -> &[u8] {
    key.split_last_chunk::<8>().map_or(key, |(tag, _)| tag)
}

/// The digest of a key made by [`link`], if it is a link of this group.
pub(super) fn digest_of_link(key: &[u8], group: GroupId) -> Option<Digest> {
    let (digest, rest) = key.split_first_chunk::<32>()?;
    (rest.first_chunk::<8>()? == &group.0.to_be_bytes()).then(|| Digest::from_bytes(*digest))
}

/// An origin, with which the keys of its tags begin. Parts end with a zero byte, which none of them contains: the names by their grammar, user names by the settings.
pub(super) fn origin(origin: &Origin) -> Vec<u8> {
    let repository = format!("{}\0", origin.repository);
    [account(origin), repository.into_bytes()].concat()
}

fn account(origin: &Origin) -> Vec<u8> {
    let account = match &origin.account {
        Account::Anonymous => String::new(),
        Account::Username(name) => format!("={name}"),
    };
    format!("{}\0{account}\0", origin.upstream).into_bytes()
}

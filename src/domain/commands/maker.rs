//! Makers: the token, password or administrator that creates something, and how the maker limits the lifetime of what
//! it creates. Nothing that a token makes outlives that token, unless it is an administrator's token; what is made
//! with a password lasts as long as requested. In detail:
//!
//! - A token made by a token ends no later than its maker. A later end in the request is refused; without an end in
//!   the request, the token gets the usual end or that of its maker, whichever is earlier. The same holds for a
//!   rotation: a token that rotates itself gains no time.
//! - When a token is revoked, or is deleted with its user or group, the tokens that it made end with it, and those
//!   that they made in turn. A token that is rotated hands over what it made to its successor.
//! - When a token gets an earlier end, by a rotation or an extension, the ends of everything that it made, directly or
//!   indirectly, are brought forward to that end. A later end changes nothing else.
//! - A membership that a group access token grants, raises or prolongs is bound to that token in the same two ways. A
//!   membership granted with a personal access token belongs to the person, not to the token: people manage their
//!   groups with short-lived tokens.
//! - A token cannot rotate or extend a token that made it, or one on which its user's ownership rests: otherwise the
//!   two could prolong each other without end.
//! - A token that is extended ends no later than the token that made it, if one is on record, and no later than the
//!   token that extends it. The latter becomes its maker if it had none and gains time.
//! - A user who owns a group only because a group access token granted the ownership has no more rights than that
//!   token. Memberships that such an owner grants, raises or prolongs belong to the token, and group access tokens
//!   and deploy tokens that such an owner makes end with it, too. Such an owner cannot prolong what the token
//!   granted. Any other owner of the group, or an administrator, can, and then it no longer depends on the token.
//! - In addition, the settings can limit the lifetime of all new tokens.
//!
//! Tokens and memberships from before these rules have no maker on record, and stay as they are.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::{CommandError, Terms};
use crate::domain::access::AccessLevel;
use crate::domain::directory::Directory;
use crate::domain::id::{GroupId, TokenId};
use crate::domain::limits::latest;
use crate::domain::policy::Identity;
use crate::domain::token::{Token, TokenOwner};

/// The maker of a token or membership, as far as the end of what it makes depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// A password or an administrator, which set no limit.
    Unbound,
    /// A token of a user who is not an administrator.
    Token {
        /// The number of the token.
        id: TokenId,
        /// The end of the token.
        end: Option<Timestamp>,
        /// True for a group access token.
        of_group: bool,
    },
}

/// The requested end of a new token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// At this time, which the request specifies. It is refused if it is too late.
    At(Timestamp),
    /// At the start of the day (UTC) this number of days from now, or at the latest possible time if that is earlier.
    /// The request specifies no end.
    InDays(i64),
    /// Never, or at the latest possible time. The request specifies no end.
    Never,
    /// At this time, the end before the rotation, or at the latest possible time if that is earlier. The request
    /// specifies no end.
    Kept(Timestamp),
}

impl Maker {
    /// Returns the maker of what this identity creates.
    pub fn of(identity: &Identity) -> Self {
        match identity {
            Identity::UserToken(token, user) if !user.admin => {
                Self::Token { id: token.id, end: token.expires_at, of_group: token.group().is_some() }
            }
            Identity::Nobody | Identity::User(..) | Identity::UserToken(..) | Identity::DeployToken(_) => Self::Unbound,
        }
    }

    /// Returns the token that is recorded as the maker of a token.
    pub(super) fn token(self) -> Option<TokenId> {
        match self {
            Self::Unbound => None,
            Self::Token { id, .. } => Some(id),
        }
    }

    /// Returns the maker of a membership of this group. Only a group access token limits a membership: the caller's
    /// own token, or the one on which the caller's ownership rests.
    pub(super) fn of_membership(self, directory: &Directory, group: GroupId, now: Timestamp) -> Self {
        match self {
            Self::Token { of_group: true, .. } => self,
            Self::Unbound | Self::Token { .. } => {
                let basis = self.basis(directory, group, now);
                basis.map_or(Self::Unbound, |token| Self::Token { id: token.id, end: token.expires_at, of_group: true })
            }
        }
    }

    /// Returns the group access token on which the maker's ownership of this group rests, and of several the one that
    /// lasts longest; `None` if the maker owns the group independently of such tokens, or not at all.
    pub(super) fn basis(self, directory: &Directory, group: GroupId, now: Timestamp) -> Option<&Token> {
        let Self::Token { id, .. } = self else { return None };
        let user = directory.token(id)?.user()?;
        let memberships = directory.lineage(group).filter_map(|group| directory.membership(group.id, user));
        let mut basis: Option<&Token> = None;
        for member in memberships.filter(|member| member.level == AccessLevel::Owner && member.is_active(now)) {
            // An ownership that no token granted does not depend on any token: there is no basis then.
            let token = member.made_by.and_then(|token| directory.token(token))?;
            if basis.is_none_or(|other| is_later(token.expires_at, other.expires_at)) {
                basis = Some(token);
            }
        }
        basis
    }

    /// Returns the end of the maker, or that of the token on which its right rests, if that is earlier.
    fn end_with(self, basis: Option<&Token>) -> Option<Timestamp> {
        earlier(self.end(), basis.and_then(|token| token.expires_at))
    }

    fn end(self) -> Option<Timestamp> {
        match self {
            Self::Unbound => None,
            Self::Token { end, .. } => end,
        }
    }
}

impl Ending {
    /// Returns the end of a token. It is limited by `max_days` (0: no maximum), by the end of its maker, and by the
    /// end of the token on which the maker's right rests.
    ///
    /// # Errors
    /// Fails if the requested end is past or later than one of these limits.
    pub(super) fn of_token(
        self,
        terms: &Terms<'_>,
        basis: Option<&Token>,
        max_days: u32,
    ) -> Result<Option<Timestamp>, CommandError> {
        let maker = terms.maker.end_with(basis);
        let setting = latest(max_days, terms.now);
        let end = match self {
            Self::At(end) if end <= terms.now => {
                return Err(CommandError::invalid("expires_at", "must be in the future"));
            }
            Self::Kept(end) if end <= terms.now => {
                let reason =
                    format!("is missing: the token expired on {}, so its rotation must name a new end", date(end));
                return Err(CommandError::invalid("expires_at", reason));
            }
            Self::At(end) if is_later(Some(end), maker) => return Err(beyond(maker, "makes")),
            Self::At(end) if is_later(Some(end), setting) => {
                let reason = format!("must be within {max_days} days, the maximum lifetime of such a token here");
                return Err(CommandError::invalid("expires_at", reason));
            }
            Self::At(end) | Self::Kept(end) => Some(end),
            Self::InDays(days) => Some(start_of_day(terms.now, days)),
            Self::Never => None,
        };
        Ok(earlier(end, earlier(maker, setting)))
    }
}

/// Returns the token on which the right to create or change a token of this owner rests, if any.
pub(super) fn basis_of<'a>(directory: &'a Directory, owner: &TokenOwner, terms: &Terms<'_>) -> Option<&'a Token> {
    owner.group().and_then(|group| terms.maker.basis(directory, group, terms.now))
}

/// Checks that a token can be given this end without a new secret. The maximum lifetime counts from the creation of
/// the secret, so that no secret is valid for longer.
///
/// # Errors
/// Fails if the end is later than that, or later than the end of the token that extends or made this one.
pub(super) fn check_extension(
    directory: &Directory,
    token: &Token,
    end: Option<Timestamp>,
    max_days: u32,
    terms: &Terms<'_>,
) -> Result<(), CommandError> {
    let end_of =
        |token: Option<TokenId>| token.and_then(|token| directory.token(token)).and_then(|token| token.expires_at);
    let extends = terms.maker.end_with(basis_of(directory, &token.owner, terms));
    let made = earlier(end_of(token.made_by), end_of(token.rests_on));
    for (bound, does) in [(extends, "extends"), (made, "made")] {
        if is_later(end, bound) {
            return Err(beyond(bound, does));
        }
    }
    if is_later(end, latest(max_days, token.created_at)) {
        let made = date(token.created_at);
        let reason = format!("must be within {max_days} days of {made}, when its secret was made: rotate it instead");
        return Err(CommandError::invalid("expires_at", reason));
    }
    Ok(())
}

/// Returns the end of a membership: the requested one, or without one that of its maker.
///
/// # Errors
/// Fails if the requested end is later than that of the maker.
pub(super) fn end_of_membership(maker: Maker, end: Option<Timestamp>) -> Result<Option<Timestamp>, CommandError> {
    let bound = maker.end();
    if end.is_some() && is_later(end, bound) {
        return Err(beyond(bound, "makes"));
    }
    Ok(end.or(bound))
}

/// Returns the earlier one of two ends; `None` is no end.
pub(super) fn earlier(end: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    end.into_iter().chain(other).min()
}

/// Returns true if `end` is later than `other`; `None` is no end.
pub(super) fn is_later(end: Option<Timestamp>, other: Option<Timestamp>) -> bool {
    other.is_some_and(|other| end.is_none_or(|end| end > other))
}

/// Returns the refusal of an end that is later than that of the token that makes, made or extends this one, as `does`
/// states.
fn beyond(bound: Option<Timestamp>, does: &str) -> CommandError {
    let day = bound.map(date).unwrap_or_default();
    CommandError::invalid("expires_at", format!("must not be after {day}, when the token that {does} it expires"))
}

fn date(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).date().to_string()
}

/// Returns the start of the day this number of days after this time, in UTC.
fn start_of_day(now: Timestamp, days: i64) -> Timestamp {
    let ahead = now.checked_add(SignedDuration::from_hours(24 * days)).unwrap_or(now);
    ahead.to_zoned(TimeZone::UTC).date().to_zoned(TimeZone::UTC).map_or(now, |midnight| midnight.timestamp())
}

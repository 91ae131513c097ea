//! Who makes something, and for how long it can last because of that. Nothing made by a token outlives that token, unless an
//! administrator's token made it; what a password makes lasts as long as it says. Precisely:
//!
//! - A token made by a token ends no later than its maker. A request that says a later end is refused, one that says none gets
//!   the maker's end where the usual one is later. So does a rotation: a token that rotates itself gains no time.
//! - When a token is revoked, or is deleted with its user or group, the tokens that it made end with it, and those that they
//!   made. One that is rotated hands what it made on to the one that takes its place; their ends stay as they are.
//! - A membership given by a group access token, or raised or prolonged by one, is bound in the same two ways. One given with a
//!   personal access token is the person's, not the token's: people manage their groups with tokens that are short.
//! - A token cannot rotate or extend one that made it, or one on which its user's ownership rests: the two would keep each other alive.
//! - A token that is extended ends no later than the token that made it, if one is on record, and than the one that
//!   extends it. The latter becomes its maker where it had none and gains time.
//! - Who owns a group only because a group access token made it so has no more than that token: memberships that such an owner gives,
//!   raises or prolongs are the token's, and group access tokens and deploy tokens that such an owner makes end with it, too. Such an owner
//!   does not prolong what the token gave. Anybody else who owns the group, and an administrator, can, and make it theirs.
//! - Beside this the settings can set the longest lives of new tokens, for everybody.
//!
//! What was made before this rule has no maker on record, and stays as it is.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::{EditError, Terms};
use crate::domain::access::AccessLevel;
use crate::domain::directory::Directory;
use crate::domain::id::{GroupId, TokenId};
use crate::domain::limits::latest;
use crate::domain::policy::Identity;
use crate::domain::token::Token;

/// Who makes something, as far as its end depends on that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// A password or an administrator.
    Unbound,
    /// The token of somebody else.
    Token {
        /// Its number.
        id: TokenId,
        /// When it ends.
        end: Option<Timestamp>,
        /// Whether it is a group access token.
        of_group: bool,
    },
}

/// When a new token is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Then: the request says so.
    At(Timestamp),
    /// At the start of the day (UTC) so many days from now, or as soon as it must: the request says nothing.
    InDays(i64),
    /// Never, or as soon as it must: the request says nothing.
    Never,
    /// Then, as before a rotation, or as soon as it must: the request says nothing.
    Kept(Timestamp),
}

impl Maker {
    /// Who makes what this identity makes.
    pub fn of(identity: &Identity) -> Self {
        match identity {
            Identity::UserToken(token, user) if !user.admin => {
                Self::Token { id: token.id, end: token.expires_at, of_group: token.group().is_some() }
            }
            Identity::Nobody | Identity::User(..) | Identity::UserToken(..) | Identity::DeployToken(_) => Self::Unbound,
        }
    }

    /// The token on record as the maker of a token.
    pub(super) fn token(self) -> Option<TokenId> {
        match self {
            Self::Unbound => None,
            Self::Token { id, .. } => Some(id),
        }
    }

    /// Who makes a membership of this group: only a group access token binds it, also one on which the maker's ownership rests.
    pub(super) fn of_membership(self, directory: &Directory, group: GroupId, now: Timestamp) -> Self {
        match self {
            Self::Token { of_group: true, .. } => self,
            Self::Unbound | Self::Token { .. } => {
                let basis = self.basis(directory, group, now);
                basis.map_or(Self::Unbound, |token| Self::Token { id: token.id, end: token.expires_at, of_group: true })
            }
        }
    }

    /// The group access token without which the maker would not own this group; none where the maker owns it anyway, or not at all.
    pub(super) fn basis(self, directory: &Directory, group: GroupId, now: Timestamp) -> Option<&Token> {
        let Self::Token { id, .. } = self else { return None };
        let user = directory.token(id)?.user()?;
        let memberships = directory.lineage(group).filter_map(|group| directory.membership(group.id, user));
        let mut basis: Option<&Token> = None;
        for member in memberships.filter(|member| member.level == AccessLevel::Owner && member.is_active(now)) {
            let token = member.made_by.and_then(|token| directory.token(token))?;
            let lasts_longer =
                |other: &Token| other.expires_at.is_some_and(|end| token.expires_at.is_none_or(|own| own > end));
            if basis.is_none_or(lasts_longer) {
                basis = Some(token);
            }
        }
        basis
    }

    fn end(self) -> Option<Timestamp> {
        match self {
            Self::Unbound => None,
            Self::Token { end, .. } => end,
        }
    }
}

impl Ending {
    /// When a token ends that may be valid for `max_days`, none if 0, and not for longer than its maker, nor than the token on which the
    /// maker's right rests.
    pub(super) fn of_token(
        self,
        terms: &Terms<'_>,
        basis: Option<&Token>,
        max_days: u32,
    ) -> Result<Option<Timestamp>, EditError> {
        let maker = [terms.maker.end(), basis.and_then(|token| token.expires_at)].into_iter().flatten().min();
        let setting = latest(max_days, terms.now);
        let bound = [maker, setting].into_iter().flatten().min();
        let end = match self {
            Self::At(end) if end <= terms.now => {
                return Err(EditError::invalid("expires_at", "must be in the future"));
            }
            Self::Kept(end) if end <= terms.now => {
                let reason =
                    format!("is missing: the token expired on {}, so its rotation must name a new end", date(end));
                return Err(EditError::invalid("expires_at", reason));
            }
            Self::At(end) if maker.is_some_and(|bound| end > bound) => return Err(beyond(maker, "makes")),
            Self::At(end) if setting.is_some_and(|bound| end > bound) => {
                let reason = format!("must be within {max_days} days, the longest life of such a token here");
                return Err(EditError::invalid("expires_at", reason));
            }
            Self::At(end) | Self::Kept(end) => Some(end),
            Self::InDays(days) => Some(start_of_day(terms.now, days)),
            Self::Never => None,
        };
        Ok(end.into_iter().chain(bound).min())
    }
}

/// Refuses an end that a token cannot be given without a new secret. The longest life counts from when its secret was
/// made, so that no secret is valid for longer.
pub(super) fn check_extension(
    directory: &Directory,
    token: &Token,
    end: Timestamp,
    max_days: u32,
    terms: &Terms<'_>,
) -> Result<(), EditError> {
    let end_of =
        |token: Option<TokenId>| token.and_then(|token| directory.token(token)).and_then(|token| token.expires_at);
    let basis = token.group().and_then(|group| terms.maker.basis(directory, group, terms.now));
    let extends = [terms.maker.end(), basis.and_then(|token| token.expires_at)].into_iter().flatten().min();
    let made = [end_of(token.made_by), end_of(token.rests_on)].into_iter().flatten().min();
    for (bound, does) in [(extends, "extends"), (made, "made")] {
        if bound.is_some_and(|bound| end > bound) {
            return Err(beyond(bound, does));
        }
    }
    if latest(max_days, token.created_at).is_some_and(|bound| end > bound) {
        let made = date(token.created_at);
        let reason = format!("must be within {max_days} days of {made}, when its secret was made: rotate it instead");
        return Err(EditError::invalid("expires_at", reason));
    }
    Ok(())
}

/// When a membership ends that is to end then, or never, and not after its maker.
pub(super) fn end_of_membership(maker: Maker, end: Option<Timestamp>) -> Result<Option<Timestamp>, EditError> {
    match (end, maker.end()) {
        (Some(end), Some(bound)) if end > bound => Err(beyond(Some(bound), "makes")),
        (end, bound) => Ok(end.or(bound)),
    }
}

/// The refusal of an end after that of the token that makes, made or extends this one, as `does` says.
fn beyond(bound: Option<Timestamp>, does: &str) -> EditError {
    let day = bound.map(date).unwrap_or_default();
    EditError::invalid("expires_at", format!("must not be after {day}, when the token that {does} it expires"))
}

fn date(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).date().to_string()
}

/// The start of the day so many days after this time, in UTC.
fn start_of_day(now: Timestamp, days: i64) -> Timestamp {
    let ahead = now.checked_add(SignedDuration::from_hours(24 * days)).unwrap_or(now);
    ahead.to_zoned(TimeZone::UTC).date().to_zoned(TimeZone::UTC).map_or(now, |midnight| midnight.timestamp())
}

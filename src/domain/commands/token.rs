//! Commands that create and revoke tokens. They see digests of secrets, never a secret.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::maker::{Ending, basis_of};
use super::{
    ChangeBuilder, CommandError, CommandResult, Resource, Terms, check_length, check_lines, check_name, check_number,
};
use crate::domain::access::{AccessLevel, Membership};
use crate::domain::digest::Digest;
use crate::domain::directory::{Credential, Directory, Record, RecordKey};
use crate::domain::id::{CredentialId, GroupId, TokenId, UserId};
use crate::domain::limits::MAX_NAME_CHARS;
use crate::domain::scope::{Scope, Scopes};
use crate::domain::token::{Token, TokenOwner, check_deploy_username};
use crate::domain::user::{User, Username};

/// The input for a new token of any kind.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// The display name.
    pub name: String,
    /// The description.
    pub description: String,
    /// The scopes.
    pub scopes: Scopes,
    /// The requested end.
    pub ending: Ending,
    /// The secret.
    pub new_credential: NewCredential,
}

/// The digest and credential id of a new secret.
#[derive(Clone, Copy, Debug)]
pub struct NewCredential {
    /// The id of the credential, generated for this secret.
    pub credential: CredentialId,
    /// The SHA-256 of the secret.
    pub secret: Digest,
    /// True if the caller supplied the secret, false if it was generated here.
    pub brought: bool,
}

/// Creates a personal access token.
///
/// # Errors
/// Fails if the user does not exist or is a bot, a field is not valid, a limit is reached, or the end is later than
/// allowed.
pub fn create_personal(directory: &Directory, user: UserId, new: NewToken, terms: &Terms<'_>) -> CommandResult<Token> {
    match directory.user(user) {
        None => return Err(CommandError::Missing(Resource::User)),
        Some(user) if user.bot_of.is_some() => {
            return Err(CommandError::Refused("The bot of a group access token cannot have other tokens"));
        }
        Some(_) => {}
    }
    let mut builder = ChangeBuilder::of(directory);
    let token = prepare(directory, &mut builder, TokenOwner::Personal { user }, new, None, terms)?;
    builder.put(Record::Token(token.clone()));
    Ok(builder.finish(token))
}

/// Creates a group access token: a bot, the bot's membership with this level, and the token, all in one change.
///
/// # Errors
/// Fails if the group does not exist, a field is not valid, a limit is reached, or the end is later than allowed.
pub fn create_group(
    directory: &Directory,
    group: GroupId,
    level: AccessLevel,
    new: NewToken,
    terms: &Terms<'_>,
) -> CommandResult<Token> {
    directory.group(group).ok_or(CommandError::Missing(Resource::Group))?;
    let mut builder = ChangeBuilder::of(directory);
    let bot = bot(directory, &mut builder, group, &new, terms.now)?;
    let created_at = terms.now;
    let membership = Membership { group, user: bot.id, level, expires_at: None, created_at, made_by: None };
    let owner = TokenOwner::Group { group, bot: bot.id };
    builder.put(Record::User(bot));
    builder.put(Record::Membership(membership));
    let token = prepare(directory, &mut builder, owner, new, None, terms)?;
    builder.put(Record::Token(token.clone()));
    Ok(builder.finish(token))
}

/// Creates a deploy token. `username` must be sent with the token; without one it is `gitlab+deploy-token-N`. With a
/// secret that the caller supplies it may contain `$`, as the names of Harbor's robot accounts do.
///
/// # Errors
/// Fails if the group does not exist, a scope is not one of a registry, a field is not valid, a limit is reached, or
/// the end is later than allowed.
pub fn create_deploy(
    directory: &Directory,
    group: GroupId,
    username: Option<String>,
    new: NewToken,
    terms: &Terms<'_>,
) -> CommandResult<Token> {
    directory.group(group).ok_or(CommandError::Missing(Resource::Group))?;
    if new.scopes.contains(Scope::Api) || new.scopes.contains(Scope::ReadApi) {
        return Err(CommandError::invalid("scopes", "can only be those of a registry"));
    }
    let supplied = new.new_credential.brought;
    check_length("username", username.as_deref().unwrap_or_default(), MAX_NAME_CHARS)?;
    if let Some(name) = &username {
        check_deploy_username(name, supplied).map_err(|reason| CommandError::invalid("username", reason))?;
    }
    let mut builder = ChangeBuilder::of(directory);
    let number = directory.service().last_token + 1;
    let username = username.unwrap_or_else(|| format!("gitlab+deploy-token-{number}"));
    let token = prepare(directory, &mut builder, TokenOwner::Deploy { group, username }, new, None, terms)?;
    builder.put(Record::Token(token.clone()));
    Ok(builder.finish(token))
}

/// Ends a token and everything that it made. A personal token is kept and listed as revoked. A group access token is
/// deleted with its bot, and a deploy token alone; both leave tombstones.
///
/// # Errors
/// Fails if the token does not exist.
pub fn revoke(directory: &Directory, id: TokenId, now: Timestamp) -> CommandResult<()> {
    let token = find(directory, id)?;
    let mut builder = ChangeBuilder::of(directory);
    builder.end(directory, token, now);
    Ok(builder.finish(()))
}

/// Returns true if `token` ends with `maker`: it was made by it or rests on it, directly or indirectly.
pub(super) fn ends_with(directory: &Directory, token: TokenId, maker: TokenId) -> bool {
    let above =
        |id: TokenId| directory.token(id).map(|token| [token.made_by, token.rests_on]).into_iter().flatten().flatten();
    let (mut seen, mut next) = (HashSet::new(), vec![token]);
    while let Some(id) = next.pop() {
        for id in above(id).filter(|id| seen.insert(*id)) {
            if id == maker {
                return true;
            }
            next.push(id);
        }
    }
    false
}

pub(super) fn find(directory: &Directory, id: TokenId) -> Result<&Arc<Token>, CommandError> {
    directory.token(id).ok_or(CommandError::Missing(Resource::Token))
}

fn bot(
    directory: &Directory,
    builder: &mut ChangeBuilder,
    group: GroupId,
    new: &NewToken,
    now: Timestamp,
) -> Result<User, CommandError> {
    let text = format!("group_{group}_bot_{}", new.new_credential.credential);
    let username: Username = text.parse().map_err(|_| CommandError::invalid("username", "is invalid"))?;
    if directory.user_named(&text).is_some() {
        return Err(CommandError::Conflict { field: Some("username"), text: "Username has already been taken" });
    }
    let user = User::new(builder.next_user(), username, new.name.clone(), now);
    Ok(User { email: format!("{text}@noreply.localhost"), bot_of: Some(group), ..user })
}

/// Returns a new token, if the limits and its maker allow it, and adds to the change the removal of ended tokens beyond
/// the maximum. The caller adds the token to the change. `replaced` is a token that ends now.
///
/// # Errors
/// Fails if a field is not valid, the secret is taken, a limit is reached, or the end is later than allowed.
pub(super) fn prepare(
    directory: &Directory,
    builder: &mut ChangeBuilder,
    owner: TokenOwner,
    new: NewToken,
    replaced: Option<TokenId>,
    terms: &Terms<'_>,
) -> Result<Token, CommandError> {
    check(&new)?;
    let basis = basis_of(directory, &owner, terms);
    let expires_at = new.ending.of_token(terms, basis, max_days(&owner, terms))?;
    make_room(directory, builder, &owner, replaced, terms)?;
    take_secret(directory, builder, &new.new_credential)?;
    let secret = (new.new_credential.credential, new.new_credential.secret);
    Ok(Token {
        description: new.description,
        expires_at,
        made_by: terms.maker.token(),
        rests_on: basis.map(|token| token.id),
        created_by: terms.by,
        ..Token::new(builder.next_token(), owner, new.name, new.scopes, secret, terms.now)
    })
}

/// Returns the maximum lifetime of a new token of this kind, in days; 0: no maximum.
pub(super) fn max_days(owner: &TokenOwner, terms: &Terms<'_>) -> u32 {
    match owner {
        TokenOwner::Personal { .. } => terms.limits.personal_token_days,
        TokenOwner::Group { .. } => terms.limits.group_token_days,
        TokenOwner::Deploy { .. } => terms.limits.deploy_token_days,
    }
}

/// Reserves a secret for a token. The secret of a deleted token can be used again.
///
/// # Errors
/// Fails if another token has the secret.
pub(super) fn take_secret(
    directory: &Directory,
    builder: &mut ChangeBuilder,
    new_credential: &NewCredential,
) -> Result<(), CommandError> {
    match directory.secret(&new_credential.secret) {
        None => Ok(()),
        // Removed now: when retention removed the tombstone later, it would also remove the lookup entry of the
        // secret, which then belongs to the new token.
        Some(Credential::Deleted(stone)) => {
            builder.remove(RecordKey::Tombstone(stone.credential));
            Ok(())
        }
        Some(_) => Err(CommandError::invalid("token", "has already been taken")),
    }
}

/// Checks that this owner can have one more active token, and removes the oldest ended tokens beyond the number that
/// is kept. `replaced` is a token that ends now.
fn make_room(
    directory: &Directory,
    builder: &mut ChangeBuilder,
    owner: &TokenOwner,
    replaced: Option<TokenId>,
    terms: &Terms<'_>,
) -> Result<(), CommandError> {
    let (things, max) = match owner {
        TokenOwner::Personal { .. } => ("personal access tokens", terms.limits.max_personal_tokens),
        TokenOwner::Group { .. } => ("group access tokens", terms.limits.max_group_tokens),
        TokenOwner::Deploy { .. } => ("deploy tokens", terms.limits.max_deploy_tokens),
    };
    let counted = directory.tokens().filter(|token| Some(token.id) != replaced && token.owner.is_same(owner));
    let (active, mut ended): (Vec<_>, Vec<_>) = counted.partition(|token| token.is_active(terms.now));
    check_number(things, active.len(), max)?;
    let kept = max.get().saturating_sub(usize::from(replaced.is_some()));
    ended.sort_by_key(|token| (token.revoked_at.or(token.expires_at), token.id));
    for token in ended.iter().take(ended.len().saturating_sub(kept)) {
        builder.forget(directory, token, terms.now);
    }
    Ok(())
}

fn check(new: &NewToken) -> Result<(), CommandError> {
    check_name(&new.name)?;
    check_lines("description", &new.description, MAX_NAME_CHARS)?;
    Ok(())
}

//! Commands that rotate and extend tokens. They see digests of secrets, never a secret.
//!
//! - A rotation gives a token another secret and another end. The old secret stays valid for the overlap, but not
//!   beyond its own end or the new one. It grants everything that the token grants, except rotating and extending.
//! - At most one old secret is valid beside the new one: a rotation within an overlap ends the older secret at once.
//! - The number stays the same, and whatever ends the token ends both secrets. Only an access token that is rotated
//!   without an overlap is replaced as in GitLab: the old token is listed as revoked, and the new one has another
//!   number.
//! - A token of a group that has expired can be rotated, which ends its old secret for good. A revoked token cannot.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::maker::{self, Ending};
use super::token::{self, NewCredential, NewToken};
use super::{ChangeBuilder, CommandError, CommandResult, Terms};
use crate::domain::directory::{Directory, Record};
use crate::domain::id::TokenId;
use crate::domain::overlap::Overlap;
use crate::domain::token::{OldSecret, Token, TokenOwner};

/// The input for a rotation: the new secret and end, and the time for which the old secret stays valid.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// The new end; `None` keeps the present end as far as that is possible.
    pub ending: Option<Ending>,
    /// The new secret.
    pub new_credential: NewCredential,
    /// The time for which the old secret stays valid.
    pub overlap: Overlap,
}

/// Gives a token a new secret.
///
/// # Errors
/// Fails if the token is revoked, has expired and is not a group's, made the token that rotates it, or cannot have
/// this end or secret.
pub fn rotate(directory: &Directory, id: TokenId, rotation: Rotation, terms: &Terms<'_>) -> CommandResult<Token> {
    let old = token::find(directory, id)?;
    check_rotatable(old, terms.now)?;
    check_maker(directory, old, terms, ["A token cannot rotate the one that made it", ROTATES_BASIS])?;
    if old.user().is_some() && rotation.overlap.is_none() {
        replace_token(directory, old, rotation, terms)
    } else {
        replace_secret(directory, old, rotation, terms)
    }
}

/// Gives an active token another end, or none, and leaves its secrets unchanged.
///
/// # Errors
/// Fails if the token is not active, made the token that extends it, or cannot have this end.
pub fn extend(directory: &Directory, id: TokenId, end: Option<Timestamp>, terms: &Terms<'_>) -> CommandResult<Token> {
    let token = token::find(directory, id)?;
    check_extensible(token, terms.now)?;
    check_maker(directory, token, terms, ["A token cannot extend the one that made it", EXTENDS_BASIS])?;
    if end.is_some_and(|end| end <= terms.now) {
        return Err(CommandError::invalid("expires_at", "must be in the future"));
    }
    maker::check_extension(directory, token, end, token::max_days(&token.owner, terms), terms)?;
    if end == token.expires_at {
        return Ok(ChangeBuilder::of(directory).finish(Token::clone(token)));
    }
    let gains = maker::is_later(end, token.expires_at);
    let made_by = token.made_by.or(terms.maker.token().filter(|_| gains));
    let basis = maker::basis_of(directory, &token.owner, terms).map(|basis| basis.id);
    let rests_on = token.rests_on.or(basis.filter(|_| gains));
    let extended = Token { expires_at: end, end_changed_at: Some(terms.now), made_by, rests_on, ..Token::clone(token) };
    let mut builder = ChangeBuilder::of(directory);
    builder.put(Record::Token(extended.clone()));
    builder.bring_forward(directory, HashSet::from([id]), extended.expires_at);
    Ok(builder.finish(extended))
}

/// Revokes an access token and creates a successor, which becomes the maker of everything that the old one made.
fn replace_token(
    directory: &Directory,
    old: &Arc<Token>,
    rotation: Rotation,
    terms: &Terms<'_>,
) -> CommandResult<Token> {
    let mut builder = ChangeBuilder::of(directory);
    builder.tombstone_old_secret(directory, old, terms.now);
    let ending = rotation.ending_of(old);
    let Token { name, description, scopes, owner, .. } = Token::clone(old);
    let new = NewToken { name, description, scopes, ending, new_credential: rotation.new_credential };
    let mut token = token::prepare(directory, &mut builder, owner, new, Some(old.id), terms)?;
    // A token that rotates itself does not become its own maker.
    if terms.maker.token() == Some(old.id) {
        (token.made_by, token.rests_on) = (old.made_by, old.rests_on);
    }
    builder.put(Record::Token(token.clone()));
    let (revoked_at, replaced_by) = (Some(terms.now), Some(token.id));
    builder.put(Record::Token(Token { revoked_at, replaced_by, old_secret: None, ..Token::clone(old) }));
    builder.hand_on(directory, old.id, &token);
    Ok(builder.finish(token))
}

/// Gives a token another secret beside the old one.
fn replace_secret(
    directory: &Directory,
    old: &Arc<Token>,
    rotation: Rotation,
    terms: &Terms<'_>,
) -> CommandResult<Token> {
    let mut builder = ChangeBuilder::of(directory);
    let basis = maker::basis_of(directory, &old.owner, terms);
    let expires_at = rotation.ending_of(old).of_token(terms, basis, token::max_days(&old.owner, terms))?;
    token::take_secret(directory, &mut builder, &rotation.new_credential)?;
    let end = [Some(rotation.overlap.end(terms.now)), old.expires_at, expires_at].into_iter().flatten().min();
    let old_secret = OldSecret { secret: old.secret, credential: old.credential, expires_at: end.unwrap_or(terms.now) };
    let itself = terms.maker.token() == Some(old.id);
    let token = Token {
        credential: rotation.new_credential.credential,
        secret: rotation.new_credential.secret,
        created_at: terms.now,
        expires_at,
        made_by: if itself { old.made_by } else { terms.maker.token() },
        rests_on: if itself { old.rests_on } else { basis.map(|token| token.id) },
        old_secret: Some(old_secret),
        ..Token::clone(old)
    };
    builder.put(Record::Token(token.clone()));
    builder.bring_forward(directory, HashSet::from([token.id]), token.expires_at);
    builder.tombstone_old_secret(directory, old, terms.now);
    Ok(builder.finish(token))
}

impl Rotation {
    fn ending_of(&self, old: &Token) -> Ending {
        self.ending.unwrap_or(old.expires_at.map_or(Ending::Never, Ending::Kept))
    }
}

/// Checks that a token is not revoked, and has not expired unless it is a group's. The refusals advise only what is
/// possible.
fn check_rotatable(token: &Token, now: Timestamp) -> Result<(), CommandError> {
    if token.revoked_at.is_some() {
        return Err(CommandError::Refused("The token is revoked, so it cannot be rotated: make another"));
    }
    match token.owner {
        TokenOwner::Personal { .. } if !token.is_active(now) => Err(CommandError::Refused(
            "The token has expired, and an expired personal access token cannot be rotated: make another",
        )),
        TokenOwner::Personal { .. } | TokenOwner::Group { .. } | TokenOwner::Deploy { .. } => Ok(()),
    }
}

/// Checks that a token is active. The refusals advise only what is possible.
fn check_extensible(token: &Token, now: Timestamp) -> Result<(), CommandError> {
    let text = match (token.revoked_at, &token.owner) {
        _ if token.is_active(now) => return Ok(()),
        (Some(_), _) => "The token is revoked, so it cannot be extended: make another",
        (None, TokenOwner::Personal { .. }) => "The token has expired, so it cannot be extended: make another",
        (None, TokenOwner::Group { .. } | TokenOwner::Deploy { .. }) => {
            "The token has expired, so it cannot be extended: rotate it, or make another"
        }
    };
    Err(CommandError::Refused(text))
}

const ROTATES_BASIS: &str = "A token cannot rotate a token on which its user's ownership depends";
const EXTENDS_BASIS: &str = "A token cannot extend a token on which its user's ownership depends";

/// Checks that a token is not changed by a token that it made, directly or indirectly, or by one whose user owns the
/// group because of it. The two sentences are the refusals for these cases.
fn check_maker(
    directory: &Directory,
    token: &Token,
    terms: &Terms<'_>,
    [made_it, rests_on_it]: [&'static str; 2],
) -> Result<(), CommandError> {
    let caller = terms.maker.token().filter(|caller| *caller != token.id);
    if caller.is_some_and(|caller| token::ends_with(directory, caller, token.id)) {
        return Err(CommandError::Refused(made_it));
    }
    let basis = maker::basis_of(directory, &token.owner, terms).map(|basis| basis.id);
    if basis.is_some_and(|basis| basis == token.id || token::ends_with(directory, basis, token.id)) {
        return Err(CommandError::Refused(rests_on_it));
    }
    Ok(())
}

//! Commands that change identities: from a [`Directory`] and a request, each returns the [`Write`]s that carry out
//! the change, or the reason why it is refused. Pure: secrets, credential ids and the time are passed in.
//!
//! The caller's rights are checked beforehand, on the same directory. This module enforces what no right can override
//! (a name that is taken, the last owner, the last administrator), lifetimes and maximum numbers ([`Terms`]), and
//! what the settings reserve for administrators ([`group`]).
//!
//! Numbers of users, groups and tokens come from the counters in [`Service`]. The change that uses a number also
//! writes the counter, so that no number is assigned twice.
//!
//! | module | content |
//! |---|---|
//! | [`group`], [`member`], [`user`], [`token`] | commands that create, change and remove one kind of object |
//! | [`upstream_account`], [`service`] | the account of a group at an upstream; the switches of the whole service |
//! | [`rotation`], [`maker`] | another secret or another end for a token; what the maker of an object limits |
//! | [`retention`] | removal of what ended long ago |
//! | [`loss`], [`summary`] | what a change takes away, to be shown before it; what it did, for the log |
//! | [`seen`] | the values that a person has seen, so that no change undoes another without anybody knowing |
//! | [`change_builder`] | a change under construction, which all commands use |
//!
//! [`Directory`]: super::directory::Directory
//! [`Service`]: super::directory::Service

mod change_builder;
pub mod group;
pub mod loss;
pub mod maker;
pub mod member;
pub mod retention;
pub mod rotation;
pub mod seen;
pub mod service;
pub mod summary;
#[cfg(test)]
mod tests;
pub mod token;
pub mod upstream_account;
pub mod user;

use std::num::NonZeroUsize;

use jiff::Timestamp;

use self::change_builder::ChangeBuilder;
use self::seen::ChangedValue;
use super::directory::Write;
use super::id::UserId;
use super::limits::{Limits, MAX_NAME_CHARS};
use super::visible_text::{is_blank, is_invisible};

/// The writes of a change and its result, or the reason why it is refused.
pub type CommandResult<T> = Result<(Vec<Write>, T), CommandError>;

/// The conditions under which a change is made.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The maker, whose own end can limit the end of what it creates.
    pub maker: maker::Maker,
    /// The user who makes the change, for the record.
    pub by: Option<UserId>,
    /// The configured limits.
    pub limits: &'a Limits,
    /// The time of the change.
    pub now: Timestamp,
}

/// The reason why a change is refused. The texts are for the user who sent the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The object of the change does not exist, or no longer.
    #[error("{0} not found")]
    Missing(Resource),
    /// A field has a value that is not allowed.
    #[error("{field} {reason}")]
    Invalid {
        /// The field, as the REST API names it.
        field: &'static str,
        /// The rest of a sentence that begins with the field's name.
        reason: String,
    },
    /// The change conflicts with something that exists already.
    #[error("{text}")]
    Conflict {
        /// The field that has the conflict, if it is that of one.
        field: Option<&'static str>,
        /// The reason, as a sentence.
        text: &'static str,
    },
    /// Several fields have values that are not allowed, or that conflict with something.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Several(Vec<CommandError>),
    /// Values are not those that were seen before the change any more, because another change came between.
    #[error("another change came between: {}", fields_of(.0))]
    Changed(Vec<ChangedValue>),
    /// Only administrators may make the change. The text states no more, so that it does not reveal which paths are
    /// reserved.
    #[error("403 Forbidden")]
    Forbidden,
    /// The change would break a rule, such as one that keeps the service or a group from having no owner.
    #[error("{0}")]
    Refused(&'static str),
}

/// The kind of object that a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// A user.
    User,
    /// A group.
    Group,
    /// A membership.
    Member,
    /// A personal, group or deploy token.
    Token,
}

impl CommandError {
    /// Passes on if none of these fields has a fault.
    ///
    /// # Errors
    /// Fails with the faults of all fields.
    fn of_fields(checked: impl IntoIterator<Item = Result<(), Self>>) -> Result<(), Self> {
        let each = |fault| if let Self::Several(faults) = fault { faults } else { vec![fault] };
        let mut faults: Vec<Self> = checked.into_iter().filter_map(Result::err).flat_map(each).collect();
        match faults.len() {
            0 => Ok(()),
            1 => Err(faults.remove(0)),
            _ => Err(Self::Several(faults)),
        }
    }

    fn invalid(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Invalid { field, reason: reason.into() }
    }
}

fn fields_of(changed: &[ChangedValue]) -> String {
    changed.iter().map(|value| value.field).collect::<Vec<_>>().join(", ")
}

/// Checks a name: not empty, not too long, one line.
fn check_name(name: &str) -> Result<(), CommandError> {
    if is_blank(name) {
        return Err(CommandError::invalid("name", "can't be blank"));
    }
    check_line("name", name, MAX_NAME_CHARS)
}

/// Checks a text of one line. Invisible characters would break lists and logs, and make names look like others.
fn check_line(field: &'static str, text: &str, max_chars: usize) -> Result<(), CommandError> {
    if text.contains(is_invisible) {
        return Err(CommandError::invalid(field, "can't contain line breaks or other characters that are not shown"));
    }
    check_length(field, text, max_chars)
}

/// Checks a text that may have several lines.
fn check_lines(field: &'static str, text: &str, max_chars: usize) -> Result<(), CommandError> {
    if text.contains(|char| is_invisible(char) && !['\n', '\r', '\t'].contains(&char)) {
        return Err(CommandError::invalid(field, "can't contain characters that are not shown"));
    }
    check_length(field, text, max_chars)
}

/// Checks the length of a text. The error has GitLab's wording.
fn check_length(field: &'static str, text: &str, max_chars: usize) -> Result<(), CommandError> {
    match text.chars().count() > max_chars {
        true => Err(CommandError::invalid(field, format!("is too long (maximum is {max_chars} characters)"))),
        false => Ok(()),
    }
}

/// Checks that one more can be added where `there` of them exist.
fn check_number(things: &str, there: usize, max: NonZeroUsize) -> Result<(), CommandError> {
    match there < max.get() {
        true => Ok(()),
        false => Err(CommandError::invalid("base", format!("Maximum number of {things} ({max}) exceeded"))),
    }
}

impl std::fmt::Display for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::User => "User",
            Self::Group => "Group",
            Self::Member => "Member",
            Self::Token => "Token",
        })
    }
}

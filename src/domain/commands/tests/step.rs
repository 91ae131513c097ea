//! Arbitrary changes, described by small numbers that stand for existing objects, and how they are made.

mod group;
mod member;
mod token;
mod user;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use self::group::GroupStep;
use self::member::MemberStep;
use self::token::TokenStep;
use self::user::UserStep;
use crate::domain::commands::maker::Maker;
use crate::domain::commands::{CommandError, CommandResult, Terms, retention, service};
use crate::domain::directory::{Directory, Write};
use crate::domain::id::TokenId;
use crate::domain::limits::Limits;

/// A change.
#[derive(Clone, Debug)]
pub(super) enum Step {
    User(UserStep),
    Group(GroupStep),
    Member(MemberStep),
    Token(TokenStep),
    Forget { days: u8 },
    Switch { enabled: Option<bool> },
}

/// State on which a change is made.
struct Context<'a> {
    directory: &'a Directory,
    /// The number of changes before it.
    index: usize,
    now: Timestamp,
}

/// Returns any change. Each kind is as frequent as any other.
pub(super) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => user::step().prop_map(Step::User),
        4 => group::step().prop_map(Step::Group),
        3 => member::step().prop_map(Step::Member),
        6 => token::step().prop_map(Step::Token),
        1 => (0..100_u8).prop_map(|days| Step::Forget { days }),
        1 => any::<Option<bool>>().prop_map(|enabled| Step::Switch { enabled }),
    ]
}

pub(super) fn change(
    directory: &Directory,
    step: &Step,
    index: usize,
    now: &mut Timestamp,
) -> Result<Vec<Write>, CommandError> {
    let context = Context { directory, index, now: *now };
    match step.clone() {
        Step::User(step) => step.change(&context),
        Step::Group(step) => step.change(&context),
        Step::Member(step) => step.change(&context),
        Step::Token(step) => step.change(&context),
        Step::Forget { days } => {
            *now += SignedDuration::from_hours(24 * i64::from(days));
            writes(retention::expire(directory, 5, *now))
        }
        Step::Switch { enabled } => writes(service::switch_proxy(directory, enabled)),
    }
}

impl Context<'_> {
    /// Returns the terms of a change that this token makes, if it is active.
    fn under(&self, by: Option<u64>) -> Terms<'static> {
        let maker = match by.and_then(|id| self.directory.token(TokenId(id))) {
            Some(token) if token.is_active(self.now) => {
                Maker::Token { id: token.id, end: token.expires_at, of_group: token.group().is_some() }
            }
            Some(_) | None => Maker::Unbound,
        };
        Terms { maker, by: None, limits: &Limits::NONE, now: self.now }
    }
}

fn writes<T>(edit: CommandResult<T>) -> Result<Vec<Write>, CommandError> {
    edit.map(|(writes, _)| writes)
}

/// Returns numbers that objects may have.
fn ids() -> std::ops::Range<u64> {
    1..12
}

/// Returns the token that makes a change, if there is one.
fn by() -> impl Strategy<Value = Option<u64>> {
    prop::option::of(ids())
}

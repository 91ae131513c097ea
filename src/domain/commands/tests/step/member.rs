//! Changes of memberships.

use proptest::prelude::*;

use super::{Context, by, ids, writes};
use crate::domain::access::AccessLevel;
use crate::domain::commands::{CommandError, member};
use crate::domain::directory::Write;
use crate::domain::id::{GroupId, UserId};

/// A change of a membership.
#[derive(Clone, Debug)]
pub(in crate::domain::commands::tests) enum MemberStep {
    Join { group: u64, user: u64, level: u8, by: Option<u64> },
    Level { group: u64, user: u64, level: u8, by: Option<u64> },
    Leave { group: u64, user: u64 },
}

pub(super) fn step() -> impl Strategy<Value = MemberStep> {
    prop_oneof![
        (ids(), ids(), 1..6_u8, by()).prop_map(|(group, user, level, by)| MemberStep::Join { group, user, level, by }),
        (ids(), ids(), 1..6_u8, by()).prop_map(|(group, user, level, by)| MemberStep::Level { group, user, level, by }),
        (ids(), ids()).prop_map(|(group, user)| MemberStep::Leave { group, user }),
    ]
}

impl MemberStep {
    pub(super) fn change(self, context: &Context<'_>) -> Result<Vec<Write>, CommandError> {
        let directory = context.directory;
        match self {
            Self::Join { group, user, level, by } => {
                let (group, user, level) = (GroupId(group), UserId(user), level_of(level));
                let new = member::NewMember { group, user, level, expires_at: None };
                writes(member::add(directory, new, &context.under(by)))
            }
            Self::Level { group, user, level, by } => {
                let change = member::MemberChange { level: Some(level_of(level)), expires_at: None };
                writes(member::update(directory, GroupId(group), UserId(user), change, &context.under(by)))
            }
            Self::Leave { group, user } => writes(member::remove(directory, GroupId(group), UserId(user), context.now)),
        }
    }
}

fn level_of(number: u8) -> AccessLevel {
    AccessLevel::try_from(number * 10).unwrap()
}

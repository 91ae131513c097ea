//! Changes of groups.

use proptest::prelude::*;

use super::{Context, ids, writes};
use crate::domain::commands::{CommandError, group};
use crate::domain::directory::Write;
use crate::domain::group::Visibility;
use crate::domain::id::{GroupId, UserId};
use crate::domain::upstream::Upstreams;

/// A change of a group.
#[derive(Clone, Debug)]
pub(in crate::domain::commands::tests) enum GroupStep {
    New { part: u8, parent: Option<u64>, creator: u64, visibility: u8 },
    Rename { group: u64, part: u8 },
    Show { group: u64, visibility: u8 },
    Delete { group: u64 },
}

pub(super) fn step() -> impl Strategy<Value = GroupStep> {
    let part = 0..6_u8;
    prop_oneof![
        (part.clone(), prop::option::of(ids()), ids(), 0..3_u8)
            .prop_map(|(part, parent, creator, visibility)| GroupStep::New { part, parent, creator, visibility }),
        (ids(), part).prop_map(|(group, part)| GroupStep::Rename { group, part }),
        (ids(), 0..3_u8).prop_map(|(group, visibility)| GroupStep::Show { group, visibility }),
        ids().prop_map(|group| GroupStep::Delete { group }),
    ]
}

impl GroupStep {
    pub(super) fn change(self, context: &Context<'_>) -> Result<Vec<Write>, CommandError> {
        let (directory, world) = (context.directory, Upstreams::default());
        match self {
            Self::New { part, parent, creator, visibility } => {
                let (parent, creator) = (parent.map(GroupId), UserId(creator));
                let (name, path) = ("A group".to_owned(), format!("Part{part}"));
                let visibility = Some(self::visibility(visibility));
                let new = group::NewGroup { name, path, description: String::new(), parent, visibility, creator };
                writes(group::create(directory, &world, new, &context.under(None)))
            }
            Self::Rename { group, part } => {
                let change = group::GroupChange { path: Some(format!("part{part}")), ..Default::default() };
                writes(group::update(directory, &world, GroupId(group), change, UserId(1)))
            }
            Self::Show { group, visibility } => {
                let visibility = Some(self::visibility(visibility));
                let change = group::GroupChange { visibility, ..Default::default() };
                writes(group::update(directory, &world, GroupId(group), change, UserId(1)))
            }
            Self::Delete { group } => writes(group::delete(directory, GroupId(group), context.now)),
        }
    }
}

fn visibility(number: u8) -> Visibility {
    [Visibility::Private, Visibility::Internal, Visibility::Public][usize::from(number)]
}

//! Changes of users.

use proptest::prelude::*;

use super::{Context, ids, writes};
use crate::domain::commands::{CommandError, user};
use crate::domain::directory::Write;
use crate::domain::id::UserId;

/// A change of a user.
#[derive(Clone, Debug)]
pub(in crate::domain::commands::tests) enum UserStep {
    New { name: u8, admin: bool },
    Rename { user: u64, name: u8 },
    Admin { user: u64, admin: bool },
    Block { user: u64, blocked: bool },
    Delete { user: u64, force: bool },
}

pub(super) fn step() -> impl Strategy<Value = UserStep> {
    let name = 0..6_u8;
    prop_oneof![
        (name.clone(), any::<bool>()).prop_map(|(name, admin)| UserStep::New { name, admin }),
        (ids(), name).prop_map(|(user, name)| UserStep::Rename { user, name }),
        (ids(), any::<bool>()).prop_map(|(user, admin)| UserStep::Admin { user, admin }),
        (ids(), any::<bool>()).prop_map(|(user, blocked)| UserStep::Block { user, blocked }),
        (ids(), any::<bool>()).prop_map(|(user, force)| UserStep::Delete { user, force }),
    ]
}

impl UserStep {
    pub(super) fn change(self, Context { directory, now, .. }: &Context<'_>) -> Result<Vec<Write>, CommandError> {
        let at = *now;
        match self {
            Self::New { name, admin } => writes(user::create(directory, new_user(name, admin), at)),
            Self::Rename { user, name } => {
                let username = Some(format!("User{name}").parse().unwrap());
                writes(user::update(directory, UserId(user), user::UserChange { username, ..Default::default() }))
            }
            Self::Admin { user, admin } => {
                let change = user::UserChange { admin: Some(admin), ..Default::default() };
                writes(user::update(directory, UserId(user), change))
            }
            Self::Block { user, blocked: true } => writes(user::block(directory, UserId(user), at)),
            Self::Block { user, blocked: false } => writes(user::unblock(directory, UserId(user), at)),
            Self::Delete { user, force } => writes(user::delete(directory, UserId(user), force, at)),
        }
    }
}

fn new_user(name: u8, admin: bool) -> user::NewUser {
    let username = format!("user{name}").parse().unwrap();
    user::NewUser { username, name: "A user".to_owned(), email: None, admin, password: None }
}

//! Changes of tokens.

use jiff::SignedDuration;
use proptest::prelude::*;

use super::{Context, by, ids, writes};
use crate::domain::access::AccessLevel;
use crate::domain::commands::CommandError;
use crate::domain::commands::maker::Ending;
use crate::domain::commands::rotation::{self, Rotation};
use crate::domain::commands::token::{self, NewCredential, NewToken};
use crate::domain::digest::Digest;
use crate::domain::directory::Write;
use crate::domain::id::{CredentialId, GroupId, TokenId, UserId};
use crate::domain::scope::Scopes;

/// A change of a token.
#[derive(Clone, Debug)]
pub(in crate::domain::commands::tests) enum TokenStep {
    Personal { user: u64, by: Option<u64> },
    Group { group: u64, by: Option<u64> },
    Deploy { group: u64, secret: Option<u8>, by: Option<u64> },
    Rotate { token: u64, overlap: u8, days: i64, by: Option<u64> },
    Extend { token: u64, days: Option<i64>, by: Option<u64> },
    Revoke { token: u64 },
}

pub(super) fn step() -> impl Strategy<Value = TokenStep> {
    let end = prop::option::weighted(0.8, 1..60_i64);
    prop_oneof![
        (ids(), by()).prop_map(|(user, by)| TokenStep::Personal { user, by }),
        (ids(), by()).prop_map(|(group, by)| TokenStep::Group { group, by }),
        (ids(), prop::option::of(0..3_u8), by()).prop_map(|(group, secret, by)| TokenStep::Deploy {
            group,
            secret,
            by
        }),
        (ids(), 0..3_u8, 1..30_i64, by()).prop_map(|(token, overlap, days, by)| TokenStep::Rotate {
            token,
            overlap,
            days,
            by
        }),
        (ids(), end, by()).prop_map(|(token, days, by)| TokenStep::Extend { token, days, by }),
        ids().prop_map(|token| TokenStep::Revoke { token }),
    ]
}

impl TokenStep {
    pub(super) fn change(self, context: &Context<'_>) -> Result<Vec<Write>, CommandError> {
        let (directory, index) = (context.directory, context.index);
        match self {
            Self::Personal { user, by } => {
                let new = new_token(index, None);
                writes(token::create_personal(directory, UserId(user), new, &context.under(by)))
            }
            Self::Group { group, by } => {
                let (level, new) = (AccessLevel::Maintainer, new_token(index, None));
                writes(token::create_group(directory, GroupId(group), level, new, &context.under(by)))
            }
            Self::Deploy { group, secret, by } => {
                let new = new_token(index, secret);
                writes(token::create_deploy(directory, GroupId(group), None, new, &context.under(by)))
            }
            Self::Rotate { token, overlap, days, by } => {
                let new_credential = new_token(index, None).new_credential;
                let overlap = format!("{}h", 24 * u16::from(overlap)).parse().unwrap();
                let rotation = Rotation { ending: Some(Ending::InDays(days)), new_credential, overlap };
                writes(rotation::rotate(directory, TokenId(token), rotation, &context.under(by)))
            }
            Self::Extend { token, days, by } => {
                let end = days.map(|days| context.now + SignedDuration::from_hours(24 * days));
                writes(rotation::extend(directory, TokenId(token), end, &context.under(by)))
            }
            Self::Revoke { token } => writes(token::revoke(directory, TokenId(token), context.now)),
        }
    }
}

fn new_token(index: usize, secret: Option<u8>) -> NewToken {
    let mut bits = [0; 16];
    bits[..8].copy_from_slice(&index.to_be_bytes());
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&index.to_be_bytes());
    let secret = Digest::from_bytes(secret.map_or(digest, |byte| [byte + 100; 32]));
    let new_credential = NewCredential { credential: CredentialId::from_random(bits), secret, brought: false };
    let name = "A token".to_owned();
    NewToken {
        name,
        description: String::new(),
        scopes: Scopes::pull(),
        ending: Ending::InDays(index as i64 % 40 + 1),
        new_credential,
    }
}

//! The identities of the company.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use crate::auth::{random, secret};
use crate::domain::access::AccessLevel;
use crate::domain::commands::maker::{Ending, Maker};
use crate::domain::commands::{CommandResult, Terms, group, member, token, user};
use crate::domain::directory::Directory;
use crate::domain::group::Visibility;
use crate::domain::id::{GroupId, UserId};
use crate::domain::limits::Limits;
use crate::domain::scope::Scopes;
use crate::domain::upstream::Upstreams;

/// Returns the identities of the company. Users: 1 root, then owner, maintainer, guest and stranger. Groups: 1
/// `team`, 2 `team/ci`, 3 `other`. Tokens, by number: root's, root's for reading, owner's, maintainer's, guest's,
/// stranger's, that of the bot which owns `team` (user 6), the owner's for the registry, and the deploy token of
/// `team`.
pub(in crate::http::api::tests) fn records() -> Directory {
    let mut company = Directory::default();
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let terms = Terms { maker: Maker::Unbound, by: Some(UserId(1)), limits: &Limits::NONE, now };
    for name in ["root", "owner", "maintainer", "guest", "stranger"] {
        let new = user::NewUser {
            username: name.parse().unwrap(),
            name: name.to_uppercase(),
            email: Some(format!("{name}@example.com").parse().unwrap()),
            admin: name == "root",
            password: None,
        };
        apply(&mut company, |directory| user::create(directory, new, now));
    }
    for (path, parent) in [("team", None), ("ci", Some(GroupId(1))), ("other", None)] {
        let new = group::NewGroup {
            name: path.to_uppercase(),
            path: path.to_owned(),
            description: String::new(),
            parent,
            visibility: Some(Visibility::Private),
            creator: UserId(1),
        };
        apply(&mut company, |directory| group::create(directory, &Upstreams::default(), new, &terms));
    }
    let levels = [(2, AccessLevel::Owner), (3, AccessLevel::Maintainer), (4, AccessLevel::Guest)];
    for (user, level) in levels {
        let new = member::NewMember { group: GroupId(1), user: UserId(user), level, expires_at: None };
        apply(&mut company, |directory| member::add(directory, new, &terms));
    }
    let personal = [(1, "admin", "api"), (1, "reader", "read_api"), (2, "owner", "api"), (3, "maintainer", "api")];
    for (user, name, scope) in personal.into_iter().chain([(4, "guest", "api"), (5, "stranger", "api")]) {
        apply(&mut company, |directory| {
            token::create_personal(directory, UserId(user), new_token(name, &[scope]), &terms)
        });
    }
    let owning = AccessLevel::Owner;
    apply(&mut company, |directory| {
        token::create_group(directory, GroupId(1), owning, new_token("bot", &["api"]), &terms)
    });
    let pair = ["read_registry", "write_registry"];
    apply(&mut company, |directory| token::create_personal(directory, UserId(2), new_token("registry", &pair), &terms));
    apply(&mut company, |directory| {
        token::create_deploy(directory, GroupId(1), None, new_token("deploy", &pair), &terms)
    });
    company
}

/// Returns the secret of the token of this name.
pub(in crate::http::api::tests) fn secret_of(name: &str) -> String {
    format!("the secret of {name}")
}

fn apply<T>(directory: &mut Directory, edit: impl FnOnce(&Directory) -> CommandResult<T>) {
    let (writes, _) = edit(directory).unwrap();
    directory.apply(&writes);
}

fn new_token(name: &str, scopes: &[&str]) -> token::NewToken {
    let scopes: Vec<_> = scopes.iter().map(|scope| scope.parse().unwrap()).collect();
    let secret = secret::digest(&secret_of(name));
    token::NewToken {
        name: name.to_owned(),
        description: String::new(),
        scopes: Scopes::try_from(scopes).unwrap(),
        ending: Ending::Never,
        new_credential: token::NewCredential { credential: random::credential_id(), secret, brought: false },
    }
}

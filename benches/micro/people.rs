//! A directory of realistic size: 10,000 users, 1,000 groups of which 900 are subgroups, 20,000 memberships and
//! 11,000 tokens. The same in every run.

use std::collections::BTreeMap;

use dependency_proxy::auth::secret;
use dependency_proxy::domain::access::{AccessLevel, Membership};
use dependency_proxy::domain::directory::{Directory, Record};
use dependency_proxy::domain::group::{Group, GroupCacheLimits, Visibility};
use dependency_proxy::domain::id::{CredentialId, GroupId, TokenId, UserId};
use dependency_proxy::domain::scope::Scopes;
use dependency_proxy::domain::token::{Token, TokenOwner};
use dependency_proxy::domain::user::User;
use jiff::Timestamp;

pub const USERS: u64 = 10_000;
pub const GROUPS: u64 = 1_000;
/// Number of top-level groups, which have the lowest ids.
const TOP: u64 = 100;

/// Returns the directory. User `n` is a member of two top-level groups, one of them group `n % 100`, and has token
/// `n`; group `n` has token `10_000 + n`.
pub fn directory() -> Directory {
    let users = (1..=USERS).map(user);
    let groups = (1..=GROUPS).map(group);
    let members = (1..=USERS).flat_map(|id| [id, id * 7 + 3].map(|group| member(group % TOP + 1, id)));
    let personal = (1..=USERS).map(|id| token(id, TokenOwner::Personal { user: UserId(id) }));
    let deploy = (1..=GROUPS).map(|id| {
        let owner = TokenOwner::Deploy { group: GroupId(id), username: deploy_username(id) };
        token(USERS + id, owner)
    });
    Directory::from_records(users.chain(groups).chain(members).chain(personal).chain(deploy))
}

/// Returns the path of a group: `team-1` at the top level, `team-1/part-101` below it,
/// `team-1/part-101/part-201` and so on.
pub fn path(id: u64) -> String {
    match parent(id) {
        None => format!("team-{id}"),
        Some(above) => format!("{}/part-{id}", path(above)),
    }
}

/// Returns a top-level group of user `id`.
pub fn group_of(id: u64) -> u64 {
    id % TOP + 1
}

/// Returns a group three levels below a top-level group.
pub fn below(top: u64) -> u64 {
    top + 3 * TOP
}

/// Returns the credential id of a token.
pub fn credential(token: u64) -> CredentialId {
    CredentialId::from_random(u128::from(token).to_be_bytes())
}

/// Returns the secret of a token.
pub fn secret_of(token: u64) -> String {
    format!("a-secret-of-a-token-{token}")
}

/// Returns the user name of a group's deploy token.
pub fn deploy_username(group: u64) -> String {
    format!("deploy-{group}")
}

fn parent(id: u64) -> Option<u64> {
    id.checked_sub(TOP).filter(|above| *above > 0)
}

fn user(id: u64) -> Record {
    let (username, name) = (format!("user-{id}").parse().unwrap(), format!("User {id}"));
    let user = User::new(UserId(id), username, name, Timestamp::UNIX_EPOCH);
    Record::User(User { email: format!("user-{id}@example.com"), ..user })
}

fn group(id: u64) -> Record {
    Record::Group(Group {
        id: GroupId(id),
        name: format!("Team {id}"),
        path: path(id).parse().unwrap(),
        description: String::new(),
        parent: parent(id).map(GroupId),
        visibility: Visibility::Private,
        proxy_enabled: None,
        created_at: Timestamp::UNIX_EPOCH,
        cache: GroupCacheLimits::default(),
        upstream_accounts: BTreeMap::new(),
    })
}

fn member(group: u64, user: u64) -> Record {
    let (group, user, level) = (GroupId(group), UserId(user), AccessLevel::Developer);
    let created_at = Timestamp::UNIX_EPOCH;
    Record::Membership(Membership { group, user, level, expires_at: None, created_at, made_by: None })
}

fn token(id: u64, owner: TokenOwner) -> Record {
    let secret = (credential(id), secret::digest(&secret_of(id)));
    let name = format!("token-{id}");
    let token = Token::new(TokenId(id), owner, name, Scopes::pull(), secret, Timestamp::UNIX_EPOCH);
    Record::Token(Token { expires_at: Some(Timestamp::MAX), ..token })
}

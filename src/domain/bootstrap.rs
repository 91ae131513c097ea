//! The first records of an empty store: an administrator, and a group with a deploy token, so that a first pull takes
//! only two commands.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::digest::Digest;
use super::directory::{Record, Service, Write};
use super::group::{Group, GroupCacheLimits, GroupPath, Visibility};
use super::id::{CredentialId, GroupId, TokenId, UserId};
use super::scope::Scopes;
use super::token::{Token, TokenOwner};
use super::user::{Password, User, Username};

/// The path of the group that an empty store starts with.
pub const GROUP: &str = "example";

/// The user name of the deploy token of [`GROUP`].
pub const TOKEN_USERNAME: &str = "example-pull";

/// The lifetime of that deploy token, in days.
pub const TOKEN_DAYS: i64 = 90;

/// The input from which the first records are built.
#[derive(Debug)]
pub struct FirstRecords {
    /// The administrator's user name.
    pub admin: Username,
    /// The administrator's hashed password.
    pub password: Password,
    /// The credential id and secret digest of a token of the administrator, if the operator supplied one.
    pub admin_token: Option<(CredentialId, Digest)>,
    /// The path of the example group, which is [`GROUP`].
    pub group: GroupPath,
    /// The credential id and secret digest of the deploy token.
    pub deploy_token: (CredentialId, Digest),
    /// The creation time of all records.
    pub now: Timestamp,
}

const ROOT: UserId = UserId(1);
const EXAMPLE: GroupId = GroupId(1);

impl FirstRecords {
    /// Returns the writes that create all first records.
    pub fn writes(self) -> Vec<Write> {
        let admin_token = self.admin_token.map(|secret| Record::Token(self.admin_token_record(secret)));
        let last_token = 1 + u64::from(admin_token.is_some());
        let service = Service { last_user: ROOT.0, last_group: EXAMPLE.0, last_token, ..Service::default() };
        let deploy_token = Record::Token(self.deploy_token_record());
        let group = Record::Group(self.group_record());
        let records = [Record::Service(service), group, deploy_token, Record::User(self.admin_record())];
        records.into_iter().chain(admin_token).map(Write::Put).collect()
    }

    fn group_record(&self) -> Group {
        Group {
            id: EXAMPLE,
            name: self.group.to_string(),
            path: self.group.clone(),
            description: "Made at the first start".to_owned(),
            parent: None,
            visibility: Visibility::Private,
            proxy_enabled: None,
            cache: GroupCacheLimits::default(),
            upstream_accounts: BTreeMap::new(),
            created_at: self.now,
        }
    }

    fn deploy_token_record(&self) -> Token {
        let owner = TokenOwner::Deploy { group: EXAMPLE, username: TOKEN_USERNAME.to_owned() };
        let expires_at = self.now.checked_add(SignedDuration::from_hours(24 * TOKEN_DAYS)).ok();
        let token = Token::new(TokenId(1), owner, TOKEN_USERNAME, Scopes::pull(), self.deploy_token, self.now);
        Token { expires_at, ..token }
    }

    fn admin_token_record(&self, secret: (CredentialId, Digest)) -> Token {
        let owner = TokenOwner::Personal { user: ROOT };
        Token::new(TokenId(2), owner, "bootstrap", Scopes::api(), secret, self.now)
    }

    fn admin_record(self) -> User {
        let email = format!("{}@localhost", self.admin);
        let user = User::new(ROOT, self.admin, "Administrator", self.now);
        User { email, admin: true, password: Some(self.password), ..user }
    }
}

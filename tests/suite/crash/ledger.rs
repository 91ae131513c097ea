//! Changes of one administrator: the acknowledged tokens, membership and password, which must hold whatever
//! happened, and those whose result is unknown because the response never arrived.

use reqwest::Method;
use serde_json::{Value, json};

use super::Chances;
use super::caller::Caller;
use crate::service::{Group, Service, User};

/// Expected state of some identities that nobody else changes.
pub(super) struct Ledger {
    group: Group,
    user: User,
    tokens: Vec<Token>,
    member: Option<bool>,
    /// The password, with the previous one where the change was not acknowledged.
    passwords: Vec<String>,
    chances: Chances,
    pub(super) acknowledged: usize,
}

struct Token {
    kind: Kind,
    id: u64,
    username: String,
    secret: String,
    /// True if the credential is valid; `None` where the response did not arrive.
    works: Option<bool>,
}

#[derive(Clone, Copy)]
enum Kind {
    Deploy,
    Group,
    Personal,
}

const KINDS: [Kind; 3] = [Kind::Deploy, Kind::Group, Kind::Personal];

impl Ledger {
    pub(super) async fn open(service: &Service, number: usize, chances: Chances) -> Self {
        let password = format!("first-password-of-{number}");
        Self {
            group: service.group(&format!("team-{number}")).await,
            user: service.user(&format!("person-{number}"), &password).await,
            tokens: Vec::new(),
            member: Some(false),
            passwords: vec![password],
            chances,
            acknowledged: 0,
        }
    }

    /// Makes one change after the other until a response does not arrive.
    pub(super) async fn change_until_the_end(mut self, caller: Caller) -> Self {
        while self.change(&caller).await.is_some() {
            self.acknowledged += 1;
        }
        self
    }

    async fn change(&mut self, caller: &Caller) -> Option<()> {
        let living = self.tokens.iter().rposition(|token| token.works == Some(true));
        match (self.chances.below(16), living) {
            (0, _) => self.change_password(caller).await,
            (1..=3, _) => self.change_membership(caller).await,
            (4..=7, Some(at)) => self.revoke(caller, at).await,
            (8 | 9, Some(at)) => self.rotate(caller, at).await,
            _ => self.create(caller).await,
        }
    }

    async fn create(&mut self, caller: &Caller) -> Option<()> {
        let kind = KINDS[self.chances.below(3) as usize];
        let fields = json!({
            "name": "ci", "scopes": ["read_registry", "write_registry"], "access_level": 10, "expires_at": "2099-01-01",
        });
        let made = caller.call(Method::POST, &self.path_to_create(kind), &fields).await?;
        self.note_new(kind, &made);
        Some(())
    }

    async fn revoke(&mut self, caller: &Caller, at: usize) -> Option<()> {
        let path = self.path(at);
        self.tokens[at].works = None;
        caller.call(Method::DELETE, &path, &Value::Null).await?;
        self.tokens[at].works = Some(false);
        Some(())
    }

    async fn rotate(&mut self, caller: &Caller, at: usize) -> Option<()> {
        let kind = self.tokens[at].kind;
        let path = format!("{}/rotate", self.path(at));
        self.tokens[at].works = None;
        let made = caller.call(Method::POST, &path, &json!({"expires_at": "2099-02-02", "overlap": 0})).await?;
        self.tokens[at].works = Some(false);
        self.note_new(kind, &made);
        Some(())
    }

    async fn change_membership(&mut self, caller: &Caller) -> Option<()> {
        let was = self.member.take()?;
        let (members, user) = (format!("/groups/{}/members", self.group.id), self.user.id);
        if was {
            caller.call(Method::DELETE, &format!("{members}/{user}"), &Value::Null).await?;
        } else {
            caller.call(Method::POST, &members, &json!({"user_id": user, "access_level": 30})).await?;
        }
        self.member = Some(!was);
        Some(())
    }

    async fn change_password(&mut self, caller: &Caller) -> Option<()> {
        let password = format!("another-password-{}", self.chances.below(u64::MAX));
        self.passwords.push(password.clone());
        caller.call(Method::PUT, &format!("/users/{}", self.user.id), &json!({"password": password})).await?;
        self.passwords = vec![password];
        Some(())
    }

    fn note_new(&mut self, kind: Kind, made: &Value) {
        let username = made["username"].as_str().unwrap_or("anyone").to_owned();
        let secret = made["token"].as_str().unwrap().to_owned();
        self.tokens.push(Token { kind, id: made["id"].as_u64().unwrap(), username, secret, works: Some(true) });
    }

    fn path_to_create(&self, kind: Kind) -> String {
        match kind {
            Kind::Deploy => format!("/groups/{}/deploy_tokens", self.group.id),
            Kind::Group => format!("/groups/{}/access_tokens", self.group.id),
            Kind::Personal => format!("/users/{}/personal_access_tokens", self.user.id),
        }
    }

    fn path(&self, at: usize) -> String {
        let token = &self.tokens[at];
        match token.kind {
            Kind::Deploy | Kind::Group => format!("{}/{}", self.path_to_create(token.kind), token.id),
            Kind::Personal => format!("/personal_access_tokens/{}", token.id),
        }
    }

    /// Compares the expected with the actual state, and records what was unknown.
    pub(super) async fn verify(&mut self, service: &Service, caller: &Caller) {
        for token in &mut self.tokens {
            let status = service.token(&token.username, &token.secret, "").await.status;
            let works = status == 200;
            assert!(works || status == 401 || status == 403, "token {}: {status}", token.id);
            assert_eq!(token.works.unwrap_or(works), works, "token {}: it was acknowledged to be otherwise", token.id);
            token.works = Some(works);
        }
        let member = caller.status(&format!("/groups/{}/members/{}", self.group.id, self.user.id)).await == 200;
        assert_eq!(self.member.unwrap_or(member), member, "the membership of {}", self.user.username);
        self.member = Some(member);
        self.verify_password(service).await;
        self.verify_group_tokens(caller).await;
    }

    async fn verify_password(&mut self, service: &Service) {
        let mut working = Vec::new();
        for password in &self.passwords {
            if service.token(&self.user.username, password, "").await.status == 200 {
                working.push(password.clone());
            }
        }
        assert_eq!(working.len(), 1, "one password of {} opens the door", self.user.username);
        self.passwords = working;
    }

    /// Checks that of a group access token, its bot user and the bot's membership either all or none exist.
    async fn verify_group_tokens(&self, caller: &Caller) {
        let group = self.group.id;
        let ids = |items: Vec<Value>, id: &str| {
            let mut ids: Vec<u64> = items.iter().map(|item| item[id].as_u64().unwrap()).collect();
            ids.sort_unstable();
            ids
        };
        let tokens = caller.list(&format!("/groups/{group}/access_tokens?state=active")).await;
        let members = caller.list(&format!("/groups/{group}/members")).await;
        let human = |member: &Value| member["id"] == 1 || member["id"] == self.user.id;
        let members = members.into_iter().filter(|member| !human(member)).collect();
        let bots = caller.list("/users").await.into_iter().filter(|user| user["bot"] == true);
        let name = format!("group_{group}_bot");
        let bots = bots.filter(|bot| bot["username"].as_str().unwrap().starts_with(&name)).collect();
        let (tokens, members, bots) = (ids(tokens, "user_id"), ids(members, "id"), ids(bots, "id"));
        assert_eq!((&tokens, &tokens), (&members, &bots), "bots of active tokens, bots that are members, bots");
    }
}

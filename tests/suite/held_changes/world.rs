//! A caller with everything that the routes need, and how it loses its right.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::By;
use super::Loss::{self, Blocked, Deleted, Demoted, Password, Removed, Revoked};
use crate::service::{Service, User};

/// Users beside the caller.
pub(super) struct Others {
    /// A user who is no member of any group.
    stranger: User,
    /// A user who becomes a guest of each group.
    guest: User,
}

impl Others {
    pub(super) async fn new(service: &Service, number: usize) -> Self {
        let stranger = service.user(&format!("stranger-{number}"), "a-strangers-password").await;
        let guest = service.user(&format!("guest-{number}"), "a-guests-password").await;
        Self { stranger, guest }
    }
}

/// A group with all objects that the routes need, and a caller.
pub(super) struct World {
    numbers: Vec<(&'static str, u64)>,
    user: User,
    group: u64,
    token: u64,
    by: By,
    /// The value of `Authorization` of the caller.
    pub(super) authorization: String,
}

impl World {
    pub(super) async fn new(service: &Service, number: usize, by: By, Others { stranger, guest }: &Others) -> Self {
        let user = service.user(&format!("caller-{number}"), "the-callers-password").await;
        let group = service.group(&format!("group-{number}")).await;
        service.add_member(&group, &user, 50).await;
        service.add_member(&group, guest, 10).await;
        let deploy = service.deploy_token(&group, "deploy").await;
        let token = service.personal_token(&user, "used", &["api"]).await;
        let other = service.personal_token(&user, "other", &["api"]).await;
        let robot = json!({"name": "robot", "scopes": ["api"], "access_level": 50});
        let robot = service.api("POST", &format!("/groups/{}/access_tokens", group.id), robot).await.json();
        if by == By::Admin {
            service.api("PUT", &format!("/users/{}", user.id), json!({"admin": true})).await;
            service.api("DELETE", &format!("/groups/{}/members/{}", group.id, user.id), Value::Null).await;
        }
        let password = || format!("Basic {}", STANDARD.encode(format!("{}:the-callers-password", user.username)));
        let authorization = match by {
            By::Owner | By::Admin => format!("Bearer {}", token.secret),
            By::Bot => format!("Bearer {}", robot["token"].as_str().unwrap()),
            By::OwnPassword => password(),
        };
        // The administrator rotates another user's token.
        let other = if by == By::Admin { service.personal_token(stranger, "other", &["api"]).await } else { other };
        let robot_id = robot["id"].as_u64().unwrap();
        let token = if by == By::Bot { robot_id } else { token.id };
        let numbers = vec![
            ("GROUP", group.id),
            ("DEPLOY", deploy.id),
            ("ROBOT", robot_id),
            ("STRANGER", stranger.id),
            ("GUEST", guest.id),
            ("USER", user.id),
            ("TOKEN", token),
            ("OTHER", other.id),
        ];
        let user = if by == By::Bot { User { id: robot["user_id"].as_u64().unwrap(), ..user } } else { user };
        Self { numbers, user, group: group.id, token, by, authorization }
    }

    /// Returns the text with numbers in the place of the words for them.
    pub(super) fn filled_in(&self, text: &str) -> String {
        self.numbers.iter().fold(text.to_owned(), |text, (name, number)| text.replace(name, &number.to_string()))
    }

    /// Takes the right from the caller.
    pub(super) async fn lose(&self, service: &Service, loss: Loss) {
        let user = format!("/users/{}", self.user.id);
        let member = format!("/groups/{}/members/{}", self.group, self.user.id);
        let (method, path, body) = match loss {
            Revoked if self.by == By::Bot => {
                ("DELETE", format!("/groups/{}/access_tokens/{}", self.group, self.token), Value::Null)
            }
            Revoked => ("DELETE", format!("/personal_access_tokens/{}", self.token), Value::Null),
            Blocked => ("POST", format!("{user}/block"), Value::Null),
            Removed => ("DELETE", member, Value::Null),
            Demoted if self.by == By::Admin => ("PUT", user, json!({"admin": false})),
            Demoted => ("PUT", member, json!({"access_level": 40})),
            Password => ("PUT", user, json!({"password": "another-password"})),
            Deleted => ("DELETE", user, json!({"hard_delete": true})),
        };
        let lost = service.api(method, &path, body).await;
        assert!((200..300).contains(&lost.status), "{loss:?}: {} {}", lost.status, lost.text());
    }
}

//! Changes of users.

use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use super::Plan;
use super::desired_token::DesiredToken;
use crate::cli::apply::change::{Action, Change, Field, Owner, Password, Step};
use crate::cli::connection::read_secret;
use crate::cli::secret_file::{Present, present};
use crate::domain::token::is_like_gitlabs;
use crate::settings::state::UserEntry;

const MIN_PASSWORD_CHARS: usize = 8;

impl Plan<'_> {
    /// Adds the changes of all users of the file, and of their tokens.
    pub(super) fn add_users(&mut self) {
        let (file, service) = (self.file, self.service);
        for (name, entry) in &file.users {
            let before = self.users.len();
            match service.user(name) {
                None => self.create_user(name, entry),
                Some(user) if user["bot"] == true => {
                    self.refuse(&["users", name], "is the bot of a group access token, which cannot be changed");
                }
                Some(user) => self.change_user(name, entry, user),
            }
            let differs = self.users.len() > before || (self.own_user.is_some() && service.is_caller(name));
            if differs && !service.by_administrator() {
                self.refuse(&["users", name], "differs; only administrators create and change users");
            }
            let present = service.tokens.get(&name.to_ascii_lowercase()).map(Vec::as_slice).unwrap_or_default();
            let entries = entry.tokens.iter().map(|(name, token)| DesiredToken::new(name, token, None));
            self.add_tokens(&Owner::User(name.clone()), entries.collect(), present);
        }
    }

    fn create_user(&mut self, name: &str, entry: &UserEntry) {
        let display = entry.name.as_deref().unwrap_or(name);
        let email = entry.email.as_deref().unwrap_or_default();
        let admin = entry.admin.unwrap_or_default();
        let body = json!({ "username": name, "name": display, "email": email, "admin": admin });
        let (password, note) = match &entry.password_file {
            None => (Password::None, "no password".to_owned()),
            Some(named) => self.password(name, named),
        };
        let fields = vec![Field::new("name", display), Field::new("email", email), Field::new("admin", admin)];
        let step = Step::CreateUser { username: name.to_owned(), body: object(body), password };
        let what = format!("user {name}");
        self.users.push(Change { action: Action::Create, what, fields, note: Some(note), step });
        self.block(name, false, entry.blocked);
    }

    /// Returns the password of a new user, with a text about it.
    fn password(&mut self, name: &str, named: &Path) -> (Password, String) {
        let file = self.file.file(named);
        let path = ["users", name, "password_file"];
        if present(&file) != Present::Other {
            let note = format!("a generated password is written to {}", file.display());
            return (Password::Generated(file), note);
        }
        match read_secret(&file) {
            Ok(password) => {
                if let Some(problem) = problem_of(&password) {
                    self.refuse(&path, format!("{}: the password {problem}", file.display()));
                }
                (Password::Given(password), format!("the password in {}", file.display()))
            }
            Err(failure) => {
                self.refuse(&path, failure.to_string());
                (Password::None, String::new())
            }
        }
    }

    fn change_user(&mut self, name: &str, entry: &UserEntry, user: &Value) {
        let wanted = [
            ("name", "name", entry.name.as_ref().map(|text| json!(text))),
            ("email", "email", entry.email.as_ref().map(|text| json!(text))),
            ("admin", "is_admin", entry.admin.map(|admin| json!(admin))),
        ];
        let (mut fields, mut body) = (Vec::new(), Map::new());
        for (key, field, after) in wanted {
            let Some(after) = after.filter(|after| *after != user[field]) else { continue };
            body.insert(key.to_owned(), after.clone());
            fields.push(Field::changed(key, user[field].clone(), after));
        }
        if !fields.is_empty() {
            let step = Step::ChangeUser { username: name.to_owned(), body };
            let change = Change { action: Action::Change, what: format!("user {name}"), fields, note: None, step };
            let is_last = entry.admin == Some(false) && self.service.is_caller(name);
            if is_last { self.own_user = Some(change) } else { self.users.push(change) }
        }
        self.block(name, user["state"] == "blocked", entry.blocked);
    }

    fn block(&mut self, name: &str, before: bool, wanted: Option<bool>) {
        let Some(blocked) = wanted.filter(|blocked| *blocked != before) else { return };
        if blocked && self.service.is_caller(name) {
            self.refuse(&["users", name, "blocked"], "is the user whose token is used here");
        }
        let fields = vec![Field::changed("blocked", before, blocked)];
        let step = Step::Block { username: name.to_owned(), blocked };
        self.users.push(Change { action: Action::Change, what: format!("user {name}"), fields, note: None, step });
    }
}

/// Returns why the service would refuse this password.
fn problem_of(password: &SecretString) -> Option<String> {
    let password = password.expose_secret();
    if password.chars().count() < MIN_PASSWORD_CHARS {
        return Some(format!("has fewer than {MIN_PASSWORD_CHARS} characters"));
    }
    is_like_gitlabs(password).then(|| "has the form of a token, which a login never tries as a password".to_owned())
}

/// Returns the fields of an object.
pub(super) fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(fields) = value { fields } else { Map::new() }
}

//! Changes of tokens of all kinds. A token is the newest active one of its name.

use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use super::Plan;
use super::desired_token::DesiredToken;
use super::groups::never;
use super::users::object;
use crate::cli::apply::change::{Action, Change, Field, Owner, Step, TokenSecret};
use crate::cli::apply::service::{day, newest_by_name};
use crate::cli::connection::read_secret;
use crate::cli::secret_file::{Present, place_of, present};
use crate::cli::token::default_end;
use crate::domain::scope::Scopes;
use crate::domain::token::{check_deploy_username, check_supplied};
use crate::settings::state::{End, Level, TokenEntry};

impl Plan<'_> {
    /// Adds the changes of the tokens of one kind and owner.
    pub(super) fn add_tokens(&mut self, owner: &Owner, desired: Vec<DesiredToken<'_>>, tokens: &[Value]) {
        let newest = newest_by_name(tokens);
        for one in &desired {
            match newest.get(one.name) {
                Some(token) => self.change_token(owner, one, token),
                None => self.create_token(owner, one),
            }
        }
        let is_named = |token: &&Value| desired.iter().any(|one| token["name"] == one.name);
        if !self.prune || matches!(owner, Owner::User(_)) {
            return;
        }
        for token in tokens.iter().filter(|token| !is_named(token)) {
            let what = owner.token(token["name"].as_str().unwrap_or_default());
            let note = Some(format!("number {}, with what it created", token["id"]));
            let step = Step::RevokeToken { owner: owner.clone(), id: token["id"].as_u64().unwrap_or_default() };
            self.tokens.push(Change { action: Action::Remove, what, fields: Vec::new(), note, step });
        }
    }

    fn create_token(&mut self, owner: &Owner, desired: &DesiredToken<'_>) {
        let DesiredToken { name, entry, ref own, given } = *desired;
        let (own, end) = (own.as_ref(), entry.expires_at);
        if end.is_some_and(|End(end)| end.is_some_and(|end| end <= self.today)) {
            return;
        }
        let path = owner.path(name);
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let Some(secret) = self.new_secret(&path, entry.secret_file.as_deref(), given) else { return };
        let is_given = matches!(secret, TokenSecret::Given(..));
        if let (Owner::Deploy(_), Some((field, Value::String(username)))) = (owner, own)
            && let Err(problem) = check_deploy_username(username, is_given)
        {
            self.refuse(&[&path[..], &[field]].concat(), problem);
        }
        // A secret that is in use elsewhere must not end by itself after a while.
        let default = || if is_given { Ok(None) } else { default_end().map(Some) };
        let end = match end.map_or_else(default, |End(end)| Ok(end)) {
            Ok(end) => End(end),
            Err(failure) => return self.refuse(&path, failure.to_string()),
        };
        let guest = ("access_level", json!(Level::Guest.number()));
        let own = own.or_else(|| matches!(owner, Owner::Access(_)).then_some(&guest));
        let (body, fields) = new_token(name, entry, end, own);
        let note = Some(match &secret {
            TokenSecret::Given(file, _) => format!("its secret is the one in {}", file.display()),
            TokenSecret::Generated(file) => format!("its secret is written to {}", file.display()),
        });
        // Without an end in the request, personal and group tokens would get the default one.
        let is_endless = end == End(None) && !matches!(owner, Owner::Deploy(_));
        let step = Step::CreateToken { owner: owner.clone(), body: object(body), secret, is_endless };
        self.tokens.push(Change { action: Action::Create, what: owner.token(name), fields, note, step });
    }

    fn change_token(&mut self, owner: &Owner, desired: &DesiredToken<'_>, token: &Value) {
        let DesiredToken { name, entry, ref own, .. } = *desired;
        let path = owner.path(name);
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let id = token["id"].as_u64().unwrap_or_default();
        let scopes = entry.scopes.as_ref().map(|scopes| ("scopes", json!(scopes)));
        for (field, value) in scopes.iter().chain(own) {
            if token[field] != *value {
                let is = (written(field, &token[field]), written(field, value));
                let problem = format!(
                    "the token has {}, not {}, which cannot be changed: revoke it (number {id}), or use another token \
                     name",
                    is.0, is.1
                );
                self.refuse(&[&path[..], &[field]].concat(), problem);
            }
        }
        let before = day(&token["expires_at"]);
        if let Some(end) = entry.expires_at.filter(|end| json!(end.0) != before) {
            if end.0.is_some_and(|end| end <= self.today) {
                self.refuse(&[&path[..], &["expires_at"]].concat(), "has passed; revoke the token instead");
            }
            let fields = vec![Field::changed("expires_at", never(&before), end.to_string())];
            let step = Step::EndToken { owner: owner.clone(), id, end: json!(end.0) };
            self.tokens.push(Change { action: Action::Change, what: owner.token(name), fields, note: None, step });
        }
        let file = entry.secret_file.as_ref().map(|named| self.file.file(named));
        if let Some(file) = file.filter(|file| present(file) == Present::Reserved) {
            let note = format!("a new secret, because the first was never written to {}", file.display());
            let mut body = Map::from_iter([("overlap".to_owned(), json!("0"))]);
            // A rotation sets an end: pass the one that the file wants, so that it is not replaced by the default.
            let end = entry.expires_at.map_or(before, |end| json!(end.0));
            if !end.is_null() {
                body.insert("expires_at".to_owned(), end);
            }
            self.add_secret_file(&path, &file);
            let step = Step::RenewToken { owner: owner.clone(), id, body, file };
            let what = owner.token(name);
            self.tokens.push(Change { action: Action::Change, what, fields: Vec::new(), note: Some(note), step });
        }
    }
}

impl Plan<'_> {
    /// Returns the secret of a new token; `None` if it is refused.
    fn new_secret(&mut self, token: &[&str], new: Option<&Path>, given: Option<&Path>) -> Option<TokenSecret> {
        let Some(named) = given.or(new) else {
            let problem = "does not exist; secret_file is needed to create it, so that its secret can be written there";
            self.refuse(token, problem);
            return None;
        };
        let file = self.file.file(named);
        if given.is_some() && present(&file) == Present::Other {
            return self.given_secret(token, file);
        }
        self.add_new_file(token, &file);
        Some(TokenSecret::Generated(file))
    }

    fn given_secret(&mut self, token: &[&str], file: PathBuf) -> Option<TokenSecret> {
        let secret = read_secret(&file).map_err(|failure| failure.to_string());
        let problem = match &secret {
            Err(problem) => Some(problem.clone()),
            Ok(_) if !self.service.by_administrator() => {
                Some("exists; only administrators create tokens with a secret that exists".to_owned())
            }
            Ok(secret) => check_supplied(secret.expose_secret())
                .err()
                .map(|problem| format!("{}: the secret {problem}", file.display())),
        };
        if let Some(problem) = problem {
            self.refuse(&[token, &["given_secret_file"]].concat(), problem);
            return None;
        }
        secret.ok().map(|secret| TokenSecret::Given(file, secret))
    }

    /// Adds the file of the secret of a new token, which must not have anything.
    fn add_new_file(&mut self, token: &[&str], file: &Path) {
        if present(file) == Present::Other {
            let problem = format!(
                "{} exists already, and the token does not: remove the file, or name another. A deploy token can have \
                 the secret of a file that exists: given_secret_file",
                file.display()
            );
            self.refuse(&[token, &["secret_file"]].concat(), problem);
        }
        self.add_secret_file(token, file);
    }

    /// Adds a file that will have a secret: each secret needs one of its own, whatever paths lead to it.
    fn add_secret_file(&mut self, token: &[&str], file: &Path) {
        if !self.secret_files.insert(place_of(file)) {
            let problem =
                format!("{} is the file of another secret, too; each needs a file of its own", file.display());
            self.refuse(&[token, &["secret_file"]].concat(), problem);
        }
    }
}

impl Owner {
    /// Returns the path of a token of this owner in the file.
    fn path(&self, name: &str) -> Vec<String> {
        match self {
            Self::Deploy(group) => ["groups", group, "deploy_tokens", name].map(str::to_owned).to_vec(),
            Self::Access(group) => ["groups", group, "access_tokens", name].map(str::to_owned).to_vec(),
            Self::User(user) => ["users", user, "tokens", name].map(str::to_owned).to_vec(),
        }
    }
}

/// Returns the fields of a new token, for the API and for the plan.
fn new_token(name: &str, entry: &TokenEntry, end: End, own: Option<&(&'static str, Value)>) -> (Value, Vec<Field>) {
    let scopes = entry.scopes.clone().unwrap_or_else(Scopes::pull);
    let mut body = json!({ "name": name, "scopes": scopes });
    let mut fields = vec![Field::new("scopes", json!(scopes)), Field::new("expires_at", end.to_string())];
    if let End(Some(end)) = end {
        body["expires_at"] = json!(end);
    }
    if let Some((field, value)) = own {
        body[*field] = value.clone();
        fields.push(Field::new(field, written(field, value)));
    }
    (body, fields)
}

/// Returns a value of the API as the file writes it.
fn written(field: &str, value: &Value) -> Value {
    match field {
        "access_level" => value.as_u64().and_then(Level::of_number).map_or(Value::Null, |level| json!(level.as_str())),
        _ => value.clone(),
    }
}

//! The execution of a plan, one change after the other.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use super::change::{Change, Owner, Password, Step, TokenSecret};
use super::service::{Service, folded};
use crate::auth::random;
use crate::cli::client::Api;
use crate::cli::confirmation::note_brought_forward;
use crate::cli::failure::Failure;
use crate::cli::group::existing;
use crate::cli::secret_file::SecretFile;
use crate::cli::token::segments;
use crate::server::raise_open_files;

/// Makes changes on a service.
pub(super) struct Executor<'a> {
    api: &'a Api,
    /// The numbers of users, by their user names in lower case.
    ids: BTreeMap<String, String>,
    /// The numbers of groups, by their paths in lower case.
    groups: BTreeMap<String, String>,
}

/// The end of an execution.
pub(super) struct Outcome {
    /// Number of changes that were made.
    pub(super) done: usize,
    /// The reason why the next one was not made.
    pub(super) failure: Option<Failure>,
}

impl<'a> Executor<'a> {
    /// Creates an executor for this service.
    pub(super) fn new(api: &'a Api, service: &Service) -> Self {
        let ids = service.users.iter().map(|(name, user)| (name.clone(), user["id"].to_string())).collect();
        let groups = service.groups.iter().map(|(path, known)| (path.to_string(), known.group["id"].to_string()));
        Self { api, ids, groups: groups.collect() }
    }

    /// Makes the changes until one fails. Before the first, all new files of secrets are reserved.
    ///
    /// # Errors
    ///
    /// The file of a secret cannot be written; nothing was changed.
    pub(super) async fn carry_out(mut self, changes: &[Change]) -> Result<Outcome, Failure> {
        // Each new file of a secret stays open, with its lock.
        raise_open_files();
        let mut files: Vec<Option<SecretFile>> = Vec::new();
        for change in changes {
            let reserved = change.new_file().map(|file| SecretFile::reserve(file, files.iter().flatten()));
            match reserved.transpose() {
                Ok(file) => files.push(file),
                Err(failure) => {
                    discard(changes, &files, 0);
                    return Err(failure);
                }
            }
        }
        for (done, change) in changes.iter().enumerate() {
            if let Err(failure) = self.make(&change.step, files[done].as_ref()).await {
                discard(changes, &files, done + 1);
                return Ok(Outcome { done, failure: Some(failure) });
            }
        }
        Ok(Outcome { done: changes.len(), failure: None })
    }

    async fn make(&mut self, step: &Step, file: Option<&SecretFile>) -> Result<(), Failure> {
        let (api, object) = (self.api, |body: &Map<String, Value>| Value::Object(body.clone()));
        match step {
            Step::CreateUser { username, body, password } => self.create_user(username, body, password, file).await?,
            Step::ChangeUser { username, body } => {
                api.put(&["users", self.id(username)?], &object(body)).await?;
            }
            Step::Block { username, blocked } => {
                let verb = if *blocked { "block" } else { "unblock" };
                api.post(&["users", self.id(username)?, verb], &json!({})).await?;
            }
            Step::CreateGroup { parent, body } => self.create_group(parent.as_deref(), object(body)).await?,
            Step::ChangeGroup { group, body } => {
                api.put(&["groups", self.group(group)?], &object(body)).await?;
            }
            Step::AddMember { group, username, body } => {
                let mut body = object(body);
                body["user_id"] = json!(self.id(username)?);
                api.post(&["groups", self.group(group)?, "members"], &body).await?;
            }
            Step::ChangeMember { group, username, body } => {
                let path = ["groups", self.group(group)?, "members", self.id(username)?];
                api.put(&path, &object(body)).await?;
            }
            Step::RemoveMember { group, username } => {
                api.delete(&["groups", self.group(group)?, "members", self.id(username)?]).await?;
            }
            Step::CreateToken { owner, body, secret: TokenSecret::Given(_, secret), .. } => {
                let mut body = object(body);
                body["token"] = json!(secret.expose_secret());
                api.post(&segments(&self.tokens(owner, true)?), &body).await?;
            }
            Step::CreateToken { owner, body, is_endless, .. } => {
                self.create_token(owner, body, *is_endless, file).await?;
            }
            Step::RenewToken { owner, id, body, .. } => self.renew_token(owner, *id, body, file).await?,
            Step::EndToken { owner, id, end } => {
                let ended = api.put(&segments(&self.token(owner, *id)?), &json!({ "expires_at": end })).await?;
                note_brought_forward(&ended);
            }
            Step::RevokeToken { owner, id } => api.delete(&segments(&self.token(owner, *id)?)).await?,
        }
        Ok(())
    }

    /// Creates a user. A generated password is written to its file before, and the file is removed if the user is not
    /// created.
    async fn create_user(
        &mut self,
        username: &str,
        body: &Map<String, Value>,
        password: &Password,
        file: Option<&SecretFile>,
    ) -> Result<(), Failure> {
        let mut body = Value::Object(body.clone());
        match (password, file) {
            (Password::Given(password), _) => body["password"] = json!(password.expose_secret()),
            (Password::Generated(_), Some(file)) => {
                let password: SecretString = hex::encode(random::bytes::<16>()).into();
                file.fill(&password).inspect_err(|_| file.discard())?;
                body["password"] = json!(password.expose_secret());
            }
            (Password::Generated(_) | Password::None, _) => body["force_random_password"] = json!(true),
        }
        let made = self.api.post(&["users"], &body).await;
        let made = made.inspect_err(|failure| discard_if_refused(failure, file))?;
        self.ids.insert(username.to_ascii_lowercase(), made["id"].to_string());
        Ok(())
    }

    async fn create_group(&mut self, parent: Option<&str>, mut body: Value) -> Result<(), Failure> {
        if let Some(parent) = parent {
            body["parent_id"] = json!(self.parent(parent).await?);
        }
        let made = self.api.post(&["groups"], &body).await?;
        self.groups.insert(folded(&made["full_path"]), made["id"].to_string());
        Ok(())
    }

    /// Creates a token and writes its secret. A token whose secret cannot be written is revoked again.
    async fn create_token(
        &self,
        owner: &Owner,
        body: &Map<String, Value>,
        is_endless: bool,
        file: Option<&SecretFile>,
    ) -> Result<(), Failure> {
        let path = self.tokens(owner, true)?;
        let made = self.api.post(&segments(&path), &Value::Object(body.clone())).await;
        let made = made.inspect_err(|failure| discard_if_refused(failure, file))?;
        let id = made["id"].as_u64().unwrap_or_default();
        let path = self.token(owner, id)?;
        if let Err(failure) = file.map_or(Ok(()), |file| file.fill(&secret_of(&made))) {
            self.api.delete(&segments(&path)).await?;
            return Err(failure);
        }
        if is_endless {
            self.api.put(&segments(&path), &json!({ "expires_at": null })).await?;
        }
        Ok(())
    }

    /// Rotates a token whose first secret was never written, and writes the new one.
    async fn renew_token(
        &self,
        owner: &Owner,
        id: u64,
        body: &Map<String, Value>,
        file: Option<&SecretFile>,
    ) -> Result<(), Failure> {
        let path = self.token(owner, id)?;
        let rotation = [&segments(&path)[..], &["rotate"]].concat();
        let renewed = self.api.post(&rotation, &Value::Object(body.clone())).await?;
        file.map_or(Ok(()), |file| file.fill(&secret_of(&renewed)))?;
        // A rotation without an end gives an access token a default one.
        if !body.contains_key("expires_at") && !matches!(owner, Owner::Deploy(_)) {
            self.api.put(&segments(&path), &json!({ "expires_at": null })).await?;
        }
        Ok(())
    }

    fn id(&self, username: &str) -> Result<&str, Failure> {
        let missing = || Failure::refused(404, &format!("there is no user '{username}'"));
        self.ids.get(&folded(&json!(username))).map(String::as_str).ok_or_else(missing)
    }

    fn group(&self, path: &str) -> Result<&str, Failure> {
        let missing = || Failure::refused(404, &format!("there is no group '{path}'"));
        self.groups.get(path).map(String::as_str).ok_or_else(missing)
    }

    /// Returns the number of the group above a new one, which the file need not name.
    async fn parent(&self, path: &str) -> Result<String, Failure> {
        match self.groups.get(path) {
            Some(id) => Ok(id.clone()),
            None => Ok(existing(self.api, path).await?["id"].to_string()),
        }
    }

    /// Returns the API path of the tokens of an owner; that for new ones differs for users.
    fn tokens(&self, owner: &Owner, is_new: bool) -> Result<Vec<String>, Failure> {
        let path: &[&str] = match owner {
            Owner::Deploy(group) => &["groups", self.group(group)?, "deploy_tokens"],
            Owner::Access(group) => &["groups", self.group(group)?, "access_tokens"],
            Owner::User(user) if is_new => &["users", self.id(user)?, "personal_access_tokens"],
            Owner::User(_) => &["personal_access_tokens"],
        };
        Ok(path.iter().map(|part| (*part).to_owned()).collect())
    }

    fn token(&self, owner: &Owner, id: u64) -> Result<Vec<String>, Failure> {
        let mut path = self.tokens(owner, false)?;
        path.push(id.to_string());
        Ok(path)
    }
}

/// Removes the files of the changes from this one on, which are not made. The file of a token whose first secret was
/// never written stays, because it marks that.
fn discard(changes: &[Change], files: &[Option<SecretFile>], first: usize) {
    for (change, file) in changes.iter().zip(files).skip(first) {
        if !matches!(change.step, Step::RenewToken { .. }) {
            file.iter().for_each(SecretFile::discard);
        }
    }
}

/// Removes the file of a secret that the service refused. After any other failure, such as one of a load balancer, the
/// service may have it.
fn discard_if_refused(failure: &Failure, file: Option<&SecretFile>) {
    if let (Failure::Refused { status: 400..=499, .. }, Some(file)) = (failure, file) {
        file.discard();
    }
}

fn secret_of(made: &Value) -> SecretString {
    made["token"].as_str().unwrap_or_default().to_owned().into()
}

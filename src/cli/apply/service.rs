//! The users and groups of a running service that a state file names.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::cli::client::Api;
use crate::cli::failure::Failure;
use crate::cli::group::at_path;
use crate::domain::group::GroupPath;

/// Users and groups of a running service, as its API shows them.
pub(in crate::cli) struct Service {
    /// The caller.
    pub(in crate::cli) caller: Value,
    /// All users, by their user names in lower case.
    pub(in crate::cli) users: BTreeMap<String, Value>,
    /// Active personal access tokens, by the user names of their users in lower case.
    pub(in crate::cli) tokens: BTreeMap<String, Vec<Value>>,
    /// Those of the wanted groups that exist.
    pub(in crate::cli) groups: BTreeMap<GroupPath, ServiceGroup>,
}

/// A group with what belongs to it.
pub(in crate::cli) struct ServiceGroup {
    /// The group. Requests name it by its number: the API takes a path of digits for the number of another group.
    pub(in crate::cli) group: Value,
    /// Its direct members, without bots, by their user names in lower case.
    pub(in crate::cli) members: BTreeMap<String, Value>,
    /// Its active deploy tokens.
    pub(in crate::cli) deploy_tokens: Vec<Value>,
    /// Its active group access tokens.
    pub(in crate::cli) access_tokens: Vec<Value>,
}

impl Service {
    /// Requests all users, the groups at these paths, and the personal tokens of these users, for this caller.
    pub(in crate::cli) async fn fetch<'a>(
        api: &Api,
        caller: Value,
        groups: impl IntoIterator<Item = &'a GroupPath>,
        with_tokens: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, Failure> {
        let users = api.list(&["users"], &[]).await?;
        let users: BTreeMap<String, Value> = users.into_iter().map(|user| (folded(&user["username"]), user)).collect();
        let mut tokens = BTreeMap::new();
        for name in with_tokens {
            let name = name.to_ascii_lowercase();
            if let Some(user) = users.get(&name) {
                let query = [("user_id", user["id"].to_string()), ("state", "active".to_owned())];
                let own = api.list(&["personal_access_tokens"], &query).await.map_err(|failure| failure.of(&name))?;
                tokens.insert(name, own);
            }
        }
        let mut existing = BTreeMap::new();
        for path in groups {
            let group = ServiceGroup::fetch(api, path, &users).await;
            if let Some(group) = group.map_err(|failure| failure.of(path.as_str()))? {
                existing.insert(path.clone(), group);
            }
        }
        Ok(Self { caller, users, tokens, groups: existing })
    }

    /// Requests the caller.
    pub(in crate::cli) async fn caller(api: &Api) -> Result<Value, Failure> {
        api.show(&["user"]).await
    }

    /// Returns the user with this name, ignoring case.
    pub(in crate::cli) fn user(&self, name: &str) -> Option<&Value> {
        self.users.get(&name.to_ascii_lowercase())
    }

    /// Returns true if this is the user name of the caller, ignoring case.
    pub(in crate::cli) fn is_caller(&self, name: &str) -> bool {
        self.caller["username"].as_str().is_some_and(|own| own.eq_ignore_ascii_case(name))
    }

    /// Returns true if the caller is an administrator.
    pub(in crate::cli) fn by_administrator(&self) -> bool {
        self.caller["is_admin"] == true
    }
}

impl ServiceGroup {
    async fn fetch(api: &Api, path: &GroupPath, users: &BTreeMap<String, Value>) -> Result<Option<Self>, Failure> {
        let Some(group) = at_path(api, path.as_str()).await? else { return Ok(None) };
        let id = group["id"].to_string();
        let below = |kind| ["groups", &id, kind];
        let deploy_tokens = api.list(&below("deploy_tokens"), &[("active", "true".to_owned())]).await?;
        let access_tokens = api.list(&below("access_tokens"), &[("state", "active".to_owned())]).await?;
        let members = api.list(&below("members"), &[]).await?;
        let is_bot = |member: &Value| {
            access_tokens.iter().any(|token| token["user_id"] == member["id"])
                || users.get(&folded(&member["username"])).is_some_and(|user| user["bot"] == true)
        };
        let members = members.into_iter().filter(|member| !is_bot(member));
        let members = members.map(|member| (folded(&member["username"]), member)).collect();
        Ok(Some(Self { group, members, deploy_tokens, access_tokens }))
    }
}

/// Returns a text in lower case.
pub(in crate::cli) fn folded(text: &Value) -> String {
    text.as_str().unwrap_or_default().to_ascii_lowercase()
}

/// Returns the newest of each name, in the order of the names.
pub(in crate::cli) fn newest_by_name(tokens: &[Value]) -> BTreeMap<&str, &Value> {
    let mut newest: BTreeMap<&str, &Value> = BTreeMap::new();
    for token in tokens {
        let name = token["name"].as_str().unwrap_or_default();
        let known = newest.entry(name).or_insert(token);
        if known["id"].as_u64() < token["id"].as_u64() {
            *known = token;
        }
    }
    newest
}

/// Returns the day of a point in time, or of a day; null if there is none.
pub(in crate::cli) fn day(time: &Value) -> Value {
    time.as_str().and_then(|time| time.split('T').next()).map_or(Value::Null, Value::from)
}

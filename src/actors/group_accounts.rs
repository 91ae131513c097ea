//! The accounts of groups at upstreams, with their passwords: follows the directory of identities, decrypts the
//! passwords that are new, and publishes the upstreams with what groups have chosen as one snapshot. A pull reads that
//! snapshot alone: it decrypts nothing and sends no message.
//!
//! The accounts reach the client of upstreams before the snapshot names them, and both are done before a change is
//! acknowledged: the next pull uses the new account.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use secrecy::{ExposeSecret, SecretString};

use crate::auth::random;
use crate::auth::sealing::{SealError, SealingKeys};
use crate::domain::directory::Directory;
use crate::domain::group::{Group, GroupPath};
use crate::domain::group_choices::GroupChoices;
use crate::domain::id::{AccountId, GroupId};
use crate::domain::origin::Account;
use crate::domain::repository::UpstreamName;
use crate::domain::upstream::Upstreams;
use crate::domain::upstream_account::{Binding, SealedSecret, UpstreamAccount};
use crate::upstream::GroupLogin;

/// The accounts of groups; see the module. Cheap to clone.
#[derive(Clone)]
pub struct GroupAccounts(Arc<Inner>);

struct Inner {
    keys: SealingKeys,
    /// Receives the accounts with their passwords.
    logins: LoginSink,
    /// The snapshot that pulls read.
    current: Arc<ArcSwap<Upstreams>>,
    state: Mutex<State>,
}

struct State {
    /// The upstreams of the settings.
    configured: Upstreams,
    choices: Arc<GroupChoices>,
    known: HashMap<AccountId, Known>,
}

/// An account of a group, with its password or the reason why there is none.
#[derive(Clone)]
struct Known {
    upstream: UpstreamName,
    account: Account,
    group: GroupPath,
    password: Result<SecretString, SealError>,
}

/// Function that takes the accounts of all groups and replaces the earlier ones.
pub type LoginSink = Box<dyn Fn(Vec<GroupLogin>) + Send + Sync>;

impl GroupAccounts {
    /// Creates the handle, without any account. `current` is the snapshot of the upstreams, which only this handle
    /// replaces.
    pub fn new(keys: SealingKeys, logins: LoginSink, current: Arc<ArcSwap<Upstreams>>) -> Self {
        let configured = Upstreams::clone(&current.load());
        let state = State { configured, choices: Arc::default(), known: HashMap::new() };
        Self(Arc::new(Inner { keys, logins, current, state: Mutex::new(state) }))
    }

    /// Follows a change of the directory.
    pub fn follow(&self, directory: &Directory) {
        let mut state = self.state();
        let choices = GroupChoices::of(directory);
        if choices == *state.choices {
            return;
        }
        let known = self.known(directory, &state.known);
        report(&known, &state.known);
        // Until the snapshot is replaced, pulls use the old accounts.
        let gone = state.known.iter().filter(|(id, _)| !known.contains_key(id)).map(|(_, known)| known);
        let gone: Vec<GroupLogin> = gone.map(Known::login).collect();
        let is_any_gone = !gone.is_empty();
        (self.0.logins)(known.values().map(Known::login).chain(gone).collect());
        (state.known, state.choices) = (known, Arc::new(choices));
        self.publish(&state);
        if is_any_gone {
            (self.0.logins)(state.known.values().map(Known::login).collect());
        }
    }

    /// Replaces the upstreams of the settings.
    pub fn reconfigure(&self, configured: Upstreams) {
        let mut state = self.state();
        state.configured = configured;
        self.publish(&state);
    }

    /// Creates an account of this group with a new id, and seals its password.
    ///
    /// # Errors
    /// Fails if the password cannot be sealed.
    pub fn seal(
        &self,
        group: GroupId,
        upstream: &UpstreamName,
        (username, password): (&str, &SecretString),
        now: jiff::Timestamp,
    ) -> Result<UpstreamAccount, SealError> {
        let id = random::account_id();
        let secret = self.0.keys.seal(password, Binding { group, upstream, id, username })?;
        Ok(UpstreamAccount { id, username: username.to_owned(), secret, set_at: now })
    }

    /// Returns true if this account has this password.
    pub fn has_password(&self, account: &UpstreamAccount, password: &SecretString) -> bool {
        let state = self.state();
        let known = state.known.get(&account.id).and_then(|known| known.password.as_ref().ok());
        known.is_some_and(|known| known.expose_secret() == password.expose_secret())
    }

    /// Returns the reason why the password of an account cannot be decrypted; `None` if it can.
    pub fn unreadable(&self, id: AccountId) -> Option<SealError> {
        self.state().known.get(&id)?.password.as_ref().err().cloned()
    }

    /// Returns a sentence for each account whose password cannot be decrypted, in the order of groups and upstreams.
    pub fn problems(&self) -> Vec<String> {
        let state = self.state();
        let mut unreadable: Vec<&Known> = state.known.values().filter(|known| known.password.is_err()).collect();
        unreadable.sort_by(|one, other| (&one.group, &one.upstream).cmp(&(&other.group, &other.upstream)));
        unreadable.into_iter().filter_map(Known::problem).collect()
    }

    /// Returns the id of the key that seals.
    pub fn sealing_key(&self) -> &str {
        self.0.keys.sealing_key()
    }

    /// Seals the password of an account with the present key; `None` if it cannot be opened or sealed.
    pub fn reseal(&self, group: GroupId, upstream: &UpstreamName, account: &UpstreamAccount) -> Option<SealedSecret> {
        let binding = account.binding(group, upstream);
        let password = self.0.keys.open(&account.secret, binding).ok()?;
        self.0.keys.seal(&password, binding).ok()
    }

    /// Returns all accounts, with the passwords that are known already or can be decrypted.
    fn known(&self, directory: &Directory, before: &HashMap<AccountId, Known>) -> HashMap<AccountId, Known> {
        let of_group = |group: &Group| {
            let accounts = group.upstream_accounts.iter();
            let known = accounts.map(|(upstream, account)| {
                let open = || self.0.keys.open(&account.secret, account.binding(group.id, upstream));
                let password = before.get(&account.id).map_or_else(open, |known| known.password.clone());
                let (upstream, group) = (upstream.clone(), group.path.clone());
                (account.id, Known { account: account.account(), group, upstream, password })
            });
            known.collect::<Vec<_>>()
        };
        directory.choosing_groups().flat_map(|group| of_group(group)).collect()
    }

    fn publish(&self, state: &State) {
        let upstreams = state.configured.clone().with_choices(state.choices.clone());
        self.0.current.store(Arc::new(upstreams));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn login(&self) -> GroupLogin {
        let Self { upstream, account, group, password } = self.clone();
        let shown = format!("account '{}' of the group {group}", account.username());
        GroupLogin { upstream, account, shown, password: password.ok() }
    }

    /// Returns a sentence about a password that cannot be decrypted.
    fn problem(&self) -> Option<String> {
        let Self { upstream, account, group, password } = self;
        let error = password.as_ref().err()?;
        let username = account.username();
        Some(format!(
            "The password of the account '{username}' of the group {group} at {upstream} cannot be decrypted: {error}. What is \
             cached is served. Put back the key file (auth.account_key_file) and restart, or set the password again"
        ))
    }
}

/// Logs the accounts whose passwords cannot be decrypted, if they are new.
fn report(known: &HashMap<AccountId, Known>, before: &HashMap<AccountId, Known>) {
    for (id, known) in known {
        if let Some(problem) = known.problem().filter(|_| !before.contains_key(id)) {
            tracing::error!(group = %known.group, upstream = %known.upstream, "{problem}");
        }
    }
}

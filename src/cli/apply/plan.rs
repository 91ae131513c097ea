//! The plan of `apply`: the changes after which a service has the state of a state file, in the order in which they can
//! be made, and all reasons why they cannot be made.

mod desired_token;
mod groups;
mod own_token;
mod tokens;
mod users;

use std::collections::HashSet;
use std::path::PathBuf;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::change::Change;
use super::service::Service;
use crate::cli::client::Api;
use crate::cli::failure::Failure;
use crate::settings::state::StateFile;
use crate::settings::{SettingsError, SettingsErrors};

/// The comparison of a service with a state file, and its findings.
pub(super) struct Plan<'a> {
    file: &'a StateFile,
    service: &'a Service,
    /// Removes members and tokens that the file does not name, from the groups that it names.
    prune: bool,
    today: Date,
    users: Vec<Change>,
    groups: Vec<Change>,
    members: Vec<Change>,
    settings: Vec<Change>,
    tokens: Vec<Change>,
    /// Changes of memberships that take rights from the caller, for which the others may be needed.
    own_members: Vec<Change>,
    /// The change of the caller's own user, if that is no administrator any more.
    own_user: Option<Change>,
    /// The files that will have the secrets of tokens, each by the path without links.
    secret_files: HashSet<PathBuf>,
    problems: Vec<SettingsError>,
}

impl<'a> Plan<'a> {
    /// Returns the changes. Users come before groups, those before members, settings and tokens, and those before what
    /// takes rights from the caller.
    ///
    /// # Errors
    ///
    /// The service refused a request, or the changes cannot be made; the error has all reasons.
    pub(super) async fn make(
        api: &Api,
        file: &'a StateFile,
        service: &'a Service,
        prune: bool,
    ) -> Result<Vec<Change>, Failure> {
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        let mut plan = Plan {
            file,
            service,
            prune,
            today,
            users: Vec::new(),
            groups: Vec::new(),
            members: Vec::new(),
            settings: Vec::new(),
            tokens: Vec::new(),
            own_members: Vec::new(),
            own_user: None,
            secret_files: HashSet::new(),
            problems: Vec::new(),
        };
        plan.add_users();
        plan.add_groups(api).await?;
        plan.keep_own_token(api).await?;
        let Plan { users, groups, members, settings, tokens, own_members, own_user, problems, .. } = plan;
        SettingsErrors::unless_none(problems)?;
        // Rights in a group are also rights in those below: these come first.
        let own = own_members.into_iter().rev().chain(own_user);
        Ok([users, groups, members, settings, tokens].into_iter().flatten().chain(own).collect())
    }

    fn refuse(&mut self, path: &[&str], problem: impl Into<String>) {
        self.problems.push(self.file.refuse(path, problem));
    }
}

//! Fills an empty store: an administrator, an example group and a deploy token of it. Secrets go into files for this
//! service's user alone, and nowhere else.

use std::path::PathBuf;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::StartError;
use crate::actors::policy_evaluator::Policy;
use crate::actors::token_issuer::Tokens;
use crate::auth::{random, secret};
use crate::domain::bootstrap::{FirstRecords, GROUP};
use crate::domain::user::Password;
use crate::settings::Bootstrap;
use crate::store::data_dir::DataDir;

/// What was made at the first start.
#[derive(Debug)]
pub struct FirstStart {
    /// The administrator's name.
    pub admin: String,
    /// The file with the administrator's password; none where the operator chose it.
    pub password_file: Option<PathBuf>,
    /// The file with the secret of the deploy token.
    pub login_file: PathBuf,
}

/// Makes the first records, if the store is empty. The files are written first, so that after a crash in between the next start
/// begins anew.
pub(super) async fn run(
    data: &DataDir,
    bootstrap: &Bootstrap,
    policy: &Policy,
    tokens: &Tokens,
) -> Result<Option<FirstStart>, StartError> {
    if !policy.directory().is_empty() {
        return Ok(None);
    }
    let failed = |error: &dyn std::fmt::Display| StartError::FirstStart(error.to_string());
    let (password, password_file) = match &bootstrap.admin_password {
        Some(password) => (password.clone(), None),
        None => {
            let password: SecretString = hex::encode(random::bytes::<16>()).into();
            let file = data.write("initial-admin-password", &format!("{}\n", password.expose_secret()))?;
            (password, Some(file))
        }
    };
    let deploy_token = secret::generate(secret::Kind::Deploy);
    let login_file = data.write("first-login", &format!("{}\n", deploy_token.secret.expose_secret()))?;
    let hash = tokens.hash_password(password).await.map_err(|error| failed(&error))?;
    let admin_token = bootstrap.admin_token.as_ref();
    let records = FirstRecords {
        admin: bootstrap.admin_username.clone(),
        password: Password { credential: random::credential_id(), hash },
        admin_token: admin_token.map(|token| (random::credential_id(), secret::digest(token.expose_secret()))),
        group: GROUP.parse().map_err(|error| failed(&error))?,
        deploy_token: (random::credential_id(), deploy_token.digest),
        now: Timestamp::now(),
    };
    let writes = records.writes();
    let made = policy.change(move |_| Ok::<_, std::convert::Infallible>((writes, ()))).await;
    made.map_err(|error| failed(&error))?;
    Ok(Some(FirstStart { admin: bootstrap.admin_username.to_string(), password_file, login_file }))
}

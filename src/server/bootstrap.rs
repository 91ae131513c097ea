//! Bootstrap at the first start: fills an empty store with an administrator, an example group and a deploy token for
//! it. Their secrets are written only into files that the service's user alone can read.

use std::path::PathBuf;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::StartError;
use crate::actors::policy_evaluator::{ChangeError, Edited, PolicyEvaluatorHandle};
use crate::actors::token_issuer::TokenIssuerHandle;
use crate::auth::{random, secret};
use crate::domain::audit::changes::ChangeOrigin;
use crate::domain::audit::{Author, Who};
use crate::domain::bootstrap::{FirstRecords, GROUP};
use crate::domain::digest::Digest;
use crate::domain::user::Password;
use crate::settings::Bootstrap;
use crate::store::atomic_file;
use crate::store::data_dir::DataDir;

/// Administrator and files that the first start created.
#[derive(Debug)]
pub struct Bootstrapped {
    /// Name of the administrator.
    pub admin: String,
    /// File with the administrator's password; `None` if the operator chose the password.
    pub password_file: Option<PathBuf>,
    /// File with the secret of the deploy token.
    pub login_file: PathBuf,
}

/// Another replica has made the first records.
#[derive(Debug, thiserror::Error)]
#[error("the first records exist already")]
struct AlreadyMade;

/// Creates the first records, if the store is empty. Returns `None` if it is not.
///
/// # Errors
/// A file or the store cannot be written, the password cannot be hashed, or no credential is given where several
/// replicas share the store.
pub(super) async fn run(
    data: &DataDir,
    bootstrap: &Bootstrap,
    policy: &PolicyEvaluatorHandle,
    (tokens, is_shared): (&TokenIssuerHandle, bool),
) -> Result<Option<Bootstrapped>, StartError> {
    if !policy.directory().is_empty() {
        return Ok(None);
    }
    if is_shared && bootstrap.admin_password.is_none() && bootstrap.admin_token.is_none() {
        let missing =
            "set bootstrap.admin_password or bootstrap.admin_token: a password in a file of one replica would be lost";
        return Err(failed(&missing));
    }
    // The files come first: after a crash in between, the store is empty and the next start begins anew.
    let (secrets, bootstrapped) = Secrets::write(data, bootstrap)?;
    let hash = tokens.hash_password(secrets.password).await.map_err(|error| failed(&error))?;
    let records = first_records(bootstrap, hash, secrets.deploy_token)?;
    match make(policy, records).await {
        Ok(()) => Ok(Some(bootstrapped)),
        Err(ChangeError::Refused(AlreadyMade)) => bootstrapped.discard().map(|()| None),
        Err(error) => Err(failed(&error)),
    }
}

fn first_records(bootstrap: &Bootstrap, hash: String, deploy_token: Digest) -> Result<FirstRecords, StartError> {
    let (admin_token, now) = (bootstrap.admin_token.as_ref(), Timestamp::now());
    Ok(FirstRecords {
        admin: bootstrap.admin_username.clone(),
        password: Password { credential: random::credential_id(), hash, set_at: Some(now) },
        admin_token: admin_token.map(|token| (random::credential_id(), secret::digest(token.expose_secret()))),
        group: GROUP.parse().map_err(|error| failed(&error))?,
        deploy_token: (random::credential_id(), deploy_token),
        now,
    })
}

/// Puts the records into the store, if it is still empty: of several replicas that start together, one does so.
async fn make(policy: &PolicyEvaluatorHandle, records: FirstRecords) -> Result<(), ChangeError<AlreadyMade>> {
    let writes = records.writes();
    let origin = ChangeOrigin { author: Author::local(Who::Service), message: "first start" };
    let made =
        policy.change(
            move |directory| {
                if directory.is_empty() { Ok(Edited { writes, origin, value: () }) } else { Err(AlreadyMade) }
            },
        );
    made.await
}

/// The secrets of the first records.
struct Secrets {
    password: SecretString,
    /// The digest of the secret of the deploy token.
    deploy_token: Digest,
}

impl Secrets {
    /// Writes the secrets that are generated into files.
    fn write(data: &DataDir, bootstrap: &Bootstrap) -> Result<(Self, Bootstrapped), StartError> {
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
        let bootstrapped = Bootstrapped { admin: bootstrap.admin_username.to_string(), password_file, login_file };
        Ok((Self { password, deploy_token: deploy_token.digest }, bootstrapped))
    }
}

impl Bootstrapped {
    /// Removes the files, because another replica has made the first records.
    fn discard(&self) -> Result<(), StartError> {
        for file in self.password_file.iter().chain([&self.login_file]) {
            atomic_file::remove_file(file).map_err(|error| failed(&error))?;
        }
        Ok(())
    }
}

fn failed(error: &dyn std::fmt::Display) -> StartError {
    StartError::Bootstrap(error.to_string())
}

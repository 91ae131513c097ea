//! Addresses and credentials of the engines that replicas share.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;
use tokio_postgres::Config;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use url::Url;

/// The database of a fleet.
#[derive(Clone, Debug)]
pub struct DatabaseOptions {
    /// Its address, with user name and password.
    pub url: DatabaseUrl,
    /// Maximum number of connections of this replica.
    pub connections: NonZeroUsize,
    /// Certificates of authorities that are trusted beside those of the operating system; `None`: no others.
    pub ca_file: Option<PathBuf>,
}

/// The address of a PostgreSQL database, with user name and password. Printed without them.
#[derive(Clone)]
pub struct DatabaseUrl(Config);

/// A reason why a text is not the address of a database, as the end of a sentence.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseUrlError {
    /// It cannot be parsed.
    #[error("is not an address such as postgres://user@host/database?sslmode=verify-full: {0}")]
    Malformed(String),
    /// It does not say how the connection is protected.
    #[error("must end with ?sslmode=verify-full, or ?sslmode=disable where the network is trusted")]
    Protection,
}

/// Time after which a connection that does not come about is given up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Time after which a connection is given up whose other end does not acknowledge what was sent (tcp(7),
/// `TCP_USER_TIMEOUT`).
const UNACKNOWLEDGED_TIMEOUT: Duration = Duration::from_secs(3);

impl FromStr for DatabaseUrl {
    type Err = DatabaseUrlError;

    fn from_str(text: &str) -> Result<Self, DatabaseUrlError> {
        // The library knows no word for the verification of the certificate, which its TLS connector always does.
        let verified = text.contains("sslmode=verify-full");
        let text = text.replace("sslmode=verify-full", "sslmode=require");
        let mut config = Config::from_str(&text).map_err(|error| DatabaseUrlError::Malformed(reason_of(&error)))?;
        let protected = if verified {
            config.get_ssl_mode() == SslMode::Require
        } else {
            config.get_ssl_mode() == SslMode::Disable
        };
        if !protected {
            return Err(DatabaseUrlError::Protection);
        }
        config
            .application_name("dependency-proxy")
            // A replica that connects to a standby would take an old state for the newest.
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_user_timeout(UNACKNOWLEDGED_TIMEOUT)
            .keepalives_idle(Duration::from_secs(1))
            .keepalives_interval(Duration::from_secs(1))
            .keepalives_retries(3);
        Ok(Self(config))
    }
}

impl DatabaseUrl {
    /// Returns the parameters of a connection.
    pub(super) fn config(&self) -> &Config {
        &self.0
    }
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatabaseUrl").field("hosts", &self.0.get_hosts()).finish_non_exhaustive()
    }
}

/// Returns the reason of an error with its cause, without the text that was parsed, which may have a password.
fn reason_of(error: &tokio_postgres::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

/// The object store of a fleet.
#[derive(Clone, Debug)]
pub struct BucketOptions {
    /// The bucket, such as `s3://bucket` or `s3://bucket/prefix`.
    pub url: Url,
    /// Address of the store; `None`: that of AWS.
    pub endpoint: Option<Url>,
    /// The region; `None`: that of the environment, or `us-east-1`.
    pub region: Option<String>,
    /// Access key and secret key; `None`: those of the environment or of the machine's role.
    pub keys: Option<(String, SecretString)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        text.parse::<DatabaseUrl>().map_or_else(|error| error.to_string(), |url| format!("accepted: {url:?}"))
    }

    #[test]
    fn the_protection_of_the_connection_is_named() {
        for mode in ["verify-full", "disable"] {
            let url = format!("postgres://proxy:secret@db.example.org/proxy?sslmode={mode}").parse::<DatabaseUrl>();
            assert!(url.is_ok_and(|url| !format!("{url:?}").contains("secret")), "{mode}");
        }
        for mode in ["", "?sslmode=prefer", "?sslmode=require"] {
            assert!(refused(&format!("postgres://proxy@db/proxy{mode}")).contains("sslmode=verify-full"), "{mode}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_its_password() {
        for text in ["db.example.org", "postgres://proxy:a-secret@db:no-port/proxy?sslmode=disable"] {
            let problem = refused(text);
            assert!(problem.starts_with("is not an address") && !problem.contains("a-secret"), "{problem}");
        }
    }
}

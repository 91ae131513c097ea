//! Errors that keep the service from starting.

use std::io;
use std::net::SocketAddr;

use crate::auth::jwt::KeyError;
use crate::store::data_dir::LooseMode;
use crate::store::error::{OpenError, StoreError};
use crate::upstream::SetupError;

/// A TCP congestion control that the kernel does not have, or does not allow.
#[derive(Debug, thiserror::Error)]
#[error(
    "the kernel does not let this service use '{name}': {error}; sysctl net.ipv4.tcp_allowed_congestion_control lists those \
     that it allows"
)]
pub struct CongestionError {
    /// Its name, as in the settings.
    pub name: String,
    /// The error of the operating system.
    pub error: io::Error,
}

/// Reason why the key file of groups' accounts cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccountKeysError {
    /// The content is none of a key file.
    #[error(transparent)]
    Content(#[from] KeyError),
    /// Others than the owner have access to the file.
    #[error(transparent)]
    Mode(#[from] LooseMode),
}

/// Reason why the server does not start. The text is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder, or a file in it, cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The process may open too few files.
    #[error(
        "this process may have {limit} files open, and needs {needed} at least: raise the limit (`ulimit -n`, or `LimitNOFILE=` of \
         systemd)"
    )]
    OpenFiles {
        /// The limit.
        limit: u64,
        /// The minimum.
        needed: u64,
    },
    /// The settings of an upstream cannot be used.
    #[error(transparent)]
    Upstream(#[from] SetupError),
    /// The key file cannot be used.
    #[error("the keys that sign tokens, {}: {error}", path.display())]
    Keys {
        /// The path of the file.
        path: std::path::PathBuf,
        /// The problem with its content.
        error: KeyError,
    },
    /// The key file of groups' accounts cannot be used.
    #[error("the keys of groups' accounts, {}: {error}", path.display())]
    AccountKeys {
        /// The path of the file.
        path: std::path::PathBuf,
        /// The problem with it.
        error: AccountKeysError,
    },
    /// The passwords of groups' accounts could not be encrypted with the present key.
    #[error("the passwords of groups' accounts could not be encrypted with the first key: {0}")]
    Resealing(String),
    /// The secret of the fleet cannot be used.
    #[error("fleet.secret_file: {}: {problem}", path.display())]
    FleetSecret {
        /// The path of the file.
        path: std::path::PathBuf,
        /// The problem with it.
        problem: String,
    },
    /// The file with the id of this replica is damaged.
    #[error("{} has no id of a replica; remove it, and a new one is made", .0.display())]
    ReplicaId(std::path::PathBuf),
    /// The client for other replicas cannot be made.
    #[error("requests to other replicas are not possible: {0}")]
    Replicas(String),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The error of the operating system.
        error: io::Error,
    },
    /// The kernel does not have a TCP congestion control, or does not allow it.
    #[error("server.tcp_congestion_control: {0}")]
    CongestionControl(#[from] CongestionError),
    /// Handlers for signals cannot be installed, so nothing could stop the process in an orderly way.
    #[error("signals cannot be handled: {0}")]
    Signals(io::Error),
    /// The TLS files cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The first records could not be created.
    #[error("the first administrator could not be created: {0}")]
    Bootstrap(String),
}

/// Reason why TLS cannot be served with these files. The text names the setting and the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be used.
    #[error("server.{key}: {file} {problem}")]
    File {
        /// The setting.
        key: &'static str,
        /// The file that it names.
        file: String,
        /// The problem with the file.
        problem: String,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be served: {0}")]
    Setup(String),
}

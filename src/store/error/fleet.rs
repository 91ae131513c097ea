//! Failures of the engines that replicas share.

/// A failure of an engine that several replicas share. Its text has the message of the engine, which is for the
/// operator: clients get [`Self::for_clients`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FleetError {
    /// The database cannot be reached. Nothing was changed.
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
    /// The database was too slow or too busy. Nothing was changed.
    #[error("the database takes too long: {0}")]
    Late(String),
    /// The database has refused a statement. Nothing was changed.
    #[error("the database has refused it: {0}")]
    Refused(String),
    /// The database is not one that replicas can share.
    #[error("the database cannot be used: {0}")]
    UnsuitableDatabase(String),
    /// A later release has upgraded the database, and this program does not work with it.
    #[error(
        "the database was upgraded by a later release, with which this program does not work: it knows the schema up to number {known}, \
         and must know number {needed}. Start the later release again"
    )]
    LaterSchema {
        /// The last migration that a program must know.
        needed: i32,
        /// The last one that this program knows.
        known: i32,
    },
    /// The database is not one of this release: no replica has used it, or only replicas of an earlier release.
    #[error(
        "the database does not have the schema of this release: it has number {found} (0: none), and this is number {known}. A replica \
         upgrades it at its start"
    )]
    NoSchema {
        /// The last migration of the database; 0: it has none.
        found: i32,
        /// The last one that this program knows.
        known: i32,
    },
    /// The replicas of the database sign with another secret.
    #[error(
        "fleet.secret_file has none of the secrets with which the replicas of this database sign: take the file of another replica. To \
         exchange the secret, add the new one to that file as the second line first (docs/fleet.md, \"Rotating the secret\"). If the \
         secret is lost, stop all replicas and run DELETE FROM fleet_secret in the database: login tokens end then, and the passwords \
         of groups' accounts must be entered again"
    )]
    OtherSecret,
    /// A change in the change log is signed with another secret, or by nobody.
    #[error(
        "change {0} in the change log is signed with another secret: fleet.secret_file must have the secrets of all replicas. If it has, \
         somebody else has written this object into the bucket"
    )]
    OtherSignature(u64),
    /// The object store cannot be reached, or has refused a request.
    #[error("the object store failed: {0}")]
    ObjectStore(String),
    /// The object store cannot hold a change log.
    #[error("the object store cannot be used: {0}")]
    Unsuitable(String),
    /// The connection to the database was lost during a change, which may be stored or not.
    #[error(
        "the connection to the database was lost: nobody knows whether the change is stored. Look at the result, and repeat it if it \
         is not there"
    )]
    Unknown,
    /// A change is stored, and a replica may still decide without it.
    #[error(
        "the change is stored, but not confirmed by all replicas: some may go on as before for a time. Repeat it to be sure"
    )]
    Unconfirmed,
}

impl FleetError {
    /// Returns the failure and what to do about it, without the message of the engine: that may have names of hosts,
    /// users and tables.
    pub fn for_clients(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "the database of this service cannot be reached; try again shortly",
            Self::Late(_) => "the database of this service takes too long; try again shortly",
            Self::Refused(_) => {
                "the database of this service has refused it; try again, and ask the operator if that fails, too"
            }
            Self::LaterSchema { .. } | Self::NoSchema { .. } | Self::UnsuitableDatabase(_) => {
                "the database of this service cannot be used; ask the operator"
            }
            Self::OtherSecret | Self::OtherSignature(_) => {
                "this service does not have the secret of its fleet; ask the operator"
            }
            Self::ObjectStore(_) => "the object store of this service does not respond; try again shortly",
            Self::Unsuitable(_) => "the object store of this service cannot be used; ask the operator",
            Self::Unknown => {
                "the connection to the database was lost: nobody knows whether the change is stored. Look at the \
                 result, and repeat it if it is not there"
            }
            Self::Unconfirmed => {
                "the change is stored, but not confirmed by all replicas: some may go on as before for a time. Repeat \
                 it to be sure"
            }
        }
    }
}

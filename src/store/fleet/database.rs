//! Connections to PostgreSQL.

use std::error::Error;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Timeouts};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::runtime::Handle;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::options::DatabaseOptions;
use super::run_on;
use crate::store::error::{FleetError, StoreError};

/// The connections to the database. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    runtime: Handle,
    /// Connections for all work but looks.
    work: Pool,
    /// The connection for looks at what has changed, so that they wait for no other work.
    looks: Pool,
    pauses: Arc<Mutex<Pauses>>,
}

/// Pauses between attempts to connect, while they fail.
#[derive(Default)]
struct Pauses {
    failures: u32,
    next: Option<Instant>,
}

/// A future that borrows a connection.
pub(super) type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, tokio_postgres::Error>> + Send + 'a>>;

/// A value of a statement, with its type.
pub(super) type Value<'a> = (&'a (dyn ToSql + Sync), Type);

/// Returns the closure, whose future borrows its connection.
pub(super) fn work<T, W: for<'a> FnOnce(&'a mut Client) -> Work<'a, T>>(work: W) -> W {
    work
}

/// Limits of a transaction that holds a lock: a replica whose machine is gone must not hold it until the connection is
/// given up, which takes hours by default.
pub(super) const TRANSACTION_LIMITS: &str =
    "SET LOCAL idle_in_transaction_session_timeout = '2s'; SET LOCAL statement_timeout = '4s'";

/// Maximum time for one operation, from the wait for a connection to its result.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum time to wait for a connection.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause after the first failed attempt to connect; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Maximum pause between attempts to connect.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

impl Database {
    /// Connects, and upgrades the schema to that of this program, once however many replicas start together.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, the certificates cannot be read, or the schema cannot be upgraded.
    pub async fn connect(options: &DatabaseOptions) -> Result<Self, StoreError> {
        let database = Self::with_pools(options)?;
        database.migrate().await?;
        Ok(database)
    }

    /// Connects to a database that replicas use, and leaves its schema as it is.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, the certificates cannot be read, or this program does not know the
    /// schema.
    pub async fn connect_as_it_is(options: &DatabaseOptions) -> Result<Self, StoreError> {
        let database = Self::with_pools(options)?;
        database.check_schema().await?;
        Ok(database)
    }

    /// Returns connections that are not made yet.
    ///
    /// # Errors
    ///
    /// Fails if the certificates cannot be read.
    pub fn unconnected(options: &DatabaseOptions) -> Result<Self, StoreError> {
        Self::with_pools(options)
    }

    fn with_pools(options: &DatabaseOptions) -> Result<Self, StoreError> {
        let tls = MakeRustlsConnect::new(tls_config(options.ca_file.as_deref())?);
        let pool = |size| {
            let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
            let manager = Manager::from_config(options.url.config().clone(), tls.clone(), recycling);
            let pool = Pool::builder(manager).max_size(size).runtime(deadpool_postgres::Runtime::Tokio1);
            let times = Timeouts { wait: Some(CONNECTION_TIMEOUT), create: Some(CONNECTION_TIMEOUT), recycle: None };
            pool.timeouts(times).build().map_err(|error| unreachable(&error))
        };
        let work = pool(options.connections.get().saturating_sub(1).max(2))?;
        Ok(Self { runtime: event_loop("fleet")?, work, looks: pool(1)?, pauses: Arc::default() })
    }

    /// Returns the thread of the connections.
    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Runs work on a connection. If it fails or takes too long, the connection is closed: nobody knows what it is
    /// still busy with.
    ///
    /// # Errors
    ///
    /// Fails if there is no connection, if the work fails, or after [`OPERATION_TIMEOUT`].
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl for<'a> FnOnce(&'a mut Client) -> Work<'a, T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let database = self.clone();
        run_on(&self.runtime, async move {
            let connection = database.connection(&database.work).await?;
            run_within(connection, OPERATION_TIMEOUT, work).await.map(|(value, _)| value)
        })
        .await
    }

    /// Runs a look at what has changed, on the connection for looks, within this time.
    ///
    /// # Errors
    ///
    /// Fails as [`Self::run`] does.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl for<'a> FnOnce(&'a mut Client) -> Work<'a, T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let database = self.clone();
        run_on(&self.runtime, async move {
            // In a task of its own, so that a slow connection comes about for the next look.
            let connecting = tokio::spawn(async move { database.connection(&database.looks).await });
            let connection = tokio::time::timeout(limit, connecting).await.map_err(|_| too_slow())?;
            let connection = connection.unwrap_or_else(|_| Err(too_slow()))?;
            run_within(connection, limit, work).await.map(|(value, _)| value)
        })
        .await
    }

    /// Returns a connection. Must be called on the thread of the connections.
    pub(super) async fn open(&self) -> Result<Object, StoreError> {
        self.connection(&self.work).await
    }

    async fn connection(&self, pool: &Pool) -> Result<Object, StoreError> {
        if pool.status().available == 0 {
            self.check_pause()?;
        }
        let connection = pool.get().await;
        match &connection {
            Ok(_) => *self.pauses() = Pauses::default(),
            // All connections are busy: another attempt would not help, but the database may be well.
            Err(PoolError::Timeout(deadpool_postgres::TimeoutType::Wait)) => {}
            Err(_) => self.pauses().note_failure(),
        }
        connection.map_err(|error| not_connected(&error))
    }

    fn check_pause(&self) -> Result<(), StoreError> {
        let is_over = self.pauses().next.is_none_or(|next| next <= Instant::now());
        if is_over { Ok(()) } else { Err(unreachable(&"the last attempt to connect has just failed")) }
    }

    fn pauses(&self) -> std::sync::MutexGuard<'_, Pauses> {
        self.pauses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pauses {
    fn note_failure(&mut self) {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(10)).min(LONGEST_PAUSE);
        self.failures += 1;
        self.next = Some(Instant::now() + pause);
    }
}

/// Runs work on a connection within this time, and returns the connection with the result.
pub(super) async fn run_within<T>(
    mut connection: Object,
    limit: Duration,
    work: impl for<'a> FnOnce(&'a mut Client) -> Work<'a, T>,
) -> Result<(T, Object), StoreError> {
    match tokio::time::timeout(limit, work(&mut connection)).await {
        Ok(Ok(value)) => Ok((value, connection)),
        Ok(Err(error)) => {
            close(connection);
            Err(refused(error))
        }
        Err(_) => {
            close(connection);
            Err(too_slow())
        }
    }
}

/// Closes a connection instead of returning it to the pool.
pub(super) fn close(connection: Object) {
    drop(Object::take(connection));
}

/// Converts an error of a statement.
pub(super) fn refused(error: tokio_postgres::Error) -> StoreError {
    match error.as_db_error() {
        Some(problem) if !is_of_connection(problem) => FleetError::Refused(problem.message().to_owned()).into(),
        _ => unreachable(&with_causes(&error)),
    }
}

/// Returns true for errors that mean that the server stops, starts or is a standby.
fn is_of_connection(problem: &tokio_postgres::error::DbError) -> bool {
    // PostgreSQL's documentation, appendix A: class 57 is operator intervention, 08 connection exceptions, 25006
    // a read-only transaction.
    let code = problem.code().code();
    code.starts_with("57P") || code.starts_with("08") || code == "25006"
}

fn unreachable(error: &dyn std::fmt::Display) -> StoreError {
    FleetError::Unreachable(error.to_string()).into()
}

/// Converts the error of a pool, with its causes: a wrong password, a name that is not known.
fn not_connected(error: &PoolError) -> StoreError {
    let code = if let PoolError::Backend(error) = error { error.code().map(SqlState::code) } else { None };
    // PostgreSQL's documentation, appendix A.
    let advice = match code {
        Some("28P01" | "28000") => "it does not accept the user name or the password: ",
        Some("3D000") => "it has no database of this name: ",
        Some("53300") => "all its connections are in use (max_connections of PostgreSQL, fleet.database_connections): ",
        Some(_) | None => "",
    };
    unreachable(&format_args!("{advice}{}", with_causes(error)))
}

pub(super) fn too_slow() -> StoreError {
    unreachable(&"it does not respond in time")
}

pub(super) fn with_causes(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| Error::source(*cause));
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Starts a thread of this name with an event loop, for connections.
pub(super) fn event_loop(name: &str) -> Result<Handle, StoreError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new().name(name.to_owned()).spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(handle)
}

/// Returns the configuration of TLS, which verifies the certificate of the server and its name.
fn tls_config(ca_file: Option<&Path>) -> Result<ClientConfig, StoreError> {
    let failed = |error: &dyn std::fmt::Display| StoreError::Io(error.to_string());
    let provider = Arc::new(default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| failed(&error))?;
    let Some(path) = ca_file else {
        return Ok(builder.with_platform_verifier().map_err(|error| failed(&error))?.with_no_client_auth());
    };
    let wrong = |error: &dyn std::fmt::Display| failed(&format_args!("{}: {error}", path.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))? {
        roots.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() {
        return Err(wrong(&"holds no certificate"));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

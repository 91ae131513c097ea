//! Connections to PostgreSQL.

mod problems;
mod tls;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Timeouts};
use tokio::runtime::Handle;
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres_rustls::MakeRustlsConnect;

use self::problems::{not_connected, not_connected_at_first, unreachable};
pub(super) use self::problems::{refused, too_slow, with_causes};
use self::tls::tls_config;
use super::options::DatabaseOptions;
use super::run_on;
use crate::store::error::StoreError;

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

/// Time for which a session may have a lock while it does nothing, where its holder does nothing else either.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum time for a statement of a transaction that holds a lock, or waits for it.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(4);
/// Maximum time for one operation, from the wait for a connection to its result.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum time of work that reads whole tables.
const SLOW_TIMEOUT: Duration = Duration::from_secs(60);
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
        database.try_connection().await?;
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
        self.run_for(OPERATION_TIMEOUT, work).await
    }

    /// Runs work as [`Self::run`] does that reads whole tables, and may take a minute. Nobody must wait for it.
    ///
    /// # Errors
    ///
    /// Fails as [`Self::run`] does, after [`SLOW_TIMEOUT`].
    pub(super) async fn run_slowly<T: Send + 'static>(
        &self,
        work: impl for<'a> FnOnce(&'a mut Client) -> Work<'a, T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run_for(SLOW_TIMEOUT, work).await
    }

    async fn run_for<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl for<'a> FnOnce(&'a mut Client) -> Work<'a, T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let database = self.clone();
        run_on(&self.runtime, async move {
            let connection = database.connection(&database.work).await?;
            run_within(connection, limit, work).await.map(|(value, _)| value)
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

    /// Opens the first connection, with an error that names the setting to look at.
    async fn try_connection(&self) -> Result<(), StoreError> {
        let work = self.work.clone();
        run_on(&self.runtime, async move { work.get().await.map(drop).map_err(|error| not_connected_at_first(&error)) })
            .await
    }
}

impl Pauses {
    fn note_failure(&mut self) {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(10)).min(LONGEST_PAUSE);
        self.failures += 1;
        self.next = Some(Instant::now() + pause);
    }
}

/// Returns the limits of a transaction that holds a lock: a replica whose machine is gone must not hold it until the
/// connection is given up, which takes hours by default. Whoever has seen its end relies on what it has written.
pub(super) fn transaction_limits(idle: Duration) -> String {
    format!(
        "SET LOCAL idle_in_transaction_session_timeout = {}; SET LOCAL statement_timeout = {}; SET LOCAL synchronous_commit = on",
        idle.as_millis(),
        STATEMENT_TIMEOUT.as_millis()
    )
}

/// Returns the statements that begin such a transaction.
pub(super) fn begin_with_limits(idle: Duration) -> String {
    format!("BEGIN; {}", transaction_limits(idle))
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

/// Starts a thread of this name with an event loop, for connections.
pub(super) fn event_loop(name: &str) -> Result<Handle, StoreError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new().name(name.to_owned()).spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(handle)
}
